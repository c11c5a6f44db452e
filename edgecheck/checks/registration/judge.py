"""From what was asked and answered to findings. Pure.

A status code says what happened, seldom why: where several causes fit, the finding lists them in the sheet's order and says what tells
them apart. A cause is asserted only where the answers show it.
"""

from edgecheck.checks.registration.after import host_of_uri, judge_registered
from edgecheck.checks.registration.evidence import answer, found, host_of, way
from edgecheck.checks.registration.observation import Attempt, RegistrationObservation
from edgecheck.model.evidence import WRONG_BY_CHANCE, chance_of_silence
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Finding, Verdict
from edgecheck.wire.networks import is_public

FAIL, WARN, PASS, INCONCLUSIVE = Verdict.FAIL, Verdict.WARN, Verdict.PASS, Verdict.INCONCLUSIVE
BY_STATUS = {
    400: "bad-request",
    403: "forbidden",
    404: "unknown-user",
    405: "not-a-registrar",
    408: "request-timeout",
    410: "unknown-user",
    413: "message-too-large",
    416: "bad-request",
    420: "bad-extension",
    421: "extension-required",
    423: "interval-too-brief",
    430: "flow-failed",
    439: "outbound-unsupported",
    480: "temporarily-unavailable",
    482: "loop",
    483: "loop",
    484: "address-incomplete",
    486: "busy",
    488: "not-acceptable",
    491: "request-pending",
    494: "security-agreement",
    500: "server-error",
    501: "not-a-registrar",
    502: "bad-gateway",
    503: "service-unavailable",
    504: "gateway-timeout",
    513: "message-too-large",
    600: "busy",
    603: "declined",
    604: "unknown-user",
    606: "not-acceptable",
}
"""What a final answer to a REGISTER is called; 401 and 407 depend on what had been sent."""
_PROMPT_S = 1.0
"""An answer over TCP within this time needed few repetitions, if any."""
_ENOUGH_COPIES = 7
"""Of a request over UDP, within 20 s: so many are not lost by chance on a line that can carry calls."""


def judge(seen: RegistrationObservation, profile: Profile) -> tuple[Finding, ...]:
    """Everything that the answers show, the verdict on the registration itself first."""
    out = judge_registered(seen) if seen.ending == "registered" else _not_registered(seen)
    return (*out, *_on_the_way(seen))


def _not_registered(seen: RegistrationObservation) -> list[Finding]:
    decisive = _decisive(seen)
    if decisive is None:
        text = "There is no address to send a REGISTER to: the name did not lead to any server (see dns)."
        return [found("no-target", INCONCLUSIVE, seen, text, reference="RFC 3263 section 4")]
    if seen.ending == "challenged":
        return [_challenged(seen, decisive)]
    if seen.ending == "no-password":
        text = f"{way(decisive)} asks for a password, and none was given: set EDGECHECK_SIP_PASSWORD or use --password-file."
        return [found("no-password", INCONCLUSIVE, seen, text, reference="RFC 3261 section 22.2")]
    if seen.ending == "untrusted":
        text = f"The password was not sent: the certificate that {way(decisive)} shows {seen.distrust}. " + (
            "Use the name that it proves." if "name" in seen.distrust else "If it is the right one, give its authority with --ca FILE."
        )
        return [found("untrusted", INCONCLUSIVE, seen, text, reference="RFC 5922")]
    if seen.ending == "unsupported-digest":
        offers = ", ".join(dict.fromkeys(each.problem or each.algorithm for each in decisive.challenges))
        text = f"None of the challenges can be answered: {offers}."
        return [found("unsupported-digest", FAIL, seen, text, observed=offers, reference="RFC 8760 section 2.4")]
    if seen.ending == "no-challenge":
        text = f"{answer(decisive)} without a challenge: there is nothing to answer. Something on the way may have cut it out."
        return [found("no-challenge", FAIL, seen, text, reference="RFC 3261 section 22.1")]
    if seen.ending == "stale-again":
        text = (
            "The server called the nonce stale twice, the second time for one that it had just given: the password was not judged at all. "
            "Several servers that do not share their nonces, or a nonce that lives shorter than the round trip, do that."
        )
        return [found("stale-nonce", FAIL, seen, text, reference="RFC 7616 section 3.3")]
    if seen.ending == "credentials-refused":
        return [_credentials_refused(seen, decisive)]
    if seen.ending == "redirects" or decisive.redirect_to:
        to = ", ".join(decisive.redirect_to) or "no SIP address"
        end = seen.attempts[-1]
        there = f"{way(end)} does not answer ({_why(end)})" if end.status is None else "that way does not end: see the requests"
        text = f"Redirected ({answer(decisive)}) to {to}, and {there}."
        return [found("redirected", FAIL, seen, text, reference="RFC 3261 section 8.1.3.4")]
    silent = _fell_silent(seen, decisive)
    if silent is not None:
        return [silent]
    if decisive.status is None:
        return [_unanswered(seen, decisive)]
    return [_refused(seen, decisive)]


