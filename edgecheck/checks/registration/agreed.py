"""What registrar and phone agreed on beside the binding: outbound, GRUU, Path, Service-Route. Can a phone live by it? Pure."""

from edgecheck.checks.registration.evidence import found, way
from edgecheck.checks.registration.observation import Attempt, RegistrationObservation, ServiceHop
from edgecheck.model.evidence import WRONG_BY_CHANCE, chance_at_worst
from edgecheck.model.verdict import Finding, Verdict

_REFUSED = ("icmp", "refused", "reset", "no-route", "tls", "not-sip")


def agreed(seen: RegistrationObservation) -> tuple[str, ...]:
    """What the 200 says of it, one sentence each."""
    out = []
    if seen.outbound:
        held = f"; keep-alive at least every {seen.flow_timer_s} s (Flow-Timer)" if seen.flow_timer_s else ""
        answers = "; it answers the keep-alive" if seen.keepalive_answered else ""
        out.append(f"the registrar keeps the flow (RFC 5626: Require: outbound){held}{answers}")
    elif "outbound" in seen.offered:
        out.append("outbound (RFC 5626) was offered and not taken: no Require: outbound in the 200, so calls come to the Contact")
    if seen.gruu is not None:
        out.append(f"GRUU {seen.gruu} (RFC 5627): reaches this device alone")
    out += [f"Path: {value}" for value in seen.path]
    out += [f"Service-Route: {value}" for value in seen.service_route]
    return tuple(out)


def judge_service_route(seen: RegistrationObservation) -> list[Finding]:
    """The way that this registrar wants calls to take: can it be taken?"""
    hop = seen.service_hop
    if hop is None:
        return []
    out = []
    if not hop.loose:
        text = (
            f"The Service-Route {hop.uri} lacks ;lr: phones take it for a strict router and write their requests otherwise (its address "
            "becomes the Request-URI), which few proxies of today expect."
        )
        more = {"expected": f"<{hop.uri};lr>", "observed": f"<{hop.uri}>", "reference": "RFC 3608 section 5"}
        out.append(found("service-route-strict", Verdict.WARN, seen, text, **more))
    return [*out, *_unreachable(seen, hop)]


def _unreachable(seen: RegistrationObservation, hop: ServiceHop) -> list[Finding]:
    asked = next((each for each in seen.attempts if each.purpose == "reach" and _follows(each, hop)), None)
    if asked is not None and asked.status is not None:
        return []
    what = f"The 200 tells phones to send their calls by the Service-Route {hop.uri}, and "
    verdict, observed = Verdict.WARN, hop.target or "no address"
    if hop.target is None:
        text = f"{what}{hop.words}"
        verdict = Verdict.INCONCLUSIVE if hop.untold else verdict
    elif asked is None:
        return []
    elif hop.words or asked.trouble in _REFUSED:
        text = f"{what}{hop.target} cannot be reached: {(hop.words or asked.words).rstrip('.')}"
        verdict = Verdict.WARN if asked.trouble in _REFUSED else Verdict.INCONCLUSIVE  # nobody may have heard the SYNs
    else:
        observed = "silence"
        text = f"{what}{hop.target} is silent ({asked.copies} {'copy' if asked.copies == 1 else 'copies'} of OPTIONS)"
        if asked.transport != "udp" or _chance(seen, asked.copies, asked.target) >= WRONG_BY_CHANCE:
            verdict = Verdict.INCONCLUSIVE
    if verdict is Verdict.WARN:
        text += "; a phone that follows it (RFC 3608) registers and cannot call."
    else:
        text += "; whether it leads anywhere could not be told."
    return [found("service-route-unreachable", verdict, seen, text, observed=observed, reference="RFC 3608 section 6.1")]


def _follows(attempt: Attempt, hop: ServiceHop) -> bool:
    return any(hop.uri in text for text in (*attempt.route, attempt.uri or "")) or (attempt.copies == 0 and hop.target == way(attempt))


def _chance(seen: RegistrationObservation, copies: int, silent: str) -> float:
    """That so many copies were lost, by what the registrar answered over the same line."""
    heard = [each for each in seen.attempts if each.status is not None and each.transport == "udp" and each.target != silent]
    return chance_at_worst(len(heard) + seen.pinged_arrived, sum(each.copies for each in heard) + seen.pinged_sent, copies)


def judge_keepalive(seen: RegistrationObservation) -> list[Finding]:
    """A registrar that keeps the flow must answer what holds it open; loss is no reason to accuse it."""
    registered = next((each for each in reversed(seen.attempts) if each.purpose == "register"), None)
    if seen.keepalive_answered is not False or registered is None:
        return []
    if registered.transport == "udp":
        if _chance(seen, seen.keepalive_copies, "") >= WRONG_BY_CHANCE:
            return []
        what = f"{seen.keepalive_copies} STUN Binding requests on the flow met silence"
    else:
        heard = [each for each in seen.attempts if each.status is not None and each.target == registered.target]
        if any(each.delivery is None or each.delivery.unacked or each.delivery.retransmitted for each in heard):
            return []
        what = "a CRLF CRLF ping on the connection was not answered by CRLF within 10 s"
    text = (
        f"The registrar keeps the flow (Require: outbound) and does not answer its keep-alive: {what}. A phone that goes by RFC 5626 takes "
        "the flow for dead and registers anew again and again."
    )
    return [found("keepalive-unanswered", Verdict.WARN, seen, text, reference="RFC 5626 section 4.4")]
