"""What idle flows prove, put together: pure functions of the points."""

from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec.structs import replace

from edgecheck.checks.mapping_lifetime.observation import Bounds, IdlePoint, Kind, LifetimeObservation

USUAL_KEEPALIVE_S = 15
"""Keep-alives more frequent than this are not usual, and few devices offer them."""
LONGEST_KEEPALIVE_S = 120
"""RFC 4787 REQ-5: two minutes is what may be expected of a NAT, so of the next router too."""
NO_TCP = "TCP was not asked for (--tcp): its idle connections should be kept for two hours (RFC 5382 REQ-5)"
_KINDS: tuple[Kind, ...] = ("packet", "stream", "inbound", "sip", "tcp")


def bounds(points: Iterable[IdlePoint]) -> tuple[Bounds, str]:
    """What the points of one kind prove; why nothing, where they prove nothing."""
    points = tuple(points)
    alive = [point.idle_s for point in points if point.alive]
    dead = [point.dead_by_s for point in points if point.alive is False]
    if alive and dead and max(alive) >= min(dead):
        return (None, None), (
            f"a flow idle for {max(alive)} s was still known while one idle for {min(dead)} s was not: "
            "something else than time makes this router forget (a full table?)"
        )
    if not alive and not dead:
        return (None, None), next((point.reason for point in points if point.reason), "no flow was left idle")
    return (max(alive, default=0), min(dead, default=None)), ""


def span(lived: Bounds) -> str:
    """``25 to 30 s``, ``less than 5 s``, ``at least 180 s``."""
    low, high = lived
    if high is None:
        return f"at least {low} s"
    return f"{low} to {high} s" if low else f"less than {high} s"


def of_kind(points: Iterable[IdlePoint], kind: Kind) -> tuple[IdlePoint, ...]:
    """The points of one kind."""
    return tuple(point for point in points if point.kind == kind)


def refreshed_from_outside(points: Sequence[IdlePoint]) -> tuple[bool | None, str]:
    """Whether packets from outside kept the ``inbound`` flow alive, held against its silent twins of kind ``packet``."""
    (lower, upper), reason = bounds(of_kind(points, "packet"))
    if lower is None:
        return None, reason
    asked = of_kind(points, "inbound")
    heard = max((point.idle_s for point in asked if point.alive), default=None)
    # The silent twin is known to be dead by ``upper``; this one, as silent towards outside, is not.
    if upper is not None and heard is not None and heard >= upper:
        return True, ""
    gone = min((point.at_most_s for point in asked if point.alive is False), default=None)
    if gone is not None and heard is not None:
        of_stream = bounds(of_kind(points, "stream"))[0][0]
        # Had the last packet from outside counted, the flow would have lived so many seconds more at least.
        if gone - heard <= min(lower, lower if of_stream is None else of_stream):
            return False, ""
    if gone is not None and heard is None:
        return None, "the mapping died before a packet from outside came"
    return None, "too few packets got through to tell" if upper is not None else "the silent mapping outlived the measurement"


def sip_apart(seen: LifetimeObservation) -> Literal["longer", "shorter"] | None:
    """Whether a flow of SIP lives longer, or shorter, than *any* other flow was proved to; None = no difference is proved."""
    low, high = seen.sip_s
    others = [bound for bound in (seen.udp_s, seen.udp_stream_s) if bound[0] is not None]
    uppers = [upper for _, upper in others]
    if low and others and all(upper is not None and low >= upper for upper in uppers):
        return "longer"
    return "shorter" if high is not None and others and all(lower is not None and high <= lower for lower, _ in others) else None


def keepalive(packet: Bounds, stream: Bounds, sip: Bounds = (None, None)) -> int | None:
    """Seconds between keep-alives that hold a mapping; None where nothing is known, or nothing would hold it.

    Two thirds of the shorter lifetime that is proved: what is left is for a timer that fires late and for the repetitions of a keep-alive
    that got lost (RFC 3261: after 0.5, 1.5, 3.5 s). Where that is unusually often, up to four fifths, because few devices do it more often.
    """
    if packet[0] is None:
        return None
    shortest = min(bound[0] for bound in (packet, stream, sip) if bound[0] is not None)
    return min(max(shortest * 2 // 3, min(USUAL_KEEPALIVE_S, shortest * 4 // 5)), LONGEST_KEEPALIVE_S) or None


def observe(seen: LifetimeObservation, points: Iterable[IdlePoint]) -> LifetimeObservation:
    """The observation with what its points prove."""
    points = tuple(sorted(points, key=lambda point: (_KINDS.index(point.kind), point.idle_s)))
    packet, why_packet = bounds(of_kind(points, "packet"))
    stream, why_stream = bounds(of_kind(points, "stream"))
    refreshes, why_refreshes = refreshed_from_outside(points)
    sip, why_sip = bounds(of_kind(points, "sip"))
    recommended = keepalive(packet, stream, sip)
    why_none = "" if recommended else why_packet or "no keep-alive is frequent enough for a mapping that lives so short"
    reasons = {
        "udp_s": why_packet,
        "udp_stream_s": why_stream,
        "sip_s": why_sip,
        "inbound_refreshes": why_refreshes,
        "recommended_keepalive_s": why_none,
    }
    return replace(
        seen,
        udp_s=packet,
        udp_stream_s=stream,
        sip_s=sip,
        inbound_refreshes=refreshes,
        recommended_keepalive_s=recommended,
        points=points,
        reasons={**{field: reason for field, reason in reasons.items() if reason}, **seen.reasons},
    )


def cut_short(seen: LifetimeObservation, points: Iterable[IdlePoint], why: str) -> LifetimeObservation:
    """What the points prove that there are; what holds all mappings is not known while the shortest-lived kind may be missing."""
    found = observe(seen, points)
    missing = (("udp_s", found.udp_s), ("udp_stream_s", found.udp_stream_s), ("sip_s", found.sip_s))
    reasons = {field: why for field, lived in missing if lived[0] is None} | {"recommended_keepalive_s": why}
    reasons |= {"inbound_refreshes": why} if found.inbound_refreshes is None else {}
    return replace(found, recommended_keepalive_s=None, reasons={**found.reasons, **reasons})


def with_tcp(seen: LifetimeObservation, points: Sequence[IdlePoint], sender: str, reason: str) -> LifetimeObservation:
    """The observation with what idle TCP connections proved; ``reason``: why nothing could be measured with them, if so."""
    tcp, why = bounds(points)
    reasons = {field: text for field, text in seen.reasons.items() if field != "tcp_s"}
    why = reason or why
    if why:
        reasons["tcp_s"] = why
    points = sorted(points, key=lambda point: point.idle_s)
    return replace(seen, tcp_s=tcp, tcp_sender=sender, points=(*seen.points, *points), reasons=reasons)


def untold(seen: LifetimeObservation, reason: str) -> LifetimeObservation:
    """Nothing was measured."""
    fields = ("udp_s", "udp_stream_s", "sip_s", "inbound_refreshes", "recommended_keepalive_s")
    return replace(seen, reasons={**dict.fromkeys(fields, reason), **seen.reasons})
