"""``port-forwarding`` where the port arrives and the program that has it open does not listen where it arrives: who, where, and what looks like it."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from edgecheck.checks import port_forwarding
from edgecheck.checks.port_forwarding import PortRow
from edgecheck.model.machine import Holder
from edgecheck.model.profile import Expectation
from edgecheck.model.verdict import Verdict
from tests.checks.probing import PROFILE, SIP, UDP_ONLY, look, say, states
from tests.fakes.edge import Edge, Weather
from tests.fakes.nat import CLIENT, Nat
from tests.fakes.services import Service

KEYS = tuple(SIP)
LOOPBACK = Holder(address="127.0.0.1", program="asterisk (pid 812)")


def edge(
    *holders: Holder,
    at: tuple[tuple[str, int], ...] = KEYS,
    quotes: bool = True,
    forwarded: Any = SIP,
    weather: Weather | None = None,
    change: Callable[[Edge], None] = lambda edge: None,
) -> Callable[[], Edge]:
    """The rules are right; these programs have the ports open on other addresses of the machine."""

    def make() -> Edge:
        made = Edge(Nat(forwarded=dict(forwarded)), weather)
        made.sees_quotes = quotes
        made.computer.holders = dict.fromkeys(at, holders)
        change(made)
        return made

    return make


def rows(seen: Any) -> dict[tuple[str, int], PortRow]:
    return {(row.transport, row.port): row for row in seen.ports}


def causes(seen: Any) -> dict[str, tuple[str, Verdict]]:
    return {one.subject: (one.id.partition(".")[2], one.verdict) for one in say(port_forwarding.CHECK, seen).findings}


PASS = {"UDP 5060": ("forwarded", Verdict.PASS), "TCP 5060-5061": ("forwarded", Verdict.PASS)}
UNHEARD = {"UDP 5060": ("listens-elsewhere", Verdict.WARN), "TCP 5060-5061": ("listens-elsewhere", Verdict.WARN)}


# ---- it is so


@pytest.mark.parametrize("address", ["127.0.0.1", "10.8.0.2", "192.168.1.200", "::", "::1", "2001:db8::5"])
def test_a_pbx_that_listens_elsewhere_does_not_hear_what_is_forwarded(address: str) -> None:
    """``::`` that left the IPv4 port free hears no IPv4 (IPV6_V6ONLY): nobody answered this machine itself there."""
    seen = look(port_forwarding, edge(Holder(address=address, program="asterisk (pid 812)")))
    assert set(states(seen).values()) == {"forwarded"}, "of the network it is true"
    assert causes(seen) == UNHEARD
    for row in seen.ports:
        assert [(one.address, one.program) for one in row.listens_elsewhere] == [(address, "asterisk (pid 812)")]
        assert row.unheard is True
    said = say(port_forwarding.CHECK, seen)
    assert said.verdict is Verdict.WARN
    for finding in said.findings:
        assert "arrives at this machine" in finding.summary
        assert "asterisk (pid 812)" in finding.summary
        assert CLIENT in finding.summary
        assert address in finding.summary


def test_the_words_say_what_was_seen_and_no_more() -> None:
    said = say(port_forwarding.CHECK, look(port_forwarding, edge(LOOPBACK), UDP_ONLY), UDP_ONLY)
    (finding,) = said.findings
    assert finding.summary == (
        "UDP 5060 (SIP) arrives at this machine, but nobody listens at 192.168.88.2, where it comes: asterisk (pid 812) has the port open on "
        "127.0.0.1 alone, which nothing from outside this machine reaches."
    )
    assert said.summary == "UDP 5060 arrives, where nobody listens"
    assert finding.observed == "forwarded, unheard"
    told = " / ".join(finding.evidence)
    assert "UDP 5060: this machine's table of sockets has asterisk (pid 812) on 127.0.0.1 and nobody on 192.168.88.2" in told
    assert "UDP 5060: asked by this machine itself at 192.168.88.2 after the test, it is refused: nobody listens there" in told
    assert "9 arrived" in told


def test_several_programs_are_all_named() -> None:
    two = (LOOPBACK, Holder(address="10.8.0.2", program="kamailio (pid 9)"))
    (finding,) = say(port_forwarding.CHECK, look(port_forwarding, edge(*two), UDP_ONLY), UDP_ONLY).findings
    assert "asterisk (pid 812) has the port open on 127.0.0.1 alone" in finding.summary
    assert "kamailio (pid 9) has the port open on 10.8.0.2 alone" in finding.summary


def test_one_transport_of_two() -> None:
    seen = look(port_forwarding, edge(LOOPBACK, at=(("udp", 5060),)))
    assert causes(seen) == {**PASS, "UDP 5060": ("listens-elsewhere", Verdict.WARN)}
    assert say(port_forwarding.CHECK, seen).summary == "TCP 5060, TCP 5061 arrive; UDP 5060 arrives, where nobody listens"


@pytest.mark.parametrize("seed", range(6))
def test_loss_makes_no_other_finding_of_it(seed: int) -> None:
    seen = look(port_forwarding, edge(LOOPBACK, weather=Weather(loss=0.25, seed=seed)))
    assert {cause for cause, _ in causes(seen).values()} <= {"listens-elsewhere", "undecided"}


def test_without_icmp_errors_an_address_of_its_own_is_enough() -> None:
    """macOS and Windows show no refusal of a datagram: the table alone tells, where it leaves no doubt."""
    seen = look(port_forwarding, edge(LOOPBACK, quotes=False))
    assert causes(seen) == UNHEARD
    assert (rows(seen)["udp", 5060].unheard, rows(seen)["tcp", 5060].unheard) == (None, True)


# ---- it only looks so


def test_a_free_port_is_what_it_ever_was() -> None:
    """Before the PBX is installed: nothing is said of who listens, and nothing is sent to anybody here."""

    class Alone(Edge):
        def _connect_here(self, *given: Any) -> Any:
            raise AssertionError("there is nobody to ask")

    seen = look(port_forwarding, lambda: Alone(Nat(forwarded=dict(SIP))))
    assert causes(seen) == PASS
    assert {(row.listens_elsewhere, row.unheard) for row in seen.ports} == {((), None)}


@pytest.mark.parametrize("address", ["0.0.0.0", CLIENT])
def test_who_listens_there_hears_it(address: str) -> None:
    """Where a system lends a port that is held (Windows, and BSD over TCP): the holder hears it as soon as the test is over."""
    assert causes(look(port_forwarding, edge(Holder(address=address, program="asterisk (pid 812)")))) == PASS
    both = look(port_forwarding, edge(LOOPBACK, Holder(address=address, program="kamailio (pid 9)")))
    assert causes(both) == PASS


def test_a_dual_stack_socket_hears_ipv4() -> None:
    """``::`` is in the table either way; that this machine's own question is answered, or only that no refusal is seen, tells."""

    def answers(edge: Edge) -> None:
        edge.computer.services = {key: Service() for key in KEYS}
        edge.lent |= set(KEYS)

    dual = Holder(address="::", program="asterisk (pid 812)")
    assert causes(look(port_forwarding, edge(dual, change=answers))) == PASS
    udp = look(port_forwarding, edge(dual, quotes=False), UDP_ONLY)
    assert causes(udp) == {"UDP 5060": ("forwarded", Verdict.PASS)}
    assert (udp.ports[0].listens_elsewhere, udp.ports[0].unheard) == ((), None)


