"""Plan by capability -> probe, bounded -> judge -> diagnose -> report. Whatever happens, the run ends with a report."""

import asyncio
import contextlib
import datetime
import time
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from edgecheck import __version__
from edgecheck.checks import ALL, BY_ID, nat_behavior
from edgecheck.checks import foreign_stun as foreign_stun_check
from edgecheck.diagnosis import diagnose
from edgecheck.model.check import Check, Observation
from edgecheck.model.errors import ControlLost, LocalFailure, RequestDeclined, ServerUnreachable, TokenRefused
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import CheckResult, ClientFacts, Finding, Report, ServerFacts, Tool, Verdict, worst
from edgecheck.net import foreign, host
from edgecheck.net.bell import Bell
from edgecheck.net.network import STOOD_AT_GATE, EdgeNetwork
from edgecheck.net.reach import resolve
from edgecheck.net.session import ControlSession
from edgecheck.net.sockets import RealTransport
from edgecheck.wire.address import Target
from edgecheck.wire.control import PROTOCOL

DEFAULT_PACE = 1000
"""Probes a second: a home router's NAT table and its flood protection survive it."""

_CURRENT: ContextVar[str] = ContextVar("current check", default="")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What was asked for."""

    target: Target
    profile: Profile
    checks: tuple[str, ...] = ()
    """Ids; empty = all that the profile names."""
    source: str | None = None
    family: int | None = None
    pace: int | None = None
    """Probes a second at most; None = the default, 0 = as fast as the path takes."""
    timeout: float | None = None
    """Seconds for the whole run; None = no bound but the checks' own."""
    quick: bool = False
    """Where a check can take minutes, a coarser answer sooner."""
    local_only: bool = False
    """The server is the embedded one: only this machine is checked."""

    def told(self) -> dict[str, Any]:
        """What the report says of it: never the token."""
        return {
            "profile": msgspec.to_builtins(self.profile),
            "checks": [check.id for check in self.plan()],
            "target": self.target.authority,
            "source": self.source,
            "family": self.family,
            "pace": self.rate(),
            "timeout": self.timeout,
            "quick": self.quick,
            "local_only": self.local_only,
        }

    def rate(self) -> int:
        """The pace in force."""
        return DEFAULT_PACE if self.pace is None else self.pace

    def plan(self) -> list[Check]:
        """The checks, in the order in which they must run."""
        wanted = self.checks or self.profile.checks
        return [check for check in ALL if check.id in wanted]


class Show(Protocol):
    """What a run tells while it runs."""

    def check_started(self, id: str, question: str) -> None: ...

    def progress(self, id: str, done: int, total: int, note: str) -> None: ...

    def check_finished(self, result: CheckResult) -> None: ...

    def notice(self, text: str) -> None: ...


