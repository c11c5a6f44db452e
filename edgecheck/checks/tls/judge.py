"""From what a TLS port showed to what a phone makes of it. Pure: validity is judged by the time that the observation carries."""

import datetime
from collections.abc import Iterator
from typing import Literal

from edgecheck.checks.tls.inspectors import inspector
from edgecheck.checks.tls.interception import beside, interception, made_up, signs
from edgecheck.checks.tls.names import match, told
from edgecheck.checks.tls.observation import TlsObservation, TlsServer
from edgecheck.model.phone import Certificate
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Finding, Verdict

Cause = Literal[
    "trusted",
    "not-tls",
    "refused",
    "no-handshake",
    "old-version",
    "weak-cipher",
    "client-certificate-wanted",
    "expired",
    "not-yet-valid",
    "expires-soon",
    "name-mismatch",
    "wildcard-only",
    "common-name-only",
    "self-signed",
    "unknown-authority",
    "incomplete-chain",
    "intercepted",
    "sni-needed",
]
_OF_AUTHORITIES = ("self-signed", "unknown-authority", "incomplete-chain")
_COMPARE = "Before this authority is trusted anywhere, compare the fingerprint with the one on the server: another there means a box here."
SOON_DAYS = 21
"""A certificate of Let's Encrypt that was not renewed 30 days before its end: something is stuck."""
_UNREACHED = ("refused", "reset", "no-answer", "no-route", "no-descriptors", "permission", "port-in-use")
_SELF_SIGNED, _UNTRUSTED_ROOT = 18, 19


def judge(seen: TlsObservation, profile: Profile) -> tuple[Finding, ...]:
    """Every fault of every TLS port; ``tls.trusted`` for one without."""
    if not seen.servers:
        text = "Not tested: neither the address nor the DNS names a TLS port."
        return (Finding(id="tls.skipped", verdict=Verdict.SKIPPED, subject="tls", summary=text),)
    return tuple(finding for server in seen.servers for finding in _of(server, seen))


def _finding(
    cause: Cause, verdict: Verdict, server: TlsServer, seen: TlsObservation, text: str, expected: str, observed: str, reference: str = ""
) -> Finding:
    # Where a phone with this account uses another transport, a bad certificate stops nobody yet.
    if verdict is Verdict.FAIL and not seen.decisive:
        verdict = Verdict.WARN
    return Finding(
        id=f"tls.{cause}",
        verdict=verdict,
        subject=server.target,
        summary=text,
        expected=expected,
        observed=observed,
        evidence=_evidence(server, seen),
        remedies=(_COMPARE,) if cause in _OF_AUTHORITIES and beside(server) else (),
        reference=reference,
    )


def _evidence(server: TlsServer, seen: TlsObservation) -> tuple[str, ...]:
    out = [f"{server.target}, asked for {seen.domain} at {seen.seen_at}"]
    if server.version:
        out.append(f"{server.version}, {server.cipher}")
    for depth, each in enumerate(server.chain):
        out.append(
            f"certificate {depth}: {each.subject}, issued by {each.issuer}, valid {each.not_before} to {each.not_after}, {each.key}, "
            f"SHA-256 {each.fingerprint[:16]}..."
        )
    if server.chain:
        out.append(f"names: {', '.join(told(server.chain[0])) or 'none'}")
        out.append(
            "the chain is trusted" if server.trusted else f"verification: {server.verify_words or 'not trusted'} ({server.verify_code})"
        )
    if server.failure:
        out.append(
            f"handshake: {server.failure}"
            + (f", alert: {server.alert}" if server.alert else "")
            + (f", {server.words}" if server.words else "")
        )
    if server.client_certificate_requested:
        out.append("the server sent a CertificateRequest")
    out += signs(server, seen.seen_at)
    if server.chain and not server.trusted:
        shown = [each for each in seen.servers if each.chain and each.chain[0].issuer != server.chain[0].issuer]
        out += [f"{each.target} shows a certificate of another authority, {each.chain[0].issuer}" for each in shown]
    if server.heard:
        out.append(f"what came back began with {server.heard}")
    return tuple(out)


