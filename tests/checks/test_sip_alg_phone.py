"""The phone that has registered: what the server's own requests meet, and what SIP opens. The real client code and the real server's core."""

import pytest

from edgecheck.checks.sip_alg import CHECK
from edgecheck.checks.sip_alg.observation import SipAlgObservation
from edgecheck.model.verdict import Verdict
from tests.checks import sip_alg_paths
from tests.checks.sip_alg_paths import PROFILE, Run
from tests.fakes import clock
from tests.fakes.edge import Weather
from tests.fakes.nat import EIGHT, Nat
from tests.fakes.sip_path import CAPABILITIES, Deed, Reader, SipPath, does
from tests.lab import alg
from tests.lab.alg import Fate

ABLE = (*CAPABILITIES, "sip-calls")


def go(reader: Reader | None = None, weather: Weather | None = None, nat: Nat | None = None) -> Run:
    return sip_alg_paths.go(SipPath(reader, weather, nat, capabilities=ABLE))


def through(deed: Deed) -> Run:
    return go(Reader(deed=deed))


def inward(method: str, fate: Fate | None = None) -> Deed:
    """Acts on this request of the server's alone."""

    def deed(direction: str, data: bytes, edge: alg.Edge) -> Fate:
        hit = direction == "in" and alg.is_sip(data) and alg.method(data) == method
        return (fate or Fate()) if hit else Fate((data,))

    return deed


# --- incoming requests


@pytest.mark.parametrize("name", EIGHT)
def test_no_nat_stands_in_the_way_of_calls_and_none_is_an_alg(name: str) -> None:
    run = go(nat=Nat(**EIGHT[name]))  # type: ignore[arg-type]
    assert run.seen.interference == "none"
    assert run.verdict is Verdict.PASS
    assert {(row.request, row.response) for row in run.seen.incoming} == {("unchanged", "unchanged")}
    assert len(run.seen.incoming) == 4
    assert not any(hole.opened for hole in run.seen.pinholes)


def test_the_server_that_makes_no_calls_is_not_asked_for_any() -> None:
    async def work() -> SipAlgObservation:
        return await CHECK.probe(SipPath().network(), PROFILE)  # type: ignore[no-any-return]

    seen = clock.run(work())
    assert (seen.incoming, seen.pinholes) == ((), ())
    assert seen.incoming_reason == "the server makes no calls of its own"


def test_addresses_turned_back_in_what_comes_in_are_told() -> None:
    """A2"""
    run = through(does("A2"))
    row = run.incoming("INVITE")
    assert {(change.direction, change.where) for change in row.changes} == {("request", "Request-URI"), ("request", "To")}
    assert run.seen.interference == "rewriting"
    assert run.causes("UDP 5060") == {"sip-alg.rewritten"}
    assert "in incoming requests" in next(finding.summary for finding in run.findings if finding.subject == "UDP 5060")
    assert run.incoming("INVITE", 5080).changes == ()
    assert "sip-alg.none" in run.causes("UDP 5080")


def test_bodies_touched_in_what_comes_in_are_told() -> None:
    """A9: the session's name holds the phone's public address."""
    assert {change.where for change in through(does("A9")).incoming("INVITE").changes} == {"sdp s=", "Content-Length"}


def test_calls_dropped_on_their_way_in_rest_on_the_probes_beside_them() -> None:
    """A8"""
    run = through(does("A8"))
    assert {run.incoming(name).request for name in ("OPTIONS", "INVITE")} == {"lost"}
    assert run.seen.interference == "destructive"
    (finding,) = [finding for finding in run.findings if finding.id == "sip-alg.destroyed"]
    assert "calls do not come in" in finding.summary
    assert "38 of 38 non-SIP datagrams of the same size" in run.incoming("INVITE").reason


def test_one_method_dropped() -> None:
    run = through(inward("INVITE"))
    assert (run.incoming("INVITE").request, run.incoming("OPTIONS").request) == ("lost", "unchanged")


def test_an_answer_of_the_phones_that_is_dropped() -> None:
    def deed(direction: str, data: bytes, edge: alg.Edge) -> Fate:
        return Fate() if direction == "out" and data.startswith(b"SIP/2.0 486") else Fate((data,))

    run = through(deed)
    row = run.incoming("INVITE")
    assert (row.request, row.response) == ("unchanged", "lost")
    assert "callers hear nothing" in next(finding.summary for finding in run.findings if finding.subject == "UDP 5060")


