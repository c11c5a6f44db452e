"""SIP: what the server received and sent, byte by byte; and the requests that it sends of its own."""

import re
from typing import Literal

import msgspec

from edgecheck.wire.control.handshake import Transport

Direction = Literal["received", "sent"]


class Mirror(msgspec.Struct, frozen=True, kw_only=True, tag="mirror"):
    """What SIP did you receive from this session and send to it? Exact bytes."""

    id: int
    after: int = 0
    """Skip the first so many records: ask again without hearing all twice."""


class Mirrored(msgspec.Struct, frozen=True, kw_only=True, tag="mirrored"):
    id: int
    records: tuple["MirrorRecord", ...]
    dropped: int = 0
    """Messages beyond the limit, counted and not kept."""


class MirrorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One SIP message (or a stream's garbage) as it crossed the server's socket."""

    at_ms: float
    direction: Direction
    transport: Transport
    server_port: int
    peer: str
    data: bytes
    """Exact; base64 in JSON, so that an ALG on the way back cannot undo its own work."""


class Call(msgspec.Struct, frozen=True, kw_only=True, tag="call"):
    """Send me SIP requests of your own, as a PBX does to a phone that has registered.

    They leave from the UDP socket that the REGISTER came to, for the place that it came from, if that address has proved itself; beside
    each round goes a ``PROBE`` as long as the longest of them, which is no SIP. Answered with ``Called`` when the last copy has left.
    Over TCP and TLS they go once, each in one write, on the connection that the REGISTER came on; no probe goes beside them.
    """

    id: int
    series: int
    """Of the REGISTER, of the requests and of the probes."""
    registered: int
    """The REGISTER's item: its Contact, as it arrived, is called."""
    methods: tuple[Literal["OPTIONS", "INVITE"], ...]
    """OPTIONS goes to the Contact as it arrived (RFC 3261 section 16.6); INVITE to the same user at the place that the REGISTER came
    from, as PBXs do that mend the Contact of phones behind a NAT."""
    items: tuple[int, ...]
    """One for each method, and a last one for the probes."""
    copies: int = 1
    spacing_ms: int = 25
    transport: Transport = "udp"
    """Of the REGISTER."""


class Called(msgspec.Struct, frozen=True, kw_only=True, tag="called"):
    id: int
    sent: int
    """Datagrams that left; the SIP among them is in the mirror as ``sent``."""
    controls: int
    """Probes that left."""


def sip_marker(session: bytes, series: int, item: int) -> str:
    """The word by which the mirror knows a SIP message of this session: it stands in several places, some ALG may eat one."""
    return f"ec{session.hex()}-{series:04x}{item:04x}"


SIP_MARKER = re.compile(rb"ec([0-9a-f]{16})-([0-9a-f]{4})([0-9a-f]{4})")
