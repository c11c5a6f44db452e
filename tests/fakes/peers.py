"""Who answers a phone in a world of memory: over UDP a function, over TCP somebody with a connection."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

from edgecheck.model.check import Delivery
from edgecheck.wire.address import Endpoint


class Reply(NamedTuple):
    """A datagram that a peer sends back."""

    data: bytes
    source: Endpoint | None = None
    """None: from where the question went."""
    to_port: int | None = None
    """None: to the port that it came from."""
    delay: float = 0.0


class Icmp(NamedTuple):
    """An ICMP error that a peer or a router on the way sends back."""

    type: int = 3
    code: int = 3
    offender: str | None = None


UdpPeer = Callable[[bytes, Endpoint], Iterable[Reply | Icmp]]


class Wire(Protocol):
    """What a connection runs over."""

    local: Endpoint
    """The phone's end."""

    def arrive(self, data: bytes) -> None: ...

    def end(self, why: str) -> None: ...


class Connection:
    """A TCP connection as the peer sees it."""

    def __init__(self, stream: "Wire") -> None:
        self._stream = stream
        self.source = stream.local
        self.asked: Any = None
        """Whatever the peer keeps for this connection."""

    def send(self, data: bytes) -> None:
        self._stream.arrive(data)

    def close(self, why: str = "the other end closed it") -> None:
        self._stream.end(why)


class TcpPeer:
    """Accepts, and says nothing. Tests override what they need."""

    delivery: Delivery | None = None
    """What the phone's TCP knows of a connection to it."""

    def connected(self, connection: Connection) -> None: ...

    def received(self, connection: Connection, data: bytes) -> None: ...


class Refuse(TcpPeer):
    """``connect`` fails: ``refused`` (RST), ``reset``, ``no-route``."""

    def __init__(self, reason: str = "refused") -> None:
        self.reason = reason


class Lossy(TcpPeer):
    """The first connections come to nothing, as if every SYN were lost; then it is this peer."""

    def __init__(self, peer: TcpPeer, lost: int) -> None:
        self.peer, self.lost = peer, lost

    def next(self) -> TcpPeer | None:
        """Who takes the next connection; None: nobody hears of it."""
        self.lost -= 1
        return self.peer if self.lost < 0 else None
