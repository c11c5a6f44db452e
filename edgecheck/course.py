"""One course of checks: each probed, judged and kept as it comes, so that whatever happens, a report comes out.

``runner`` takes one against an echo server, ``doctor`` against a SIP account. What they share is here: the bound on the whole,
interruption, and a check that fails as data.
"""

import asyncio
import contextlib
import datetime
import time
import traceback
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, Protocol

from edgecheck import __version__
from edgecheck.judging import FAULT, assemble, fault, judged, judged_in_part, overall, skipped
from edgecheck.model import draft
from edgecheck.model.check import Check
from edgecheck.model.errors import ControlLost, LocalFailure, RequestDeclined
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import CheckResult, ClientFacts, Finding, Report, ServerFacts, Tool, Verdict, worst
from edgecheck.net.network import STOOD_AT_GATE
from edgecheck.wire.control import PROTOCOL

_CURRENT: ContextVar[str] = ContextVar("current check", default="")


class Show(Protocol):
    """What a run tells while it runs."""

    def check_started(self, id: str, question: str) -> None: ...

    def progress(self, id: str, done: int, total: int, note: str) -> None: ...

    def check_finished(self, result: CheckResult) -> None: ...

    def notice(self, text: str) -> None: ...


class Course:
    """One run: collects results as they come, so that an interruption keeps what is known."""

    def __init__(self, show: Show, plan: Sequence[Check], profile: Profile, subject: str, timeout: float | None) -> None:
        self.show = show
        self.plan = plan
        self.profile = profile
        self.subject = subject
        """The server or account that all this is about: safe to print."""
        self.timeout = timeout
        """Seconds for the whole; None = no bound but the checks' own."""
        self.began = time.monotonic()
        self.started_at = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.results: dict[str, CheckResult] = {}
        self.begun: set[str] = set()
        self._left: dict[str, tuple[draft.Place, float]] = {}
        """Checks that were interrupted: what they left, and how long they took."""
        self.control: list[Finding] = []
        self.fault: str | None = None
        """A traceback: the run itself failed, beside any check."""
        self.notes: list[str] = []
        self.server: ServerFacts | None = None
        self.client = ClientFacts()
        self.stopped = ""
        """Why the run ended early, in words."""

    async def carry_out(self) -> None:
        """Do all of the plan."""
        raise NotImplementedError

    def why_untested(self) -> str:
        """What kept the rest of the plan from being tried, where nothing stopped the run."""
        raise NotImplementedError

    def settings_told(self) -> dict[str, Any]:
        """What was asked for; never a secret."""
        raise NotImplementedError

    async def go(self) -> None:
        """Carry out, bounded; a failure of the run itself becomes a finding."""
        try:
            async with asyncio.timeout(self.timeout):
                await self.carry_out()
        except TimeoutError:
            self.stopped = f"the time allowed ({self.timeout:g} s) was over"
        except Exception:
            self.fault = traceback.format_exc()
            self.control_finding("fault", Verdict.INCONCLUSIVE, FAULT, self.fault.splitlines()[-1])

    def control_finding(self, cause: str, verdict: Verdict, text: str, *evidence: str) -> None:
        """Something about the run as a whole: a row of its own, ahead of the checks."""
        self.control.append(
            Finding(
                id=f"control.{cause}",
                verdict=verdict,
                subject=self.subject,
                summary=text,
                evidence=(f"asked {self.subject} at {self.started_at}", *evidence),
            )
        )

    async def one(self, check: Check, network: Any) -> None:
        """Probe and judge one check, and keep the result."""
        _CURRENT.set(check.id)
        stood = [0.0]
        STOOD_AT_GATE.set(stood)
        self.begun.add(check.id)
        self.show.check_started(check.id, check.question)
        began = time.monotonic()

        def took() -> float:
            return time.monotonic() - began - stood[0]

        with draft.keep() as place:
            try:
                observation = await check.probe(network, self.profile)
            except (ControlLost, RequestDeclined, LocalFailure) as error:
                self.keep(judged_in_part(check, place, str(error), self.profile, took()))
            except asyncio.CancelledError:
                self._left[check.id] = place, took()  # why is known once the run has ended
                raise
            except Exception:
                self.keep(fault(check, traceback.format_exc(), took()))
            else:
                self.keep(judged(check, observation, self.profile, took()))

    def progress(self, done: int, total: int, note: str) -> None:
        """What a check tells of itself while it runs."""
        self.show.progress(_CURRENT.get(), done, total, note)

    def keep(self, result: CheckResult) -> None:
        """A check is done."""
        self.results[result.id] = result
        self.show.check_finished(result)

    def _unfinished(self, check: Check, why: str) -> CheckResult:
        if check.id not in self.begun:
            return skipped(check, why)
        place, duration = self._left.get(check.id, (draft.Place(), 0.0))
        return judged_in_part(check, place, why, self.profile, duration)

    def report(self) -> Report:
        """What is known so far, judged and diagnosed."""
        why = self.stopped or self.why_untested()
        results = [self.results.get(check.id) or self._unfinished(check, why) for check in self.plan]
        if self.control:
            control = CheckResult(
                id="control",
                verdict=worst([finding.verdict for finding in self.control]),
                summary=self.control[0].summary,
                duration_s=0.0,
                findings=tuple(self.control),
                fault=self.fault,
            )
            results.insert(0, control)
        if self.stopped:
            self.notes.append(f"Not finished: {self.stopped}.")
        return assemble(
            results,
            self.profile,
            lambda results, headline, advice: Report(
                tool=Tool(version=__version__, protocol=PROTOCOL),
                started_at=self.started_at,
                duration_s=round(time.monotonic() - self.began, 3),
                settings=self.settings_told(),
                server=self.server,
                client=self.client,
                verdict=overall(results, bool(self.stopped)),
                headline=headline,
                checks=results,
                advice=advice,
                notes=tuple(self.notes),
            ),
            self.server,
            self.client,
        )


async def reported(course: Course) -> Report:
    """Do the job. Cancelled (``Ctrl-C``), it ends cleanly and reports what is known so far."""
    work = asyncio.create_task(course.go())
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        course.stopped = "interrupted"
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        current = asyncio.current_task()
        if current is not None:
            current.uncancel()
    return course.report()
