"""``rtp-range`` through routers that shut out whoever begins many flows: what they know passes, and proves nothing about what they do not."""

from typing import Any

import msgspec
import pytest

from echo_server.sessions.limits import TOKEN_LIMITS
from edgecheck.checks import rtp_range
from edgecheck.checks.unsolicited import LET_IN
from edgecheck.model.errors import RequestDeclined
from edgecheck.model.verdict import Verdict
from edgecheck.wire import ports as port_ranges
from edgecheck.wire.address import Endpoint
from tests.checks.probing import look, say
from tests.checks.rtp_ground import WHOLE, Crowded, Guarded, forwarded_range
from tests.fakes.edge import ALTERNATE, PRIMARY, Edge, Weather
from tests.fakes.memory import SharedMemory
from tests.fakes.nat import Nat

EARLIER = {(Endpoint(ALTERNATE, number), port) for number in (3478, 3479) for port in range(10_000, 10_200)}
"""Flows of an earlier run from the server's fixed ports, which the router still knows."""


def guarded(most: int, rule: tuple[int, int] = (10_000, 10_199), *, loss: float = 0.0, seed: int = 0, earlier: bool = False, **options: Any) -> Any:
    def edge() -> Guarded:
        nat = Nat(per_destination_ports=True, forwarded=forwarded_range(*rule), seed=seed)
        made = Guarded(nat, Weather(loss=loss, seed=seed), most=most, **options)
        made.known |= EARLIER if earlier else set()
        return made

    return edge


def nothing_is_blocked(seen: Any) -> None:
    assert (seen.inbound_blocked, seen.outbound_blocked, seen.return_blocked) == ((), (), ())
    assert Verdict.FAIL not in {finding.verdict for finding in say(rtp_range.CHECK, seen).findings}


@pytest.mark.parametrize("pace", [0, 1000])
@pytest.mark.parametrize("each_port", [False, True])
@pytest.mark.parametrize("most", [1, 20, 190])
def test_who_is_shut_out_finds_nothing_blocked(most: int, each_port: bool, pace: int) -> None:
    for seed, loss in ((0, 0.0), (1, 0.05)):
        seen = look(rtp_range, guarded(most, each_port=each_port, seed=seed, loss=loss), pace=pace)
        nothing_is_blocked(seen)
        if not each_port and not loss:
            assert seen.inbound_open == most
            assert "no longer is: something on the way shuts out" in seen.reasons["undecided"]


@pytest.mark.parametrize("pace", [0, 1000])
@pytest.mark.parametrize("most", [20, 100])
def test_flows_of_an_earlier_run_vouch_for_no_new_ones(most: int, pace: int) -> None:
    """What was a new flow yesterday is none today, if it comes from the same port of the server."""
    seen = look(rtp_range, guarded(most, earlier=True), pace=pace)
    nothing_is_blocked(seen)
    assert seen.inbound_undecided


def test_a_rule_that_ends_early_is_told_where_nobody_is_shut_out() -> None:
    seen = look(rtp_range, guarded(100_000, (10_000, 10_099)))
    assert (seen.inbound_blocked, seen.inbound_undecided) == (((10_100, 10_199),), ())
    assert set(port_ranges.expand(seen.inbound_blocked)) == set(range(10_100, 10_200))


@pytest.mark.parametrize("pace", [0, 1000])
def test_an_examination_that_was_shut_out_tells_no_cause(pace: int) -> None:
    """The rounds have proved that ports are blocked; then the prober is shut out, and what the examination meets is that alone."""
    told = set()
    for most in range(602, 668, 11):
        made: list[Guarded] = []

        def edge(most: int = most, made: list[Guarded] = made) -> Guarded:
            made.append(guarded(most, (10_000, 10_099))())
            return made[0]

        seen = look(rtp_range, edge, pace=pace)
        assert set(port_ranges.expand(seen.inbound_blocked)) <= set(range(10_100, 10_200))
        assert set(range(10_000, 10_100)) >= set(port_ranges.expand(seen.inbound_undecided)) or not seen.inbound_blocked
        out = made[0].begun[ALTERNATE] > most
        assert (seen.examined is None) == out or not seen.inbound_blocked
        if out and seen.inbound_blocked:
            told.add(say(rtp_range.CHECK, seen).finding("inbound-blocked").summary)
    assert told
    assert all("Its cause could not be told: the server's alternate address was let in at UDP 10000 before" in words for words in told)


