"""What the server is asked to send, open and connect to, and what it says that it did."""

from typing import Literal

import msgspec

from edgecheck.wire.control.account import ErrorRow
from edgecheck.wire.control.handshake import Transport

Sender = Literal["A1", "A2", "AX", "B1", "B2", "BX", "SIP"]
"""A socket of the server: A = primary address, B = alternate; 1 and 2 = the STUN ports, X = a socket kept for probes; SIP = the SIP port
(where ``probe-from-sip`` is among the capabilities)."""


class Prove(msgspec.Struct, frozen=True, kw_only=True, tag="prove"):
    """Return a cookie from ``CLAIMED``: the claim's source address becomes one that may be probed."""

    id: int
    cookie: str
    """Hexadecimal, 8 bytes."""
    address: str
    """The claim's source as the client learned it: IP address only."""


class Proved(msgspec.Struct, frozen=True, kw_only=True, tag="proved"):
    id: int
    addresses: tuple[str, ...]
    """Every address this session may have probed."""
    ticket: str = ""
    """The session's ticket, with this address in it."""


class Probe(msgspec.Struct, frozen=True, kw_only=True, tag="probe"):
    """Send UDP probes to my ports. Answered with ``Probed`` when the last copy has left."""

    id: int
    series: int
    address: str
    """Must have proved itself in this session."""
    ports: tuple[tuple[int, int], ...]
    """Ranges. The probe's ``item`` is the port aimed at."""
    senders: tuple[Sender, ...]
    """Each copy is sent from each of these in turn, back to back, so that they meet the same weather."""
    dress: Literal["plain", "rtp"] = "plain"
    copies: int = 1
    spacing_ms: int = 25
    """Between the copies to one port."""
    pace: int = 0
    """Datagrams a second; 0 = as fast as the server allows."""
    hops: int = 0
    """Routers that the probes may reach before they expire (TTL, hop limit); 0 = the system's default. Needs ``hop-limit``."""
    shuffle: int = 0
    """Non-zero: ports in a pseudo-random order seeded with it, so that a burst of loss does not look like a hole."""
    fresh: int = 0
    """Non-zero, 65535 at most: not from the session's ``AX`` or ``BX``, which alone may be named then, but from a further port on the same
    address, which no edge knows. It is opened when a request first names this number, and kept for the session; ``Limits.fresh_ports``
    at most."""


class Probed(msgspec.Struct, frozen=True, kw_only=True, tag="probed"):
    id: int
    sent: int
    """Datagrams that left."""
    failed: int = 0
    """Datagrams that the server's own system refused to send."""


class Dial(msgspec.Struct, frozen=True, kw_only=True, tag="dial"):
    """Connect to my TCP ports, send a ``PROBE`` and expect it back as ``ECHO`` with the same session, series, item."""

    id: int
    series: int
    address: str
    ports: tuple[tuple[int, int], ...]
    sender: Literal["A", "B"] = "B"
    attempts: int = 4
    """Parallel connections a port, each with its own SYN, so that one lost SYN costs nothing."""
    spacing_ms: int = 120
    patience_ms: int = 900
    """How long each attempt may take."""
    hops: int = 0
    """As in ``Probe``."""
    source_port: int = 0
    """Connect from this port, 32768 or above, so that it may be expected; for one attempt to one port. 0 = any. Needs ``hop-limit``."""
    least_ttl: int = 0
    """Segments that arrive with a smaller TTL are not heard (RFC 5082): so a reset tells how far off it was made. Needs ``least-ttl``."""


class Dialed(msgspec.Struct, frozen=True, kw_only=True, tag="dialed"):
    id: int
    rows: tuple["DialRow", ...]


