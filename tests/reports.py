"""Hand-made reports for the tests of report, diagnosis and command line."""

from typing import Any

from edgecheck.model.profile import Profile
from edgecheck.model.verdict import CheckResult, ClientFacts, Finding, Report, ServerFacts, Tool, Verdict, worst

PROFILE = Profile(
    name="asterisk",
    title="Asterisk",
    source="a test",
    confidence="verified",
    checks=("port-forwarding", "rtp-range", "nat-behavior", "port-preservation", "sip-alg"),
    rtp=(10000, 20000),
)
SERVER = ServerFacts(address="198.51.100.10", alternate="198.51.100.11", version="0.1.0")


def finding(id: str, verdict: str = "fail", subject: str = "UDP 5060", summary: str = "", **more: Any) -> Finding:
    """A finding with proof, unless it says otherwise."""
    given = {"evidence": ("8 copies sent, 0 arrived",), **more}
    return Finding(id=id, verdict=Verdict(verdict), subject=subject, summary=summary or f"{subject}: {id}", **given)


def result(*findings: Finding, summary: str = "", observation: dict[str, Any] | None = None, id: str = "", **more: Any) -> CheckResult:
    """A check's result with these findings."""
    name = id or findings[0].id.partition(".")[0]
    verdict = worst([each.verdict for each in findings])
    return CheckResult(
        id=name, verdict=verdict, summary=summary or findings[0].summary, duration_s=0.5, observation=observation, findings=findings, **more
    )


def report(*results: CheckResult, headline: str = "A headline.", **more: Any) -> Report:
    """A whole report."""
    given: dict[str, Any] = {
        "tool": Tool(version="0.1.0", protocol=1),
        "started_at": "2026-01-31T12:00:00Z",
        "duration_s": 6.25,
        "settings": {},
        "server": SERVER,
        "client": ClientFacts(source="192.168.1.20", gateway="192.168.1.1", platform="Linux"),
        "verdict": worst([each.verdict for each in results]),
        "headline": headline,
        "checks": results,
        **more,
    }
    return Report(**given)


def nat(behind_nat: bool = True) -> CheckResult:
    """An unremarkable NAT."""
    return result(
        finding(
            "nat-behavior.endpoint-independent", "pass", "mapping", "Every destination sees the same port (endpoint-independent mapping)."
        ),
        summary='endpoint-independent mapping, address-and-port-dependent filtering ("port restricted cone")',
        observation={"local_address": "192.168.1.20:40000", "mapped_address": "203.0.113.9:40000", "behind_nat": behind_nat},
    )


def alg(*subjects: str, cause: str = "rewritten", located: bool = True, ways: tuple[tuple[str, int, str], ...] = ()) -> CheckResult:
    """A SIP ALG on these transports; ``ways`` are (transport, port, request state)."""
    who = "Hop 1 (192.168.1.1)" if located else "Something on the path"
    observed = "INVITE: none of 12 arrived, while 12 of 12 non-SIP datagrams did" if cause == "destroyed" else ""
    return result(
        *(
            finding(f"sip-alg.{cause}", "fail", subject, f"{who} rewrites SIP on {subject} (Via and Contact).", observed=observed)
            for subject in subjects
        ),
        summary="hop 1 (192.168.1.1) rewrites Via, Contact and SDP c= on UDP 5060",
        observation={
            "interference": "rewriting",
            "located": [{"hop": 1, "address": "192.168.1.1", "where": ["Via"]}] if located else [],
            "probes": [
                {"transport": transport, "server_port": port, "method": "INVITE", "request": state, "response": "unchanged", "changes": []}
                for transport, port, state in ways
            ],
        },
    )


def rtp(blocked: tuple[tuple[int, int], ...], verdict: str = "fail") -> CheckResult:
    """An RTP range with inbound holes."""
    return result(
        *(
            finding("rtp-range.inbound-blocked", verdict, f"{low}-{high}", f"{low}-{high} never arrive.")
            for low, high in blocked
        ),
        summary="10000-11999 open both ways; 12000-20000 never arrive",
        observation={"range": [10000, 20000], "inbound_blocked": [list(pair) for pair in blocked], "outbound_blocked": [], "remapped": []},
    )


def rtp_open() -> CheckResult:
    """An RTP range without holes."""
    return result(
        finding("rtp-range.open", "pass", "10000-20000", "10,001 of 10,001 RTP ports are open both ways."),
        observation={"range": [10000, 20000], "inbound_open": 10001, "inbound_blocked": [], "outbound_blocked": [], "remapped": []},
    )


def forwarded(*subjects: str) -> CheckResult:
    """Ports that arrive."""
    return result(
        *(finding("port-forwarding.forwarded", "pass", subject, f"{subject} arrives.") for subject in subjects),
        summary=f"{', '.join(subjects)} arrive",
    )


def preserved() -> CheckResult:
    """Ports that keep their numbers."""
    return result(finding("port-preservation.preserved", "pass", "ports", "27 of 27 ports keep their number."))


def clean() -> CheckResult:
    """No ALG."""
    return result(finding("sip-alg.none", "pass", "UDP 5060", "Nothing touches SIP on UDP 5060."))


def skipped(check: str, why: str) -> CheckResult:
    """A check that was not tried."""
    return result(finding(f"{check}.skipped", "skipped", check, f"Not tested: {why}.", evidence=()), summary=f"not tested: {why}", id=check)
