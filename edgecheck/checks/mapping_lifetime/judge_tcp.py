"""How long idle TCP connections live, against the keep-alives that SIP sends on them. Pure.

RFC 5626 section 4.4.1 has the phone send one every 95 to 120 s. So a connection that is forgotten before 120 s is a *warning*: a call can
find it dead. From 120 s on it *passes*. RFC 5382 REQ-5 asks for 2 hours 4 minutes, which is told and not waited for.
"""

from edgecheck.checks.mapping_lifetime.bounds import of_kind, span
from edgecheck.checks.mapping_lifetime.observation import Bounds, IdlePoint, LifetimeObservation
from edgecheck.model.verdict import Finding, Verdict

ENOUGH_S = 120
_SUBJECT = "idle TCP connection"
_EXPECTED = f"{ENOUGH_S} s at least; RFC 5382 asks for 2 h 4 min"
_REFERENCE = "RFC 5382 section 5, REQ-5"


def judge_tcp(seen: LifetimeObservation, lived: Bounds) -> Finding:
    """One finding."""
    low, high = lived
    if low is None:
        return _untold(seen, lived, seen.reasons.get("tcp_s", "no reason noted"))
    if high is not None and high <= ENOUGH_S:
        every = low * 2 // 3
        return Finding(
            id="mapping-lifetime.tcp-short",
            verdict=Verdict.WARN,
            subject=_SUBJECT,
            summary=f"An idle TCP connection lives {span(lived)}, then nothing from outside gets in over it: SIP's own keep-alives "
            f"(every 95 to 120 s) come too late{f'; one every {every} s holds it' if every else ''}.",
            expected=_EXPECTED,
            observed=span(lived),
            evidence=_evidence(seen),
            reference=_REFERENCE,
        )
    if low >= ENOUGH_S:
        less = f" It is forgotten by {high} s; RFC 5382 asks for 2 h 4 min." if high is not None else ""
        return Finding(
            id="mapping-lifetime.tcp-long-enough",
            verdict=Verdict.PASS,
            subject=_SUBJECT,
            summary=f"An idle TCP connection lives {span(lived)}: SIP's own keep-alives (every 95 to 120 s) hold it.{less}",
            expected=_EXPECTED,
            observed=span(lived),
            evidence=_evidence(seen),
            reference=_REFERENCE,
        )
    if seen.quick and high is None and low == max(seen.grid_s, default=0):
        return _untold(seen, lived, f"it lived for the {low} s of a quick run, longer ones were not tried", Verdict.SKIPPED)
    why = next((point.reason for point in of_kind(seen.points, "tcp") if point.alive is None and point.reason), "")
    return _untold(seen, lived, f"{span(lived)} is all that was proved{f'; then {why}' if why else ''}")


def _untold(seen: LifetimeObservation, lived: Bounds, reason: str, verdict: Verdict = Verdict.INCONCLUSIVE) -> Finding:
    return Finding(
        id="mapping-lifetime.undecided",
        verdict=verdict,
        subject=_SUBJECT,
        summary=f"Whether an idle TCP connection lives long enough could not be told: {reason}.",
        expected=_EXPECTED,
        observed=span(lived) if lived[0] is not None else "",
        evidence=_evidence(seen),
        reference=_REFERENCE,
    )


def _evidence(seen: LifetimeObservation) -> tuple[str, ...]:
    return tuple(_told(point, seen.tcp_sender) for point in of_kind(seen.points, "tcp") if point.copies or point.ended)


def _told(point: IdlePoint, sender: str) -> str:
    said = {True: "alive", False: "dead", None: f"not told: {point.reason}"}[point.alive]
    how = f"{point.ended}; " if point.ended else ""
    asked = f"{point.control} of {point.control_copies} questions on busy connections were answered at once meanwhile"
    busy = f"; {asked}" if point.alive is False else ""
    return (
        f"TCP from {point.local} (outside {point.mapped}) to {sender} idle for {point.idle_s} s: the server sent on {point.copies}, "
        f"{point.arrived} got in{busy}: {how}{said}"
    )
