"""Which causes a report asserts, held against the truth of a scenario.

A finding asserts a cause where it is a failure or a warning and its id is no mere symptom: ``port-forwarding.blocked`` says that
nothing arrives, ``port-forwarding.no-rule`` says whose doing it is. A symptom that lists several causes that fit (``blocked: no-rule or
provider-drops``) asserts none of them, but the truth must be among them.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any, Literal, NamedTuple

from edgecheck.checks.port_forwarding.causes import CAUSES

_RTP_BLOCKED = "rtp-range.inbound-blocked"
Judgement = Literal["right", "inconclusive", "wrong"]
SYMPTOMS = (
    "*.undecided",
    "*.fault",
    "*.skipped",
    "*.not-tested",
    "port-forwarding.blocked",
    "port-forwarding.refused",
    "port-forwarding.answered",
    "rtp-range.inbound-blocked",
    "rtp-range.outbound-blocked",
    "rtp-range.return-blocked",
    "rtp-range.remapped",
)
"""Patterns of ids that say what happens and not why: asserted wrongly by no cause, and never enough for a right one."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is the matter with an edge."""

    causes: tuple[str, ...] = ()
    """Finding ids that a report must assert; ``a|b`` = one of these. Empty: nothing is the matter, and nothing may be asserted."""
    also: tuple[str, ...] = ()
    """Patterns of ids that are true there, too, or of no matter; whatever else is asserted is wrong."""
    fits: tuple[str, ...] = ()
    """Ids of causes between which nothing can decide from where edgecheck stands: right is to list them all, wrong to pick one."""
    forbidden: tuple[str, ...] = ()
    """Patterns of ids that would be wrong even as symptoms."""
    hops: tuple[int, ...] | None = None
    """Where the ALG is: a report may name no other hop. None: nothing to locate, or no matter."""
    must_locate: bool = True
    """A report is right only where it names all ``hops``."""


class Judged(NamedTuple):
    """A report beside the truth."""

    judgement: Judgement
    words: str
    """What was wrong, or what was not told."""


def asserted(report: Mapping[str, Any]) -> list[str]:
    """The ids of failures and warnings, each once. Where RTP is blocked for one cause, that is asserted: ``rtp-range.no-rule``."""
    found = [_claim(finding) for check in report["checks"] for finding in check["findings"] if finding["verdict"] in ("fail", "warn")]
    return list(dict.fromkeys(found))


def _claim(finding: Mapping[str, Any]) -> str:
    cause = finding["observed"].partition(": ")[2]
    return f"rtp-range.{cause}" if finding["id"] == _RTP_BLOCKED and cause in CAUSES else str(finding["id"])


def _of_ports(one: str) -> str:
    """The same cause as ``port-forwarding`` tells it: where it keeps SIP out it keeps RTP out."""
    check, _, cause = one.partition(".")
    return f"port-forwarding.{cause}" if check == "rtp-range" and cause in CAUSES else one


def judge(report: Mapping[str, Any], truth: Truth) -> Judged:
    """Wrong: anything asserted that is not so. Right: every cause is asserted. Else it could not tell."""
    ids = asserted(report)
    expected = [cause.split("|") for cause in truth.causes]
    named = {one for choice in expected for one in choice}
    free = [one for one in ids if not {one, _of_ports(one)} & named and not _like(one, truth.also) and not _like(_of_ports(one), truth.also)]
    wrong = [one for one in free if not _like(one, SYMPTOMS) or _like(one, truth.forbidden)]
    if wrong:
        return Judged("wrong", f"asserted: {', '.join(wrong)}")
    listed = [{f"{check}.{cause}" for cause in causes} for check, causes in _listed(report)]
    told = [causes | {*map(_of_ports, causes)} for causes in listed]
    astray = [sorted(causes) for causes in told if not any(one in named or one in truth.fits or _like(one, truth.also) for one in causes)]
    if astray:
        return Judged("wrong", f"none of those that are said to fit is so: {' or '.join(astray[0])}")
    spans = _spans(report)
    hops = tuple(near for near, far in spans if near == far)
    if truth.hops is not None and not all(any(near <= hop <= far for hop in truth.hops) for near, far in spans):
        return Judged("wrong", f"the ALG is at hop {_some(truth.hops)}, said to be {' and '.join(f'{near} to {far}' for near, far in spans)}")
    missing = ["|".join(choice) for choice in expected if not set(choice) & set(ids)]
    if truth.fits and not any(set(truth.fits) <= causes for causes in listed):
        missing.append(" or ".join(truth.fits))
    if missing:
        return Judged("inconclusive", f"not told: {', '.join(missing)}; told: {', '.join(ids) or 'nothing'}")
    if truth.hops and truth.must_locate and hops != truth.hops:
        return Judged("inconclusive", f"the ALG is at hop {_some(truth.hops)}, located was {_some(hops)}")
    return Judged("right", "")


def _some(hops: tuple[int, ...]) -> str:
    return " and ".join(map(str, hops)) or "none"


def _listed(report: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Check and causes, for every finding that lists causes that fit."""
    for check in report["checks"]:
        for finding in check["findings"]:
            causes = finding["observed"].partition(": ")[2].split(" or ")
            if len(causes) > 1 and _like(finding["id"], SYMPTOMS):
                yield check["id"], causes


def _like(one: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch(one, pattern) for pattern in patterns)


def _spans(report: Mapping[str, Any]) -> tuple[tuple[int, int], ...]:
    """From which hop to which: the same one, where it is known exactly."""
    for check in report["checks"]:
        if check["id"] == "sip-alg":
            rows = (check["observation"] or {}).get("located") or ()
            return tuple((row["hop"], row["hop"] if row.get("up_to_hop") is None else row["up_to_hop"]) for row in rows)
    return ()
