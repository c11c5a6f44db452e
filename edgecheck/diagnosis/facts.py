"""What the rules ask of the results: findings by id, and a few facts of the observations.

A saved report may be older, newer or edited by hand; a fact that is missing or of another shape is ``None``, never an error.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from edgecheck.diagnosis import knowledge
from edgecheck.model.profile import Profile
from edgecheck.model.router import RouterName
from edgecheck.model.verdict import CheckResult, Finding, ServerFacts, Verdict
from edgecheck.wire import ports
from edgecheck.wire.address import parse_endpoint
from edgecheck.wire.errors import WireError

_TROUBLE = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.WARN)


_LONGEST_NAME = 80
"""Characters of a router's name: it is what a device on the network sent."""
_PROTOCOLS = {"upnp": "UPnP", "nat-pmp": "NAT-PMP", "pcp": "PCP"}


class RouterFacts(NamedTuple):
    """The default router, as it names itself."""

    name: str
    """``NETGEAR, Inc. R7000``"""
    protocol: str
    wan_address: str | None

    @property
    def found(self) -> str:
        """``NETGEAR, Inc. R7000 (found by UPnP)``"""
        return f"{self.name} (found by {self.protocol})" if self.protocol else self.name

    @property
    def rows(self) -> tuple[knowledge.Router, ...]:
        """What is known of it; several rows where the name fits several product lines of its vendor."""
        return knowledge.routers_named(self.name)


class Hop(NamedTuple):
    """A box that touches SIP."""

    hop: int
    """0 = this machine."""
    address: str
    before_server: bool = False
    """The next hop is the server itself."""
    or_unseen: bool = False
    """A box right behind it that does not show itself fits as well."""


