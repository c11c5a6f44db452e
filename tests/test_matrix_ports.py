"""Forwarding, preservation and the RTP range through the same matrix of NATs and losses, runs in a row included."""

from collections.abc import Callable
from typing import Any

import pytest

from edgecheck.checks import port_forwarding, port_preservation, rtp_range
from edgecheck.model.errors import LocalFailure
from edgecheck.model.profile import PortNeed, Profile
from edgecheck.wire import ports as port_ranges
from tests.fakes import clock
from tests.fakes.edge import Edge, Weather
from tests.fakes.memory import SharedMemory
from tests.fakes.nat import EIGHT, Nat

NEEDS = (
    PortNeed(ports="5060", transport="udp", purpose="SIP", protocol="sip"),
    PortNeed(ports="5060", transport="tcp", purpose="SIP", protocol="sip"),
    PortNeed(ports="5061", transport="tcp", purpose="SIP over TLS", protocol="sips"),
)
PROFILE = Profile(name="test", title="", source="", confidence="verified", checks=(), ports=NEEDS, rtp=(10_000, 10_199))
SIP = {("udp", 5060): 5060, ("tcp", 5060): 5060, ("tcp", 5061): 5061}


def look(check: Any, edge: Callable[[], Edge], profile: Profile = PROFILE, memory: SharedMemory | None = None, pace: int = 0) -> Any:
    async def work() -> Any:
        network = edge().network(memory, pace)
        network.gate.open()
        return await check.CHECK.probe(network, profile)

    return clock.run(work())


def states(seen: port_forwarding.ForwardingObservation) -> dict[tuple[str, int], str]:
    return {(row.transport, row.port): row.state for row in seen.ports}


# ---- port-forwarding

LETS_ALL_IN = {"none"}


@pytest.mark.parametrize("name", EIGHT)
@pytest.mark.parametrize("loss", [0.0, 0.1, 0.25])
@pytest.mark.parametrize("rule", [True, False])
def test_forwarding_is_never_wrong(name: str, loss: float, rule: bool) -> None:
    decided = 0
    for seed in range(10):
        nat = Nat(**EIGHT[name], seed=seed, forwarded=dict(SIP) if rule else {})
        seen = look(port_forwarding, lambda nat=nat, seed=seed: Edge(nat, Weather(loss=loss, seed=seed)))
        truth = "forwarded" if rule or name in LETS_ALL_IN else "blocked"
        for row in seen.ports:
            assert row.state in (truth, "undecided"), (seed, row)
            assert row.state != "undecided" or row.reason, row
        decided += all(row.state == truth for row in seen.ports)
    assert decided >= (10 if loss <= 0.1 else 6)


def test_a_used_port_on_a_loose_nat_is_not_forwarded() -> None:
    """Its old mapping lets anyone in: a second run can not tell, and says so; ten minutes later it can again."""
    memory = SharedMemory()
    nat = Nat(filtering="endpoint-independent")
    assert states(look(port_forwarding, lambda: Edge(nat), memory=memory))["udp", 5060] == "blocked"
    look(port_preservation, lambda: Edge(nat), memory=memory)
    memory.clock += 30
    second = look(port_forwarding, lambda: Edge(nat), memory=memory)
    assert states(second)["udp", 5060] == "undecided"
    assert "sent packets 30 s ago" in next(row.reason for row in second.ports if row.transport == "udp")
    memory.clock += 700
    assert states(look(port_forwarding, lambda: Edge(Nat(filtering="endpoint-independent")), memory=memory))["udp", 5060] == "blocked"


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


def test_an_exposed_host_stays_forwarded_in_later_runs() -> None:
    memory = SharedMemory()
    nat = Nat(exposed=True, filtering="endpoint-independent")
    for _ in range(3):
        assert set(states(look(port_forwarding, lambda: Edge(nat), memory=memory)).values()) == {"forwarded"}
        memory.note_contact("198.51.100.11")
        memory.clock += 30


