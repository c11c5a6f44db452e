"""The runner over the whole world in memory: order, bounds, interruptions, faults; and whatever happens, a report that tells no lie."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from edgecheck import course, runner
from edgecheck.checks import ALL
from edgecheck.model.check import Check, Network, Observation
from edgecheck.model.errors import ControlLost, LocalFailure, NotOurServer, RequestDeclined, TokenRefused
from edgecheck.model.profile import PortNeed, Profile
from edgecheck.model.verdict import CheckResult, Finding, Report, Verdict
from edgecheck.report import json, junit, text
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint, Target
from tests.fakes import clock
from tests.fakes.edge import ALTERNATE, PRIMARY, Edge, Weather
from tests.fakes.edge import TOKEN as FAKE_TOKEN
from tests.fakes.memory import SharedMemory
from tests.fakes.nat import CLIENT, EIGHT, Nat
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


Go = Callable[..., Report]


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
        self._monkeypatch.setattr(runner, "RealTransport", lambda source, bell: edge)
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
        self._monkeypatch.setattr(course, "BY_ID", {check.id: check for check in checks})
        return msgspec.structs.replace(PROFILE, checks=tuple(check.id for check in checks))


def as_written(report: Report) -> Any:
    """As JSON has it: there a tuple is a list."""
    return msgspec.json.decode(json.render(report))


def kept(report: Report) -> Report:
    """Readable again, no token, the same when judged anew, and fit for every form."""
    data = json.render(report)
    saved = json.read(data)
    assert as_written(saved) == as_written(report)
    assert as_written(course.rejudge(saved)) == as_written(report)
    for written in (data.decode(), text.render(report), junit.render(report)):
        assert TOKEN not in written
    assert report.headline
    for result in report.checks:
        assert result.findings, "every verdict has its reason"
        for finding in result.findings:
            assert finding.evidence or finding.verdict in (Verdict.SKIPPED, Verdict.INCONCLUSIVE), finding
    return report


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def by_id(report: Report) -> dict[str, CheckResult]:
    return {result.id: result for result in report.checks}


# ---- order


class Watched(Edge):
    """Writes down when the alternate address was contacted, and when it was asked to send unsolicited packets."""

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
        from_alternate = isinstance(request, control.Probe) and any(name[0] == "B" for name in request.senders)
        if from_alternate or (isinstance(request, control.Dial) and request.sender == "B"):
            self.unsolicited.append(asyncio.get_running_loop().time())
        return reply


@pytest.mark.parametrize("name", EIGHT)
@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_nobody_contacts_the_alternate_address_before_all_who_need_it_uncontacted_are_through(name: str, loss: float, world: World) -> None:
    edge = Watched(Nat(**EIGHT[name]), Weather(loss=loss, seed=1))
    report = world.run(edge)
    assert edge.contacts or name == "none", "some check contacts it, else this shows nothing"
    assert len(edge.unsolicited) >= 3, "forwarding, the RTP range and the filter test ask it to send"
    assert max(edge.unsolicited) < min(edge.contacts, default=float("inf"))
    assert world.told.started == [check.id for check in runner.Settings.plan(world.settings()) if check.id in world.told.started]
    assert set(world.told.finished) == {check.id for check in world.settings().plan()} == set(by_id(report))


def test_checks_run_in_their_order_whatever_the_order_asked_for(world: World) -> None:
    ids = ["nat-behavior", "rtp-range", "port-forwarding"]
    report = world.run(Edge(Nat()), checks=tuple(ids))
    assert world.told.started == ["port-forwarding", "rtp-range", "nat-behavior"]
    assert [result.id for result in report.checks] == world.told.started
    assert report.settings["checks"] == world.told.started


def test_only_those_asked_for(world: World) -> None:
    report = world.run(Edge(Nat()), checks=("port-preservation",))
    assert set(by_id(report)) == {"port-preservation"} == set(world.told.started)


def test_whoever_waits_at_the_gate_lets_the_next_go_first(world: World) -> None:
    steps: list[str] = []

    async def contacts(net: Network, profile: Profile) -> Observation:
        steps.append("first begins")
        await net.may_contact_alternate()
        steps.append("first contacts")
        return Observation()

    async def listens(net: Network, profile: Profile) -> Observation:
        steps.append("second begins")
        await net.sleep(5)
        steps.append("second ends")
        return Observation()

    profile = world.have(check("first", contacts), check("second", listens), check("third", contacts))
    report = world.run(Edge(Nat()), profile=profile)
    assert steps == ["first begins", "second begins", "second ends", "first begins", "first contacts", "first contacts"]
    assert report.verdict is Verdict.PASS
    assert world.memory.contacted(ALTERNATE) is not None


def test_nobody_waits_for_a_check_that_takes_minutes(world: World) -> None:
    """It runs last, and the gate opens before it."""
    steps: list[str] = []

    async def contacts(net: Network, profile: Profile) -> Observation:
        await net.may_contact_alternate()
        steps.append("contacts")
        return Observation()

    async def long(net: Network, profile: Profile) -> Observation:
        await net.sleep(300)
        steps.append("is through")
        return Observation()

    profile = world.have(check("first", contacts), check("long", long, lengthy=True))
    assert world.run(Edge(Nat()), profile=profile).verdict is Verdict.PASS
    assert steps == ["contacts", "is through"]


# ---- checks made for the test


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


# ---- not tried


def test_what_the_server_cannot_do_is_skipped_with_the_reason(world: World) -> None:
    profile = world.have(check("one", passes, needs=frozenset({"dial", "sip-tls"})), check("two", passes))
    report = world.run(Edge(Nat()), profile=profile)
    assert (report.verdict, by_id(report)["one"].verdict) == (Verdict.PASS, Verdict.SKIPPED)
    assert "the server offers no sip-tls" in by_id(report)["one"].findings[0].summary
    assert world.told.started == ["two"]


def test_a_server_with_one_address(world: World) -> None:
    report = world.run(Edge(Nat(), alternate=False))
    assert any("one address only" in note for note in report.notes)
    assert report.server is not None
    assert report.server.alternate is None
    assert all(finding.verdict is not Verdict.FAIL for result in report.checks for finding in result.findings)
    assert any("address" in finding.summary for result in report.checks for finding in result.findings if finding.verdict is Verdict.SKIPPED)


def test_what_the_profile_does_not_ask_is_skipped_with_the_reason(world: World) -> None:
    report = world.run(Edge(Nat()), profile=msgspec.structs.replace(PROFILE, rtp=None), checks=("rtp-range", "nat-behavior"))
    assert by_id(report)["rtp-range"].summary == "not tested: the profile names no RTP range"
    assert by_id(report)["nat-behavior"].verdict is not Verdict.SKIPPED


def test_nothing_tried_at_all_is_not_fine(world: World) -> None:
    profile = world.have(check("one", passes, needs=frozenset({"miracles"})))
    report = world.run(Edge(Nat()), profile=profile)
    assert report.verdict is Verdict.SKIPPED


# ---- bounds and interruptions


def cut_short(report: Report, why: str) -> None:
    """What was done stands, what was begun is undecided, what was not begun is skipped."""
    results = by_id(report)
    assert [results[id].verdict for id in ("done", "begun", "not begun")] == [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.SKIPPED]
    assert results["done"].observation is not None
    assert why in results["begun"].summary
    assert why in results["not begun"].summary
    assert [note for note in report.notes if why in note and "Not finished" in note]
    assert report.verdict is Verdict.INCONCLUSIVE


def test_the_time_allowed_keeps_what_is_known(world: World) -> None:
    profile = world.have(check("done", passes), check("begun", endless), check("not begun", passes))
    report = world.run(Edge(Nat()), profile=profile, timeout=7.5)
    cut_short(report, "the time allowed (7.5 s) was over")
    assert world.session is not None
    assert world.session.closed
    assert world.told.counts == [("begun", 1, 2)]


def test_the_time_allowed_holds_for_those_who_wait_at_the_gate_too(world: World) -> None:
    async def contacts(net: Network, profile: Profile) -> Observation:
        await net.may_contact_alternate()
        raise AssertionError("the gate must not open while somebody needs the address uncontacted")

    profile = world.have(check("one", contacts), check("two", endless))
    report = world.run(Edge(Nat()), profile=profile, timeout=3.0)
    assert {result.verdict for result in report.checks} == {Verdict.INCONCLUSIVE}


def test_a_failure_found_in_time_stays_a_failure(world: World) -> None:
    profile = world.have(check("one", passes, Verdict.FAIL), check("two", endless))
    assert world.run(Edge(Nat()), profile=profile, timeout=3.0).verdict is Verdict.FAIL


def test_the_time_allowed_covers_the_way_to_the_server(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Opening:
        @staticmethod
        async def open(*_: object) -> Session:
            await asyncio.Event().wait()
            raise AssertionError

    async def work() -> tuple[Report, float]:
        monkeypatch.setattr(runner, "ControlSession", Opening)
        return await runner.run(world.settings(timeout=2.0), world.told), asyncio.get_running_loop().time()

    report, took = clock.run(work())
    assert took == pytest.approx(2.0)
    assert kept(report).verdict is Verdict.INCONCLUSIVE
    assert any("the time allowed (2 s) was over" in note for note in report.notes)


def test_an_interruption_ends_with_a_report(world: World) -> None:
    profile = world.have(check("done", passes), check("begun", endless), check("not begun", passes))

    async def work() -> Report:
        world.meet(Edge(Nat()))
        task = asyncio.create_task(runner.run(world.settings(profile=profile), world.told))
        asyncio.get_running_loop().call_later(5, task.cancel)
        report = await task
        assert not task.cancelled()
        await asyncio.sleep(1)
        return report

    cut_short(kept(clock.run(work())), "interrupted")
    assert world.session is not None
    assert world.session.closed


def test_an_interruption_before_there_is_a_session(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Opening:
        @staticmethod
        async def open(*_: object) -> Session:
            await asyncio.Event().wait()
            raise AssertionError

    async def work() -> Report:
        monkeypatch.setattr(runner, "ControlSession", Opening)
        task = asyncio.create_task(runner.run(world.settings(), world.told))
        asyncio.get_running_loop().call_later(1, task.cancel)
        return await task

    report = kept(clock.run(work()))
    assert {result.verdict for result in report.checks} == {Verdict.SKIPPED}
    assert report.verdict is Verdict.INCONCLUSIVE
    assert any("interrupted" in note for note in report.notes)


# ---- faults, ours and others'


def test_a_check_that_raises_is_a_fault_of_ours_and_the_others_go_on(world: World) -> None:
    async def breaks(net: Network, profile: Profile) -> Observation:
        raise KeyError("a bug")

    profile = world.have(check("one", breaks), check("two", passes))
    report = world.run(Edge(Nat()), profile=profile)
    broken = by_id(report)["one"]
    assert (report.verdict, broken.verdict, by_id(report)["two"].verdict) == (Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, Verdict.PASS)
    assert broken.fault is not None
    assert "KeyError: 'a bug'" in broken.fault
    assert "Traceback" in broken.fault
    assert "edgecheck itself failed" in broken.findings[0].summary
    assert "says nothing about the network" in broken.findings[0].summary
    assert "Traceback" not in text.render(report)


def test_a_judge_that_raises_keeps_the_observation_to_be_judged_anew(world: World) -> None:
    def breaks(seen: Observation, profile: Profile) -> tuple[Finding, ...]:
        raise ZeroDivisionError("a bug")

    profile = world.have(check("one", passes, judge=breaks))
    report = world.run(Edge(Nat()), profile=profile)
    assert by_id(report)["one"].fault is not None
    assert by_id(report)["one"].observation == {}
    world.have(check("one", passes))  # the bug is fixed
    again = course.rejudge(report)
    assert (again.verdict, by_id(again)["one"].fault) == (Verdict.PASS, None)


@pytest.mark.parametrize(
    "error",
    [ControlLost("The server was lost in mid-run: it went."), RequestDeclined("limit", "The server declined: too many."), LocalFailure("no-route", "Could not send to 192.0.2.1:9: no route to it from here.")],
)
def test_what_a_check_could_not_do_is_undecided_with_the_reason(error: Exception, world: World) -> None:
    async def cannot(net: Network, profile: Profile) -> Observation:
        raise error

    profile = world.have(check("one", cannot), check("two", passes))
    report = world.run(Edge(Nat()), profile=profile)
    result = by_id(report)["one"]
    assert (result.verdict, result.fault, by_id(report)["two"].verdict) == (Verdict.INCONCLUSIVE, None, Verdict.PASS)
    assert str(error)[1:].rstrip(".") in result.summary


def test_a_fault_before_any_check_still_ends_with_a_report(world: World) -> None:
    report = world.run(ValueError("a bug"))
    control_check, *others = report.checks
    assert [finding.id for finding in control_check.findings] == ["control.fault"]
    assert "ValueError: a bug" in (control_check.fault or "")
    assert report.verdict is Verdict.INCONCLUSIVE
    assert {result.verdict for result in others} == {Verdict.SKIPPED}


@pytest.mark.parametrize(("error", "cause"), [(TokenRefused("Not this token."), "refused"), (NotOurServer("A portal."), "unreachable")])
def test_no_session(error: Exception, cause: str, world: World) -> None:
    """What is known of this machine, and of the way to a server that gave no session, is told all the same."""
    profile = msgspec.structs.replace(PROFILE, checks=(*ORDINARY, "outbound", "host"))
    report = world.run(error, profile=profile)
    control_check, *others = report.checks
    assert [finding.id for finding in control_check.findings] == [f"control.{cause}"]
    assert (report.verdict, report.headline, report.server) == (Verdict.INCONCLUSIVE, str(error), None)
    assert [result.id for result in others] == [each.id for each in world.settings(profile=profile).plan()]
    alone = {"host"} | ({"outbound"} if cause == "unreachable" else set())  # whoever refuses the token has been reached
    assert {result.id for result in others if result.verdict is not Verdict.SKIPPED} == alone
    assert all((result.observation is None) == (result.verdict is Verdict.SKIPPED) for result in others)


def test_a_target_that_is_the_alternate_address_is_not_used(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be contacted by the control channel itself, and every port would look forwarded or filtered wrongly."""
    monkeypatch.setattr(Session, "peer_host", ALTERNATE)
    report = world.run(Edge(Nat()))
    assert [finding.id for finding in report.checks[0].findings] == ["control.unreachable"]
    assert f"run again with {PRIMARY}" in report.headline
    assert not world.told.started
    assert world.session is not None
    assert world.session.closed


