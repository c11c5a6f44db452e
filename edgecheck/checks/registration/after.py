"""What a 200 leaves open: is the binding what we asked for, and does a request reach us through it? Pure."""

from edgecheck.checks.registration.agreed import agreed, judge_keepalive, judge_service_route
from edgecheck.checks.registration.bindings import same_uri
from edgecheck.checks.registration.evidence import answer, found, host_of, way
from edgecheck.checks.registration.loss import chance_unreached
from edgecheck.checks.registration.observation import Attempt, RegistrationObservation
from edgecheck.model.evidence import WRONG_BY_CHANCE
from edgecheck.model.verdict import Finding, Verdict
from edgecheck.wire import sip
from edgecheck.wire.errors import WireError
from edgecheck.wire.networks import is_public

PASS, WARN, FAIL, SKIPPED = Verdict.PASS, Verdict.WARN, Verdict.FAIL, Verdict.SKIPPED


def judge_registered(seen: RegistrationObservation) -> list[Finding]:
    """Everything after a 200 to a REGISTER with our Contact."""
    if seen.granted_expires_s == 0:
        return [_not_kept(seen), *_address(seen)]
    out = [_registered(seen), *_contact(seen), *_expiry(seen), *_reach(seen), *judge_service_route(seen), *judge_keepalive(seen)]
    out += [*_address(seen), *_others(seen)]
    if not any(attempt.challenges for attempt in seen.attempts):
        text = (
            "The registrar took the registration without asking for a password: either it trusts this address "
            "(an IP-based trunk), or anybody may register there."
        )
        out.append(found("no-password-asked", WARN, seen, text, reference="RFC 3261 section 10.3"))
    if seen.server_proved is False:
        text = (
            "The server's proof that it knows the password (rspauth) is wrong: another box answered in its name, or it is computed wrongly."
        )
        out.append(found("server-unproved", WARN, seen, text, reference="RFC 7616 section 3.5"))
    return out


def _last(seen: RegistrationObservation, purpose: str) -> Attempt | None:
    return next((attempt for attempt in reversed(seen.attempts) if attempt.purpose == purpose), None)


def _registered(seen: RegistrationObservation) -> Finding:
    attempt = _last(seen, "register")
    by = f"with {attempt.algorithm} credentials" if attempt and attempt.algorithm else "without credentials"
    text = f"{seen.aor} registers at {way(attempt) if attempt else 'its registrar'} {by}"
    if seen.granted_expires_s is not None:
        text += f", for {seen.granted_expires_s} s"
    return found("registered", PASS, seen, f"{text}.", evidence=agreed(seen), reference="RFC 3261 section 10")


def _not_kept(seen: RegistrationObservation) -> Finding:
    attempt = _last(seen, "register")
    text = (
        f"{way(attempt) if attempt else 'The registrar'} answered 200 and grants 0 s: the account is not registered. Either the registrar "
        "threw the binding away at once, or something on the way made the request one that removes (Expires: 0)."
    )
    asked = None if seen.requested_expires_s is None else f"{seen.requested_expires_s} s"
    return found("not-kept", FAIL, seen, text, expected=asked, observed="0 s", reference="RFC 3261 section 10.3")


def _contact(seen: RegistrationObservation) -> list[Finding]:
    if seen.contact_sent is None:
        return []
    if seen.contact_seen is None:
        if seen.bindings is None:
            return []
        text = (
            "The registrar said 200 and does not list our Contact: either it keeps bindings to itself, or it stored nothing. "
            "A call to this account tells."
        )
        return [found("contact-missing", WARN, seen, text, reference="RFC 3261 section 10.3")]
    if same_uri(seen.contact_sent, seen.contact_seen):
        return []
    text = f"Our Contact {seen.contact_sent} is listed as {seen.contact_seen}: "
    if host_of_uri(seen.contact_seen) == host_of(seen.seen_as):
        text += (
            "somebody put in the address that the server sees. A registrar that mends NAT does that, and a SIP ALG in the router "
            "does it too: edgecheck run sip-alg tells which."
        )
    elif seen.removed is False:
        text += "it stays when ours is removed: another device's that came meanwhile, while ours is not listed, or ours, rewritten."
    else:
        text += "the registrar, a session border controller before it or a SIP ALG rewrote it."
    facts = (f"sent Contact {seen.contact_sent}", f"listed in the 200 as {seen.contact_seen}")
    return [
        found(
            "contact-rewritten",
            WARN,
            seen,
            text,
            expected=seen.contact_sent,
            observed=seen.contact_seen,
            evidence=facts,
            reference="RFC 3261 section 10.3",
        )
    ]


def host_of_uri(uri: str) -> str:
    """The host of a SIP URI; empty where it has none."""
    try:
        return sip.uri_parts(uri).host
    except WireError:
        return ""


