"""How a session begins: what the server offers, and the mutual proof of the token.

``HMAC-SHA-256(token, label | server nonce | client nonce | fingerprint)``. The token never crosses the
wire. The client's proof covers the fingerprint of the certificate that it *saw* and states it; so a server that knows the
token can tell a wrong token (the proof does not fit what it states) from a box that opened TLS and showed its own
certificate (the proof fits, the fingerprint is not ours). A self-signed certificate thus needs no trust store.
"""

import hashlib
import hmac
import re
from typing import Literal

import msgspec

from edgecheck.wire.errors import Malformed

Transport = Literal["udp", "tcp", "tls"]
PROTOCOL = 1
NONCE_SIZE = 16
SESSION_SIZE = 8
PATH = "/edgecheck/1"
"""Where the WebSocket is served."""
_HEXADECIMAL = re.compile(r"(?:[0-9a-f]{2})*")


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
    reports_bytes: int = 256 << 20
    """Of all packed reports that the server keeps, whoever left them: the oldest make room."""
    fresh_ports: int = 0
    """Most further ports of its own from which one session may have probes sent (``Probe.fresh``). 0 = an older server: it has none."""


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
    """Of ``alternate-address``, ``stun-tcp``, ``sip-udp``, ``sip-tcp``, ``sip-tls``, ``sip-calls``, ``sip-calls-tcp``, ``media``,
    ``udp-errors`` (ICMP seen), ``dial``, ``inquire``, ``reports``, ``hop-limit`` (probes and connections may be made to expire on the way),
    ``push`` (sends on connections that lie idle), ``least-ttl`` (TCP is heard from a TTL on)."""


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
