"""From ports to findings. Pure: a saved observation is judged anew.

What is closed counts as far as the profile needs it: its ports with ``direction = "out"``; where it names none, SIP's usual ones and
RTP. A port that is closed and needed by nobody is told, and held against nobody.
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from edgecheck.checks.outbound.aims import OWN_SERVERS, transport_of
from edgecheck.checks.outbound.observation import OutboundObservation, OutboundTarget
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Finding, Verdict
from edgecheck.wire import ports
from edgecheck.wire.control import Transport

SIGNALING: tuple[tuple[Transport, int], ...] = (("udp", 5060), ("tcp", 5060), ("tls", 5061))
"""What SIP uses where the profile says nothing."""
CONTROL = "control channel"
FEWEST_UDP = 4
"""Closed UDP ports of different kinds from which on it is UDP itself that does not pass."""
_MOST_NAMED = 5


def judge(seen: OutboundObservation, profile: Profile) -> tuple[Finding, ...]:
    """One finding for each kind of trouble, one for what is open."""
    if not seen.session:
        return (_without_session(seen),)
    findings: list[Finding] = []
    trouble = [row for row in seen.targets if row.state in ("blocked", "refused", "intercepted", "undecided")]
    trouble = [row for row in trouble if row.purpose != CONTROL]  # the session's own finding fails for it
    if seen.captive_portal is not None:
        trouble = [row for row in trouble if (row.transport, row.port) != ("tcp", 80)]
    if seen.dns_intercepted:
        findings.append(_dns(seen))
    trouble = [row for row in trouble if not (row.port in OWN_SERVERS and row.state == "intercepted")]
    if udp_is_blocked(seen):
        findings.append(_udp_blocked(seen, profile))
        trouble = [row for row in trouble if row.transport != "udp"]
    weights = {row.name: weight(row, seen, profile) for row in trouble}
    for cause in ("blocked", "refused", "intercepted"):
        closed = [row for row in trouble if row.state == cause and row.side in _PROVED]
        for verdict in (Verdict.FAIL, Verdict.WARN):
            rows = [row for row in closed if weights[row.name] is verdict]
            for how in dict.fromkeys(map(_how, rows)):
                findings.append(_closed(cause, verdict, [row for row in rows if _how(row) == how], seen))
    unsure = [row for row in trouble if row.side not in _PROVED and weights[row.name] is not None]
    one_way = [row for row in unsure if row.arrived and row.side is not None]
    for rows, told in ((one_way, _one_way), ([row for row in unsure if row not in one_way], _undecided)):
        if rows:
            findings.append(told(rows))
    if seen.captive_portal is not None:
        needed = any(one is not None for one in weights.values()) or _needs_web(profile) or any(f.verdict is Verdict.FAIL for f in findings)
        findings.insert(0, _portal(seen) if needed else _web_proxy(seen))
    unneeded = [row for row in trouble if weights[row.name] is None]
    if unneeded:
        findings.append(_limited(unneeded))
    own_needs = any(need.direction == "out" for need in profile.ports)  # else a server on other ports has what is to be tested
    missing = [row for row in seen.targets if row.state == "not-offered" and weight(row, seen, profile) is not None] if own_needs else []
    if missing:
        findings.append(_not_offered(missing))
    opened = [row for row in seen.targets if row.state == "open"]
    if opened:
        findings.append(_open(opened))
    return tuple(findings)


def weight(row: OutboundTarget, seen: OutboundObservation, profile: Profile) -> Verdict | None:
    """What it is worth that this port is closed; None = nothing."""
    tls: set[tuple[Transport, int]] = {("tls", one.port) for one in seen.targets if one.transport == "tls"}
    named = {
        (transport_of(need.transport, port, tls), port): need.required
        for need in profile.ports
        if need.direction == "out"
        for port in ports.expand(ports.parse(need.ports))
        if port not in OWN_SERVERS
    }
    if row.purpose == "RTP":
        return Verdict.FAIL if profile.rtp is not None else None
    if row.state == "intercepted" and row.transport == "tls":
        return Verdict.FAIL  # whoever opens one TLS connection opens a phone's too
    if named:
        required = named.get((row.transport, row.port))
        return None if required is None else Verdict.FAIL if required else Verdict.WARN
    if not _is_signaling(row):
        return None
    usual = [one for one in seen.targets if _is_signaling(one) and one.state != "not-offered"]
    return Verdict.FAIL if all(one.state != "open" and one.side in _PROVED for one in usual) else Verdict.WARN


def _is_signaling(row: OutboundTarget) -> bool:
    """SIP on its usual ports, or on those that this server has instead."""
    return (row.transport, row.port) in SIGNALING or row.purpose == "SIP"


def udp_is_blocked(seen: OutboundObservation) -> bool:
    """No UDP port answers, others reach some of them, and TCP passes."""
    udp = [row for row in seen.targets if row.transport == "udp" and row.state != "not-offered"]
    closed = all(
        row.state in ("blocked", "refused") or (row.state == "undecided" and row.arrived == 0 and row.side == "unknown") for row in udp
    )
    proved = any(row.state in ("blocked", "refused") and row.side == "network" for row in udp)
    return len(udp) >= FEWEST_UDP and closed and proved and any(row.state == "open" and row.transport != "udp" for row in seen.targets)


def names(rows: Iterable[OutboundTarget]) -> str:
    """``UDP 5060, TCP 5060``; RTP ports as ranges."""
    out = [row.name for row in rows if row.purpose != "RTP"]
    rtp = [row.port for row in rows if row.purpose == "RTP"]
    out += [f"RTP (UDP {min(rtp)} to {max(rtp)}, {len(rtp)} tried)"] if rtp else []
    if len(out) <= _MOST_NAMED:
        return ", ".join(out)
    return f"{', '.join(out[: _MOST_NAMED - 1])} and {len(out) - _MOST_NAMED + 1} more"


def evidence(rows: Iterable[OutboundTarget]) -> tuple[str, ...]:
    """What both ends saw of each, a sentence a port."""
    out = []
    for row in rows:
        if row.transport == "udp":
            came = f", {row.arrived} came to the server" if row.arrived is not None else ""
            line = f"{row.name}: {row.answered} of {row.copies} copies answered{came}"
        else:
            line = f"{row.name}: {row.answered} of {row.copies} connections answered"
        if row.control_copies and row.state != "open":
            line += f"; open ports in the same moments: {row.control} of {row.control_copies}"
        if row.new_copies:
            line += f"; from new ports none of {row.new_copies} copies, of open ports {row.new_control} of {row.new_control_copies}"
        if row.state != "open" and row.reached_by_others is not None:
            line += f"; others {'have' if row.reached_by_others else 'are not known to have'} reached it"
        if row.answered_by:
            line += f"; answered by: {row.answered_by}"
        out.append(f"{line}{f'; {row.reason}' if row.reason else ''}")
    return tuple(out)


def _way_round(seen: OutboundObservation) -> str:
    """What a phone could use instead, in the order in which one would."""
    wanted: tuple[tuple[Transport, int], ...] = (
        ("tls", 5061),
        ("tls", 443),
        ("tcp", 5060),
        ("udp", 5060),
        ("udp", 5080),
        ("tcp", 5080),
        ("tcp", 5090),
    )
    states = {(row.transport, row.port): row.state for row in seen.targets}
    found = [f"{transport.upper()} {port}" for transport, port in wanted if states.get((transport, port)) == "open"]
    return f" Open instead: {', '.join(found[:3])}." if found else ""


_PROVED = ("machine", "network")
"""Sides of which a finding may speak."""
CLOSED = {
    "blocked": "No packet to {} gets from here to the server, and others' do: this machine's own firewall, this network or its provider "
    "drops them",
    "refused": "Something on the way out refuses {}",
    "intercepted": "Something on the path answers {} in the server's place",
}
"""What is said of each state."""
_CLOSER = {
    "no-sip": "SIP to {} does not pass between here and the server, other packets to the same port do: something on the path filters SIP",
    "unsent": "This machine's own system refuses to send to {}: look at its firewall",
}
"""... where more is known."""
WORDS = CLOSED | _CLOSER


def _how(row: OutboundTarget) -> tuple[str, str | None]:
    """What is told in one finding: whose words, and who it was."""
    if row.certificate_issuer is not None:
        return "certificate", None
    if row.side == "machine":
        return "unsent", None
    return "no-sip" if row.state == "blocked" and row.plain_answered else row.state, row.offender


def _needs_web(profile: Profile) -> bool:
    return any(need.direction == "out" and need.required and 80 in ports.expand(ports.parse(need.ports)) for need in profile.ports)


ANOTHER_CERTIFICATE = "another certificate"
"""What is observed where TLS is not the server's."""


