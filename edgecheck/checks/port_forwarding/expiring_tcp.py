"""Does the box with the public address tell of TCP segments that expire at it?

Its silence about a TCP port means something only then, and that it tells of UDP promises nothing: filters sort errors by what they quote.
So segments that it must lead on are made to expire there: this machine opens connections to the server, and the server sends on them, with
a hop limit that ends at the box (``control.Push``). One error is enough. The system's own repetition of the segment arrives as ever.
"""

import asyncio

from edgecheck.model.check import Network, Stream
from edgecheck.model.errors import LocalFailure, RequestDeclined
from edgecheck.model.evidence import Answered
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint

_AT_ONCE = 4
"""Linux tells one peer of six in a row, and some were spent on the way here."""
_LATER = 2
_PAUSE_S = 1.1
"""A box that is tired tells of one a second."""
_WAITS_S = (0.1, 0.4)
_CONNECT_S = 1.0


async def tells_of_tcp(net: Network, hops: int) -> bool:
    """``hops``: from the server to the box. False also where nothing could be tried."""
    if "push" not in net.service.capabilities:
        return False
    others = (Endpoint(net.primary.host, one.port) for one in net.service.reach if one.transport == "tcp")
    for to in (net.primary, *others):
        told = await _told_of(net, to, hops, _AT_ONCE)
        if told is None:
            continue  # nobody gets there
        for _ in range(0 if told else _LATER):
            await net.sleep(_PAUSE_S)
            told = told or await _told_of(net, to, hops, 1)
        return bool(told)
    return False


async def _told_of(net: Network, to: Endpoint, hops: int, count: int) -> bool | None:
    """Whether one of so many was told of. None: no connection."""
    series = net.new_series()
    streams = [stream for stream in await asyncio.gather(*(_open(net, to, series, item) for item in range(count))) if stream]
    try:
        return await _pushed(net, series, count, hops) if streams else None
    finally:
        for stream in streams:
            stream.close()


async def _open(net: Network, to: Endpoint, series: int, item: int) -> Stream | None:
    """A connection that the server knows by this name."""
    try:
        stream = await net.connect_tcp(to, timeout=_CONNECT_S + 3 * net.rtt)
    except LocalFailure:
        return None
    exchange = await net.stun_stream(stream, series, item)
    if isinstance(exchange.outcome, Answered):
        return stream
    stream.close()
    return None


async def _pushed(net: Network, series: int, count: int, hops: int) -> bool:
    items = tuple(range(count))
    try:
        await net.ask(lambda id: control.Push(id=id, series=series, items=items, hops=hops))
        for wait in _WAITS_S:
            await net.sleep(wait + 2 * net.rtt)
            reply = await net.ask(lambda id: control.Push(id=id, series=series, items=items))
            if isinstance(reply, control.Pushed) and any(row.state == "expired" for row in reply.rows):
                return True
    except RequestDeclined:
        pass  # a server that cannot
    return False