def test_an_intercepted_channel_is_a_failure_of_its_own_and_the_checks_go_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "intercepted", True)
    monkeypatch.setattr(Session, "issuer", "Corp Proxy CA")
    report = world.run(Edge(Nat(**EIGHT["none"])))
    found = by_id(report)["control"].findings
    assert [(finding.id, finding.verdict) for finding in found] == [("control.intercepted", Verdict.FAIL)]
    assert 'issuer: "Corp Proxy CA"' in found[0].summary
    assert world.told.notices == [found[0].summary]
    assert report.verdict is Verdict.FAIL
    assert by_id(report)["nat-behavior"].verdict is Verdict.PASS


class Proxied(Edge):
    """The control channel comes from a box far away, at another address than everything else."""

    def __init__(self, nat: Nat) -> None:
        super().__init__(nat)
        hello, nonce = self.server.greet(), "22" * control.NONCE_SIZE
        proof = control.proof(FAKE_TOKEN, "client", hello.nonce, nonce, "11" * 32)
        said = control.Authenticate(protocol=control.PROTOCOL, version="test", nonce=nonce, certificate="11" * 32, proof=proof)
        admitted = self.server.admit(hello, said, Endpoint(BOX, 50_000), 0.0)
        assert not isinstance(admitted, control.Refused)
        self.session, self.welcome = admitted
        assert self.welcome.intercepted


