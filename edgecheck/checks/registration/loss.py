"""How likely it is that loss alone made a silence, by everything that this run saw of the line. Pure."""

from edgecheck.checks.registration.observation import Attempt, RegistrationObservation
from edgecheck.model.check import Delivery
from edgecheck.model.evidence import chance_at_worst
from edgecheck.wire.transaction import T1

_GAPS_S = (0.5, 1.0, 2.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0)
"""Between copies of a request over UDP (RFC 3261 section 17.1.2.2)."""
_LEAST_RTO_S = 0.2
"""Linux; others wait longer at first and repeat less often."""


def chance(seen: RegistrationObservation, silent: Attempt) -> float | None:
    """That everything of this attempt was lost at random; 1.0 where nothing is known of the line, None where TCP tells nothing."""
    if silent.transport == "udp":
        # Most servers answer each copy with their 100 anew (section 17.2.2), and some only the first: as it fits better.
        heard = min(silent.provisionals, silent.copies)
        return min(_over_udp(seen, silent, 0, 0), _over_udp(seen, silent, heard, silent.copies) if heard else 1.0)
    return None if silent.delivery is None else _over_stream(seen, silent)


def untroubled(facts: Delivery | None) -> bool:
    """Whether TCP is known to have delivered everything at the first try."""
    return facts is not None and not facts.unacked and not facts.retransmitted


def _heard(seen: RegistrationObservation, silent: Attempt) -> list[Attempt]:
    return [attempt for attempt in seen.attempts if attempt.target == silent.target and attempt.status is not None]


def _over_udp(seen: RegistrationObservation, silent: Attempt, provisionals: int, copies: int) -> float:
    heard = _heard(seen, silent)
    arrived = provisionals + len(heard) + seen.pinged_arrived + (seen.options_answered or 0)
    sent = copies + sum(attempt.copies for attempt in heard) + seen.pinged_sent
    if seen.options_answered:
        return chance_at_worst(arrived, sent + seen.options_copies, silent.copies)
    return chance_at_worst(arrived, sent, silent.copies + seen.options_copies)


def _over_stream(seen: RegistrationObservation, silent: Attempt) -> float:
    """The SYN and every request acknowledged are what arrived; what the kernel sent again is what did not."""
    facts, heard = silent.delivery, _heard(seen, silent)
    assert facts is not None
    before = heard[-1].delivery.retransmitted if heard and heard[-1].delivery else 0
    again = max(0, facts.retransmitted - before)
    arrived = 1 + len(heard) + (0 if facts.unacked else 1)
    sent = arrived + before + (0 if facts.unacked else again)
    answered = seen.options_answered or 0
    arrived += seen.pinged_arrived + seen.options_connected + answered
    sent += seen.pinged_sent + seen.options_connected + answered + seen.options_retransmitted
    return chance_at_worst(arrived, sent, again + 1 if facts.unacked else _tries(silent.elapsed_s, again, facts.rtt_ms))


def _tries(elapsed_s: float, again: int, rtt_ms: float) -> int:
    """How often the other system has sent its answer by now, had it one, since the request was there after so many repetitions."""
    wait = max(_LEAST_RTO_S, 3 * rtt_ms / 1000)
    left, tries = elapsed_s - wait * (2**again - 1), 1
    while left > wait:
        left -= wait
        wait *= 2
        tries += 1
    return tries


def chance_unreached(seen: RegistrationObservation) -> float:
    """That everything which the server sent us through the registration was lost at random, where it says of a request to our own address
    that nobody answered (408, 430)."""
    gave_up = [attempt for attempt in seen.attempts if attempt.purpose == "reach" and attempt.status in (408, 430)]
    registered = next((attempt for attempt in reversed(seen.attempts) if attempt.purpose == "register"), None)
    if not gave_up or registered is None:
        return 1.0
    if any(attempt.copies == 1 and attempt.elapsed_s < T1 for attempt in gave_up):
        return 0.0  # it did not wait for any answer: nothing can have been lost
    # A copy to which the server has not answered yet is no copy lost: its answers to the other requests tell the loss.
    heard = [attempt for attempt in _heard(seen, registered) if attempt.purpose != "reach"]
    arrived, sent = seen.pinged_arrived + len(heard), seen.pinged_sent + sum(attempt.copies for attempt in heard)
    if registered.transport != "udp" and (facts := heard[-1].delivery) is not None:
        sent += facts.retransmitted
    return chance_at_worst(arrived, sent, sum(_copies_to_us(attempt, registered.transport == "udp") for attempt in gave_up))


def _copies_to_us(attempt: Attempt, over_udp: bool) -> int:
    """The least that must have been lost for this 408 to come although the way to us is open: of our copies those before the first that
    arrived, and of the server's all that it sent us from then on.
    """
    if not over_udp:
        return _tries(attempt.elapsed_s, 0, 0.0)
    ours = [sum(_GAPS_S[:number]) for number in range(attempt.copies)]
    return min(number + _sent_within(attempt.elapsed_s - at) for number, at in enumerate(ours))


def _sent_within(seconds: float) -> int:
    """Copies of a request over UDP."""
    return sum(sum(_GAPS_S[:number]) <= seconds for number in range(len(_GAPS_S) + 1))
