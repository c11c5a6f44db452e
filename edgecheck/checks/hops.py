"""Packets sent to expire on the way: what each router says of them. For ``topology`` and for naming the hop of an ALG.

A router at which the TTL runs out says so (ICMP Time Exceeded) and quotes the packet as it looked there. Routers may say nothing, or
say it seldom: silence at a hop tells nothing about that hop, and the packet is sent again before it counts as silence.
"""

from typing import NamedTuple

from edgecheck.model.check import Network, Quote, UdpSocket
from edgecheck.wire.address import Endpoint

COPIES = 3
SPACING_S = 0.08


class Expiry(NamedTuple):
    """What came of one packet with one TTL."""

    quote: Quote | None
    """The first ICMP error about it; None = nobody said anything."""
    answered: bool
    """Something arrived on the socket instead: the packet reached its destination."""


async def expire(net: Network, socket: UdpSocket, to: Endpoint, data: bytes, ttl: int, copies: int = COPIES) -> Expiry:
    """Send a packet that lives for ``ttl`` hops, again if nobody says anything."""
    before, heard = len(socket.quotes), len(socket.inbox)

    def fresh() -> list[Quote]:
        return [quote for quote in socket.quotes[before:] if quote.to == to and quote.offender is not None]

    def answered() -> bool:
        return len(socket.inbox) > heard

    for _ in range(copies):
        socket.send(data, to, ttl)
        if await net.until(lambda: bool(fresh()) or answered(), max(SPACING_S, 1.3 * net.rtt)):
            break
    return Expiry(fresh()[0] if fresh() else None, answered())
