"""A scenario, and the observations of each check that most of them share.

The expectations are written from what the router is told to do (and ``test_nat_proofs``, ``test_router_proofs`` prove that it does), never
from what edgecheck said about it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab.expectation import At, Between, Each, NearlyAll
from tests.lab.nats import BY_KERNEL, EIM, Nat
from tests.lab.routers import Forward, KernelRouter
from tests.lab.runs import RTP, SAMPLE, Server
from tests.lab.topology import CLIENT, PUBLIC_CLIENT, WAN, Plan, Topology
from tests.lab.truth import Truth

Expected = Mapping[str, Mapping[str, Any]]
ALL_PORTS = RTP[1] - RTP[0] + 1
WHOLE = [[RTP[0], RTP[1]]]
TESTED = 2 + 1 + SAMPLE
"""Ports of ``port-preservation``: 5060 over UDP and TCP, 5061 over TCP, and some of the RTP range."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One edge, and what every check is to observe there."""

    name: str
    description: str
    plan: Plan
    server: Server = field(default_factory=Server)
    options: tuple[str, ...] = ()
    """Of ``edgecheck run``."""
    rtp: tuple[int, int] = RTP
    witness: bool = False
    """Somebody elsewhere has run edgecheck against this server before: it can be reached."""
    expected: Expected
    """By check: field -> value or pattern."""
    verdicts: Mapping[str, Any] = field(default_factory=dict)
    """By check, where obvious."""
    prepare: Callable[[Topology, Path], None] | None = None
    """What the plan does not say, once the network stands; with a directory for it."""
    truth: Truth | None = None
    """What is the matter there, for ``tests.bench.bench_causes``; None: it is no case of that benchmark."""


def nat_behavior(nat: Nat, client: str = CLIENT) -> dict[str, Any]:
    """As the NAT is."""
    return {
        "local_address": At(client),
        "mapped_address": At(WAN if nat.behind else client),
        "behind_nat": nat.behind,
        "mapping": nat.mapping,
        "filtering": nat.filtering,
        "classic_type": nat.classic,
        "hairpinning": False if nat.behind else None,
    }


def preservation(kept: bool = True) -> dict[str, Any]:
    """All ports keep their number, or they are drawn at random (one may hit by chance)."""
    if kept:
        return {"tested": TESTED, "preserved": TESTED, "allocation": "preserved", "parity_kept": True}
    return {"tested": TESTED, "preserved": Between(0, 1), "allocation": "random", "parity_kept": False}


def forwarding(state: str) -> dict[str, Any]:
    """The same for every port."""
    return {"ports": Each({"state": state}, 3)}


def rtp_range(inbound: bool, remapped: bool = False) -> dict[str, Any]:
    """All ports in, or none; all out and back."""
    return {
        "range": list(RTP),
        "tested": ALL_PORTS,
        "inbound_open": ALL_PORTS if inbound else 0,
        "inbound_blocked": [] if inbound else WHOLE,
        "outbound_open": ALL_PORTS,
        "outbound_blocked": [],
        "remapped": NearlyAll(*RTP) if remapped else [],
        "undecided": [],
    }


NO_ALG: dict[str, Any] = {"interference": "none", "probes": Each({"request": "unchanged", "response": "unchanged", "changes": []})}
_STATE = {"nothing": "blocked", "delivered": "forwarded", "refused": "refused"}


def of_nat(nat: Nat) -> Scenario:
    """The scenario of a NAT without any rule."""
    client = CLIENT if nat.behind else PUBLIC_CLIENT
    delivered = nat.unsolicited == "delivered"
    return Scenario(
        name=nat.name,
        description=f"{nat.mapping} mapping, {nat.filtering} filtering; unsolicited packets: {nat.unsolicited}",
        plan=nat.plan,
        expected={
            "nat-behavior": nat_behavior(nat, client),
            "port-preservation": preservation(nat.preserving),
            "port-forwarding": forwarding(_STATE[nat.unsolicited]),
            "rtp-range": rtp_range(delivered, remapped=not nat.preserving),
            "sip-alg": NO_ALG,
        },
        verdicts={
            "nat-behavior": "warn" if nat.mapping != EIM else "pass",
            "port-preservation": "pass" if nat.preserving else "warn",
            "port-forwarding": "pass" if delivered else "fail",
            "rtp-range": "pass" if delivered else "fail",
            "sip-alg": "pass",
        },
        truth=truth_of(nat),
    )


NO_RULE = "port-forwarding.no-rule"
SILENT = (NO_RULE, "port-forwarding.provider-drops")
"""What nothing can decide between where a router's ports cannot be opened from within."""


def truth_of(nat: Nat) -> Truth:
    """Of a NAT without any rule: what does not get in lacks one; a firewall that translates nothing has no port forwarding to lack."""
    causes = [] if nat.unsolicited == "delivered" or not nat.behind else [NO_RULE]
    if nat.mapping != EIM:
        causes.append("nat-behavior.endpoint-dependent-mapping")
    elif not nat.preserving:
        causes.append("port-preservation.remapped")
    if "carrier" in nat.name:
        return Truth(causes=("topology.carrier-grade-nat|port-forwarding.carrier-grade-nat",), also=(NO_RULE, *CARRIER))
    fits: tuple[str, ...] = ()
    if NO_RULE in causes and nat.unsolicited == "nothing" and not (nat.preserving and nat.filtering != EIM):
        # no port can be opened from within without telling more: a filter at the provider is not excluded (docs/checks/port-forwarding.md)
        causes.remove(NO_RULE)
        fits = SILENT
    return Truth(causes=tuple(causes), fits=fits, also=("port-preservation.*",) if nat.mapping != EIM else () if nat.behind else (NO_RULE,))


CARRIER = ("topology.carrier-grade-nat", "port-forwarding.carrier-grade-nat", "topology.double-nat")
BY_NAME = {nat.name: nat for nat in BY_KERNEL}
APDF = BY_NAME["apdf"]
PBX = (Forward(ports="5060-5061"), Forward(ports=f"{RTP[0]}-{RTP[1]}", transports=("udp",)))
"""The rules that this PBX needs."""


def behind(
    name: str,
    description: str,
    plan: Plan,
    changes: Mapping[str, Mapping[str, Any] | None],
    verdicts: Mapping[str, Any] | None = None,
    **more: Any,
) -> Scenario:
    """A port-restricted NAT, but for these changes, field by field; None: nothing is expected of this check."""
    expected = {
        check: {**fields, **(changes.get(check) or {})}
        for check, fields in of_nat(APDF).expected.items()
        if changes.get(check, {}) is not None
    }
    return Scenario(name=name, description=description, plan=plan, expected=expected, verdicts=verdicts or {}, **more)


def routed_by(**options: Any) -> Plan:
    """One home router of the kernel's."""
    return Plan(home=KernelRouter(**options))


FORWARDED: Expected = {"port-forwarding": forwarding("forwarded"), "rtp-range": rtp_range(True)}