def _of(server: TlsServer, seen: TlsObservation) -> Iterator[Finding]:
    if server.chain and interception(server, server.chain[0]) is not None:
        yield from _intercepted(server, server.chain[0], seen)
        return
    found = [*_no_handshake(server, seen), *_version(server, seen), *_client(server, seen)]
    if server.chain and server.failure in (None, "alert"):
        leaf = server.chain[0]
        found += [
            *_validity(server, seen),
            *_name(server, leaf, seen),
            *_authority(server, leaf, seen),
            *_intercepted(server, leaf, seen),
            *_server_name(server, seen),
        ]
        if not found:
            days = f", valid for {seen.days_left} more days" if seen.days_left is not None and leaf.not_after == seen.not_after else ""
            text = f"{server.target}: a phone trusts this certificate for {seen.domain} ({server.version}{days})."
            found.append(_finding("trusted", Verdict.PASS, server, seen, text, "", leaf.subject, "RFC 5922 section 7"))
    yield from found


def _no_handshake(server: TlsServer, seen: TlsObservation) -> Iterator[Finding]:
    where = server.target
    if server.failure is None or server.failure == "old-version":
        return
    if server.failure in _UNREACHED:
        text = f"Not tested: {where} was not reached ({server.failure}); see transport."
        yield Finding(id="tls.skipped", verdict=Verdict.SKIPPED, subject=where, summary=text)
    elif server.failure == "not-tls":
        text = f"{where} does not speak TLS: what came back was {server.heard}. The port or the transport is wrong."
        yield _finding("not-tls", Verdict.FAIL, server, seen, text, "a TLS handshake", server.heard)
    elif server.failure == "alert":
        if not server.client_certificate_requested:
            text = (
                f"{where} refuses TLS with the alert {server.alert!r}: it shares no version or cipher with phones of today, or does not "
                f"know the name {seen.domain}."
            )
            yield _finding(
                "refused", Verdict.FAIL, server, seen, text, "a finished handshake", f"alert: {server.alert}", "RFC 8446 section 6.2"
            )
    else:
        how = {"timeout": "says nothing to a TLS greeting", "closed": "hangs up during the TLS handshake"}
        words = how.get(server.failure, f"did not finish the TLS handshake ({server.words or server.failure})")
        text = f"{where} takes the connection and {words}: it may not speak TLS, or a box between does not let TLS pass."
        yield _finding("no-handshake", Verdict.INCONCLUSIVE, server, seen, text, "a finished handshake", server.failure)


def _version(server: TlsServer, seen: TlsObservation) -> Iterator[Finding]:
    if server.failure == "old-version" or server.below_floor:
        had = f"{server.version} with {server.cipher}" if server.below_floor else "an older version"
        text = f"{server.target} offers only {had}: phones of today ask for TLS 1.2 and its ciphers at least, and do not connect."
        yield _finding("old-version", Verdict.FAIL, server, seen, text, "TLS 1.2 or 1.3", had, "RFC 8996")
    elif server.weak:
        text = (
            f"{server.target} offers no better cipher than {server.cipher} ({server.version}): current TLS libraries leave it out unless "
            "they are told otherwise. Older phones take it, newer ones may not connect."
        )
        better, had = "ECDHE with AES-GCM or ChaCha20", server.cipher or ""
        yield _finding("weak-cipher", Verdict.WARN, server, seen, text, better, had, "RFC 9325 section 4.2")


def _client(server: TlsServer, seen: TlsObservation) -> Iterator[Finding]:
    if not server.client_certificate_requested:
        return
    if server.failure == "alert":
        text = f"{server.target} demands a certificate of the phone and ends the connection without one (alert: {server.alert})."
        yield _finding(
            "client-certificate-wanted",
            Verdict.FAIL,
            server,
            seen,
            text,
            "a handshake without one",
            f"alert: {server.alert}",
            "RFC 8446 section 4.3.2",
        )
    elif server.failure is None:
        text = f"{server.target} asks for a certificate of the phone, and opened TLS without one."
        yield _finding(
            "client-certificate-wanted", Verdict.WARN, server, seen, text, "no request", "a request, not enforced", "RFC 8446 section 4.3.2"
        )


