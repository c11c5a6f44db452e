"""What this machine sent and contacted lately, over all runs.

A router may remember: on an endpoint-independent-filtering NAT a port without a rule looks forwarded while its old mapping lives, and
a filter keyed by remote host lets in whom an earlier run has contacted. So each run writes down what it did, and a later one knows what
it cannot tell. The record is small, local, and holds addresses and ports only.

**Time.** A machine's clock on the wall may be wrong, and be put right between two runs. So the record also keeps what the clock since
the start of the machine showed, which counts within one start. Where the platform does not tell one start from another, what was sent
counts as sent as lately as either clock says, and a fact on which a verdict may rest counts as old as either says.
"""

import contextlib
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from edgecheck.model.check import Memory
from edgecheck.wire.ports import Ranges, compress, expand

KEEP_S = 3600.0
"""Older entries are dropped: no UDP mapping and no host filter known to us lives longer."""
_MOST_NETWORKS = 32
_MOST_ROWS = 100
_LONGEST = 16 << 20
"""Bytes of a record: what is larger was not written by us."""
_LOCK_S = 1.0
"""Longest wait for another process that writes: one that was stopped must not stop this run."""
_NEVER = float("-inf")

_Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
_Row = tuple[float, str, tuple[tuple[_Port, _Port], ...]]


class _Record(msgspec.Struct, kw_only=True):
    """What is known of one network, as it stands in the file; times by the clock on the wall."""

    at: float
    """When it was written."""
    steady: float
    """The same moment, seconds since the start of the machine."""
    boot: str
    """Which start that was; empty where the platform does not say."""
    contacts: dict[str, float]
    facts: dict[str, tuple[str, float]]
    sent: list[_Row]


class Clocks(NamedTuple):
    """The time, told twice."""

    wall: Callable[[], float]
    """Seconds since 1970; may jump."""
    steady: Callable[[], float]
    """Seconds since the machine was started, sleep included where the platform counts it; never jumps."""
    boot: str
    """Names this start of the machine."""


def machine_clocks() -> Clocks:
    """Those of this machine."""
    boot = ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    if sys.platform == "linux":
        return Clocks(time.time, lambda: time.clock_gettime(time.CLOCK_BOOTTIME), boot)
    return Clocks(time.time, time.monotonic, boot)


class NoMemory:
    """Where nothing can remember: loopback."""

    def contacted(self, host: str) -> float | None:
        return None

    def sent_from(self, port: int, transport: str = "udp") -> float | None:
        return None

    def note_contact(self, host: str) -> None:
        return

    def note_sent(self, ports: Sequence[int], transport: str = "udp") -> None:
        return

    def recall(self, key: str) -> tuple[str, float] | None:
        return None

    def note(self, key: str, value: str) -> None:
        return


class ToldMemory:
    """A memory, and what the server told of one address: others behind the same edge may have contacted it.

    What it told is of the moment when the session began: a contact of this session's own is in the memory itself.
    """

    def __init__(self, own: Memory, host: str, ago: float, clock: Callable[[], float]) -> None:
        self._own = own
        self._host = host
        self._clock = clock
        self._at = clock() - ago

    def contacted(self, host: str) -> float | None:
        own = self._own.contacted(host)
        if host != self._host:
            return own
        told = max(0.0, self._clock() - self._at)
        return told if own is None else min(own, told)

    def sent_from(self, port: int, transport: str = "udp") -> float | None:
        return self._own.sent_from(port, transport)

    def note_contact(self, host: str) -> None:
        self._own.note_contact(host)

    def note_sent(self, ports: Sequence[int], transport: str = "udp") -> None:
        self._own.note_sent(ports, transport)

    def recall(self, key: str) -> tuple[str, float] | None:
        return self._own.recall(key)

    def note(self, key: str, value: str) -> None:
        self._own.note(key, value)


