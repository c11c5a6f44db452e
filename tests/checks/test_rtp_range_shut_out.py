"""``rtp-range`` through routers that shut out whoever begins many flows: what they know passes, and proves nothing about what they do not."""

from typing import Any

import msgspec
import pytest

from echo_server.sessions.limits import TOKEN_LIMITS
from edgecheck.checks import rtp_range
from edgecheck.model.errors import RequestDeclined
from edgecheck.model.verdict import Verdict
from edgecheck.wire import ports as port_ranges
from edgecheck.wire.address import Endpoint
from tests.checks.probing import look, say
from tests.checks.rtp_ground import Guarded, forwarded_range
from tests.fakes.edge import ALTERNATE, Weather
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
@pytest.mark.parametrize("most", [1, 8, 20, 100, 190])
def test_who_is_shut_out_finds_nothing_blocked(most: int, each_port: bool, pace: int) -> None:
    for seed, loss in ((0, 0.0), (1, 0.05)):
        seen = look(rtp_range, guarded(most, each_port=each_port, seed=seed, loss=loss), pace=pace)
        nothing_is_blocked(seen)


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
