"""A check through the world in memory; and what holds for whatever a check says."""

from collections.abc import Callable
from typing import Any

import msgspec

from edgecheck.checks.port_forwarding import ForwardingObservation
from edgecheck.model.check import Check, Observation
from edgecheck.model.profile import Expectation, PortNeed, Profile
from edgecheck.model.verdict import Finding, Verdict, worst
from tests.fakes import clock
from tests.fakes.edge import Edge
from tests.fakes.memory import SharedMemory

NEEDS = (
    PortNeed(ports="5060", transport="udp", purpose="SIP", protocol="sip"),
    PortNeed(ports="5060", transport="tcp", purpose="SIP", protocol="sip"),
    PortNeed(ports="5061", transport="tcp", purpose="SIP over TLS", protocol="sips"),
)
PROFILE = Profile(name="test", title="", source="", confidence="verified", checks=(), ports=NEEDS, rtp=(10_000, 10_199))
UDP_ONLY = msgspec.structs.replace(PROFILE, ports=NEEDS[:1])
TCP_ONLY = msgspec.structs.replace(PROFILE, ports=NEEDS[1:])
SIP = {("udp", 5060): 5060, ("tcp", 5060): 5060, ("tcp", 5061): 5061}
"""The rules that forward them."""
BREACH = {"fail": Verdict.FAIL, "warn": Verdict.WARN, "ignore": Verdict.PASS}
"""What a breach is worth to a profile that expects so."""
_CLAIMS = (Verdict.PASS, Verdict.WARN, Verdict.FAIL)


def look(check: Any, edge: Callable[[], Edge], profile: Profile = PROFILE, memory: SharedMemory | None = None, pace: int = 0) -> Any:
    """The observation of a check's module through a world of its own; its judge is held to the law by the way."""

    async def work() -> Any:
        network = edge().network(memory, pace)
        network.gate.open()
        return await check.CHECK.probe(network, profile)

    seen = clock.run(work())
    say(check.CHECK, seen, profile)
    return seen


def states(seen: ForwardingObservation) -> dict[tuple[str, int], str]:
    """Transport and port -> state."""
    return {(row.transport, row.port): row.state for row in seen.ports}


def expecting(**expectations: str) -> Profile:
    """The test's profile with other expectations."""
    return msgspec.structs.replace(PROFILE, expect=msgspec.convert(expectations, Expectation))


class Said:
    """What a check says of an observation."""

    def __init__(self, findings: tuple[Finding, ...], summary: str) -> None:
        self.findings = findings
        self.summary = summary

    @property
    def verdict(self) -> Verdict:
        return worst([finding.verdict for finding in self.findings])

    @property
    def ids(self) -> list[str]:
        return [finding.id.partition(".")[2] for finding in self.findings]

    def finding(self, cause: str) -> Finding:
        (found,) = [finding for finding in self.findings if finding.id.partition(".")[2] == cause]
        return found


def say(check: Check, seen: Observation, profile: Profile = PROFILE) -> Said:
    """Judge and summarize, and hold both to what is law for every check."""
    findings = check.judge(seen, profile)
    summary = check.summarize(seen, findings)
    assert findings, "whatever was observed, something is said of it"
    for finding in findings:
        assert finding.id.startswith(f"{check.id}."), finding
        assert finding.subject, finding
        assert finding.verdict not in _CLAIMS or any(finding.evidence), f"no claim without proof: {finding}"
        for text in (finding.summary, *finding.evidence, finding.subject):
            assert text.strip(), finding
            assert "None" not in text, f"a gap in the sentence: {text}"
        assert finding.summary.endswith("."), finding
    assert summary.strip()
    assert "None" not in summary
    saved = msgspec.json.decode(msgspec.json.encode(seen), type=check.observation)
    assert (saved, check.judge(saved, profile)) == (seen, findings), "a saved report is judged anew, and the same"
    return Said(findings, summary)
