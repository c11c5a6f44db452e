"""From the single findings to one sentence for the person on the phone: what it does to calls, and why."""

from collections.abc import Sequence

import msgspec

from edgecheck.diagnosis import account
from edgecheck.diagnosis.facts import Facts
from edgecheck.diagnosis.rules import CLOSED_AND_SILENT, EFFECTS, RULES, UNHEARD, Effect, Held, held
from edgecheck.diagnosis.words import clause, few, fitting, join, whole
from edgecheck.model.verdict import Finding, Verdict, worst

_MOST_CAUSES = 3
_OF_ALL = ("nat-behavior.udp-blocked",)
"""Its sentence is said alone: it explains the rest."""
_RTP_BLOCKED = "rtp-range.inbound-blocked"
_SHORT = 120
"""Characters of a finding's own sentence that can stand beside others, where no rule has a clause for it."""


def headline(facts: Facts) -> str:
    """The report's first line."""
    sentence = _sentence(facts)
    if facts.this_machine_only:
        return f"Only this machine was checked (echo server on {facts.server.address if facts.server else ''}). {sentence}"
    return sentence


def leading(facts: Facts) -> Finding | None:
    """The finding that the first line is about, of several the first; None where nothing is wrong."""
    if account.account_sentence(facts) is not None:
        return account.leading(facts)
    verdict = worst([result.verdict for result in facts.results])
    if verdict is Verdict.FAIL:
        told = _told_of([one for one in held(facts) if one.verdict is Verdict.FAIL])
        return next((finding for one in told for finding in _grave(one)), None) or next(iter(facts.troubles()), None)
    if verdict is Verdict.INCONCLUSIVE:
        return _first_untold(facts)
    if verdict is Verdict.WARN:
        return next((finding for one in held(facts) for finding in one.findings), None) or next(iter(facts.troubles()), None)
    return None


def _sentence(facts: Facts) -> str:
    of_account = account.account_sentence(facts)
    if of_account is not None:
        return of_account
    verdict = worst([result.verdict for result in facts.results])
    if verdict is Verdict.FAIL:
        return _failed(facts)
    if verdict is Verdict.INCONCLUSIVE:
        return _untold(facts)
    if verdict is Verdict.WARN:
        holding = held(facts)
        causes = [one.rule.told(facts, one.findings) for one in holding][:_MOST_CAUSES]
        causes = causes or [clause(finding) for finding in facts.troubles()[:1]]
        if causes and holding and all(facts.optional(finding) for finding in facts.troubles()):
            closed = "closed or not heard" if facts.having(UNHEARD) else "closed"
            return f"Calls should work; only optional ports are {closed}: {join(causes)}."
        if any(UNHEARD in one.rule.causes and not all(map(facts.optional, one.findings)) for one in holding[:_MOST_CAUSES]):
            return f"The way in is open, but calls from outside may not be heard: {join(causes)}."
        return f"Calls should work, with a reservation: {join(causes)}." if causes else "Calls should work, with reservations."
    if verdict is Verdict.PASS:
        return _fine(facts)
    skipped = [finding for finding in facts.findings if finding.verdict is Verdict.SKIPPED]
    return f"Nothing could be tested: {clause(skipped[0]).removeprefix('not tested: ')}." if skipped else "Nothing was tested."


def _failed(facts: Facts) -> str:
    holding = [one for one in held(facts) if one.verdict is Verdict.FAIL]
    if not holding:
        return next((whole(finding.summary) for finding in facts.troubles()), "Something here breaks calls; see the rows.")
    first = _told_of(holding)
    fatal = first[0].rule.effect is Effect.NO_CALLS
    told = [one.rule.told(facts, _grave(one)) for one in _with_rtp(first)]
    if not fatal:
        covered = [finding for one in held(facts) for finding in (*one.findings, *one.explained)]
        others = [each for each in facts.troubles() if each.verdict is Verdict.FAIL and not any(each is other for other in covered)]
        told += [clause(finding) for finding in others if len(finding.summary) <= _SHORT][: _MOST_CAUSES - len(told)]
    return f"{_effect(first if fatal else holding)}: {join(told)}."


def _told_of(holding: Sequence[Held]) -> Sequence[Held]:
    """What leaves no calls at all says it all."""
    return [one for one in holding if one.rule.effect is Effect.NO_CALLS][:1] or holding[:_MOST_CAUSES]


