"""The phone that has registered over TCP: what the server's own requests meet on its connection, and what its call opens."""

import pytest

from edgecheck.checks.sip_alg import CHECK
from edgecheck.checks.sip_alg.observation import Pinhole, SipAlgObservation, SipProbe
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Finding, Verdict, worst
from tests.fakes import clock
from tests.fakes.edge import Weather
from tests.fakes.nat import Nat
from tests.fakes.sip_path import CAPABILITIES, Deed, Reader, SipPath, does
from tests.lab import alg
from tests.lab.alg import Fate

PROFILE = Profile(name="test", title="", source="", confidence="verified", checks=())
ABLE = (*CAPABILITIES, "sip-calls", "sip-calls-tcp", "dial")


class Run:
    """What came of one run."""

    def __init__(self, seen: SipAlgObservation) -> None:
        self.seen = seen
        self.findings: tuple[Finding, ...] = CHECK.judge(seen, PROFILE)

    def causes(self, subject: str) -> set[str]:
        return {finding.id for finding in self.findings if subject in finding.subject.split(", ")}

    def incoming(self, method: str, port: int = 5060) -> SipProbe:
        (found,) = [
            row for row in self.seen.incoming if (row.transport, row.server_port, row.method) == ("tcp", port, f"incoming {method}")
        ]
        return found

    def pinhole(self, port: int = 5060, opened_by: str = "INVITE") -> Pinhole:
        (found,) = [row for row in self.seen.pinholes if (row.transport, row.server_port, row.opened_by) == ("tcp", port, opened_by)]
        return found


def go(deed: Deed | None = None, weather: Weather | None = None, nat: Nat | None = None, *, opens: bool = False) -> Run:
    async def work() -> SipAlgObservation:
        reader = Reader(deed=deed, transports=frozenset({"tcp"}), opens=opens) if deed else None
        return await CHECK.probe(SipPath(reader, weather, nat, capabilities=ABLE).network(), PROFILE)

    return Run(clock.run(work()))


def nothing(direction: str, data: bytes, edge: alg.Edge) -> Fate:
    """An ALG that changes no text."""
    return Fate((data,))


def test_calls_come_in_over_the_phones_own_connection() -> None:
    run = go()
    for port in (5060, 5080):
        for method in ("OPTIONS", "INVITE"):
            row = run.incoming(method, port)
            assert (row.request, row.response, row.changes, row.interference) == ("unchanged", "unchanged", (), "none")
            assert [(one.copies_sent, one.copies_arrived, one.answers_arrived) for one in row.messages] == [(1, 1, 1)]
    assert {run.pinhole(port, by).opened for port in (5060, 5080) for by in ("INVITE", "REGISTER")} == {False}
    assert run.seen.interference == "none"


def test_a_server_that_cannot_is_not_asked() -> None:
    async def work() -> SipAlgObservation:
        return await CHECK.probe(SipPath(capabilities=(*CAPABILITIES, "sip-calls", "dial")).network(), PROFILE)

    assert {row.transport for row in clock.run(work()).incoming} == {"udp"}


def test_addresses_turned_back_on_the_connection_are_told() -> None:
    """A2"""
    run = go(does("A2"))
    changes = {(change.direction, change.where) for change in run.incoming("INVITE").changes}
    assert changes == {("request", "Request-URI"), ("request", "To")}
    assert run.causes("TCP 5060") == {"sip-alg.rewritten"}
    assert run.incoming("INVITE", 5080).changes == ()
    assert "sip-alg.none" in run.causes("UDP 5060")


def test_an_answer_that_is_rewritten_on_its_way_is_told() -> None:
    def deed(direction: str, data: bytes, edge: alg.Edge) -> Fate:
        hit = direction == "out" and data.startswith(b"SIP/2.0 200")
        return Fate((alg.edit(data, "Contact", lambda text: alg.to_public(text, edge)),) if hit else (data,))

    row = go(deed).incoming("OPTIONS")
    assert (row.request, row.response) == ("unchanged", "rewritten")
    assert {change.where for change in row.changes} == {"Contact"}


def test_calls_dropped_on_the_connection_rest_on_connections_beside_them() -> None:
    """A8"""

    def deed(direction: str, data: bytes, edge: alg.Edge) -> Fate:
        return Fate() if direction == "in" and alg.is_sip(data) and alg.method(data) == "INVITE" else Fate((data,))

    run = go(deed)
    row = run.incoming("INVITE")
    assert (row.request, run.incoming("OPTIONS").request) == ("lost", "unchanged")
    assert "13 of 13 connections with as much of no SIP" in row.reason
    assert "calls do not come in" in next(finding.summary for finding in run.findings if finding.subject == "TCP 5060")


def test_a_call_over_tcp_that_opens_a_port_is_found() -> None:
    run = go(nothing, opens=True)
    assert (run.pinhole().opened, run.pinhole(5080).opened) == (True, False)
    assert run.causes("TCP 5060") == {"sip-alg.pinhole"}
    assert run.seen.interference == "harmless"
    assert {"sip-alg.none"} == run.causes("UDP 5060")


def test_a_registration_over_tcp_that_opens_the_port_of_its_contact_is_found() -> None:
    run = go(nothing, opens=True)
    hole = run.pinhole(opened_by="REGISTER")
    assert hole.opened is True
    assert [(one.when, one.sender, one.arrived) for one in hole.knocks] == [("before", "AX", 0), ("after", "AX", 12), ("beside", "AX", 0)]
    assert run.pinhole(5080, "REGISTER").opened is False


@pytest.mark.parametrize("by", ["INVITE", "REGISTER"])
def test_where_anybody_gets_in_no_port_was_opened_by_sip(by: str) -> None:
    assert go(nothing, nat=Nat(exposed=True), opens=True).pinhole(opened_by=by).opened is None


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("loss", [0.2, 0.5])
def test_loss_neither_opens_a_port_nor_drops_a_call(loss: float, seed: int) -> None:
    run = go(weather=Weather(loss=loss, seed=seed))
    assert not any(hole.opened for hole in run.seen.pinholes)
    assert {row.request for row in run.seen.incoming} <= {"unchanged", "undecided"}
    assert worst([finding.verdict for finding in run.findings]) in (Verdict.PASS, Verdict.INCONCLUSIVE)