def _validity(server: TlsServer, seen: TlsObservation) -> Iterator[Finding]:
    now = datetime.datetime.fromisoformat(seen.seen_at)
    for depth, each in enumerate(server.chain):
        begins, ends = datetime.datetime.fromisoformat(each.not_before), datetime.datetime.fromisoformat(each.not_after)
        which = "The certificate" if depth == 0 else f"The authority's certificate {each.subject!r} in the chain"
        if depth and server.trusted:
            continue  # another way to an authority was found: what is dated here decides nothing
        if ends < now:
            text = f"{which} of {server.target} expired on {each.not_after[:10]}, {(now - ends).days} days ago."
            yield _finding("expired", Verdict.FAIL, server, seen, text, "a valid certificate", each.not_after, "RFC 5280 section 4.1.2.5")
        elif begins > now:
            text = (
                f"{which} of {server.target} is valid only from {each.not_before}; here it is {seen.seen_at}. It was made too early, or "
                "this machine's clock is wrong (phones take theirs from NTP)."
            )
            yield _finding(
                "not-yet-valid", Verdict.FAIL, server, seen, text, "a valid certificate", each.not_before, "RFC 5280 section 4.1.2.5"
            )
        elif depth == 0 and (ends - now).days < SOON_DAYS:
            text = f"The certificate of {server.target} expires in {(ends - now).days} days, on {each.not_after[:10]}."
            yield _finding("expires-soon", Verdict.WARN, server, seen, text, f"more than {SOON_DAYS} days", f"{(ends - now).days} days")


def _name(server: TlsServer, leaf: Certificate, seen: TlsObservation) -> Iterator[Finding]:
    how = match(leaf, seen.domain)
    names = ", ".join(told(leaf)) or "no name"
    if how == "wildcard":
        text = (
            f"The certificate of {server.target} covers {seen.domain} only by a wildcard ({names}): SIP allows none (RFC 5922), so strict "
            "phones refuse it, and others accept it."
        )
        yield _finding("wildcard-only", Verdict.WARN, server, seen, text, seen.domain, names, "RFC 5922 section 7.2")
    elif how == "common-name":
        text = (
            f"The certificate of {server.target} names {seen.domain} only in its common name: current TLS libraries look at subjectAltName "
            "alone."
        )
        yield _finding("common-name-only", Verdict.WARN, server, seen, text, f"subjectAltName {seen.domain}", names, "RFC 5922 section 7.1")
    elif how == "none":
        hosts = server.host != seen.domain and match(leaf, server.host) != "none"
        for_host = (
            f" It names the host {server.host} that the DNS leads to, but a phone compares with the domain of the account." if hosts else ""
        )
        text = f"The certificate of {server.target} is for {names}, not for {seen.domain}.{for_host}"
        yield _finding("name-mismatch", Verdict.FAIL, server, seen, text, seen.domain, names, "RFC 5922 section 7")


