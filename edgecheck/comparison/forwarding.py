"""``port-forwarding``, port by port; what became of a port is told with every cause that its run found to fit."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, NamedTuple

from edgecheck.model.comparison import Change, Kind
from edgecheck.model.shapes import rows
from edgecheck.model.verdict import CheckResult, Finding
from edgecheck.wire import ports
from edgecheck.wire.errors import WireError

_REACHED, _CLOSED = "reached", "closed"
_HEARD = ("heard by nobody", "heard by its service")
CAUSES = {
    "no-rule": "the router has no rule for it",
    "wrong-host": "the router's rule leads to another machine",
    "held-by-another": "another device holds the port in the router",
    "wrong-port": "the router's rule leads to another port of this machine",
    "led-on-here": "this machine's own rules lead it on",
    "no-listener": "nothing listens there on this machine",
    "host-firewall": "this machine's own firewall drops it",
    "reverse-path": "this machine's check of senders (rp_filter) drops it",
    "double-nat": "two routers translate addresses (double NAT), and one lacks the rule",
    "carrier-grade-nat": "the provider translates addresses, too (carrier-grade NAT)",
    "provider-drops": "the provider, or a firewall before the router, drops it",
    "router-refuses": "the router itself refuses it",
    "router-answers": "the router itself answers there",
    "answered-before": "something before the router answers there",
    "filtered-behind": "something filters it behind the router's rule",
}
"""Causes as the check names them, in words that fit into a first line."""


class _Row(NamedTuple):
    state: str
    required: bool
    answered_by: str
    answered_here: bool | None
    heard: bool | None = None
    """Whether a program of this machine was there to hear it; False: it listens elsewhere. None: nobody used the port, or it is not
    known."""

    @property
    def came_to(self) -> str:
        """What it means for this machine; where a service answered, it is for the check to say whose."""
        if self.state == "answered":
            return {True: _REACHED, False: _CLOSED, None: "answered"}[self.answered_here]
        return {"forwarded": _REACHED, "blocked": _CLOSED, "refused": _CLOSED}.get(self.state, "undecided")


class _Step(NamedTuple):
    """What became of some ports: the same for all of them."""

    transport: str
    kind: Kind
    before: str
    after: str
    required: bool
    who: str
    cause: str


def forwarding_changed(was: CheckResult, now: CheckResult) -> Iterable[Change]:
    """Ports that both runs asked for, grouped by what became of them."""
    old, new = _rows(was), _rows(now)
    fitting = causes(now)
    both = sorted(old.keys() & new.keys())
    steps = [
        (step, way[1]) for way in both if (step := _step(way[0], old[way], new[way], ", or ".join(CAUSES[c] for c in fitting.get(way, ()))))
    ]
    for step, group in groupby(sorted(steps), key=lambda pair: pair[0]):
        subject = f"{step.transport.upper()} {ports.text(ports.compress(port for _, port in group))}"
        yield Change(
            kind=step.kind, check="port-forwarding", subject=subject, summary=_sentence(subject, step),
            before=step.before, after=step.after, required=step.required, cause=step.cause,
        )  # fmt: skip


def causes(result: CheckResult) -> dict[tuple[str, int], tuple[str, ...]]:
    """By transport and port, every cause that the run found to fit a port that is closed."""
    found: dict[tuple[str, int], tuple[str, ...]] = {}
    for finding in result.findings:
        named = tuple(cause for cause in finding.observed.partition(": ")[2].split(" or ") if cause in CAUSES)
        if not named and finding.id.removeprefix("port-forwarding.") in CAUSES:
            named = (finding.id.removeprefix("port-forwarding."),)
        if named:
            found |= dict.fromkeys(_ways(finding), named)
    return found


def _ways(finding: Finding) -> list[tuple[str, int]]:
    transport, _, numbers = finding.subject.partition(" ")
    try:
        return [(transport.lower(), port) for port in ports.expand(ports.parse(numbers))]
    except WireError:
        return []


def _rows(result: CheckResult) -> dict[tuple[str, int], _Row]:
    told: dict[tuple[str, int], _Row] = {}
    facts: Mapping[str, Any] = result.observation if isinstance(result.observation, Mapping) else {}
    for row in rows(facts, "ports"):
        port, transport, state = row.get("port"), row.get("transport"), row.get("state")
        if isinstance(port, int) and isinstance(transport, str) and isinstance(state, str):
            here = row.get("answered_here")
            answered = here if isinstance(here, bool) else None
            told[transport, port] = _Row(
                state, row.get("required") is not False, str(row.get("answered_by") or ""), answered, _heard(row, state, answered)
            )
    return told


def _heard(row: Mapping[str, Any], state: str, answered_here: bool | None) -> bool | None:
    if state == "forwarded" and row.get("listens_elsewhere"):
        return False
    return True if answered_here or (state == "forwarded" and row.get("asked") is True) else None


def _step(transport: str, old: _Row, new: _Row, cause: str) -> _Step | None:
    came_from, came_to = old.came_to, new.came_to
    if came_from == came_to:
        if came_to == _REACHED and {old.heard, new.heard} == {True, False}:
            # As grave as the finding, a warning: the service may have been stopped for the run, and a namesake not.
            kind = Kind.WORSE if old.heard else Kind.BETTER
            return _Step(transport, kind, _HEARD[old.heard is True], _HEARD[new.heard is True], False, "", "")
        if old.state == new.state == "answered" and old.answered_by != new.answered_by and old.answered_by and new.answered_by:
            return _Step(transport, Kind.DIFFERENT, old.answered_by, new.answered_by, new.required, "answered by", "")
        if came_to == _CLOSED and old.state != new.state:
            return _Step(transport, Kind.DIFFERENT, old.state, new.state, new.required, "", cause)
        return None  # nor does it say anything about the edge whether the PBX happened to run
    kind = Kind.NOT_COMPARED
    if (came_from, came_to) == (_REACHED, _CLOSED):
        kind = Kind.WORSE
    elif (came_from, came_to) == (_CLOSED, _REACHED):
        kind = Kind.BETTER
    return _Step(transport, kind, old.state, new.state, new.required, "", cause if kind is Kind.WORSE else "")


def _sentence(subject: str, step: _Step) -> str:
    if step.who:
        return f"{subject} is answered by {step.after}; before by {step.before}."
    if step.after == _HEARD[False]:
        return f"{subject} arrives where nobody listens now: the program on that port listens elsewhere; before, its service was reached."
    if step.after == _HEARD[True]:
        return f"{subject} reaches the service on this machine now; before it arrived where nobody listens."
    if step.kind is Kind.WORSE:
        closed = {"refused": "is refused now", "answered": "is answered by another machine now"}.get(step.after, "no longer arrives")
        return f"{subject} {closed}."
    if step.kind is Kind.BETTER:
        return f"{subject} is forwarded now; before it was {step.before}."
    if step.kind is Kind.NOT_COMPARED:
        if "undecided" in (step.before, step.after):
            return f"{subject}: {'now' if step.after == 'undecided' else 'before'} it could not be told whether packets arrive."
        when = "now" if step.after == "answered" else "before"
        return f"{subject}: {when} a service answers of which it could not be told whether it runs on this machine.".replace(
            "before a service answers", "before, a service answered"
        )
    return f"{subject} was {step.before} and is {step.after} now."
