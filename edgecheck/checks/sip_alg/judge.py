"""From facts to findings: one for each channel that is not left alone, one for all that are. Pure."""

from collections.abc import Sequence

from edgecheck.checks.sip_alg.case import EITHER, SOMEBODY, Case, cases, listed, lost
from edgecheck.checks.sip_alg.datagrams import RETRANSMISSIONS
from edgecheck.checks.sip_alg.judge_beside import beside_findings
from edgecheck.checks.sip_alg.judge_one_sided import judge_against, summarize_against
from edgecheck.checks.sip_alg.observation import Change, SipAlgObservation, SipProbe
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Finding, Verdict

EXPECTED = "SIP arrives as it was sent, in both directions"
_MOST_EVIDENCE = 24
_LONG = 120
"""Characters of what is changed that can stand in a sentence."""
_BREAKS = {
    ("incoming INVITE", "out"): "calls do not come in",
    ("incoming OPTIONS", "out"): "the PBX takes the phone for unreachable",
    ("incoming INVITE", "back"): "callers hear nothing and give up",
    ("incoming OPTIONS", "back"): "the PBX takes the phone for unreachable",
    ("INVITE", "out"): "calls cannot be made",
    ("ACK", "out"): "answered calls are cut off after 32 seconds",
    ("BYE", "out"): "calls are not ended at the other end",
    ("REGISTER", "out"): "phones cannot register",
    ("OPTIONS", "out"): "monitoring and keep-alives by OPTIONS fail",
    ("INVITE", "back"): "calls ring and are never put through",
    ("BYE", "back"): "phones do not learn that a call has ended",
    ("REGISTER", "back"): "phones register and do not learn of it",
    ("OPTIONS", "back"): "monitoring and keep-alives by OPTIONS fail",
}


def judge(seen: SipAlgObservation, profile: Profile) -> tuple[Finding, ...]:
    """Gravest first."""
    if seen.against is not None:
        return judge_against(seen, Verdict(profile.expect.alg))
    channels = cases(seen)
    clean = [case for case in channels if case.clean]
    way_round = _way_round(clean)
    findings = [_touched(case, way_round, profile) for case in channels if case.level != "none"]
    findings += [_only_sip(case) for case in channels if case.channel.non_sip_dropped]
    findings += [_pinholes(case) for case in channels if case.opened]
    findings += beside_findings(seen)
    if clean:
        findings.append(_untouched(clean))
    findings += _undecided(
        [case for case in channels if case.level == "none" and case.undecided and not case.channel.certificate_replaced], seen
    )
    findings += _not_tested([case for case in channels if case.channel.not_tested is not None])
    order = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.WARN, Verdict.PASS, Verdict.SKIPPED)
    if not findings:
        findings = [_nothing("no channel was offered by the server")]
    return tuple(sorted(findings, key=lambda finding: order.index(finding.verdict)))


def _touched(case: Case, way_round: str, profile: Profile) -> Finding:
    if case.level == "destructive":
        return _destroyed(case, way_round)
    found, who, besides = case.found(), _sentence(case.who), case.beside()
    if case.level == "harmless":
        consequence = "no meaning is changed by that, but it is an ALG at work"
        if all((change.where, change.action) == (RETRANSMISSIONS, "removed") for change in case.changes):
            consequence = "either an ALG that repeats requests at a pace of its own, or a filter of packets that are the same"
        summary = f"{who} {case.does('handle')} SIP on {case.name} ({found}): {consequence}{way_round}.{besides}"
        return _finding(case, "harmless", Verdict.WARN, summary, found)
    if case.level == "rewriting":
        consequence = _chief(case.consequences("rewriting")) or "calls usually survive that, but it is not what was sent"
        summary = f"{who} {case.does('rewrite')} SIP on {case.name} ({_briefly(case)}): {consequence}{way_round}.{besides}"
        return _finding(case, "rewritten", Verdict(profile.expect.alg), summary, found)
    consequence = _chief(case.consequences("inconsistent"))
    summary = (
        f"{who} {case.does('rewrite')} SIP on {case.name} and {case.does('get')} it wrong ({_briefly(case)}): {consequence}. "
        f"Registrations, calls or audio can fail by that{way_round}.{besides}"
    )
    return _finding(case, "inconsistent", Verdict.FAIL, summary, found)


