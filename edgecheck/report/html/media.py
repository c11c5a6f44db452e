"""Would a call sound good: a bar a direction on the scale of mean opinion scores (ITU-T P.800.1: 1 to 5)."""

from typing import NamedTuple

from edgecheck.model.shapes import number
from edgecheck.model.verdict import Report
from edgecheck.report.html.shapes import facts

WIDTH = 1000.0
LEFT = 230.0


class Bar(NamedTuple):
    y: float
    words: str
    mos: float
    width: float
    details: str


def figure(report: Report) -> tuple[Bar, ...]:
    """The bars; none where media was not measured."""
    given = facts(report, "media-quality")
    bars: list[Bar] = []
    for way, words in (("up", "what others hear"), ("down", "what is heard here")):
        side = given.get(way)
        if not isinstance(side, dict):
            continue
        mos = number(side, "mos")
        if mos is None or not 1 <= mos <= 5:
            continue
        told = [
            (name, number(side, field), unit)
            for name, field, unit in (("lost", "lost", ""), ("jitter", "jitter_ms", " ms"), ("delay", "delay_ms", " ms"))
        ]
        details = ", ".join(f"{name} {value:g}{unit}" for name, value, unit in told if value is not None)
        bars.append(Bar(22 + 44 * len(bars), words, mos, round((mos - 1) / 4 * (WIDTH - LEFT - 120), 1), details))
    return tuple(bars)