class FileMemory:
    """The record in a JSON file, by network. A record that cannot be read or written is an empty one: never a failed run.

    In memory all times are by the steady clock. Runs side by side share the file: each learns what the others did.
    """

    def __init__(self, path: Path, network: str, clocks: Clocks | None = None) -> None:
        self._path = path
        self._network = hashlib.sha256(network.encode(errors="surrogateescape")).hexdigest()[:16]
        self._clocks = clocks or machine_clocks()
        self._contacts: dict[str, float] = {}
        self._facts: dict[str, tuple[str, float]] = {}
        self._sent: dict[tuple[str, Ranges], float] = {}
        self._by_port: dict[str, list[float]] | None = None
        self._read: tuple[int, ...] | None = None
        """Tells whether the file is still the one that was read."""

    def contacted(self, host: str) -> float | None:
        self._learn()
        return self._age(self._contacts.get(host, _NEVER))

    def sent_from(self, port: int, transport: str = "udp") -> float | None:
        self._learn()
        if self._by_port is None:
            self._by_port = _by_port(self._sent)
        return self._age(self._by_port[transport][port]) if transport in self._by_port else None

    def note_contact(self, host: str) -> None:
        self._contacts[host] = self._clocks.steady()
        self._save()

    def note_sent(self, ports: Sequence[int], transport: str = "udp") -> None:
        self._sent[transport, compress(ports)] = self._clocks.steady()
        self._by_port = None
        self._save()

    def recall(self, key: str) -> tuple[str, float] | None:
        self._learn()
        value, at = self._facts.get(key, ("", _NEVER))
        age = self._age(at)
        return None if age is None else (value, age)

    def note(self, key: str, value: str) -> None:
        self._facts[key] = (value, self._clocks.steady())
        self._save()

    def _age(self, at: float) -> float | None:
        age = max(0.0, self._clocks.steady() - at)
        return age if age <= KEEP_S else None

    def _learn(self) -> None:
        """Take over what the file says, if it has changed."""
        try:
            status = self._path.stat()
        except OSError:
            return
        seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        if seen != self._read:
            self._read = seen
            record = self._load().get(self._network)
            if record is not None:
                self._merge(record)

    def _load(self) -> dict[str, _Record]:
        records = {}
        with contextlib.suppress(OSError, ValueError, RecursionError):  # msgspec's errors are ValueErrors
            if self._path.is_file() and self._path.stat().st_size <= _LONGEST:
                for name, raw in msgspec.json.decode(self._path.read_bytes(), type=dict[str, msgspec.Raw]).items():
                    with contextlib.suppress(ValueError, RecursionError):
                        records[name] = msgspec.json.decode(raw, type=_Record)
        return records

    def _merge(self, record: _Record) -> None:
        now = self._clocks.steady()
        ahead = self._clocks.wall() - now

        def told(at: float) -> tuple[float, ...]:
            """When that was on the steady clock, as far as each of the two clocks can tell."""
            by_wall = at - ahead
            if record.boot != self._clocks.boot or record.steady > now:
                return (by_wall,)
            by_steady = record.steady - max(0.0, record.at - at)
            return (by_steady,) if record.boot else (by_wall, by_steady)

        def latest(at: float) -> float:
            return min(now, max(told(at)))

        for host, at in record.contacts.items():
            self._contacts[host] = max(latest(at), self._contacts.get(host, _NEVER))
        for at, transport, ranges in record.sent:
            self._sent[transport, ranges] = max(latest(at), self._sent.get((transport, ranges), _NEVER))
        for key, (value, at) in record.facts.items():
            noted = min(told(at))
            if self._facts.get(key, ("", _NEVER))[1] < noted <= now:  # one of the future is of a time that nobody knows
                self._facts[key] = (value, noted)
        self._by_port = None

    def _save(self) -> None:
        """Written whole or not at all, and by one process at a time: a run may be killed at any moment, and two may run side by side."""
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with _alone(self._path.with_name(self._path.name + ".lock")):
                records = self._load()
                if self._network in records:
                    self._merge(records[self._network])
                others = sorted((name for name in records if name != self._network), key=lambda name: records[name].at)
                kept = {name: records[name] for name in others[-(_MOST_NETWORKS - 1) :]}
                _replace(self._path, msgspec.json.encode(kept | {self._network: self._record()}))

    def _record(self) -> _Record:
        now, wall = self._clocks.steady(), self._clocks.wall()
        horizon = now - KEEP_S
        self._sent = _fewer({row: at for row, at in self._sent.items() if at >= horizon})
        return _Record(
            at=wall,
            steady=now,
            boot=self._clocks.boot,
            contacts={host: wall - (now - at) for host, at in self._contacts.items() if at >= horizon},
            facts={key: (value, wall - (now - at)) for key, (value, at) in self._facts.items() if at >= horizon},
            sent=[(wall - (now - at), transport, ranges) for (transport, ranges), at in self._sent.items()],
        )


def _by_port(sent: dict[tuple[str, Ranges], float]) -> dict[str, list[float]]:
    """When each port last sent, by transport: ten thousand ports are asked for at once."""
    out: dict[str, list[float]] = {}
    for (transport, ranges), at in sorted(sent.items(), key=lambda row: row[1]):
        ports = out.setdefault(transport, [_NEVER] * 65_536)
        for low, high in ranges:
            ports[low : high + 1] = [at] * (high + 1 - low)
    return out


def _fewer(sent: dict[tuple[str, Ranges], float]) -> dict[tuple[str, Ranges], float]:
    """No more than so many rows: the oldest become one a transport, with the time of the youngest among them. Nothing is forgotten."""
    if len(sent) <= _MOST_ROWS:
        return sent
    rows = sorted(sent.items(), key=lambda row: row[1])
    surplus, kept = rows[: -_MOST_ROWS // 2], dict(rows[-_MOST_ROWS // 2 :])
    for transport in {transport for (transport, _), _ in surplus}:
        old = [(ranges, at) for (kind, ranges), at in surplus if kind == transport]
        whole = compress(port for ranges, _ in old for port in expand(ranges))
        kept[transport, whole] = max(max(at for _, at in old), kept.get((transport, whole), _NEVER))
    return kept


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold the lock meanwhile; go on without it where it cannot be had in time. It ends with the process, however that ends."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            handle = os.open(lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_NONBLOCK", 0), 0o600)
            stack.callback(os.close, handle)
            deadline = time.monotonic() + _LOCK_S
            while not _try_lock(handle) and time.monotonic() < deadline:
                time.sleep(0.005)
        yield


def _try_lock(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _replace(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".memory-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
