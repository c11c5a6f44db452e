"""The client's ends in the world of memory: its sockets, many at once, a connection's end, a listener. Where what they send goes is the edge's."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgecheck.model.check import Arrival, Quote
from edgecheck.wire.address import Endpoint

if TYPE_CHECKING:
    from tests.fakes.edge import Edge


@dataclass
class FakeUdp:
    edge: "Edge"
    local: Endpoint
    inbox: list[Arrival] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    quotes: list[Quote] = field(default_factory=list)

    def send(self, data: bytes, to: Endpoint, ttl: int | None = None) -> None:
        self.edge.send(self.local.port, data, to, ttl)

    def close(self) -> None:
        self.edge.udp.pop(self.local.port, None)


class FakeBatch:
    def __init__(self, edge: "Edge", ports: Sequence[int], accept: Callable[[bytes], bool]) -> None:
        self._edge = edge
        self._accept = accept
        self.busy = {port: "port-in-use" for port in ports if port in edge.udp or ("udp", port) in edge.taken}
        self.opened = frozenset(ports) - self.busy.keys()
        self.arrivals: list[tuple[int, Arrival]] = []
        edge.batches.append(self)

    def receive(self, port: int, arrival: Arrival) -> None:
        if self._accept(arrival.data):
            self.arrivals.append((port, arrival))

    def send(self, port: int, data: bytes, to: Endpoint) -> bool:
        self._edge.from_client(port, data, to)
        return True

    def drain(self) -> None: ...

    def release(self, ports: Iterable[int]) -> None:
        self.opened -= set(ports)

    def retake(self, ports: Iterable[int]) -> None:
        taken = {port for port in ports if port in self._edge.udp or ("udp", port) in self._edge.taken}
        self.busy |= dict.fromkeys(taken, "port-in-use")
        self.opened |= set(ports) - taken

    def close(self) -> None:
        self._edge.batches.remove(self)


class FakeStream:
    """One end of a TCP connection; ``peer`` hears what is sent, a delay later."""

    certificate: bytes | None = None

    def __init__(self, edge: "Edge", local: Endpoint, remote: Endpoint, hear: Callable[[bytes], None]) -> None:
        self.local, self.remote = local, remote
        self.received = bytearray()
        self.closed: str | None = None
        self._edge = edge
        self._hear = hear

    def send(self, data: bytes) -> None:
        asyncio.get_running_loop().call_later(self._edge.weather.delay, self._hear, data)

    def deliver(self, data: bytes) -> None:
        self.received += data
        self._edge.bell.ring()

    def close(self) -> None:
        self.closed = "closed"


class FakeListener:
    def __init__(self, edge: "Edge", local: Endpoint) -> None:
        self.local = local
        self.accepted: list[Any] = []
        self._edge = edge

    def close(self) -> None:
        self._edge.listeners.pop(self.local.port, None)