@pytest.mark.parametrize("forwarded", [{}, {("tcp", 5060): 5060}])
def test_nobody_is_accused_of_what_does_not_arrive(forwarded: dict[tuple[str, int], int]) -> None:
    seen = look(port_forwarding, edge(LOOPBACK, forwarded=forwarded))
    unheard = {subject for subject, (cause, _) in causes(seen).items() if cause == "listens-elsewhere"}
    assert unheard == ({"TCP 5060"} if forwarded else set())
    for key, row in rows(seen).items():
        assert bool(row.listens_elsewhere) is (key in forwarded)


def test_what_proves_no_rule_accuses_nobody() -> None:
    """An arrival that a loose filter explains is undecided, and so is who would have heard it."""
    seen = look(port_forwarding, lambda: _loose(edge(LOOPBACK)()), UDP_ONLY)
    assert states(seen) == {("udp", 5060): "undecided"}
    assert {cause for cause, _ in causes(seen).values()} == {"undecided"}


def _loose(made: Edge) -> Edge:
    made.nat.filtering = "endpoint-independent"
    return made


def test_a_port_in_use_is_asked_as_ever() -> None:
    def held(edge: Edge) -> None:
        edge.taken |= set(KEYS)
        edge.computer.services = {key: Service(certificate=b"c" if key[1] == 5061 else None) for key in KEYS}
        edge.computer.sees_packets = edge.computer.has_counters = True

    seen = look(port_forwarding, edge(LOOPBACK, Holder(address=CLIENT, program="kamailio (pid 9)"), change=held))
    assert {cause for cause, _ in causes(seen).values()} == {"answered"}
    assert not any(row.listens_elsewhere for row in seen.ports)


def test_against_a_server_on_this_machine_nothing_is_said_of_a_pbx() -> None:
    """``edgecheck run`` without a server checks loopback alone: a PBX on the LAN's address is right."""

    def alone(edge: Edge) -> None:
        edge.source = "127.0.0.1"

    seen = look(port_forwarding, edge(Holder(address=CLIENT, program="asterisk (pid 812)"), change=alone))
    assert {cause for cause, _ in causes(seen).values()} == {"forwarded"}


# ---- what the profile makes of it


@pytest.mark.parametrize(("expects", "verdict"), [("fail", Verdict.WARN), ("warn", Verdict.WARN), ("ignore", Verdict.PASS)])
def test_it_warns_where_the_profile_wants_the_port(expects: Any, verdict: Verdict) -> None:
    profile = msgspec.structs.replace(PROFILE, expect=Expectation(forwarding=expects))
    seen = look(port_forwarding, edge(LOOPBACK), profile)
    said = say(port_forwarding.CHECK, seen, profile)
    assert said.verdict is verdict
    assert set(said.ids) == {"forwarded" if verdict is Verdict.PASS else "listens-elsewhere"}
    again = say(port_forwarding.CHECK, look(port_forwarding, edge(LOOPBACK)), profile)
    assert again.verdict is verdict
    assert ("nobody listens" in again.summary) is (verdict is Verdict.WARN)
