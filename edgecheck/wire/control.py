"""The control channel: JSON messages over a WebSocket over TLS, and the mutual proof of the token.

The order of a session::

    server -> Hello                       its nonce, version, limits
    client -> Authenticate                its nonce, the certificate it saw, its proof
    server -> Welcome | Refused           its own certificate and proof; the session's name
    client -> any request (id)            server -> the reply (same id), or Declined (same id)

**The proof.** ``HMAC-SHA-256(token, label | server nonce | client nonce | fingerprint)``. The token never crosses the
wire. The client's proof covers the fingerprint of the certificate that it *saw* and states it; so a server that knows the
token can tell a wrong token (the proof does not fit what it states) from a box that opened TLS and showed its own
certificate (the proof fits, the fingerprint is not ours). A self-signed certificate thus needs no trust store.

**Series.** The client numbers its questions (``series``). Everything that carries the session's name and a series
(STUN transaction ids, probes, RTP payloads, SIP markers) is accounted for by the server, and ``Account`` asks for it:
receipts are what let silence be judged.
"""

import hashlib
import hmac
import re
from typing import Literal

import msgspec

from edgecheck.wire.errors import Malformed, TooLong

PROTOCOL = 1
MAX_MESSAGE = 4 << 20
"""Bytes of one message: a mirror of a session's SIP, or the account of 65,535 ports, fits; a memory bomb does not."""
MOST_SHARED = 1 << 20
"""Bytes of a packed report that a client may leave with the server."""
MOST_SHARED_JSON = 16 << 20
"""... and unpacked."""
NONCE_SIZE = 16
SESSION_SIZE = 8
PATH = "/edgecheck/1"
"""Where the WebSocket is served."""

Sender = Literal["A1", "A2", "AX", "B1", "B2", "BX", "SIP"]
"""A socket of the server: A = primary address, B = alternate; 1 and 2 = the STUN ports, X = a socket kept for probes; SIP = the SIP port
(where ``probe-from-sip`` is among the capabilities)."""
Transport = Literal["udp", "tcp", "tls"]
Direction = Literal["received", "sent"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the server allows; advertised first, then enforced."""

    session_s: int = 900
    """Longest life of a session, seconds."""
    pace: int = 20_000
    """Most probes a second for one session."""
    copies: int = 32
    """Most copies of one probe in one request."""
    ports: int = 65_535
    """Most ports in one probe request."""
    dials: int = 256
    """Most TCP connection attempts in one request."""
    media_ports: int = 16_384
    """Most media sockets that one session may have open."""
    mirror_messages: int = 512
    """Most SIP messages kept for one session."""
    source_rate: int = 500
    """Datagrams a second answered to one source that has not proved itself (loopback is exempt)."""
    inquiries: int = 128
    """Most ports whose service one session may have asked, all its requests together."""


class ReachPort(msgspec.Struct, frozen=True, kw_only=True):
    """A further port on the primary address that answers STUN and echoes, and nothing else: may a network reach it?"""

    transport: Transport
    port: int


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """Where the server listens and what it can do."""

    address: str
    """Primary address (role A) as clients reach it."""
    alternate: str | None = None
    """Alternate address (role B), or None: then nothing can be sent from an address that was never contacted."""
    stun_ports: tuple[int, int] = (3478, 3479)
    """UDP and TCP, on both addresses."""
    probe_ports: tuple[int, int] = (0, 0)
    """UDP source ports of the senders AX and BX (0 where there is none)."""
    sip_port: int = 5060
    alternate_sip_port: int = 5080
    sips_port: int = 5061
    """0 = not offered."""
    media: tuple[int, int] | None = None
    """RTP range that may be asked to be opened, on the primary address."""
    reach: tuple[ReachPort, ...] = ()
    """Bound where the system allowed it."""
    capabilities: tuple[str, ...] = ()
    """Of ``alternate-address``, ``stun-tcp``, ``sip-udp``, ``sip-tcp``, ``sip-tls``, ``sip-calls``, ``media``, ``udp-errors`` (ICMP
    seen), ``dial``, ``inquire``, ``reports``, ``hop-limit`` (probes and connections may be made to expire on the way), ``push`` (sends on
    connections that lie idle)."""


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello"):
    """First message, from the server."""

    protocol: int
    version: str
    nonce: str
    """Hexadecimal, ``NONCE_SIZE`` bytes."""
    open: bool = False
    """No token: anyone may use it, within tighter limits."""
    limits: Limits = Limits()


class Authenticate(msgspec.Struct, frozen=True, kw_only=True, tag="authenticate"):
    """The client's proof."""

    protocol: int
    version: str
    nonce: str
    certificate: str
    """SHA-256 of the DER certificate that the client saw, hexadecimal."""
    proof: str
    ticket: str = ""
    """That of a session which was lost, to go on under its name; empty: a new one."""


class Welcome(msgspec.Struct, frozen=True, kw_only=True, tag="welcome"):
    """The session is open."""

    session: str
    """Hexadecimal, ``SESSION_SIZE`` bytes: the name under which the server accounts for this session's packets."""
    certificate: str
    """SHA-256 of the server's own certificate, hexadecimal."""
    proof: str
    intercepted: bool
    """The client saw another certificate than ours, though it knows the token: something on the path opens TLS."""
    observed: str
    """Address and port from which this connection came."""
    service: Service
    alternate_contacted_s: float | None = None
    """Seconds since anything from that address (IPv6: from its /64) last reached the alternate address, in whatever session or none:
    an edge that remembers hosts may remember ours. None: not in the last hour, or since the server started; or an older server."""
    ticket: str = ""
    """With which this session can be continued by this server or another of its group; opaque."""
    continued: bool = False
    """The ticket was taken: name and proved addresses are those of before. What was counted before is not known any more."""


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag="refused"):
    """No session; the connection closes."""

    reason: Literal["unknown-token", "protocol", "busy", "malformed"]
    message: str


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


