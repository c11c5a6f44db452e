"""The facts of ``mapping-lifetime``."""

import math
from typing import Literal

import msgspec

from edgecheck.model.check import Observation

Kind = Literal["packet", "stream", "inbound", "sip", "tcp"]
Bounds = tuple[int | None, int | None]
"""Seconds: the longest idle time proved alive, the shortest proved dead; None = not known."""


class IdlePoint(msgspec.Struct, frozen=True, kw_only=True):
    """One flow that was left idle and then sent to."""

    kind: Kind
    idle_s: int
    """Nothing had passed for so long at least; of ``inbound``: nothing from here."""
    at_most_s: float
    """... and for so long at most when the last copy had left the server."""
    alive: bool | None
    """Whether a copy got in; None = could not tell, see ``reason``."""
    copies: int
    """Of ``tcp``: connections of this age to which the server sent; TCP repeats by itself."""
    arrived: int
    control: int
    """Arrived of as many copies to a flow that had just been refreshed. Of ``tcp``: questions answered without a repetition meanwhile, on
    connections as old that were kept busy ..."""
    control_copies: int | None = None
    """... of so many; None: as many as ``copies``."""
    ended: str = ""
    """Of ``tcp``, in words: how the end of the connection showed."""
    local: str
    mapped: str
    """``ip:port``; empty where the server never answered."""
    reason: str = ""

    @property
    def dead_by_s(self) -> int:
        """Of a dead flow: it lives no longer than this. The time of the grid, where the packets came within a second of it."""
        return self.idle_s if self.at_most_s <= self.idle_s + 1 else math.ceil(self.at_most_s)


class BareTest(msgspec.Struct, frozen=True, kw_only=True):
    """What reached sockets that had not sent anything yet."""

    sockets: int
    reached: int
    copies: int
    """To each."""
    control: int
    """Arrived of as many at a socket that had been answered just before."""


class LifetimeObservation(Observation, frozen=True, kw_only=True):
    """Facts of ``mapping-lifetime``."""

    udp_s: Bounds = (None, None)
    """After one exchange: [longest idle time proved alive, shortest proved dead], seconds."""
    udp_stream_s: Bounds = (None, None)
    """The same after two-way traffic of some seconds."""
    sip_s: Bounds = (None, None)
    """The same after one exchange of SIP with the server's SIP port."""
    inbound_refreshes: bool | None = None
    """Whether packets from outside keep a mapping alive (RFC 4787 REQ-6)."""
    tcp_s: Bounds | None = None
    """The same of an established TCP connection; None = not measured."""
    recommended_keepalive_s: int | None = None
    lets_in_all: bool | None = None
    """Packets get in to sockets that have sent nothing: there is no lifetime to measure."""
    quick: bool = False
    grid_s: tuple[int, ...] = ()
    """Idle times that were to be tried."""
    points: tuple[IdlePoint, ...] = ()
    bare: BareTest | None = None
    sender: str = ""
    """The contacted address and port, from which the server sent."""
    tcp_sender: str = ""
    """The address and port to which the connections of kind ``tcp`` were made."""
    sip_sender: str = ""
    """The server's SIP port, from which it sent to the flows of kind ``sip``."""
    reasons: dict[str, str] = {}
    """Field -> why it is None."""