class _Run:
    """One run: collects results as they come, so that an interruption keeps what is known."""

    def __init__(self, settings: Settings, show: Show) -> None:
        self.settings = settings
        self.show = show
        self.began = time.monotonic()
        self.started_at = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.results: dict[str, CheckResult] = {}
        self.begun: set[str] = set()
        self.control: list[Finding] = []
        self.fault: str | None = None
        """A traceback: the run itself failed, beside any check."""
        self.notes: list[str] = []
        self.server: ServerFacts | None = None
        self.client = ClientFacts()
        self.stopped = ""
        """Why the run ended early, in words."""

    async def go(self) -> None:
        try:
            async with asyncio.timeout(self.settings.timeout):
                await self._go()
        except TimeoutError:
            self.stopped = f"the time allowed ({self.settings.timeout:g} s) was over"
        except Exception:
            self.fault = traceback.format_exc()
            self._control_finding("fault", Verdict.INCONCLUSIVE, _FAULT, self.fault.splitlines()[-1])

    async def _go(self) -> None:
        session = await self._open_session()
        if session is None:
            self.client = host.facts(self.settings.source)
            return
        try:
            network = self._network(session)
            if network is not None:
                if session.intercepted:
                    await self._find_own_address(network)
                await self._execute(network, session)
                if session.lost is not None:
                    text = (
                        f"The server at {self.settings.target.authority} was lost in mid-run ({session.lost}): what was measured before is "
                        "told here. See that edgecheck-server still runs there, and run again."
                    )
                    self._control_finding("lost", Verdict.INCONCLUSIVE, text)
        finally:
            await session.close()

    async def _open_session(self) -> ControlSession | None:
        settings = self.settings
        try:
            return await ControlSession.open(settings.target, settings.source, settings.family)
        except TokenRefused as error:
            self._control_finding("refused", Verdict.INCONCLUSIVE, str(error))
        except ServerUnreachable as error:
            self._control_finding("unreachable", Verdict.INCONCLUSIVE, str(error))
        return None

    def _network(self, session: ControlSession) -> EdgeNetwork | None:
        settings, service = self.settings, session.welcome.service
        self.server = ServerFacts(
            address=session.peer_host,
            alternate=service.alternate,
            version=session.version,
            capabilities=service.capabilities,
            limits=msgspec.to_builtins(session.limits),
        )
        source = settings.source or session.local_host
        self.client = host.facts(source)
        if session.peer_host == service.alternate:
            text = (
                f"{session.peer_host} is the server's alternate address, which must stay uncontacted for the checks to mean anything: "
                f"run again with {service.address}."
            )
            self._control_finding("unreachable", Verdict.INCONCLUSIVE, text)
            return None
        if session.intercepted:
            self._intercepted(session)
        if service.alternate is None:
            self.notes.append(
                "The server has one address only: forwarding from a never-contacted address and the full filtering test are skipped."
            )
        return EdgeNetwork(
            RealTransport(source, Bell()),
            session,
            service,
            limits=session.limits,
            session_name=bytes.fromhex(session.welcome.session),
            observed=session.observed,
            primary_host=session.peer_host,
            memory=host.memory(source, session.peer_host),
            pace=settings.rate(),
            rtt=session.rtt,
            quick=settings.quick,
            progress=lambda done, total, note: self.show.progress(_CURRENT.get(), done, total, note),
        )

    def _intercepted(self, session: ControlSession) -> None:
        text = (
            f"Something between here and {self.settings.target.host} opens TLS and shows its own certificate "
            f'(issuer: "{session.issuer}"). That alone breaks SIP over TLS; the checks went on without the control proof.'
        )
        proof = f"the server proved that its certificate is {session.welcome.certificate[:16]}..., another was shown here"
        self._control_finding("intercepted", Verdict.FAIL, text, proof)
        self.show.notice(text)

    async def _find_own_address(self, network: EdgeNetwork) -> None:
        """The control channel comes from the box, perhaps from its address far from here: ask over UDP where probes must go."""
        mapped = None
        with contextlib.suppress(LocalFailure, ControlLost):
            socket = await network.open_udp()
            try:
                mapped = await network.proved(socket)
            finally:
                socket.close()
        if mapped is not None:
            network.observed = mapped.host
            return
        network.service = msgspec.structs.replace(
            network.service,
            alternate=None,
            capabilities=tuple(name for name in network.service.capabilities if name not in ("alternate-address", "dial")),
        )
        self.notes.append(
            "The control channel comes from the box that opens TLS, and UDP got no answer: this network's own public address is not known, "
            "so nothing was sent to it unasked."
        )

    def _control_finding(self, cause: str, verdict: Verdict, text: str, *evidence: str) -> None:
        self.control.append(
            Finding(
                id=f"control.{cause}",
                verdict=verdict,
                subject=self.settings.target.authority,
                summary=text,
                evidence=(f"asked {self.settings.target.authority} at {self.started_at}", *evidence),
            )
        )

    async def _execute(self, network: EdgeNetwork, session: ControlSession) -> None:
        """Each check in its turn; whoever must wait for the alternate address lets the next one go first."""
        tasks: list[asyncio.Task[None]] = []
        try:
            for check in self.settings.plan():
                missing = check.needs - set(network.service.capabilities)
                why = f"the server offers no {', '.join(sorted(missing))}" if missing else check.unfit(self.settings.profile)
                if why:
                    self._keep(_skipped(check, why))
                    continue
                if session.lost is not None:
                    break  # the report names the rest as not tested, and why
                if check.lengthy:
                    network.gate.open()
                network.gate.someone_waits.clear()
                task = asyncio.create_task(self._one(check, network))
                tasks.append(task)
                parked = asyncio.create_task(network.gate.someone_waits.wait())
                try:
                    await asyncio.wait({task, parked}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    parked.cancel()
            network.gate.open()
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _one(self, check: Check, network: EdgeNetwork) -> None:
        _CURRENT.set(check.id)
        stood = [0.0]
        STOOD_AT_GATE.set(stood)
        self.begun.add(check.id)
        self.show.check_started(check.id, check.question)
        began = time.monotonic()

        def took() -> float:
            return time.monotonic() - began - stood[0]

        try:
            observation = await check.probe(network, self.settings.profile)
        except (ControlLost, RequestDeclined, LocalFailure) as error:
            self._keep(_undecided(check, str(error), took()))
        except Exception:
            self._keep(_fault(check, traceback.format_exc(), took()))
        else:
            self._keep(judged(check, observation, self.settings.profile, took()))

    def _keep(self, result: CheckResult) -> None:
        self.results[result.id] = result
        self.show.check_finished(result)

    def _unfinished(self, check: Check, why: str) -> CheckResult:
        return _undecided(check, why, 0.0) if check.id in self.begun else _skipped(check, why)

    def report(self) -> Report:
        """What is known so far, judged and diagnosed."""
        why = self.stopped or ("there is no session with the server" if self.control else "it was not reached")
        results = [self.results.get(check.id) or self._unfinished(check, why) for check in self.settings.plan()]
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
            self.settings.profile,
            lambda results, headline, advice: Report(
                tool=Tool(version=__version__, protocol=PROTOCOL),
                started_at=self.started_at,
                duration_s=round(time.monotonic() - self.began, 3),
                settings=self.settings.told(),
                server=self.server,
                client=self.client,
                verdict=_overall(results, bool(self.stopped)),
                headline=headline,
                checks=results,
                advice=advice,
                notes=tuple(self.notes),
            ),
            self.server,
        )