def _chief(consequences: Sequence[str]) -> str:
    """The first, and how many more: a sentence of ten of them nobody reads to its end, and each stands in the evidence."""
    more = len(consequences) - 1
    return f"{consequences[0]}{f' ({more} more in the evidence)' if more > 0 else ''}" if consequences else ""


def _briefly(case: Case) -> str:
    """What is changed; where that is much, without telling the directions apart: they stand in the evidence."""
    whole = case.found()
    if len(whole) <= _LONG:
        return whole
    if case.who == SOMEBODY or not case.seen_there:
        return _shown(case.changes)
    there = {change.where for change in case.seen_there}
    rest = [change for change in case.elsewhere if change.where not in there]
    return _shown(case.seen_there) + (f"; {case.or_another}: {_shown(rest)}" if rest else "")


def _destroyed(case: Case, way_round: str) -> Finding:
    if case.stolen:
        followed = [probe for probe in case.stolen if case.who == SOMEBODY or case.was_followed(probe.method)]
        others = [probe.method for probe in case.stolen if probe not in followed]
        methods = listed([probe.method for probe in followed]) + (f"; {case.or_another}: {listed(others)}" if others else "")
        told = "; ".join(dict.fromkeys(probe.reason for probe in case.stolen if probe.reason))
        unreached = any(probe.request == "answered-by-other" for probe in case.stolen)
        reached = "the server is not reached" if unreached else "the server's own answer comes too late"
        summary = (
            f"{_sentence(case.who)} {case.does('answer')} SIP on {case.name} itself, in the server's place ({methods}): {reached}, and "
            f"whatever it is that answers decides over registrations and calls{way_round}."
        )
        return _finding(case, "answered-by-other", Verdict.FAIL, summary, told or "answered by another")
    seen = [probe for probe in case.probes if probe.lost_first and case.was_followed(probe.method)] if case.who != SOMEBODY else []
    first = _lost(seen)
    others = [*_lost([probe for probe in case.probes if probe not in seen]), *case.consequences("destructive")]
    text = f"; {case.or_another}: ".join(filter(None, ("; ".join(first), "; ".join(others)))) if first else "; ".join(others)
    summary = f"{_sentence(case.who)} {case.does('destroy')} SIP on {case.name}: {text}{way_round}.{case.beside()}"
    return _finding(case, "destroyed", Verdict.FAIL, summary, "; ".join(dict.fromkeys(p.reason for p in case.probes if p.reason)) or text)


def _effect(name: str, way: str, names: Sequence[str]) -> str:
    """What no longer works. Where INVITE as such gets through, the long ones beside it may have been one too many, or too long."""
    if name.startswith("INVITE of ") and "INVITE" not in names:
        return "calls with long offers (many codecs, video, ICE) cannot be made, or no more than a few at a time"
    return _BREAKS[name if name.startswith("incoming") else name.partition(" ")[0], way]


def _lost(probes: Sequence[SipProbe]) -> list[str]:
    """What of these methods is dropped, and what no longer works by that: out, and back."""
    parts = []
    for way, text in (("out", "no {} arrives"), ("back", "no answer to {} arrives, though it is sent")):
        names = lost(probes, way)
        if names:
            effects = listed([_effect(name, way, names) for name in names])
            parts.append(f"{text.format(listed(names, 'or'))}, while other packets of the same size pass: {effects}")
    return parts


def _finding(case: Case, cause: str, verdict: Verdict, summary: str, observed: str) -> Finding:
    return Finding(
        id=f"sip-alg.{cause}",
        verdict=verdict,
        subject=case.name,
        summary=summary,
        expected=EXPECTED,
        observed=observed,
        evidence=_evidence(case),
        reference="RFC 3261 section 18.2.1",
    )


def _only_sip(case: Case) -> Finding:
    channel = case.channel
    return Finding(
        id="sip-alg.only-sip-passes",
        verdict=Verdict.WARN,
        subject=case.name,
        summary=f"On {case.name} SIP passes and nothing else does: keep-alives and STUN on this port are dropped, and mappings die early.",
        expected="packets pass whatever they hold",
        observed=f"none of {channel.control_sent} non-SIP datagrams of {channel.control_size} bytes arrived, SIP did",
        evidence=_evidence(case),
        reference="RFC 5626 section 3.5",
    )


