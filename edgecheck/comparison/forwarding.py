"""``port-forwarding``, port by port."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, NamedTuple

from edgecheck.comparison.shapes import rows
from edgecheck.model.comparison import Change, Kind
from edgecheck.wire import ports

_REACHED = ("forwarded", "answered")
_CLOSED = ("blocked", "refused")


class _Row(NamedTuple):
    state: str
    required: bool
    answered_by: str


class _Step(NamedTuple):
    """What became of some ports: the same for all of them."""

    transport: str
    kind: Kind
    before: str
    after: str
    required: bool
    who: str


def forwarding_changed(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterable[Change]:
    """Ports that both runs asked for, grouped by what became of them."""
    old, new = _rows(was), _rows(now)
    both = sorted(old.keys() & new.keys())
    steps = [(step, port) for transport, port in both if (step := _step(transport, old[transport, port], new[transport, port]))]
    for step, group in groupby(sorted(steps), key=lambda pair: pair[0]):
        subject = f"{step.transport.upper()} {ports.text(ports.compress(port for _, port in group))}"
        yield Change(
            kind=step.kind, check="port-forwarding", subject=subject, summary=_sentence(subject, step),
            before=step.before, after=step.after, required=step.required,
        )  # fmt: skip


def _rows(facts: Mapping[str, Any]) -> dict[tuple[str, int], _Row]:
    told: dict[tuple[str, int], _Row] = {}
    for row in rows(facts, "ports"):
        port, transport, state = row.get("port"), row.get("transport"), row.get("state")
        if isinstance(port, int) and isinstance(transport, str) and isinstance(state, str):
            told[transport, port] = _Row(state, row.get("required") is not False, str(row.get("answered_by") or ""))
    return told


def _step(transport: str, old: _Row, new: _Row) -> _Step | None:
    if old.state == new.state:
        if old.state == "answered" and old.answered_by != new.answered_by and old.answered_by and new.answered_by:
            return _Step(transport, Kind.DIFFERENT, old.answered_by, new.answered_by, new.required, "answered by")
        return None
    kind = Kind.DIFFERENT
    if old.state in _REACHED and new.state in _CLOSED:
        kind = Kind.WORSE
    elif old.state in _CLOSED and new.state in _REACHED:
        kind = Kind.BETTER
    elif "undecided" in (old.state, new.state):
        kind = Kind.NOT_COMPARED
    elif {old.state, new.state} <= set(_REACHED):
        return None  # whether the PBX happened to run says nothing about the edge
    return _Step(transport, kind, old.state, new.state, new.required, "")


def _sentence(subject: str, step: _Step) -> str:
    if step.who:
        return f"{subject} is answered by {step.after}; before by {step.before}."
    if step.kind is Kind.WORSE:
        return f"{subject} is no longer forwarded: unsolicited packets {'are refused' if step.after == 'refused' else 'do not arrive'}."
    if step.kind is Kind.BETTER:
        return f"{subject} is forwarded now; before it was {step.before}."
    if step.kind is Kind.NOT_COMPARED:
        return f"{subject}: {'now' if step.after == 'undecided' else 'before'} it could not be told whether packets arrive."
    return f"{subject} was {step.before} and is {step.after} now."
