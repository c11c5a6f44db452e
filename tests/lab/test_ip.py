"""The user-space router's own packet surgery, against checksums computed from scratch (this needs no laboratory)."""

import struct

import pytest

from tests.lab import ip
from tests.lab.ip import End

A, B, C = End(bytes([10, 0, 0, 1]), 5060), End(bytes([198, 51, 100, 10]), 3478), End(bytes([203, 0, 113, 1]), 40001)


def valid(packet: bytes) -> bool:
    """Whether both checksums fit: over a right one the sum is zero."""
    length = (packet[0] & 15) * 4
    if ip.checksum(packet[:length]) != 0:
        return False
    if packet[9] == ip.ICMP:
        return ip.checksum(packet[length:]) == 0
    pseudo = packet[12:20] + struct.pack("!BBH", 0, packet[9], len(packet) - length)
    return ip.checksum(pseudo + packet[length:]) == 0


@pytest.mark.parametrize("size", [0, 1, 2, 27, 1472])
def test_rewriting_keeps_checksums_right(size: int) -> None:
    packet = ip.udp(A, B, bytes(range(256))[:1] * size)
    changed = ip.rewrite(packet, source=C, destination=A)
    assert valid(packet)
    assert valid(changed)
    found = ip.read(changed)
    assert found is not None
    assert (found.source, found.destination) == (C, A)
    assert ip.rewrite(changed, source=A, destination=B) == packet


def test_a_payload_of_another_size_is_sealed_anew() -> None:
    packet = ip.udp(A, B, b"short")
    found = ip.read(packet)
    assert found is not None
    longer = ip.with_payload(packet, found, b"a longer one")
    assert valid(longer)
    assert ip.payload(longer, found) == b"a longer one"


def test_time_to_live() -> None:
    changed = ip.with_ttl(ip.udp(A, B, b"x"), 7, 0x88)
    assert valid(changed)
    assert (changed[8], changed[1]) == (7, 0x88)


def test_fragments_come_together_in_any_order() -> None:
    packet = ip.udp(A, B, bytes(index % 251 for index in range(4000)))
    parts = ip.fragments(packet)
    assert len(parts) == 3
    assert all(len(part) <= ip.MTU for part in parts)
    reassembly = ip.Reassembly()
    assert [reassembly.whole(part) for part in (parts[2], parts[0])] == [None, None]
    assert reassembly.whole(parts[1]) == packet


def test_an_error_quotes_what_it_is_about() -> None:
    packet = ip.udp(A, B, b"x" * 40)
    error = ip.unreachable(packet, B.host, 13)
    assert valid(error)
    assert ip.quoted(error) == packet
    excerpt = ip.rewrite(packet, source=C)
    changed = ip.with_quote(error, excerpt, destination=C.host)
    assert valid(changed)
    assert ip.quoted(changed) == excerpt
    assert ip.quoted(packet) is None


def test_garbage_has_no_header() -> None:
    assert ip.read(b"") is None
    assert ip.read(b"\x60" + bytes(50)) is None
    assert ip.read(ip.udp(A, B, b"")[:24]) is None
