"""``port-forwarding``: runs in a row, and what others have used: what a router remembers is no rule."""

import pytest

from edgecheck.checks import port_forwarding, port_preservation
from edgecheck.model.profile import Profile
from edgecheck.wire import probe
from edgecheck.wire.address import Endpoint
from tests.checks.probing import SIP, TCP_ONLY, UDP_ONLY, look, states
from tests.fakes.edge import ALTERNATE, Edge
from tests.fakes.memory import SharedMemory
from tests.fakes.nat import EIGHT, Nat


def test_a_used_port_on_a_loose_nat_is_not_forwarded() -> None:
    """Its old mapping lets anyone in: a second run can not tell, and says so; ten minutes later it can again."""
    memory = SharedMemory()
    nat = Nat(filtering="endpoint-independent")
    assert states(look(port_forwarding, lambda: Edge(nat), memory=memory))["udp", 5060] == "blocked"
    look(port_preservation, lambda: Edge(nat), memory=memory)
    memory.clock += 30
    second = look(port_forwarding, lambda: Edge(nat), memory=memory)
    assert states(second)["udp", 5060] == "undecided"
    assert "sent packets 30 s ago" in next(one.reason for one in second.ports if one.transport == "udp")
    memory.clock += 700
    assert states(look(port_forwarding, lambda: Edge(Nat(filtering="endpoint-independent")), memory=memory))["udp", 5060] == "blocked"


@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize("lost", [0, 1, 3, 45])
def test_a_canary_that_stays_silent_by_bad_luck_vouches_for_nothing(lost: int, used: bool) -> None:
    """The port of a loose NAT was used. What would show that it is loose is lost, and so many of the control copies beside it."""

    class SilentCanary(Edge):
        lost_controls = 0

        def _at_edge(self, source: Endpoint, destination: Endpoint, data: bytes) -> None:
            if destination.port > 40_000 and data.startswith(probe.MAGIC):
                if source.host == ALTERNATE:
                    return
                if self.lost_controls < lost:
                    self.lost_controls += 1
                    return
            super()._at_edge(source, destination, data)

    nat, memory = Nat(filtering="endpoint-independent"), SharedMemory()
    nat.outbound("udp", 5060, Endpoint("192.0.2.66", 4000))
    if used:
        memory.note_sent([5060])
    seen = look(port_forwarding, lambda: SilentCanary(nat), UDP_ONLY, memory)
    # With few of them lost more rounds follow, and the silence of the canary is a filter after all; with all of them it is nothing.
    assert states(seen) == {("udp", 5060): "undecided" if lost == 45 else "forwarded"}
    assert seen.udp.mapped_reached is (None if lost == 45 else False)
    assert seen.udp.control_sent == {0: 9, 1: 18, 3: 18, 45: 45}[lost]


def test_a_used_tcp_port_on_a_loose_nat_is_not_forwarded() -> None:
    memory = SharedMemory()
    nat = Nat(filtering="endpoint-independent")
    look(port_preservation, lambda: Edge(nat), memory=memory)
    memory.clock += 30
    seen = look(port_forwarding, lambda: Edge(nat), TCP_ONLY, memory)
    assert states(seen) == {("tcp", 5060): "undecided", ("tcp", 5061): "undecided"}
    assert "this NAT lets anyone in" in seen.ports[0].reason


def test_a_rule_on_a_strict_nat_is_told_in_every_run() -> None:
    memory = SharedMemory()
    nat = Nat(per_destination_ports=True, forwarded=dict(SIP))
    for _ in range(10):
        assert set(states(look(port_forwarding, lambda: Edge(nat), memory=memory)).values()) == {"forwarded"}
        look(port_preservation, lambda: Edge(nat), memory=memory)
        memory.clock += 20


def test_a_router_that_remembers_hosts_never_reads_as_forwarding() -> None:
    memory = SharedMemory()
    nat = Nat(remembers_hosts=True)
    first = look(port_forwarding, lambda: Edge(nat), memory=memory)
    assert set(states(first).values()) == {"blocked"}
    memory.clock += 30
    second = look(port_forwarding, lambda: Edge(nat), memory=memory)
    assert set(states(second).values()) == {"undecided"}


@pytest.mark.parametrize("profile", [UDP_ONLY, TCP_ONLY], ids=["udp", "tcp"])
def test_a_remembered_prober_is_found_out_on_either_transport_alone(profile: Profile) -> None:
    memory = SharedMemory()
    nat = Nat(remembers_hosts=True)
    nat.outbound("udp", 50_001, Endpoint(ALTERNATE, 3478))
    memory.note_contact(ALTERNATE)
    memory.clock += 30
    seen = look(port_forwarding, lambda: Edge(nat), profile, memory)
    assert set(states(seen).values()) == {"undecided"}
    assert "contacted the alternate address" in seen.ports[0].reason


def test_a_rule_taken_away_does_not_live_on_in_the_flows_that_it_let_in() -> None:
    nat, memory = Nat(keeps_flows=True, forwarded={("udp", 5060): 5060, ("tcp", 5060): 5060, ("tcp", 5061): 5061}), SharedMemory()
    assert set(states(look(port_forwarding, lambda: Edge(nat), memory=memory)).values()) == {"forwarded"}
    nat.forwarded.clear()
    memory.clock += 5
    assert set(states(look(port_forwarding, lambda: Edge(nat), memory=memory)).values()) == {"blocked"}


@pytest.mark.parametrize("used", [1, 2])
def test_a_canary_that_another_program_has_just_used_exposes_nobody(used: int) -> None:
    """A filter that lets anyone in on a used port; the PBX, stopped a minute ago, used 5060, and a browser some of the canaries' ports."""

    def edge() -> Edge:
        made, elsewhere = Edge(Nat(filtering="endpoint-independent")), Endpoint("192.0.2.9", 5060)
        for port in (5060, *range(40_002, 40_002 + used)):
            made.nat.outbound("udp", port, elsewhere)
        return made

    memory = SharedMemory()
    seen = look(port_forwarding, edge, UDP_ONLY, memory)
    assert (seen.udp.bare_reached, seen.udp.bare) == (used, 3)
    assert states(seen) == {("udp", 5060): "undecided"}
    assert (memory.recall(f"exposed/{ALTERNATE}") or ("",))[0] == "no"


def test_an_exposed_host_stays_forwarded_in_later_runs() -> None:
    memory = SharedMemory()
    nat = Nat(exposed=True, filtering="endpoint-independent")
    for _ in range(10):
        assert set(states(look(port_forwarding, lambda: Edge(nat), memory=memory)).values()) == {"forwarded"}
        memory.note_contact(ALTERNATE)
        memory.clock += 100


def test_used_ports_of_a_machine_without_an_edge_stay_forwarded() -> None:
    """Canaries that sent nothing are reached too: it is not the use of the port that lets the packets in."""
    memory = SharedMemory()
    nat = Nat(**EIGHT["none"])
    for _ in range(3):
        assert set(states(look(port_forwarding, lambda: Edge(nat), memory=memory)).values()) == {"forwarded"}
        look(port_preservation, lambda: Edge(nat), memory=memory)
        memory.clock += 30
