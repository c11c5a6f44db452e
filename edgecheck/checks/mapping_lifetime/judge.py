"""From lifetimes to findings. Pure: a saved observation is judged anew.

Who is reached through an edge (a phone at home, a PBX whose trunk registers) is reachable for as long as its mapping lives, and every
keep-alive must come before that. So the measure is the keep-alive that devices really send:

- below 20 s a mapping *fails*: RFC 5626 section 4.4 has UDP keep-alives sent every 24 to 29 s, made for NATs that forget after 30;
- below 45 s it is a *warning*: 30 s, the commonest setting, comes too late or leaves no margin. Linux routers (30 s) are here;
- from 45 s on it *passes*, and the keep-alive that fits is told.

RFC 4787 REQ-5 asks for two minutes at least; many routers that work have less, so that alone is told and not held against them.
"""

from msgspec.structs import replace

from edgecheck.checks.mapping_lifetime.bounds import of_kind, sip_apart, span
from edgecheck.checks.mapping_lifetime.judge_tcp import judge_tcp
from edgecheck.checks.mapping_lifetime.observation import Bounds, IdlePoint, Kind, LifetimeObservation
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Finding, Verdict

ENOUGH_S = 45
VERY_SHORT_S = 20
REQUIRED_S = 120
"""RFC 4787 REQ-5."""
SHORTEST_EXPIRY_S = 60
"""Registrars mostly refuse a shorter one (423 Interval Too Brief)."""
_SUBJECT: dict[Kind, str] = {"packet": "idle UDP mapping", "stream": "mapping of a stream"}
_REFERENCE = "RFC 4787 section 4.3, REQ-5"


def judge(seen: LifetimeObservation, profile: Profile) -> tuple[Finding, ...]:
    """One finding for what is left after one exchange, one for streams, one for idle TCP connections where they were asked for."""
    of_tcp = () if seen.tcp_s is None else (judge_tcp(seen, seen.tcp_s),)
    if seen.lets_in_all:
        return (_not_applicable(seen), *of_tcp)
    if seen.udp_s[0] is None and all(point.kind == "tcp" for point in seen.points):
        return (_undecided(seen, "packet", seen.udp_s, seen.reasons.get("udp_s", "no reason noted")), *of_tcp)
    lived = [_lifetime(seen, "packet", seen.udp_s, "udp_s"), _lifetime(seen, "stream", seen.udp_stream_s, "udp_stream_s")]
    decided = all(finding.verdict is not Verdict.INCONCLUSIVE for finding in lived)
    return (*lived, *_sip_apart(seen), *of_tcp, *(_settings(seen) if decided else ()))


def _lifetime(seen: LifetimeObservation, kind: Kind, lived: Bounds, field: str) -> Finding:
    low, high = lived
    if low is None:
        return _undecided(seen, kind, lived, seen.reasons.get(field, "no reason noted"))
    what = "An idle UDP mapping" if kind == "packet" else "The mapping of a stream, once that pauses,"
    does = f"{what} lives {span(lived)}"

    def finding(id: str, verdict: Verdict, what_follows: str) -> Finding:
        return Finding(
            id=id,
            verdict=verdict,
            subject=_SUBJECT[kind],
            summary=f"{does}: {what_follows}.",
            expected=f"{ENOUGH_S} s at least; RFC 4787 asks for {REQUIRED_S} s",
            observed=span(lived),
            evidence=(*_evidence(seen, kind), *_about_inbound(seen)),
            reference=_REFERENCE,
        )

    if high is not None and high <= VERY_SHORT_S:
        late = "ordinary keep-alives (every 24 to 30 s) come too late, and in between nothing from outside gets in"
        return finding(id="mapping-lifetime.very-short", verdict=Verdict.FAIL, what_follows=late)
    if high is not None and high <= ENOUGH_S and low >= VERY_SHORT_S:
        late = "comes too late" if high <= 30 else "leaves hardly any margin"
        return finding(id="mapping-lifetime.short", verdict=Verdict.WARN, what_follows=f"a keep-alive every 30 s {late}{_instead(seen)}")
    if low >= ENOUGH_S:
        less = f" (RFC 4787 asks for {REQUIRED_S} s)" if high is not None and high <= REQUIRED_S and low < REQUIRED_S else ""
        return finding(id="mapping-lifetime.long-enough", verdict=Verdict.PASS, what_follows=f"a keep-alive every 30 s holds it{less}")
    why = next((point.reason for point in of_kind(seen.points, kind) if point.alive is None and point.reason), "")
    return _undecided(seen, kind, lived, f"{span(lived)} is all that was proved{f'; then {why}' if why else ''}")


def _undecided(seen: LifetimeObservation, kind: Kind, lived: Bounds, reason: str) -> Finding:
    return Finding(
        id="mapping-lifetime.undecided",
        verdict=Verdict.INCONCLUSIVE,
        subject=_SUBJECT[kind],
        summary=f"How long {'an idle UDP mapping' if kind == 'packet' else 'the mapping of a stream'} lives could not be told: {reason}.",
        observed=span(lived) if lived[0] is not None else "",
        evidence=_evidence(seen, kind),
        reference=_REFERENCE,
    )


