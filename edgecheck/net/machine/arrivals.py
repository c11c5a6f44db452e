"""What this machine's own system saw arriving, whoever holds the port. The proof that an answer came from here and from no other host.

Three windows, each open where the platform lets it:

- a *packet socket* (Linux, with the right to open one): every OPTIONS and every SYN that comes in, as it stands on the wire;
- the *table of connections*, which any user may read: Linux in /proc/net/tcp, elsewhere by ``netstat``;
- the *counters* of Linux's IP: packets marked ECT(1), which hardly any traffic is (RFC 3168; RFC 9331), and packets that came in and were
  not delivered, which a firewall's drops raise and nothing else in ordinary times.
"""

import asyncio
import contextlib
import ctypes
import re
import socket
import struct
import subprocess
import sys
from pathlib import Path

from edgecheck.model.check import Counters
from edgecheck.net.machine import counters
from edgecheck.wire.address import Endpoint

_PROC = Path("/proc")
_IPV4, _IPV6 = 0x0800, 0x86DD
_SO_ATTACH_FILTER = 26
_OUTGOING = 4
_TCP, _UDP = 6, 17
_MOST = 10_000
"""Sightings kept: a flood must not fill the memory."""
_LISTEN = "0A"
_RETURN = 0x06
_LOAD_BYTE, _LOAD_HALF, _LOAD_WORD, _LOAD_LENGTH = 0x30, 0x48, 0x40, 0xB1
_LOAD_BYTE_AT, _LOAD_X = 0x50, 0x01
_JUMP_EQUAL, _AND = 0x15, 0x54


class RealSightings:
    """Open windows; closed again when the questions are done."""

    def __init__(self, source: str) -> None:
        self._six = ":" in source
        self._seen: list[tuple[int, Endpoint, int, bytes]] = []
        self._connections: set[tuple[Endpoint, int]] = set()
        self.sees_connections = False
        self._packets = _packet_socket(self._six) if sys.platform == "linux" else None
        self.sees_packets = self._packets is not None
        if self._packets is not None:
            asyncio.get_running_loop().add_reader(self._packets.fileno(), self._readable)

    def _readable(self) -> None:
        assert self._packets is not None
        with contextlib.suppress(BlockingIOError):
            for _ in range(256):
                data, address = self._packets.recvfrom(2048)
                found = parse_packet(data)
                if address[2] != _OUTGOING and found is not None and len(self._seen) < _MOST:
                    self._seen.append(found)

    def datagrams(self, needle: bytes) -> tuple[int, ...]:
        if self._packets is not None:
            self._readable()
        return tuple(port for kind, _, port, data in self._seen if kind == _UDP and needle in data)

    def connections(self, source: Endpoint) -> tuple[int, ...]:
        if self._packets is not None:
            self._readable()
        seen = {port for kind, peer, port, _ in self._seen if kind == _TCP and peer == source}
        return tuple(sorted(seen | {port for peer, port in self._connections if peer == source}))

    def callers(self) -> tuple[Endpoint, ...]:
        if self._packets is not None:
            self._readable()
        return tuple(peer for kind, peer, _, _ in self._seen if kind == _TCP)

    async def look(self) -> None:
        if sys.platform == "linux":
            found = _connections_of_linux()
        else:
            found = await asyncio.to_thread(_connections_by_netstat)
        if found is not None:
            self.sees_connections = True
            self._connections |= found

    def counters(self) -> Counters | None:
        return counters.read(self._six)

    def close(self) -> None:
        if self._packets is not None:
            asyncio.get_running_loop().remove_reader(self._packets.fileno())
            self._packets.close()
            self._packets = None


# --- The packet socket -------------------------------------------------------------------------------------------------------


def _packet_socket(six: bool) -> socket.socket | None:
    """A packet socket that lets through an OPTIONS, a marker, and the first segment of a connection; None where this user may not."""
    kind = _IPV6 if six else _IPV4
    try:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(kind))  # type: ignore[attr-defined, unused-ignore]
    except OSError:
        return None
    try:
        program = _filter(six)
        buffer = ctypes.create_string_buffer(program)
        made.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(program) // 8, ctypes.addressof(buffer)))
        made.setblocking(False)
    except OSError:
        made.close()
        return None
    return made