def _decisive(seen: RegistrationObservation) -> Attempt | None:
    """The last REGISTER that was answered, else the last one."""
    registers = [attempt for attempt in seen.attempts if attempt.purpose in ("fetch", "register")]
    answered = [attempt for attempt in registers if attempt.status is not None]
    candidates = answered or [attempt for attempt in registers if attempt.copies] or registers
    return candidates[-1] if candidates else None


def _challenged(seen: RegistrationObservation, decisive: Attempt) -> Finding:
    asked = ", ".join(f"{each.algorithm}, realm {each.realm!r}" for each in decisive.challenges if each.problem is None)
    if not decisive.challenges:
        text = f"{way(decisive)} answered {answer(decisive)} without asking for a password; nothing was registered (--dry)."
    elif not asked:
        offers = ", ".join(each.problem or "" for each in decisive.challenges)
        return found("unsupported-digest", FAIL, seen, f"None of the challenges can be answered: {offers}.", observed=offers)
    else:
        text = f"{way(decisive)} asks for a password ({asked}); it was not sent and nothing was registered (--dry)."
    return found("challenged", PASS, seen, text, reference="RFC 3261 section 22.2")


def _credentials_refused(seen: RegistrationObservation, decisive: Attempt) -> Finding:
    proxy = decisive.status == 407
    realms = ", ".join(dict.fromkeys(repr(each.realm) for each in decisive.challenges))
    text = f"{answer(decisive)} again, after the challenge was answered as {seen.auth_user!r} for realm {realms}: "
    hints, facts = _hints(seen)
    usual = "the password or the authentication user is wrong (the answer does not say which)"
    text += "; or ".join([usual, *hints]) + "."
    cause = "proxy-authentication" if proxy else "wrong-credentials"
    section = "22.3" if proxy else "22.2"
    return found(cause, FAIL, seen, text, evidence=facts, reference=f"RFC 3261 section {section}")


def _hints(seen: RegistrationObservation) -> tuple[list[str], list[str]]:
    """Causes of a repeated challenge, other than the usual two, that the answers show signs of; and those signs."""
    hints: list[str] = []
    facts: list[str] = []
    ports = list(dict.fromkeys(attempt.rport for attempt in seen.attempts if attempt.rport is not None))
    if len(ports) > 1:
        hints.append(f"the NAT changed the source port in between ({', '.join(map(str, ports))}), and the nonce may be bound to it")
        facts.append(f"source ports that the server saw, in order: {', '.join(map(str, ports))}")
    changes = _changes(seen)
    if changes:
        hints.append("something on the way rewrites SIP, and with it perhaps the address that the credentials are computed for")
        facts += changes
    elif seen.answer_diverted:
        hints.append("the SIP ALG on the way alters what the credentials are computed for")
        facts.append(_DIVERTED)
    elif fact := _unseen_nat(seen):
        hints.append("a SIP ALG rewrites SIP (the server claims to have seen a private address; without any NAT on the way it would, too)")
        facts.append(fact)
    realms = list(dict.fromkeys(each.realm for attempt in seen.attempts for each in attempt.challenges))
    if len(realms) > 1:
        hints.append(f"the realm changes from challenge to challenge ({', '.join(map(repr, realms))}): more than one server answers")
        facts.append(f"realms offered, in order: {', '.join(map(repr, realms))}")
    if seen.password_edged:
        hints.append("the password that was given begins or ends with a blank")
        facts.append("the password that was given begins or ends with a blank")
    return hints, facts


