"""PCP (RFC 6887): the one question that changes nothing, ANNOUNCE, and its answer.

MAP and PEER make mappings and are not written here on purpose: there is no way to send one by mistake. The price: PCP tells an external
address only in the answer to those, so ANNOUNCE says *that* a router speaks PCP and since when, and no more.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import Struct
from typing import NamedTuple

from edgecheck.wire.errors import Malformed, TooLong, Truncated

PORT = 5351
VERSION = 2
ANNOUNCE = 0
SIZE = 24
"""Of the common header, which is all that ANNOUNCE has (section 14.1)."""
MAX_SIZE = 1100
"""Section 7."""
_REQUEST = Struct("!BBHI16s")
_RESPONSE = Struct("!BBBBII12x")
_RESPONSE_BIT = 0x80


class Response(NamedTuple):
    """The common response header (section 7.2)."""

    opcode: int
    result: int
    """0 = success, 1 = unsupported version, 2 = not authorized, 12 = address mismatch (a NAT stands before the router)..."""
    lifetime_s: int
    epoch_s: int
    """Seconds since the router's table was made."""


def announce_request(client: str) -> bytes:
    """ANNOUNCE from this address (section 14.1). Raises ``Malformed`` for what is none."""
    try:
        address = ip_address(client)
    except ValueError as error:
        raise Malformed(f"{client!r} is not an IP address") from error
    wide = address if isinstance(address, IPv6Address) else _mapped(address)
    return _REQUEST.pack(VERSION, ANNOUNCE, 0, 0, wide.packed)


def _mapped(address: IPv4Address) -> IPv6Address:
    return IPv6Address(b"\0" * 10 + b"\xff\xff" + address.packed)  # section 5


def parse(data: bytes) -> Response:
    """Read a response. Raises ``Truncated``, ``Malformed``, ``TooLong``."""
    if len(data) > MAX_SIZE:
        raise TooLong(f"a PCP message has at most {MAX_SIZE} bytes, these are {len(data)}")
    if data[:1] not in (b"", bytes([VERSION])) or (len(data) > 1 and not data[1] & _RESPONSE_BIT):
        raise Malformed("not a PCP response")
    if len(data) < SIZE:
        raise Truncated(f"a PCP response has at least {SIZE} bytes, these are {len(data)}")
    if len(data) % 4:
        raise Malformed("the length of a PCP message is a multiple of 4")
    _, opcode, _, result, lifetime, epoch = _RESPONSE.unpack_from(data)
    return Response(opcode & ~_RESPONSE_BIT, result, lifetime, epoch)


def serialize(response: Response) -> bytes:
    """The response as a router sends it. Raises ``Malformed`` for a field out of its range."""
    opcode, result, lifetime, epoch = response
    if not (0 <= opcode < 128 and 0 <= result < 256 and 0 <= lifetime < 1 << 32 and 0 <= epoch < 1 << 32):
        raise Malformed("a field of the PCP response is out of its range")
    return _RESPONSE.pack(VERSION, opcode | _RESPONSE_BIT, 0, result, lifetime, epoch)
