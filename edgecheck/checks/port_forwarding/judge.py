"""What is said of an observation. Pure: a saved report is judged by the same lines."""

from edgecheck.checks.port_forwarding.held_words import answered, asked
from edgecheck.checks.port_forwarding.observation import Cause, ForwardingObservation, PortRow, State
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Finding, Verdict
from edgecheck.wire import ports as port_ranges


def judge(seen: ForwardingObservation, profile: Profile) -> tuple[Finding, ...]:
    """One finding for each state of TCP or UDP ports that share it; a required port that is closed as the profile expects."""
    findings: list[Finding] = []
    for key in dict.fromkeys(map(_alike, seen.ports)):
        rows = [row for row in seen.ports if _alike(row) == key]
        findings.append(_finding(seen, profile, rows[0].state, rows))
    return tuple(findings)


def _alike(row: PortRow) -> tuple[object, ...]:
    """Ports of which the same can be said."""
    service = (row.owner, row.answered_here, row.unused) if row.asked or row.unused else ()
    return row.transport, row.state, row.required, row.reason if row.state == "undecided" else row.answered_by, service


def _finding(seen: ForwardingObservation, profile: Profile, state: State, rows: list[PortRow]) -> Finding:
    breach = {"fail": Verdict.FAIL, "warn": Verdict.WARN, "ignore": Verdict.PASS}[profile.expect.forwarding]
    if breach is Verdict.FAIL and not rows[0].required:
        breach = Verdict.WARN
    verdict = {
        "forwarded": Verdict.PASS,
        "blocked": breach,
        "refused": breach,
        "answered": Verdict.INCONCLUSIVE,
        "undecided": Verdict.INCONCLUSIVE,
    }[state]
    cause: State | Cause = state
    if rows[0].unused:
        cause, verdict = "not-tested", Verdict.SKIPPED
    elif rows[0].answered_here:
        verdict = Verdict.PASS
    elif rows[0].answered_here is False:
        cause, verdict = "wrong-host", breach
    transport = rows[0].transport
    subject = f"{transport.upper()} {port_ranges.text(port_ranges.compress(row.port for row in rows))}"
    purposes = ", ".join(dict.fromkeys(row.purpose for row in rows))
    blocked, refused = "never arrives: nothing unsolicited gets in there.", ": it is not forwarded to a listening port of this machine."
    if breach is Verdict.PASS:
        blocked, refused = "does not come in unasked, which this profile does not need.", ", which this profile does not need."
    summary = {
        "forwarded": f"{subject} ({purposes}) arrives: unsolicited packets reach this machine.",
        "blocked": f"{subject} ({purposes}) {blocked}",
        "refused": f"{subject} ({purposes}) is refused by {rows[0].answered_by}{refused}",
        "answered": f"{subject} ({purposes}) {answered(rows[0])}",
        "undecided": f"{subject} ({purposes}) could not be told: {rows[0].reason.rstrip('.')}.",
        "not-tested": f"{subject} ({purposes}) was not tested: {rows[0].reason}.",
        "wrong-host": f"{subject} ({purposes}) {answered(rows[0])}",
    }[cause]
    return Finding(
        id=f"port-forwarding.{cause}",
        verdict=verdict,
        subject=subject,
        summary=summary,
        expected="forwarded to this machine",
        observed=state,
        evidence=_evidence(seen, rows),
        reference="RFC 4787 section 5",
    )


def _evidence(seen: ForwardingObservation, rows: list[PortRow]) -> tuple[str, ...]:
    sent = "connection attempts" if rows[0].transport == "tcp" else "probes"
    if rows[0].unused:
        return ()
    if rows[0].asked:
        return tuple(line for row in rows[:12] for line in asked(row, seen.prober, seen.probed_address))
    out = [
        f"{row.transport.upper()} {row.port}: {row.copies} {sent} from {seen.prober} to {seen.probed_address}:{row.port}, "
        + (f"{row.arrived} arrived" if row.transport == "udp" else f"{'one' if row.arrived else 'none'} answered with the nonce")
        + (f" ({row.reason})" if row.reason else "")
        for row in rows[:24]
    ]
    canaries = seen.udp if rows[0].transport == "udp" else seen.tcp
    if canaries.control_sent:
        out.append(f"control from the contacted address: {canaries.control_arrived} of {canaries.control_sent} arrived")
    if canaries.bare:
        out.append(f"ports that no rule should name: {canaries.bare_reached} of {canaries.bare} were reached from {seen.prober}")
    if canaries.mapped_reached is not None:
        out.append(f"a used port was {'reached' if canaries.mapped_reached else 'not reached'} from {seen.prober}")
    if seen.alternate_contacted_s is not None:
        out.append(f"{seen.prober} had been contacted from here {seen.alternate_contacted_s:.0f} s before")
    if seen.alternate_answers is not None:
        out.append(f"contacted afterwards over UDP, {seen.prober} " + ("answered" if seen.alternate_answers else "did not answer"))
    if seen.alternate_connects is not None:
        out.append(f"contacted afterwards over TCP, {seen.prober} " + ("answered" if seen.alternate_connects else "did not answer"))
    return tuple(out)


def summarize(seen: ForwardingObservation, findings: tuple[Finding, ...]) -> str:
    """``5060/udp, 5060/tcp arrive; 5061/tcp never arrives``"""
    unneeded = {finding.observed for finding in findings if finding.verdict is Verdict.PASS} - {"forwarded", "answered"}
    words = {
        "forwarded": ("arrives", "arrive"),
        "blocked": ("never arrives", "never arrive"),
        "refused": ("is refused", "are refused"),
        "answered": ("is answered by something else", "are answered by something else"),
        "here": ("is answered by the service that holds it here", "are answered by the services that hold them here"),
        "another": ("is answered by another device", "are answered by another device"),
        "unused": ("was not tested", "were not tested"),
        "undecided": ("could not be told", "could not be told"),
    }
    if "blocked" in unneeded:
        words["blocked"] = ("does not come in unasked", "do not come in unasked")
    parts = []
    for state, (one, many) in words.items():
        ports = [f"{row.port}/{row.transport}" for row in seen.ports if _told_as(row) == state]
        if ports:
            verb = (one if len(ports) == 1 else many) + ", which this profile does not need" * (state in unneeded)
            parts.append(f"{', '.join(ports[:6])}{' ...' if len(ports) > 6 else ''} {verb}")
    return "; ".join(parts)


def _told_as(row: PortRow) -> str:
    """The state, and for a port that something holds what became of asking it."""
    if row.unused:
        return "unused"
    return {True: "here", False: "another", None: row.state}[row.answered_here] if row.state == "answered" else row.state
