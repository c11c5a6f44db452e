"""From facts to findings: one for each channel that is not left alone, one for all that are. Pure."""

import re
from collections.abc import Iterable, Sequence

from edgecheck.checks.sip_alg import interference, judge_taken
from edgecheck.checks.sip_alg.judge_beside import beside_findings
from edgecheck.checks.sip_alg.messages import FLOWS
from edgecheck.checks.sip_alg.observation import LEVELS, Change, Channel, Harm, Level, Pinhole, SipAlgObservation, SipProbe
from edgecheck.checks.sip_alg.one_sided import judge_against, summarize_against
from edgecheck.checks.sip_alg.taken import name_of
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Finding, Verdict

EXPECTED = "SIP arrives as it was sent, in both directions"
_MOST_EVIDENCE = 24
_ORDER = ("Status-Line", "Method", "Request-URI", "Via", "Contact", "From", "To", "Call-ID", "CSeq")
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


class _Case:
    """One channel with its methods."""

    def __init__(self, channel: Channel, probes: Sequence[SipProbe], pinholes: Sequence[Pinhole] = ()) -> None:
        self.channel = channel
        self.who = "something on the path"
        self.several = False
        """Who does it are several."""
        self.near: tuple[str, ...] = ()
        """What was seen of requests that cannot get far."""
        self.name = channel.name
        self.probes = [p for p in probes if (p.transport, p.server_port) == (channel.transport, channel.server_port)]
        self.pinholes = [hole for hole in pinholes if (hole.transport, hole.server_port) == (channel.transport, channel.server_port)]
        self.opened = [hole for hole in self.pinholes if hole.opened]
        self.undecided = [probe for probe in self.probes if probe.interference is None]
        self.level: Level = interference.gravest(probe.interference for probe in self.probes if probe.interference is not None)

    def does(self, verb: str) -> str:
        """The verb, as it follows ``who``."""
        return verb if self.several else f"{verb}s"

    @property
    def changes(self) -> list[Change]:
        """Each kind once, in the order of a message."""
        found: dict[tuple[str, str, str], Change] = {}
        for probe in self.probes:
            for change in probe.changes:
                incoming = change.message.startswith("incoming")
                found.setdefault((f"{incoming} {change.direction or EITHER}", change.where, change.action), change)
        return sorted(
            found.values(), key=lambda change: (change.message.startswith("incoming"), change.direction or EITHER, _place(change.where))
        )

    @property
    def harms(self) -> list[Harm]:
        found = {(harm.direction, harm.text): harm for probe in reversed(self.probes) for harm in probe.harms}
        return sorted(found.values(), key=lambda harm: -LEVELS.index(harm.level))

    def consequences(self, level: Level) -> list[str]:
        """What the changes of this level do, the gravest method first; the same thing said of another method is left out."""
        found: dict[str, str] = {}
        for harm in self.harms:
            if harm.level == level:
                found.setdefault(re.split(r"[0-9:,]", harm.text, maxsplit=1)[0], harm.text)
        return list(found.values())

    def lost(self, way: str) -> list[str]:
        """Names of the messages that are dropped: ``out`` on their way to the server, ``back`` in its answers."""
        messages = [message for probe in self.probes for message in probe.messages]
        return [message.name for message in messages if (message.request if way == "out" else message.response) == "lost"]

    @property
    def clean(self) -> bool:
        harmed = self.undecided or self.channel.non_sip_dropped or self.opened or self.channel.certificate_replaced
        return bool(self.probes) and self.level == "none" and not harmed


