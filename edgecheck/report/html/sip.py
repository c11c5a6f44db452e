"""SIP sent and arrived, side by side, with what was changed marked."""

import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import NamedTuple

from edgecheck.model.shapes import rows, text
from edgecheck.model.verdict import Report
from edgecheck.report.html.shapes import facts

Marked = tuple[tuple[str, bool], ...]
"""Pieces of a text; True: not the same on the other side."""
_LONGEST = 1200
_MOST = 60
"""Rows a way; the JSON report has them all."""
_PIECE = re.compile(r"\d+(?:\.\d+){3}|\w+|\s+|.", re.DOTALL)
"""An address is one piece: it is told apart as a whole."""


class Line(NamedTuple):
    """One place that was touched."""

    message: str
    direction: str
    where: str
    action: str
    sent: Marked
    arrived: Marked
    more: int
    """Other messages in which the same place was touched in the same way."""


class Way(NamedTuple):
    """One transport and port."""

    name: str
    lines: tuple[Line, ...]
    left_out: int
    state: str
    """Where nothing was touched: ``unchanged`` or what else became of it."""


def figure(report: Report) -> tuple[Way, ...]:
    """The ways that were tried, those that were touched first; empty where SIP was not tested.

    Calls that come in and long messages stand beside the others: an ALG that touches those alone leaves the way no "unchanged".
    """
    found: dict[str, dict[tuple[str, str, str], Line]] = {}
    states: dict[str, set[str]] = {}
    seen = facts(report, "sip-alg")
    for probe in (probe for field in ("probes", "incoming", "beside") for probe in rows(seen, field)):
        name = f"{text(probe, 'transport').upper()} {probe.get('server_port', '')}"
        lines = found.setdefault(name, {})
        states.setdefault(name, set()).update(str(probe.get(side)) for side in ("request", "response") if probe.get(side))
        for change in rows(probe, "changes"):
            key = (text(change, "direction") or "request or response", text(change, "where"), text(change, "action"))
            if key in lines:
                lines[key] = lines[key]._replace(more=lines[key].more + 1)
                continue
            sent, arrived = marked(text(change, "sent"), text(change, "arrived"))
            lines[key] = Line(text(change, "message") or text(probe, "method"), *key, sent, arrived, 0)
    ways = [
        Way(name, tuple(list(lines.values())[:_MOST]), max(0, len(lines) - _MOST), ", ".join(sorted(states[name])))
        for name, lines in found.items()
    ]
    return tuple(sorted(ways, key=lambda way: not way.lines))


def marked(sent: str, arrived: str) -> tuple[Marked, Marked]:
    """Both texts in pieces; those that the other has not are marked."""
    left, right = (_PIECE.findall(each[:_LONGEST]) for each in (sent, arrived))
    pairs = SequenceMatcher(None, left, right, autojunk=False).get_opcodes()
    return tuple(_pieces(left, [(op, a, b) for op, a, b, _, _ in pairs])), tuple(_pieces(right, [(op, c, d) for op, _, _, c, d in pairs]))


def _pieces(words: list[str], steps: list[tuple[str, int, int]]) -> Iterator[tuple[str, bool]]:
    for op, start, end in steps:
        if end > start:
            yield "".join(words[start:end]), op != "equal"
