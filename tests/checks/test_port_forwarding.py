"""``port-forwarding`` through NATs, losses and rules; and who else may answer."""

from typing import Any

import msgspec
import pytest

from edgecheck.checks import port_forwarding
from edgecheck.checks.unsolicited import NO_CONTROL_FLOW
from edgecheck.model.errors import LocalFailure
from edgecheck.wire import control, probe
from edgecheck.wire.address import Endpoint
from tests.checks.probing import SIP, TCP_ONLY, UDP_ONLY, look, states
from tests.fakes.edge import ALTERNATE, Edge, Weather
from tests.fakes.nat import EIGHT, Nat

# ---- through the matrix

LETS_ALL_IN = {"none"}


@pytest.mark.parametrize("name", EIGHT)
@pytest.mark.parametrize("loss", [0.0, 0.1, 0.25])
@pytest.mark.parametrize("rule", [True, False])
def test_forwarding_is_never_wrong(name: str, loss: float, rule: bool) -> None:
    decided, runs = 0, 8
    for seed in range(runs):
        nat = Nat(**EIGHT[name], seed=seed, forwarded=dict(SIP) if rule else {})
        seen = look(port_forwarding, lambda nat=nat, seed=seed: Edge(nat, Weather(loss=loss, seed=seed)))
        truth = "forwarded" if rule or name in LETS_ALL_IN else "blocked"
        for one in seen.ports:
            assert one.state in (truth, "undecided"), (seed, one)
            assert one.state != "undecided" or one.reason, one
        # On a NAT that lets anyone in on a used port, no arrival over UDP proves a rule: who knows what else has used the port?
        loose = rule and name == "full cone"
        decided += all(one.state == truth or (loose and one.transport == "udp") for one in seen.ports)
    assert decided >= (runs if loss <= 0.1 else runs // 2)


@pytest.mark.parametrize("loss", [0.4, 0.6, 0.8])
def test_heavy_loss_is_never_a_missing_rule(loss: float) -> None:
    for seed in range(15):
        nat = Nat(per_destination_ports=True, forwarded=dict(SIP), seed=seed)
        seen = look(port_forwarding, lambda nat=nat, seed=seed: Edge(nat, Weather(loss=loss, seed=seed)))
        assert set(states(seen).values()) <= {"forwarded", "undecided"}, seed


def test_one_rule_of_three() -> None:
    seen = look(port_forwarding, lambda: Edge(Nat(forwarded={("tcp", 5061): 5061}), Weather(loss=0.1, seed=1)))
    assert states(seen) == {("udp", 5060): "blocked", ("tcp", 5060): "blocked", ("tcp", 5061): "forwarded"}


def test_a_rule_to_another_port_of_this_machine_is_no_rule_for_this_one() -> None:
    seen = look(port_forwarding, lambda: Edge(Nat(forwarded={("udp", 5060): 5099})), UDP_ONLY)
    assert states(seen) == {("udp", 5060): "blocked"}


# ---- silence without proof


def test_a_dead_alternate_address_blames_nobody() -> None:
    seen = look(port_forwarding, lambda: Edge(Nat(), alternate_dead=True))
    assert set(states(seen).values()) == {"undecided"}
    assert seen.alternate_answers is False


def test_a_dead_alternate_address_for_tcp_alone() -> None:
    """UDP arrives by a rule, so the prober lives; that no TCP arrives proves nothing unless it also connects when contacted."""

    class NoTcp(Edge):
        async def connect(self, to: Any, port: int, timeout: float, *, tls: bool, ttl: int | None = None) -> Any:
            if to.host == ALTERNATE:
                raise LocalFailure("timeout", "no answer in time")
            return await super().connect(to, port, timeout, tls=tls)

    seen = look(port_forwarding, lambda: NoTcp(Nat(forwarded={("udp", 5060): 5060})))
    assert states(seen) == {("udp", 5060): "forwarded", ("tcp", 5060): "undecided", ("tcp", 5061): "undecided"}


def test_without_a_control_flow_nothing_silent_is_decided() -> None:
    seen = look(port_forwarding, lambda: Edge(Nat(blocks_udp=True)))
    assert set(states(seen).values()) == {"undecided"}
    for one in seen.ports:
        assert one.reason.startswith(NO_CONTROL_FLOW)
        assert "0 of 0" not in one.reason
    opened = look(port_forwarding, lambda: Edge(Nat(blocks_udp=True, forwarded=dict(SIP))))
    assert states(opened) == {("udp", 5060): "undecided", ("tcp", 5060): "forwarded", ("tcp", 5061): "forwarded"}


def test_a_control_that_dies_is_counted() -> None:
    class Dies(Edge):
        """The control copies of A1 are lost, and only they."""

        def _at_edge(self, source: Endpoint, destination: Endpoint, data: bytes) -> None:
            if not (data.startswith(probe.MAGIC) and source.port == 3478):
                super()._at_edge(source, destination, data)

    seen = look(port_forwarding, lambda: Dies(Nat()), UDP_ONLY)
    assert states(seen) == {("udp", 5060): "undecided"}
    assert seen.ports[0].reason == "none of 45 control packets arrived, so loss may explain the silence"


def test_several_public_addresses_leave_silence_undecided() -> None:
    seen = look(port_forwarding, lambda: Edge(Nat(udp_public="203.0.113.9")))
    assert states(seen)["udp", 5060] == "undecided"
    assert "203.0.113.9" in next(one.reason for one in seen.ports if one.transport == "udp")


def test_a_port_in_use_is_undecided_where_the_server_cannot_ask() -> None:
    class NoInquiry(Edge):
        def network(self, *given: Any, **named: Any) -> Any:
            kept = tuple(one for one in self.service.capabilities if one != "inquire")
            self.service = msgspec.structs.replace(self.service, capabilities=kept)
            return super().network(*given, **named)

    def edge() -> Edge:
        made = NoInquiry(Nat(forwarded=dict(SIP)))
        made.taken |= {("udp", 5060), ("tcp", 5061)}
        return made

    seen = look(port_forwarding, edge)
    assert states(seen) == {("udp", 5060): "undecided", ("tcp", 5060): "forwarded", ("tcp", 5061): "undecided"}
    assert all("another program" in one.reason for one in seen.ports if one.state == "undecided")


def test_a_server_that_cannot_dial_leaves_tcp_undecided() -> None:
    class NoDial(Edge):
        def network(self, *given: Any, **named: Any) -> Any:
            self.service = msgspec.structs.replace(self.service, capabilities=("alternate-address", "stun-tcp", "media"))
            return super().network(*given, **named)

    seen = look(port_forwarding, lambda: NoDial(Nat(forwarded=dict(SIP))))
    assert states(seen) == {("udp", 5060): "forwarded", ("tcp", 5060): "undecided", ("tcp", 5061): "undecided"}
    assert seen.ports[1].reason == "the server cannot dial back"


# ---- who else may answer a dial


def dialed(outcome: str, detail: str = "") -> type[Edge]:
    """A path on which every dial ends so."""

    class Dialed(Edge):
        async def ask(self, make: Any, timeout: float = 30.0) -> control.Reply:
            request = make(1)
            if isinstance(request, control.Dial):
                ports = [port for low, high in request.ports for port in range(low, high + 1)]
                rows = [control.DialRow(port=port, outcome=outcome, attempts=12, elapsed_ms=1.0, detail=detail) for port in ports]  # type: ignore[arg-type]
                return control.Dialed(id=1, rows=tuple(rows))
            return await super().ask(make, timeout)

    return Dialed


@pytest.mark.parametrize(
    ("outcome", "detail", "state", "answered_by"),
    [
        ("refused", "", "refused", "a reset from the probed address"),
        ("unreachable", "no route to host", "refused", "no route to host"),
        ("connected", "SSH-2.0-OpenSSH", "answered", "SSH-2.0-OpenSSH"),
        ("connected", "", "answered", "a service that said nothing"),
        ("unsent", "too many open files", "undecided", None),
    ],
)
def test_a_dial_that_ends_otherwise(outcome: str, detail: str, state: str, answered_by: str | None) -> None:
    seen = look(port_forwarding, lambda: dialed(outcome, detail)(Nat()), TCP_ONLY)
    assert {(one.state, one.answered_by) for one in seen.ports} == {(state, answered_by)}
    if outcome == "unsent":
        assert seen.ports[0].reason == "the server could not send: too many open files"


def test_icmp_says_who_refused() -> None:
    class Refusing(Edge):
        """The router answers the alternate address's probes with ICMP port unreachable; the server is told."""

        async def ask(self, make: Any, timeout: float = 30.0) -> control.Reply:
            reply = await super().ask(make, timeout)
            if isinstance(reply, control.Accounted) and any(row.sender == "BX" for row in reply.sent):
                error = control.ErrorRow(port=5060, sender="BX", icmp_type=3, icmp_code=3, offender="203.0.113.1", ttl=64)
                reply = msgspec.structs.replace(reply, errors=(error,))
            return reply

    seen = look(port_forwarding, lambda: Refusing(Nat()), UDP_ONLY)
    assert [(one.state, one.answered_by, one.reason) for one in seen.ports] == [
        ("refused", "203.0.113.1", "ICMP 3/3 from 203.0.113.1, TTL 64")
    ]
    arrived = look(port_forwarding, lambda: Refusing(Nat(forwarded=dict(SIP))), UDP_ONLY)
    assert states(arrived) == {("udp", 5060): "forwarded"}, "what arrived has arrived, whatever else was refused"