def test_a_call_delivered_to_another_port_of_this_machine() -> None:
    """A8: to the media port of the same phone, which this end listens at."""
    media: dict[int, int] = {}

    def deed(direction: str, data: bytes, edge: alg.Edge) -> Fate:
        name = alg.method(data) if alg.is_sip(data) else ""
        if direction == "out" and name == "INVITE":
            media[edge.private_port] = alg.media_port(data)
        return Fate((data,), private_port=media[edge.private_port] if direction == "in" and name == "OPTIONS" else None)

    run = through(deed)
    row = run.incoming("OPTIONS")
    assert [change.where for change in row.changes] == ["destination port"]
    assert row.interference == run.seen.interference == "inconsistent"
    assert "the phone does not hear it" in row.harms[0].text


def test_a_call_with_another_branch_and_call_id_is_inconsistent() -> None:
    def deed(direction: str, data: bytes, edge: alg.Edge) -> Fate:
        if direction == "in" and alg.is_sip(data) and alg.method(data) == "INVITE":
            return Fate((alg.edit(data, "Call-ID", lambda text: b"Call-ID: other@edge\r\n"),))
        return Fate((data,))

    run = through(deed)
    assert run.incoming("INVITE").interference == "inconsistent"


def test_nothing_is_said_of_calls_when_nothing_comes_in_at_all() -> None:
    """Everything from the server but answers is dropped: the probes beside the calls too, so no ALG is blamed."""

    def deed(direction: str, data: bytes, edge: alg.Edge) -> Fate:
        unasked = direction == "in" and (alg.method(data) if alg.is_sip(data) else data[4:5] == b"\x03")
        return Fate() if unasked else Fate((data,))

    run = through(deed)
    row = run.incoming("INVITE")
    assert (row.request, row.interference) == ("undecided", None)
    assert run.causes("UDP 5060") == {"sip-alg.undecided"}


# --- pinholes


def test_an_alg_that_opens_ports_and_changes_no_text_is_found() -> None:
    run = go(Reader(deed=lambda direction, data, edge: Fate((data,)), opens=True))
    assert (run.pinhole("REGISTER").opened, run.pinhole("INVITE").opened) == (True, True)
    assert run.seen.interference == "harmless"
    assert run.causes("UDP 5060") == {"sip-alg.pinhole"}
    assert "sip-alg.none" in run.causes("UDP 5080")
    assert (run.pinhole("REGISTER", 5080).opened, run.pinhole("INVITE", 5080).opened) == (False, False)
    (finding,) = [finding for finding in run.findings if finding.id == "sip-alg.pinhole"]
    assert finding.verdict is Verdict.WARN
    assert any("before, from A2" in line and "0 of 12 came in" in line for line in finding.evidence)


@pytest.mark.parametrize("filtering", ["endpoint-independent", "address-dependent"])
def test_where_anybody_gets_in_nothing_can_be_told(filtering: str) -> None:
    nat = Nat(filtering=filtering)  # type: ignore[arg-type]
    run = go(Reader(deed=lambda direction, data, edge: Fate((data,)), opens=True), nat=nat)
    hole = run.pinhole("REGISTER")
    assert (hole.opened, "without SIP as well" in hole.reason) == (None, True)
    assert run.pinhole("INVITE").opened is True, "the media port has no mapping of its own"


def test_a_rule_that_forwards_everything_is_no_pinhole() -> None:
    run = go(nat=Nat(exposed=True))
    assert run.pinhole("INVITE").opened is None
    assert run.verdict is Verdict.PASS


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("loss", [0.1, 0.3, 0.5])
def test_loss_neither_opens_a_port_nor_drops_a_call(loss: float, seed: int) -> None:
    run = go(weather=Weather(loss=loss, seed=seed))
    assert not any(hole.opened for hole in run.seen.pinholes)
    assert {row.request for row in run.seen.incoming} <= {"unchanged", "undecided"}
    assert run.seen.interference in ("none", None)
    assert run.verdict in (Verdict.PASS, Verdict.INCONCLUSIVE)


def test_a_clean_path_takes_about_a_second() -> None:
    assert go(weather=Weather(delay=0.025)).seconds < 1.5
