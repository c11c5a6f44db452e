"""Facts of a check as they may stand in any file: what is of another shape is nothing, never an error."""

from collections.abc import Iterator, Mapping
from typing import Any

from edgecheck.model.verdict import Report


def facts(report: Report, check: str) -> Mapping[str, Any]:
    """The observation of this check; empty where there is none."""
    for result in report.checks:
        if result.id == check and isinstance(result.observation, Mapping):
            return result.observation
    return {}


def rows(facts: Mapping[str, Any], field: str) -> Iterator[Mapping[str, Any]]:
    """The objects of a list."""
    value = facts.get(field)
    if isinstance(value, (list, tuple)):
        yield from (row for row in value if isinstance(row, Mapping))


def text(facts: Mapping[str, Any], field: str) -> str:
    """A word; empty where it is none."""
    value = facts.get(field)
    return value if isinstance(value, str) else ""


def number(facts: Mapping[str, Any], field: str) -> float | None:
    """A number, where it is one."""
    value = facts.get(field)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