class Account(msgspec.Struct, frozen=True, kw_only=True, tag="account"):
    """What did you send and receive in this series?"""

    id: int
    series: int


class Accounted(msgspec.Struct, frozen=True, kw_only=True, tag="accounted"):
    """The server's receipt for one series."""

    id: int
    series: int
    sent: tuple["SentRow", ...] = ()
    received: tuple["ReceivedRow", ...] = ()
    """STUN requests, claims and echoes; one row for each (item, listener, source)."""
    media: "MediaRow | None" = None
    """RTP echoes, told as ranges because there may be ten thousand."""
    errors: tuple["ErrorRow", ...] = ()
    reached_by_others: tuple[tuple[int, int], ...] = ()
    """The server's UDP ports that packets of *others* have reached since it started: its own side is open there."""
    reached_by_others_tcp: tuple[tuple[int, int], ...] = ()
    """The same for TCP, TLS included."""


class SentRow(msgspec.Struct, frozen=True, kw_only=True):
    sender: str
    ports: tuple[tuple[int, int], ...]
    copies: int
    """Copies that left for each of these ports."""


class ReceivedRow(msgspec.Struct, frozen=True, kw_only=True):
    item: int
    listener: str
    """``A1``.. or ``sip:5060`` etc.; with ``/tcp`` appended where it was a stream."""
    source: str
    """Address and port as seen by the server."""
    copies: int
    answered: int
    first_ms: float
    """Since the session opened."""


class MediaRow(msgspec.Struct, frozen=True, kw_only=True):
    received: tuple[tuple[int, int], ...]
    """Items (the client's local ports) of which at least one packet arrived."""
    remapped: tuple[tuple[int, str], ...]
    """(item, source seen) where the source port is not the item; at most 4,096 of them."""
    remapped_ports: tuple[tuple[int, int], ...]
    """Every item whose source port was another."""
    sources: tuple[str, ...]
    """Distinct source IP addresses, 16 at most."""
    answered: int
    """Echoes that left."""


class ErrorRow(msgspec.Struct, frozen=True, kw_only=True):
    """An ICMP error that came back for a probe (needs ``udp-errors``)."""

    port: int
    """The port that was aimed at."""
    sender: str
    icmp_type: int
    icmp_code: int
    offender: str
    """Who sent the ICMP."""
    ttl: int | None = None
    """TTL of the ICMP packet when it arrived."""
    copies: int = 1


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


