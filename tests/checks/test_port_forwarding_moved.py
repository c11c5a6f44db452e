"""A rule that changes the port: what arrives at another port of this machine than it was sent to is no proof of a right rule."""

from typing import Any

import msgspec
import pytest

from edgecheck.checks import port_forwarding, rtp_range
from edgecheck.checks.port_forwarding import ForwardingObservation
from edgecheck.model.profile import PortNeed
from edgecheck.model.verdict import Verdict
from tests.checks.probing import NEEDS, PROFILE, look, say
from tests.fakes.edge import Edge, Weather
from tests.fakes.nat import Nat

TWO_OVER_UDP = msgspec.structs.replace(
    PROFILE, ports=(NEEDS[0], PortNeed(ports="5080", transport="udp", purpose="SIP, too", protocol="sip"), *NEEDS[1:])
)
RIGHT = {("udp", 5060): 5060, ("udp", 5080): 5080, ("tcp", 5060): 5060, ("tcp", 5061): 5061}
RANGE = (10_000, 10_049)
RTP = msgspec.structs.replace(PROFILE, rtp=RANGE)


def edge(rules: dict[tuple[str, int], int], loss: float = 0.0) -> Edge:
    return Edge(Nat(per_destination_ports=True, forwarded=rules), Weather(loss=loss, seed=3))


def seen(rules: dict[tuple[str, int], int], loss: float = 0.0) -> ForwardingObservation:
    return look(port_forwarding, lambda: edge(rules, loss), TWO_OVER_UDP)  # type: ignore[no-any-return]


def told(observed: ForwardingObservation) -> dict[tuple[str, int], tuple[str, int | None]]:
    return {(row.transport, row.port): (row.state, row.lands_on) for row in observed.ports}


@pytest.mark.parametrize("loss", [0.0, 0.2])
@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({**RIGHT, ("udp", 5080): 5060}, {("udp", 5080): ("blocked", 5060)}),
        ({**RIGHT, ("tcp", 5061): 5060}, {("tcp", 5061): ("blocked", 5060)}),
        # changed for one another
        (
            {**RIGHT, ("tcp", 5060): 5061, ("tcp", 5061): 5060, ("udp", 5060): 5080, ("udp", 5080): 5060},
            {("tcp", 5060): ("blocked", 5061), ("tcp", 5061): ("blocked", 5060), ("udp", 5060): ("blocked", 5080), ("udp", 5080): ("blocked", 5060)},
        ),
    ],
)
def test_what_arrives_at_another_port_is_not_forwarded(rules: Any, expected: Any, loss: float) -> None:
    right = dict.fromkeys(RIGHT, ("forwarded", None))
    assert told(seen(rules, loss)) == {**right, **expected}


def test_a_port_is_not_forwarded_by_what_was_sent_to_another() -> None:
    """5060 itself has no rule; what comes to it was sent to 5080."""
    observed = seen({key: port for key, port in {**RIGHT, ("udp", 5080): 5060}.items() if key != ("udp", 5060)})
    assert told(observed)["udp", 5060] == ("blocked", None)
    assert told(observed)["udp", 5080] == ("blocked", 5060)


def test_it_is_said_where_it_arrives() -> None:
    said = say(port_forwarding.CHECK, seen({**RIGHT, ("tcp", 5061): 5060}), TWO_OVER_UDP)
    finding = said.finding("wrong-port")
    assert (finding.verdict, finding.subject, finding.observed) == (Verdict.FAIL, "TCP 5061", "blocked: wrong-port")
    assert finding.summary == (
        "TCP 5061 (SIP over TLS) arrives at this machine, but at its port 5060: the router's rule changes the port."
    )
    assert any("5061" in line and "arrived at port 5060" in line for line in finding.evidence), finding.evidence
    assert said.summary == "UDP 5060, UDP 5080, TCP 5060 arrive; TCP 5061 arrives at another port"


def test_rtp_that_is_shifted_is_not_open() -> None:
    rules = {("udp", port): port + 1 for port in range(RANGE[0], RANGE[1])}
    observed = look(rtp_range, lambda: edge(rules), RTP)
    assert observed.inbound_open == 0
    assert observed.inbound_blocked == ((RANGE[0], RANGE[1]),)
    assert observed.inbound_moved == ((10_000, 10_048, 10_001),)
    said = say(rtp_range.CHECK, observed, RTP)
    findings = {finding.observed: finding.summary for finding in said.findings if finding.id == "rtp-range.inbound-blocked"}
    assert "10000-10048: wrong-port" in findings, findings
    assert findings["10000-10048: wrong-port"] == (
        "RTP to 10000-10048 arrives at this machine, but at other ports of it (10000 at 10001): the router's rule changes the ports."
    )


    assert said.summary.startswith("10000-10048 arrive at other ports; 10049 never arrives")


def test_rtp_of_which_a_part_is_shifted() -> None:
    rules = {("udp", port): port if port < 10_020 else port - 20 for port in range(RANGE[0], RANGE[1] + 1)}
    observed = look(rtp_range, lambda: edge(rules), RTP)
    assert (observed.inbound_open, observed.inbound_moved) == (20, ((10_020, 10_049, 10_000),))
    assert observed.inbound_blocked == ((10_020, 10_049),)
