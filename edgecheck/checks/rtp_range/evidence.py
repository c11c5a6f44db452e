"""The proof that goes with a finding: what was sent, and what both ends counted."""

from edgecheck.checks.port_forwarding.evidence import evidence as evidence_of_ports
from edgecheck.checks.rtp_range.causes import Blocked, differing
from edgecheck.checks.rtp_range.observation import RtpObservation, Traced
from edgecheck.wire import ports as port_ranges
from edgecheck.wire.ports import Ranges


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
    if group.fits == ("wrong-port",):
        moved = [(low, high, there, there + high - low) for low, high, there in seen.inbound_moved[:12]]
        return tuple(f"what was sent to {low}-{high} arrived at {first}-{last} of this machine" for low, high, first, last in moved)
    if seen.examined is None or not group.rows:
        return ()
    over_tcp = tuple(f"TCP {port}: connections from {seen.examined.prober} arrived" for port in group.over_tcp)
    return (*differing(seen, group), *evidence_of_ports(seen.examined, list(group.rows)), *over_tcp)


def dropped_at(seen: RtpObservation, ranges: Ranges) -> str:
    """Where packets from these ports end, as a sentence; empty where nothing showed it, or not the same for all that were followed."""
    found = {(one.last_hop, one.last_address, one.next_hop, one.next_address, one.refused_with) for one in _followed(seen, ranges)}
    if len(found) != 1:
        return ""
    last_hop, last_address, next_hop, next_address, refused = found.pop()
    if refused:
        return f" {next_address} refuses them ({refused})."
    if last_hop == 0:
        return f" Hop {next_hop} ({next_address}) sees none of them: this machine, that hop or something between drops them."
    seen_by, next_one = f"Hop {last_hop} ({last_address})", f"hop {next_hop} ({next_address})"
    return f" {seen_by} sees them and {next_one} does not: one of them, or something between, drops them."


def evidence_of_hops(seen: RtpObservation, ranges: Ranges) -> tuple[str, ...]:
    """What each hop told of packets that expired there."""
    return tuple(f"from {one.port}: {_told(one)}" for one in _followed(seen, ranges))


def _told(one: Traced) -> str:
    before = f"hop {one.last_hop} ({one.last_address}) told of it" if one.last_hop else "no hop before told of it"
    hop = f"hop {one.next_hop} ({one.next_address})"
    if one.refused_with:
        return f"{before}; one that could live as far as {hop} was refused with {one.refused_with}"
    if not one.controls_sent:
        return f"{before}, and the next to tell, at hop {one.next_hop}, is the server ({one.next_address}), which counted none"
    controls = f"{hop} told of {one.controls_told} of {one.controls_sent} packets from another port that expired there"
    return f"{before}; {controls}, and of none from this one, each sent right before"


def _followed(seen: RtpObservation, ranges: Ranges) -> list[Traced]:
    return [one for one in seen.traced if any(low <= one.port <= high for low, high in ranges)]


def short(text: str, most: int = 120) -> str:
    return text if len(text) <= most else text[:most].rsplit(",", 1)[0] + ", ..."
