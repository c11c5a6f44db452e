"""Scenarios as data: a name, what stands between, and the expected observation of every check, in the contract's field names.

The expectations are written from what the router is told to do (and ``test_nat_proofs``, ``test_router_proofs`` prove that it does), never from what
edgecheck said about it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.lab.expectation import At, Between, Each, NearlyAll, one_of, or_undecided, rows
from tests.lab.nats import APDM, BY_KERNEL, EIM, Nat
from tests.lab.routers import Forward, KernelRouter
from tests.lab.runs import RTP, SAMPLE, Server
from tests.lab.topology import CLIENT, CLIENT6, LAN_HOST, PUBLIC_CLIENT, SECOND_WAN, WAN, Plan, UserRouter

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
    )


_BY_NAME = {nat.name: nat for nat in BY_KERNEL}
APDF = _BY_NAME["apdf"]
PBX = (Forward(ports="5060-5061"), Forward(ports=f"{RTP[0]}-{RTP[1]}", transports=("udp",)))
"""The rules that this PBX needs."""


def _behind(
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


def _router(**options: Any) -> Plan:
    return Plan(home=KernelRouter(**options))


FORWARDED: Expected = {"port-forwarding": forwarding("forwarded"), "rtp-range": rtp_range(True)}
_EARLY = 60
RULES: tuple[Scenario, ...] = (
    _behind(
        "forwarded",
        "every port of the PBX has its rule",
        _router(forwards=PBX),
        FORWARDED,
        {"": "pass", "port-forwarding": "pass", "rtp-range": "pass"},
    ),
    _behind(
        "rule ends early",
        "the RTP rule's last port is a typo",
        _router(forwards=(PBX[0], Forward(ports=f"{RTP[0]}-{RTP[0] + _EARLY - 1}", transports=("udp",)))),
        {
            "port-forwarding": forwarding("forwarded"),
            "rtp-range": {"inbound_open": _EARLY, "inbound_blocked": [[RTP[0] + _EARLY, RTP[1]]]},
        },
        {"rtp-range": "fail"},
    ),
    _behind(
        "wrong host",
        "the SIP rule leads to another machine of the LAN, which has nothing there and says so",
        _router(forwards=(Forward(ports="5060-5061", to=LAN_HOST), PBX[1])),
        {"port-forwarding": forwarding("refused"), "rtp-range": rtp_range(True)},
        {"port-forwarding": "fail"},
    ),
    _behind(
        "wrong host with a service",
        "the SIP rule leads to another machine of the LAN, and another PBX answers there",
        Plan(home=KernelRouter(forwards=(Forward(ports="5060", to=LAN_HOST), PBX[1])), wrong_service=True),
        {
            "port-forwarding": {
                "ports": rows(
                    ({"transport": "tcp", "port": 5060}, {"state": "answered"}),
                    ({"transport": "udp", "port": 5060}, {"state": one_of("answered", "blocked")}),
                    ({"transport": "tcp", "port": 5061}, {"state": "blocked"}),
                )
            },
            "rtp-range": rtp_range(True),
        },
        {"port-forwarding": "fail"},
    ),
    _behind(
        "host firewall",
        "the router's rules are right, and the PBX's own firewall drops what it has not asked for",
        Plan(home=KernelRouter(forwards=PBX), host_firewall=True),
        {},
        {"port-forwarding": "fail", "rtp-range": "fail"},
    ),
    _behind(
        "reject",
        "no rules; the router refuses by ICMP instead of dropping",
        _router(unsolicited="reject"),
        {"port-forwarding": forwarding("refused")},
        {"port-forwarding": "fail"},
    ),
    _behind(
        "udp only",
        "somebody forgot that SIP has a TCP side",
        _router(forwards=(Forward(ports="5060", transports=("udp",)), PBX[1])),
        {
            "port-forwarding": {
                "ports": rows(({"transport": "udp", "port": 5060}, {"state": "forwarded"}), ({"transport": "tcp"}, {"state": "blocked"}))
            },
            "rtp-range": rtp_range(True),
        },
        {"port-forwarding": "fail"},
    ),
    _behind(
        "carrier-grade nat",
        "the home's rules are right, and the provider translates once more",
        Plan(home=KernelRouter(forwards=PBX), carrier=KernelRouter()),
        {},
        {"port-forwarding": "fail", "rtp-range": "fail"},
    ),
)


def _alg(name: str, description: str, transports: tuple[str, ...]) -> Scenario:
    """The kernel's ALG: rewriting on its transports' port 5060, nothing elsewhere."""
    touched = {"request": "rewritten", "interference": one_of("rewriting", "inconsistent")}
    untouched = {"request": "unchanged", "response": "unchanged", "changes": []}
    every = [(transport, port) for transport in ("udp", "tcp") for port in (5060, 5080)] + [("tls", 5061)]
    rules = []
    for transport, port in every:
        hit = transport in transports and port == 5060
        rules.append(({"transport": transport, "server_port": port, "method": "INVITE"}, touched if hit else untouched))
        rules.append(({"transport": transport, "server_port": port, "method": "REGISTER"}, touched if hit else untouched))
    level = one_of("rewriting", "inconsistent") if transports else "none"
    plan = _router(forwards=PBX, sip_alg=transports, port_range="20000-29999")
    remapping = of_nat(_BY_NAME["remapping"]).expected
    changes = {**FORWARDED, "port-preservation": remapping["port-preservation"], "sip-alg": {"interference": level, "probes": rows(*rules)}}
    changes["rtp-range"] = {**rtp_range(True), "remapped": NearlyAll(*RTP)}
    return _behind(name, description, plan, changes, {"sip-alg": "fail" if transports else "pass"})


ALGS: tuple[Scenario, ...] = (
    _alg("sip alg on udp", "the kernel's SIP helper, as most consumer routers have it", ("udp",)),
    _alg("sip alg on tcp", "the helper on TCP alone", ("tcp",)),
    _alg("sip alg on both", "the helper on both transports", ("udp", "tcp")),
    _alg("sip alg off", "the same router without the helper: ports change, texts do not", ()),
)
_LOSSY_RANGE = {"inbound_blocked": [], "outbound_blocked": [], "remapped": [], "inbound_open": one_of(None, Between(0, ALL_PORTS))}
NO_UDP: Expected = {
    "nat-behavior": {
        "local_address": At(CLIENT),
        "mapped_address": None,
        "behind_nat": True,
        "mapping": None,
        "filtering": None,
        "hairpinning": None,
        "classic_type": one_of("udp blocked", None),
    },
    "port-preservation": {"tested": 2, "preserved": 2, "allocation": "preserved", "parity_kept": one_of(True, None)},
    "port-forwarding": {"ports": Each({"state": one_of("blocked", "undecided")}, 3)},
    "rtp-range": {
        "inbound_open": one_of(0, None),
        "inbound_blocked": one_of(WHOLE, []),
        "outbound_open": 0,
        "outbound_blocked": WHOLE,
        "undecided": one_of([], WHOLE),
    },
    "sip-alg": {
        "interference": one_of("none", None),
        "probes": rows(
            ({"transport": "tcp"}, {"request": "unchanged", "response": "unchanged"}), ({"transport": "tls"}, {"request": "unchanged"})
        ),
    },
}
PATHS: tuple[Scenario, ...] = (
    _behind(
        "udp blocked",
        "no UDP leaves the network, TCP does; others have reached the server over UDP",
        _router(blocked=("udp",)),
        NO_UDP,
        {"nat-behavior": "fail", "rtp-range": "fail", "sip-alg": one_of("pass", "inconclusive")},
        witness=True,
    ),
    _behind(
        "udp blocked, nobody else has come through",
        "the same for the server's first client ever: the server's own firewall may be what blocks",
        _router(blocked=("udp",)),
        NO_UDP,
        {
            "nat-behavior": one_of("fail", "inconclusive"),
            "rtp-range": one_of("fail", "inconclusive"),
            "sip-alg": one_of("pass", "inconclusive"),
        },
    ),
    _behind(
        "one address",
        "the server has one address: nothing can come from an address that was never contacted",
        _router(),
        {"nat-behavior": {"mapping": None, "filtering": APDM, "classic_type": None}, "port-forwarding": None, "rtp-range": None},
        {"port-forwarding": "skipped"},
        server=Server(alternate=False),
    ),
    _behind(
        "one address, full cone",
        "with one address nobody can tell endpoint-independent from address-dependent, neither mapping nor filtering",
        _router(filtering="endpoint-independent"),
        {"nat-behavior": {"mapping": None, "filtering": None, "classic_type": None}, "port-forwarding": None, "rtp-range": None},
        {"port-forwarding": "skipped"},
        server=Server(alternate=False),
    ),
    _behind(
        "throttled",
        "the router drops UDP beyond 500 packets a second",
        _router(forwards=PBX, udp_rate=500),
        {**FORWARDED, "rtp-range": _LOSSY_RANGE},
        {"rtp-range": one_of("pass", "inconclusive")},
    ),
    Scenario(
        name="10 % loss",
        description="a tenth of all packets is lost, each way: answers may be missing, none may be wrong",
        plan=Plan(home=KernelRouter(forwards=PBX), loss=10),
        expected={
            "nat-behavior": {key: or_undecided(value) for key, value in nat_behavior(APDF).items()},
            "port-preservation": {"allocation": or_undecided("preserved"), "parity_kept": or_undecided(True)},
            "port-forwarding": {"ports": Each({"state": one_of("forwarded", "undecided")}, 3)},
            "rtp-range": _LOSSY_RANGE,
            "sip-alg": {
                "interference": or_undecided("none"),
                "probes": Each({"request": one_of("unchanged", "undecided"), "response": one_of("unchanged", "undecided"), "changes": []}),
            },
        },
        verdicts={
            check: one_of("pass", "inconclusive")
            for check in ("", "nat-behavior", "port-preservation", "port-forwarding", "rtp-range", "sip-alg")
        },
    ),
    _behind(
        "50 ms away",
        "25 ms each way, no loss",
        Plan(home=KernelRouter(forwards=PBX), path=UserRouter(weather={"delay_ms": 25})),
        FORWARDED,
        {"": "pass"},
    ),
    _behind(
        "rough path",
        "25 ms with as much jitter, a tenth of the packets overtaking others and a twentieth arriving twice; none lost",
        Plan(
            home=KernelRouter(forwards=PBX), path=UserRouter(weather={"delay_ms": 25, "jitter_ms": 25, "reorder": 0.1, "duplicate": 0.05})
        ),
        FORWARDED,
        {"": "pass"},
    ),
    Scenario(
        name="ipv6 firewall",
        description="IPv6: no translation, a stateful firewall with the PBX's rules for SIP and none for RTP",
        plan=Plan(six=KernelRouter(mapping="none", forwards=PBX[:1])),
        server=Server(six=True),
        options=("-6",),
        expected={
            "nat-behavior": {
                "local_address": At(CLIENT6),
                "mapped_address": At(CLIENT6),
                "behind_nat": False,
                "mapping": EIM,
                "filtering": APDM,
                "classic_type": "symmetric udp firewall",
            },
            "port-preservation": preservation(),
            "port-forwarding": forwarding("forwarded"),
            "rtp-range": rtp_range(False),
            "sip-alg": NO_ALG,
        },
        verdicts={"rtp-range": "fail", "port-forwarding": "pass"},
    ),
)


def _user(name: str, description: str, nat: dict[str, Any], changes: Expected) -> Scenario:
    return _behind(name, description, Plan(home=UserRouter(nat=nat)), changes)


USER_SPACE: tuple[Scenario, ...] = (
    _user(
        "sequential ports",
        "mapped ports are counted up",
        {"allocation": "sequential"},
        {
            "port-preservation": {"tested": TESTED, "preserved": 0, "allocation": "sequential", "parity_kept": one_of(True, False)},
            "rtp-range": rtp_range(False, remapped=True),
        },
    ),
    _user(
        "parity kept",
        "mapped ports are drawn at random, odd stays odd and even even",
        {"allocation": "parity"},
        {
            "port-preservation": {"tested": TESTED, "preserved": 0, "allocation": "parity", "parity_kept": True},
            "rtp-range": rtp_range(False, remapped=True),
        },
    ),
    _user(
        "address-dependent mapping",
        "another port for every address, the same for all its ports",
        {"mapping": "address-dependent", "filtering": "address-dependent", "allocation": "random"},
        {
            "nat-behavior": {"mapping": "address-dependent", "filtering": "address-dependent", "classic_type": "symmetric"},
            "port-preservation": preservation(False),
            "rtp-range": rtp_range(False, remapped=True),
        },
    ),
    _user(
        "two public addresses",
        "a router with two uplinks: each socket leaves by the next one (IP address pooling: arbitrary)",
        {"outside": [WAN, SECOND_WAN], "paired": False},
        {
            "nat-behavior": {
                "mapped_address": one_of(At(WAN), At(SECOND_WAN)),
                "pooling": "arbitrary",
                "classic_type": one_of("port restricted cone", None),
            },
            # one of two public addresses is probed: silence there says nothing of a rule on the other
            "port-forwarding": forwarding("undecided"),
            "rtp-range": {"inbound_open": one_of(0, None), "inbound_blocked": [], "undecided": WHOLE},
        },
    ),
    _user(
        "hairpinning full cone",
        "endpoint-independent in both, and inside reaches inside by the outside address",
        {"filtering": "endpoint-independent", "hairpinning": True},
        {"nat-behavior": {"filtering": "endpoint-independent", "classic_type": "full cone", "hairpinning": True}},
    ),
    _user(
        "full cone with remapping",
        "endpoint-independent in both, ports drawn at random: what STUN says is right, and not what the phone thinks",
        {"filtering": "endpoint-independent", "allocation": "random"},
        {
            "nat-behavior": {"filtering": "endpoint-independent", "classic_type": "full cone"},
            "port-preservation": preservation(False),
            "rtp-range": rtp_range(False, remapped=True),
        },
    ),
)


def _lifetimes(name: str, description: str, plan: Plan, expected: Mapping[str, Any], verdict: Any) -> Scenario:
    """``mapping-lifetime`` alone, by name. The routers forget within seconds, so that the run ends early: two idle times in a row proved too long."""
    options = ("mapping-lifetime", "--quick")
    return Scenario(
        name=name,
        description=description,
        plan=plan,
        options=options,
        expected={"mapping-lifetime": expected},
        verdicts={"mapping-lifetime": verdict},
    )


_GONE_AT_ONCE = one_of([0, 5], [0, 10], [None, None])
LIFETIMES: tuple[Scenario, ...] = (
    _lifetimes(
        "mappings that die young",
        "the kernel's timeouts, 4 s after one exchange and 9 s for a stream; packets from outside refresh, and make a stream of it",
        _router(udp_timeout_s=4, udp_stream_timeout_s=9),
        {
            "udp_s": [0, 5],
            "udp_stream_s": [5, 10],
            "inbound_refreshes": True,
            "tcp_s": None,
            "recommended_keepalive_s": None,
            "lets_in_all": False,
        },
        "fail",
    ),
    _lifetimes(
        "mappings that outside does not refresh",
        "7 s whatever the traffic was, and only packets from inside count",
        Plan(home=UserRouter(nat={"lifetime_s": 7, "inbound_refreshes": False})),
        {"udp_s": [5, 10], "udp_stream_s": [5, 10], "inbound_refreshes": False, "recommended_keepalive_s": 4, "lets_in_all": False},
        "fail",
    ),
    _lifetimes(
        "a firewall that forgets, 10 % loss",
        "nothing is translated, a stateful firewall forgets after 4 s; a tenth of all packets is lost",
        Plan(home=KernelRouter(mapping="none", udp_timeout_s=4, udp_stream_timeout_s=4), public_lan=True, loss=10),
        {
            "udp_s": _GONE_AT_ONCE,
            "udp_stream_s": _GONE_AT_ONCE,
            "inbound_refreshes": or_undecided(True),
            "lets_in_all": or_undecided(False),
        },
        one_of("fail", "inconclusive"),
    ),
    _lifetimes(
        "nothing to forget",
        "no translation, no filter: every packet gets in",
        _BY_NAME["none"].plan,
        {
            "udp_s": [None, None],
            "udp_stream_s": [None, None],
            "inbound_refreshes": None,
            "recommended_keepalive_s": None,
            "lets_in_all": True,
            "points": [],
        },
        "pass",
    ),
)
SCENARIOS: tuple[Scenario, ...] = (
    *map(of_nat, (nat for nat in BY_KERNEL if nat.name != "carrier-grade")),
    *RULES,
    *ALGS,
    *PATHS,
    *USER_SPACE,
    *LIFETIMES,
)
