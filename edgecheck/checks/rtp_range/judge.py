"""What is said of an observation. Pure: a saved report is judged by the same lines."""

from edgecheck.checks.rtp_range.causes import Blocked, apart, blocked_inward, sentence
from edgecheck.checks.rtp_range.evidence import dropped_at, evidence, evidence_of_cause, evidence_of_hops, short
from edgecheck.checks.rtp_range.observation import RtpObservation
from edgecheck.checks.rtp_range.stretches import MOST_EXAMINED
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Finding, Verdict
from edgecheck.wire import ports as port_ranges
from edgecheck.wire.ports import Ranges


def judge(seen: RtpObservation, profile: Profile) -> tuple[Finding, ...]:
    """Blocked ranges by the profile's expectation; ranges in words, since an end that is off is a typo in a rule."""
    low, high = seen.range
    size = high - low + 1
    inward = {"fail": Verdict.FAIL, "warn": Verdict.WARN, "ignore": Verdict.PASS}[profile.expect.rtp_inbound]
    moved = {"fail": Verdict.FAIL, "warn": Verdict.WARN, "ignore": Verdict.PASS}[profile.expect.preservation]
    proof = evidence(seen)
    findings: list[Finding] = []

    def add(cause: str, verdict: Verdict, ranges: Ranges, summary: str, expected: str, observed: str, why: Blocked | None = None) -> None:
        text = why.text if why else port_ranges.text(ranges)
        subject = short(text) if ranges else f"{low}-{high}"
        findings.append(
            Finding(
                id=f"rtp-range.{cause}",
                verdict=verdict,
                subject=f"UDP {subject}",
                summary=summary,
                expected=expected,
                observed=observed,
                evidence=(
                    *proof,
                    *(evidence_of_cause(seen, why) if why else ()),
                    *(evidence_of_hops(seen, ranges) if cause == "outbound-blocked" else ()),
                ),
                remedies=apart(seen, why) if why else (),
                reference="RFC 3550 section 11",
            )
        )

    for group in blocked_inward(seen):
        text = short(group.text)
        rest = f"; {seen.inbound_open} of {size} ports receive" if seen.inbound_open else ""
        if inward is Verdict.PASS:
            summary = f"RTP to {text} does not come in unasked, which this profile does not need."
            add("inbound-blocked", inward, group.ranges, summary, "every port receives", text)
        elif group.fits:
            summary = f"RTP to {text} {sentence(seen, group)}{rest}."
            add("inbound-blocked", inward, group.ranges, summary, "every port receives", f"{text}: {' or '.join(group.fits)}", group)
        else:
            summary = f"RTP to {text} never arrives from outside{rest}.{_unexamined(seen, group)}"
            add("inbound-blocked", inward, group.ranges, summary, "every port receives", text)
    if seen.outbound_blocked:
        vouched = set(port_ranges.expand(seen.outbound_vouched))
        doubtful = port_ranges.compress(set(port_ranges.expand(seen.outbound_blocked)) - vouched)
        if seen.outbound_vouched:
            text = port_ranges.text(seen.outbound_vouched)
            summary = f"RTP from {text} does not get out: it never reaches the server, where other clients' packets arrive."
            summary += dropped_at(seen, seen.outbound_vouched)
            add("outbound-blocked", Verdict.FAIL, seen.outbound_vouched, summary, "every port sends", text)
        if doubtful:
            text = port_ranges.text(doubtful)
            summary = (
                f"RTP from {text} does not reach the server: this edge drops it, or the firewall in front of the server does "
                "(no other client has reached those ports of the server yet)."
            )
            summary += dropped_at(seen, doubtful)
            add("outbound-blocked", Verdict.INCONCLUSIVE, doubtful, summary, "every port sends", text)
    if seen.return_blocked:
        text = short(port_ranges.text(seen.return_blocked))
        summary = f"RTP from {text} gets out, but the answers to it do not come back."
        add("return-blocked", Verdict.FAIL, seen.return_blocked, summary, "answers come back", text)
    if seen.remapped:
        text = short(port_ranges.text(seen.remapped))
        unneeded = ", which this profile does not need kept" if moved is Verdict.PASS else ""
        summary = f"RTP from {text} leaves with another source port{unneeded}."
        add("remapped", moved, seen.remapped, summary, "source ports keep their number", text)
    busy = set(port_ranges.expand(seen.busy))
    loss = "too much loss to tell"
    unneeded_in = inward is Verdict.PASS
    for ranges, way, why in (
        (untold_either_way(seen), "", seen.reasons.get("undecided", loss)),
        (seen.inbound_undecided, "to ", seen.reasons.get("undecided", loss)),
        (seen.outbound_undecided, "from ", seen.reasons.get("outbound_undecided", seen.reasons.get("outbound_open", loss))),
    ):
        if ranges:
            skip = unneeded_in and way == "to "
            summary = f"RTP {way}{short(port_ranges.text(ranges))} could not be told{', nor does this profile need it' * skip}: {why}."
            add("undecided", Verdict.SKIPPED if skip else Verdict.INCONCLUSIVE, ranges, summary, "every port works", "undecided")
    if seen.busy:
        # No error, and nothing is borrowed from a PBX: what could not be tested is said.
        summary = f"RTP {short(port_ranges.text(seen.busy))} was not tested: in use on this machine{_holders(seen)}."
        add("in-use", Verdict.SKIPPED, seen.busy, summary, "every port works", "in use here")
    for name, why in seen.reasons.items():
        if name in ("inbound_open", "outbound_open"):
            wanted = name == "outbound_open" or profile.expect.rtp_inbound != "ignore"
            summary = f"{name.removesuffix('_open').capitalize()} RTP was not fully tested: {why}."
            add("not-tested", Verdict.INCONCLUSIVE if wanted else Verdict.SKIPPED, (), summary, "", "")
    if seen.slowed_to is not None:
        summary = (
            f"More packets were lost in faster rounds than at {seen.slowed_to} a second: the edge may limit how many new flows it takes. "
            "Calls are far below that."
        )
        add("throttled", Verdict.PASS, (), summary, "", f"{seen.slowed_to} a second")
    if not any(finding.verdict in (Verdict.FAIL, Verdict.WARN, Verdict.INCONCLUSIVE) for finding in findings):
        parts = [
            f"{count} {words}"
            for count, words in ((seen.inbound_open, "receive from outside"), (seen.outbound_open, "reach outside and are answered"))
            if count is not None and count == size - len(busy) > 0
        ]
        if parts:
            free = port_ranges.compress(set(range(low, high + 1)) - busy)
            summary = f"Of {size - len(busy)} {'free ' * bool(busy)}RTP ports {' and '.join(parts)}."
            add("open", Verdict.PASS, free, summary, "every port works", "open")
    return tuple(findings)


def _unexamined(seen: RtpObservation, group: Blocked) -> str:
    """Why no cause is told of these, as a sentence; empty where none was looked for anywhere."""
    if group.left_out:
        return f" Its cause was not looked for: only the longest stretches are examined, {MOST_EXAMINED} ports at most."
    return f" Its cause could not be told: {seen.reasons['examined']}." if "examined" in seen.reasons else ""


def untold_either_way(seen: RtpObservation) -> Ranges:
    """Undecided ports of a report that is older than the two directions apart."""
    known = (seen.busy, seen.inbound_undecided, seen.outbound_undecided)
    return port_ranges.compress(set(port_ranges.expand(seen.undecided)).difference(*map(port_ranges.expand, known)))


def _holders(seen: RtpObservation) -> str:
    """`` by asterisk (pid 812)``, with the ports of each where there are several; empty where nobody can be named."""
    named = [
        name if len(seen.busy_with) == 1 and ranges == seen.busy else f"{name} ({short(port_ranges.text(ranges), 60)})"
        for name, ranges in seen.busy_with.items()
    ]
    return f" by {', '.join(named[:4])}{' and others' * (len(named) > 4)}" if named else ""