def _closed(cause: str, verdict: Verdict, rows: Sequence[OutboundTarget], seen: OutboundObservation) -> Finding:
    what = names(rows)
    issuers = " and ".join(dict.fromkeys(f'"{row.certificate_issuer}"' for row in rows if row.certificate_issuer is not None))
    how, who = _how(rows[0])
    text = f"Something on the path shows its own certificate (issuer: {issuers}) on {what}" if issuers else WORDS[how].format(what)
    if how == "refused" and who is not None:
        text = f"{who} refuses {what} on the way out"
    return Finding(
        id=f"outbound.{cause}",
        verdict=verdict,
        subject=what,
        summary=f"{text}.{_way_round(seen)}",
        expected="open",
        observed=ANOTHER_CERTIFICATE if issuers else cause,
        evidence=evidence(rows),
    )


def _udp_blocked(seen: OutboundObservation, profile: Profile) -> Finding:
    rows = [row for row in seen.targets if row.transport == "udp" and row.state != "not-offered"]
    opened = [row for row in seen.targets if row.transport != "udp" and row.state == "open"]
    needs_udp = (
        profile.rtp is not None
        or not any(need.direction == "out" for need in profile.ports)
        or any(need.direction == "out" and need.transport == "udp" for need in profile.ports)
    )
    return Finding(
        id="outbound.udp-blocked",
        verdict=Verdict.FAIL if needs_udp else Verdict.WARN,
        subject="UDP",
        summary=f"No UDP leaves this network, while {names(opened)} can be reached: calls need their audio over UDP, "
        "or through a TURN server over TCP or TLS.",
        expected="UDP passes",
        observed=f"none of {len(rows)} UDP ports answers",
        evidence=evidence([*rows, *opened]),
    )