def _ignored(seen: RegistrationObservation, decisive: Attempt) -> Finding:
    """Somebody is there. Is it REGISTER that is ignored, or the line that loses so much?"""
    answered = seen.options_answered or 0
    reference = "RFC 3261 section 10.3"
    if chance_of_silence(answered, seen.options_copies, decisive.copies) >= WRONG_BY_CHANCE:
        text = (
            f"No answer from {way(decisive)} to REGISTER ({_why(decisive)}), but {answered} of 3 OPTIONS were answered: either the line "
            "loses most packets, or REGISTER is ignored there."
        )
        return found("no-response", INCONCLUSIVE, seen, text, reference=reference)
    text = (
        f"{way(decisive)} answers OPTIONS and meets REGISTER with silence ({_why(decisive)}): the way is open, so the server (or a "
        "guard before it) ignores this account or this address, or no registrar is there, or what answers REGISTER answers from another "
        "address or port, which a NAT drops."
    )
    facts = (f"{answered} of 3 OPTIONS answered, with {seen.options_copies} copies",)
    return found("ignored", FAIL, seen, text, evidence=facts, reference=reference)


_DIVERTED = "an OPTIONS left one port and named another in its Via; the server knows rport, and the answer came to the port in Via"


def _changes(seen: RegistrationObservation) -> list[str]:
    """What did not come back as it was sent."""
    return list(dict.fromkeys(change for attempt in seen.attempts for change in attempt.altered))


def _unseen_nat(seen: RegistrationObservation) -> str:
    """A server outside that says it saw a private address: nothing translates on the way, or a SIP ALG wrote into its answer."""
    own = host_of(seen.local)
    for attempt in seen.attempts:
        if attempt.received == own and is_public(own) is False and is_public(host_of(attempt.target)) is True:
            return f"received={own} in the answer of {attempt.target}"
    return ""


def _too_late(seen: RegistrationObservation, decisive: Attempt) -> Finding:
    """A final answer that came when every phone has given up. Was it slow, or did the line lose the earlier ones?"""
    text = f"{way(decisive)} answered {decisive.words}: a phone gives up after 32 s and never sees it"
    # What comes at once to other requests shows that the line is not to blame.
    answered, copies = _measured(seen, decisive)
    chance = chance_of_silence(answered + (seen.options_answered or 0), copies + seen.options_copies, decisive.copies)
    slow = chance < WRONG_BY_CHANCE
    text += (
        "; other requests are answered at once, so what is slow is the registrar, or what it asks (a database, another server)."
        if slow
        else ": the server is slow, or the line loses most packets."
    )
    verdict = FAIL if slow else INCONCLUSIVE
    return found("answered-too-late", verdict, seen, text, observed=decisive.words, reference="RFC 3261 section 17.1.2.2")


def _unanswered(seen: RegistrationObservation, decisive: Attempt) -> Finding:
    if decisive.trouble == "late":
        return _too_late(seen, decisive)
    if seen.options_answered:
        return _ignored(seen, decisive)
    trouble = decisive.trouble
    # SIP came back: whoever else answers, this is the place and the transport of a SIP server.
    if trouble == "mismatched":
        text = f"An answer came that a phone must throw away: {decisive.words}. Something on the way rewrites SIP, or the server does."
        return found("answer-mismatched", FAIL, seen, text, reference="RFC 3261 section 17.1.3")
    if trouble == "provisional-only":
        text = f"{way(decisive)} took the request ({decisive.words}): what stands behind it does not answer."
        return found("no-final-answer", FAIL, seen, text, reference="RFC 3261 section 17.1.2")
    if trouble == "not-sip" and decisive.words.startswith("SIP"):
        return found("not-sip", FAIL, seen, f"What {way(decisive)} answers is no message that a phone can read: {decisive.words}.")
    if seen.other_transports:
        return _answered_otherwise(seen, decisive)
    if trouble == "not-sip":
        cause = "wrong-transport" if decisive.words.startswith("TLS") else "not-sip"
        return found(cause, FAIL, seen, f"What answers at {way(decisive)} does not speak SIP there: {decisive.words}.")
    if trouble in ("refused", "icmp", "no-route", "reset"):
        text = f"{way(decisive)} cannot be reached: {decisive.words}."
        return found("unreachable", FAIL, seen, text, reference="RFC 3261 section 8.1.3.1")
    if trouble in ("tls", "tls-silent"):
        text = f"TLS to {way(decisive)} failed: {decisive.words} (see tls)."
        return found("tls-failed", FAIL, seen, text, reference="RFC 3261 section 26.2")
    if trouble == "local":
        return found("undecided", INCONCLUSIVE, seen, f"This machine could not send to {way(decisive)}: {decisive.words}.")
    enough = decisive.transport != "udp" or decisive.copies >= _ENOUGH_COPIES
    return found(
        "no-response",
        FAIL if enough else INCONCLUSIVE,
        seen,
        f"No answer from {way(decisive)}: {_why(decisive)}.{_SILENT if decisive.transport == 'udp' else ''}",
        reference="RFC 3261 section 17.1.2",
    )


