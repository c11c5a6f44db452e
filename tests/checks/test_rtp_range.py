"""``rtp-range`` through NATs, losses and limits, and in runs in a row."""

from typing import Any

import msgspec
import pytest

from echo_server.sessions.limits import TOKEN_LIMITS
from edgecheck.checks import rtp_range
from edgecheck.wire import ports as port_ranges
from edgecheck.wire import probe
from edgecheck.wire.address import Endpoint
from tests.checks.probing import PROFILE, look
from tests.checks.rtp_ground import WHOLE, forwarded_range
from tests.fakes.edge import ALTERNATE, Edge, Weather
from tests.fakes.memory import SharedMemory
from tests.fakes.nat import EIGHT, Nat

HOLES = [(10_005, 10_005), (10_020, 10_021), (10_064, 10_127)]
WIDE = msgspec.structs.replace(PROFILE, rtp=(10_000, 11_999))


@pytest.mark.parametrize("loss", [0.0, 0.05, 0.1])
@pytest.mark.parametrize("pace", [0, 1000])
def test_holes_are_found_and_none_invented(loss: float, pace: int) -> None:
    for seed in range(4):
        nat = Nat(per_destination_ports=True, forwarded=forwarded_range(10_000, 10_199, HOLES), seed=seed)
        seen = look(rtp_range, lambda nat=nat, seed=seed: Edge(nat, Weather(loss=loss, seed=seed)), pace=pace)
        blocked, unsure = set(port_ranges.expand(seen.inbound_blocked)), set(port_ranges.expand(seen.undecided))
        truth = set(port_ranges.expand(HOLES))
        assert blocked <= truth
        assert truth <= blocked | unsure
        assert not seen.outbound_blocked
        assert not seen.return_blocked
        assert seen.slowed_to is None
        if loss <= 0.05:
            assert (seen.inbound_blocked, seen.undecided) == (tuple(HOLES), ())
            assert (seen.inbound_open, seen.outbound_open) == (200 - len(truth), 200)


@pytest.mark.parametrize("name", EIGHT)
@pytest.mark.parametrize("rule", [True, False])
def test_every_nat_with_a_rule_and_without(name: str, rule: bool) -> None:
    nat = Nat(**EIGHT[name], forwarded=forwarded_range(10_000, 10_199) if rule else {})
    seen = look(rtp_range, lambda: Edge(nat, Weather(loss=0.1, seed=3)))
    opened = rule or name == "none"
    assert (seen.outbound_open, seen.outbound_blocked, seen.return_blocked) == (200, (), ())
    if rule and name == "full cone":
        # Lets anyone in on a port that was used, by whomever: there an arrival proves no rule.
        assert (seen.inbound_open, seen.inbound_blocked, seen.undecided) == (0, (), WHOLE)
        assert "lets anyone in on a port that was used" in seen.reasons["undecided"]
    else:
        assert (seen.inbound_open, seen.inbound_blocked, seen.undecided) == ((200, (), ()) if opened else (0, WHOLE, ()))


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.2])
def test_nothing_forwarded(loss: float) -> None:
    for seed in range(4):
        seen = look(rtp_range, lambda seed=seed: Edge(Nat(), Weather(loss=loss, seed=seed)))
        assert seen.inbound_blocked == WHOLE
        assert seen.inbound_open == 0
        assert not seen.outbound_blocked


@pytest.mark.parametrize("only", [10_000, 10_133])
def test_a_rule_for_one_port_alone_is_found_at_any_loss(only: int) -> None:
    for seed in range(4):
        nat = Nat(per_destination_ports=True, forwarded={("udp", only): only}, seed=seed)
        seen = look(rtp_range, lambda nat=nat, seed=seed: Edge(nat, Weather(loss=0.15, seed=seed)))
        assert only not in set(port_ranges.expand(seen.inbound_blocked)), seed
        assert seen.inbound_open == 1


@pytest.mark.parametrize("limit", [300, 500])
def test_a_throttling_router_is_not_a_blocking_one(limit: int) -> None:
    for seed in range(2):
        nat = Nat(per_destination_ports=True, forwarded=forwarded_range(10_000, 11_999), seed=seed)
        seen = look(rtp_range, lambda nat=nat, seed=seed: Edge(nat, Weather(seed=seed, rate_limit=limit)), WIDE, pace=1000)
        assert not seen.inbound_blocked
        assert not seen.outbound_blocked
        assert seen.slowed_to is not None
        assert seen.slowed_to < 1000


