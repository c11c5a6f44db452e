"""What a check found wrong before and finds wrong now, by finding id: how checks are compared that have no closer comparison."""

from collections.abc import Iterable

from edgecheck.model.comparison import Change, Kind
from edgecheck.model.verdict import CheckResult, Finding, Verdict

_GRAVITY = {Verdict.WARN: 1, Verdict.FAIL: 2}
_RESTS_ON = {"topology.wan-address-differs": "router"}
"""Findings that need a fact to be there: where it is missing, that such a finding is missing too says nothing."""


def findings_changed(was: CheckResult, now: CheckResult) -> Iterable[Change]:
    """New troubles, gone troubles, and those that could not be told in one of the two."""
    earlier, later = _troubles(was), _troubles(now)
    for id in sorted({*earlier, *later}):
        old, new = earlier.get(id), later.get(id)
        if _weight(new) > _weight(old) and new is not None:
            if old is None and (_untold(was) or _blind(was, id)):
                yield _not_compared(now, new, f"{new.summary.rstrip('.')}: this could not be told before.")
            else:
                yield Change(
                    kind=Kind.WORSE, check=now.id, subject=new.subject, summary=new.summary, required=new.verdict is Verdict.FAIL,
                    before=old.observed or old.summary if old else was.summary, after=new.observed or new.summary,
                )  # fmt: skip
        elif _weight(new) < _weight(old) and old is not None:
            if new is None and (_untold(now) or _blind(now, id)):
                yield _not_compared(now, old, f"Whether this still holds could not be told: {old.summary}")
            else:
                yield Change(
                    kind=Kind.BETTER, check=now.id, subject=old.subject, summary=f"No longer so: {old.summary}",
                    before=old.observed or old.summary, after=new.summary if new else now.summary,
                )  # fmt: skip
    if not {*earlier, *later} and _untold(was) != _untold(now):
        words = "before" if _untold(was) else "now"
        which = was if _untold(was) else now
        summary = f"{now.id}: {words} it could not be told ({which.summary.rstrip('.')})."
        yield Change(kind=Kind.NOT_COMPARED, check=now.id, subject=now.id, summary=summary)


def _not_compared(now: CheckResult, finding: Finding, summary: str) -> Change:
    return Change(kind=Kind.NOT_COMPARED, check=now.id, subject=finding.subject, summary=summary)


def _troubles(result: CheckResult) -> dict[str, Finding]:
    found: dict[str, Finding] = {}
    for finding in result.findings:
        if finding.verdict in _GRAVITY and _weight(finding) > _weight(found.get(finding.id)):
            found[finding.id] = finding
    return found


def _untold(result: CheckResult) -> bool:
    return any(finding.verdict is Verdict.INCONCLUSIVE for finding in result.findings)


def _blind(result: CheckResult, id: str) -> bool:
    return id in _RESTS_ON and (result.observation or {}).get(_RESTS_ON[id]) is None


def _weight(finding: Finding | None) -> int:
    return _GRAVITY.get(finding.verdict, 0) if finding else 0
