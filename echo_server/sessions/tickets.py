"""Tickets: a session's name and proved addresses, signed, so that any server of a group can continue it.

A group is several servers that share a token (and perhaps a store for reports) behind one name. The key is derived from the token, so
they need nothing else in common. A ticket is no admission: whoever presents one must prove the token as everybody, and from the same
address as before; it spares the new server no proof of what it could see for itself, only the session's name and the addresses that
had been proved. It ends when the session would have ended.
"""

import base64
import binascii
import hmac

import msgspec

from edgecheck.wire.control import SESSION_SIZE

_MOST = 4096
"""Characters: a name and some addresses take a few hundred."""
_MOST_ADDRESSES = 64


class Ticket(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is signed."""

    session: str
    """Hexadecimal: the session's name."""
    peer: str
    """IP address of the control connection; it must be the same again."""
    addresses: tuple[str, ...]
    """Proved: probes may go there."""
    ends: int
    """Seconds since 1970: when the session's life is over."""


def key_of(token: str) -> bytes:
    """The signing key of all servers with this token."""
    return hmac.digest(token.encode(errors="surrogateescape"), b"edgecheck ticket 1", "sha256")


def issue(key: bytes, ticket: Ticket) -> str:
    """The ticket as text."""
    payload = msgspec.json.encode(ticket)
    return f"{_text(payload)}.{_text(hmac.digest(key, payload, 'sha256'))}"


def verify(key: bytes, text: str, peer: str, now: float) -> Ticket | None:
    """The ticket, if it was signed with this key, is this peer's and has not ended; else None, whatever it is."""
    payload_text, _, mac_text = text[:_MOST].partition(".")
    try:
        payload, mac = (base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in (payload_text, mac_text))
    except (binascii.Error, ValueError):
        return None
    if not hmac.compare_digest(hmac.digest(key, payload, "sha256"), mac):
        return None
    try:
        ticket = msgspec.json.decode(payload, type=Ticket)
        name = bytes.fromhex(ticket.session)
    except (msgspec.DecodeError, ValueError):
        return None
    fits = ticket.peer == peer and now < ticket.ends and len(name) == SESSION_SIZE and len(ticket.addresses) <= _MOST_ADDRESSES
    return ticket if fits else None


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
