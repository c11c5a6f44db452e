"""From what was asked and answered to findings. Pure.

A status code says what happened, seldom why: where several causes fit, the finding lists them in the sheet's order and says what tells
them apart. A cause is asserted only where the answers show it.
"""

from edgecheck.checks.registration.after import host_of_uri, judge_registered
from edgecheck.checks.registration.dialogue import LONGEST_EXPIRY_S
from edgecheck.checks.registration.evidence import answer, found, host_of, way
from edgecheck.checks.registration.observation import Attempt, RegistrationObservation
from edgecheck.checks.registration.silence import fell_silent, unanswered, why
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
        leaves = seen.aor.startswith("sips:") and not any(uri.lower().startswith("sips:") for uri in end.redirect_to) and end.redirect_to
        there = f"{way(end)} does not answer ({why(end)})" if end.status is None else "that way does not end: see the requests"
        if leaves:
            there = "that leads out of TLS, which a sips: account must not follow"
        text = f"Redirected ({answer(decisive)}) to {to}, and {there}."
        return [found("redirected", FAIL, seen, text, reference="RFC 3261 section 8.1.3.4")]
    silent = fell_silent(seen, decisive)
    if silent is not None:
        return [silent]
    if decisive.status is None:
        return [unanswered(seen, decisive)]
    return [_refused(seen, decisive)]


_SECURED = ("tls", "wss")


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
    usual = "most likely the password or the authentication user is wrong (the answer does not say which; the server's log does)"
    text += "; or ".join([usual, *hints]) + "."
    cause = "proxy-authentication" if proxy else "wrong-credentials"
    section = "22.3" if proxy else "22.2"
    return found(cause, FAIL, seen, text, evidence=facts, reference=f"RFC 3261 section {section}")


def _hints(seen: RegistrationObservation) -> tuple[list[str], list[str]]:
    """Causes of a repeated challenge, other than the usual two, that the answers show signs of; and those signs."""
    hints: list[str] = []
    facts: list[str] = []
    here = _on_one_link(seen)
    ports = list(dict.fromkeys(attempt.rport for attempt in here if attempt.rport is not None))
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
    realms = _changing_realms(here)
    if realms:
        hints.append(f"the realm changes from challenge to challenge ({', '.join(map(repr, realms))}): more than one server answers")
        facts.append(f"realms offered, in order: {', '.join(map(repr, realms))}")
    host = host_of_uri(seen.aor).strip("[]")
    if is_public(host) is not None and here and host in [each.realm for each in here[-1].challenges]:
        # A realm that follows what was asked for: the same registrar asked by its domain may have that realm, and passwords for it.
        hints.append("the password is kept for the account's domain, and the account is given with an IP address in its place")
        facts.append(f"the account is given as {seen.aor}, and its realm is that address")
    if seen.password_edged:
        hints.append("the password that was given begins or ends with a blank")
        facts.append("the password that was given begins or ends with a blank")
    return hints, facts


def _on_one_link(seen: RegistrationObservation) -> list[Attempt]:
    """The last requests in a row that left by one socket of ours to one server: only these can show what a NAT or a server changes."""
    out: list[Attempt] = []
    for attempt in reversed([each for each in seen.attempts if each.purpose in ("fetch", "register")]):
        if out and ((attempt.transport, attempt.target) != (out[0].transport, out[0].target) or attempt.redirect_to):
            break
        out.insert(0, attempt)
    return out


def _changing_realms(attempts: list[Attempt]) -> list[str]:
    """The realms of a proxy, or of a registrar, that asked for another one each time; a proxy and a registrar have each their own."""
    for proxy in (False, True):
        asked = [tuple(each.realm for each in attempt.challenges if each.proxy is proxy) for attempt in attempts]
        if len({frozenset(realms) for realms in asked if realms}) > 1:
            return list(dict.fromkeys(realm for realms in asked for realm in realms))
    return []


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


def _refused(seen: RegistrationObservation, decisive: Attempt) -> Finding:
    status, verdict = decisive.status or 0, FAIL
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
        if LONGEST_EXPIRY_S < decisive.min_expires_s < 2**32:  # RFC 3261 section 20.19: what is larger is no time at all
            text += f", and the doctor asks for {LONGEST_EXPIRY_S} s at most: a phone set to that, or following Min-Expires, may register"
            verdict = INCONCLUSIVE
    last = [attempt for attempt in seen.attempts if attempt.purpose in ("fetch", "register")][-1]
    if last.status is None and last.target != decisive.target:
        text += f"; {way(last)}, tried next, does not answer ({why(last)})"
    if decisive.requires:
        text += f" ({', '.join(decisive.requires)})"
    if status == 400:
        facts = _changes(seen)
        if facts:
            text += "; something on the way rewrites SIP, which is the first suspect"
    section = _REFERENCES.get(cause, "RFC 3261 section 21")
    return found(cause, verdict, seen, f"{text}.", observed=answer(decisive), evidence=facts, reference=section)


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
        text = f"{way(attempt)} failed first ({why(attempt)}), so {way(decided)} was tried: a phone waits that long at every registration."
        out.append(found(cause, WARN, seen, text, subject=way(attempt), reference="RFC 3263 section 4.3"))
    for attempt in {attempt.target: attempt for attempt in before if attempt.status == 503}.values():
        if decided is not None and attempt.target != decided.target:
            text = f"{way(attempt)} answered {answer(attempt)}, so {way(decided)} was tried: a phone that tries no other stays away."
            out.append(found("service-unavailable", WARN, seen, text, subject=way(attempt), reference="RFC 3263 section 4.3"))
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
        later = seen.attempts[seen.attempts.index(followed) + 1 :]
        if followed.transport in _SECURED and any(each.credentials and each.transport not in _SECURED for each in later):
            text += " It leads out of TLS: from there on whoever is on the way reads along, and can try passwords on what it was given."
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