BOX = "192.0.2.200"


@pytest.mark.parametrize("name", EIGHT)
def test_a_box_far_away_changes_no_verdict(name: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cloud proxies open TLS: what their address lets in says nothing of this edge, so the probes go to the address that UDP shows."""
    rules = {("udp", 5060): 5060, ("tcp", 5060): 5060}
    truth = by_id(world.run(Edge(Nat(**EIGHT[name], forwarded=dict(rules)))))
    world.memory = SharedMemory()
    monkeypatch.setattr(Session, "intercepted", True)
    monkeypatch.setattr(Session, "observed", BOX)
    seen = by_id(world.run(Proxied(Nat(**EIGHT[name], forwarded=dict(rules)))))
    assert seen.pop("control").verdict is Verdict.FAIL
    assert {id: result.verdict for id, result in seen.items()} == {id: result.verdict for id, result in truth.items()}
    assert seen["port-forwarding"].observation is not None
    assert seen["port-forwarding"].observation["probed_address"] != BOX


def test_a_box_far_away_and_no_udp_sends_nothing_unasked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nobody knows where this network is: the box's address must not be probed in its stead."""
    monkeypatch.setattr(Session, "intercepted", True)
    monkeypatch.setattr(Session, "observed", BOX)

    class Both(Watched, Proxied):
        pass

    edge = Both(Nat(blocks_udp=True))
    report = world.run(edge)
    assert not edge.unsolicited
    assert by_id(report)["port-forwarding"].verdict is Verdict.SKIPPED
    assert by_id(report)["nat-behavior"].verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE)
    assert any("public address is not known" in note for note in report.notes)


