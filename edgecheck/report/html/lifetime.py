"""How long an idle mapping lives, as a plot: one row a kind of mapping, one mark an idle time."""

from typing import NamedTuple

from edgecheck.model.shapes import number, rows, text
from edgecheck.model.verdict import Report
from edgecheck.report.html.shapes import facts

WIDTH = 1000.0
LEFT = 230.0
ROW = 44.0
_KINDS = {
    "packet": "one packet out",
    "stream": "a two-way stream",
    "inbound": "refreshed from outside only",
    "sip": "SIP port",
    "tcp": "TCP connection",
}


class Mark(NamedTuple):
    x: float
    y: float
    state: str
    """``alive``, ``dead``, ``undecided``."""
    title: str


class Line(NamedTuple):
    y: float
    words: str


class Plot(NamedTuple):
    height: float
    lines: tuple[Line, ...]
    marks: tuple[Mark, ...]
    ticks: tuple[tuple[float, int], ...]
    """(x, seconds)."""


def figure(report: Report) -> Plot | None:
    """The plot; None where nothing was measured."""
    points = []
    for row in rows(facts(report, "mapping-lifetime"), "points"):
        idle = number(row, "idle_s")
        if idle is not None and idle >= 0:
            points.append((text(row, "kind"), idle, row.get("alive")))
    if not points:
        return None
    longest = max(idle for _, idle, _ in points) or 1.0
    kinds = list(dict.fromkeys(kind for kind, _, _ in points))
    scale = (WIDTH - LEFT - 30) / longest
    lines = tuple(Line(ROW / 2 + index * ROW, _KINDS.get(kind, kind)) for index, kind in enumerate(kinds))
    marks = tuple(
        Mark(round(LEFT + idle * scale, 1), ROW / 2 + kinds.index(kind) * ROW, state, f"{idle:g} s idle: {state}")
        for kind, idle, alive in points
        for state in ["alive" if alive is True else "dead" if alive is False else "undecided"]
    )
    step = next((step for step in (5, 10, 15, 30, 60, 120, 300) if longest / step <= 10), 600)
    ticks = tuple((round(LEFT + second * scale, 1), second) for second in range(0, int(longest) + 1, step))
    return Plot(len(kinds) * ROW, lines, marks, ticks)
