"""From the facts of one side to findings. Pure. Nothing here passes: one side cannot say that nothing is there."""

from collections.abc import Sequence

from edgecheck.checks.sip_alg import interference, judge_taken
from edgecheck.checks.sip_alg.observation import Against, Channel, SipAlgObservation
from edgecheck.checks.sip_alg.one_sided import FROM_ELSEWHERE
from edgecheck.model.verdict import Finding, Verdict

ANOTHER = (
    "Ask a SIP server that is known to answer, your provider's for one, or the same by another way: "
    "edgecheck alg --against 'sip:HOST;transport=tcp', or tls."
)
CANNOT = (
    "From one side alone, SDP, calls that come in and opened ports cannot be seen, nor requests that are rewritten and turned back in the "
    "answer, but over UDP where routers quote them. With an echo server outside (edgecheck run sip-alg edge://...) they can."
)



def judge_against(seen: SipAlgObservation, expected: Verdict) -> tuple[Finding, ...]:
    """Gravest first."""
    against = seen.against
    assert against is not None
    answered = [f"{one.transport.upper()} {one.server_port}" for one in seen.channels if not one.silent and one.not_tested is None]
    findings = []
    who = f"{judge_taken.sentence(judge_taken.names(seen.located))} answers" if seen.located else "Something on the path answers"
    if against.nobody_answered:
        findings.append(
            Finding(
                id="sip-alg.answered-by-other",
                verdict=Verdict.FAIL,
                subject=f"UDP {against.nobody.rpartition(':')[2]}",
                summary=f"{who} SIP for everybody: {against.nobody}, where no host can be, answered "
                f"{against.nobody_said!r}. What any server on this port says may be its word.",
                expected="silence from an address that nobody has",
                observed=against.nobody_said,
                evidence=(
                    f"OPTIONS sent to {against.nobody} (kept for documentation, RFC 5737), answered {against.nobody_said!r}",
                    *judge_taken.trial_lines(seen.taken[1:]),
                ),
                reference="RFC 5737",
            )
        )
    findings += judge_taken.findings(seen, expected)
    for channel in seen.channels:
        findings += _touched(seen, channel, answered, expected)
    findings += [
        Finding(
            id="sip-alg.hint",
            verdict=Verdict.INCONCLUSIVE,
            subject=hint.partition(":")[0],
            summary=f"There may be an ALG on {hint}. An echo server tells which.",
            expected="answers as the server itself gives them, from where it is",
            evidence=(*_lines(against, hint.partition(":")[0]), *judge_taken.lines(seen, hint.partition(":")[0])),
            reference="RFC 3261 section 18.2.1; RFC 3581 section 4",
        )
        for hint in against.hints
        if hint.partition(":")[0] not in {finding.subject for finding in findings}
    ]
    told = {finding.subject for finding in findings}
    clean = [name for name in answered if name not in told]
    if clean:
        findings.append(
            Finding(
                id="sip-alg.no-trace",
                verdict=Verdict.INCONCLUSIVE,
                subject=", ".join(clean),
                summary=f"The answers on {', '.join(clean)} show no trace of an ALG, which does not prove that there is none.",
                expected="an answer repeats Via, From, Call-ID and CSeq as they were sent",
                observed="it does",
                evidence=(*(line for name in clean for line in _lines(against, name)), CANNOT),
                reference="RFC 3261 section 8.2.6.2",
            )
        )
    silent = [one for one in seen.channels if one.silent]
    beside = f" {' and '.join(answered)} answered." if answered else ""
    for one in silent:
        name = f"{one.transport.upper()} {one.server_port}"
        why = one.not_tested or "; ".join(one.errors) or "no answer"
        findings.append(
            Finding(
                id="sip-alg.undecided" if one.not_tested is None and not answered else "sip-alg.not-tested",
                verdict=Verdict.INCONCLUSIVE if one.not_tested is None and not answered else Verdict.SKIPPED,
                subject=name,
                summary=_why_silent(one, name) + beside,
                evidence=(why,),
                remedies=(ANOTHER,),
            )
        )
    order = (Verdict.FAIL, Verdict.WARN, Verdict.INCONCLUSIVE, Verdict.SKIPPED)
    return tuple(sorted(findings, key=lambda finding: order.index(finding.verdict)))