@pytest.mark.parametrize("few", [{"port_capacity": 30}, {"limits": msgspec.structs.replace(TOKEN_LIMITS, media_ports=30)}], ids=["here", "at the server"])
def test_few_descriptors_make_batches_and_the_same_result(few: dict[str, Any]) -> None:
    nat = Nat(per_destination_ports=True, forwarded=forwarded_range(10_000, 10_199, HOLES))
    seen = look(rtp_range, lambda: Edge(nat, **few))
    assert seen.inbound_blocked == tuple(HOLES)
    assert seen.outbound_open == 200


def test_a_port_in_use_here_is_said_to_be() -> None:
    def edge() -> Edge:
        made = Edge(Nat(per_destination_ports=True, forwarded=forwarded_range(10_000, 10_199)))
        made.taken |= {("udp", 10_003), ("udp", 10_004)}
        return made

    seen = look(rtp_range, edge)
    assert (seen.tested, seen.busy, seen.undecided) == (198, ((10_003, 10_004),), ((10_003, 10_004),))
    assert (seen.inbound_open, seen.outbound_open, seen.inbound_blocked) == (198, 198, ())


def test_a_server_with_few_media_ports_serves_a_range_above_it() -> None:
    nat = Nat(per_destination_ports=True, forwarded=forwarded_range(10_000, 10_199))
    seen = look(rtp_range, lambda: Edge(nat, media=(30_000, 30_049)))
    assert (seen.outbound_open, seen.outbound_blocked, seen.undecided) == (200, (), ())


def test_a_server_without_media_ports_tests_inbound_only() -> None:
    seen = look(rtp_range, lambda: Edge(Nat(), media=None))
    assert (seen.inbound_blocked, seen.outbound_open) == (WHOLE, None)
    assert seen.reasons["outbound_open"] == "the server offers no media ports"


def test_one_address_server_tests_outbound_only() -> None:
    seen = look(rtp_range, lambda: Edge(Nat(), alternate=False))
    assert (seen.inbound_open, seen.outbound_open) == (None, 200)
    assert "one address" in seen.reasons["inbound_open"]


def test_ports_with_another_number_outside_are_remapped() -> None:
    seen = look(rtp_range, lambda: Edge(Nat(allocation="random")))
    assert seen.remapped == WHOLE


# ---- runs in a row


def test_a_used_range_on_a_loose_nat_is_undecided() -> None:
    memory = SharedMemory()
    nat = Nat(filtering="endpoint-independent")
    assert look(rtp_range, lambda: Edge(nat), memory=memory).inbound_blocked == WHOLE
    memory.clock += 30
    second = look(rtp_range, lambda: Edge(nat), memory=memory)
    assert (second.inbound_open, second.undecided, second.inbound_blocked) == (0, WHOLE, ())
    assert "sent packets in the last ten minutes" in second.reasons["undecided"]


def test_a_range_is_undecided_where_the_router_remembers_the_prober() -> None:
    memory = SharedMemory()
    nat = Nat(remembers_hosts=True)
    assert look(rtp_range, lambda: Edge(nat), memory=memory).inbound_blocked == WHOLE
    memory.note_contact(ALTERNATE)
    nat.outbound("udp", 50_001, Endpoint(ALTERNATE, 3478))
    memory.clock += 30
    second = look(rtp_range, lambda: Edge(nat), memory=memory)
    assert (second.inbound_open, second.undecided, second.inbound_blocked) == (0, WHOLE, ())
    assert "contacted the alternate address" in second.reasons["undecided"]


@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize("control", [True, False])
def test_a_canary_that_stays_silent_by_bad_luck_vouches_for_nothing(control: bool, used: bool) -> None:
    """The ports of a loose NAT were used. What would show that it is loose is lost; only a control that came through makes that a filter."""

    class SilentCanaries(Edge):
        def _at_edge(self, source: Endpoint, destination: Endpoint, data: bytes) -> None:
            if not (destination.port > 40_000 and data.startswith(probe.MAGIC) and (source.host == ALTERNATE or not control)):
                super()._at_edge(source, destination, data)

    nat, memory = Nat(filtering="endpoint-independent"), SharedMemory()
    for port in range(10_000, 10_200):
        nat.outbound("udp", port, Endpoint("192.0.2.66", 4000))
    if used:
        memory.note_sent(range(10_000, 10_200))
    seen = look(rtp_range, lambda: SilentCanaries(nat), memory=memory)
    assert (seen.inbound_open, seen.undecided) == ((200, ()) if control else (0, WHOLE))
    assert control or "could not be told" in seen.reasons["undecided"]


def test_a_rule_on_a_strict_nat_is_open_in_every_run() -> None:
    memory = SharedMemory()
    nat = Nat(per_destination_ports=True, forwarded=forwarded_range(10_000, 10_199))
    for _ in range(4):
        seen = look(rtp_range, lambda: Edge(nat), memory=memory)
        assert (seen.inbound_open, seen.undecided) == (200, ())
        memory.note_contact(ALTERNATE)
        memory.clock += 30
