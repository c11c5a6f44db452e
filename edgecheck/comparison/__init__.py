"""Two reports compared: a semantic difference, and what could not be compared and why. Pure.

What is measured anew in every run (a random port, a round trip, an interval that overlaps the earlier one) is no change. What one
of the two could not decide is no change either: it is listed as not compared.
"""

from collections.abc import Iterable

from edgecheck.comparison.facts import facts_changed
from edgecheck.comparison.findings import findings_changed
from edgecheck.comparison.forwarding import CAUSES, causes, forwarding_changed
from edgecheck.comparison.headline import headline
from edgecheck.comparison.lifetime import lifetime_changed
from edgecheck.comparison.media import media_changed
from edgecheck.comparison.outbound import outbound_changed
from edgecheck.comparison.rtp import rtp_changed
from edgecheck.comparison.sides import observation, side, together, undecided
from edgecheck.comparison.sip import sip_changed
from edgecheck.model.comparison import Change, Comparison, Kind
from edgecheck.model.verdict import CheckResult, Report, Verdict

_ORDER = tuple(Kind)
_SPECIAL = {
    "sip-alg": sip_changed,
    "mapping-lifetime": lifetime_changed,
    "media-quality": media_changed,
}
_BY_RESULT = {"port-forwarding": forwarding_changed, "outbound": outbound_changed}
"""Checks whose troubles are told port by port or as an interval: there the observations are compared, and not the findings' ids."""


def compare(before: Report, after: Report) -> Comparison:
    """What changed from ``before`` to ``after``."""
    changes = sorted(_changes(before, after), key=lambda change: (_ORDER.index(change.kind), not change.required))
    return Comparison(
        verdict=_verdict(changes),
        headline=headline(changes),
        before=side(before),
        after=side(after),
        changes=tuple(changes),
    )


def _changes(before: Report, after: Report) -> Iterable[Change]:
    yield from together(before, after)
    earlier = {result.id: result for result in before.checks}
    both = [(earlier[now.id], now) for now in after.checks if now.id in earlier and now.id != "control"]
    for was, now in both:
        if not _nothing_to_test(was, now):
            yield from _check(was, now, _closes_all(after))
    if all(_nothing_to_test(was, now) for was, now in both):
        yield Change(kind=Kind.NOT_COMPARED, check="run", subject="checks", summary="Neither run tested anything that the other did.")


def _nothing_to_test(was: CheckResult, now: CheckResult) -> bool:
    """Skipped in both for the same reason: an account without TLS has no certificate, today as yesterday."""
    return was.verdict is now.verdict is Verdict.SKIPPED and was.summary == now.summary


def _closes_all(report: Report) -> str:
    """What was found to close ports that closes the RTP range as well, in words; empty where it may be something else."""
    found = {result.id: causes(result) for result in report.checks}.get("port-forwarding", {})
    named = set(found.values())
    one = named.pop() if len(named) == 1 else ()
    return CAUSES[one[0]] if len(one) == 1 and one[0] in ("host-firewall", "carrier-grade-nat") else ""


def _check(was: CheckResult, now: CheckResult, closed_by: str) -> Iterable[Change]:
    for result, words in ((was, "before"), (now, "now")):
        if undecided(result):
            untold = "not tested" if result.verdict is Verdict.SKIPPED else "not told"
            why = f"{now.id}: {words} it was {untold} ({result.summary.removeprefix('not tested: ').rstrip('.')})."
            yield Change(kind=Kind.NOT_COMPARED, check=now.id, subject=now.id, summary=why)
            return
    if now.id in _BY_RESULT:
        yield from _BY_RESULT[now.id](was, now)
    elif now.id == "rtp-range":
        yield from rtp_changed(observation(was), observation(now), closed_by)
    elif now.id in _SPECIAL:
        yield from _SPECIAL[now.id](observation(was), observation(now))
    else:
        yield from findings_changed(was, now)
    yield from facts_changed(now.id, observation(was), observation(now))


def _verdict(changes: list[Change]) -> Verdict:
    worse = [change for change in changes if change.kind is Kind.WORSE]
    if any(change.required for change in worse):
        return Verdict.FAIL
    if any(change.kind is Kind.NOT_COMPARED for change in changes):
        return Verdict.INCONCLUSIVE
    return Verdict.WARN if worse else Verdict.PASS
