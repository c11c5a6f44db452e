"""NAT-PMP (RFC 6886): the one question that changes nothing, opcode 0, and its answer.

Requests that make mappings (opcodes 1 and 2) are not written here on purpose: there is no way to send one by mistake.
"""

from struct import Struct
from typing import NamedTuple

from edgecheck.wire.errors import Malformed, TooLong, Truncated

PORT = 5351
"""The router listens here (section 3.1)."""
EXTERNAL_ADDRESS_REQUEST = b"\x00\x00"
"""Version 0, opcode 0 (section 3.2)."""
MAX_SIZE = 1100
"""RFC 6887 section 7's bound, which shares the port."""
_HEAD = Struct("!BBHI")
_ANSWER = 128


class ExternalAddress(NamedTuple):
    """Answer to opcode 0."""

    result: int
    """0 = success, 1 = unsupported version, 2 = refused, 3 = network failure (no WAN address yet), ... (section 3.5)."""
    epoch_s: int
    """Seconds since the router's table was made."""
    address: str | None
    """IPv4, in text; None unless the result is 0."""


def parse(data: bytes) -> ExternalAddress:
    """Read an answer to opcode 0. Raises ``Truncated``, ``Malformed``, ``TooLong``."""
    if len(data) > MAX_SIZE:
        raise TooLong(f"a NAT-PMP answer has at most {MAX_SIZE} bytes, these are {len(data)}")
    if data[:1] not in (b"", b"\x00") or data[1:2] not in (b"", bytes([_ANSWER])):
        raise Malformed("not the answer to a NAT-PMP external address request")
    if len(data) < _HEAD.size:
        raise Truncated(f"a NAT-PMP answer has at least {_HEAD.size} bytes, these are {len(data)}")
    _, _, result, epoch = _HEAD.unpack_from(data)
    if result != 0:
        return ExternalAddress(result, epoch, None)
    if len(data) < _HEAD.size + 4:
        raise Truncated("a NAT-PMP answer that says success ends before the address")
    return ExternalAddress(0, epoch, ".".join(str(octet) for octet in data[8:12]))


def serialize(answer: ExternalAddress) -> bytes:
    """The answer as a router sends it. Raises ``Malformed`` for a field out of its range."""
    if not 0 <= answer.result <= 0xFFFF or not 0 <= answer.epoch_s <= 0xFFFFFFFF or (answer.address is None) == (answer.result == 0):
        raise Malformed("a NAT-PMP answer holds an address exactly when its result is 0")
    head = _HEAD.pack(0, _ANSWER, answer.result, answer.epoch_s)
    try:
        return head + (bytes(int(octet) for octet in answer.address.split(".")) if answer.address else b"")
    except ValueError as error:
        raise Malformed(f"{answer.address!r} is not an IPv4 address") from error
