"""What this machine sent and contacted lately, over all runs.

A router may remember: on an endpoint-independent-filtering NAT a port without a rule looks forwarded while its old mapping lives, and
a filter keyed by remote host lets in whom an earlier run has contacted. So each run writes down what it did, and a later one knows what
it cannot tell. The record is small, local, and holds addresses and ports only.
"""

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgecheck.wire.ports import compress

KEEP_S = 3600.0
"""Older entries are dropped: no UDP mapping and no host filter known to us lives longer."""
_MOST_NETWORKS = 32
_MOST_ROWS = 400


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


class FileMemory:
    """The record in a JSON file, by network. A record that cannot be read or written is an empty one: never a failed run."""

    def __init__(self, path: Path, network: str) -> None:
        self._path = path
        self._network = hashlib.sha256(network.encode()).hexdigest()[:16]
        own = self._load().get(self._network, {})
        self._contacts: dict[str, float] = _numbers(own.get("contacts"))
        self._facts: dict[str, tuple[str, float]] = _facts(own.get("facts"))
        self._sent: list[tuple[float, str, list[list[int]]]] = _rows(own.get("sent"))

    def contacted(self, host: str) -> float | None:
        at = self._contacts.get(host)
        return None if at is None else max(0.0, time.time() - at)

    def sent_from(self, port: int, transport: str = "udp") -> float | None:
        ages = [
            max(0.0, time.time() - at)
            for at, kind, ranges in self._sent
            if kind == transport and any(low <= port <= high for low, high in ranges)
        ]
        return min(ages, default=None)

    def note_contact(self, host: str) -> None:
        self._contacts[host] = time.time()
        self._save()

    def note_sent(self, ports: Sequence[int], transport: str = "udp") -> None:
        self._sent.append((time.time(), transport, [list(pair) for pair in compress(ports)]))
        self._save()

    def recall(self, key: str) -> tuple[str, float] | None:
        found = self._facts.get(key)
        return None if found is None else (found[0], max(0.0, time.time() - found[1]))

    def note(self, key: str, value: str) -> None:
        self._facts[key] = (value, time.time())
        self._save()

    def _load(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError, RecursionError):
            if self._path.stat().st_size <= 4 << 20:
                content = json.loads(self._path.read_text())
                if isinstance(content, dict):
                    return {key: value for key, value in content.items() if isinstance(value, dict)}
        return {}

    def _save(self) -> None:
        """Written at once, whole or not at all: a run may be killed at any moment, and two may run side by side."""
        horizon = time.time() - KEEP_S
        content = self._load()
        other = content.get(self._network, {})
        contacts = _newest(_numbers(other.get("contacts")), self._contacts, horizon)
        facts = {key: value for key, value in {**_facts(other.get("facts")), **self._facts}.items() if value[1] > horizon}
        sent = [row for row in self._sent if row[0] > horizon]
        sent += [row for row in _rows(other.get("sent")) if row[0] > horizon and row not in sent]
        content[self._network] = {"contacts": contacts, "facts": facts, "sent": sorted(sent)[-_MOST_ROWS:], "at": time.time()}
        kept = sorted(content, key=lambda key: _number(content[key].get("at")))[-_MOST_NETWORKS:]
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=".memory-")
            try:
                with os.fdopen(handle, "w") as file:
                    json.dump({key: content[key] for key in kept}, file)
                Path(name).replace(self._path)
            except OSError:
                Path(name).unlink(missing_ok=True)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _numbers(value: object) -> dict[str, float]:
    return {str(key): _number(number) for key, number in value.items()} if isinstance(value, dict) else {}


def _newest(one: dict[str, float], two: dict[str, float], horizon: float) -> dict[str, float]:
    return {
        key: at for key in {*one, *two} if (at := max(one.get(key, 0.0), two.get(key, 0.0))) > horizon
    }


def _facts(value: object) -> dict[str, tuple[str, float]]:
    if not isinstance(value, dict):
        return {}
    return {str(key): (str(pair[0]), _number(pair[1])) for key, pair in value.items() if isinstance(pair, list) and len(pair) == 2}


def _rows(value: object) -> list[tuple[float, str, list[list[int]]]]:
    rows = []
    for row in value if isinstance(value, list) else []:
        if isinstance(row, list) and len(row) == 3 and isinstance(row[2], list):
            ranges = [pair for pair in row[2] if isinstance(pair, list) and len(pair) == 2 and all(isinstance(p, int) for p in pair)]
            rows.append((_number(row[0]), str(row[1]), ranges))
    return rows