def _portal(seen: OutboundObservation) -> Finding:
    rows = [row for row in seen.targets if (row.transport, row.port) == ("tcp", 80)]
    return Finding(
        id="outbound.captive-portal",
        verdict=Verdict.FAIL,
        subject="TCP 80",
        summary=f"A captive portal or web proxy answers in the server's place ({seen.captive_portal}): "
        "log in to this network with a browser, or have this machine exempted.",
        expected="the echo server's own answer",
        observed=seen.captive_portal or "",
        evidence=evidence(rows),
        reference="RFC 8952",
    )


def _web_proxy(seen: OutboundObservation) -> Finding:
    """The same answer where all that calls need passes: nobody has to log in anywhere for them."""
    return replace(
        _portal(seen),
        id="outbound.web-proxy",
        verdict=Verdict.WARN,
        summary=f"A web proxy or portal answers on TCP 80 in the server's place ({seen.captive_portal}); "
        "what calls need passes all the same.",
    )


def _dns(seen: OutboundObservation) -> Finding:
    return Finding(
        id="outbound.dns-intercepted",
        verdict=Verdict.WARN,
        subject="DNS",
        summary="This network answers DNS questions that are meant for another server: a phone or PBX hears what the network wants, "
        "whichever DNS server it is set to.",
        expected="no answer: the echo server answers no DNS",
        observed="an answer",
        evidence=(
            f"a question for a name that cannot exist, sent to {seen.server} port 53, was answered from there",
            "the echo server sends no DNS answers",
        ),
    )


def _one_way(rows: Sequence[OutboundTarget]) -> Finding:
    text = (
        f"What is sent to {names(rows)} reaches the server, and no answer comes back: this machine's own firewall, this network, its "
        "provider or the firewall of the server keeps the answers."
    )
    return _of(rows, id="outbound.undecided", verdict=Verdict.INCONCLUSIVE, summary=text)


def _undecided(rows: Sequence[OutboundTarget]) -> Finding:
    reasons = list(dict.fromkeys(row.reason for row in rows))
    more = "" if len(reasons) == 1 else ", among other reasons"
    text = f"Whether this network lets {names(rows)} out could not be told: {reasons[0]}{more}."
    return _of(rows, id="outbound.undecided", verdict=Verdict.INCONCLUSIVE, summary=text)


