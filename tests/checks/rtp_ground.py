"""The range that the tests of ``rtp-range`` are about, and worlds that drop by a rule of their own."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from edgecheck.wire import ports as port_ranges
from edgecheck.wire.address import Endpoint
from tests.fakes.edge import Edge, Weather
from tests.fakes.nat import Nat

IDLE_S = 30.0
"""How long a router remembers a flow of one packet (Linux: nf_conntrack_udp_timeout)."""
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


class Crowded(Edge):
    """A router that has room for so many flows, or takes so many new ones a second. Flows that it knows pass, whatever else it drops."""

    def __init__(self, nat: Nat, weather: Weather | None = None, *, room: int = 1 << 30, new_a_second: float = 1e9, counts_closed: bool = False) -> None:
        """``counts_closed``: packets to ports that no rule names are taken for new flows, too."""
        super().__init__(nat, weather)
        self.room = room
        self.new_a_second = new_a_second
        self.counts_closed = counts_closed
        self._ends: dict[tuple[int, Endpoint], float] = {}
        self._tokens, self._at = max(1.0, new_a_second / 10), 0.0

    def _passes(self, port: int, remote: Endpoint, counted: bool) -> bool:
        now, flow = asyncio.get_running_loop().time(), (port, remote)
        if flow not in self._ends or self._ends[flow] < now:
            if not counted:
                return True
            if len(self._ends) >= self.room:
                self._ends = {known: end for known, end in self._ends.items() if end >= now}
            bucket = max(1.0, self.new_a_second / 10)
            self._tokens, self._at = min(bucket, self._tokens + (now - self._at) * self.new_a_second), now
            if self._tokens < 1 or len(self._ends) >= self.room:
                return False
            self._tokens -= 1
        self._ends[flow] = now + IDLE_S
        return True

    def _at_server(self, seen: Endpoint, data: bytes, to: Endpoint) -> None:
        if self._passes(seen.port, to, True):
            super()._at_server(seen, data, to)

    def _at_edge(self, source: Endpoint, destination: Endpoint, data: bytes) -> None:
        open_port = ("udp", destination.port) in self.nat.forwarded
        if self._passes(destination.port, source, self.counts_closed or open_port):
            super()._at_edge(source, destination, data)


class Guarded(Edge):
    """A router that shuts out whoever has begun so many flows from outside; flows that it knows go on."""

    def __init__(
        self, nat: Nat, weather: Weather | None = None, *, most: int, each_port: bool = False, global_ban: bool = False, **options: Any
    ) -> None:
        """``each_port``: every port of the sender's is counted for itself. ``global_ban``: everybody is shut out then."""
        super().__init__(nat, weather, **options)
        self.most = most
        self.each_port = each_port
        self.global_ban = global_ban
        self.known: set[tuple[Endpoint, int]] = set()
        """Flows that it knows: who sends, to which port."""
        self.begun: Counter[str] = Counter()

    def _at_server(self, seen: Endpoint, data: bytes, to: Endpoint) -> None:
        self.known.add((to, seen.port))
        super()._at_server(seen, data, to)

    def admits(self, transport: str, source: Endpoint, port: int) -> int | None:
        return super().admits(transport, source, port) if self._passes(transport, source, port) else None

    def _at_edge(self, source: Endpoint, destination: Endpoint, data: bytes) -> None:
        if self._passes("udp", source, destination.port):
            super()._at_edge(source, destination, data)

    def _passes(self, transport: str, source: Endpoint, port: int) -> bool:
        if (source, port) in self.known:
            return True
        who = "anyone" if self.global_ban else str(source) if self.each_port else source.host
        self.begun[who] += 1
        if self.begun[who] <= self.most and super().admits(transport, source, port) is not None:
            self.known.add((source, port))
        return self.begun[who] <= self.most
