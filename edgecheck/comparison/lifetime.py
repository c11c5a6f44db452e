"""``mapping-lifetime``: intervals. Two that overlap may be the same life, measured twice."""

from collections.abc import Iterable, Mapping
from typing import Any

from edgecheck.model.comparison import Change, Kind

_FIELDS = (("udp_s", "UDP mappings"), ("tcp_s", "TCP mappings"))


def lifetime_changed(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterable[Change]:
    """An idle mapping's life, where both runs could tell it."""
    for field, subject in _FIELDS:
        old, new = _interval(was.get(field)), _interval(now.get(field))
        if (old is None) != (new is None):
            words = "before" if old is None else "now"
            yield _change(Kind.NOT_COMPARED, subject, f"How long idle {subject} live could not be told {words}.", old, new)
        elif old is not None and new is not None:
            if _ends_before(new, old):
                yield _change(Kind.WORSE, subject, f"Idle {subject} die sooner: {_words(new)}, before {_words(old)}.", old, new)
            elif _ends_before(old, new):
                yield _change(Kind.BETTER, subject, f"Idle {subject} live longer: {_words(new)}, before {_words(old)}.", old, new)


_Interval = tuple[float | None, float | None]
"""Alive after the first, dead after the second; None = not known."""

MARGIN = 1.1
"""A life that ends at a time of the grid is seen alive there in one run and dead in the next."""


def _ends_before(one: _Interval, other: _Interval) -> bool:
    return one[1] is not None and other[0] is not None and one[1] * MARGIN <= other[0]


def _interval(value: Any) -> _Interval | None:
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return None
    low, high = (each if isinstance(each, (int, float)) and not isinstance(each, bool) else None for each in value)
    return None if low is None and high is None else (low, high)


def _words(interval: _Interval) -> str:
    low, high = interval
    if high is None:
        return f"more than {low:g} s"
    return f"less than {high:g} s" if low is None else f"{low:g} to {high:g} s"


def _change(kind: Kind, subject: str, summary: str, old: _Interval | None, new: _Interval | None) -> Change:
    # A shorter life is a matter of the keep-alive, so never a failure by itself.
    told = tuple("" if each is None else _words(each) for each in (old, new))
    return Change(kind=kind, check="mapping-lifetime", subject=subject, summary=summary, before=told[0], after=told[1], required=False)
