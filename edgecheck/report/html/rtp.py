"""The map of the RTP range: every port a cell, so that a hole is seen at a glance."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any, NamedTuple

from edgecheck.model.shapes import port_set
from edgecheck.model.verdict import Report
from edgecheck.report.html.shapes import facts
from edgecheck.wire import ports
from edgecheck.wire.errors import WireError

WIDTH = 1000.0
"""Units of the drawing."""
_COLUMNS = (10, 20, 50, 100, 200, 250, 500)
_MOST_ROWS = 48
_KINDS = (
    # the first that holds for a port is its kind
    ("busy", "in use by a program here", ("busy",)),
    ("undecided", "undecided", ("undecided",)),
    ("both", "closed both ways", ()),
    ("inbound", "nothing arrives from outside", ("inbound_blocked",)),
    ("outbound", "does not get out", ("outbound_blocked",)),
    ("return", "answers do not come back", ("return_blocked",)),
    ("remapped", "its number is changed", ("remapped",)),
)
OPEN = ("open", "open both ways")


class Run(NamedTuple):
    """Ports in one row that are alike."""

    x: float
    y: float
    width: float
    kind: str
    title: str


class Row(NamedTuple):
    y: float
    first: int
    """Its first port."""


class Map(NamedTuple):
    low: int
    high: int
    cell: float
    height: float
    columns: int
    runs: tuple[Run, ...]
    rows: tuple[Row, ...]
    legend: tuple[tuple[str, str, str], ...]
    """(kind, words, ports as ranges) for each kind that occurs."""


def figure(report: Report) -> Map | None:
    """The map; None where the range was not tested."""
    given = facts(report, "rtp-range")
    try:
        ((low, high),) = ports.validate([given["range"]])
    except (WireError, TypeError, ValueError, KeyError):
        return None
    kinds = _kinds(given, low, high)
    count = high - low + 1
    columns = next((columns for columns in _COLUMNS if count / columns <= _MOST_ROWS and columns >= min(50, count)), _COLUMNS[-1])
    cell = min(WIDTH / columns, 24.0)
    runs = []
    lines = []
    for number, first in enumerate(range(low, high + 1, columns)):
        last = min(first + columns - 1, high)
        lines.append(Row(number * cell, first))
        for kind, group in groupby(range(first, last + 1), key=lambda port: kinds.get(port, OPEN)):
            members = list(group)
            title = f"{members[0]}" + (f"-{members[-1]}" if len(members) > 1 else "") + f": {kind[1]}"
            runs.append(Run((members[0] - first) * cell, number * cell, len(members) * cell, kind[0], title))
    legend = []
    for kind in (OPEN, *((name, words) for name, words, _ in _KINDS)):
        members = [port for port in range(low, high + 1) if kinds.get(port, OPEN) == kind]
        if members:
            legend.append((*kind, _few(ports.compress(members))))
    return Map(low, high, cell, len(lines) * cell, columns, tuple(runs), tuple(lines), tuple(legend))


def _kinds(given: Mapping[str, Any], low: int, high: int) -> dict[int, tuple[str, str]]:
    sets = {field: port_set(given.get(field)) for _, _, fields in _KINDS for field in fields}
    kinds: dict[int, tuple[str, str]] = {}
    both = sets["inbound_blocked"] & sets["outbound_blocked"]
    for name, words, fields in reversed(_KINDS):
        members = both if name == "both" else set().union(*(sets[field] for field in fields))
        kinds.update((port, (name, words)) for port in members if low <= port <= high)
    return kinds


def _few(ranges: ports.Ranges) -> str:
    more = len(ranges) - 6
    return ports.text(ranges[:6]) + (f" and {more} more" if more > 0 else "")
