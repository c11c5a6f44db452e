"""What became of the datagrams, whatever is written in them: another source, copies too many or too few. Pure."""

from collections.abc import Sequence

from edgecheck.checks.sip_alg import loss
from edgecheck.checks.sip_alg.both_ends import BothEnds
from edgecheck.checks.sip_alg.compare import Difference
from edgecheck.checks.sip_alg.log import Sent
from edgecheck.checks.sip_alg.observation import Harm
from edgecheck.wire.address import Endpoint, parse_endpoint
from edgecheck.wire.errors import WireError

SOURCE_ADDRESS, SOURCE_PORT, RETRANSMISSIONS = "source address", "source port", "retransmissions"
DOUBTFUL = 1e-4
"""Chance of error that is good enough for what does no harm by itself."""


def is_doubtless(hit: int, total: int, other_hit: int, other_total: int) -> bool:
    """Whether chance does not explain that these were hit and the others were not."""
    return loss.chance_of_worse(hit, total, other_hit, other_total) < DOUBTFUL


def moved(ends: BothEnds) -> tuple[Difference | None, bool]:
    """R19, R20: all SIP leaves the edge from elsewhere than all else from the same socket. The difference if that is proved; whether it
    looks so. (An edge that spreads packets over two lines sends both kinds from both.)
    """
    sip = [record.peer for records in ends.received.values() for record in records]
    usual, other = set(ends.control_sources), set(sip)
    if ends.log.transport != "udp" or len(usual) != 1 or len(other) != 1 or usual == other:
        return None, False
    one, two = endpoint(usual.pop()), endpoint(other.pop())
    if one is None or two is None:
        return None, False
    proved = is_doubtless(len(sip), len(sip), 0, ends.control_copies)
    return source_difference(one, two) if proved else None, True


def source_difference(expected: Endpoint, seen: Endpoint) -> Difference:
    """The port, where the address is the same."""
    return Difference(SOURCE_PORT if expected.host == seen.host else SOURCE_ADDRESS, "rewritten", str(expected), str(seen))


def harm_of_moving(difference: Difference) -> Harm:
    """What it does to phones that the source differs."""
    text = f"SIP leaves from {difference.arrived} and all else of the same socket from {difference.sent}: STUN tells phones the wrong one"
    return Harm(level="rewriting", direction="request", text=text, where=difference.where)


def absorbed(ends: BothEnds, sents: Sequence[Sent]) -> Difference | None:
    """R23: retransmissions absorbed by somebody who repeats the request at a pace of his own."""
    sent = sum(one.copies for one in sents)
    arrived = sum(len(ends.received.get(one.request.item, [])) for one in sents)
    if not ends.account.whole or ends.control_arrived is None or not 0 < arrived < sent or ends.alike_are_dropped:
        return None
    beside = ends.controls(sents)
    if not is_doubtless(sent - arrived, sent, len(beside - ends.control_arrived), len(beside)):
        return None
    return Difference(RETRANSMISSIONS, "removed", f"{sent} copies", f"{arrived} copies")


def unproved(ends: BothEnds) -> str:
    """What it looks like, but more copies would have to show; empty: nothing."""
    for (difference, suspected), text in (
        (doubled(ends), "more copies arrived than were sent, and whether of SIP alone could not be told"),
        (moved(ends), "SIP came from another source than the control, and whether by chance could not be told"),
    ):
        if suspected and difference is None:
            return text
    return ""


def doubled(ends: BothEnds) -> tuple[Difference | None, bool]:
    """R23: more copies arrived than were sent, of SIP and not of the control. The difference if that is proved; whether it looks so."""
    log = ends.log
    if log.transport != "udp" or not ends.account.whole or not ends.control_arrived:
        return None, False
    totals = [(sent.copies, len(ends.received.get(item, []))) for item, sent in log.sent.items()]
    copies, arrived = sum(one for one, _ in totals), sum(other for _, other in totals)
    twice = sum(min(one, max(0, other - one)) for one, other in totals)
    controls = len(ends.control_arrived)
    too = min(controls, max(0, ends.control_copies - controls))
    if not is_doubtless(twice, copies, too, controls):
        return None, twice >= 2 and twice * controls > 2 * too * copies
    return Difference(RETRANSMISSIONS, "added", f"{copies} requests in all", f"{arrived} requests in all"), True


def endpoint(text: str) -> Endpoint | None:
    """``ip:port`` as the server wrote it."""
    try:
        return parse_endpoint(text)
    except WireError:
        return None
