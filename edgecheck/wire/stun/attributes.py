"""The attributes of STUN messages: their types, and how the value of each is written and read.

Each ``pack`` raises ``Malformed`` for what has no wire form, each ``unpack`` for what breaks the form.
"""

import ipaddress
from collections.abc import Callable
from typing import Any, NamedTuple

from edgecheck.wire.address import Endpoint
from edgecheck.wire.errors import Malformed

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


class Attribute(NamedTuple):
    """One attribute; the type of ``value`` stands in ``ATTRIBUTES``, and is ``bytes`` for a type that is not there."""

    type: int
    """0 to 65535; below 0x8000 the receiver must understand it or refuse the request with 420."""
    value: Any


def change_request(address: bool, port: bool) -> Attribute:
    """CHANGE-REQUEST (RFC 5780 section 7.2): answer from the other address, from the other port."""
    return Attribute(CHANGE_REQUEST, (address, port))


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


def spelling(type: int) -> str:
    """How the RFC calls a type; one that is not known here by its number."""
    return ATTRIBUTES[type].name if type in ATTRIBUTES else f"attribute {type:#06x}"
