"""``outbound``, port by port: one finding names many ports, so that its being there says little about each."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, NamedTuple

from edgecheck.model.comparison import Change, Kind
from edgecheck.model.shapes import rows
from edgecheck.model.verdict import CheckResult, Verdict

_CLOSED = {"blocked": "is not let out", "refused": "is refused on its way out", "intercepted": "is answered by something on the path"}
_MOST_NAMED = 6


class _Step(NamedTuple):
    kind: Kind
    before: str
    after: str
    required: bool


def outbound_changed(was: CheckResult, now: CheckResult) -> Iterable[Change]:
    """Ports that both runs tried."""
    old, new = _states(was), _states(now)
    gravity = _gravity(now)
    steps = [(step, way) for way in old if way in new and (step := _step(old[way], new[way], gravity.get(way)))]
    for step, group in groupby(sorted(steps, key=lambda pair: pair[0]), key=lambda pair: pair[0]):
        names = _named([way for _, way in group])
        yield Change(
            kind=step.kind, check="outbound", subject=names, summary=_sentence(names, step),
            before=step.before, after=step.after, required=step.required,
        )  # fmt: skip
    before, after = (result.observation.get("dns_intercepted") if result.observation else None for result in (was, now))
    if {before, after} == {True, False}:
        told = ("This network answers DNS questions meant for another server now.", "DNS questions reach the server that they are for now.")
        yield Change(
            kind=Kind.WORSE if after else Kind.BETTER, check="outbound", subject="DNS", summary=told[0 if after else 1], required=False
        )


def _states(result: CheckResult) -> dict[str, str]:
    facts: Mapping[str, Any] = result.observation if isinstance(result.observation, Mapping) else {}
    return {f"{str(row.get('transport')).upper()} {row.get('port')}": str(row.get("state")) for row in rows(facts, "targets")}


def _gravity(result: CheckResult) -> dict[str, Verdict]:
    """What it is worth that a port is closed: by the finding in whose evidence it stands."""
    told: dict[str, Verdict] = {}
    for finding in result.findings:
        if finding.verdict in (Verdict.WARN, Verdict.FAIL):
            for line in finding.evidence:
                way = line.partition(":")[0]
                told[way] = Verdict.FAIL if Verdict.FAIL in (told.get(way), finding.verdict) else Verdict.WARN
    return told


def _step(old: str, new: str, gravity: Verdict | None) -> _Step | None:
    if old == new or "not-offered" in (old, new):
        return None  # what the server does not answer says nothing about the edge
    if "undecided" in (old, new):
        return _Step(Kind.NOT_COMPARED, old, new, True)
    if new in _CLOSED and old == "open":
        return _Step(Kind.WORSE if gravity else Kind.DIFFERENT, old, new, gravity is Verdict.FAIL)
    return _Step(Kind.BETTER if new == "open" else Kind.DIFFERENT, old, new, True)


def _sentence(names: str, step: _Step) -> str:
    if step.kind is Kind.NOT_COMPARED:
        return f"{names}: {'now' if step.after == 'undecided' else 'before'} it could not be told whether this network lets it out."
    if step.after == "open":
        return f"{names} gets out now; before it was {step.before}."
    if step.before == "open":
        return f"{names} {_CLOSED[step.after]} now; before it was open."
    return f"{names} was {step.before} and is {step.after} now."


def _named(ways: list[str]) -> str:
    more = len(ways) - _MOST_NAMED
    return ", ".join(ways[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
