"""What it means that nothing, or nothing usable, was answered. Pure.

Silence is told as silence. Whether loss explains it as well is measured: by the answers that did come, by OPTIONS beside it, and by what
this system's TCP knows of the connection.
"""

import re

from edgecheck.checks.registration.evidence import answer, found, way
from edgecheck.checks.registration.loss import chance, untroubled
from edgecheck.checks.registration.observation import Attempt, RegistrationObservation
from edgecheck.model.evidence import WRONG_BY_CHANCE
from edgecheck.model.verdict import Finding, Verdict

FAIL, INCONCLUSIVE = Verdict.FAIL, Verdict.INCONCLUSIVE
_PROMPT_S = 1.0
"""An answer over TCP within this time needed few repetitions, if any."""
_ENOUGH_COPIES = 7
"""Of a request over UDP, within 20 s: so many are not lost by chance on a line that can carry calls."""
_ALERT = re.compile(r"\(alert: |^TLS alert|versions of TLS below")
"""A TLS server's own word, in a trouble's."""
_FLOOD = 50
"""Provisional answers to one copy: no server that is well gives so many."""
_SILENT = (
    " A firewall, a server that is off or ignores this address, or answers sent from another address or port, which a NAT drops: "
    "a capture at the server tells these apart."
)


def fell_silent(seen: RegistrationObservation, decisive: Attempt) -> Finding | None:
    """Answers came from this very target, and then none any more; None where that is not so."""
    last = [attempt for attempt in seen.attempts if attempt.purpose in ("fetch", "register")][-1]
    if seen.ending != "unanswered" or decisive.status is None or last.status is not None or last.target != decisive.target:
        return None
    if last.trouble == "late":
        return _too_late(seen, last)
    to = "the request with credentials" if last.credentials and not decisive.credentials else "the next request"
    text = f"{way(last)} answered ({answer(decisive)}), and then met {to} with silence: {why(last)}."
    heard = [attempt for attempt in seen.attempts if attempt.target == last.target and attempt.status is not None]
    by_chance = chance(seen, last)
    if by_chance is not None:
        verdict = FAIL if by_chance < WRONG_BY_CHANCE else INCONCLUSIVE
    else:  # TCP repeats what is lost, later and later: where answers were late already, the next one may take minutes
        verdict = FAIL if all(attempt.elapsed_s < _PROMPT_S for attempt in heard) else INCONCLUSIVE
    if verdict is INCONCLUSIVE:
        text += " A line that loses most packets would explain it as well"
        text += f" (TCP sent {last.delivery.retransmitted} segments again)." if last.delivery is not None else "."
    return found("no-response", verdict, seen, text, reference="RFC 3261 section 17.1.2")