def _pinholes(case: Case) -> Finding:
    by = listed([hole.opened_by for hole in case.opened])
    wide = any(hole.from_address for hole in case.opened)
    who = "anybody" if wide else "other ports of the server's address"
    text = (
        f"Something on the path reads SIP on {case.name} and opens ports for {who} ({by}): no harm by itself, but it is an ALG at work, "
        "and what it opens closes again at its own time."
    )
    lines = []
    for hole in case.opened:
        counts = [f"{one.when}, from {one.sender} to {one.aimed_at}: {one.arrived} of {one.sent} came in" for one in hole.knocks]
        lines.append(f"{hole.opened_by}, at {hole.local}: {'; '.join(counts)}")
    return Finding(
        id="sip-alg.pinhole",
        verdict=Verdict.WARN,
        subject=case.name,
        summary=text,
        expected="a port lets in what it has contacted itself, whatever SIP says",
        observed=f"{by} opened a port",
        evidence=tuple(lines),
        reference="RFC 4787 section 5",
    )


def _untouched(cases: Sequence[Case]) -> Finding:
    names = [case.name for case in cases]
    return Finding(
        id="sip-alg.none",
        verdict=Verdict.PASS,
        subject=", ".join(names),
        summary=f"SIP passes untouched on {listed(names)}: every message arrived byte for byte as it was sent, both ways.",
        expected=EXPECTED,
        observed="byte for byte the same",
        evidence=tuple(_short_tally(case) for case in cases),
        reference="RFC 3261 section 18.2.1",
    )


def _short_tally(case: Case) -> str:
    channel, messages = case.channel, [message for probe in case.probes for message in probe.messages]
    sent, arrived = sum(m.copies_sent for m in messages), sum(m.copies_arrived or 0 for m in messages)
    answered, came_back = sum(m.answers_sent or 0 for m in messages), sum(m.answers_arrived for m in messages)
    port = ", a port of the system's choice (what acts on source port 5060 alone is not met)" if channel.transport == "udp" else ""
    return (
        f"{case.name}, from {channel.local}{port}, seen as {', '.join(channel.server_saw)}: {arrived} of {sent} requests "
        f"({listed([message.name for message in messages])}) and {came_back} of {answered} answers arrived, all byte for byte"
    )


def _undecided(cases: Sequence[Case], seen: SipAlgObservation) -> list[Finding]:
    """Channels that could not be told for the same reason share a finding."""
    by_reason: dict[str, list[Case]] = {}
    for case in cases:
        if seen.mirror is not None and not case.channel.silent:
            reason = seen.mirror
        elif case.channel.silent:
            reason = "nothing got through, SIP no more than anything else: the port is blocked or nobody listens, which is no ALG's doing"
        else:
            reason = "; ".join(dict.fromkeys(probe.reason for probe in case.undecided if probe.reason)) or "no answer came"
        by_reason.setdefault(reason, []).append(case)
    return [
        Finding(
            id="sip-alg.undecided",
            verdict=Verdict.INCONCLUSIVE,
            subject=", ".join(case.name for case in group),
            summary=f"Whether SIP is touched on {listed([case.name for case in group])} could not be told: {reason}.",
            expected=EXPECTED,
            evidence=tuple(line for case in group for line in (*_tally(case), *case.channel.errors[:4])),
        )
        for reason, group in by_reason.items()
    ]


def _not_tested(cases: Sequence[Case]) -> list[Finding]:
    by_reason: dict[str, list[str]] = {}
    for case in cases:
        by_reason.setdefault(case.channel.not_tested or "", []).append(case.name)
    return [
        Finding(
            id="sip-alg.not-tested",
            verdict=Verdict.SKIPPED,
            subject=", ".join(names),
            summary=f"{listed(names)} {'was' if len(names) == 1 else 'were'} not tested: {reason}.",
        )
        for reason, names in by_reason.items()
    ]


def _nothing(reason: str) -> Finding:
    return Finding(id="sip-alg.not-tested", verdict=Verdict.SKIPPED, subject="SIP", summary=f"SIP was not tested: {reason}.")


