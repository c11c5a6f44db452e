"""How far do packets get that never reach the server? Those from a blocked port, beside others to the same place, expire hop by hop.

The last hop that tells of them has seen them; the next one, where it tells of the others and of none of these, has not. Routers look at the
TTL before their rules, so it is the former that drops them as it leads them on, or the latter before it looks, or something between.
Silence counts as in ``port_forwarding.paired``: with a packet from another port right behind each, of which that hop tells.
"""

import random

from edgecheck.checks.hops import expire
from edgecheck.checks.port_forwarding.paired import FAST, SLOW, enough
from edgecheck.checks.rtp_range.observation import Traced
from edgecheck.checks.unsolicited import margin
from edgecheck.model.check import Network, UdpSocket
from edgecheck.model.errors import LocalFailure
from edgecheck.wire import probe, rtp
from edgecheck.wire.address import Endpoint

Place = tuple[int, str | None]
"""(hop, address)."""
MOST_HOPS = 16
_WALKS = 2
"""In one run: each may end at a silence."""
_SILENT_HOPS = 2
"""So many hops in a row that tell of nothing end the walk."""


async def trace(net: Network, port: int, to: Endpoint) -> Traced | None:
    """None: nothing shows it, or it does get through."""
    if not net.sees_quotes:
        return None
    try:
        suspect = await net.open_udp(port)
    except LocalFailure:
        return None
    try:
        return await _walk(net, suspect, to)
    finally:
        suspect.close()


async def _walk(net: Network, suspect: UdpSocket, to: Endpoint) -> Traced | None:
    last: Place = (0, None)
    silent = 0
    met: set[str] = set()
    for hop in range(1, MOST_HOPS + 1):
        other = await net.open_udp()
        try:
            quote, answered = await expire(net, other, to, _packet(net, other), hop)
            if answered or (quote is not None and not quote.expired):
                # The way's end: that the server has seen none of the suspect's is known by its own count.
                at_the_end = answered or (quote is not None and quote.offender == to.host)
                return _seen_by(suspect, last, (hop, to.host)) if at_the_end and last[0] else None
            silent = silent + 1 if quote is None else 0
            if silent == _SILENT_HOPS:
                return None
            if quote is None or quote.offender is None:
                continue
            seen = await expire(net, suspect, to, _packet(net, suspect), hop, nearer=met)
            if seen.answered:
                return None
            # Whoever refuses may have told of expiry before: its word is no late one.
            refusal = next((one for one in suspect.quotes if one.to == to and not one.expired and one.offender), None)
            if refusal is not None:
                kind = f"ICMP {refusal.icmp_type}/{refusal.icmp_code}"
                return _seen_by(suspect, last, (hop, refusal.offender or quote.offender), refused=kind)
            if seen.quote is not None:
                last = hop, seen.quote.offender
                met.add(seen.quote.offender or "")
                continue
            sent, told = await _silent_beside(net, suspect, other, to, hop, quote.offender)
            if not enough(sent, told, _WALKS):
                return None
            return _seen_by(suspect, last, (hop, quote.offender), (sent, told))
        finally:
            other.close()
    return None


def _seen_by(
    suspect: UdpSocket, last: Place, following: tuple[int, str], controls: tuple[int, int] = (0, 0), refused: str | None = None
) -> Traced:
    return Traced(
        port=suspect.local.port,
        last_hop=last[0],
        last_address=last[1],
        next_hop=following[0],
        next_address=following[1],
        refused_with=refused,
        controls_sent=controls[0],
        controls_told=controls[1],
    )


async def _silent_beside(net: Network, suspect: UdpSocket, other: UdpSocket, to: Endpoint, hop: int, offender: str) -> tuple[int, int]:
    """How many controls went right behind a packet of the suspect's, and of how many the hop told; none where it told of the suspect's."""

    def told(socket: UdpSocket) -> int:
        return sum(quote.to == to and quote.expired and quote.offender == offender for quote in socket.quotes)

    sent = heard = 0
    for gait in (FAST, SLOW):
        sent, before = 0, told(other)
        for number in range(gait.trains):
            if number:
                await net.sleep(random.uniform(*gait.gap_s))
            suspect.send(_packet(net, suspect), to, hop)
            other.send(_packet(net, other), to, hop)
            sent += 1
        await net.sleep(gait.patience_s + margin(net))
        heard = min(sent, told(other) - before)
        if told(suspect):
            return 0, 0
        if enough(sent, heard, _WALKS):
            break
    return sent, heard


def _packet(net: Network, socket: UdpSocket) -> bytes:
    """RTP, as the port had sent it; counted and answered, should it arrive."""
    series = net.new_series()
    echo = probe.serialize(probe.Probe(probe.Kind.ECHO, net.session, series, 0, port=socket.local.port))
    return rtp.probe_packet(echo, series, 160 * series, int.from_bytes(net.session[:4], "big"))
