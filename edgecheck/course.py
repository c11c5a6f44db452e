"""One course of checks: each probed, judged and kept as it comes, so that whatever happens, a report comes out.

``runner`` takes one against an echo server, ``doctor`` against a SIP account. What they share is here: the bound on the whole,
interruption, a check that fails as data, diagnosis, and a saved report judged anew.
"""

import asyncio
import contextlib
import datetime
import time
import traceback
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, Protocol

import msgspec

from edgecheck import __version__
from edgecheck.checks import BY_ID
from edgecheck.diagnosis import diagnose, settings_for_pbx
from edgecheck.model import draft
from edgecheck.model.check import Check, Observation
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
            self.control_finding("fault", Verdict.INCONCLUSIVE, _FAULT, self.fault.splitlines()[-1])

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
                self.keep(self._cut_short(check, place, str(error), took()))
            except asyncio.CancelledError:
                self._left[check.id] = place, took()  # why is known once the run has ended
                raise
            except Exception:
                self.keep(_fault(check, traceback.format_exc(), took()))
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
        return self._cut_short(check, place, why, duration)

    def _cut_short(self, check: Check, place: draft.Place, why: str, duration: float) -> CheckResult:
        """What a check left that did not come to its end."""
        why = _clause(why)
        if place.draft is None:
            return _undecided(check, why, duration)
        try:
            observation = place.draft(why)
        except Exception:
            return _fault(check, traceback.format_exc(), duration)
        return judged(check, observation, self.profile, duration, why)

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
        return _assemble(
            results,
            self.profile,
            lambda results, headline, advice: Report(
                tool=Tool(version=__version__, protocol=PROTOCOL),
                started_at=self.started_at,
                duration_s=round(time.monotonic() - self.began, 3),
                settings=self.settings_told(),
                server=self.server,
                client=self.client,
                verdict=_overall(results, bool(self.stopped)),
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


def _overall(results: tuple[CheckResult, ...], stopped: bool) -> Verdict:
    verdict = worst([result.verdict for result in results])
    # A run that was cut short has not decided all that was asked.
    return Verdict.INCONCLUSIVE if stopped and verdict is not Verdict.FAIL else verdict


def _assemble(
    results: list[CheckResult],
    profile: Profile,
    make: Callable[[tuple[CheckResult, ...], str, tuple[str, ...]], Report],
    server: ServerFacts | None,
    client: ClientFacts,
) -> Report:
    diagnosed, headline, advice = diagnose(tuple(results), profile, server, client.router)
    report = make(tuple(diagnosed), headline, tuple(advice))
    return msgspec.structs.replace(report, settings_for_pbx=settings_for_pbx(report.checks, profile, server, client))


def judged(check: Check, observation: Observation, profile: Profile, duration: float, cut_short: str | None = None) -> CheckResult:
    """An observation with its findings; of a check that was cut short, those that stand. A judge that fails is a fault of ours."""
    try:
        findings = check.judge(observation, profile)
        if cut_short is None:
            summary = check.summarize(observation, findings)
        else:
            findings, summary = _standing(check, findings, check.known(observation), cut_short)
    except Exception:
        failed = _fault(check, traceback.format_exc(), duration)
        return msgspec.structs.replace(failed, observation=msgspec.to_builtins(observation), cut_short=cut_short)
    return CheckResult(
        id=check.id,
        verdict=worst([finding.verdict for finding in findings]),
        summary=summary,
        duration_s=round(duration, 3),
        observation=msgspec.to_builtins(observation),
        findings=findings,
        cut_short=cut_short,
    )


def _standing(check: Check, findings: Sequence[Finding], known: str, why: str) -> tuple[tuple[Finding, ...], str]:
    """What a part of the measurement proves, and that the rest is missing; in one sentence, too."""
    stand = tuple(finding for finding in findings if finding.id.removeprefix(f"{check.id}.") in check.stands)
    told = [finding.summary.rstrip(".") for finding in sorted(stand, key=_gravity) if finding.verdict in _TOLD][:2]
    told = told or ([known] if known else [])
    rest = "the rest could" if told else "could"
    return (*stand, _not_finished(check, why)), "; ".join((*told, f"{rest} not be finished: {why}"))


_TOLD = (Verdict.FAIL, Verdict.WARN, Verdict.PASS)


def _gravity(finding: Finding) -> int:
    return _TOLD.index(finding.verdict) if finding.verdict in _TOLD else len(_TOLD)


def _clause(why: str) -> str:
    """A sentence as part of another."""
    why = why.rstrip(".")
    return why[:1].lower() + why[1:] if why[1:2].islower() else why


def skipped(check: Check, why: str) -> CheckResult:
    finding = Finding(id=f"{check.id}.skipped", verdict=Verdict.SKIPPED, subject=check.id, summary=f"Not tested: {why}.")
    return CheckResult(id=check.id, verdict=Verdict.SKIPPED, summary=f"not tested: {why}", duration_s=0.0, findings=(finding,))


def _not_finished(check: Check, why: str) -> Finding:
    text = f"could not be finished: {why}"
    return Finding(id=f"{check.id}.cut-short", verdict=Verdict.INCONCLUSIVE, subject=check.id, summary=text, evidence=(why,))


def _undecided(check: Check, why: str, duration: float) -> CheckResult:
    """Nothing was left of it."""
    finding = _not_finished(check, why)
    return CheckResult(
        id=check.id,
        verdict=finding.verdict,
        summary=finding.summary,
        duration_s=round(duration, 3),
        findings=(finding,),
        cut_short=why,
    )


_FAULT = "edgecheck itself failed here; this says nothing about the network. Please report it with the --json file."


def _fault(check: Check, trace: str, duration: float) -> CheckResult:
    proof = (trace.splitlines()[-1],)
    finding = Finding(id=f"{check.id}.fault", verdict=Verdict.INCONCLUSIVE, subject=check.id, summary=_FAULT, evidence=proof)
    return CheckResult(
        id=check.id, verdict=Verdict.INCONCLUSIVE, summary=_FAULT, duration_s=round(duration, 3), findings=(finding,), fault=trace
    )


def rejudge(report: Report) -> Report:
    """A saved report judged anew from its observations, with the profile that it carries."""
    profile = msgspec.convert(report.settings.get("profile"), Profile)
    results = []
    for result in report.checks:
        check = BY_ID.get(result.id)
        if check is None or result.observation is None:
            results.append(result)
            continue
        observation = msgspec.convert(result.observation, check.observation)
        results.append(judged(check, observation, profile, result.duration_s, result.cut_short))
    stopped = any(note.startswith("Not finished") for note in report.notes)
    return _assemble(
        results,
        profile,
        lambda results, headline, advice: msgspec.structs.replace(
            report, verdict=_overall(results, stopped), headline=headline, checks=results, advice=advice
        ),
        report.server,
        report.client,
    )
