"""What one side can tell: from the answers of a server that is not ours to facts, and from facts to findings. Pure.

What proves that something on the path reads SIP:

- The answer's Via, Call-ID, From or CSeq is not the request's: every server repeats them, or no phone could use it.
- ``received`` is this machine's own private address, and over another transport the same server, with a public address, saw another one:
  there is a NAT on the way, so somebody turned it back.
- Somebody answers for an address where nobody is.

What is a hint only: ``received`` is this machine's private address, and nothing else tells of a NAT: a PBX in the router, a server at this
site or behind a VPN does see that address, whatever its own. And ``received`` is missing though Via holds a private address and the server
a public one. RFC 3261 section 18.2.1 wants it there; so either Via was public when it arrived (and was turned back in the answer), or this
server does not tell. Where the same server tells on another transport, the first is likely; two causes fit all the same: both are named.

What proves nothing: a clean answer. An ALG that turns all back on the way home leaves no trace here. So ``none`` is never said.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from edgecheck.checks.sip_alg import interference, judge_taken
from edgecheck.checks.sip_alg.authorship import echo_differences, turned_back
from edgecheck.checks.sip_alg.compare import Difference
from edgecheck.checks.sip_alg.datagrams import source_difference
from edgecheck.checks.sip_alg.log import first_line_of, is_final
from edgecheck.checks.sip_alg.observation import (
    Against,
    Change,
    Channel,
    Direction,
    ForeignAnswer,
    Harm,
    Proof,
    SipAlgObservation,
    SipProbe,
    State,
)
from edgecheck.checks.sip_alg.reading import as_change, as_text, level_of
from edgecheck.checks.sip_alg.taken import Nearer
from edgecheck.model.verdict import Finding, Verdict
from edgecheck.wire import control, sip
from edgecheck.wire.address import Endpoint
from edgecheck.wire.errors import WireError

NO_ACCOUNT = "this server keeps no account for us: what arrived there is not known"
ANOTHER = (
    "Ask a SIP server that is known to answer, your provider's for one, or the same by another way: "
    "edgecheck alg --against 'sip:HOST;transport=tcp', or tls."
)
CANNOT = (
    "From one side alone, SDP, calls that come in and opened ports cannot be seen, nor requests that are rewritten and turned back in the "
    "answer, but over UDP where routers quote them. With an echo server outside (edgecheck run sip-alg edge://...) they can."
)


class Heard(NamedTuple):
    """An answer."""

    data: bytes
    source: Endpoint
    after_s: float
    """Seconds since the copy of the request that left last before it."""

    @property
    def final(self) -> bool:
        return is_final(self.data)


@dataclass(slots=True, kw_only=True)
class Tried:
    """One transport to one port."""

    transport: control.Transport
    server: Endpoint
    local: Endpoint | None = None
    requests: dict[str, bytes] = field(default_factory=dict)
    sent_at: dict[str, list[float]] = field(default_factory=dict)
    answers: dict[str, list[Heard]] = field(default_factory=dict)
    connect_s: float | None = None
    errors: list[str] = field(default_factory=list)
    not_tested: str | None = None
    """Why nothing could be asked, or not to the end."""

    @property
    def name(self) -> str:
        """``UDP 5060``."""
        return f"{self.transport.upper()} {self.server.port}"


def read(target: str, ways: Sequence[Tried], nobody: Tried, nearer: Nearer) -> SipAlgObservation:
    """The facts."""
    located = judge_taken.whereabouts(nearer)
    probes = tuple(
        _probe(tried, method, _translated(tried, ways)) for tried in ways if tried.local is not None for method in tried.requests
    )
    answers = tuple(_answer(tried, method, heard) for tried in ways for method in tried.answers for heard in tried.answers[method])
    levels = [probe.interference for probe in probes if probe.interference not in (None, "none")]
    stranger = next((heard for heard_all in nobody.answers.values() for heard in heard_all), None)
    levels += ["rewriting"] if nearer.taken is not None and nearer.taken.taken else []
    level = interference.gravest(one for one in levels if one is not None) if levels else None
    return SipAlgObservation(
        interference="destructive" if stranger is not None else level,
        probes=probes,
        located=located,
        located_reason="" if located else judge_taken.why_not(nearer),
        channels=tuple(_channel(tried) for tried in ways),
        mirror=NO_ACCOUNT,
        incoming_reason=NO_ACCOUNT,
        against=Against(
            target=target,
            server=ways[0].server.host,
            answers=answers,
            hints=(*_hints(ways), *judge_taken.hints(nearer)),
            nobody_answered=None if nobody.not_tested or nobody.local is None else stranger is not None,
            nobody=str(nobody.server),
            nobody_said=first_line_of(stranger.data) if stranger is not None else "",
        ),
        round_trips=nearer.round_trips,
        taken=tuple(one for one in (nearer.taken, nearer.nobody) if one is not None),
    )


def _translated(tried: Tried, ways: Sequence[Tried]) -> str:
    """On which other way, and as what, the same server saw this machine at another address; empty: on none."""
    return next(
        (
            f"{other.name} it saw {seen}"
            for other in ways
            if other is not tried and other.local is not None and tried.local is not None and other.server.host == tried.server.host
            for seen in _received(other)
            if seen not in (other.local.host, tried.local.host) and not interference.is_private(seen)
        ),
        "",
    )


def _received(tried: Tried) -> list[str]:
    """Where final answers say that the request came from."""
    finals = [heard for heard_all in tried.answers.values() for heard in heard_all if heard.final]
    return [received for heard in finals if (received := (_via(heard.data) or {}).get("received"))]


def _probe(tried: Tried, method: str, translated: str) -> SipProbe:
    assert tried.local is not None
    request, heard = tried.requests[method], tried.answers.get(method, [])
    changes: dict[tuple[str, str], Change] = {}
    harms: list[Harm] = []
    proofs: list[Proof] = []
    for answer in heard:
        found: list[tuple[Direction | None, Difference]] = [
            (None, d) for d in echo_differences(request, answer.data) if not _same_meaning(d)
        ]
        if translated and (turned := turned_back(request, answer.data, tried.local, tried.server)) is not None:
            found.append(("response", turned))
        if answer.source != tried.server:
            found.append(("response", source_difference(tried.server, answer.source)))
            text = f"the answer comes from {answer.source} instead of {tried.server}: many phones never see it"
            harms.append(Harm(level="inconsistent", direction="response", text=text))
        if (_via(answer.data) or {}).get("received") == tried.local.host and translated and found:
            text = f"received was turned back to {tried.local.host}, this machine's private address, while on {translated}"
            harms.append(Harm(level="rewriting", direction="response", text=text))
        if found:
            harms += interference.response_harms(request, None, answer.data, [one for _, one in found])
            proofs.append(Proof(direction="response", message=f"answer to {method}", sent=as_text(request), arrived=as_text(answer.data)))
        for direction, one in found:
            changes.setdefault((one.where, one.action), as_change(direction, f"answer to {method}", one))
    copies = len(tried.sent_at.get(method, ()))
    if heard:
        reason = "" if changes else f"{method}: a clean answer, which proves nothing by itself"
    else:
        reason = f"{method}: no answer to {copies} {'copy' if copies == 1 else 'copies'}"
    unique = tuple({(harm.level, harm.text): harm for harm in harms}.values())
    response: State = "rewritten" if any(change.direction for change in changes.values()) else "undecided"
    level = level_of("undecided", response, list(changes.values()), unique)
    return SipProbe(
        transport=tried.transport,
        server_port=tried.server.port,
        method=method,
        request="undecided",
        response=response,
        changes=tuple(changes.values()),
        interference=level,
        harms=unique,
        reason=reason,
        proofs=tuple(proofs[:1]),
    )


def _same_meaning(difference: Difference) -> bool:
    """A From written anew by the server: angle brackets or a display name more or less."""
    if difference.where != "From":
        return False
    sent, told = difference.sent, difference.arrived
    return sip.address_uri(sent) == sip.address_uri(told) and sip.parameters(sent).get("tag") == sip.parameters(told).get("tag")


def _via(data: bytes) -> dict[str, str] | None:
    """The parameters of the topmost Via."""
    try:
        values = sip.parse_datagram(data).all("Via")
    except WireError:
        return None
    return sip.parameters((sip.split_addresses(values[0]) or [""])[0]) if values else None


def _answer(tried: Tried, method: str, heard: Heard) -> ForeignAnswer:
    via = _via(heard.data) or {}
    server = None
    try:
        message = sip.parse_datagram(heard.data)
        server = message.get("Server") or message.get("User-Agent")
    except WireError:
        pass
    return ForeignAnswer(
        transport=tried.transport,
        server_port=tried.server.port,
        method=method,
        status=first_line_of(heard.data),
        source=str(heard.source),
        server=server,
        received=via.get("received"),
        rport=via.get("rport") or None,
        after_ms=round(heard.after_s * 1000, 1),
    )


def _channel(tried: Tried) -> Channel:
    return Channel(
        transport=tried.transport,
        server_port=tried.server.port,
        local=str(tried.local) if tried.local else None,
        not_tested=tried.not_tested,
        silent=not tried.answers,
        errors=tuple(dict.fromkeys(tried.errors)),
    )


def _hints(ways: Sequence[Tried]) -> tuple[str, ...]:
    """``received`` missing where it should stand."""
    telling: list[str] = []
    silent: list[str] = []
    hints: list[str] = []
    for tried in ways:
        if tried.local is None or not interference.is_private(tried.local.host) or interference.is_private(tried.server.host):
            continue
        if tried.local.host in _received(tried) and not _translated(tried, ways):
            hints.append(
                f"{tried.name}: this server has a public address and says that it saw {tried.local.host}, this machine's private one: "
                "either something rewrites Via and turns it back in the answer, or no NAT stands between (a PBX in the router, a server at "
                "this site, a VPN)"
            )
        elif _received(tried):
            telling.append(tried.name)
        elif any(heard.final for heard_all in tried.answers.values() for heard in heard_all):
            silent.append(tried.name)
    for name in silent:
        if telling:
            hints.append(
                f"{name}: the answer names no other address than Via's, while on {', '.join(telling)} the same server saw another one: "
                f"either something rewrites Via on {name} and turns it back in the answer, or this server tells on some ports only"
            )
        else:
            hints.append(
                f"{name}: the answer does not say that the request came from elsewhere than its private Via, as RFC 3261 section 18.2.1 "
                "wants: either something rewrites Via and turns it back, or this server never says so"
            )
    return tuple(hints)


def judge_against(seen: SipAlgObservation, expected: Verdict) -> tuple[Finding, ...]:
    """Gravest first. Nothing here passes: one side cannot say that nothing is there."""
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
                summary=f"The answers on {' and '.join(clean)} show no trace of an ALG, which does not prove that there is none.",
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
    shown = [f"{came_back} came back otherwise than a server may return it"] if came_back else []
    shown += [f"{quoted} already changed in what routers quote of a request that expired on its way"] if quoted else []
    who = judge_taken.sentence(judge_taken.names(seen.located)) if quoted else "Something on the path"
    does = "rewrite" if quoted and len(seen.located or ()) > 1 else "rewrites"
    harms = "; ".join(dict.fromkeys(harm.text for probe in probes for harm in probe.harms))
    beside = f" The answers on {' and '.join(others)} show no such thing." if others else ""
    moved = all(change.where in ("source address", "source port") for change in changes)
    if moved:
        summary = (
            f"Answers on {name} come from elsewhere ({harms}): something on the path, or a server that answers from another socket.{beside}"
        )
        verdict = Verdict.INCONCLUSIVE
    else:
        tail = f": {harms}" if harms else ""
        summary = f"{who} {does} SIP on {name} ({'; '.join(shown)}){tail}.{beside}"
        verdict = Verdict.FAIL if level in ("inconsistent", "destructive") else expected
    lines = [
        f"{change.message}: {change.where} {change.action}: sent {change.sent!r}, "
        f"{'quoted' if change.direction == 'request' else 'came back'} {change.arrived!r}"
        for change in changes
    ]
    cause = "inconsistent" if level in ("inconsistent", "destructive") and not moved else "rewritten"
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