OLD = msgspec.structs.replace(TOKEN_LIMITS, fresh_ports=0)
"""A server that sends from its fixed ports alone."""


@pytest.mark.parametrize("most", [8, 20, 100])
def test_a_server_without_fresh_ports_serves_as_before(most: int) -> None:
    nothing_is_blocked(look(rtp_range, guarded(most, limits=OLD)))
    seen = look(rtp_range, guarded(100_000, (10_000, 10_099), limits=OLD))
    assert (seen.inbound_blocked, seen.inbound_undecided) == (((10_100, 10_199),), ())


def test_few_fresh_ports_are_used_in_turn() -> None:
    few = msgspec.structs.replace(TOKEN_LIMITS, fresh_ports=2)
    nothing_is_blocked(look(rtp_range, guarded(20, limits=few)))
    seen = look(rtp_range, guarded(100_000, (10_000, 10_099), limits=few, loss=0.1))
    assert set(port_ranges.expand(seen.inbound_blocked)) <= set(range(10_100, 10_200))
    assert seen.inbound_open == 100


def test_a_server_that_has_no_port_left_is_asked_for_none() -> None:
    class Exhausted(Guarded):
        def _fresh(self, role: str, number: int) -> str:
            raise RequestDeclined("unavailable", "No fresh port is left here.")

    def edge(rule: tuple[int, int], most: int) -> Guarded:
        return Exhausted(Nat(per_destination_ports=True, forwarded=forwarded_range(*rule)), most=most)

    seen = look(rtp_range, lambda: edge((10_000, 10_099), 100_000))
    assert (seen.inbound_blocked, seen.inbound_undecided) == (((10_100, 10_199),), ())
    nothing_is_blocked(look(rtp_range, lambda: edge((10_000, 10_199), 50)))


# ---- nothing at all gets in: what the primary address tells


def banned(rule: tuple[int, int] | None, **options: Any) -> Any:
    """The alternate address has been shut out before: by what came first in this run, or by an earlier one."""

    def edge() -> Guarded:
        nat = Nat(**{"per_destination_ports": True, **options}, forwarded=forwarded_range(*rule) if rule else {})
        made = Guarded(nat, most=30)
        made.begun[ALTERNATE] = 30
        return made

    return edge


@pytest.mark.parametrize("rule", [(10_000, 10_009), (10_180, 10_199), (10_100, 10_149)])
@pytest.mark.parametrize("pace", [0, 1000])
def test_who_was_shut_out_before_finds_nothing_blocked(rule: tuple[int, int], pace: int) -> None:
    seen = look(rtp_range, banned(rule), pace=pace)
    nothing_is_blocked(seen)
    assert seen.inbound_undecided == WHOLE
    assert "shuts out" in seen.reasons["undecided"]
    assert "primary address" in seen.reasons["undecided"]


LOOSE: list[dict[str, Any]] = [{"remembers_hosts": True}, {"filtering": "endpoint-independent"}, {"filtering": "address-dependent"}]
"""NATs on which the primary address is let in at a port that has contacted it, rule or none."""


@pytest.mark.parametrize("options", [{}, *LOOSE])
def test_where_the_primary_address_is_let_in_by_no_rule_none_is_invented(options: dict[str, Any]) -> None:
    free = {"per_destination_ports": True, **options}
    assert look(rtp_range, lambda: Edge(Nat(**free)), memory=SharedMemory()).inbound_blocked == WHOLE
    shut = look(rtp_range, banned(None, **options), memory=SharedMemory())
    assert (shut.inbound_blocked, shut.inbound_undecided) == ((WHOLE, ()) if not options else ((), WHOLE))


