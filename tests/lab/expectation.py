"""Expected observations: plain values, or one of the patterns here where one value would say too much. ``differences`` tells
what is not met, a line each, with the path to it.

A mapping expects its keys and lets others be. A sequence expects exactly its items. Anything else expects itself.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Pattern(Protocol):
    """Something that can be held against a value."""

    def differences(self, seen: Any, path: str) -> Iterator[str]:
        """What is not met."""


def differences(expected: Any, seen: Any, path: str = "") -> Iterator[str]:
    """What of ``expected`` is not met by ``seen``."""
    if isinstance(expected, Pattern):
        yield from expected.differences(seen, path)
    elif isinstance(expected, Mapping):
        if not isinstance(seen, Mapping):
            yield _line(path, dict(expected), seen)
            return
        for key, value in expected.items():
            if key not in seen:
                yield f"{path}.{key}: expected {_short(value)}, but there is no such field"
            else:
                yield from differences(value, seen[key], f"{path}.{key}")
    elif isinstance(expected, (list, tuple)):
        if not isinstance(seen, list) or len(seen) != len(expected):
            yield _line(path, expected, seen)
            return
        for index, (one, other) in enumerate(zip(expected, seen, strict=True)):
            yield from differences(one, other, f"{path}[{index}]")
    elif expected != seen or isinstance(expected, bool) != isinstance(seen, bool):
        yield _line(path, expected, seen)


def _line(path: str, expected: Any, seen: Any) -> str:
    return f"{path}: expected {_short(expected)}, observed {_short(seen)}"


def _short(value: Any) -> str:
    text = json.dumps(value, default=repr, ensure_ascii=False)
    return text if len(text) <= 400 else f"{text[:400]}... ({len(text)} characters)"


@dataclass(frozen=True)
class OneOf:
    """Any of these."""

    values: tuple[Any, ...]

    def differences(self, seen: Any, path: str) -> Iterator[str]:
        if all(any(True for _ in differences(value, seen, path)) for value in self.values):
            yield f"{path}: expected one of {_short(self.values)}, observed {_short(seen)}"


def one_of(*values: Any) -> OneOf:
    """Any of these."""
    return OneOf(values)


def or_undecided(value: Any) -> OneOf:
    """This, or "could not tell": what loss may do to an answer."""
    return OneOf((value, None))


@dataclass(frozen=True)
class At:
    """``ip:port`` with this address."""

    host: str

    def differences(self, seen: Any, path: str) -> Iterator[str]:
        if not isinstance(seen, str) or seen.rpartition(":")[0].strip("[]") != self.host:
            yield f"{path}: expected some port of {self.host}, observed {_short(seen)}"


@dataclass(frozen=True)
class Between:
    """A number from ``low`` to ``high``."""

    low: float
    high: float

    def differences(self, seen: Any, path: str) -> Iterator[str]:
        if not isinstance(seen, (int, float)) or not self.low <= seen <= self.high:
            yield f"{path}: expected {self.low} to {self.high}, observed {_short(seen)}"


@dataclass(frozen=True)
class Each:
    """Every item, and there is at least one, is like this; with ``count``, there are exactly so many."""

    like: Any
    count: int | None = None

    def differences(self, seen: Any, path: str) -> Iterator[str]:
        if not isinstance(seen, list) or not seen or (self.count is not None and len(seen) != self.count):
            yield f"{path}: expected {self.count or 'some'} items, observed {_short(seen)}"
            return
        for index, item in enumerate(seen):
            yield from differences(self.like, item, f"{path}[{index}]")


@dataclass(frozen=True)
class Rows:
    """Rows of a table: for each pair, those that match the first pattern exist and all match the second."""

    rules: tuple[tuple[Mapping[str, Any], Mapping[str, Any]], ...]

    def differences(self, seen: Any, path: str) -> Iterator[str]:
        for which, then in self.rules:
            found = [row for row in seen or () if not any(True for _ in differences(which, row))]
            if not found:
                yield f"{path}: expected rows with {_short(dict(which))}, observed {_short(seen)}"
            for row in found:
                yield from differences(then, row, f"{path}[{', '.join(str(value) for value in which.values())}]")


def rows(*rules: tuple[Mapping[str, Any], Mapping[str, Any]]) -> Rows:
    """Rows of a table; see ``Rows``."""
    return Rows(rules)


@dataclass(frozen=True)
class Includes:
    """Among the items there is one like each of these; none may be like one of ``never``."""

    some: Sequence[Any]
    never: Sequence[Any] = ()

    def differences(self, seen: Any, path: str) -> Iterator[str]:
        if not isinstance(seen, list):
            yield f"{path}: expected a list, observed {_short(seen)}"
            return
        for wanted in self.some:
            if all(any(True for _ in differences(wanted, item)) for item in seen):
                yield f"{path}: expected an item like {_short(wanted)}, observed {_short(seen)}"
        for unwanted in self.never:
            for item in seen:
                if not any(True for _ in differences(unwanted, item)):
                    yield f"{path}: expected nothing like {_short(unwanted)}, observed {_short(item)}"


@dataclass(frozen=True)
class NearlyAll:
    """Ranges within ``low`` to ``high`` that leave out at most ``missing`` numbers: ports drawn at random may hit by chance."""

    low: int
    high: int
    missing: int = 2

    def differences(self, seen: Any, path: str) -> Iterator[str]:
        fits = isinstance(seen, list) and all(self.low <= low <= high <= self.high for low, high in seen)
        covered = sum(high - low + 1 for low, high in seen) if fits else 0
        if covered < self.high - self.low + 1 - self.missing:
            yield f"{path}: expected nearly all of {self.low}-{self.high}, observed {_short(seen)}"
