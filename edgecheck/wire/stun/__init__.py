"""STUN messages (RFC 8489), with the attributes of NAT behavior discovery (RFC 5780) and of the classic protocol (RFC 3489).

A message is 20 bytes of header (type, length of the rest, cookie, transaction id) and a row of attributes (type, length,
value, padding to 4 bytes). RFC 3489 had no cookie: its transaction id was 16 bytes. So a message whose cookie is not
``COOKIE`` is a classic one; the cookie is kept, because the answer must carry the same 16 bytes.

What is read generously, since old servers are out there: a classic message whose attributes are not padded; RESPONSE-PORT in
2 bytes (RFC 5780) or 4 (how its figure was understood); reserved bytes that are not zero; text that is not UTF-8.
What is written follows RFC 8489 to the letter.

Here are the message and its codec; ``attributes`` holds their types and the forms of their values.
"""

import zlib
from enum import IntEnum
from struct import Struct
from typing import Any, NamedTuple

from edgecheck.wire.address import Endpoint
from edgecheck.wire.errors import Malformed, TooLong, Truncated
from edgecheck.wire.stun.attributes import (
    ALTERNATE_SERVER,
    ATTRIBUTES,
    CHANGE_REQUEST,
    CHANGED_ADDRESS,
    ERROR_CODE,
    FINGERPRINT,
    MAPPED_ADDRESS,
    MESSAGE_INTEGRITY,
    NONCE,
    OTHER_ADDRESS,
    PADDING,
    REALM,
    REFLECTED_FROM,
    RESPONSE_ADDRESS,
    RESPONSE_ORIGIN,
    RESPONSE_PORT,
    SOFTWARE,
    SOURCE_ADDRESS,
    UNKNOWN_ATTRIBUTES,
    USERNAME,
    XOR_MAPPED_ADDRESS,
    XOR_MAPPED_ADDRESS_OLD,
    Attribute,
    change_request,
    spelling,
)

__all__ = [
    "ALTERNATE_SERVER", "ATTRIBUTES", "BINDING", "CHANGED_ADDRESS", "CHANGE_REQUEST", "COOKIE", "COOKIE_BYTES", "ERROR_CODE",
    "FINGERPRINT", "HEADER", "MAPPED_ADDRESS", "MAX_ATTRIBUTES", "MAX_BODY", "MESSAGE_INTEGRITY", "NONCE", "OTHER_ADDRESS", "PADDING",
    "REALM", "REFLECTED_FROM", "RESPONSE_ADDRESS", "RESPONSE_ORIGIN", "RESPONSE_PORT", "SOFTWARE", "SOURCE_ADDRESS", "UNKNOWN_ATTRIBUTES",
    "USERNAME", "XOR_MAPPED_ADDRESS", "XOR_MAPPED_ADDRESS_OLD", "Attribute", "Class", "Message", "binding_request", "change_request",
    "fingerprint_matches", "is_stun", "message_size", "parse", "serialize", "with_fingerprint",
]

COOKIE = 0x2112A442
"""The magic cookie of RFC 8489 section 5."""
COOKIE_BYTES = COOKIE.to_bytes(4, "big")
HEADER = 20
"""Bytes before the attributes."""
MAX_BODY = 0xFFFC
"""Bytes of all attributes together: the largest multiple of 4 that the length field holds."""
MAX_ATTRIBUTES = 64
"""No usage of STUN has a third as many; 64 KiB of empty attributes would cost a server milliseconds for one datagram."""
BINDING = 1
"""The method of RFC 8489 section 3."""

_HEADER = Struct("!HH4s12s")
_TYPE_LENGTH = Struct("!HH")
_FINGERPRINT_XOR = 0x5354554E
_FINGERPRINT_SIZE = 8


class Class(IntEnum):
    """Message class (RFC 8489 section 5)."""

    REQUEST = 0
    INDICATION = 1
    SUCCESS = 2
    ERROR = 3