_SILENT = (
    " A firewall, a server that is off or ignores this address, or answers sent from another address or port, which a NAT drops: "
    "a capture at the server tells these apart."
)


def _answered_otherwise(seen: RegistrationObservation, decisive: Attempt) -> Finding:
    """The same server answers over another transport or at another port."""
    others = ", ".join(seen.other_transports)
    text = f"{way(decisive)} does not answer ({_why(decisive)}), but {others} {'do' if len(seen.other_transports) > 1 else 'does'}: "
    text += "the transport or port, set in the phone or named by the DNS, is wrong"
    if decisive.trouble in ("silent", "timeout", "tls-silent"):
        text += ", or a firewall lets that way, or its answers, not through (then it answers from another network)"
    return found("wrong-transport", FAIL, seen, f"{text}.", expected=others, observed=way(decisive), reference="RFC 3263 section 4.1")


def _fell_silent(seen: RegistrationObservation, decisive: Attempt) -> Finding | None:
    """Answers came from this very target, and then none any more; None where that is not so."""
    last = [attempt for attempt in seen.attempts if attempt.purpose in ("fetch", "register")][-1]
    if seen.ending != "unanswered" or decisive.status is None or last.status is not None or last.target != decisive.target:
        return None
    if last.trouble == "late":
        return _too_late(seen, last)
    to = "the request with credentials" if last.credentials and not decisive.credentials else "the next request"
    text = f"{way(last)} answered ({answer(decisive)}), and then met {to} with silence: {_why(last)}."
    heard = [attempt for attempt in seen.attempts if attempt.target == last.target and attempt.status is not None]
    if last.transport == "udp":  # the answers that came measure the loss
        chance = chance_of_silence(*_measured(seen, last), last.copies)
        verdict = FAIL if chance < WRONG_BY_CHANCE else INCONCLUSIVE
    else:  # TCP repeats what is lost, later and later: where answers were late already, the next one may take minutes
        verdict = FAIL if all(attempt.elapsed_s < _PROMPT_S for attempt in heard) else INCONCLUSIVE
    return found("no-response", verdict, seen, text, reference="RFC 3261 section 17.1.2")


def _measured(seen: RegistrationObservation, silent: Attempt) -> tuple[int, int]:
    """Answers from the place of this attempt, and the copies that it took to get them: the loss of the line."""
    heard = [attempt for attempt in seen.attempts if attempt.target == silent.target and attempt.status is not None]
    return len(heard), sum(attempt.copies for attempt in heard)


def _why(attempt: Attempt) -> str:
    if attempt.trouble == "silent":
        copies = "1 copy" if attempt.copies == 1 else f"{attempt.copies} copies"
        return f"{copies} of REGISTER in {attempt.elapsed_s:.0f} s, no answer and no error"
    if attempt.trouble == "timeout":
        return "no connection was made and nothing refused it"
    if attempt.trouble == "closed":
        return f"the connection was closed without an answer ({attempt.words})"
    return attempt.words or str(attempt.trouble)