def _expiry(seen: RegistrationObservation) -> list[Finding]:
    out = []
    brief = next((attempt for attempt in seen.attempts if attempt.status == 423), None)
    if brief is not None:
        text = f"The registrar refuses to register for less than {brief.min_expires_s} s (423); with that it registers."
        out.append(found("interval-too-brief", WARN, seen, text, reference="RFC 3261 section 10.2.8"))
    asked, granted = seen.requested_expires_s, seen.granted_expires_s
    if asked is not None and granted is not None and granted < asked:
        text = (
            f"Asked for {asked} s, the registrar grants {granted} s: a phone must renew within that time, "
            "not within the time that is set in it."
        )
        more = {"expected": f"{asked} s", "observed": f"{granted} s", "reference": "RFC 3261 section 10.2.4"}
        out.append(found("expires-shortened", WARN, seen, text, **more))
    return out


def _reach(seen: RegistrationObservation) -> list[Finding]:
    if seen.inbound:
        first = seen.inbound[0]
        facts = tuple(f"{each.method} from {each.source} arrived {each.after_s:.2f} s after the 200" for each in seen.inbound)
        text = f"Requests reach this place through the registration: {first.method} from {first.source} after {first.after_s:.1f} s."
        return [found("reachable", PASS, seen, text, evidence=facts, reference="RFC 3261 section 16")]
    asked = _last(seen, "reach")
    by_gruu = asked is not None and seen.gruu is not None and asked.uri == seen.gruu
    alone = (seen.bindings is not None and len(seen.bindings) == 1 and seen.bindings[0].own) or by_gruu
    private = seen.contact_seen is not None and is_public(host_of_uri(seen.contact_seen)) is False
    hidden = private and is_public(host_of(seen.seen_as)) is True
    if asked is not None and asked.status in (408, 430) and alone:
        text = f"Requests do not reach this place: one to {asked.uri or seen.aor} came back as {answer(asked)}, and nothing arrived here. "
        if chance_unreached(seen) >= WRONG_BY_CHANCE:
            text += "That may be the fault of a line that loses much, as well as of the way that the server sends them."
            return [found("not-reachable", Verdict.INCONCLUSIVE, seen, text, reference="RFC 3261 section 16.7")]
        text += (
            f"The registrar keeps the private Contact {seen.contact_seen}, which nobody outside can reach."
            if hidden
            else "What was sent to our Contact got lost, or the server did not send it there."
        )
        if seen.path:
            text += f" It is for the proxy in the Path ({seen.path[0]}) to know the way here, and it may not."
        return [found("not-reachable", FAIL if hidden else WARN, seen, text, reference="RFC 3261 section 16.7")]
    text = f"Whether calls arrive was not seen: nothing came through the registration within {seen.waited_s:.0f} s"
    if asked is not None and asked.status is not None:
        by = "by the server itself" if alone else "by the server itself or another phone of the account"
        text += f", and an OPTIONS to the own address was answered {answer(asked)} {by}"
    text += ". Call this account to see."
    if hidden:
        text += f" It lists the private Contact {seen.contact_seen}, so it must send to where the REGISTER came from, {seen.seen_as}."
    return [found("reach-untold", SKIPPED, seen, text)]


def _address(seen: RegistrationObservation) -> list[Finding]:
    if seen.seen_as is None or seen.local is None or seen.seen_as == seen.local:
        return []
    host = host_of(seen.seen_as)
    text = (
        f"The server sees this machine as {seen.seen_as}: addresses are translated on the way, so the way back must be kept open "
        f"(keep-alive). The allow-list of an IP-based trunk must name {host}."
    )
    return [found("seen-as", PASS, seen, text, observed=seen.seen_as, reference="RFC 3581")]


def _others(seen: RegistrationObservation) -> list[Finding]:
    out = []
    others = [binding for binding in seen.bindings or () if not (binding.own or same_uri(binding.contact, seen.contact_seen or ""))]
    if others and seen.contact_seen is not None:
        text = f"{len(others)} other {'device is' if len(others) == 1 else 'devices are'} registered for this account."
        facts = tuple(f"{each.contact}, for {each.expires_s} s" for each in others)
        out.append(found("other-bindings", PASS, seen, text, evidence=facts, reference="RFC 3261 section 10.3"))
    if seen.displaced:
        text = (
            f"When this machine registered, {seen.displaced[0]} was no longer listed: this account seems to take one device only, and the "
            "other one will be back when it renews. Use --dry on accounts that are in use."
        )
        out.append(found("displaced", WARN, seen, text, reference="RFC 3261 section 10.3"))
    if seen.removed is False:
        end = seen.granted_expires_s or seen.requested_expires_s
        ours = seen.contact_sent is not None and seen.contact_seen is not None and same_uri(seen.contact_sent, seen.contact_seen)
        what = "Our binding" if ours else "What was listed in the place of our Contact"
        text = f"{what} is still listed after ours was removed" + (f"; it ends by itself within {end} s." if ours else ".")
        out.append(found("binding-left", WARN, seen, text, reference="RFC 3261 section 10.2.2"))
    refused = _last(seen, "remove")
    if seen.removed is None and refused is not None and (refused.status or 0) >= 300:
        end = seen.granted_expires_s or seen.requested_expires_s
        text = f"The removal of our binding was refused ({answer(refused)}); it ends by itself within {end} s."
        out.append(found("binding-left", WARN, seen, text, reference="RFC 3261 section 10.2.2"))
    return out