def _sip_apart(seen: LifetimeObservation) -> tuple[Finding, ...]:
    """SIP's own port, where it is proved to be treated apart."""
    how = sip_apart(seen)
    if how is None:
        return ()
    others = f"an ordinary UDP mapping {span(seen.udp_s)}" + (
        f", that of a stream {span(seen.udp_stream_s)}" if seen.udp_stream_s[0] is not None else ""
    )
    made = Finding(
        id="mapping-lifetime.sip-longer",
        verdict=Verdict.WARN,
        subject="mapping made by SIP",
        summary=f"A mapping made by SIP lives {span(seen.sip_s)}, {others}: something on the path treats SIP apart, a SIP ALG "
        "or a rule for its port. sip-alg tells whether it changes anything.",
        expected=others,
        observed=span(seen.sip_s),
        evidence=(*_evidence(seen, "sip"), *_evidence(seen, "packet")),
        reference=_REFERENCE,
    )
    if how == "longer":
        return (made,)
    text = f"A mapping made by SIP lives {span(seen.sip_s)} only, {others}: something on the path forgets SIP sooner than the rest."
    return (replace(made, id="mapping-lifetime.sip-shorter", summary=text),)


def _settings(seen: LifetimeObservation) -> tuple[Finding, ...]:
    """What to set, where a keep-alive would hold it."""
    every = seen.recommended_keepalive_s
    if every is None:
        return ()
    expiry = (
        f"without keep-alives, a registration expiry of {every} s would do"
        if every >= SHORTEST_EXPIRY_S
        else f"a short registration expiry alone does not do it, most registrars refuse less than {SHORTEST_EXPIRY_S} s"
    )
    proved = [f"{name} lives {span(lived)}" for name, lived in _proved(seen)]
    low, high = seen.tcp_s or (None, None)
    over_tcp = f"; idle TCP connections want one every {low * 2 // 3} s" if low and high is not None and low * 2 // 3 < every else ""
    return (
        Finding(
            id="mapping-lifetime.settings",
            verdict=Verdict.PASS,
            subject="keep-alive",
            summary=f"A keep-alive every {every} s holds UDP mappings. Devices behind this edge: keep-alive or keepalive_interval {every}; "
            f"Asterisk outside: qualify_frequency={every} (pjsip.conf, type=aor); Kamailio outside: natping_interval {every} with SIP "
            f"pings; FreeSWITCH: ping {every} of a gateway; {expiry}{over_tcp}.",
            expected=f"{every} s",
            observed="",
            evidence=tuple(proved),
            reference="RFC 5626 section 4.4",
        ),
    )


def _proved(seen: LifetimeObservation) -> list[tuple[str, Bounds]]:
    rows = (("an idle UDP mapping", seen.udp_s), ("the mapping of a stream", seen.udp_stream_s), ("a mapping made by SIP", seen.sip_s))
    return [(name, lived) for name, lived in rows if lived[0] is not None]


def _not_applicable(seen: LifetimeObservation) -> Finding:
    bare = seen.bare
    return Finding(
        id="mapping-lifetime.not-applicable",
        verdict=Verdict.PASS,
        subject="idle UDP mapping",
        summary="No mapping is needed here: packets get in whether a socket has sent something or not, "
        "so there is no lifetime to measure.",
        observed="unsolicited packets get in",
        evidence=(f"{bare.reached} of {bare.sockets} sockets that had sent nothing were reached from {seen.sender}",) if bare else (),
        reference=_REFERENCE,
    )


def _instead(seen: LifetimeObservation) -> str:
    return f"; every {seen.recommended_keepalive_s} s holds it" if seen.recommended_keepalive_s else ""


def _about_inbound(seen: LifetimeObservation) -> tuple[str, ...]:
    rows = of_kind(seen.points, "inbound")
    if seen.inbound_refreshes is None or not rows:
        return ()
    last = rows[-1]
    if seen.inbound_refreshes:
        return (f"a twin that only received, {len(rows)} times, was still known {last.idle_s} s after it had last sent",)
    return (f"a twin that only received was forgotten {last.idle_s} s after it had last sent, although packets had got in until then",)


def _evidence(seen: LifetimeObservation, kind: Kind) -> tuple[str, ...]:
    sender = seen.sip_sender if kind == "sip" else seen.sender
    return tuple(_told(point, sender) for point in of_kind(seen.points, kind) if point.copies)


def _told(point: IdlePoint, sender: str) -> str:
    said = {True: "alive", False: "dead", None: f"not told: {point.reason}"}[point.alive]
    return (
        f"{point.local} (outside {point.mapped}) idle for {point.idle_s} s: {point.arrived} of {point.copies} copies from {sender} "
        f"arrived, {point.control} of {point.copies} at the control: {said}"
    )


def summarize(seen: LifetimeObservation, findings: tuple[Finding, ...]) -> str:
    """``an idle UDP mapping lives 25 to 30 s, a stream's 90 to 120 s: keep-alive every 16 s``."""
    if seen.udp_s[0] is None:
        return findings[0].summary
    stream = f", that of a stream {span(seen.udp_stream_s)}" if seen.udp_stream_s[0] is not None and seen.udp_stream_s != seen.udp_s else ""
    tcp = f", a TCP connection {span(seen.tcp_s)}" if seen.tcp_s is not None and seen.tcp_s[0] is not None else ""
    setting = ""
    if any(finding.id == "mapping-lifetime.settings" for finding in findings):
        setting = f": set keep-alives (qualify_frequency, keepalive_interval) to {seen.recommended_keepalive_s} s"
    elif not seen.udp_s[0]:
        setting = ": no keep-alive is frequent enough"
    return f"an idle UDP mapping lives {span(seen.udp_s)}{stream}{tcp}{setting}"


def known(seen: LifetimeObservation) -> str:
    """Of a check that was cut short: ``an idle UDP mapping lives at least 45 s``."""
    return ", ".join(f"{name} lives {span(lived)}" for name, lived in _proved(seen))
