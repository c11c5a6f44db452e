"""From what came back at each target to what that means. Pure.

Where some other target answers, a dead one costs a phone time: a warning. Where none does, what is proved (a refusal, a wrong kind of
server) is a failure, and silence stays undecided: no list of causes can be told apart from here.
"""

import ipaddress
import re
from collections.abc import Iterator
from typing import Literal

from edgecheck.checks.transport.observation import Attempt, TransportObservation
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Finding, Verdict
from edgecheck.wire.networks import is_public

Trouble = Literal[
    "silent",
    "udp-silent",
    "tcp-silent",
    "refused",
    "unreachable",
    "connected-silent",
    "hung-up",
    "wrong-transport",
    "tls-failed",
    "not-websocket",
    "not-sip",
    "no-usable-answer",
    "not-tried",
]
"""What keeps a target from answering."""
_ICMP = re.compile(r"ICMP 3/(\d+) from (\S+) about ")
_TOLERATED_LOSS = 1
"""Of five requests: one may be lost anywhere, any day."""


def judge(seen: TransportObservation, profile: Profile) -> tuple[Finding, ...]:
    """A finding for each target, and for what the answers themselves show."""
    if not seen.attempts:
        return (
            Finding(id="transport.skipped", verdict=Verdict.SKIPPED, subject="transport", summary="Not tested: no address to try."),
        )
    return tuple(finding for attempt in seen.attempts for finding in _of(attempt, seen))


def _of(attempt: Attempt, seen: TransportObservation) -> Iterator[Finding]:
    where = str(attempt.target)
    if attempt.state in ("answered", "answered-elsewhere"):
        yield from _answered(attempt, where)
        return
    cause, proved, text = _trouble(attempt, where, seen)
    verdict = Verdict.WARN if seen.flow else Verdict.FAIL if proved else Verdict.INCONCLUSIVE
    yield Finding(
        id=f"transport.{cause}",
        verdict=verdict,
        subject=where,
        summary=f"{text}.",
        expected="a SIP answer",
        observed=attempt.state,
        evidence=_evidence(attempt, seen),
        reference="RFC 3263 section 4.3",
    )
    elsewhere = _usual_port(attempt, seen)
    if elsewhere is not None and attempt.because.startswith("SRV "):
        lost = attempt.state in ("silent", "connected-silent") and not attempt.silence_proved
        yield Finding(
            id="transport.stale-port",
            verdict=Verdict.WARN if seen.flow else Verdict.INCONCLUSIVE if lost else Verdict.FAIL,
            subject=where,
            summary=(
                f"The DNS names port {attempt.port} ({attempt.because}), but the server answers at port {elsewhere.port}"
                f"{': the record is stale, or what was sent to its port got lost' if lost else ''}."
            ),
            expected=f"a SIP answer at port {attempt.port}",
            observed=f"{elsewhere.target} answered {elsewhere.status}",
            evidence=_evidence(attempt, seen),
            reference="RFC 2782",
        )


def _answered(attempt: Attempt, where: str) -> Iterator[Finding]:
    evidence = _evidence(attempt, None)
    said = f"{attempt.status} {attempt.reason}".strip()
    if attempt.state == "answered-elsewhere":
        yield Finding(
            id="transport.answered-elsewhere",
            verdict=Verdict.WARN,
            subject=where,
            summary=(
                f"{where} was asked, and {attempt.answered_from} answered: most NATs and firewalls let in only answers from where the "
                "question went."
            ),
            expected=f"an answer from {where}",
            observed=f"an answer from {attempt.answered_from}",
            evidence=evidence,
            reference="RFC 3581 section 4",
        )
    elif attempt.status == 503:
        yield Finding(
            id="transport.unavailable",
            verdict=Verdict.WARN,
            subject=where,
            summary=f"{where} answers OPTIONS with {said}: it is there and takes no requests now; a phone goes on to the next target.",
            expected="any other answer",
            observed=said,
            evidence=evidence,
            reference="RFC 3261 section 21.5.4",
        )
    else:
        yield Finding(
            id="transport.answered",
            verdict=Verdict.PASS,
            subject=where,
            summary=f"{where} answers OPTIONS with {said} in {attempt.rtt_ms:g} ms.",
            observed=said,
            evidence=evidence,
            reference="RFC 3261 section 11",
        )
    # The last one over UDP names another port in its Via, and a server that ignores rport may answer where nobody hears it.
    lost = attempt.sent - attempt.answers - (1 if attempt.transport == "udp" else 0)
    if attempt.sent > 1 and lost > _TOLERATED_LOSS:
        yield Finding(
            id="transport.loss",
            verdict=Verdict.WARN,
            subject=where,
            summary=(
                f"{lost} of {lost + attempt.answers} requests to {where} got no answer in time: packets are lost, or the server is slow, "
                "or it limits how often it may be asked."
            ),
            expected="an answer to each",
            observed=f"{attempt.answers} of {lost + attempt.answers} answered",
            evidence=evidence,
        )
    if attempt.rport_ignored:
        yield Finding(
            id="transport.rport-ignored",
            verdict=Verdict.WARN,
            subject=where,
            summary=(
                f"An answer of {where} came to the port written in the Via, not to the one the request came from: either the server "
                "ignores rport, or a SIP ALG on the path delivers answers there. Where a NAT changes port numbers they are lost."
            ),
            expected="the answer at the sending port",
            observed="the answer at the port in the Via",
            evidence=evidence,
            reference="RFC 3581 section 4",
        )


