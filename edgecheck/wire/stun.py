"""STUN messages (RFC 8489), with the attributes of NAT behavior discovery (RFC 5780) and of the classic protocol (RFC 3489).

A message is 20 bytes of header (type, length of the rest, cookie, transaction id) and a row of attributes (type, length,
value, padding to 4 bytes). RFC 3489 had no cookie: its transaction id was 16 bytes. So a message whose cookie is not
``COOKIE`` is a classic one; the cookie is kept, because the answer must carry the same 16 bytes.

What is read generously, since old servers are out there: a classic message whose attributes are not padded; RESPONSE-PORT in
2 bytes (RFC 5780) or 4 (how its figure was understood); reserved bytes that are not zero; text that is not UTF-8.
What is written follows RFC 8489 to the letter.
"""

import ipaddress
import zlib
from collections.abc import Callable
from enum import IntEnum
from struct import Struct
from typing import Any, NamedTuple

from edgecheck.wire.address import Endpoint
from edgecheck.wire.errors import Malformed, TooLong, Truncated

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

MAPPED_ADDRESS = 0x0001
RESPONSE_ADDRESS = 0x0002
CHANGE_REQUEST = 0x0003
SOURCE_ADDRESS = 0x0004
CHANGED_ADDRESS = 0x0005
USERNAME = 0x0006
MESSAGE_INTEGRITY = 0x0008
ERROR_CODE = 0x0009
UNKNOWN_ATTRIBUTES = 0x000A
REFLECTED_FROM = 0x000B
REALM = 0x0014
NONCE = 0x0015
XOR_MAPPED_ADDRESS = 0x0020
PADDING = 0x0026
RESPONSE_PORT = 0x0027
XOR_MAPPED_ADDRESS_OLD = 0x8020
"""XOR-MAPPED-ADDRESS as the drafts before RFC 5389 numbered it; Vovida's server still sends it."""
SOFTWARE = 0x8022
ALTERNATE_SERVER = 0x8023
FINGERPRINT = 0x8028
RESPONSE_ORIGIN = 0x802B
OTHER_ADDRESS = 0x802C

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


class Attribute(NamedTuple):
    """One attribute; the type of ``value`` stands in ``ATTRIBUTES``, and is ``bytes`` for a type that is not there."""

    type: int
    """0 to 65535; below 0x8000 the receiver must understand it or refuse the request with 420."""
    value: Any


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


def change_request(address: bool, port: bool) -> Attribute:
    """CHANGE-REQUEST (RFC 5780 section 7.2): answer from the other address, from the other port."""
    return Attribute(CHANGE_REQUEST, (address, port))


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
            raise Malformed(f"{_name(type)} has {length} bytes, the message only {end - position} more")
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


# --- The values. Each pack raises Malformed for what has no wire form, each unpack for what breaks the form. ----------------


def _unpack_address(data: bytes, key: bytes) -> Endpoint:
    if len(data) == 8 and data[1] == 1:
        return Endpoint(f"{data[4]}.{data[5]}.{data[6]}.{data[7]}", data[2] << 8 | data[3])
    if len(data) == 20 and data[1] == 2:
        address = ipaddress.IPv6Address(data[4:])
        # A server with a dual-stack socket may forget to unmap; its client sees an IPv4 path all the same.
        return Endpoint(str(address.ipv4_mapped or address), data[2] << 8 | data[3])
    raise Malformed(f"an address of {len(data)} bytes and family {data[1] if len(data) > 1 else 'unknown'}")


def _pack_address(value: Any, key: bytes) -> bytes:
    try:
        host, port = value
        packed = ipaddress.ip_address(host).packed
        return (b"\0\1" if len(packed) == 4 else b"\0\2") + int.to_bytes(port, 2, "big") + packed
    except (TypeError, ValueError, OverflowError) as error:
        raise Malformed(f"{value!r} is not an address and port") from error


def _xor(data: bytes, key: bytes) -> bytes:
    # RFC 8489 section 14.2: the port with the upper half of the cookie, the address with the cookie and the transaction id.
    mask = b"\0\0" + key[:2] + key
    return bytes(a ^ b for a, b in zip(data, mask, strict=False))


def _unpack_xor_address(data: bytes, key: bytes) -> Endpoint:
    # A value longer than any address must not be cut to one: the mask ends at 20 bytes.
    return _unpack_address(_xor(data, key) if len(data) <= 20 else data, key)


def _pack_xor_address(value: Any, key: bytes) -> bytes:
    return _xor(_pack_address(value, key), key)


def _unpack_change_request(data: bytes, key: bytes) -> tuple[bool, bool]:
    if len(data) != 4:
        raise Malformed(f"CHANGE-REQUEST has 4 bytes, not {len(data)}")
    return bool(data[3] & 4), bool(data[3] & 2)


def _pack_change_request(value: Any, key: bytes) -> bytes:
    try:
        address, port = value
    except (TypeError, ValueError) as error:
        raise Malformed(f"CHANGE-REQUEST takes (change_ip, change_port), not {value!r}") from error
    return bytes((0, 0, 0, (4 if address else 0) | (2 if port else 0)))


def _unpack_error_code(data: bytes, key: bytes) -> tuple[int, str]:
    if len(data) < 4 or data[3] > 99:
        raise Malformed("ERROR-CODE has a class and a number below 100 in its first 4 bytes")
    return (data[2] & 7) * 100 + data[3], _unpack_text(data[4:], key)