# ---- the server goes


class Dying(Edge):
    """The server's process is killed at a moment: nothing answers any more, and the control channel is lost."""

    def __init__(self, nat: Nat, at: float) -> None:
        super().__init__(nat)
        self._death = at

    def _dead(self) -> bool:
        if asyncio.get_running_loop().time() >= self._death:
            self.lost = "the server closed the control channel"
        return self.lost is not None

    def _at_server(self, seen: Endpoint, data: bytes, to: Endpoint) -> None:
        if not self._dead():
            super()._at_server(seen, data, to)

    def _carry_out(self, outbound: Any) -> None:
        if not self._dead():
            super()._carry_out(outbound)

    async def ask(self, make: Callable[[int], control.Request], timeout: float = 30.0) -> control.Reply:
        self._dead()
        reply = await super().ask(make, timeout)
        if self._dead():
            raise ControlLost(f"The server was lost in mid-run: {self.lost}.")
        return reply


TOLD = (Verdict.PASS, Verdict.WARN, Verdict.FAIL)


@pytest.mark.parametrize("name", ["none", "full cone", "port restricted cone", "symmetric"])
def test_a_server_that_is_killed_at_any_moment_makes_no_verdict_wrong(name: str, world: World) -> None:
    """At every moment of the run: what was measured before stands, nothing is said that the whole run would not have said."""
    truth = world.run(Edge(Nat(**EIGHT[name])))
    said = {(result.id, finding.id, finding.verdict) for result in truth.checks for finding in result.findings if finding.verdict in TOLD}
    length, steps, partial = world.took, 24, 0
    for step in range(steps):
        moment = length * (step + 0.5) / steps
        world.memory = SharedMemory()
        report = world.run(Dying(Nat(**EIGHT[name]), moment))
        for result in report.checks:
            if result.id == "control":
                continue
            for finding in result.findings:
                if finding.verdict in TOLD:
                    assert (result.id, finding.id, finding.verdict) in said, (moment, finding)
            assert result.fault is None, (moment, result.fault)
        results = by_id(report)
        lost = "control" in results
        partial += lost and any(result.verdict in TOLD for result in report.checks)
        if lost:
            assert [finding.id for finding in results["control"].findings] == ["control.lost"]
            summary = results["control"].findings[0].summary
            assert "echo.example.net:8443" in summary
            assert "lost in mid-run" in summary
            assert "run again" in summary
            assert report.verdict in (Verdict.INCONCLUSIVE, Verdict.FAIL)
    assert partial, "of some run a part was measured and is reported"