class Facts:
    """One run's results, as the rules see them."""

    def __init__(
        self, results: Sequence[CheckResult], profile: Profile, server: ServerFacts | None, router: RouterName | None = None
    ) -> None:
        self.results = tuple(results)
        self.profile = profile
        self.server = server
        self._router_beside = router
        """What was read of the router beside the checks, where ``topology`` was not asked for."""
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

    def optional(self, finding: Finding) -> bool:
        """Whether it is about ports that the profile calls optional, and no other."""
        transport, _, numbers = finding.subject.partition(" ")
        try:
            asked = ports.parse(numbers)
            needed = [(need.required, ports.parse(need.ports)) for need in self.profile.ports if need.transport == transport.lower()]
        except WireError:
            return False
        of_it = [required for required, own in needed if any(low <= high2 and low2 <= high for low, high in own for low2, high2 in asked)]
        return finding.id.startswith("port-forwarding.") and bool(of_it) and not any(of_it)

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
        examined = self.fact("rtp-range", "examined")
        told = self.fact("port-forwarding", "local_address") or (examined.get("local_address") if isinstance(examined, dict) else None)
        try:
            return parse_endpoint(str(self.fact("nat-behavior", "local_address"))).host
        except WireError:
            pass
        try:
            return str(ipaddress.ip_address(str(told)))
        except ValueError:
            return "this machine"

    @property
    def holders(self) -> tuple[str, ...]:
        """The devices that hold ports in the router, by its word: ``192.168.1.30 (another phone)``."""
        rows = self.fact("port-forwarding", "ports")
        found = []
        for row in rows if isinstance(rows, (list, tuple)) else ():
            mapping = row.get("mapping") if isinstance(row, dict) else None
            if isinstance(mapping, dict) and mapping.get("internal_host") not in (None, "", self.here):
                name = " ".join(str(mapping.get("description") or "").split())[:_LONGEST_NAME]
                found.append(f"{mapping['internal_host']}{f' ({name})' if name else ''}")
        return tuple(dict.fromkeys(found))

    @property
    def own_firewall(self) -> str | None:
        """The name of this machine's firewall, where ``host`` read that it drops what no rule admits."""
        machine = self.fact("host", "machine")
        firewall = machine.get("firewall") if isinstance(machine, dict) else None
        drops = isinstance(firewall, dict) and firewall.get("inbound") == "drops"
        return str(firewall.get("name") or "a packet filter")[:20] if drops and isinstance(firewall, dict) else None

    @property
    def router(self) -> RouterFacts | None:
        """The default router, where it told its name."""
        told = self.fact("topology", "router")
        if not isinstance(told, dict):
            if self._router_beside is None:
                return None
            told = msgspec.to_builtins(self._router_beside)
        maker, model = (" ".join(str(told.get(field) or "").split()) for field in ("manufacturer", "model"))
        name = model if maker and model.lower().startswith(maker.lower()) else f"{maker} {model}".strip()
        if not name:
            return None
        protocol, address = str(told.get("protocol") or ""), told.get("wan_address")
        words = ", ".join(word for key, word in _PROTOCOLS.items() if key in protocol.lower())
        return RouterFacts(name[:_LONGEST_NAME], words or protocol[:20], str(address) if address else None)

    @property
    def located(self) -> tuple[Hop, ...]:
        """The boxes that touch SIP, where they were located, each exactly."""
        rows = self.fact("sip-alg", "located")
        found = []
        for row in rows if isinstance(rows, (list, tuple)) else ():
            if not isinstance(row, dict) or row.get("up_to_hop") is not None:
                continue  # one of two, or a box between them
            if isinstance(row.get("hop"), int) and (row.get("address") or row["hop"] == 0):
                address, flags = str(row.get("address") or "this machine itself"), ("before_server", "or_unseen")
                found.append(Hop(row["hop"], address, *(row.get(flag) is True for flag in flags)))
        return tuple(found)

    @property
    def before_the_router(self) -> bool:
        """Whether SIP is touched before the first router tells of it: by this machine, by that router, or by a box between them."""
        rows = self.fact("sip-alg", "located")
        spans = [row for row in rows if isinstance(row, dict)] if isinstance(rows, (list, tuple)) else []
        return bool(spans) and all(row.get("hop") == 0 and row.get("up_to_hop") == 1 for row in spans)

    @property
    def beyond_the_router(self) -> str | None:
        """Where the box that touches SIP is one of several, all of them behind the first router: who they are. None: it is not so."""
        rows = self.fact("sip-alg", "located")
        spans = [row for row in rows if isinstance(row, dict)] if isinstance(rows, (list, tuple)) else []
        if not spans or not all(isinstance(row.get(end), int) and row[end] > 1 for row in spans for end in ("hop", "up_to_hop")):
            return None
        ends = [((row["hop"], row.get("address")), (row["up_to_hop"], row.get("up_to_address"))) for row in spans]
        named = [[f"hop {hop}{f' ({address})' if address else ''}" for hop, address in both] for both in ends]
        return " and ".join(f"{near}, {far} or a box between them" for near, far in named)

    @property
    def culprit(self) -> str | None:
        """The boxes that touch SIP by name: ``192.168.1.1 (NETGEAR, Inc. R7000)``."""
        router = self.router
        named = []
        for hop in self.located:
            name = f" ({router.name})" if hop.hop == 1 and router else " (before the echo server)" if self.is_servers(hop) else ""
            named.append(f"{hop.address}{name}{' or a box right behind it' if hop.or_unseen else ''}")
        return " and ".join(named) or None

    def is_servers(self, hop: Hop) -> bool:
        """Whether this box speaks from the echo server's own address: it stands before the server, and is no part of this network."""
        return self.server is not None and hop.address in (self.server.address, self.server.alternate)

    def blames_located(self, finding: Finding) -> bool:
        """Whether it is this finding's doing that was followed to its hop: the finding's own sentence begins with it."""
        who = finding.summary.startswith(("Hop ", "This machine itself"))
        return who and bool(self.located) and all(hop.address in finding.summary for hop in self.located)

    @property
    def sip_helper_loaded(self) -> bool:
        """Whether ``host`` found the kernel's SIP helper on this machine, in force or not."""
        machine = self.fact("host", "machine")
        return isinstance(machine, dict) and machine.get("sip_helper_loaded") is True

    def is_lost(self, finding: Finding) -> bool:
        """Whether SIP is dropped on this finding's channel."""
        rows = [row for field in ("probes", "incoming", "beside") for row in self._probes(field)]
        return any(_way(row) == finding.subject and "lost" in (row.get("request"), row.get("response")) for row in rows)

    def touches_sdp(self, findings: Iterable[Finding]) -> bool:
        """Whether SDP is among what is changed on these channels."""
        channels = {finding.subject for finding in findings}
        for probe in self._probes():
            changes = probe.get("changes")
            rows = changes if _way(probe) in channels and isinstance(changes, (list, tuple)) else ()
            if any(isinstance(row, dict) and str(row.get("where")).startswith("sdp ") for row in rows):
                return True
        return False

    def untouched_ways(self) -> tuple[str, ...]:
        """Transports and ports on which every SIP message passed as it was, both ways, and nothing else is the matter: ``TLS 5061``."""
        states: dict[str, bool] = {}
        for probe in self._probes():
            way = _way(probe)
            fine = probe.get("request") == "unchanged" and probe.get("response") == "unchanged"
            states[way] = states.get(way, True) and fine
        troubles = [finding.subject for finding in self.troubles() if finding.id.startswith("sip-alg.")]
        spoiled = {way for subject in troubles for way in subject.split(", ")}
        return tuple(way for way, fine in states.items() if fine and way not in spoiled)

    def _probes(self, field: str = "probes") -> Iterator[dict[str, Any]]:
        probes = self.fact("sip-alg", field)
        if isinstance(probes, (list, tuple)):
            yield from (probe for probe in probes if isinstance(probe, dict))


def _way(probe: dict[str, Any]) -> str:
    return f"{str(probe.get('transport', '')).upper()} {probe.get('server_port')}"