def _evidence(case: Case) -> tuple[str, ...]:
    """What was sent beside what arrived; then what follows from it; then how many of each were seen."""
    lines = [
        f"{change.direction or EITHER}, {change.message}: {change.where} {change.action}: sent {change.sent!r}, arrived {change.arrived!r}"
        for change in case.changes
    ]
    harms = [f"{harm.direction}: {harm.text}" for harm in case.harms]
    lines = [*lines[: max(_MOST_EVIDENCE // 2, _MOST_EVIDENCE - len(harms))], *harms]
    lines += [probe.reason for probe in case.probes if probe.reason]
    lines += case.channel.errors[:4]
    return tuple(dict.fromkeys([*lines[:_MOST_EVIDENCE], *case.near, *_tally(case)]))


def _tally(case: Case) -> list[str]:
    channel = case.channel
    seen = f", seen by the server as {', '.join(channel.server_saw)}" if channel.server_saw else ""
    lines = [f"{case.name}: sent from {channel.local}{seen}"] if channel.local else []
    for probe in case.probes:
        for message in probe.messages:
            arrived = "an unknown number" if message.copies_arrived is None else str(message.copies_arrived)
            text = f"{case.name}, {message.name}: {message.copies_sent} sent, {arrived} arrived ({message.request})"
            if message.response is not None:
                text += f"; answers: {message.answers_arrived} of {_known(message.answers_sent)} came back ({message.response})"
            lines.append(text)
    kind = "datagrams" if channel.transport == "udp" else "connections"
    if channel.control_sent:
        counts = f"{channel.control_sent} sent, {_known(channel.control_arrived)} arrived, {channel.control_returned} came back"
        lines.append(f"{case.name}, non-SIP {kind} of {channel.control_size} bytes: {counts}")
    return lines


def _known(number: int | None) -> str:
    return "an unknown number" if number is None else str(number)


def _way_round(clean: Sequence[Case]) -> str:
    if not clean:
        return "; nothing else that was tried passed untouched"
    return f"; {listed([case.name for case in clean])} passed untouched in the same run"


def _sentence(who: str) -> str:
    return who[0].upper() + who[1:]


def summarize(seen: SipAlgObservation, findings: tuple[Finding, ...]) -> str:
    """One sentence: what is done where, and what is left alone."""
    if seen.against is not None:
        return summarize_against(findings)
    channels = cases(seen)
    clean = [case.name for case in channels if case.clean]
    untouched = f"; {listed(clean)} pass untouched" if clean else ""
    touched = [case for case in channels if case.level != "none"]
    opened = [case.name for case in channels if case.opened]
    if not touched and opened:
        return f"something reads SIP and opens ports by it on {listed(opened)}{untouched}"
    if not touched:
        if not findings or findings[0].verdict is not Verdict.PASS:
            return (findings[0].summary.rstrip(".") if findings else "nothing was tested") + (untouched if findings and clean else "")
        return f"SIP passes untouched on {listed(clean)}"
    by_text: dict[str, list[str]] = {}
    for case in touched:
        by_text.setdefault(_deed(case), []).append(case.name)
    return "; ".join(f"{deed} on {listed(names)}" for deed, names in by_text.items()) + untouched


def _deed(case: Case) -> str:
    who = case.who.replace(" on the path", "")
    gone = [*case.lost("out"), *(f"the answers to {name}" for name in case.lost("back"))]
    if case.stolen:
        return f"{who} {case.does('answer')} {listed([probe.method for probe in case.stolen])} in the server's place"
    if gone:
        return f"{who} {case.does('drop')} {listed(gone)}"
    said = [change.arrived.partition(" ")[2] for change in case.changes if (change.where, change.action) == ("Status-Line", "added")]
    if said and len(said) == len(case.changes):
        return f"{who} {case.does('answer')} {listed(said)} in the server's place"
    if case.level == "destructive":
        return f"{who} {case.does('destroy')} SIP ({'; '.join(case.consequences('destructive'))})"
    if case.who == SOMEBODY or not case.seen_there:
        shown, more = _shown(case.changes), ""
    else:
        there = {change.where for change in case.seen_there}
        shown, rest = _shown(case.seen_there), _shown([change for change in case.elsewhere if change.where not in there])
        more = f" ({case.or_another}: {rest})" if rest else ""
    if case.level == "harmless":
        return f"{who} {case.does('handle')} SIP without harm ({shown}){more}"
    return f"{who} {case.does('rewrite')} {shown}{more}"


def _shown(changes: Sequence[Change]) -> str:
    names = list(dict.fromkeys(change.where.replace("sdp ", "SDP ") for change in changes))
    names = [name for name in names if name != "Content-Length"] or names  # it follows from the others
    return "" if not names else listed(names) if len(names) <= 5 else f"{', '.join(names[:5])} and more"