def unanswered(seen: RegistrationObservation, decisive: Attempt) -> Finding:
    if decisive.trouble == "late":
        return _too_late(seen, decisive)
    trouble = decisive.trouble
    if trouble == "provisional-only":
        return _no_final(seen, decisive)
    if seen.options_answered:
        return _ignored(seen, decisive)
    # SIP came back: whoever else answers, this is the place and the transport of a SIP server.
    if trouble == "mismatched":
        text = f"An answer came that a phone must throw away: {decisive.words}. Something on the way rewrites SIP, or the server does."
        return found("answer-mismatched", FAIL, seen, text, reference="RFC 3261 section 17.1.3")
    if trouble == "not-sip" and decisive.words.startswith("SIP"):
        return found("not-sip", FAIL, seen, f"What {way(decisive)} answers is no message that a phone can read: {decisive.words}.")
    if (lost := _lossy_stream(seen, decisive)) is not None:
        return found("no-response", INCONCLUSIVE, seen, lost, reference="RFC 3261 section 17.1.2")
    if seen.pinged_arrived and trouble == "silent":
        return _no_more(seen, decisive)
    if trouble in ("tls", "closed") and _ALERT.search(decisive.words):
        # It is a TLS server that refuses this phone's TLS: neither the port nor the transport is wrong by that.
        besides = f" {', '.join(seen.other_transports)} would answer." if seen.other_transports else ""
        text = f"{way(decisive)} speaks TLS and refuses this phone's: {decisive.words.rstrip('.')} (see tls).{besides}"
        return found("tls-failed", FAIL, seen, text, expected="a TLS connection", observed=way(decisive), reference="RFC 3261 section 26.2")
    if seen.other_transports:
        return _answered_otherwise(seen, decisive)
    if trouble == "not-sip":
        cause = "wrong-transport" if decisive.words.startswith("TLS") else "not-sip"
        return found(cause, FAIL, seen, f"What answers at {way(decisive)} does not speak SIP there: {decisive.words}.")
    if trouble in ("refused", "icmp", "no-route", "reset"):
        text = f"{way(decisive)} cannot be reached: {decisive.words}."
        return found("unreachable", FAIL, seen, text, reference="RFC 3261 section 8.1.3.1")
    if trouble in ("tls", "tls-silent"):
        # The words of the floor below name the place a second time.
        words = (decisive.words.partition(": ")[2] or decisive.words).rstrip(".")
        text = f"{way(decisive)}: no TLS could be opened: {words} (see tls)."
        return found("tls-failed", FAIL, seen, text, expected="a TLS connection", observed=way(decisive), reference="RFC 3261 section 26.2")
    if trouble == "local":
        return found("undecided", INCONCLUSIVE, seen, f"This machine could not send to {way(decisive)}: {decisive.words}.")
    enough = decisive.transport != "udp" or decisive.copies >= _ENOUGH_COPIES
    return found(
        "no-response",
        FAIL if enough else INCONCLUSIVE,
        seen,
        f"No answer from {way(decisive)}: {why(decisive)}.{_SILENT if decisive.transport == 'udp' else ''}",
        reference="RFC 3261 section 17.1.2",
    )


def _no_more(seen: RegistrationObservation, decisive: Attempt) -> Finding:
    """It answered the check ``transport`` a moment ago, and now nothing."""
    text = (
        f"No answer from {way(decisive)} to REGISTER ({why(decisive)}), nor to OPTIONS any more, which it had answered a moment before: a "
        "guard that bans this address"
    )
    sure = _sure(seen, decisive)
    text += ", or a server that has just gone down." if sure else ", a server that has just gone down, or a line that loses most packets."
    return found("no-response", FAIL if sure else INCONCLUSIVE, seen, text, reference="RFC 3261 section 17.1.2")


def _ignored(seen: RegistrationObservation, decisive: Attempt) -> Finding:
    """Somebody is there. Is it REGISTER that is ignored, or the line that loses so much?"""
    answered = seen.options_answered or 0
    reference = "RFC 3261 section 10.3"
    if not _sure(seen, decisive):
        text = (
            f"No answer from {way(decisive)} to REGISTER ({why(decisive)}), but {answered} OPTIONS were answered: either the line "
            "loses most packets, or REGISTER is ignored there."
        )
        return found("no-response", INCONCLUSIVE, seen, text, reference=reference)
    text = (
        f"{way(decisive)} answers OPTIONS and meets REGISTER with silence ({why(decisive)}): the way is open, so the server (or a "
        "guard before it) ignores this account or this address, or no registrar is there, or a SIP ALG on the way drops REGISTER alone, or "
        "what answers REGISTER answers from another address or port, which a NAT drops."
    )
    facts = (f"{answered} OPTIONS answered, with {seen.options_copies} copies",)
    return found("ignored", FAIL, seen, text, evidence=facts, reference=reference)


def _too_late(seen: RegistrationObservation, decisive: Attempt) -> Finding:
    """A final answer that came when every phone has given up. Was it slow, or did the line lose the earlier ones?"""
    text = f"{way(decisive)} answered {decisive.words}: a phone gives up after 32 s and never sees it"
    slow = _sure(seen, decisive)  # what comes at once to other requests shows that the line is not to blame
    text += (
        "; other requests are answered at once, so what is slow is the registrar, or what it asks (a database, another server)."
        if slow
        else ": the server is slow, or the line loses most packets."
    )
    verdict = FAIL if slow else INCONCLUSIVE
    return found("answered-too-late", verdict, seen, text, observed=decisive.words, reference="RFC 3261 section 17.1.2.2")


