"""From the single findings to one sentence for the person on the phone: what it does to calls, and why."""

import re
from collections.abc import Iterable, Sequence

from edgecheck.diagnosis.facts import Facts
from edgecheck.model.verdict import Finding, Verdict, worst
from edgecheck.wire import ports

_MOST_RANGES = 3
_MOST_CAUSES = 3
_FAIL = (Verdict.FAIL,)
_ALG = {
    "sip-alg.destroyed": "drops SIP on",
    "sip-alg.answered-by-other": "answers SIP itself on",
    "sip-alg.inconsistent": "rewrites SIP inconsistently on",
    "sip-alg.rewritten": "rewrites SIP on",
}


def headline(facts: Facts) -> str:
    """The report's first line."""
    sentence = _sentence(facts)
    if facts.this_machine_only:
        return f"Only this machine was checked (echo server on {facts.server.address if facts.server else ''}). {sentence}"
    return sentence


def _sentence(facts: Facts) -> str:
    verdict = worst([result.verdict for result in facts.results])
    if verdict is Verdict.FAIL:
        return _failed(facts)
    if verdict is Verdict.INCONCLUSIVE:
        return _untold(facts)
    if verdict is Verdict.WARN:
        causes = _causes(facts, (Verdict.WARN,)) or [_clause(finding) for finding in facts.troubles()[:1]]
        return f"Calls should work, with a reservation: {join(causes)}." if causes else "Calls should work, with reservations."
    if verdict is Verdict.PASS:
        return _fine(facts)
    skipped = [finding for finding in facts.findings if finding.verdict is Verdict.SKIPPED]
    return f"Nothing could be tested: {_clause(skipped[0]).removeprefix('not tested: ')}." if skipped else "Nothing was tested."


def _failed(facts: Facts) -> str:
    fatal = facts.having("nat-behavior.udp-blocked", verdicts=_FAIL)
    if fatal:
        return f"No calls over UDP are possible here: {_clause(fatal[0])}."
    causes = _causes(facts, _FAIL)
    consequence = _consequence(facts)
    if consequence and causes:
        return f"{consequence}: {join(causes)}."
    return next((_whole(finding.summary) for finding in facts.troubles()), "Something here breaks calls; see the rows.")


def _consequence(facts: Facts) -> str:
    """What the failures do to calls. ``may``, for what a given trunk and PBX make of it is not known here."""
    broken = bool(facts.having("sip-alg.destroyed", "sip-alg.answered-by-other", verdicts=_FAIL))
    rewritten = bool(facts.having("sip-alg.rewritten", "sip-alg.inconsistent", verdicts=_FAIL))
    closed = bool(facts.having("port-forwarding.blocked", "port-forwarding.refused", verdicts=_FAIL))
    silent = bool(facts.having("rtp-range.inbound-blocked", "rtp-range.outbound-blocked", "rtp-range.return-blocked", verdicts=_FAIL))
    moved = bool(
        facts.having(
            "rtp-range.remapped",
            "port-preservation.remapped",
            "port-preservation.one-port-remapped",
            "nat-behavior.endpoint-dependent-mapping",
            verdicts=_FAIL,
        )
    )
    if broken:
        return "Registrations and calls may fail"
    if closed and silent:
        return "Calls from outside may not arrive, and calls may be silent"
    if closed:
        return "Calls from outside may not arrive"
    if silent:
        return "Calls may ring but be silent"
    if rewritten:
        return "Calls may drop, go silent or stop arriving"
    if facts.having("mapping-lifetime.very-short", verdicts=_FAIL):
        return "Phones and trunks that register may be unreachable between keep-alives"
    return "Audio may go one way only" if moved else ""


def _causes(facts: Facts, verdicts: tuple[Verdict, ...]) -> list[str]:
    who = facts.culprit or "something on the path"
    causes = []
    for finding_id, does in _ALG.items():
        found = facts.having(finding_id, verdicts=verdicts)
        if found:
            causes.append(f"{who} {does} {subjects(found)}")
    for finding_id, state in (("port-forwarding.blocked", "not forwarded"), ("port-forwarding.refused", "refused")):
        found = facts.having(finding_id, verdicts=verdicts)
        if found:
            names = subjects(found)
            causes.append(f"{names} {'is' if re.fullmatch(r'[A-Z]+ [0-9]+', names) else 'are'} {state}")
    for finding_id, field, does in (
        ("rtp-range.inbound-blocked", "inbound_blocked", "does not arrive"),
        ("rtp-range.outbound-blocked", "outbound_blocked", "does not get out"),
        ("rtp-range.return-blocked", "return_blocked", "gets no answer back"),
        ("rtp-range.remapped", "remapped", "leaves by other ports"),
    ):
        found = facts.having(finding_id, verdicts=verdicts)
        if found:
            span = _few(facts.ranges(field)) or subjects(found).removeprefix("UDP ")
            causes.append(f"RTP {span} {does}")
    found = facts.having("sip-alg.only-sip-passes", verdicts=verdicts)
    if found:
        causes.append(f"{who} drops keep-alives on {subjects(found)}")
    found = facts.having("port-preservation.remapped", verdicts=verdicts)
    if found:
        causes.append("the NAT changes port numbers")
    found = facts.having("port-preservation.one-port-remapped", verdicts=verdicts)
    if found:
        causes.append(f"{subjects(found)} leaves by another port")
    if facts.having("nat-behavior.endpoint-dependent-mapping", verdicts=verdicts):
        causes.append('the public port changes with each destination ("symmetric" NAT)')
    for finding in facts.having("mapping-lifetime.very-short", "mapping-lifetime.short", verdicts=verdicts)[:1]:
        causes.append(f"the {finding.subject} lives {finding.observed} only")
    if facts.having("nat-behavior.pooling", verdicts=verdicts):
        causes.append("this network leaves by several public addresses")
    return causes[:_MOST_CAUSES]