def _cases(seen: SipAlgObservation) -> list[_Case]:
    # What was sent beside and could not be told says nothing about the channel; what was told does.
    told = [probe for probe in seen.beside if probe.interference is not None]
    cases = [_Case(channel, (*seen.probes, *seen.incoming, *told), seen.pinholes) for channel in seen.channels]
    # Followed hop by hop was the first channel of UDP on which somebody else answers, else that rewrites a request, else that loses one.
    udp = [(case, [probe for probe in case.probes if probe.method in FLOWS]) for case in cases if case.channel.transport == "udp"]
    followed = [case for case, probes in udp if any(probe.answered_beside for probe in probes)]
    followed = followed or [case for case, probes in udp if any(probe.request == "rewritten" for probe in probes)]
    followed = followed or [case for case, probes in udp if any(probe.lost_first for probe in probes)]
    if followed and seen.located:
        followed[0].several = len(seen.located) > 1
        followed[0].who = _list([name_of(one) for one in seen.located])
    if followed:
        followed[0].near = judge_taken.lines(seen, followed[0].name)
    return cases


def judge(seen: SipAlgObservation, profile: Profile) -> tuple[Finding, ...]:
    """Gravest first."""
    if seen.against is not None:
        return judge_against(seen, Verdict(profile.expect.alg))
    cases = _cases(seen)
    clean = [case for case in cases if case.clean]
    way_round = _way_round(clean)
    findings = [_touched(case, way_round, profile) for case in cases if case.level != "none"]
    findings += [_only_sip(case) for case in cases if case.channel.non_sip_dropped]
    findings += [_pinholes(case) for case in cases if case.opened]
    findings += beside_findings(seen)
    if clean:
        findings.append(_untouched(clean))
    findings += _undecided(
        [case for case in cases if case.level == "none" and case.undecided and not case.channel.certificate_replaced], seen
    )
    findings += _not_tested([case for case in cases if case.channel.not_tested is not None])
    order = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.WARN, Verdict.PASS, Verdict.SKIPPED)
    if not findings:
        findings = [_nothing("no channel was offered by the server")]
    return tuple(sorted(findings, key=lambda finding: order.index(finding.verdict)))


def _touched(case: _Case, way_round: str, profile: Profile) -> Finding:
    if case.level == "destructive":
        return _destroyed(case, way_round)
    found, who = _where(case.changes), _sentence(case.who)
    if case.level == "harmless":
        consequence = "no meaning is changed by that, but it is an ALG at work"
        summary = f"{who} {case.does('handle')} SIP on {case.name} ({found}): {consequence}{way_round}."
        return _finding(case, "harmless", Verdict.WARN, summary, found)
    if case.level == "rewriting":
        consequence = "; ".join(case.consequences("rewriting")) or "calls usually survive that, but it is not what was sent"
        summary = f"{who} {case.does('rewrite')} SIP on {case.name} ({found}): {consequence}{way_round}."
        return _finding(case, "rewritten", Verdict(profile.expect.alg), summary, found)
    consequence = "; ".join(case.consequences("inconsistent")[:3])
    summary = (
        f"{who} {case.does('rewrite')} SIP on {case.name} and {case.does('get')} it wrong ({found}): {consequence}. "
        f"Registrations, calls or audio can fail by that{way_round}."
    )
    return _finding(case, "inconsistent", Verdict.FAIL, summary, found)


def _destroyed(case: _Case, way_round: str) -> Finding:
    stolen = [probe for probe in case.probes if probe.stolen]
    if stolen:
        methods = _list([probe.method for probe in stolen])
        told = "; ".join(dict.fromkeys(probe.reason for probe in stolen if probe.reason))
        unreached = any(probe.request == "answered-by-other" for probe in stolen)
        reached = "the server is not reached" if unreached else "the server's own answer comes too late"
        summary = (
            f"{_sentence(case.who)} {case.does('answer')} SIP on {case.name} itself, in the server's place ({methods}): {reached}, and "
            f"whatever it is that answers decides over registrations and calls{way_round}."
        )
        return _finding(case, "answered-by-other", Verdict.FAIL, summary, told or "answered by another")
    parts = []
    for way, text in (("out", "no {} arrives"), ("back", "no answer to {} arrives, though it is sent")):
        lost = case.lost(way)
        if lost:
            effects = _list([_BREAKS[name if name.startswith("incoming") else name.partition(" ")[0], way] for name in lost])
            parts.append(f"{text.format(_list(lost, 'or'))}, while other packets of the same size pass: {effects}")
    parts += case.consequences("destructive")
    text = "; ".join(parts)
    summary = f"{_sentence(case.who)} {case.does('destroy')} SIP on {case.name}: {text}{way_round}."
    return _finding(case, "destroyed", Verdict.FAIL, summary, "; ".join(dict.fromkeys(p.reason for p in case.probes if p.reason)) or text)