class Called(msgspec.Struct, frozen=True, kw_only=True, tag="called"):
    id: int
    sent: int
    """Datagrams that left; the SIP among them is in the mirror as ``sent``."""
    controls: int
    """Probes that left."""


class Share(msgspec.Struct, frozen=True, kw_only=True, tag="share"):
    """Keep this report for the admin (needs ``reports``)."""

    id: int
    report: bytes
    """zlib over the report's JSON, ``MOST_SHARED`` bytes at most."""


class Shared(msgspec.Struct, frozen=True, kw_only=True, tag="shared"):
    """It is kept."""

    id: int
    number: int
    """Under which the admin finds it."""


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


class Ping(msgspec.Struct, frozen=True, kw_only=True, tag="ping"):
    id: int


class Pong(msgspec.Struct, frozen=True, kw_only=True, tag="pong"):
    id: int
    at_ms: float
    """Server clock since the session opened."""
    wall_s: float | None = None
    """The server's date and time: seconds since 1970, UTC. None = an older server does not tell."""


class Declined(msgspec.Struct, frozen=True, kw_only=True, tag="declined"):
    """This request was not done; the session goes on."""

    id: int
    reason: Literal["unproved-address", "limit", "unavailable", "malformed", "fault"]
    message: str


Request = Prove | Probe | Dial | Inquire | OpenMedia | CloseMedia | Account | Mirror | Call | Share | Push | Ping
Reply = Proved | Probed | Dialed | Inquired | MediaOpened | Accounted | Mirrored | Called | Shared | Pushed | Pong | Declined
Message = Hello | Authenticate | Welcome | Refused | Request | Reply

_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
_HEXADECIMAL = re.compile(r"(?:[0-9a-f]{2})*")


def serialize(message: Message) -> str:
    """One message as JSON text."""
    return _ENCODER.encode(message).decode()


def parse(text: str | bytes) -> Message:
    """Read one message. Raises ``Malformed``, ``TooLong``."""
    if len(text) > MAX_MESSAGE:
        raise TooLong(f"a control message of {len(text)} bytes; at most {MAX_MESSAGE}")
    try:
        return _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Malformed(f"control message: {error}") from error


def parse_hex(text: str, size: int) -> bytes:
    """Read ``size`` bytes of lower-case hexadecimal. Raises ``Malformed``."""
    if len(text) != 2 * size or _HEXADECIMAL.fullmatch(text) is None:
        raise Malformed(f"expected {2 * size} hexadecimal digits")
    return bytes.fromhex(text)


def fingerprint(certificate: bytes) -> str:
    """SHA-256 of a DER certificate, hexadecimal."""
    return hashlib.sha256(certificate).hexdigest()


def proof(token: str, side: Literal["client", "server"], server_nonce: str, client_nonce: str, certificate: str) -> str:
    """The MAC by which ``side`` shows that it knows the token and which certificate (fingerprint) it means."""
    text = "\n".join(("edgecheck", str(PROTOCOL), side, server_nonce, client_nonce, certificate))
    # A token from the environment need not be UTF-8; the system hands it over with its bytes escaped.
    return hmac.new(token.encode(errors="surrogateescape"), text.encode(), hashlib.sha256).hexdigest()


def proves(token: str, side: Literal["client", "server"], server_nonce: str, client_nonce: str, certificate: str, claimed: str) -> bool:
    """Whether ``claimed`` is that MAC; compared in constant time."""
    return hmac.compare_digest(proof(token, side, server_nonce, client_nonce, certificate).encode(), claimed.encode())


def stun_transaction_id(session: bytes, series: int, item: int) -> bytes:
    """The 12 bytes by which the server accounts for a STUN request of this session."""
    return session + series.to_bytes(2, "big") + item.to_bytes(2, "big")


def sip_marker(session: bytes, series: int, item: int) -> str:
    """The word by which the mirror knows a SIP message of this session: it stands in several places, some ALG may eat one."""
    return f"ec{session.hex()}-{series:04x}{item:04x}"


SIP_MARKER = re.compile(rb"ec([0-9a-f]{16})-([0-9a-f]{4})([0-9a-f]{4})")