def _trouble(attempt: Attempt, where: str, seen: TransportObservation) -> tuple[Trouble, bool, str]:
    """Cause, whether it is proved, and the sentence without its full stop."""
    if attempt.state == "silent":
        return _silent(attempt, where, seen)
    words = f" ({attempt.words})" if attempt.words else ""
    sibling = _sibling(attempt, seen)
    if sibling is not None and attempt.state in ("refused", "unreachable"):
        right = sibling.transport
        return "wrong-transport", True, (
            f"{where} is refused, while {right.upper()} is answered at the same port: the transport is wrong (transport={right})"
        )
    if attempt.state == "refused":
        how = "ICMP port unreachable" if attempt.transport == "udp" else "a reset (RST)"
        return "refused", True, (
            f"{where} refuses: {how} came back, so nothing listens there, or a firewall rejects it{_private(attempt)}{_own(attempt, seen)}"
        )
    if attempt.state == "unreachable":
        return "unreachable", True, f"{where} cannot be reached: {_obstacle(attempt.words)}{_private(attempt)}{_own(attempt, seen)}"
    if attempt.state == "connected-silent":
        asked = "OPTIONS" if attempt.sent else "a TLS greeting"
        return "connected-silent", False, (
            f"{where} takes the connection and says nothing to {asked}: another service, a server that ignores strangers, or a box between "
            "that accepts connections itself"
        )
    if attempt.state in ("reset", "closed") and "TLS alert" in attempt.words:
        alert = attempt.words.partition("TLS alert: ")[2].rstrip(")")
        return "hung-up", False, f"{where} opens TLS and ends it with an alert ({alert}); see tls"
    if attempt.state in ("reset", "closed"):
        return "hung-up", False, (
            f"{where} hangs up without an answer{words}: a guard that has blocked this address, another service, or a box between that "
            "does not like SIP"
        )
    if attempt.state == "tls-on-plain":
        return "wrong-transport", True, f"{where} speaks TLS, not plain SIP: the port or the transport is wrong (transport=tls)"
    if attempt.state == "plain-on-tls":
        return "wrong-transport", True, f"{where} speaks plain SIP, not TLS: the port or the transport is wrong (transport=tcp)"
    if attempt.state == "tls-failed":
        return "tls-failed", True, f"TLS could not be opened with {where}: {attempt.words.partition(': ')[2].rstrip('.') or attempt.words}"
    if attempt.state == "not-websocket":
        return "not-websocket", True, f"{where} opens no WebSocket for SIP: {attempt.words.rstrip('.')}"
    if attempt.state == "not-sip":
        return "not-sip", True, f"Something else than a SIP server answers at {where}: {attempt.words}"
    if attempt.state == "no-usable-answer":
        return "no-usable-answer", False, (
            f"A SIP server is at {where}, but what came back to OPTIONS is no answer to it ({attempt.words}): what stands behind it does "
            "not answer, or the answer is damaged"
        )
    return "not-tried", False, f"{where} was not tried: {attempt.words.rstrip('.')}"