def _authority(server: TlsServer, leaf: Certificate, seen: TlsObservation) -> Iterator[Finding]:
    if server.trusted or server.below_floor:
        return
    last = server.chain[-1]
    if leaf.self_issued:
        text = (
            f"The certificate of {server.target} is self-signed ({leaf.subject}): a phone accepts it only if this very certificate was "
            f"installed on it, or if it checks nothing.{beside(server)}"
        )
        yield _finding("self-signed", Verdict.FAIL, server, seen, text, "a certificate of an authority", leaf.issuer, "RFC 5280 section 6")
        return
    if server.verify_code in (None, 9, 10) and last.self_issued is False and server.verify_code != 20:
        return  # dates are at fault, and told by their own findings
    if last.self_issued or server.verify_code == _UNTRUSTED_ROOT:
        text = f"The certificate of {server.target} comes from {last.issuer!r}, an authority that is not in this machine's store."
        text += beside(server)
        yield _finding("unknown-authority", Verdict.FAIL, server, seen, text, "a known authority", last.issuer, "RFC 5280 section 6")
        return
    missing = f"{server.target} does not send the certificate of its issuer, {last.issuer!r}, and this machine does not know that issuer"
    if leaf.logged and len(server.chain) == 1 and not beside(server):
        # A public authority, and those sign no server's certificate by their root.
        text = f"{missing}: an intermediate certificate is missing on the server. Browsers fetch it themselves, phones do not."
        yield _finding("incomplete-chain", Verdict.FAIL, server, seen, text, "the whole chain", "1 sent", "RFC 8446 section 4.4.2")
        return
    apart = "Tried with --ca and that authority's root, the chain is trusted where nothing is missing."
    if len(server.chain) > 1:
        missing = f"{server.target} sends {len(server.chain)} certificates, and the issuer of the last, {last.issuer!r}, is not known here"
    gap: tuple[Cause, str] = (
        "incomplete-chain",
        f"Perhaps an intermediate certificate is missing: {missing}; or that issuer is a private authority. {apart}",
    )
    own: tuple[Cause, str] = (
        "unknown-authority",
        f"Perhaps a private authority: {missing}; or an intermediate certificate is missing on the server. {apart}",
    )
    for cause, text in (own, gap) if len(server.chain) > 1 else (gap, own):
        text += beside(server)
        yield _finding(cause, Verdict.FAIL, server, seen, text, "a chain to a known authority", last.issuer, "RFC 8446 section 4.4.2")


def _intercepted(server: TlsServer, leaf: Certificate, seen: TlsObservation) -> Iterator[Finding]:
    """Signs of a box on the way; a proved one is told in place of everything else, for the certificate is the box's."""
    proof = interception(server, leaf)
    if proof is not None:
        text = (
            f"Something on the way opens TLS in place of {server.target.partition(' ')[2]} and shows a certificate of its own (issuer: "
            f"{leaf.issuer}): {proof}. Which certificate the server has cannot be seen from here. Through such a box SIP over TLS usually "
            "fails, and it can read along."
        )
        yield _finding("intercepted", Verdict.FAIL, server, seen, text, "the server's own certificate", leaf.issuer)
    elif made_up(server, leaf):
        text = (
            f"At {server.target} a certificate is made up for whatever name is asked for, even one that cannot exist, signed by "
            f"{leaf.issuer}: a box on the way does so (TLS inspection), and so does a server that issues certificates on demand. From "
            "another network, the same authority means the server."
        )
        yield _finding("intercepted", Verdict.WARN, server, seen, text, "one certificate", leaf.issuer)
    elif (maker := inspector(leaf.issuer)) is not None:
        text = (
            f"The certificate of {server.target} is issued by {leaf.issuer}, a name that TLS inspection of {maker.maker} uses: a box on "
            "the way opens the connection, or the server is of that maker and shows its factory certificate. Compare its fingerprint with "
            "the server's own."
        )
        yield _finding("intercepted", Verdict.WARN, server, seen, text, "the server's own authority", leaf.issuer)


def _server_name(server: TlsServer, seen: TlsObservation) -> Iterator[Finding]:
    if server.without_name in (None, "same"):
        return
    other = "another certificate" if server.without_name == "other" else f"none ({server.without_name})"
    text = f"{server.target} shows its certificate for {seen.domain} only to who names it (SNI); else {other}. Older phones send no SNI."
    yield _finding("sni-needed", Verdict.WARN, server, seen, text, "the same certificate", other, "RFC 6066 section 3")


def summarize(seen: TlsObservation, findings: tuple[Finding, ...]) -> str:
    """``TLS 203.0.113.5:5061: a phone trusts this certificate for example.com``"""
    order = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.WARN, Verdict.PASS, Verdict.SKIPPED)
    return sorted(findings, key=lambda finding: order.index(finding.verdict))[0].summary.removesuffix(".")
