"""What of a look at an account is told better by another finding about the same place: what was seen there, and why. Pure."""

from edgecheck.diagnosis.facts import Facts
from edgecheck.model.verdict import Finding, Verdict

_BY_TLS = ("tls.old-version", "tls.not-tls", "tls.refused", "tls.client-certificate-wanted", "tls.intercepted")
_BETTER: dict[str, tuple[str, ...]] = {
    "transport.tls-failed": _BY_TLS,
    "transport.hung-up": _BY_TLS,
    "transport.connected-silent": _BY_TLS,
    "registration.tls-failed": (*_BY_TLS, "transport.wrong-transport"),
    "tls.no-handshake": ("transport.wrong-transport",),
    "transport.refused": ("transport.stale-port",),
    "transport.unreachable": ("transport.stale-port",),
    "transport.silent": ("transport.stale-port",),
}
"""What is seen -> what says why."""


def told_better(facts: Facts) -> tuple[Finding, ...]:
    """Findings that stand in the report, and in neither its first line nor its advice."""
    why = [finding for finding in facts.findings if finding.verdict is Verdict.FAIL]
    return tuple(
        finding
        for finding in facts.findings
        for better in (_BETTER.get(finding.id, ()),)
        if better and any(each.id in better and each.subject in (finding.subject, finding.observed) for each in why)
    )