class Message(NamedTuple):
    """One STUN message."""

    message_class: Class
    method: int
    """``BINDING``, or another of 0 to 0xFFF."""
    transaction_id: bytes
    """12 bytes."""
    cookie: bytes = COOKIE_BYTES
    """4 bytes; anything but ``COOKIE_BYTES`` means a classic peer, whose transaction id is ``cookie + transaction_id``."""
    attributes: tuple[Attribute, ...] = ()
    """In the order of the wire, duplicates included."""

    @property
    def classic(self) -> bool:
        """Whether the peer speaks RFC 3489: then it knows neither XOR-MAPPED-ADDRESS nor OTHER-ADDRESS."""
        return self.cookie != COOKIE_BYTES

    def get(self, type: int) -> Any:
        """The value of the first attribute of this type (RFC 8489 section 14: only the first counts), or None."""
        for attribute in self.attributes:
            if attribute.type == type:
                return attribute.value
        return None

    @property
    def mapped(self) -> Endpoint | None:
        """Whence the server saw the request come. The XORed forms first: some NATs rewrite an address that they recognize."""
        return self._first(XOR_MAPPED_ADDRESS, XOR_MAPPED_ADDRESS_OLD, MAPPED_ADDRESS)

    @property
    def other_address(self) -> Endpoint | None:
        """The server's alternate address and port: OTHER-ADDRESS (RFC 5780), else CHANGED-ADDRESS (RFC 3489)."""
        return self._first(OTHER_ADDRESS, CHANGED_ADDRESS)

    @property
    def response_origin(self) -> Endpoint | None:
        """Whence the server says it answered: RESPONSE-ORIGIN (RFC 5780), else SOURCE-ADDRESS (RFC 3489)."""
        return self._first(RESPONSE_ORIGIN, SOURCE_ADDRESS)

    @property
    def error(self) -> tuple[int, str] | None:
        """ERROR-CODE: (code, reason)."""
        value: tuple[int, str] | None = self.get(ERROR_CODE)
        return value

    @property
    def not_understood(self) -> tuple[int, ...]:
        """Types that the receiver must understand and this codec does not: what UNKNOWN-ATTRIBUTES would list."""
        return tuple(dict.fromkeys(a.type for a in self.attributes if a.type < 0x8000 and a.type not in ATTRIBUTES))

    def _first(self, *types: int) -> Endpoint | None:
        for type in types:
            value: Endpoint | None = self.get(type)
            if value is not None:
                return value
        return None


def is_stun(data: bytes) -> bool:
    """Whether a datagram looks like one whole STUN message, classic ones included: cheap, to tell protocols apart on one port."""
    return len(data) >= HEADER and data[0] < 0x40 and HEADER + (data[2] << 8 | data[3]) == len(data)


def binding_request(transaction_id: bytes, *attributes: Attribute, cookie: bytes = COOKIE_BYTES) -> bytes:
    """A Binding request, ready to be sent. Raises ``Malformed``, ``TooLong`` like ``serialize``."""
    return serialize(Message(Class.REQUEST, BINDING, transaction_id, cookie, attributes))


def message_size(head: bytes) -> int:
    """Bytes of the message that begins with ``head``, for a stream. Raises ``Truncated`` under 4 bytes, ``Malformed`` if it is no STUN."""
    if head and head[0] >= 0x40:
        raise Malformed("not STUN: the first two bits are not zero")
    if len(head) < 4:
        raise Truncated(f"the length of a STUN message stands in its first 4 bytes, these are {len(head)}")
    size = HEADER + int.from_bytes(head[2:4], "big")
    if len(head) >= 8 and size % 4 and head[4:8] == COOKIE_BYTES:
        raise Malformed(f"not STUN: length {size - HEADER} is not a multiple of 4")
    return size


def parse(data: bytes) -> Message:
    """Read one whole message, with nothing after it. FINGERPRINT is not verified: see ``fingerprint_matches``.

    Raises ``Truncated``, ``Malformed`` (also for a known attribute whose value breaks its form), ``TooLong``.
    """
    size = message_size(data)
    if len(data) < size:
        raise Truncated(f"the STUN message has {size} bytes, these are {len(data)}")
    if len(data) > size:
        raise Malformed(f"{len(data) - size} bytes after the STUN message")
    number, _, cookie, transaction_id = _HEADER.unpack_from(data)
    try:
        attributes = _parse_attributes(data, 4)
    except Malformed:
        if cookie == COOKIE_BYTES:
            raise
        attributes = _parse_attributes(data, 1)
    # The two bits of the class stand between those of the method (RFC 8489 figure 3): M11-M7 C1 M6-M4 C0 M3-M0.
    method = number & 0xF | number >> 1 & 0x70 | number >> 2 & 0xF80
    return Message(Class(number >> 7 & 2 | number >> 4 & 1), method, transaction_id, cookie, attributes)


