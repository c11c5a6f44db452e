"""Does a packet to an own mapped endpoint come back in? (RFC 4787 section 6)"""

import asyncio

from edgecheck.checks.nat_behavior.observation import mapping_row
from edgecheck.checks.unsolicited import margin
from edgecheck.model.check import Network, UdpSocket
from edgecheck.model.evidence import Answered, Exchange, loss_is_excluded
from edgecheck.wire import probe
from edgecheck.wire.address import Endpoint, parse_endpoint

HAIRPIN_COPIES = 16
"""Each way: beside 32 lost copies so many controls may be lost as hardly ever are where a path loses one in twenty each way."""
HAIRPIN_SPACING_S = 0.0115


async def mapped_endpoints(net: Network, sockets: list[UdpSocket]) -> list[Endpoint] | None:
    """As the primary address sees them; None unless it is told of each socket."""
    exchanges = await asyncio.gather(*(net.stun(socket, net.primary) for socket in sockets))
    rows = [mapping_row(exchange) for exchange in exchanges]
    return [parse_endpoint(row.mapped) for row in rows if row] if all(rows) else None


async def exchange_hairpins(net: Network, sockets: list[UdpSocket], mapped: list[Endpoint]) -> tuple[bool | None, int]:
    """Each of two sockets sends to the other's mapped endpoint: both ways, so that a filter does not hide the hairpin.

    The control for silence: Binding requests on the same sockets in the same moments, each over the same first hop and farther.
    """
    series = net.new_series()

    def heard() -> bool:
        return any(_is_hairpin(net, arrival.data, series) for socket in sockets for arrival in socket.inbox)

    controls: list[asyncio.Task[Exchange]] = []
    for copy in range(HAIRPIN_COPIES):
        for socket, to in zip(sockets, reversed(mapped), strict=True):
            socket.send(probe.serialize(probe.Probe(probe.Kind.HAIRPIN, net.session, series, 0, copy)), to)
        controls.append(asyncio.ensure_future(net.stun(sockets[copy % 2], net.primary, copies=1)))
        if await net.until(heard, HAIRPIN_SPACING_S):
            break
    arrived = sum(isinstance(exchange.outcome, Answered) for exchange in await asyncio.gather(*controls))
    if heard() or await net.until(heard, margin(net)):
        return True, len(controls)
    # Two directions, each copy: both ways silent needs twice as many losses.
    proved = loss_is_excluded(arrived, len(controls), 2 * len(controls))
    return (False if proved else None), len(controls)


def _is_hairpin(net: Network, data: bytes, series: int) -> bool:
    if not data.startswith(probe.MAGIC) or len(data) < probe.SIZE:
        return False
    found = probe.parse(data) if data[4] == probe.Kind.HAIRPIN else None
    return found is not None and found.session == net.session and found.series == series