def _limited(rows: Sequence[OutboundTarget]) -> Finding:
    text = f"Nothing that this profile needs: {_not_passing(rows)}."
    return _of(rows, id="outbound.limited", verdict=Verdict.PASS, summary=text)


def _not_passing(rows: Sequence[OutboundTarget]) -> str:
    """What is closed, and apart from it of what nothing is known."""
    untold = [row for row in rows if row.state == "undecided"]
    closed = [row for row in rows if row.state != "undecided"]
    parts = [f"{names(closed)} {'is' if len(closed) == 1 else 'are'} not open"] if closed else []
    parts += [f"whether {names(untold)} {'is' if len(untold) == 1 else 'are'} open could not be told"] if untold else []
    return ", and ".join(parts)


def _open(rows: Sequence[OutboundTarget]) -> Finding:
    text = f"This network lets {names(rows)} out, and the answers back."
    return _of(rows, id="outbound.open", verdict=Verdict.PASS, summary=text, expected="open")


def _of(rows: Sequence[OutboundTarget], *, id: str, verdict: Verdict, summary: str, expected: str = "") -> Finding:
    """What is said of these ports alike, with their states as they are."""
    return Finding(
        id=id,
        verdict=verdict,
        subject=names(rows),
        summary=summary,
        expected=expected,
        observed=", ".join(dict.fromkeys(row.state for row in rows)),
        evidence=evidence(rows),
    )


def _not_offered(rows: Sequence[OutboundTarget]) -> Finding:
    return Finding(
        id="outbound.not-offered",
        verdict=Verdict.SKIPPED,
        subject=names(rows),
        summary=f"Not tested: the echo server does not answer on {names(rows)}.",
    )


def _without_session(seen: OutboundObservation) -> Finding:
    opened = [row for row in seen.targets if row.state == "open"]
    strange = [row for row in seen.targets if row.state == "intercepted"]
    refused = [row for row in seen.targets if row.state == "refused"]
    if opened:
        text = (
            f"No session came about, and at the same address {names(opened)} answers: the server is there. Where its control port is "
            "silent or refuses, a firewall here or there closes it (--control-port 443 mostly passes), or it is another port"
        )
        if strange:
            text += f". But on {names(strange)} something else answers in its place: a captive portal (log in with a browser) or a proxy"
    elif strange:
        who = "a captive portal, a proxy, or another server"
        text = f"Nothing at {seen.server} answers as an echo server, something else does on {names(strange)}: {who}"
    elif any(row.side in _PROVED for row in refused):
        who = " and ".join(dict.fromkeys(row.offender for row in refused if row.offender and row.side in _PROVED))
        text = (
            f"{who or 'This machine itself'}, on this side, refuses {names(row for row in refused if row.side in _PROVED)} on the way to "
            f"{seen.server}, and nothing answers: a firewall that lets out nothing, or a network in which only a proxy leads out"
        )
    elif refused:
        text = (
            f"{seen.server} refuses {names(refused)} and answers nothing: edgecheck-server does not run there, or a firewall is before it"
        )
    else:
        text = (
            f"Nothing at {seen.server} answers on any port: it is off, the address is wrong, or a firewall on either side drops everything"
        )
    tried = [row for row in seen.targets if row.state != "not-offered"]
    return Finding(
        id="outbound.no-session",
        verdict=Verdict.INCONCLUSIVE,
        subject=seen.server,
        summary=f"{text}.",
        observed=f"{len(opened)} of {len(tried)} ports answer",
        evidence=evidence(tried),
    )


def summarize(seen: OutboundObservation, findings: tuple[Finding, ...]) -> str:
    """``UDP 5060 and 12 more are open; TCP 5090 is not``."""
    worst = next((one for one in findings if one.verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE)), None)
    worst = worst or next((one for one in findings if one.verdict is Verdict.WARN), None)
    if worst is not None:
        return worst.summary.rstrip(".")
    opened = [row for row in seen.targets if row.state == "open"]
    closed = [row for row in seen.targets if row.state in ("blocked", "refused", "undecided", "intercepted")]
    return f"{names(opened)} pass{f'; not needed: {_not_passing(closed)}' if closed else ''}" if opened else "nothing could be tested"
