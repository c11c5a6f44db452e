"""Packets sent to expire on the way: what each router says of them. For ``topology`` and for naming the hop of an ALG.

A router at which the TTL runs out says so (ICMP Time Exceeded) and quotes the packet as it looked there. Routers may say nothing, or
say it seldom: silence at a hop tells nothing about that hop, and the packet is sent again before it counts as silence.
"""

from collections.abc import Collection
from typing import NamedTuple

from edgecheck.model.check import Network, Quote, UdpSocket
from edgecheck.wire.address import Endpoint

COPIES = 3
SPACING_S = 0.08
LATE_S = 0.4
"""How late a word about an expired packet is still expected: a queue of a quarter of a second, and a router that thinks."""
RATE_LIMIT_S = 1.1
"""Linux refills one ICMP error a second for each destination (``icmp_ratelimit``)."""


class Expiry(NamedTuple):
    """What came of one packet with one TTL."""

    quote: Quote | None
    """The first ICMP error about it; None = nobody said anything."""
    answered: bool
    """Something arrived on the socket instead: the packet reached its destination."""


async def expire(
    net: Network, socket: UdpSocket, to: Endpoint, data: bytes, ttl: int, copies: int = COPIES, *, nearer: Collection[str] | None = None
) -> Expiry:
    """Send a packet that lives for ``ttl`` hops, again if nobody says anything.

    ``nearer``: the routers that this very socket met at fewer hops. What they say now is a late word about an earlier copy, and silence
    here is waited out longer, lest a late word be taken for the next hop's. None: this socket asks of one hop alone.
    """
    before, heard = len(socket.quotes), len(socket.inbox)

    def fresh() -> list[Quote]:
        met = nearer or ()
        return [quote for quote in socket.quotes[before:] if quote.to == to and quote.offender is not None and quote.offender not in met]

    def answered() -> bool:
        return len(socket.inbox) > heard

    spacing = max(SPACING_S, 1.3 * net.rtt)
    for copy in range(1, copies + 1):
        socket.send(data, to, ttl)
        patience = max(spacing, LATE_S) if nearer is not None and copy == copies else spacing
        if await net.until(lambda: bool(fresh()) or answered(), patience):
            break
    return Expiry(fresh()[0] if fresh() else None, answered())


async def controls(
    net: Network, socket: UdpSocket, to: Endpoint, data: bytes, ttl: int, *, enough: int, beside: Endpoint | None, copies: int = 1
) -> tuple[int, int]:
    """Packets that must expire at this hop, until ``enough`` in a row did: how many were sent, of how many it was told.

    ``beside``: so many ``copies`` to this address go right before each, so that whoever could tell of it could have told of them. Routers
    tell of few expired packets a second (Linux: one, after a burst of six): at the first that is not told of, it begins anew, slowly.
    """

    def told() -> int:
        return sum(quote.to == to and quote.expired and quote.offender is not None for quote in socket.quotes)

    for pause in (0.0, RATE_LIMIT_S):
        sent, before = 0, told()
        while sent < enough:
            if pause:
                await net.sleep(pause)
            for other in [beside] * copies:
                if other is not None:
                    socket.send(data, other, ttl)
            socket.send(data, to, ttl)
            sent += 1
            if not await net.until(lambda wanted=before + sent: told() >= wanted, max(SPACING_S, 1.3 * net.rtt)):  # type: ignore[misc]
                break
        else:
            break
    return sent, min(sent, told() - before)