def _parse_attributes(data: bytes, alignment: int) -> tuple[Attribute, ...]:
    key = data[4:HEADER]
    classic = data[4:8] != COOKIE_BYTES
    out: list[Attribute] = []
    position, end = HEADER, len(data)
    while position < end:
        if end - position < 4:
            raise Malformed(f"{end - position} bytes where an attribute should begin")
        if len(out) == MAX_ATTRIBUTES:
            raise TooLong(f"more than {MAX_ATTRIBUTES} attributes")
        type, length = _TYPE_LENGTH.unpack_from(data, position)
        position += 4
        padded = length + -length % alignment
        # A classic message may lack the padding behind its last attribute; in a new one the header's length covers it.
        if end - position < (length if classic else padded):
            raise Malformed(f"{spelling(type)} has {length} bytes, the message only {end - position} more")
        value = data[position : position + length]
        position += padded
        known = ATTRIBUTES.get(type)
        out.append(Attribute(type, known.unpack(value, key) if known else value))
    return tuple(out)


def serialize(message: Message) -> bytes:
    """The bytes of a message; attributes padded with zeros. Raises ``Malformed`` for a value that has no wire form, ``TooLong``."""
    message_class, method, transaction_id, cookie, attributes = message
    if len(transaction_id) != 12 or len(cookie) != 4 or not 0 <= method <= 0xFFF:
        raise Malformed("a STUN message has a transaction id of 12 bytes, a cookie of 4 and a method of 12 bits")
    if len(attributes) > MAX_ATTRIBUTES:
        raise TooLong(f"{len(attributes)} attributes; at most {MAX_ATTRIBUTES}")
    key = cookie + transaction_id
    parts = [b""]
    size = 0
    for type, value in attributes:
        known = ATTRIBUTES.get(type)
        if not (known or isinstance(value, bytes)) or not 0 <= type <= 0xFFFF:
            raise Malformed(f"attribute type {type:#x} takes bytes")
        packed = known.pack(value, key) if known else value
        size += 4 + len(packed) + -len(packed) % 4
        if size > MAX_BODY:
            raise TooLong(f"attributes of more than {MAX_BODY} bytes")
        parts.append(_TYPE_LENGTH.pack(type, len(packed)) + packed + bytes(-len(packed) % 4))
    number = (method & 0xF80) << 2 | (method & 0x70) << 1 | method & 0xF | (message_class & 2) << 7 | (message_class & 1) << 4
    parts[0] = _HEADER.pack(number, size, cookie, transaction_id)
    return b"".join(parts)


def with_fingerprint(data: bytes) -> bytes:
    """The serialized message with FINGERPRINT added as its last attribute (RFC 8489 section 14.7). Raises ``TooLong``."""
    size = len(data) - HEADER + _FINGERPRINT_SIZE
    if size > MAX_BODY:
        raise TooLong(f"attributes of more than {MAX_BODY} bytes")
    data = data[:2] + size.to_bytes(2, "big") + data[4:]
    return data + _TYPE_LENGTH.pack(FINGERPRINT, 4) + _fingerprint(data)


def fingerprint_matches(data: bytes) -> bool | None:
    """Whether the FINGERPRINT at the end of a whole message is right; None when the message does not end with one."""
    if len(data) < HEADER + _FINGERPRINT_SIZE or data[-8:-4] != _TYPE_LENGTH.pack(FINGERPRINT, 4):
        return None
    return data[-4:] == _fingerprint(data[:-8])


def _fingerprint(data: bytes) -> bytes:
    return (zlib.crc32(data) ^ _FINGERPRINT_XOR).to_bytes(4, "big")