def _why_silent(channel: Channel, name: str) -> str:
    """What fits."""
    if channel.not_tested is not None:
        return f"{name} could not be tried: {channel.not_tested.rstrip('.')}."
    if any("refused" in error for error in channel.errors):
        return f"{name} is refused: nobody listens there, or a firewall rejects it."
    why = "; ".join(channel.errors).rstrip(".") or "no answer"
    if channel.transport != "udp" and channel.local is not None:
        return (
            f"{name} opens and tells nothing when SIP is sent ({why}): the server speaks no SIP there or does not want this machine, or "
            "something on the path drops what is SIP."
        )
    return f"{name} told nothing ({why}): nobody listens there, it is blocked, or packets are dropped."


def known_so_far(seen: SipAlgObservation) -> str:
    """Of a run that was cut short: who answered."""
    answered = dict.fromkeys(f"{one.transport.upper()} {one.server_port}" for one in (seen.against.answers if seen.against else ()))
    return f"{' and '.join(answered)} answered" if answered else ""


def _touched(seen: SipAlgObservation, channel: Channel, answered: Sequence[str], expected: Verdict) -> list[Finding]:
    assert seen.against is not None
    name = f"{channel.transport.upper()} {channel.server_port}"
    probes = [one for one in seen.probes if (one.transport, one.server_port) == (channel.transport, channel.server_port) and one.changes]
    if not probes:
        return []
    every = [change for probe in reversed(probes) for change in probe.changes]
    changes = list({(change.direction, change.where, change.action): change for change in every}.values())
    hit = {f"{one.transport.upper()} {one.server_port}" for one in seen.probes if one.changes}
    others = [other for other in answered if other not in hit]
    level = interference.gravest(probe.interference for probe in probes if probe.interference is not None)
    where = ", ".join(dict.fromkeys(change.where for change in changes))
    came_back = ", ".join(dict.fromkeys(change.where for change in changes if change.direction != "request"))
    quoted = ", ".join(dict.fromkeys(change.where for change in changes if change.direction == "request"))
    shown = [f"{quoted} already changed in what routers quote of a request that expired on its way"] if quoted else []
    at_hop = bool(quoted and seen.located)
    who = judge_taken.sentence(judge_taken.names(seen.located)) if at_hop else "Something on the path"
    does = "rewrite" if at_hop and len(seen.located or ()) > 1 else "rewrites"
    whose = f", by {'them' if does == 'rewrite' else 'it'} or another box" if at_hop else ""
    shown += [f"{came_back} came back otherwise than a server may return it{whose}"] if came_back else []
    harms = "; ".join(dict.fromkeys(harm.text for probe in probes for harm in probe.harms))
    beside = f" The answers on {' and '.join(others)} show no such thing." if others else ""
    moved = all(change.where in FROM_ELSEWHERE for change in changes)
    if moved:
        summary = (
            f"Answers on {name} come from elsewhere ({harms}): something on the path, or a server that answers from another socket.{beside}"
        )
        verdict = Verdict.INCONCLUSIVE
    else:
        tail = ": no meaning is changed by that, but it is an ALG at work" if level == "harmless" else f": {harms}" if harms else ""
        deed = does.replace("rewrite", "handle") if level == "harmless" else does
        summary = f"{who} {deed} SIP on {name} ({'; '.join(shown)}){tail}.{beside}"
        verdict = Verdict.FAIL if level in ("inconsistent", "destructive") else Verdict.WARN if level == "harmless" else expected
    lines = [
        f"{change.message}: {change.where} {change.action}: sent {change.sent!r}, "
        f"{'quoted' if change.direction == 'request' else 'came back'} {change.arrived!r}"
        for change in changes
    ]
    cause = {"inconsistent": "inconsistent", "destructive": "inconsistent", "harmless": "harmless"}.get(level, "rewritten")
    return [
        Finding(
            id="sip-alg.hint" if moved else f"sip-alg.{cause}",
            verdict=verdict,
            subject=name,
            summary=summary,
            expected="an answer repeats Via, From, Call-ID and CSeq as they were sent",
            observed=where,
            evidence=(*lines, *_lines(seen.against, name)),
            reference="RFC 3261 section 8.2.6.2",
        )
    ]


def _lines(against: Against, name: str) -> tuple[str, ...]:
    """What was answered there."""
    return tuple(
        f"{name}, {one.method}: {one.status!r} from {one.source} after {one.after_ms:g} ms, received={one.received or 'none'}, "
        f"rport={one.rport or 'none'}{f', by {one.server!r}' if one.server else ''}"
        for one in against.answers
        if f"{one.transport.upper()} {one.server_port}" == name
    ) or (f"asked {against.target} on {name}",)


def summarize_against(findings: tuple[Finding, ...]) -> str:
    """One sentence."""
    return findings[0].summary.partition(". ")[0].rstrip(".") if findings else "nothing was tested"