def test_a_dead_alternate_address_blames_nobody() -> None:
    seen = look(port_forwarding, lambda: Edge(Nat(), alternate_dead=True))
    assert set(states(seen).values()) == {"undecided"}
    assert seen.alternate_answers is False


def test_a_dead_alternate_address_for_tcp_alone() -> None:
    """UDP arrives by a rule, so the prober lives; that no TCP arrives proves nothing unless it also connects when contacted."""

    class NoTcp(Edge):
        async def connect(self, to: Any, port: int, timeout: float, *, tls: bool) -> Any:
            if to.host == "198.51.100.11":
                raise LocalFailure("timeout", "no answer in time")
            return await super().connect(to, port, timeout, tls=tls)

    seen = look(port_forwarding, lambda: NoTcp(Nat(forwarded={("udp", 5060): 5060})))
    assert states(seen) == {("udp", 5060): "forwarded", ("tcp", 5060): "undecided", ("tcp", 5061): "undecided"}


def test_several_public_addresses_leave_silence_undecided() -> None:
    def edge() -> Edge:
        return Edge(Nat(udp_public="203.0.113.9"))

    seen = look(port_forwarding, edge)
    assert states(seen)["udp", 5060] == "undecided"
    assert "203.0.113.9" in next(row.reason for row in seen.ports if row.transport == "udp")
    ranges = look(rtp_range, edge)
    assert (ranges.inbound_blocked, ranges.undecided) == ((), ((10_000, 10_199),))


def test_a_port_in_use_is_undecided_with_the_reason() -> None:
    def edge() -> Edge:
        made = Edge(Nat(forwarded=dict(SIP)))
        made.taken.add(("udp", 5060))
        return made

    seen = look(port_forwarding, edge)
    row = next(row for row in seen.ports if row.transport == "udp")
    assert (row.state, "another program" in row.reason) == ("undecided", True)


# ---- port-preservation


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.25])
@pytest.mark.parametrize("rule", ["preserved", "sequential", "random", "parity"])
def test_allocation_rule(rule: str, loss: float) -> None:
    for seed in range(10):
        nat = Nat(allocation=rule, seed=seed)  # type: ignore[arg-type]
        seen = look(port_preservation, lambda nat=nat, seed=seed: Edge(nat, Weather(loss=loss, seed=seed)))
        assert seen.allocation in (rule, None), seen
        assert seen.preserved == (seen.tested if rule == "preserved" else 0)
        if loss <= 0.1:
            assert seen.allocation == rule
        if rule in ("preserved", "parity"):
            assert seen.parity_kept


def test_one_taken_port_is_told_from_a_nat_that_moves_all() -> None:
    class Taken(Nat):
        def _allocate(self, transport: str, port: int, remote: Any) -> int:
            return 1024 if (transport, port) == ("udp", 5060) else port

    seen = look(port_preservation, lambda: Edge(Taken()))
    findings = port_preservation.judge(seen, PROFILE)
    assert seen.allocation == "preserved"
    assert [finding.id for finding in findings] == ["port-preservation.one-port-remapped"]


def test_sample_has_the_ends_and_both_parities() -> None:
    wide = Profile(name="t", title="", source="", confidence="verified", checks=(), rtp=(10_000, 20_000))
    sample = port_preservation.rtp_sample(wide)
    assert len(sample) == 32
    assert (sample[0], sample[-1]) == (10_000, 20_000)
    assert 12 <= sum(port % 2 for port in sample) <= 20


# ---- rtp-range

HOLES = [(10_005, 10_005), (10_020, 10_021), (10_064, 10_127)]


def forwarded_range(low: int, high: int, holes: list[tuple[int, int]]) -> dict[tuple[str, int], int]:
    closed = set(port_ranges.expand(holes))
    return {("udp", port): port for port in range(low, high + 1) if port not in closed}


