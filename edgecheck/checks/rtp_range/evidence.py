"""The proof that goes with a finding: what was sent, and what both ends counted."""

from edgecheck.checks.port_forwarding.evidence import evidence as evidence_of_ports
from edgecheck.checks.rtp_range.causes import Blocked, differing
from edgecheck.checks.rtp_range.observation import RtpObservation
from edgecheck.wire import ports as port_ranges


def evidence(seen: RtpObservation) -> tuple[str, ...]:
    out = [f"{seen.sent} RTP packets (payload type 0, 20 ms) for {seen.tested} ports, {seen.retried} of them retries"]
    for count, silent, words in (
        (seen.inbound_open, seen.inbound_blocked, "in, from an address never contacted: {} ports received"),
        (seen.outbound_open, seen.outbound_blocked, "out, by the server's own count: {} ports arrived"),
    ):
        if count is not None:
            untold = seen.tested - count - port_ranges.count(silent)
            also = f"; not told: {untold} ports" if untold > 0 else ""
            out.append(f"{words.format(count)}; silent: {short(port_ranges.text(silent))}{also}")
    if seen.guides_sent:
        out.append(f"in the same rounds {seen.guides_arrived} of {seen.guides_sent} control packets arrived")
    if seen.alternate_answers is not None:
        out.append("contacted afterwards, the alternate address " + ("answered" if seen.alternate_answers else "did not answer"))
    return tuple(out)


def evidence_of_cause(seen: RtpObservation, group: Blocked) -> tuple[str, ...]:
    """What was seen of the ports that were examined."""
    if seen.examined is None or not group.rows:
        return ()
    over_tcp = tuple(f"TCP {port}: connections from {seen.examined.prober} arrived" for port in group.over_tcp)
    return (*differing(seen, group), *evidence_of_ports(seen.examined, list(group.rows)), *over_tcp)


def short(text: str, most: int = 120) -> str:
    return text if len(text) <= most else text[:most].rsplit(",", 1)[0] + ", ..."