def _untold(facts: Facts) -> str:
    untold = [result for result in facts.results if result.verdict is Verdict.INCONCLUSIVE]
    first = next((finding for finding in facts.troubles() if finding.verdict is Verdict.INCONCLUSIVE), None)
    if first is None:
        return "Not everything could be told."
    # One finding that explains why nothing else could be told.
    whole = facts.having("nat-behavior.udp-blocked", verdicts=(Verdict.INCONCLUSIVE,))
    if whole:
        return _whole(whole[0].summary)
    if first.id.startswith("control.") or len(untold) == len(facts.results) == 1:
        return _whole(first.summary)
    clause = _clause(first)
    if len(untold) == 1 and "could not be told" in clause:
        return f"Nothing is known to be wrong, but {clause}."
    return f"Nothing is known to be wrong, but {join([result.id for result in untold])} could not be told: {clause}."


def _fine(facts: Facts) -> str:
    parts = []
    passed = {result.id for result in facts.results if result.verdict is Verdict.PASS}
    if facts.having("port-forwarding.forwarded", "port-forwarding.answered", verdicts=(Verdict.PASS,)):
        parts.append("the ports asked for arrive")
    if facts.having("rtp-range.open", verdicts=(Verdict.PASS,)):
        whole = facts.fact("rtp-range", "range")
        span = f" {whole[0]}-{whole[1]}" if isinstance(whole, (list, tuple)) and len(whole) == 2 else ""
        inward = not facts.ranges("inbound_blocked") and facts.fact("rtp-range", "inbound_open") is not None
        parts.append(f"RTP{span} is open both ways" if inward else f"RTP{span} gets out, and answers to it come back")
    if facts.having("port-preservation.preserved", verdicts=(Verdict.PASS,)):
        parts.append("ports keep their numbers")
    if facts.having("sip-alg.none", verdicts=(Verdict.PASS,)):
        parts.append("nothing touches SIP")
    if not parts and facts.having("nat-behavior.no-nat", verdicts=(Verdict.PASS,)):
        parts.append("nothing translates addresses")
    if not parts and facts.having("nat-behavior.endpoint-independent", verdicts=(Verdict.PASS,)):
        parts.append("the NAT keeps one public port for all destinations")
    complete = passed >= set(facts.profile.checks)
    lead = "Nothing here stands in the way of calls" if complete else "What was checked is fine"
    skipped = [result.id for result in facts.results if result.verdict is Verdict.SKIPPED]
    rest = f"; {join(skipped)} {'was' if len(skipped) == 1 else 'were'} not tested" if skipped else ""
    return f"{lead}{': ' if parts else ''}{join(parts)}{rest}."


def subjects(findings: Iterable[Finding]) -> str:
    """What these findings are about, each once: ``UDP 5060, TCP 5060``."""
    names = list(dict.fromkeys(finding.subject for finding in findings))
    return join(names if len(names) <= 4 else [*names[:3], f"{len(names) - 3} more"])


def join(parts: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``; clauses that hold commas themselves are joined by ``, and``."""
    if len(parts) < 2:
        return "".join(parts)
    comma = "," if len(parts) > 2 or any(len(part) > 25 for part in parts) else ""
    return f"{', '.join(parts[:-1])}{comma} and {parts[-1]}"


def _few(ranges: ports.Ranges) -> str:
    if not ranges:
        return ""
    if len(ranges) <= _MOST_RANGES:
        return ports.text(ranges)
    more = len(ranges) - _MOST_RANGES
    return f"{ports.text(ranges[:_MOST_RANGES])} and {more} more range{'s' if more > 1 else ''}"


def _clause(finding: Finding) -> str:
    """A finding's sentence, to stand inside another."""
    text = finding.summary.rstrip(". ")
    second = text[1:2]
    return text[:1].lower() + text[1:] if text[:1].isupper() and second.islower() else text


def _whole(text: str) -> str:
    text = (text[:1].upper() + text[1:]).strip()
    return text if text.endswith((".", "?", "!")) else text + "."