def _no_final(seen: RegistrationObservation, decisive: Attempt) -> Finding:
    """Only provisional answers: does nobody stand behind, or was the final answer lost each time?"""
    text = f"{way(decisive)} took the request ({decisive.words}): what stands behind it does not answer"
    if decisive.provisionals > _FLOOD * decisive.copies:
        text = (
            f"{way(decisive)} answers {decisive.provisional} without end (hundreds of times within {decisive.elapsed_s:.0f} s) and gives "
            "no final answer: it was left alone."
        )
        return found("no-final-answer", FAIL, seen, text, reference="RFC 3261 section 17.1.2")
    sure = _sure(seen, decisive)
    text += "." if sure else ", or the line loses so much that the final answer was lost each time."
    return found("no-final-answer", FAIL if sure else INCONCLUSIVE, seen, text, reference="RFC 3261 section 17.1.2")


def _lossy_stream(seen: RegistrationObservation, silent: Attempt) -> str | None:
    """Silence on a stream that loss explains as well, in words; None where it does not, or TCP tells nothing."""
    if silent.trouble == "timeout" and (seen.options_connected or seen.pinged_arrived):
        return (
            f"No connection was made with {way(silent)} this time, and others were: the line loses most packets, or the server takes few "
            "connections at a time, or a guard has begun to ban this address."
        )
    if silent.trouble == "tls-silent":
        # The same again and again, with nothing lost: nobody there speaks TLS. Else the greeting's answer, some packets long, may be lost.
        each_time = not seen.options_connected and seen.options_clean == seen.options_asked > 0
        if untroubled(silent.delivery) and each_time and not seen.pinged_arrived:
            return None
        return (
            f"{way(silent)} took the connection, and no answer to the TLS greeting came in time: the line loses most packets, or no TLS is "
            "spoken there, or something on the way does not let TLS pass."
        )
    if silent.trouble != "silent" or silent.delivery is None or _sure(seen, silent):
        return None
    facts = silent.delivery
    again = f"{facts.retransmitted} segment{'s' if facts.retransmitted != 1 else ''} had to be sent again"
    if facts.unacked:
        return (
            f"{way(silent)} took the connection, and the REGISTER on it was never acknowledged by that system ({again}): the line loses "
            "most packets, or something on the way lets the connection pass and not what is said on it (a firewall, a guard, a SIP ALG)."
        )
    return (
        f"{way(silent)} took the connection and the REGISTER, and no answer came in {silent.elapsed_s:.0f} s; but the line loses packets "
        f"({again}), so that the answer may still be on its way."
    )


def _sure(seen: RegistrationObservation, silent: Attempt) -> bool:
    """Whether loss cannot have made this silence, by all that is known of the line."""
    by_chance = chance(seen, silent)
    return by_chance is not None and by_chance < WRONG_BY_CHANCE


def _answered_otherwise(seen: RegistrationObservation, decisive: Attempt) -> Finding:
    """The same server answers over another transport or at another port."""
    others = ", ".join(seen.other_transports)
    text = f"{way(decisive)} does not answer ({why(decisive)}), but {others} {'do' if len(seen.other_transports) > 1 else 'does'}: "
    text += "the transport or port, set in the phone or named by the DNS, is wrong"
    if decisive.trouble in ("silent", "timeout", "tls-silent"):
        text += ", or a firewall lets that way, or its answers, not through (then it answers from another network)"
    return found("wrong-transport", FAIL, seen, f"{text}.", expected=others, observed=way(decisive), reference="RFC 3263 section 4.1")


def why(attempt: Attempt) -> str:
    if attempt.trouble == "silent":
        copies = "1 copy" if attempt.copies == 1 else f"{attempt.copies} copies"
        return f"{copies} of REGISTER in {attempt.elapsed_s:.0f} s, no answer and no error"
    if attempt.trouble == "timeout":
        return "no connection was made and nothing refused it"
    if attempt.trouble == "closed":
        by = "" if attempt.words == "the other end closed it" else f": {attempt.words}"
        return f"the connection was closed without an answer{by}"
    # "Could not connect to 192.0.2.1:5060/tcp: the connection was refused."
    words = attempt.words.rpartition("/")[2].partition(": ")[2] if attempt.words.startswith("Could not connect to") else attempt.words
    return words.rstrip(".") or str(attempt.trouble)