def _finding(case: _Case, cause: str, verdict: Verdict, summary: str, observed: str) -> Finding:
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


def _only_sip(case: _Case) -> Finding:
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


def _pinholes(case: _Case) -> Finding:
    by = _list([hole.opened_by for hole in case.opened])
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


def _untouched(cases: Sequence[_Case]) -> Finding:
    names = [case.name for case in cases]
    return Finding(
        id="sip-alg.none",
        verdict=Verdict.PASS,
        subject=", ".join(names),
        summary=f"SIP passes untouched on {_list(names)}: every message arrived byte for byte as it was sent, both ways.",
        expected=EXPECTED,
        observed="byte for byte the same",
        evidence=tuple(_short_tally(case) for case in cases),
        reference="RFC 3261 section 18.2.1",
    )


def _short_tally(case: _Case) -> str:
    channel, messages = case.channel, [message for probe in case.probes for message in probe.messages]
    sent, arrived = sum(m.copies_sent for m in messages), sum(m.copies_arrived or 0 for m in messages)
    answered, came_back = sum(m.answers_sent or 0 for m in messages), sum(m.answers_arrived for m in messages)
    return (
        f"{case.name}, from {channel.local}, seen as {', '.join(channel.server_saw)}: {arrived} of {sent} requests "
        f"({_list([message.name for message in messages])}) and {came_back} of {answered} answers arrived, all byte for byte"
    )


def _undecided(cases: Sequence[_Case], seen: SipAlgObservation) -> list[Finding]:
    """Channels that could not be told for the same reason share a finding."""
    by_reason: dict[str, list[_Case]] = {}
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
            summary=f"Whether SIP is touched on {_list([case.name for case in group])} could not be told: {reason}.",
            expected=EXPECTED,
            evidence=tuple(line for case in group for line in (*_tally(case), *case.channel.errors[:4])),
        )
        for reason, group in by_reason.items()
    ]


def _not_tested(cases: Sequence[_Case]) -> list[Finding]:
    by_reason: dict[str, list[str]] = {}
    for case in cases:
        by_reason.setdefault(case.channel.not_tested or "", []).append(case.name)
    return [
        Finding(
            id="sip-alg.not-tested",
            verdict=Verdict.SKIPPED,
            subject=", ".join(names),
            summary=f"{_list(names)} {'was' if len(names) == 1 else 'were'} not tested: {reason}.",
        )
        for reason, names in by_reason.items()
    ]


def _nothing(reason: str) -> Finding:
    return Finding(id="sip-alg.not-tested", verdict=Verdict.SKIPPED, subject="SIP", summary=f"SIP was not tested: {reason}.")


def _evidence(case: _Case) -> tuple[str, ...]:
    """What was sent beside what arrived; then what follows from it; then how many of each were seen."""
    lines = [
        f"{change.direction or EITHER}, {change.message}: {change.where} {change.action}: sent {change.sent!r}, arrived {change.arrived!r}"
        for change in case.changes
    ]
    lines += [f"{harm.direction}: {harm.text}" for harm in case.harms]
    lines += [probe.reason for probe in case.probes if probe.reason]
    lines += case.channel.errors[:4]
    return tuple(dict.fromkeys([*lines[:_MOST_EVIDENCE], *case.near, *_tally(case)]))


