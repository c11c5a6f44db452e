"""What the server sends, as values."""

from collections.abc import Callable
from typing import NamedTuple

from edgecheck.wire.address import Endpoint


class Outbound(NamedTuple):
    """One datagram to be sent."""

    sender: str
    """Listener name of the socket that sends it."""
    destination: Endpoint
    data: bytes
    take_back: Callable[[], None] | None = None
    """To be called when our own system refused to send it: a receipt must not claim an answer that never left."""
    hops: int = 0
    """TTL or hop limit; 0 = the system's default."""