# ---- reports read back


@pytest.mark.parametrize("name", EIGHT)
def test_a_saved_report_judged_anew_says_the_same(name: str, world: World) -> None:
    """``kept`` compares the whole reports; here they come from rough weather, and from ports with and without rules."""
    for seed in range(3):
        nat = Nat(**EIGHT[name], seed=seed, forwarded={("udp", 5060): 5060} if seed else {})
        world.memory = SharedMemory()
        report = world.run(Edge(nat, Weather(loss=0.15 * seed, seed=seed)))
        again = course.rejudge(json.read(json.render(report)))
        for before, after in zip(as_written(report)["checks"], as_written(again)["checks"], strict=True):
            assert before == after


def test_judging_anew_twice_adds_nothing(world: World) -> None:
    report = world.run(Edge(Nat()))
    once = course.rejudge(report)
    assert as_written(course.rejudge(once)) == as_written(once) == as_written(report)


# ---- settings


def test_settings_never_tell_the_token() -> None:
    for target in (Target("echo.example.net", 8443, TOKEN), Target("2001:db8::1", 8443, TOKEN)):
        settings = runner.Settings(target=target, profile=PROFILE, source="192.0.2.7", family=4, pace=0, timeout=3.0)
        told = settings.told()
        assert TOKEN not in repr(told) + repr(settings) + msgspec.json.encode(told).decode()
        assert told["target"] == target.authority
        assert msgspec.convert(told["profile"], Profile) == PROFILE
        assert (told["source"], told["family"], told["pace"], told["timeout"]) == ("192.0.2.7", 4, 0, 3.0)


@pytest.mark.parametrize(("pace", "rate"), [(None, runner.DEFAULT_PACE), (0, 0), (50, 50)])
def test_pace(pace: int | None, rate: int) -> None:
    settings = runner.Settings(target=Target("h"), profile=PROFILE, pace=pace)
    assert (settings.rate(), settings.told()["pace"]) == (rate, rate)


def test_a_run_takes_no_longer_than_it_says(world: World) -> None:
    began = time.monotonic()
    report = world.run(Edge(Nat()), checks=("nat-behavior",))
    assert 0 <= report.duration_s <= time.monotonic() - began + 0.001
    assert report.started_at.endswith("Z")
