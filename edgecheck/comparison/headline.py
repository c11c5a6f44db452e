"""The first line: the regression and its likely cause, in one sentence."""

from collections.abc import Sequence

from edgecheck.model.brief import brief
from edgecheck.model.comparison import Change, Kind

_MOST = 3


def headline(changes: Sequence[Change]) -> str:
    """What a person reads first."""
    worse = [change for change in changes if change.kind is Kind.WORSE]
    if worse:
        return _whole(f"After the change: {_told(worse)}{_beside(changes)}")
    better = [change for change in changes if change.kind is Kind.BETTER]
    different = [change for change in changes if change.kind is Kind.DIFFERENT]
    not_compared = [change for change in changes if change.kind is Kind.NOT_COMPARED]
    tail = f"; {len(not_compared)} thing{'s' if len(not_compared) > 1 else ''} could not be compared" if not_compared else ""
    if better:
        return _whole(f"Nothing got worse, and this got better: {_told(better)}{tail}")
    if different:
        return _whole(f"Nothing got worse. Different now: {_told(different)}{tail}")
    if not_compared:
        return _whole(f"No change was found in what could be compared, but {tail.removeprefix('; ')}: {_clause(not_compared[0].summary)}")
    return "Unchanged: everything that both runs tested is as it was."


def _told(changes: Sequence[Change]) -> str:
    told = ((brief(_clause(_now(change.summary, len(changes)))), change.cause) for change in changes[:_MOST])
    parts = [clause + (f" ({cause})" if cause else "") for clause, cause in told]
    if len(changes) > _MOST:
        parts.append(f"{len(changes) - _MOST} more")
    return "; ".join(parts)


def _now(summary: str, told: int) -> str:
    """Of several changes only what is now: ``UDP 5060 is forwarded now; before it was blocked.``"""
    return summary.partition("; before it ")[0] if told > 1 else summary


def _beside(changes: Sequence[Change]) -> str:
    """A change that goes with the regression and may be what is behind it."""
    beside = [change for change in changes if change.kind is Kind.DIFFERENT and change.subject in _TELLING]
    words = [_clause(change.summary) + (f" ({change.cause})" if change.cause else "") for change in beside[:2]]
    return f". It goes with this: {'; '.join(words)}" if words else ""


_TELLING = ("router", "router's firmware", "gateway", "local address", "public address", "number of NAT layers")
"""Differences that may be what is behind a regression: said beside it, never asserted as its cause."""


def _clause(text: str) -> str:
    text = text.rstrip(". ")
    return text[:1].lower() + text[1:] if text[:1].isupper() and text[1:2].islower() else text


def _whole(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else text + "."