def _overall(results: tuple[CheckResult, ...], stopped: bool) -> Verdict:
    verdict = worst([result.verdict for result in results])
    # A run that was cut short has not decided all that was asked.
    return Verdict.INCONCLUSIVE if stopped and verdict is not Verdict.FAIL else verdict


def _assemble(
    results: list[CheckResult],
    profile: Profile,
    make: Callable[[tuple[CheckResult, ...], str, tuple[str, ...]], Report],
    server: ServerFacts | None,
) -> Report:
    diagnosed, headline, advice = diagnose(tuple(results), profile, server)
    return make(tuple(diagnosed), headline, tuple(advice))


def judged(check: Check, observation: Observation, profile: Profile, duration: float) -> CheckResult:
    """An observation with its findings. A judge that fails is a fault of ours, and said so."""
    try:
        findings = check.judge(observation, profile)
        summary = check.summarize(observation, findings)
    except Exception:
        return msgspec.structs.replace(_fault(check, traceback.format_exc(), duration), observation=msgspec.to_builtins(observation))
    return CheckResult(
        id=check.id,
        verdict=worst([finding.verdict for finding in findings]),
        summary=summary,
        duration_s=round(duration, 3),
        observation=msgspec.to_builtins(observation),
        findings=findings,
    )


def _skipped(check: Check, why: str) -> CheckResult:
    finding = Finding(id=f"{check.id}.skipped", verdict=Verdict.SKIPPED, subject=check.id, summary=f"Not tested: {why}.")
    return CheckResult(id=check.id, verdict=Verdict.SKIPPED, summary=f"not tested: {why}", duration_s=0.0, findings=(finding,))


def _undecided(check: Check, why: str, duration: float) -> CheckResult:
    text = f"could not be finished: {why}"
    finding = Finding(id=f"{check.id}.undecided", verdict=Verdict.INCONCLUSIVE, subject=check.id, summary=text, evidence=(why,))
    return CheckResult(id=check.id, verdict=Verdict.INCONCLUSIVE, summary=text, duration_s=round(duration, 3), findings=(finding,))


