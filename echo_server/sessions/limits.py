"""What is bounded, and by how much: rates per source, and memory per session and in all. Clock and keys are arguments."""

import ipaddress
from array import array
from typing import NamedTuple

import msgspec

from edgecheck.wire.control import Limits


class Bounds(NamedTuple):
    """Bounds that a client need not know in order to keep within them."""

    sessions: int = 1000
    """Open at a time; the next one is refused as busy."""
    sessions_per_source: int = 64
    """Loopback is exempt."""
    addresses: int = 16
    """Addresses that one session may prove: carrier-grade NATs with pools of public addresses use a handful."""
    requests: int = 32
    """Requests of one session in work at a time."""
    session_bytes: int = 16 << 20
    """Accounts and mirror of one session; all receipts of a run over 10,001 ports take about 8 MB."""
    total_bytes: int = 512 << 20
    """The same over all sessions."""
    rows: int = 24_000
    """Received rows of one series: their account must fit into one control message."""
    mirror_bytes: int = 2 << 20
    """Bytes of SIP kept for one session: with base64 its mirror must fit into one control message."""
    streams: int = 2048
    """TCP connections open at a time, all ports together."""
    streams_per_source: int = 256
    """Loopback is exempt."""
    stream_idle_s: float = 15.0
    """A connection that brings no whole message of a live session is closed after this time."""
    handshake_s: float = 10.0
    """For TLS, for the first HTTP request, and for the client's proof; each."""


DEFAULT_BOUNDS = Bounds()
TOKEN_LIMITS = Limits(pace=100_000, mirror_messages=4096, fresh_ports=32)
"""With a token. A burst over a whole RTP range takes a tenth of a second; the pace that an edge can stand is the client's to choose.
The mirror holds every copy of every request of a run over a lossy path, and the three answers to each INVITE."""
OPEN_LIMITS = Limits(
    session_s=300, pace=5_000, copies=9, dials=64, source_rate=100, mirror_messages=1024, inquiries=32, reports_bytes=64 << 20,
    fresh_ports=16,
)
"""For a public server."""
OPEN_BOUNDS = Bounds(sessions=200, sessions_per_source=4, session_bytes=4 << 20, streams_per_source=64)


def within(limits: Limits, media_ports: int) -> Limits:
    """The limits with no more media sockets than this machine lets us open."""
    return msgspec.structs.replace(limits, media_ports=max(0, min(limits.media_ports, media_ports)))


def is_loopback(host: str) -> bool:
    """Nobody can be flooded by way of a loopback address."""
    return host.startswith("127.") or host == "::1"


def network(host: str) -> str:
    """What counts as one source: an IPv4 address, an IPv6 /64 (one subscriber has at least that)."""
    return host if ":" not in host else ipaddress.IPv6Address(host).packed[:8].hex()


class SourceRate:
    """Answers a second to one source, in a fixed number of counters: a flood of forged sources costs no memory.

    Sources that meet in one counter share its rate. Which ones meet depends on ``key``, so nobody can aim at another's.
    """

    SLOTS = 1 << 16

    def __init__(self, rate: int, key: bytes) -> None:
        self._rate = rate
        self._key = key
        self._second = -1
        self._counts = array("L", bytes(array("L").itemsize * self.SLOTS))
        self._zeros = bytes(self._counts.itemsize * self.SLOTS)

    def allows(self, host: str, now: float) -> bool:
        """Whether one more datagram may be answered; counts it."""
        if is_loopback(host):
            return True
        if int(now) != self._second:
            self._second = int(now)
            memoryview(self._counts).cast("B")[:] = self._zeros
        slot = hash((self._key, network(host))) & self.SLOTS - 1
        self._counts[slot] += 1
        return self._counts[slot] <= self._rate


class Pool:
    """Memory that all sessions share."""

    def __init__(self, size: int) -> None:
        self.free = size


class Allowance:
    """Memory that one session may fill: its own bound and what the pool has left."""

    def __init__(self, size: int, pool: Pool) -> None:
        self._size = size
        self._pool = pool
        self._taken = 0

    def take(self, size: int) -> bool:
        """Whether so many bytes more may be kept; counts them."""
        if self._taken + size > self._size or size > self._pool.free:
            return False
        self._taken += size
        self._pool.free -= size
        return True

    def give_back(self) -> None:
        """Everything, at the session's end."""
        self._pool.free += self._taken
        self._taken = 0
        self._size = 0