def _filter(six: bool) -> bytes:
    """Classic BPF, so that a busy PBX's media costs us nothing: UDP that begins with ``OPTI`` or ``ec``, TCP with SYN and without ACK."""
    head = [(_LOAD_X, 0, 0, 40)] if six else [(_LOAD_LENGTH, 0, 0, 0)]
    program = [
        *head,
        (_LOAD_BYTE, 0, 0, 6 if six else 9),
        (_JUMP_EQUAL, 0, 4, _UDP),
        (_LOAD_WORD, 0, 0, 8),
        (_JUMP_EQUAL, 6, 0, int.from_bytes(b"OPTI", "big")),
        (_LOAD_HALF, 0, 0, 8),
        (_JUMP_EQUAL, 4, 5, int.from_bytes(b"ec", "big")),
        (_JUMP_EQUAL, 0, 4, _TCP),
        (_LOAD_BYTE_AT, 0, 0, 13),
        (_AND, 0, 0, 0x12),
        (_JUMP_EQUAL, 0, 1, 0x02),
        (_RETURN, 0, 0, 2048),
        (_RETURN, 0, 0, 0),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in program)


def parse_packet(data: bytes) -> tuple[int, Endpoint, int, bytes] | None:
    """(protocol, source, destination port, payload) of an IPv4 or IPv6 packet with UDP or TCP; None for anything else."""
    if len(data) < 20:
        return None
    if data[0] >> 4 == 6:
        if len(data) < 48:
            return None
        start, kind, host = 40, data[6], socket.inet_ntop(socket.AF_INET6, data[8:24])
    else:
        start, kind, host = 4 * (data[0] & 15), data[9], socket.inet_ntop(socket.AF_INET, data[12:16])
        if int.from_bytes(data[6:8], "big") & 0x1FFF:
            return None  # not the first fragment: no ports in it
    if kind not in (_TCP, _UDP) or len(data) < start + 8:
        return None
    source, port = struct.unpack_from("!HH", data, start)
    return kind, Endpoint(host, source), port, data[start + 8 :]


# --- The table of connections ------------------------------------------------------------------------------------------------


def _connections_of_linux() -> set[tuple[Endpoint, int]] | None:
    found: set[tuple[Endpoint, int]] | None = None
    for name in ("tcp", "tcp6"):
        try:
            found = (found or set()) | parse_connections((_PROC / "net" / name).read_text())
        except (OSError, ValueError, IndexError):
            continue
    return found


def parse_connections(text: str) -> set[tuple[Endpoint, int]]:
    """(peer, local port) of each connection in /proc/net/tcp or tcp6; listening sockets are none."""
    found = set()
    for line in text.splitlines()[1:]:
        fields = line.split()
        if fields[3] != _LISTEN:
            host, _, port = fields[2].partition(":")
            found.add((Endpoint(read_address(host), int(port, 16)), int(fields[1].rpartition(":")[2], 16)))
    return found


def read_address(text: str) -> str:
    """An address as /proc/net writes it: 32-bit words in the machine's byte order. A mapped IPv4 address is one."""
    words = struct.pack(f"={len(text) // 8}I", *(int(text[at : at + 8], 16) for at in range(0, len(text), 8)))
    if len(words) == 16 and words.startswith(bytes(10) + b"\xff\xff"):
        words = words[12:]
    return socket.inet_ntop(socket.AF_INET if len(words) == 4 else socket.AF_INET6, words)


def _connections_by_netstat() -> set[tuple[Endpoint, int]] | None:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(("netstat", "-an"), capture_output=True, text=True, errors="replace", timeout=3.0, check=False)
        return parse_netstat(done.stdout)
    return None


_LAST = re.compile(r"(?P<host>.+)[.:](?P<port>[0-9]+)")


def parse_netstat(text: str) -> set[tuple[Endpoint, int]]:
    """The same from ``netstat -an``: Windows writes ``host:port``, macOS ``host.port`` with two counts before it."""
    found = set()
    for fields in (line.split() for line in text.splitlines()):
        if not fields or not fields[0].lower().startswith("tcp"):
            continue
        ends = [match for field in fields[1:5] if (match := _LAST.fullmatch(field))]
        if len(ends) >= 2 and ends[1]["port"] != "0":
            host = ends[1]["host"].strip("[]").partition("%")[0]
            found.add((Endpoint(host, int(ends[1]["port"])), int(ends[0]["port"])))
    return found
