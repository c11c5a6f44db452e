"""Facts as they may stand in a file of another version, or edited by hand: what is of another shape is nothing, never an error."""

from collections.abc import Iterator, Mapping
from typing import Any

from edgecheck.wire import ports
from edgecheck.wire.errors import WireError


def rows(facts: Mapping[str, Any], field: str) -> Iterator[Mapping[str, Any]]:
    """The objects of a list."""
    value = facts.get(field)
    if isinstance(value, (list, tuple)):
        yield from (row for row in value if isinstance(row, Mapping))


def port_set(value: Any) -> set[int]:
    """The ports of ``[[lo, hi], ...]``."""
    try:
        return set(ports.expand(ports.validate(value))) if value else set()
    except (WireError, TypeError, ValueError, KeyError):
        return set()


def text(facts: Mapping[str, Any], field: str) -> str:
    """A word; empty where it is none."""
    value = facts.get(field)
    return value if isinstance(value, str) else ""


def number(facts: Mapping[str, Any], field: str) -> float | None:
    """A number, where it is one."""
    value = facts.get(field)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
