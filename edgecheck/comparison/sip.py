"""``sip-alg``: by transport and port, the worst of what was done to SIP there, and who does it."""

from collections.abc import Iterable, Mapping
from typing import Any

from edgecheck.model.comparison import Change, Kind
from edgecheck.model.shapes import rows

_LEVELS = ("none", "harmless", "rewriting", "inconsistent", "destructive")
_WORDS = {
    "none": "passes untouched",
    "harmless": "is touched, harmlessly",
    "rewriting": "is rewritten",
    "inconsistent": "is rewritten in a way that does not fit together",
    "destructive": "is destroyed",
}
_KINDS = {"probes": "", "incoming": " in requests that come in", "beside": " in long messages"}
"""Messages of each kind are compared with their like: an ALG may touch calls that come in and nothing else."""
_PAST = {
    "none": "passed untouched",
    "harmless": "was touched, harmlessly",
    "rewriting": "was rewritten",
    "inconsistent": "was rewritten in a way that did not fit together",
    "destructive": "was destroyed",
}


def sip_changed(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterable[Change]:
    """Ways (transport and port) that both runs tried."""
    old, new = _ways(was), _ways(now)
    for way in sorted(old.keys() & new.keys()):
        plain = way.partition(" in ")[0]
        both = plain != way and plain in old and plain in new
        if both and (old[plain].level, new[plain].level) == (old[way].level, new[way].level) != (0, 0):
            continue  # told once, with the plain messages
        yield from _way(way, old[way], new[way])
    before, after = _boxes(was), _boxes(now)
    if before and after and before != after:
        yield _change(Kind.DIFFERENT, "box", f"SIP is now touched by {after}; before by {before}.", before, after)


class _Way:
    """What was done on one transport and port."""

    def __init__(self) -> None:
        self.level: int | None = 0
        """Of ``_LEVELS``; None where some message could not be told."""
        self.where: set[str] = set()

    @property
    def words(self) -> str:
        return self._told(_WORDS)

    @property
    def past(self) -> str:
        return self._told(_PAST)

    def _told(self, words: dict[str, str]) -> str:
        level = "could not be told" if self.level is None else words[_LEVELS[self.level]]
        return level + (f" ({', '.join(sorted(self.where))})" if self.where else "")


def _ways(facts: Mapping[str, Any]) -> dict[str, _Way]:
    ways: dict[str, _Way] = {}
    for probe, kind in ((probe, kind) for field, kind in _KINDS.items() for probe in rows(facts, field)):
        if _is_from_new_ports(probe):
            continue
        way = ways.setdefault(f"{_channel(probe)}{kind}", _Way())
        way.where.update(str(change.get("where")) for change in rows(probe, "changes"))
        level = _level(probe)
        if level is None or way.level is None:
            # a message that was rewritten proves it, whatever became of the others
            way.level = None if not way.where else level if level is not None else way.level
        else:
            way.level = max(way.level, level)
    for probe in filter(_is_from_new_ports, rows(facts, "beside")):
        # what one socket could not tell of the plain messages is told by these
        plain = ways.setdefault(_channel(probe), _Way())
        plain.level = max(plain.level or 0, _level(probe) or 0)
    return ways


def _channel(probe: Mapping[str, Any]) -> str:
    return f"{str(probe.get('transport')).upper()} {probe.get('server_port')}"


def _is_from_new_ports(probe: Mapping[str, Any]) -> bool:
    return str(probe.get("method")).endswith(" from new ports")


def _level(probe: Mapping[str, Any]) -> int | None:
    given = probe.get("interference")
    if isinstance(given, str) and given in _LEVELS:
        return _LEVELS.index(given)
    states = (probe.get("request"), probe.get("response"))
    if all(state == "unchanged" for state in states):
        return 0
    if "lost" in states or "answered-by-other" in states:
        return _LEVELS.index("destructive")
    return _LEVELS.index("rewriting") if "rewritten" in states else None


def _way(name: str, old: _Way, new: _Way) -> Iterable[Change]:
    if old.level is None or new.level is None:
        if old.level != new.level:
            told = f"SIP on {name}: {'before' if old.level is None else 'now'} it could not be told whether it passes untouched."
            yield _change(Kind.NOT_COMPARED, name, told, old.words, new.words)
        return
    if new.level > old.level:
        told = f"SIP on {name} {new.words} now; before it {old.past}."
        yield _change(Kind.WORSE, name, told, old.words, new.words, new.level > _LEVELS.index("harmless"))
    elif new.level < old.level:
        yield _change(Kind.BETTER, name, f"SIP on {name} {new.words} now; before it {old.past}.", old.words, new.words)
    elif new.where != old.where:
        yield _change(Kind.DIFFERENT, name, f"SIP on {name}: {new.words} now; before it {old.past}.", old.words, new.words)


def _boxes(facts: Mapping[str, Any]) -> str:
    exact = [box for box in rows(facts, "located") if box.get("up_to_hop") is None and box.get("or_unseen") is not True]
    boxes = [str(box.get("address")) for box in exact if box.get("address")]
    return ", ".join(dict.fromkeys(boxes))


def _change(kind: Kind, subject: str, summary: str, before: str, after: str, required: bool = True) -> Change:
    return Change(kind=kind, check="sip-alg", subject=subject, summary=summary, before=before, after=after, required=required)
