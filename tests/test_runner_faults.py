"""Faults, ours and others': a check that breaks, no server, a box on the way. Whatever happens, a report that tells no lie."""


import msgspec
import pytest

from edgecheck import judging
from edgecheck.model.check import Network, Observation
from edgecheck.model.errors import ControlLost, LocalFailure, NotOurServer, RequestDeclined, TokenRefused
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Finding, Verdict
from edgecheck.report import text
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint
from tests.fakes.edge import ALTERNATE, PRIMARY, Edge
from tests.fakes.edge import TOKEN as FAKE_TOKEN
from tests.fakes.memory import SharedMemory
from tests.fakes.nat import EIGHT, Nat
from tests.fakes.world import ORDINARY, PROFILE, Session, Watched, World, by_id, check, passes


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


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
    again = judging.rejudge(report)
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
