"""One question from either address of the server to a port, from a port of its own that nobody has seen; and whether it got there."""

from typing import Literal, NamedTuple

from edgecheck.checks.port_forwarding.observation import PortRow
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


def heard(net: Network, end: End | None, series: int, port: int) -> bool:
    """Whether it arrived at this end."""
    marker = control.sip_marker(net.session, series, port).encode()
    return any(marker in one.data for one in getattr(end, "inbox", ())) or bool(getattr(end, "accepted", ()))


def let_in(row: control.InquiryRow | None) -> bool:
    """Whether somebody answered it, or accepted the connection."""
    return row is not None and (row.outcome in ("answered", "connected") or bool(row.said))


def place_of(row: PortRow) -> Place:
    return row.transport, row.port