def _tally(case: _Case) -> list[str]:
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


def _way_round(clean: Sequence[_Case]) -> str:
    if not clean:
        return "; nothing else that was tried passed untouched"
    return f"; {_list([case.name for case in clean])} passed untouched in the same run"


EITHER = "request or response"
"""Where the server's account is missing: one of the two was changed."""
_KINDS = {"request": "requests", "response": "responses", None: "requests or responses"}


def _where(changes: Iterable[Change]) -> str:
    """``Via, Contact, sdp c= in requests; Via in responses``."""
    parts: dict[str, list[str]] = {}
    for direction in ("request", "response", None):
        for change in changes:
            if change.direction == direction:
                incoming = change.message.startswith("incoming")
                kind = (
                    _KINDS[direction] if not incoming else "incoming requests" if direction == "request" else "answers to incoming requests"
                )
                parts.setdefault(kind, []).append(change.where)
    return "; ".join(f"{_list(names)} in {kind}".replace("sdp ", "SDP ") for kind, names in parts.items())


def _place(where: str) -> tuple[int, str]:
    if where.startswith("sdp "):
        return len(_ORDER) + 1 + "osctma".find(where[4]), where
    return (_ORDER.index(where), "") if where in _ORDER else (len(_ORDER), where)


def _sentence(who: str) -> str:
    return who[0].upper() + who[1:]


def _list(words: Sequence[str], conjunction: str = "and") -> str:
    unique = list(dict.fromkeys(words))
    return unique[0] if len(unique) == 1 else f"{', '.join(unique[:-1])} {conjunction} {unique[-1]}"


def summarize(seen: SipAlgObservation, findings: tuple[Finding, ...]) -> str:
    """One sentence: what is done where, and what is left alone."""
    if seen.against is not None:
        return summarize_against(findings)
    cases = _cases(seen)
    clean = [case.name for case in cases if case.clean]
    untouched = f"; {_list(clean)} pass untouched" if clean else ""
    touched = [case for case in cases if case.level != "none"]
    opened = [case.name for case in cases if case.opened]
    if not touched and opened:
        return f"something reads SIP and opens ports by it on {_list(opened)}{untouched}"
    if not touched:
        if not findings or findings[0].verdict is not Verdict.PASS:
            return (findings[0].summary.rstrip(".") if findings else "nothing was tested") + (untouched if findings and clean else "")
        return f"SIP passes untouched on {_list(clean)}"
    by_text: dict[str, list[str]] = {}
    for case in touched:
        by_text.setdefault(_deed(case), []).append(case.name)
    return "; ".join(f"{deed} on {_list(names)}" for deed, names in by_text.items()) + untouched


def _deed(case: _Case) -> str:
    who = case.who.replace(" on the path", "")
    lost = [*case.lost("out"), *(f"the answers to {name}" for name in case.lost("back"))]
    stolen = [probe.method for probe in case.probes if probe.stolen]
    if stolen:
        return f"{who} {case.does('answer')} {_list(stolen)} in the server's place"
    if lost:
        return f"{who} {case.does('drop')} {_list(lost)}"
    said = [change.arrived.partition(" ")[2] for change in case.changes if (change.where, change.action) == ("Status-Line", "added")]
    if said and len(said) == len(case.changes):
        return f"{who} {case.does('answer')} {_list(said)} in the server's place"
    names = list(dict.fromkeys(change.where.replace("sdp ", "SDP ") for change in case.changes))
    names = [name for name in names if name != "Content-Length"] or names  # it follows from the others
    shown = _list(names) if len(names) <= 5 else f"{', '.join(names[:5])} and more"
    if case.level == "harmless":
        return f"{who} {case.does('handle')} SIP without harm ({shown})"
    return f"{who} {case.does('destroy' if case.level == 'destructive' else 'rewrite')} {shown}"
