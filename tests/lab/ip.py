"""IPv4 packets as a router handles them: checksums, rewriting of addresses and ports, ICMP, fragments. Bytes in, bytes out."""

import struct
from typing import NamedTuple

ICMP, TCP, UDP = 1, 6, 17
ECHO_REPLY, UNREACHABLE, ECHO = 0, 3, 8
MTU = 1500
_CHECKSUM_AT = {TCP: 16, UDP: 6}
"""Offset of the checksum in the transport header."""


class End(NamedTuple):
    """An address (4 bytes) and a port."""

    host: bytes
    port: int


class Header(NamedTuple):
    """What a router reads of a packet."""

    length: int
    """Of the IP header, bytes."""
    protocol: int
    source: End
    destination: End
    """Ports are 0 for other than UDP and TCP; an ICMP echo has its identifier as both."""


def read(packet: bytes) -> Header | None:
    """The header, or None for what is no whole IPv4 packet with the transport header in it."""
    if len(packet) < 20 or packet[0] >> 4 != 4:
        return None
    length, protocol = (packet[0] & 15) * 4, packet[9]
    if protocol in (UDP, TCP) and len(packet) >= length + 8:
        sport, dport = struct.unpack_from("!HH", packet, length)
    elif protocol == ICMP and len(packet) >= length + 8 and packet[length] in (ECHO, ECHO_REPLY):
        sport = dport = struct.unpack_from("!H", packet, length + 4)[0]
    elif len(packet) >= length + 8:
        sport = dport = 0
    else:
        return None
    return Header(length, protocol, End(packet[12:16], sport), End(packet[16:20], dport))


def checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def _adjust(old: int, before: bytes, after: bytes) -> int:
    """A checksum after some 16-bit words under it have changed (RFC 1624)."""
    words = len(before) // 2
    total: int = (
        (~old & 0xFFFF) + sum(struct.unpack(f"!{words}H", after)) + sum(~word & 0xFFFF for word in struct.unpack(f"!{words}H", before))
    )
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def rewrite(packet: bytes, *, source: End | None = None, destination: End | None = None) -> bytes:
    """The packet with another source or destination, its checksums adjusted."""
    found = read(packet)
    if found is None:
        return packet
    out = bytearray(packet)
    for end, address_at, port_at in ((source, 12, 0), (destination, 16, 2)):
        if end is None:
            continue
        before = bytes(out[address_at : address_at + 4])
        out[10:12] = struct.pack("!H", _adjust(struct.unpack_from("!H", out, 10)[0], before, end.host))
        out[address_at : address_at + 4] = end.host
        if found.protocol == ICMP:
            _rewrite_echo(out, found.length, end.port)
        elif found.protocol in _CHECKSUM_AT:
            at = found.length + port_at
            port = struct.pack("!H", end.port)
            _adjust_transport(out, found, before + bytes(out[at : at + 2]), end.host + port)
            out[at : at + 2] = port
    return bytes(out)


def _adjust_transport(out: bytearray, found: Header, before: bytes, after: bytes) -> None:
    at = found.length + _CHECKSUM_AT[found.protocol]
    if len(out) < at + 2:
        return  # an excerpt inside an ICMP error
    old = struct.unpack_from("!H", out, at)[0]
    if found.protocol == UDP and old == 0:
        return  # RFC 768: no checksum
    struct.pack_into("!H", out, at, _adjust(old, before, after) or (0xFFFF if found.protocol == UDP else 0))


def _rewrite_echo(out: bytearray, length: int, identifier: int) -> None:
    if out[length] in (ECHO, ECHO_REPLY):
        before, after = bytes(out[length + 4 : length + 6]), struct.pack("!H", identifier)
        struct.pack_into("!H", out, length + 2, _adjust(struct.unpack_from("!H", out, length + 2)[0], before, after))
        out[length + 4 : length + 6] = after


def quoted(packet: bytes) -> bytes | None:
    """The excerpt inside an ICMP error; None when this is no ICMP error."""
    length = (packet[0] & 15) * 4
    if len(packet) < length + 28 or packet[9] != ICMP or packet[length] not in (3, 4, 11, 12):
        return None
    return packet[length + 8 :]


def with_quote(packet: bytes, excerpt: bytes, *, source: bytes | None = None, destination: bytes | None = None) -> bytes:
    """An ICMP error with another excerpt of the same length, and other addresses."""
    length = (packet[0] & 15) * 4
    out = bytearray(packet[: length + 8] + excerpt)
    for address, at in ((source, 12), (destination, 16)):
        if address is not None:
            out[at : at + 4] = address
    out[10:12] = b"\0\0"
    struct.pack_into("!H", out, 10, checksum(bytes(out[:length])))
    out[length + 2 : length + 4] = b"\0\0"
    struct.pack_into("!H", out, length + 2, checksum(bytes(out[length:])))
    return bytes(out)