def _with_rtp(told: Sequence[Held]) -> list[Held]:
    """RTP that does not arrive for the very cause of other ports is told with them: one rule is wrong, not two."""
    audio = next((one for one in told if _RTP_BLOCKED in one.rule.causes), None)
    out, left = [one for one in told if one is not audio], []
    for finding in audio.findings if audio else ():
        causes = fitting(finding)
        ids = (f"port-forwarding.{causes[0]}",) if len(causes) == 1 else ("port-forwarding.blocked", "port-forwarding.refused")
        same = [index for index, one in enumerate(out) if any(each.id in ids and fitting(each) == causes for each in one.findings)]
        if not causes or not same or finding.subject.count(",") or "(" in finding.subject:
            left.append(finding)
            continue
        named = msgspec.structs.replace(finding, subject=finding.subject.replace("UDP ", "RTP "))
        out[same[0]] = out[same[0]]._replace(findings=(*out[same[0]].findings, named))
    return [*out, audio._replace(findings=tuple(left))] if audio and left else out


def _grave(one: Held) -> list[Finding]:
    """The findings of a rule that make it a failure; a mere warning fails by what follows from it."""
    return [finding for finding in one.findings if finding.verdict is Verdict.FAIL] or list(one.findings)


def _effect(holding: Sequence[Held]) -> str:
    """The gravest effect of the causes and of what follows from them."""
    effects = {one.rule.effect for one in holding}
    if Effect.NO_CALLS not in effects:
        follows = {finding.id for one in holding for finding in one.explained if finding.verdict is Verdict.FAIL}
        effects |= {rule.effect for rule in RULES if follows & set(rule.causes)}
    gravest = min(effects)
    return CLOSED_AND_SILENT if gravest is Effect.CLOSED and Effect.SILENT in effects else EFFECTS[gravest]


def _untold(facts: Facts) -> str:
    untold = [result for result in facts.results if result.verdict is Verdict.INCONCLUSIVE]
    first = _first_untold(facts)
    if first is None:
        return "Not everything could be told."
    if first.id in _OF_ALL or first.id.startswith("control.") or len(untold) == len(facts.results) == 1:
        return whole(first.summary)
    if all(finding.id.endswith(".cut-short") for finding in facts.troubles() if finding.verdict is Verdict.INCONCLUSIVE):
        why = next((result.cut_short for result in untold if result.cut_short), "it was cut short")
        named = join([result.id for result in untold])
        return f"The run was not finished ({why}): {named} could not be told; nothing is known to be wrong."
    words = clause(first)
    if len(untold) == 1 and "could not be told" in words:
        return f"Nothing is known to be wrong, but {words}."
    return f"Nothing is known to be wrong, but {join([result.id for result in untold])} could not be told: {words}."


def _first_untold(facts: Facts) -> Finding | None:
    """What explains the rest; then where nothing gets out to a port, for nothing else can be told of it."""
    likeliest = (*facts.having(*_OF_ALL), *facts.having("outbound.undecided"), *facts.troubles())
    return next((finding for finding in likeliest if finding.verdict is Verdict.INCONCLUSIVE), None)


def _fine(facts: Facts) -> str:
    parts = []
    passed = {result.id for result in facts.results if result.verdict is Verdict.PASS}
    if facts.having("port-forwarding.forwarded", "port-forwarding.answered", verdicts=(Verdict.PASS,)):
        parts.append("the ports asked for arrive")
    if facts.having("rtp-range.open", verdicts=(Verdict.PASS,)):
        asked = facts.fact("rtp-range", "range")
        span = f" {asked[0]}-{asked[1]}" if isinstance(asked, (list, tuple)) and len(asked) == 2 else ""
        inward = not facts.ranges("inbound_blocked") and facts.fact("rtp-range", "inbound_open") is not None
        busy = facts.ranges("busy")
        but = f" (but {few(busy)}, in use here and not tested)" if busy else ""
        parts.append(f"RTP{span}{but} is open both ways" if inward else f"RTP{span}{but} gets out, and answers to it come back")
    if facts.having("port-preservation.preserved", verdicts=(Verdict.PASS,)):
        parts.append("ports keep their numbers")
    if facts.having("sip-alg.none", verdicts=(Verdict.PASS,)):
        parts.append("SIP passes untouched")
    if not parts and facts.having("nat-behavior.no-nat", verdicts=(Verdict.PASS,)):
        parts.append("nothing translates addresses")
    if not parts and facts.having("nat-behavior.endpoint-independent", verdicts=(Verdict.PASS,)):
        parts.append("the NAT keeps one public port for all destinations")
    complete = passed >= set(facts.profile.checks)
    lead = "Nothing here stands in the way of calls" if complete else "What was checked is fine"
    skipped = [result.id for result in facts.results if result.verdict is Verdict.SKIPPED]
    rest = f"; {join(skipped)} {'was' if len(skipped) == 1 else 'were'} not tested" if skipped else ""
    return f"{lead}{': ' if parts else ''}{join(parts)}{rest}."
