"""When to send the copies of one question: pure functions of the round trip.

RFC 8489 section 6.2.1 starts at 500 ms, made for a shared internet of long-lived clients; a checker that asks a handful of
questions once sends them closely, or every lost packet costs half a second. Copies are tens of milliseconds apart, so that they do
not die in the same burst of loss.
"""

FIRST_GAP = 0.04
GROWTH = 1.25
LONGEST_GAP = 0.2
COPIES = 10
"""At 20 % loss each way a question with its answer fails with 0.36 a copy: ten copies leave 4 in 100,000."""


def stun_offsets(rtt: float, copies: int = COPIES) -> tuple[float, ...]:
    """Seconds after the first copy at which each copy is sent. The first gap covers the round trip where that is known."""
    gap = min(max(FIRST_GAP, 1.3 * rtt), LONGEST_GAP)
    out = [0.0]
    for _ in range(copies - 1):
        out.append(out[-1] + gap)
        gap = min(gap * GROWTH, LONGEST_GAP)
    return tuple(out)


def stun_patience(rtt: float, copies: int = COPIES) -> float:
    """Seconds until silence is silence: after the last copy, twice the round trip and a little more."""
    return stun_offsets(rtt, copies)[-1] + 2 * rtt + 0.15
