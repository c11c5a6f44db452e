"""Capture files: read back by hand, every checksum added up."""

import struct

import pytest

from edgecheck.wire.address import Endpoint
from edgecheck.wire.capture import Segment, serialize

HERE, THERE = Endpoint("192.168.1.20", 40_000), Endpoint("203.0.113.10", 5060)
HERE6, THERE6 = Endpoint("2001:db8::1", 40_000), Endpoint("2001:db8::2", 5060)


def records(data: bytes) -> list[tuple[float, bytes]]:
    magic, major, minor, _, _, _, link = struct.unpack_from("<IHHiIII", data)
    assert (magic, major, minor, link) == (0xA1B2C3D4, 2, 4, 1)
    out, position = [], 24
    while position < len(data):
        seconds, micros, kept, whole = struct.unpack_from("<IIII", data, position)
        assert kept == whole
        out.append((seconds + micros / 1e6, data[position + 16 : position + 16 + kept]))
        position += 16 + kept
    assert position == len(data)
    return out


def adds_up(data: bytes) -> bool:
    """RFC 1071: with the checksum in it, the sum is all ones."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total == 0xFFFF


def transport(frame: bytes) -> tuple[int, bytes, bytes]:
    """Protocol, pseudo-header and what is in the IP packet; the IP header is checked on the way."""
    if frame[12:14] == b"\x08\x00":
        head, payload = frame[14:34], frame[34:]
        assert adds_up(head)
        assert struct.unpack_from("!H", head, 2)[0] == 20 + len(payload)
        return head[9], head[12:20] + struct.pack("!BBH", 0, head[9], len(payload)), payload
    assert frame[12:14] == b"\x86\xdd"
    head, payload = frame[14:54], frame[54:]
    assert struct.unpack_from("!H", head, 4)[0] == len(payload)
    return head[6], head[8:40] + struct.pack("!IHBB", len(payload), 0, 0, head[6]), payload


@pytest.mark.parametrize(("near", "far"), [(HERE, THERE), (HERE6, THERE6)])
@pytest.mark.parametrize("data", [b"", b"odd", b"even"])
def test_a_datagram_each_way(near: Endpoint, far: Endpoint, data: bytes) -> None:
    capture = serialize([Segment(1.5, "udp", near, far, data, True), Segment(2.25, "udp", far, near, b"answer", False)])
    (first, out), (second, back) = records(capture)
    assert (first, second) == (1.5, 2.25)
    assert out[:6] == back[6:12] != out[6:12]
    for frame, ports, expected in ((out, (40_000, 5060), data), (back, (5060, 40_000), b"answer")):
        protocol, pseudo, payload = transport(frame)
        assert protocol == 17
        assert struct.unpack_from("!HHH", payload) == (*ports, 8 + len(expected))
        assert adds_up(pseudo + payload)
        assert payload[8:] == expected


def test_a_connection_opens_and_its_numbers_count_the_bytes() -> None:
    request, answer = b"x" * 3000, b"y" * 10
    capture = serialize([Segment(10.0, "tcp", HERE, THERE, request, True), Segment(11.0, "tcp", THERE, HERE, answer, False)])
    seen = []
    for _, frame in records(capture):
        protocol, pseudo, payload = transport(frame)
        assert protocol == 6
        assert adds_up(pseudo + payload)
        source, _, number, acknowledged, _, flags = struct.unpack_from("!HHIIBB", payload)
        seen.append((source, number, acknowledged, flags, payload[20:]))
    assert [(source, number, acknowledged, flags, len(data)) for source, number, acknowledged, flags, data in seen] == [
        (40_000, 0, 0, 0x02, 0),
        (5060, 0, 1, 0x12, 0),
        (40_000, 1, 1, 0x10, 0),
        (40_000, 1, 1, 0x18, 1400),
        (40_000, 1401, 1, 0x18, 1400),
        (40_000, 2801, 1, 0x18, 200),
        (5060, 1, 3001, 0x18, 10),
    ]
    assert b"".join(data for source, *_, data in seen if source == 40_000) == request


def test_nothing_is_a_capture_too() -> None:
    assert records(serialize([])) == []