def _refused(seen: RegistrationObservation, decisive: Attempt) -> Finding:
    status = decisive.status or 0
    cause = BY_STATUS.get(status) or ("server-error" if 500 <= status < 600 else "declined" if status >= 600 else "refused")
    text = f"{way(decisive)} answered {answer(decisive)}"
    facts: list[str] = []
    if not any(attempt.challenges for attempt in seen.attempts):
        text += " without asking for a password first"
        if status in (403, 404, 405, 501, 603):
            host = "" if _unseen_nat(seen) else host_of(seen.seen_as)
            text += ": that is also what a trunk says that knows its customers by address" + (f" (it sees {host})" if host else "")
    elif decisive.credentials:
        text += " to the credentials" if status == 403 else " after it had asked for credentials"
    if cause in ("unknown-user", "forbidden") and is_public(host_of_uri(seen.aor)) is not None:
        text += "; the account is given with an IP address where a domain belongs, which many servers do not know as theirs"
    if decisive.retry_after_s is not None:
        text += f", and to try again in {decisive.retry_after_s} s"
    if cause == "interval-too-brief" and decisive.min_expires_s is not None:
        text += f"; it wants at least {decisive.min_expires_s} s"
    if decisive.requires:
        text += f" ({', '.join(decisive.requires)})"
    if status == 400:
        facts = _changes(seen)
        if facts:
            text += "; something on the way rewrites SIP, which is the first suspect"
    section = _REFERENCES.get(cause, "RFC 3261 section 21")
    return found(cause, FAIL, seen, f"{text}.", observed=answer(decisive), evidence=facts, reference=section)


_REFERENCES = {
    "interval-too-brief": "RFC 3261 section 10.3",
    "flow-failed": "RFC 5626 section 11.5",
    "outbound-unsupported": "RFC 5626 section 11.6",
    "security-agreement": "RFC 3329",
}


def _on_the_way(seen: RegistrationObservation) -> list[Finding]:
    """What can be said whatever the registrar decided."""
    out: list[Finding] = []
    decided = _decisive(seen)
    before = seen.attempts[: seen.attempts.index(decided)] if decided else ()
    troubled = [attempt for attempt in before if attempt.trouble and attempt.purpose in ("fetch", "register")]
    for attempt in {attempt.target: attempt for attempt in troubled}.values():
        if decided is None or decided.status is None or attempt.target == decided.target:
            continue
        cause = "unreachable" if attempt.trouble in ("refused", "icmp", "no-route", "reset") else "no-response"
        text = f"{way(attempt)} failed first ({_why(attempt)}), so {way(decided)} was tried: a phone waits that long at every registration."
        out.append(found(cause, WARN, seen, text, subject=way(attempt), reference="RFC 3263 section 4.3"))
    elsewhere = next((attempt for attempt in seen.attempts if attempt.answered_from), None)
    if elsewhere is not None:
        text = (
            f"Asked {elsewhere.target}, answered by {elsewhere.answered_from}: a NAT or firewall that lets in only whom it has called "
            "drops such answers, and the phone times out."
        )
        out.append(found("answered-from-elsewhere", WARN, seen, text, reference="RFC 3581 section 4"))
    changes = _changes(seen)
    if changes:
        text = "SIP does not come back as it was sent: a SIP ALG (or the server) rewrites it. edgecheck run sip-alg shows what and where."
        out.append(found("rewritten", WARN, seen, text, evidence=tuple(changes), reference="RFC 3261 section 8.2.6.2"))
    if seen.answer_diverted:
        text = (
            "Something on the way rewrites SIP (an ALG): an answer was taken to the port that Via names instead of the one that had asked. "
            "The server then believes that there is no NAT."
        )
        out.append(found("alg", WARN, seen, text, evidence=(_DIVERTED,), reference="RFC 3581 section 4"))
    followed = next((attempt for attempt in seen.attempts if attempt.redirect_to), None)
    if followed is not None and seen.ending != "redirects" and not (decided and decided.redirect_to):
        to = ", ".join(followed.redirect_to)
        text = f"{way(followed)} redirects to {to}: phones that do not follow need that address in their settings."
        out.append(found("redirected", WARN, seen, text, reference="RFC 3261 section 8.1.3.4"))
    return out


def summarize(seen: RegistrationObservation, findings: tuple[Finding, ...]) -> str:
    """The gravest finding's sentence; where all is well, what a phone's owner wants to know in one line."""
    order = (FAIL, INCONCLUSIVE, WARN, PASS, Verdict.SKIPPED)
    first = min(findings, key=lambda finding: order.index(finding.verdict))
    text = first.summary.rstrip(".")
    if first.id != "registration.registered":
        return text
    text += "; requests arrive here through it" if seen.inbound else "; whether calls arrive was not seen"
    return text + (f"; the server sees {seen.seen_as}" if seen.seen_as not in (None, seen.local) else "")
