"""The floor under the network: what opens sockets. ``sockets`` is the real one; the tests have one made of memory."""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from edgecheck.model.check import Counters, Listener, PortBatch, Sightings, Stream, UdpSocket
from edgecheck.model.machine import Holder, Machine
from edgecheck.model.router import RouterFacts
from edgecheck.net.sockets.bell import Bell
from edgecheck.wire.address import Endpoint


class Transport(Protocol):
    """Opens sockets bound to one local address. Everything raises ``LocalFailure``."""

    source: str
    bell: Bell
    port_capacity: int
    sees_quotes: bool

    async def open_udp(self, port: int) -> UdpSocket: ...

    async def open_ports(self, ports: Sequence[int], accept: Callable[[bytes], bool]) -> PortBatch: ...

    async def listen_tcp(self, port: int) -> Listener: ...

    async def connect(self, to: Endpoint, port: int, timeout: float, *, tls: bool, ttl: int | None = None) -> Stream: ...

    def counters(self) -> Counters | None: ...

    async def read_router(self) -> RouterFacts:
        """Ask the default router of this local address what it says of itself. Never raises."""

    async def owners(self, transport: str, ports: Collection[int]) -> dict[int, str]: ...

    async def holders(self, transport: str, ports: Collection[int]) -> dict[int, tuple[Holder, ...]]: ...

    def watch(self) -> Sightings: ...

    async def read_machine(self) -> Machine:
        """What this machine says of itself. Never raises."""

    def wall_clock(self) -> float:
        """Seconds since 1970, UTC, as this machine believes."""
