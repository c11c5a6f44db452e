"""One question from either address of the server to a port, from a port of its own that nobody has seen; and whether it got there."""

import asyncio
from typing import Literal, NamedTuple

from edgecheck.checks.port_forwarding.observation import PortRow
from edgecheck.checks.unsolicited import margin
from edgecheck.model.check import Listener, Network, UdpSocket
from edgecheck.wire import control

Transport = Literal["udp", "tcp"]
Place = tuple[Transport, int]
End = UdpSocket | Listener


class Manner(NamedTuple):
    """How it is put."""

    held: bool
    """A service of this machine holds the port, and is asked in its own language."""
    copies: int
    spacing_ms: int
    patience_ms: int
    """Besides two round trips."""


async def open_end(net: Network, place: Place) -> End:
    """A socket that hears it. Raises ``LocalFailure``."""
    return await (net.open_udp if place[0] == "udp" else net.listen_tcp)(place[1])


async def ask(net: Network, sender: Literal["A", "B"], place: Place, how: Manner, series: int) -> control.InquiryRow | None:
    """What the server says became of it. Raises ``RequestDeclined``."""
    transport, port = place
    speak: Literal["sip", "nothing", "datagram"] = "nothing" if transport == "tcp" else "sip" if how.held else "datagram"
    reply = await net.ask(
        lambda id: control.Inquire(
            id=id,
            series=series,
            address=net.observed,
            ports=((port, port),),
            transport=transport,
            speak=speak,
            sender=sender,
            attempts=how.copies,
            spacing_ms=how.spacing_ms,
            patience_ms=int(how.patience_ms + 2000 * net.rtt),
        )
    )
    return next(iter(reply.rows), None) if isinstance(reply, control.Inquired) else None


async def reaches(net: Network, place: Place, how: Manner, end: End | None) -> tuple[bool, control.InquiryRow | None]:
    """Whether the alternate address gets there: known as soon as it does; and the server's account, where that was waited for.

    ``end``: our own; None where a service holds the port, whose answer tells then. Raises ``RequestDeclined``.
    """
    series = net.new_series()
    asking = asyncio.create_task(ask(net, "B", place, how, series))
    hearing = asyncio.create_task(net.until(lambda: heard(net, end, series, place[1]), 3600))
    try:
        await asyncio.wait((asking, hearing), return_when=asyncio.FIRST_COMPLETED)
        if hearing.done():
            return True, None
        row = await asking
        if how.held and let_in(row):
            return True, row
        await net.sleep(margin(net))
        return heard(net, end, series, place[1]), row
    finally:
        for task in (asking, hearing):
            task.cancel()
        await asyncio.gather(asking, hearing, return_exceptions=True)


def heard(net: Network, end: End | None, series: int, port: int) -> bool:
    """Whether it arrived at this end."""
    marker = control.sip_marker(net.session, series, port).encode()
    return any(marker in one.data for one in getattr(end, "inbox", ())) or bool(getattr(end, "accepted", ()))


def let_in(row: control.InquiryRow | None) -> bool:
    """Whether somebody answered it, or accepted the connection."""
    return row is not None and (row.outcome in ("answered", "connected") or bool(row.said))


def place_of(row: PortRow) -> Place:
    return row.transport, row.port