def _silent(attempt: Attempt, where: str, seen: TransportObservation) -> tuple[Trouble, bool, str]:
    sibling = _sibling(attempt, seen)
    what = "No connection came about with" if attempt.transport != "udp" else "Nothing came back from"
    if sibling is not None and attempt.transport == "udp":
        return "udp-silent", False, (
            f"Nothing came back from {where}, while {sibling.transport.upper()} is answered there: UDP is filtered on the way or not "
            "served, or packets, of this size perhaps, are lost"
        )
    if sibling is not None:
        return "tcp-silent", False, f"{what} {where}, while {sibling.transport.upper()} is answered there: filtered, not served, or lost"
    elsewhere = ", answers sent from another address or port, which a NAT drops," if attempt.transport == "udp" else ""
    return "silent", False, (
        f"{what} {where}: a firewall on either side, a server that is off or ignores strangers{elsewhere or ','} a stale address or "
        "packets that get lost"
        f"{_private(attempt)}{_own(attempt, seen)}"
    )


def _obstacle(words: str) -> str:
    """An ICMP error in plain words, with what it may come from; anything else as it was said."""
    icmp = _ICMP.match(words)
    if icmp is None:
        return words.rstrip(".")
    code, sender = icmp.groups()
    if code in ("0", "1"):
        return (
            f"{sender} reports no way to that host (ICMP 3/{code}): the host is off, its address is stale, or the way there is missing (a "
            "route, a VPN)"
        )
    if code in ("9", "10", "13"):
        return f"{sender} forbids it (ICMP 3/{code}): a firewall there"
    return words.rstrip(".")


def _private(attempt: Attempt) -> str:
    if is_public(attempt.address) is False and not ipaddress.ip_address(attempt.address).is_loopback:
        return f"; {attempt.address} is a private address, which can be reached only inside its own network or through a VPN"
    return ""


def _own(attempt: Attempt, seen: TransportObservation) -> str:
    """What stands behind this very router is reached from inside only where the router leads packets back."""
    if attempt.address != seen.own_address:
        return ""
    return f"; {attempt.address} is this network's own public address, and the router may not lead packets back inside (hairpinning)"


def _sibling(attempt: Attempt, seen: TransportObservation) -> Attempt | None:
    """Another transport that is answered at the same address and port."""
    return next((each for each in _others(seen) if each.works and (each.address, each.port) == (attempt.address, attempt.port)), None)


def _others(seen: TransportObservation) -> tuple[Attempt, ...]:
    return (*seen.attempts, *seen.beside)


def _usual_port(attempt: Attempt, seen: TransportObservation) -> Attempt | None:
    """Only where no record names that port: two ports in the DNS may be two servers."""
    return next(
        (
            each
            for each in seen.beside
            if each.works and each.transport == attempt.transport and each.address == attempt.address and each.port != attempt.port
        ),
        None,
    )


def _evidence(attempt: Attempt, seen: TransportObservation | None) -> tuple[str, ...]:
    out = [f"{attempt.target}: {_told(attempt)}", f"tried because: {attempt.because}"]
    if attempt.seen_as:
        out.append(f"the server saw us as {attempt.seen_as}")
    if seen is not None:
        out += [f"{each.target} ({each.because}): {_told(each)}" for each in seen.beside if each.address == attempt.address]
    return tuple(out)


def _told(attempt: Attempt) -> str:
    if attempt.status is not None:
        software = f" by {attempt.software}" if attempt.software else ""
        words = f"; {attempt.words}" if attempt.words else ""
        answers = f"{attempt.answers} answers to {attempt.sent} requests, {attempt.rtt_ms} ms"
        return f"{attempt.status} {attempt.reason}{software}, {answers}{words}"
    words = f": {attempt.words}" if attempt.words else ""
    after = f", after {attempt.sent} request{'s' if attempt.sent > 1 else ''}" if attempt.sent else ""
    again = f"; asked {attempt.again} times again, while the usual port answered {attempt.usual_answers} times" if attempt.again else ""
    return f"{attempt.state}{words}{after}{again}"


def summarize(seen: TransportObservation, findings: tuple[Finding, ...]) -> str:
    """``UDP 203.0.113.5:5060 answers OPTIONS with 200 OK in 12 ms``"""
    order = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.WARN, Verdict.PASS, Verdict.SKIPPED)
    return sorted(findings, key=lambda finding: order.index(finding.verdict))[0].summary.rstrip(".")
