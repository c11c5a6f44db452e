"""What of a look at an account is told better by another finding about the same place: what was seen there, and why. Pure."""

from edgecheck.diagnosis.facts import Facts
from edgecheck.model.verdict import Finding, Verdict

_BY_TLS = ("tls.old-version", "tls.not-tls", "tls.refused", "tls.client-certificate-wanted", "tls.intercepted")
_ELSEWHERE = ("transport.stale-port", "registration.wrong-transport")
"""What answers there, at another port or over another transport, says that the server is there."""
_BETTER: dict[str, tuple[str, ...]] = {
    "transport.tls-failed": _BY_TLS,
    "transport.hung-up": _BY_TLS,
    "transport.connected-silent": _BY_TLS,
    "registration.tls-failed": (*_BY_TLS, "transport.wrong-transport"),
    "tls.no-handshake": ("transport.wrong-transport",),
    "transport.refused": _ELSEWHERE,
    "transport.unreachable": _ELSEWHERE,
    "transport.silent": _ELSEWHERE,
}
"""What is seen -> what says why."""


def told_better(facts: Facts) -> tuple[Finding, ...]:
    """Findings that stand in the report, and in neither its first line nor its advice."""
    why = [finding for finding in facts.findings if finding.verdict is Verdict.FAIL]
    return tuple(
        finding
        for finding in facts.findings
        for better in (_BETTER.get(finding.id, ()),)
        if better and any(each.id in better and _same_place(finding, each) for each in why)
    )


def _same_place(seen: Finding, why: Finding) -> bool:
    return why.subject in (seen.subject, seen.observed) or (bool(why.observed) and why.observed == seen.subject)
