"""A hop is named only where the same message looks the same whenever it is asked again."""

from collections.abc import Callable

import pytest

from edgecheck.checks.sip_alg.locate import locate, walk
from edgecheck.checks.sip_alg.observation import Located
from edgecheck.checks.sip_alg.rewriter import NOT_EACH_TIME, unsteady
from edgecheck.model.check import Arrival, Quote
from edgecheck.wire.address import Endpoint
from tests.checks.test_sip_alg_locate import BY_HOME, SENT
from tests.fakes import clock
from tests.fakes.edge import Edge
from tests.fakes.ends import FakeUdp
from tests.fakes.nat import Nat

ROUTERS = ("192.168.88.1", "100.64.0.1", "203.0.113.14")
SERVER = Endpoint("198.51.100.10", 5060)
Rewrites = Callable[[int], bool]
"""Whether the first router rewrites the packet that is the so-manieth to cross it."""


class Fickle(FakeUdp):
    """Three routers; behind its look at the TTL the first one rewrites some of what crosses it. ``quiet``: how often each tells at most."""

    rewrites: Rewrites = staticmethod(lambda number: True)
    quiet = 1_000
    crossed = 0

    def send(self, data: bytes, to: Endpoint, ttl: int | None = None) -> None:
        assert ttl is not None
        seen = data
        if ttl > 1:
            self.crossed += 1
            seen = BY_HOME if self.rewrites(self.crossed) else data
        if ttl > len(ROUTERS):
            self.inbox.append(Arrival(0.0, to, b"SIP/2.0 200 OK\r\n\r\n"))
        elif sum(quote.offender == ROUTERS[ttl - 1] for quote in self.quotes) < self.quiet:
            self.quotes.append(Quote(at=0.0, icmp_type=11, icmp_code=0, offender=ROUTERS[ttl - 1], to=to, data=seen))
        self.edge.bell.ring()


def looked_for(rewrites: Rewrites, quiet: int = 1_000) -> tuple[tuple[Located, ...] | None, str]:
    """Who is located by the walk alone, and why that cannot be relied on."""

    async def work() -> tuple[tuple[Located, ...] | None, str]:
        edge = Edge(Nat())
        net, socket = edge.network(), Fickle(edge, Endpoint("192.168.88.2", 40_000))
        socket.rewrites, socket.quiet = rewrites, quiet
        stages, _ = await walk(net, socket, SERVER, SENT)
        located, _ = locate(SENT, stages, None)
        return located, await unsteady(net, socket, SERVER, SENT, stages, located or ())

    return clock.run(work())


def test_what_is_done_each_time_is_believed() -> None:
    located, doubt = looked_for(lambda number: True)
    assert [one.hop for one in located or ()] == [1]
    assert doubt == ""


@pytest.mark.parametrize(
    ("rewrites", "hops"),
    [
        (lambda number: number > 1, [2]),
        (lambda number: number == 1, [1, 2]),
        (lambda number: number % 2 == 1, [1, 2]),
    ],
    ids=["all but the first packet", "the first packet alone", "every other one"],
)
def test_a_box_that_rewrites_some_copies_leads_to_nobody_else(rewrites: Rewrites, hops: list[int]) -> None:
    """A fast path that carries what is known, or a box that knows retransmissions: the walk alone names a router that does nothing."""
    located, doubt = looked_for(rewrites)
    assert [one.hop for one in located or ()] == hops, "the first router is the only one that does it"
    assert doubt == NOT_EACH_TIME


def test_a_router_that_tells_only_once_is_no_proof() -> None:
    _, doubt = looked_for(lambda number: True, quiet=1)
    assert doubt.startswith("hop ")
    assert "told of the request once and not again" in doubt