_FAULT = "edgecheck itself failed here; this says nothing about the network. Please report it with the --json file."


def _fault(check: Check, trace: str, duration: float) -> CheckResult:
    proof = (trace.splitlines()[-1],)
    finding = Finding(id=f"{check.id}.fault", verdict=Verdict.INCONCLUSIVE, subject=check.id, summary=_FAULT, evidence=proof)
    return CheckResult(
        id=check.id, verdict=Verdict.INCONCLUSIVE, summary=_FAULT, duration_s=round(duration, 3), findings=(finding,), fault=trace
    )


async def run(settings: Settings, show: Show) -> Report:
    """Do the job. Cancelled (``Ctrl-C``), it ends cleanly and reports what is known so far."""
    one = _Run(settings, show)
    work = asyncio.create_task(one.go())
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        one.stopped = "interrupted"
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        current = asyncio.current_task()
        if current is not None:
            current.uncancel()
    return one.report()


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
        results.append(judged(check, observation, profile, result.duration_s))
    stopped = any(note.startswith("Not finished") for note in report.notes)
    return _assemble(
        results,
        profile,
        lambda results, headline, advice: msgspec.structs.replace(
            report, verdict=_overall(results, stopped), headline=headline, checks=results, advice=advice
        ),
        report.server,
    )


class ForeignStun(msgspec.Struct, frozen=True, kw_only=True):
    """What ``edgecheck stun HOST`` found: our verdict, and pystun3's RFC 3489 verdict beside it."""

    server: str
    observation: nat_behavior.NatObservation
    findings: tuple[Finding, ...]
    classic: str | None
    """pystun3's words; None for IPv6, which it does not speak."""
    difference: str | None
    """Why the two differ; None when they agree."""


async def foreign_stun(name: str, port: int = 3478, source: str | None = None, family: int | None = None) -> ForeignStun:
    """Ask a STUN server that is not ours. Raises ``ServerUnreachable``, ``LocalFailure``."""
    address = await resolve(name, port, family)
    try:
        own = source or foreign.source_for(address)
    except OSError as error:
        raise ServerUnreachable(f"No route to {name} ({address}): is this machine's network up?") from error
    observation = await foreign_stun_check.probe_foreign(foreign.stun_only(address, port, own))
    profile = Profile(name="stun", title="", source="", confidence="verified", checks=())
    classic = await foreign.pystun3_type(address, port, own) if ":" not in address else None
    return ForeignStun(
        server=f"{name}:{port}",
        observation=observation,
        findings=nat_behavior.judge(observation, profile),
        classic=classic,
        difference=_difference(observation, classic),
    )


_PYSTUN3 = {
    "Blocked": "udp blocked",
    "Open Internet": "open internet",
    "Full Cone": "full cone",
    "Symmetric UDP Firewall": "symmetric udp firewall",
    "Restric NAT": "restricted cone",
    "Restric Port NAT": "port restricted cone",
    "Symmetric NAT": "symmetric",
}


def _difference(seen: nat_behavior.NatObservation, classic: str | None) -> str | None:
    """Why pystun3 says something else, where it is known why."""
    if classic is None or _PYSTUN3.get(classic, classic) == seen.classic_type:
        return None
    ignored = seen.reasons.get("filtering", "")
    if "ignores CHANGE-REQUEST" in ignored:
        return "the server ignores CHANGE-REQUEST; pystun3 takes any answer for one from another address, whatever its source"
    if "CHANGE-REQUEST" in ignored or "OTHER-ADDRESS" in ignored:
        return f"{ignored}; pystun3 reads silence as a filter"
    if classic == "Symmetric NAT" and seen.mapping == "endpoint-independent":
        return "pystun3 judged the mapping after packets from the alternate address had met the router: some routers move the port then"
    if classic.startswith("no verdict") or classic == "Blocked":
        return "pystun3 sends few copies with long waits and gave up; a lost packet is enough for that"
    return "pystun3 judges by the absence of single answers, without a control: loss, or what its earlier packets opened, misleads it"
