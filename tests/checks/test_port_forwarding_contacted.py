"""A prober that is shut out before it has reached anything, on NATs that let in whoever was contacted: there the primary address comes in
without a rule, and what tells is whether the alternate one does."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from echo_server.sessions.limits import TOKEN_LIMITS
from edgecheck.checks import port_forwarding
from edgecheck.checks.port_forwarding.contacted import KEPT_OUT, is_kept_out, lets_in_contacted
from edgecheck.model.verdict import Verdict
from edgecheck.wire.address import Endpoint
from tests.checks.probing import SIP, TCP_ONLY, look, say, states
from tests.checks.rtp_ground import Guarded, forwarded_range
from tests.checks.test_port_forwarding_live import USER, edge_with
from tests.checks.test_port_forwarding_shut_out import PORT_RESTRICTED, Banning, SynGuard
from tests.fakes import clock
from tests.fakes.edge import ALTERNATE, PRIMARY, Edge, Weather
from tests.fakes.memory import SharedMemory
from tests.fakes.nat import Nat

LOOSE: dict[str, dict[str, Any]] = {
    "address-dependent": {"filtering": "address-dependent"},
    "endpoint-independent": {"filtering": "endpoint-independent"},
    "by host": {"remembers_hosts": True},
    "drawn at random": {"filtering": "address-dependent", "mapping": "address-dependent", "allocation": "random"},
}
"""NATs on which the primary address is let in at a port that has contacted it."""
RTP = forwarded_range(10_000, 10_199)


def seen_behind(nat: Callable[[], Nat], loss: float = 0.0, seed: int = 0, **more: Any) -> Any:
    return look(port_forwarding, lambda: Edge(nat(), Weather(loss=loss, seed=seed)), **{"memory": SharedMemory(), **more})


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.4])
@pytest.mark.parametrize("held", [False, True], ids=["free", "held"])
@pytest.mark.parametrize("name", LOOSE)
def test_who_was_shut_out_before_he_reached_anything_finds_no_rule_missing(name: str, held: bool, loss: float) -> None:
    for seed, most in enumerate((0, 3, 6, 12, 30)):

        def nat(most: int = most) -> Banning:
            return Banning(most, **LOOSE[name], forwarded=dict(SIP))

        if held:
            seen = look(port_forwarding, edge_with(nat=nat, weather=Weather(loss=loss, seed=seed), **USER), memory=SharedMemory())
        else:
            seen = seen_behind(nat, loss, seed)
        assert "blocked" not in states(seen).values(), (most, seen.ports)
        if not most:
            assert say(port_forwarding.CHECK, seen).verdict is Verdict.INCONCLUSIVE
            assert loss or any("shuts out" in row.reason for row in seen.ports)


@pytest.mark.parametrize("loss", [0.0, 0.1])
@pytest.mark.parametrize("rules", [{}, {("udp", 10_000): 10_000}], ids=["none", "an end of the range"])
@pytest.mark.parametrize("name", LOOSE)
def test_where_nobody_is_shut_out_a_missing_rule_is_told(name: str, rules: dict[tuple[str, int], int], loss: float) -> None:
    for seed in range(2):
        seen = seen_behind(lambda: Nat(**LOOSE[name], forwarded=rules), loss, seed)
        assert set(states(seen).values()) == {"blocked"}, seen.ports


@pytest.mark.parametrize("guarded", [False, True])
@pytest.mark.parametrize("name", LOOSE)
def test_ports_that_have_sent_to_the_primary_address(name: str, guarded: bool) -> None:
    """It is let in there for that, and is no witness; the alternate address is asked where it has been contacted."""
    memory = SharedMemory()
    memory.note_sent([5060], "udp")

    def nat() -> Nat:
        made = Banning(0, **LOOSE[name], forwarded=dict(SIP)) if guarded else Nat(**LOOSE[name])
        made.outbound("udp", 5060, Endpoint(PRIMARY, 3478))
        return made

    seen = seen_behind(nat, memory=memory)
    state = states(seen)["udp", 5060]
    assert state == ("undecided" if guarded or seen.ports[0].arrived else "blocked")
    assert guarded or seen.ports[0].arrived or not [row for row in seen.ports if "shuts out" in row.reason]


class Sparing(Banning):
    """It looks at rules alone, not at what belongs to a mapping: contacted, everybody is let in."""

    def inbound(self, transport: str, source: Endpoint, port: int) -> int | None:  # type: ignore[override]
        rules, self.forwarded = self.forwarded, {}
        mapped = Nat.inbound(self, transport, source, port)  # type: ignore[arg-type]
        self.forwarded = rules
        return mapped if mapped is not None else super().inbound(transport, source, port)


@pytest.mark.parametrize("name", ["address-dependent", "endpoint-independent"])
def test_the_primary_address_alone_at_a_port_that_nobody_used_is_doubt_enough(name: str) -> None:
    seen = seen_behind(lambda: Sparing(0, **LOOSE[name], forwarded=dict(SIP)))
    assert set(states(seen).values()) == {"undecided"}
    assert all("or those that this port has contacted" in row.reason for row in seen.ports)


@pytest.mark.parametrize("name", LOOSE)
def test_a_guard_against_syn_floods(name: str) -> None:
    """Where hosts are remembered nobody is a witness of connections: there the prober is asked for once more over UDP alone."""
    seen = seen_behind(lambda: SynGuard(0, **LOOSE[name], forwarded={**SIP, **RTP}))
    told = states(seen)
    assert ("blocked" in (told["tcp", 5060], told["tcp", 5061])) == (name == "by host")


def test_connections_alone_are_asked_for() -> None:
    for guarded in (True, False):
        nat = (lambda: Banning(0, **LOOSE["by host"], forwarded=dict(SIP))) if guarded else (lambda: Nat(**LOOSE["by host"]))
        seen = seen_behind(nat, profile=TCP_ONLY)
        assert set(states(seen).values()) == ({"undecided"} if guarded else {"blocked"})
        assert all((row.reason == KEPT_OUT) == guarded for row in seen.ports)


def test_a_guard_that_counts_each_port_of_a_sender() -> None:
    """From a new port the prober is let in; from that which has sent the rounds it is not."""

    def edge() -> Edge:
        return Guarded(Nat(filtering="address-dependent", forwarded={**RTP, **SIP}), most=1, each_port=True)

    assert states(look(port_forwarding, edge, memory=SharedMemory()))["udp", 5060] == "undecided"


def test_who_is_shut_out_over_one_transport_may_be_so_over_the_other() -> None:
    """The primary address is shut out itself after its third packet that belongs to no flow, and so lets nobody know of the rules for TCP."""
    seen = look(port_forwarding, lambda: Guarded(Nat(**PORT_RESTRICTED, forwarded=dict(SIP)), most=3), memory=SharedMemory())
    assert set(states(seen).values()) == {"undecided"}
    assert all("let in at UDP 5060" in row.reason for row in seen.ports)


def test_what_is_reached_leaves_the_alternate_address_uncontacted() -> None:
    for name in LOOSE:
        memory = SharedMemory()
        seen = seen_behind(lambda name=name: Nat(**LOOSE[name], forwarded=dict(SIP)), memory=memory)  # type: ignore[misc]
        assert "blocked" not in states(seen).values()
        assert memory.contacted(ALTERNATE) is None


# ---- the question itself


def told(edge: Callable[[], Edge], memory: SharedMemory | None = None) -> bool | None:
    async def work() -> bool | None:
        net = edge().network(memory)
        net.gate.open()
        return await is_kept_out(net) if await lets_in_contacted(net) else None

    return clock.run(work())


@pytest.mark.parametrize("name", LOOSE)
@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_both_addresses_are_treated_alike_where_nobody_is_shut_out(name: str, loss: float) -> None:
    for seed in range(3):
        weather = {"loss": loss, "seed": seed}
        free, shut = (told(lambda nat=nat, weather=weather: Edge(nat, Weather(**weather))) for nat in (Nat(**LOOSE[name]), Banning(0, **LOOSE[name])))  # type: ignore[misc]
        assert (free, shut) == (False, True)


def test_a_nat_that_lets_in_none_but_the_contacted_port_tells_nothing_and_costs_no_contact() -> None:
    for nat in (Nat(**PORT_RESTRICTED), Nat(mapping="address-and-port-dependent", allocation="random"), Nat(translate=False)):
        memory = SharedMemory()
        assert told(lambda nat=nat: Edge(nat), memory) is None  # type: ignore[misc]
        assert memory.contacted(ALTERNATE) is None


def test_who_cannot_be_asked_tells_nothing() -> None:
    loose = LOOSE["address-dependent"]
    assert told(lambda: Edge(Nat(**loose), alternate=False)) is None
    assert told(lambda: Edge(Nat(**loose), alternate_dead=True)) is None
    assert told(lambda: Edge(Nat(**loose, blocks_udp=True))) is None
    assert told(lambda: Guarded(Nat(**loose), most=0, global_ban=True)) is None, "the primary address is shut out as well"
    few = msgspec.structs.replace(TOKEN_LIMITS, copies=2)
    assert told(lambda: Edge(Banning(0, **loose), limits=few)) is True, "a server that sends few copies is asked more often"
