"""``rtp-range``: which ports closed, opened or changed their number, as ranges, and what that looks like."""

from collections.abc import Iterable, Mapping
from typing import Any

from edgecheck.model.comparison import Change, Kind
from edgecheck.model.shapes import port_set
from edgecheck.wire import ports

_WAYS = (
    ("inbound_blocked", "inbound_open", "RTP inbound", "is no longer forwarded", "is forwarded now"),
    ("outbound_blocked", "outbound_open", "RTP outbound", "no longer gets out", "gets out now"),
    ("remapped", "outbound_open", "RTP port numbers", "no longer keeps its port numbers", "keeps its port numbers now"),
)


def rtp_changed(was: Mapping[str, Any], now: Mapping[str, Any], closed_by: str = "") -> Iterable[Change]:
    """Ports decided in both runs are compared; others are named as not compared.

    ``closed_by``: what the run found to close other ports, in words, where it is something that closes every port alike.
    """
    both = _range(was) & _range(now)
    if not both:
        yield _untold("rtp-range: the two runs tested no port in common.")
        return
    if _range(was) != _range(now):
        yield _untold(f"Only RTP {ports.text(ports.compress(both))} was tested in both runs.")
    doubt = (_set(was, "undecided") | _set(now, "undecided") | _set(was, "busy") | _set(now, "busy")) & both
    for field, count, subject, gone, come in _WAYS:
        tried = [facts.get(count, 0) is not None for facts in (was, now)]
        if not all(tried):  # what was not tried in a run is not blocked in it, and not open either
            if any(tried):
                yield _untold(f"{subject}: tried in one of the two runs only.")
            continue
        old, new = _set(was, field) & both, _set(now, field) & both
        yield from _one(Kind.WORSE, subject, gone, new - old - doubt, both, new, closed_by)
        yield from _one(Kind.BETTER, subject, come, old - new - doubt, both, new, closed_by)
    newly = (_set(now, "undecided") ^ _set(was, "undecided")) & both
    if newly:
        yield _untold(f"RTP {_few(newly)}: in one of the two runs it could not be told whether it works.")


def _one(kind: Kind, subject: str, words: str, changed: set[int], both: set[int], now_bad: set[int], closed_by: str) -> Iterable[Change]:
    if not changed:
        return
    cause = _cause(changed, both, now_bad, closed_by) if kind is Kind.WORSE and subject == "RTP inbound" else ""
    if cause and now_bad == both:
        words = "no longer arrives"  # all of it is gone: that need not be the rule's doing
    bad_before = now_bad - changed if kind is Kind.WORSE else now_bad | changed
    before, after = (f"{len(both) - len(bad)} of {len(both)} ports" for bad in (bad_before, now_bad))
    yield Change(
        kind=kind, check="rtp-range", subject=subject, summary=f"RTP {_few(changed)} {words}.", before=before, after=after, cause=cause
    )


def _cause(changed: set[int], both: set[int], now_bad: set[int], closed_by: str) -> str:
    """What a hole in the range looks like: a rule that ends early, begins late, or is missing."""
    open_now = both - now_bad
    ranges = ports.compress(changed)
    if not open_now:
        return closed_by or "the range has no rule now, its rule leads elsewhere, or a firewall drops it"
    if len(ranges) == 1:
        low, high = ranges[0]
        if high == max(both):
            return f"the new rule ends at {max(port for port in open_now)}"
        if low == min(both):
            return f"the new rule begins at {min(port for port in open_now)}"
        return "these ports are missing in the new rule, or another rule takes them"
    if all(port % 2 for port in changed):
        return "the new rule names even ports only"
    return ""


def _range(facts: Mapping[str, Any]) -> set[int]:
    pair = facts.get("range")
    return port_set([pair]) if pair else set()


def _set(facts: Mapping[str, Any], field: str) -> set[int]:
    return port_set(facts.get(field))


def _few(chosen: set[int]) -> str:
    ranges = ports.compress(chosen)
    more = len(ranges) - 4
    return ports.text(ranges[:4]) + (f" and {more} more range{'s' if more > 1 else ''}" if more > 0 else "")


def _untold(summary: str) -> Change:
    return Change(kind=Kind.NOT_COMPARED, check="rtp-range", subject="RTP", summary=summary)
