"""The control channel: JSON messages over a WebSocket over TLS, and the mutual proof of the token.

The order of a session::

    server -> Hello                       its nonce, version, limits
    client -> Authenticate                its nonce, the certificate it saw, its proof
    server -> Welcome | Refused           its own certificate and proof; the session's name
    client -> any request (id)            server -> the reply (same id), or Declined (same id)

``handshake`` holds the first four, and the proof; ``probing`` the requests to send, open and connect, ``account`` the receipts, ``mirror``
what goes with SIP. Here are the rest, the union of all, and the codec.
"""

from typing import Literal

import msgspec

from edgecheck.wire.control.account import Account, Accounted, ErrorRow, MediaRow, ReceivedRow, SentRow, stun_transaction_id
from edgecheck.wire.control.handshake import (
    NONCE_SIZE,
    PATH,
    PROTOCOL,
    SESSION_SIZE,
    Authenticate,
    Hello,
    Limits,
    ReachPort,
    Refused,
    Service,
    Transport,
    Welcome,
    fingerprint,
    parse_hex,
    proof,
    proves,
)
from edgecheck.wire.control.mirror import SIP_MARKER, Call, Called, Direction, Mirror, Mirrored, MirrorRecord, sip_marker
from edgecheck.wire.control.probing import (
    Certificate,
    CloseMedia,
    Dial,
    Dialed,
    DialRow,
    Inquire,
    Inquired,
    InquiryRow,
    MediaOpened,
    OpenMedia,
    Probe,
    Probed,
    Prove,
    Proved,
    Push,
    Pushed,
    PushRow,
    Sender,
)
from edgecheck.wire.errors import Malformed, TooLong

__all__ = [
    "MAX_MESSAGE", "MOST_SHARED", "MOST_SHARED_JSON", "NONCE_SIZE", "PATH", "PROTOCOL", "SESSION_SIZE", "SIP_MARKER", "Account",
    "Accounted", "Authenticate", "Call", "Called", "Certificate", "CloseMedia", "Declined", "Dial", "DialRow", "Dialed", "Direction",
    "ErrorRow", "Hello", "Inquire", "Inquired", "InquiryRow", "Limits", "MediaOpened", "MediaRow", "Message", "Mirror", "MirrorRecord",
    "Mirrored", "OpenMedia", "Ping", "Pong", "Probe", "Probed", "Prove", "Proved", "Push", "PushRow", "Pushed", "ReachPort",
    "ReceivedRow", "Refused", "Reply", "Request", "Sender", "SentRow", "Service", "Share", "Shared", "Transport", "Welcome",
    "fingerprint", "parse", "parse_hex", "proof", "proves", "serialize", "sip_marker", "stun_transaction_id",
]

MAX_MESSAGE = 4 << 20
"""Bytes of one message: a mirror of a session's SIP, or the account of 65,535 ports, fits; a memory bomb does not."""
MOST_SHARED = 1 << 20
"""Bytes of a packed report that a client may leave with the server."""
MOST_SHARED_JSON = 16 << 20
"""... and unpacked."""


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