class DialRow(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the attempts to one port; the best of them is told."""

    port: int
    outcome: Literal["proved", "connected", "refused", "unreachable", "silent", "unsent"]
    """``connected``: someone accepted but did not return the probe. ``refused``: RST. ``unreachable``: ICMP. ``unsent``: our own fault."""
    attempts: int
    elapsed_ms: float
    detail: str = ""
    """Words: errno text, or the first bytes that the stranger said (printable ASCII, 120 at most)."""
    icmp: "ErrorRow | None" = None
    """``unreachable``: the ICMP error, where the server's system tells it."""


class Inquire(msgspec.Struct, frozen=True, kw_only=True, tag="inquire"):
    """Ask the services behind my ports who they are, with a SIP OPTIONS, or by opening a connection and listening.

    For ports that a running service holds: see ``wire.inquiry`` for what is sent.
    """

    id: int
    series: int
    """Stands in the OPTIONS' marker, with the port as its item."""
    address: str
    """Must have proved itself in this session."""
    ports: tuple[tuple[int, int], ...]
    transport: Transport
    speak: Literal["sip", "nothing", "datagram"] = "sip"
    """``nothing``: connect, say nothing, listen for a moment. ``datagram``: over UDP the marker alone, for a service that is not SIP."""
    sender: Literal["A", "B"] = "B"
    attempts: int = 4
    """Copies of one OPTIONS over UDP (one transaction); connections begun one after the other. The first answer ends them."""
    spacing_ms: int = 250
    patience_ms: int = 1500
    """How long after the last copy, and for each connection, an answer is waited for."""
    mark: bool = False
    """UDP: send with ECT(1) (RFC 3168), which hardly any traffic has, so that the machine's own counters show the arrival."""


class Inquired(msgspec.Struct, frozen=True, kw_only=True, tag="inquired"):
    id: int
    rows: tuple["InquiryRow", ...]


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """Of a TLS service. Nobody vouches for it: it is evidence."""

    subject: str
    issuer: str
    """Both as RFC 4514 text, printable, 120 characters at most."""
    sha256: str
    """Of the DER, hexadecimal."""


class InquiryRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one port's service made of it."""

    port: int
    outcome: Literal["answered", "connected", "refused", "unreachable", "silent", "unsent"]
    """``answered``: a SIP response to our OPTIONS. ``connected``: it accepted. ``refused``: RST. ``unreachable``: ICMP."""
    attempts: int
    """Copies or connections that left."""
    sources: tuple[str, ...] = ()
    """Addresses and ports from which they left; the one that came about first."""
    elapsed_ms: float = 0.0
    status: int | None = None
    """Of the SIP response."""
    software: str = ""
    """Its Server, else its User-Agent."""
    answered_from: str = ""
    """UDP: where the response came from."""
    said: str = ""
    """The first bytes of whatever else was said."""
    certificate: Certificate | None = None
    detail: str = ""
    """Words: errno text, the ICMP error, why TLS failed."""


class OpenMedia(msgspec.Struct, frozen=True, kw_only=True, tag="open-media"):
    """Open media sockets on the primary address; each returns an RTP packet that carries an ``ECHO`` of this session."""

    id: int
    ports: tuple[tuple[int, int], ...]


class MediaOpened(msgspec.Struct, frozen=True, kw_only=True, tag="media-opened"):
    id: int
    ports: tuple[tuple[int, int], ...]
    """What is open now for this session; what is missing could not be bound."""


class CloseMedia(msgspec.Struct, frozen=True, kw_only=True, tag="close-media"):
    """Close this session's media sockets. Answered with ``MediaOpened`` with no ports."""

    id: int


class Push(msgspec.Struct, frozen=True, kw_only=True, tag="push"):
    """Send a ``PROBE`` on TCP connections that I opened to your STUN or reach ports: do they still lead to me? Needs ``push``."""

    id: int
    series: int
    """Of the first Binding request on each connection, which named it; and of the probes."""
    items: tuple[int, ...]
    """Of the same requests: which connections."""
    hops: int = 0
    """The probe's first copy expires that many hops away, 1 to 255; its repetitions do not. 0 = an ordinary one."""


class Pushed(msgspec.Struct, frozen=True, kw_only=True, tag="pushed"):
    """Answered at once: TCP itself repeats what is not acknowledged."""

    id: int
    rows: tuple["PushRow", ...]


class PushRow(msgspec.Struct, frozen=True, kw_only=True):
    item: int
    state: Literal["sent", "reset", "ended", "closed", "expired", "unknown"]
    """``sent``: the connection stands at this end, the probe was handed to the system. ``reset``: a RST came in. ``ended``: the other end,
    or something in its name, closed it. ``closed``: this server did. ``expired``: as ``sent``, and an ICMP error told of what was
    to expire. ``unknown``: no such connection in this session."""
