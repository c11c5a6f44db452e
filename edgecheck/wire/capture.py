"""Payloads as a capture file (libpcap's format), with the frames that may have carried them.

Who may not capture still knows what it sent and received. Ethernet, IP, UDP and TCP headers are made up around that: addresses, ports,
times and payloads are true; hardware addresses, TTLs, sequence numbers and the three segments that open a TCP connection are not.
"""

import ipaddress
import struct
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from edgecheck.wire.address import Endpoint

_HEAD = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1)
"""Microseconds, version 2.4, UTC, Ethernet."""
_MAC = {"near": bytes.fromhex("020000000001"), "far": bytes.fromhex("020000000002")}
"""Locally administered."""
_MSS = 1400
_SYN, _ACK, _PSH = 0x02, 0x10, 0x08
_WINDOW = 65_535


class Segment(NamedTuple):
    """One datagram, or what a TCP connection carried one way at one moment."""

    at: float
    """Seconds since the epoch."""
    protocol: Literal["udp", "tcp"]
    source: Endpoint
    destination: Endpoint
    data: bytes
    outgoing: bool


def serialize(segments: Iterable[Segment]) -> bytes:
    """A whole capture file, in the order given."""
    return _HEAD + b"".join(_record(at, frame) for at, frame in _frames(segments))


def _record(at: float, frame: bytes) -> bytes:
    seconds, micros = divmod(max(0, round(at * 1_000_000)), 1_000_000)
    return struct.pack("<IIII", seconds & 0xFFFFFFFF, micros, len(frame), len(frame)) + frame


def _frames(segments: Iterable[Segment]) -> Iterator[tuple[float, bytes]]:
    connections: dict[tuple[Endpoint, Endpoint], dict[Endpoint, int]] = {}
    for segment in segments:
        if segment.protocol == "udp":
            header = struct.pack("!HHHH", segment.source.port, segment.destination.port, 8 + len(segment.data), 0)
            yield segment.at, _frame(segment, 17, _with_checksum(segment, 17, header, 6, segment.data))
            continue
        ends = (segment.source, segment.destination)
        key = ends if segment.outgoing else ends[::-1]
        if key not in connections:
            connections[key] = {key[0]: 1, key[1]: 1}
            yield from _opening(segment, key)
        numbers = connections[key]
        for start in range(0, len(segment.data), _MSS):
            piece = segment.data[start : start + _MSS]
            yield segment.at, _tcp(segment, numbers[segment.source], numbers[segment.destination], _PSH | _ACK, piece)
            numbers[segment.source] = (numbers[segment.source] + len(piece)) & 0xFFFFFFFF


def _opening(first: Segment, key: tuple[Endpoint, Endpoint]) -> Iterator[tuple[float, bytes]]:
    """The three segments that open a connection, a moment before its first payload."""
    near = first._replace(source=key[0], destination=key[1], data=b"", outgoing=True)
    far = first._replace(source=key[1], destination=key[0], data=b"", outgoing=False)
    for step, (segment, number, acknowledged, flags) in enumerate(((near, 0, 0, _SYN), (far, 0, 1, _SYN | _ACK), (near, 1, 1, _ACK))):
        yield first.at - (3 - step) * 1e-6, _tcp(segment, number, acknowledged, flags, b"")


def _tcp(segment: Segment, number: int, acknowledged: int, flags: int, data: bytes) -> bytes:
    header = struct.pack(
        "!HHIIBBHHH", segment.source.port, segment.destination.port, number, acknowledged, 5 << 4, flags, _WINDOW, 0, 0
    )
    return _frame(segment, 6, _with_checksum(segment, 6, header, 16, data))


def _with_checksum(segment: Segment, protocol: int, header: bytes, position: int, data: bytes) -> bytes:
    """The transport header with its checksum, and the payload."""
    source, destination = (ipaddress.ip_address(each.host).packed for each in (segment.source, segment.destination))
    length = len(header) + len(data)
    rest = struct.pack("!IxxxB", length, protocol) if len(source) == 16 else struct.pack("!xBH", protocol, length)
    pseudo = source + destination + rest
    checksum = _checksum(pseudo + header + data) or 0xFFFF
    return header[:position] + struct.pack("!H", checksum) + header[position + 2 :] + data


def _frame(segment: Segment, protocol: int, payload: bytes) -> bytes:
    macs = (_MAC["far"], _MAC["near"]) if segment.outgoing else (_MAC["near"], _MAC["far"])
    source, destination = (ipaddress.ip_address(each.host).packed for each in (segment.source, segment.destination))
    if len(source) == 16:
        head = struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + source + destination
        return b"".join(macs) + b"\x86\xdd" + head + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0x4000, 64, protocol, 0) + source + destination
    head = head[:10] + struct.pack("!H", _checksum(head)) + head[12:]
    return b"".join(macs) + b"\x08\x00" + head + payload


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