def _pack_error_code(value: Any, key: bytes) -> bytes:
    try:
        code, reason = value
        head = bytes((0, 0, code // 100, code % 100))
    except (TypeError, ValueError) as error:
        raise Malformed(f"ERROR-CODE takes (code, reason), not {value!r}") from error
    if head[2] > 7:
        raise Malformed(f"error code {code} is above 799")
    return head + _pack_text(reason, key)


def _unpack_types(data: bytes, key: bytes) -> tuple[int, ...]:
    if len(data) % 2:
        raise Malformed(f"UNKNOWN-ATTRIBUTES holds 2 bytes a type, not {len(data)} in all")
    return tuple(data[i] << 8 | data[i + 1] for i in range(0, len(data), 2))


def _pack_types(value: Any, key: bytes) -> bytes:
    try:
        return b"".join(int.to_bytes(type, 2, "big") for type in value)
    except (TypeError, OverflowError) as error:
        raise Malformed(f"UNKNOWN-ATTRIBUTES takes attribute types, not {value!r}") from error


def _unpack_port(data: bytes, key: bytes) -> int:
    if len(data) not in (2, 4):
        raise Malformed(f"RESPONSE-PORT has 2 or 4 bytes, not {len(data)}")
    return data[0] << 8 | data[1]


def _pack_port(value: Any, key: bytes) -> bytes:
    return _pack_number(value, 2, "RESPONSE-PORT")


def _unpack_crc(data: bytes, key: bytes) -> int:
    if len(data) != 4:
        raise Malformed(f"FINGERPRINT has 4 bytes, not {len(data)}")
    return int.from_bytes(data, "big")


def _pack_crc(value: Any, key: bytes) -> bytes:
    return _pack_number(value, 4, "FINGERPRINT")


def _pack_number(value: Any, size: int, name: str) -> bytes:
    if not isinstance(value, int) or not 0 <= value < 1 << 8 * size:
        raise Malformed(f"{name} takes a number of {size} bytes, not {value!r}")
    return value.to_bytes(size, "big")


def _unpack_text(data: bytes, key: bytes) -> str:
    # Bytes that are not UTF-8 are spelled \xNN: the message still counts, and the text can be printed and put in JSON.
    return data.decode("utf-8", "backslashreplace")


def _pack_text(value: Any, key: bytes) -> bytes:
    try:
        return str.encode(value, "utf-8")
    except (TypeError, ValueError) as error:
        raise Malformed(f"{value!r} is not text") from error


def _unpack_bytes(data: bytes, key: bytes) -> bytes:
    return data


def _pack_bytes(value: Any, key: bytes) -> bytes:
    if not isinstance(value, bytes):
        raise Malformed(f"{value!r} is not bytes")
    return value


class Form(NamedTuple):
    """How one attribute is called and written."""

    name: str
    """RFC spelling."""
    pack: Callable[[Any, bytes], bytes]
    """(value, key) -> bytes; the key is cookie + transaction id."""
    unpack: Callable[[bytes, bytes], Any]
    """(bytes, key) -> value."""


_ADDRESS = (_pack_address, _unpack_address)
_XOR_ADDRESS = (_pack_xor_address, _unpack_xor_address)
_TEXT = (_pack_text, _unpack_text)
_BYTES = (_pack_bytes, _unpack_bytes)

ATTRIBUTES: dict[int, Form] = {
    type: Form(name, *functions)
    for type, name, functions in (
        (MAPPED_ADDRESS, "MAPPED-ADDRESS", _ADDRESS),
        (RESPONSE_ADDRESS, "RESPONSE-ADDRESS", _ADDRESS),
        (CHANGE_REQUEST, "CHANGE-REQUEST", (_pack_change_request, _unpack_change_request)),
        (SOURCE_ADDRESS, "SOURCE-ADDRESS", _ADDRESS),
        (CHANGED_ADDRESS, "CHANGED-ADDRESS", _ADDRESS),
        (USERNAME, "USERNAME", _TEXT),
        (MESSAGE_INTEGRITY, "MESSAGE-INTEGRITY", _BYTES),
        (ERROR_CODE, "ERROR-CODE", (_pack_error_code, _unpack_error_code)),
        (UNKNOWN_ATTRIBUTES, "UNKNOWN-ATTRIBUTES", (_pack_types, _unpack_types)),
        (REFLECTED_FROM, "REFLECTED-FROM", _ADDRESS),
        (REALM, "REALM", _TEXT),
        (NONCE, "NONCE", _BYTES),
        (XOR_MAPPED_ADDRESS, "XOR-MAPPED-ADDRESS", _XOR_ADDRESS),
        (PADDING, "PADDING", _BYTES),
        (RESPONSE_PORT, "RESPONSE-PORT", (_pack_port, _unpack_port)),
        (XOR_MAPPED_ADDRESS_OLD, "XOR-MAPPED-ADDRESS (draft)", _XOR_ADDRESS),
        (SOFTWARE, "SOFTWARE", _TEXT),
        (ALTERNATE_SERVER, "ALTERNATE-SERVER", _ADDRESS),
        (FINGERPRINT, "FINGERPRINT", (_pack_crc, _unpack_crc)),
        (RESPONSE_ORIGIN, "RESPONSE-ORIGIN", _ADDRESS),
        (OTHER_ADDRESS, "OTHER-ADDRESS", _ADDRESS),
    )
}
"""Every attribute that has a typed value here; of any other the raw bytes are kept."""


def _name(type: int) -> str:
    return ATTRIBUTES[type].name if type in ATTRIBUTES else f"attribute {type:#06x}"
