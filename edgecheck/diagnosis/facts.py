"""What the rules ask of the results: findings by id, and a few facts of the observations.

A saved report may be older, newer or edited by hand; a fact that is missing or of another shape is ``None``, never an error.
"""

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Any

from edgecheck.model.profile import Profile
from edgecheck.model.verdict import CheckResult, Finding, ServerFacts, Verdict
from edgecheck.wire import ports
from edgecheck.wire.address import parse_endpoint
from edgecheck.wire.errors import WireError

_TROUBLE = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.WARN)


class Facts:
    """One run's results, as the rules see them."""

    def __init__(self, results: Sequence[CheckResult], profile: Profile, server: ServerFacts | None) -> None:
        self.results = tuple(results)
        self.profile = profile
        self.server = server
        self.findings = tuple(finding for result in results for finding in result.findings)

    def troubles(self) -> tuple[Finding, ...]:
        """What is not fine, gravest first, else in the order told."""
        return tuple(sorted((f for f in self.findings if f.verdict in _TROUBLE), key=lambda finding: _TROUBLE.index(finding.verdict)))

    def having(self, *ids: str, verdicts: tuple[Verdict, ...] = _TROUBLE) -> tuple[Finding, ...]:
        """The findings of these ids that have one of these verdicts."""
        return tuple(finding for finding in self.findings if finding.id in ids and finding.verdict in verdicts)

    def fact(self, check: str, field: str) -> Any:
        """A field of a check's observation."""
        for result in self.results:
            if result.id == check and isinstance(result.observation, dict):
                return result.observation.get(field)
        return None

    def ranges(self, field: str) -> ports.Ranges:
        """Ranges of ``rtp-range``'s observation; none where it holds something else."""
        value = self.fact("rtp-range", field)
        try:
            return ports.validate(value) if value else ()
        except (WireError, TypeError, ValueError):
            return ()

    @property
    def this_machine_only(self) -> bool:
        """Whether the echo server was on this machine: nothing of the network's edge was met."""
        try:
            return self.server is not None and ipaddress.ip_address(self.server.address).is_loopback
        except ValueError:
            return False

    @property
    def behind_nat(self) -> bool | None:
        """As ``nat-behavior`` found it."""
        value = self.fact("nat-behavior", "behind_nat")
        return value if isinstance(value, bool) else None

    @property
    def here(self) -> str:
        """This machine's address, as a rule's target is written; words where it is not known."""
        try:
            return parse_endpoint(str(self.fact("nat-behavior", "local_address"))).host
        except WireError:
            return "this machine"

    @property
    def culprit(self) -> str | None:
        """The box that touches SIP, where it was located."""
        located = self.fact("sip-alg", "located")
        if isinstance(located, (list, tuple)) and located and isinstance(located[0], dict):
            address = located[0].get("address")
            return str(address) if address else None
        return None

    def untouched_ways(self) -> tuple[str, ...]:
        """Transports and ports on which every SIP message passed as it was, both ways: ``TLS 5061``."""
        states: dict[str, bool] = {}
        for probe in self._probes():
            way = f"{str(probe.get('transport', '')).upper()} {probe.get('server_port')}"
            fine = probe.get("request") == "unchanged" and probe.get("response") == "unchanged"
            states[way] = states.get(way, True) and fine
        return tuple(way for way, fine in states.items() if fine)

    def _probes(self) -> Iterator[dict[str, Any]]:
        probes = self.fact("sip-alg", "probes")
        if isinstance(probes, (list, tuple)):
            yield from (probe for probe in probes if isinstance(probe, dict))
