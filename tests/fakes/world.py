"""What the runner meets instead of sockets; what every report of a run must keep; and checks made for a test."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from edgecheck import judging, runner
from edgecheck.checks import ALL
from edgecheck.model.check import Check, Network, Observation
from edgecheck.model.profile import PortNeed, Profile
from edgecheck.model.verdict import CheckResult, Finding, Report, Verdict
from edgecheck.report import json, junit, text
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint, Target
from tests.fakes import clock
from tests.fakes.edge import ALTERNATE, PRIMARY, Edge
from tests.fakes.memory import SharedMemory
from tests.fakes.nat import CLIENT, Nat
from tests.fakes.walls import Walled, sessionless

TOKEN = "s3cr3t-Tok3n-of-the-tests"
NEEDS = (
    PortNeed(ports="5060", transport="udp", purpose="SIP", protocol="sip"),
    PortNeed(ports="5060", transport="tcp", purpose="SIP", protocol="sip"),
)
ORDINARY = tuple(check.id for check in ALL if not check.lengthy)
PROFILE = Profile(
    name="test", title="A test", source="a test", confidence="verified", checks=ORDINARY, ports=NEEDS, rtp=(10_000, 10_049), preservation_sample=8
)


class Told:
    """Keeps what a run tells."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.finished: list[str] = []
        self.notices: list[str] = []
        self.counts: list[tuple[str, int, int]] = []

    def check_started(self, id: str, question: str) -> None:
        self.started.append(id)

    def progress(self, id: str, done: int, total: int, note: str) -> None:
        self.counts.append((id, done, total))

    def check_finished(self, result: CheckResult) -> None:
        self.finished.append(result.id)

    def notice(self, text: str) -> None:
        self.notices.append(text)


class Session:
    """A control session with the edge's server."""

    version = "test"
    peer_host = PRIMARY
    local_host = CLIENT
    issuer = ""
    intercepted = False
    observed = ""
    ticket = ""
    closed = False

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self.welcome = edge.welcome
        self.limits = edge.server.limits
        self.rtt = 2 * edge.weather.delay
        self.ask = edge.ask
        self.observed = self.observed or edge.nat.public

    @property
    def lost(self) -> str | None:
        return self._edge.lost

    async def close(self) -> None:
        self.closed = True


class Watched(Edge):
    """Writes down when the alternate address was contacted, and when it was asked to send unsolicited packets.

    ``OF_A_CONTACT`` asks what comes of a contact: that is nothing unsolicited.
    """

    OF_A_CONTACT = ("B1", "BX")
    """From the port that was contacted, and from one that was not."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.contacts: list[float] = []
        self.unsolicited: list[float] = []

    def from_client(self, port: int, data: bytes, to: Endpoint) -> None:
        if to.host == ALTERNATE:
            self.contacts.append(asyncio.get_running_loop().time())
        super().from_client(port, data, to)

    async def connect(self, to: Endpoint, port: int, timeout: float, *, tls: bool, ttl: int | None = None) -> Any:
        if to.host == ALTERNATE:
            self.contacts.append(asyncio.get_running_loop().time())
        return await super().connect(to, port, timeout, tls=tls)

    async def ask(self, make: Callable[[int], control.Request], timeout: float = 30.0) -> control.Reply:
        request = make(1)
        reply = await super().ask(make, timeout)
        probed = isinstance(request, control.Probe) and request.senders != self.OF_A_CONTACT
        if (probed and any(name[0] == "B" for name in request.senders)) or (isinstance(request, control.Dial) and request.sender == "B"):
            self.unsolicited.append(asyncio.get_running_loop().time())
        return reply


class World:
    """What the runner meets instead of sockets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told = Told()
        self.memory = SharedMemory()
        self.session: Session | None = None
        self.took = 0.0
        """Virtual seconds of the last run."""
        self._monkeypatch = monkeypatch

    def settings(self, **changes: Any) -> runner.Settings:
        return runner.Settings(**({"target": Target("echo.example.net", 8443, TOKEN), "profile": PROFILE, "pace": 0} | changes))

    def meet(self, edge: Edge | Exception) -> None:
        """The server behind this edge, or why there is none."""

        class Opening:
            @staticmethod
            async def open(*_: object) -> Session:
                if isinstance(edge, Exception):
                    raise edge
                self.session = Session(edge)
                return self.session

        async def resolve(*_: object) -> str:
            return PRIMARY

        self._monkeypatch.setattr(runner, "ControlSession", Opening)
        self._monkeypatch.setattr(runner, "resolve", resolve)
        self._monkeypatch.setattr(runner.foreign, "without_session", lambda *_: sessionless(Walled()))
        self._monkeypatch.setattr(runner.foreign, "source_for", lambda *_: CLIENT)
        self._monkeypatch.setattr(runner, "RealTransport", lambda source, bell: edge if isinstance(edge, Edge) else Edge(Nat()))
        self._monkeypatch.setattr(runner.host, "memory", lambda source, server: self.memory)

    def run(self, edge: Edge | Exception, **changes: Any) -> Report:
        """To the end, and held to what every report must keep."""

        async def work() -> Report:
            self.meet(edge)
            report = await runner.run(self.settings(**changes), self.told)
            self.took = asyncio.get_running_loop().time()
            return report

        return kept(clock.run(work()))

    def have(self, *checks: Check) -> Profile:
        """Only these checks exist; a profile that names them all."""
        self._monkeypatch.setattr(runner, "ALL", checks)
        self._monkeypatch.setattr(judging, "BY_ID", {check.id: check for check in checks})
        return msgspec.structs.replace(PROFILE, checks=tuple(check.id for check in checks))


def as_written(report: Report) -> Any:
    """As JSON has it: there a tuple is a list."""
    return msgspec.json.decode(json.render(report))


def kept(report: Report) -> Report:
    """Readable again, no token, the same when judged anew, and fit for every form."""
    data = json.render(report)
    saved = json.read(data)
    assert as_written(saved) == as_written(report)
    assert as_written(judging.rejudge(saved)) == as_written(report)
    for written in (data.decode(), text.render(report), junit.render(report)):
        assert TOKEN not in written
    assert report.headline
    for result in report.checks:
        assert result.findings, "every verdict has its reason"
        for finding in result.findings:
            assert finding.evidence or finding.verdict in (Verdict.SKIPPED, Verdict.INCONCLUSIVE), finding
    return report


def by_id(report: Report) -> dict[str, CheckResult]:
    return {result.id: result for result in report.checks}


async def passes(net: Network, profile: Profile) -> Observation:
    return Observation()


async def endless(net: Network, profile: Profile) -> Observation:
    net.progress(1, 2, "ports")
    await asyncio.Event().wait()
    raise AssertionError


def check(id: str, probe: Callable[[Network, Profile], Awaitable[Any]], verdict: Verdict = Verdict.PASS, **more: Any) -> Check:
    def judge(seen: Observation, profile: Profile) -> tuple[Finding, ...]:
        return (Finding(id=f"{id}.found", verdict=verdict, subject=id, summary=f"{id} was told.", evidence=("a packet",)),)

    fields: dict[str, Any] = {"question": "?", "observation": Observation, "needs": frozenset(), "judge": judge, "summarize": lambda seen, found: id}
    return Check(id=id, probe=probe, **(fields | more))
