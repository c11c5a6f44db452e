"""``media-quality``: a mean opinion score is an estimate; only a difference that a listener would hear is one."""

from collections.abc import Iterable, Mapping
from typing import Any

from edgecheck.model.comparison import Change, Kind

AUDIBLE = 0.3
"""MOS (ITU-T P.800.1 scale): smaller differences between two short measurements of one unchanged line are ordinary."""


POOR = 3.1
"""MOS below which nearly all listeners are dissatisfied (ITU-T G.107 annex B, table B.1)."""


def media_changed(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterable[Change]:
    """Both directions."""
    for way, words in (("up", "What others hear"), ("down", "What is heard here")):
        old, new = _mos(was.get(way)), _mos(now.get(way))
        if old is None or new is None:
            if old != new:
                yield _change(Kind.NOT_COMPARED, way, f"{words} could not be measured {'before' if old is None else 'now'}.", old, new)
        elif abs(new - old) >= AUDIBLE:
            kind = Kind.WORSE if new < old else Kind.BETTER
            told = f"{words} is {kind.value}: MOS {new:.1f}, before {old:.1f} (differences below {AUDIBLE} are noise)."
            yield _change(kind, way, told, old, new)


def _mos(value: Any) -> float | None:
    mos = value.get("mos") if isinstance(value, Mapping) else None
    return float(mos) if isinstance(mos, (int, float)) else None


def _change(kind: Kind, way: str, summary: str, old: float | None, new: float | None) -> Change:
    before, after = ("" if each is None else f"MOS {each:.1f}" for each in (old, new))
    return Change(
        kind=kind, check="media-quality", subject=way, summary=summary, before=before, after=after, required=new is not None and new < POOR
    )
