"""The range that the tests of ``rtp-range`` are about, and worlds that drop by a rule of their own."""

from collections.abc import Callable

from edgecheck.wire import ports as port_ranges
from edgecheck.wire.address import Endpoint
from tests.fakes.edge import Edge
from tests.fakes.nat import Nat

WHOLE = ((10_000, 10_199),)


def forwarded_range(low: int, high: int, holes: list[tuple[int, int]] | tuple[()] = ()) -> dict[tuple[str, int], int]:
    closed = set(port_ranges.expand(holes))
    return {("udp", port): port for port in range(low, high + 1) if port not in closed}


class Muffled(Edge):
    """Drops UDP by a rule of its own: ``drops`` is told (way, source, destination), ``out`` or ``in``."""

    drops: Callable[[str, Endpoint, Endpoint], bool] = staticmethod(lambda way, source, to: False)

    def _at_server(self, seen: Endpoint, data: bytes, to: Endpoint) -> None:
        if not self.drops("out", seen, to):
            super()._at_server(seen, data, to)

    def _at_edge(self, source: Endpoint, destination: Endpoint, data: bytes) -> None:
        if not self.drops("in", source, destination):
            super()._at_edge(source, destination, data)


def muffled(drops: Callable[[str, Endpoint, Endpoint], bool], nat: Nat | None = None) -> Callable[[], Edge]:
    def edge() -> Edge:
        made = Muffled(nat or Nat(per_destination_ports=True, forwarded=forwarded_range(10_000, 10_199)))
        made.drops = drops  # type: ignore[method-assign]
        return made

    return edge