def payload(packet: bytes, found: Header) -> bytes:
    """What a UDP datagram or TCP segment carries."""
    total = struct.unpack_from("!H", packet, 2)[0]
    start = found.length + (8 if found.protocol == UDP else (packet[found.length + 12] >> 4) * 4)
    return packet[start:total]


def with_payload(packet: bytes, found: Header, data: bytes) -> bytes:
    """The same packet carrying something else; of a TCP segment, something of the same length."""
    start = found.length + (8 if found.protocol == UDP else (packet[found.length + 12] >> 4) * 4)
    out = bytearray(packet[:start] + data)
    struct.pack_into("!H", out, 2, len(out))
    if found.protocol == UDP:
        struct.pack_into("!H", out, found.length + 4, 8 + len(data))
    return _sealed(out, found.length, found.protocol)


def udp(source: End, destination: End, data: bytes, ttl: int = 64) -> bytes:
    """A UDP datagram in one packet, whatever its size."""
    out = bytearray(struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(data), 0, 0, ttl, UDP, 0, source.host, destination.host))
    out += struct.pack("!HHHH", source.port, destination.port, 8 + len(data), 0) + data
    return _sealed(out, 20, UDP)


def unreachable(packet: bytes, source: bytes, code: int) -> bytes:
    """An ICMP destination unreachable from ``source`` about ``packet`` (RFC 792; as much of it as fits 576 bytes, RFC 1812)."""
    body = struct.pack("!BBHI", UNREACHABLE, code, 0, 0) + packet[:548]
    body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    out = bytearray(struct.pack("!BBHHHBBH4s4s", 0x45, 0xC0, 20 + len(body), 0, 0, 64, ICMP, 0, source, packet[12:16]))
    struct.pack_into("!H", out, 10, checksum(bytes(out)))
    return bytes(out) + body


def with_ttl(packet: bytes, ttl: int, tos: int | None = None) -> bytes:
    """The packet with another TTL (and, if given, another TOS byte: DSCP and ECN)."""
    out = bytearray(packet)
    out[8] = ttl
    if tos is not None:
        out[1] = tos
    before, after = packet[0:2] + packet[8:10], bytes(out[0:2] + out[8:10])
    out[10:12] = struct.pack("!H", _adjust(struct.unpack_from("!H", packet, 10)[0], before, after))
    return bytes(out)


def _sealed(out: bytearray, length: int, protocol: int) -> bytes:
    """Both checksums computed anew."""
    out[10:12] = b"\0\0"
    struct.pack_into("!H", out, 10, checksum(bytes(out[:length])))
    at = length + _CHECKSUM_AT[protocol]
    out[at : at + 2] = b"\0\0"
    pseudo = bytes(out[12:20]) + struct.pack("!BBH", 0, protocol, len(out) - length)
    value = checksum(pseudo + bytes(out[length:]))
    struct.pack_into("!H", out, at, value or (0xFFFF if protocol == UDP else 0))
    return bytes(out)


def fragments(packet: bytes) -> list[bytes]:
    """The packet as the next link can carry it (RFC 791 section 3.2)."""
    if len(packet) <= MTU:
        return [packet]
    length = (packet[0] & 15) * 4
    size = (MTU - length) // 8 * 8
    out = []
    for at in range(0, len(packet) - length, size):
        part = bytearray(packet[:length] + packet[length + at : length + at + size])
        struct.pack_into("!H", part, 2, len(part))
        struct.pack_into("!H", part, 6, at // 8 | (0x2000 if length + at + size < len(packet) else 0))
        part[10:12] = b"\0\0"
        struct.pack_into("!H", part, 10, checksum(bytes(part[:length])))
        out.append(bytes(part))
    return out


class Reassembly:
    """Puts fragments together, as a router must that translates or rewrites: only the first one has the ports."""

    MOST = 256

    def __init__(self) -> None:
        self._parts: dict[bytes, dict[int, bytes]] = {}

    def whole(self, packet: bytes) -> bytes | None:
        """The packet itself, or one put together; None while parts are missing."""
        field = struct.unpack_from("!H", packet, 6)[0]
        if not field & 0x3FFF:
            return packet
        key = packet[4:6] + packet[9:10] + packet[12:20]
        parts = self._parts.setdefault(key, {})
        parts[(field & 0x1FFF) * 8] = packet
        if len(self._parts) > self.MOST:
            self._parts.pop(next(iter(self._parts)))
        data, first = b"", parts.get(0)
        if first is None:
            return None
        length = (first[0] & 15) * 4
        while len(data) in parts:
            part = parts[len(data)]
            data += part[(part[0] & 15) * 4 :]
            if not struct.unpack_from("!H", part, 6)[0] & 0x2000:
                del self._parts[key]
                out = bytearray(first[:length] + data)
                struct.pack_into("!H", out, 2, len(out))
                struct.pack_into("!H", out, 6, 0)
                out[10:12] = b"\0\0"
                struct.pack_into("!H", out, 10, checksum(bytes(out[:length])))
                return bytes(out)
        return None