@pytest.mark.parametrize("options", LOOSE)
def test_a_guard_before_a_nat_that_lets_in_who_was_contacted(options: dict[str, Any]) -> None:
    """Few ports of many are open: the prober is shut out before it comes to one, and the primary address asks elsewhere."""
    for most in (3, 12):

        def edge(most: int = most) -> Guarded:
            return Guarded(Nat(**options, forwarded=forwarded_range(10_111, 10_114)), most=most)

        nothing_is_blocked(look(rtp_range, edge, memory=SharedMemory()))


@pytest.mark.parametrize("filtering", ["address-dependent", "address-and-port-dependent"])
def test_a_range_that_was_used_lately_is_no_rule(filtering: str) -> None:
    """Where ports have sent to the primary address a minute ago it is let in there, by some NATs, though no rule is."""
    memory, nat = SharedMemory(), Nat(filtering=filtering)  # type: ignore[arg-type]
    for _ in range(2):
        seen = look(rtp_range, lambda: Edge(nat), memory=memory)
        assert (seen.inbound_blocked, seen.inbound_undecided) == (WHOLE, ())
        memory.clock += 60


def test_both_addresses_may_be_shut_out_from_the_start_of_a_later_run() -> None:
    """Then nothing of this run shows it; what an earlier one saw does, for ten minutes."""
    memory = SharedMemory()

    def edge(most: int) -> Guarded:
        return Guarded(Nat(per_destination_ports=True, forwarded=forwarded_range(10_000, 10_199)), most=most)

    nothing_is_blocked(look(rtp_range, lambda: edge(50), memory=memory))
    memory.clock += 120
    memory.note(LET_IN, "")  # every session has a name of its own, but for those of tests
    for _ in range(2):
        seen = look(rtp_range, lambda: edge(0), memory=memory)
        nothing_is_blocked(seen)
        assert "in an earlier run, 2 minutes ago," in seen.reasons["undecided"]
    memory.clock += 600
    assert look(rtp_range, lambda: Edge(Nat(per_destination_ports=True)), memory=memory).inbound_blocked == WHOLE, "no rule, later"


# ---- batches: where descriptors are few, ports of one batch are no guides of another


@pytest.mark.parametrize("loss", [0.0, pytest.param(0.1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("rule", [(10_000, 10_049), (10_100, 10_199), (10_000, 10_199)])
@pytest.mark.parametrize("most", [20, 60])
def test_a_batch_that_came_too_late_is_not_blocked(most: int, rule: tuple[int, int], loss: float) -> None:
    for seed in range(2):

        def edge(seed: int = seed) -> Guarded:
            made: Guarded = guarded(most, rule, loss=loss, seed=seed)()
            made.port_capacity = 40
            return made

        seen = look(rtp_range, edge, pace=1000)
        closed = set(range(10_000, 10_200)).difference(range(rule[0], rule[1] + 1))
        assert set(port_ranges.expand(seen.inbound_blocked)) <= closed, (seed, seen.inbound_blocked)
        assert seen.inbound_open


def test_a_batch_that_a_full_table_holds_up_is_not_blocked_on_the_way_out() -> None:
    """The control was there before the table was full; what is new afterwards shows that it is no rule."""

    class FullLater(Crowded):
        """Full when the third batch begins to send media."""

        def _at_server(self, seen: Endpoint, data: bytes, to: Endpoint) -> None:
            media = {port for port, remote in self._ends if remote.host == PRIMARY and remote.port >= 10_000}
            if to.port >= 10_000 and len(media) >= 80:
                self.room = 0
            super()._at_server(seen, data, to)

    def edge() -> FullLater:
        made = FullLater(Nat(per_destination_ports=True, forwarded=forwarded_range(10_000, 10_199)))
        made.port_capacity = 40
        return made

    seen = look(rtp_range, edge)
    assert (seen.outbound_blocked, seen.return_blocked) == ((), ())
    assert 0 < seen.outbound_open < 200
