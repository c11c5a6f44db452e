"""``rtp-range``: silence that proves nothing, and silence that does: outages, dead provers, ports that do not get out or back."""

import asyncio
from typing import Any

import pytest

from edgecheck.checks import rtp_range
from edgecheck.checks.unsolicited import NO_CONTROL_FLOW
from edgecheck.model.check import Arrival
from edgecheck.wire import ports as port_ranges
from edgecheck.wire import probe
from edgecheck.wire.address import Endpoint
from tests.checks.probing import look
from tests.checks.rtp_ground import WHOLE, Muffled, forwarded_range, muffled
from tests.fakes.edge import PRIMARY, Edge, Weather
from tests.fakes.nat import Nat


class Away(Muffled):
    """For a while no UDP passes; ``stalls``: the control channel waits for as long, as TCP does."""

    def __init__(self, since: float, seconds: float, stalls: bool) -> None:
        super().__init__(Nat(per_destination_ports=True, forwarded=forwarded_range(10_000, 10_199)))
        self.since, self.until, self.stalls = since, since + seconds, stalls
        self.drops = lambda way, source, to: self.away  # type: ignore[method-assign]

    @property
    def away(self) -> bool:
        return self.since <= asyncio.get_running_loop().time() < self.until

    async def ask(self, make: Any, timeout: float = 30.0) -> Any:
        if self.stalls and self.away:
            await asyncio.sleep(self.until - asyncio.get_running_loop().time())
        return await super().ask(make, timeout)


@pytest.mark.parametrize(
    ("stalls", "seconds"), [(False, 0.2), (False, 0.7), (False, 1.5), (False, 2.2), (False, 3.0), (True, 0.2), (True, 1.5), (True, 10.0)]
)
@pytest.mark.parametrize("since", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("pace", [0, 1000])
def test_an_outage_blocks_nothing(pace: int, seconds: float, since: float, stalls: bool) -> None:
    """A line that is away, or a router that punishes a flood of UDP: what is open is never called blocked."""
    seen = look(rtp_range, lambda: Away(since, seconds, stalls), pace=pace)
    assert (seen.inbound_blocked, seen.outbound_blocked, seen.return_blocked) == ((), (), ())


def test_udp_that_dies_after_inbound_for_good_is_not_blocked_outbound() -> None:
    """The router's protection against floods: its end is not ours to see."""
    dead = False

    def drops(way: str, source: Endpoint, to: Endpoint) -> bool:
        nonlocal dead
        dead |= way == "out" and 10_000 <= source.port < 10_200
        return dead

    seen = look(rtp_range, muffled(drops))
    assert (seen.inbound_open, seen.outbound_blocked, seen.return_blocked) == (200, (), ())
    assert (seen.undecided, seen.inbound_undecided, seen.outbound_undecided) == (WHOLE, (), WHOLE)


def test_without_a_control_flow_silence_from_outside_is_undecided() -> None:
    seen = look(rtp_range, lambda: Edge(Nat(blocks_udp=True)))
    assert (seen.inbound_open, seen.inbound_blocked, seen.undecided) == (0, (), WHOLE)
    assert NO_CONTROL_FLOW in seen.reasons["undecided"]
    assert (seen.inbound_undecided, seen.outbound_undecided) == (WHOLE, ())


def test_blocked_stun_is_no_blocked_rtp() -> None:
    """Without the mapped address there is no control flow and no mapped canary; yet nothing is called blocked, and what got out did."""
    seen = look(rtp_range, muffled(lambda way, source, to: {3478, 3479} & {source.port, to.port} != set()))
    assert (seen.outbound_open, seen.inbound_blocked, seen.outbound_blocked, seen.return_blocked) == (200, (), (), ())
    assert (seen.inbound_open, seen.undecided) in ((200, ()), (0, WHOLE))


def test_a_wholly_silent_alternate_address_blames_nobody() -> None:
    seen = look(rtp_range, lambda: Edge(Nat(), alternate_dead=True))
    assert (seen.inbound_blocked, seen.undecided, seen.alternate_answers) == ((), WHOLE, False)


def test_several_public_addresses_leave_silence_undecided() -> None:
    seen = look(rtp_range, lambda: Edge(Nat(udp_public="203.0.113.9")))
    assert (seen.inbound_blocked, seen.undecided) == ((), WHOLE)
    assert "203.0.113.9" in seen.reasons["undecided"]


# ---- blocked on the way out, and back


def test_udp_blocked_on_the_way_out() -> None:
    seen = look(rtp_range, lambda: Edge(Nat(blocks_udp=True)))
    assert seen.outbound_blocked == WHOLE
    assert seen.outbound_open == 0


@pytest.mark.parametrize("blocked", [((10_000, 10_063),), WHOLE])
def test_ports_that_do_not_get_out(blocked: tuple[tuple[int, int], ...]) -> None:
    shut = set(port_ranges.expand(blocked))
    seen = look(rtp_range, muffled(lambda way, source, to: way == "out" and source.port in shut))
    assert (seen.outbound_blocked, seen.outbound_open) == (blocked, 200 - len(shut))
    assert (seen.return_blocked, seen.inbound_blocked, seen.undecided) == ((), (), ())


@pytest.mark.parametrize("blocked", [((10_030, 10_030),), ((10_000, 10_063),), WHOLE])
def test_answers_that_do_not_come_back(blocked: tuple[tuple[int, int], ...]) -> None:
    """A stateless rule lets RTP out, and what it lets in depends on the source."""
    shut = set(port_ranges.expand(blocked))
    seen = look(rtp_range, muffled(lambda way, source, to: way == "in" and source.host == PRIMARY and to.port in shut))
    assert (seen.return_blocked, seen.outbound_open, seen.outbound_blocked) == (blocked, 200, ())
    assert (seen.inbound_open, seen.undecided) == (200, ())


@pytest.mark.parametrize("only", [10_000, 10_133])
def test_one_port_alone_that_gets_out_is_never_called_blocked(only: int) -> None:
    for seed in range(4):

        def edge(seed: int = seed) -> Edge:
            made = muffled(lambda way, source, to: way == "out" and 10_000 <= source.port < 10_200 and source.port != only)()
            made.weather = Weather(loss=0.15, seed=seed)
            return made

        seen = look(rtp_range, edge)
        assert only not in set(port_ranges.expand(seen.outbound_blocked)), seed
        assert seen.outbound_open == 1


def test_a_stranger_in_the_inbox_opens_nothing() -> None:
    """Datagrams of another session, from anyone, on every port."""

    class Noisy(Edge):
        async def open_ports(self, ports: Any, accept: Any) -> Any:
            batch = await super().open_ports(ports, accept)
            for port in ports:
                for data in (b"", b"x" * 172, b"\x80" + bytes(171), bytes(12) + probe.MAGIC + bytes(200)):
                    batch.receive(port, Arrival(0.0, Endpoint("192.0.2.66", 4000), data))
            return batch

    seen = look(rtp_range, lambda: Noisy(Nat()))
    assert (seen.inbound_open, seen.inbound_blocked) == (0, WHOLE)