@pytest.mark.parametrize("loss", [0.0, 0.05, 0.1])
@pytest.mark.parametrize("pace", [0, 1000])
def test_holes_are_found_and_none_invented(loss: float, pace: int) -> None:
    for seed in range(5):
        nat = Nat(per_destination_ports=True, forwarded=forwarded_range(10_000, 10_199, HOLES), seed=seed)
        seen = look(rtp_range, lambda nat=nat, seed=seed: Edge(nat, Weather(loss=loss, seed=seed)), pace=pace)
        blocked, unsure = set(port_ranges.expand(seen.inbound_blocked)), set(port_ranges.expand(seen.undecided))
        truth = set(port_ranges.expand(HOLES))
        assert blocked <= truth
        assert truth <= blocked | unsure
        assert not seen.outbound_blocked
        if loss <= 0.05:
            assert (seen.inbound_blocked, seen.undecided) == (tuple(HOLES), ())
            assert (seen.inbound_open, seen.outbound_open) == (200 - len(truth), 200)


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.2])
def test_nothing_forwarded(loss: float) -> None:
    for seed in range(5):
        seen = look(rtp_range, lambda seed=seed: Edge(Nat(), Weather(loss=loss, seed=seed)))
        assert seen.inbound_blocked == ((10_000, 10_199),)
        assert seen.inbound_open == 0
        assert not seen.outbound_blocked


@pytest.mark.parametrize("limit", [300, 500])
def test_a_throttling_router_is_not_a_blocking_one(limit: int) -> None:
    wide = Profile(name="t", title="", source="", confidence="verified", checks=(), rtp=(10_000, 11_999))
    for seed in range(3):
        nat = Nat(per_destination_ports=True, forwarded=forwarded_range(10_000, 11_999, []), seed=seed)
        seen = look(rtp_range, lambda nat=nat, seed=seed: Edge(nat, Weather(seed=seed, rate_limit=limit)), wide, pace=1000)
        assert not seen.inbound_blocked
        assert not seen.outbound_blocked
        assert seen.slowed_to is not None


def test_a_used_range_on_a_loose_nat_is_undecided() -> None:
    memory = SharedMemory()
    nat = Nat(filtering="endpoint-independent")
    assert look(rtp_range, lambda: Edge(nat), memory=memory).inbound_blocked == ((10_000, 10_199),)
    memory.clock += 30
    second = look(rtp_range, lambda: Edge(nat), memory=memory)
    assert (second.inbound_open, second.undecided, second.inbound_blocked) == (0, ((10_000, 10_199),), ())


def test_few_descriptors_make_batches_and_the_same_result() -> None:
    nat = Nat(per_destination_ports=True, forwarded=forwarded_range(10_000, 10_199, HOLES))
    seen = look(rtp_range, lambda: Edge(nat, port_capacity=30))
    assert seen.inbound_blocked == tuple(HOLES)
    assert seen.outbound_open == 200


def test_one_address_server_tests_outbound_only() -> None:
    seen = look(rtp_range, lambda: Edge(Nat(), alternate=False))
    assert (seen.inbound_open, seen.outbound_open) == (None, 200)
    assert "one address" in seen.reasons["inbound_open"]


def test_a_wholly_silent_alternate_address_blames_nobody() -> None:
    seen = look(rtp_range, lambda: Edge(Nat(), alternate_dead=True))
    assert (seen.inbound_blocked, seen.undecided) == ((), ((10_000, 10_199),))


def test_udp_blocked_on_the_way_out() -> None:
    seen = look(rtp_range, lambda: Edge(Nat(blocks_udp=True)))
    assert seen.outbound_blocked == ((10_000, 10_199),)
    assert seen.outbound_open == 0


def test_ports_with_another_number_outside_are_remapped() -> None:
    seen = look(rtp_range, lambda: Edge(Nat(allocation="random")))
    assert seen.remapped == ((10_000, 10_199),)
