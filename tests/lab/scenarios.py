"""Scenarios as data: a name, what stands between, and the expected observation of every check, in the contract's field names.

Here: the NATs, the router's rules, the kernel's ALG; ``scenarios_of_paths`` and ``scenarios_of_user_space`` have the others.
"""

from tests.lab.expectation import NearlyAll, one_of, rows
from tests.lab.nats import BY_KERNEL
from tests.lab.routers import Forward, KernelRouter
from tests.lab.runs import RTP
from tests.lab.scenario import (
    BY_NAME,
    CARRIER,
    FORWARDED,
    NO_RULE,
    PBX,
    Scenario,
    behind,
    forwarding,
    of_nat,
    routed_by,
    rtp_range,
)
from tests.lab.scenarios_of_paths import PATHS
from tests.lab.scenarios_of_user_space import LIFETIMES, USER_SPACE
from tests.lab.topology import LAN_HOST, Plan
from tests.lab.truth import Truth

_EARLY = 60
RULES: tuple[Scenario, ...] = (
    behind(
        "forwarded",
        "every port of the PBX has its rule",
        routed_by(forwards=PBX),
        FORWARDED,
        {"": "pass", "port-forwarding": "pass", "rtp-range": "pass"},
        truth=Truth(),
    ),
    behind(
        "rule ends early",
        "the RTP rule's last port is a typo",
        routed_by(forwards=(PBX[0], Forward(ports=f"{RTP[0]}-{RTP[0] + _EARLY - 1}", transports=("udp",)))),
        {
            "port-forwarding": forwarding("forwarded"),
            "rtp-range": {"inbound_open": _EARLY, "inbound_blocked": [[RTP[0] + _EARLY, RTP[1]]]},
        },
        {"rtp-range": "fail"},
        truth=Truth(causes=("rtp-range.no-rule",)),
    ),
    behind(
        "wrong host",
        "the SIP rule leads to another machine of the LAN, which has nothing there and says so",
        routed_by(forwards=(Forward(ports="5060-5061", to=LAN_HOST), PBX[1])),
        {"port-forwarding": forwarding("refused"), "rtp-range": rtp_range(True)},
        {"port-forwarding": "fail"},
        truth=Truth(causes=("port-forwarding.wrong-host",)),
    ),
    behind(
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
        truth=Truth(causes=("port-forwarding.wrong-host", NO_RULE)),
    ),
    behind(
        "host firewall",
        "the router's rules are right, and the PBX's own firewall drops what it has not asked for",
        Plan(home=KernelRouter(forwards=PBX), host_firewall=True),
        {},
        {"port-forwarding": "fail", "rtp-range": "fail"},
        truth=Truth(causes=("port-forwarding.host-firewall",), also=("host.firewall*",)),
    ),
    behind(
        "reject",
        "no rules; the router refuses by ICMP instead of dropping",
        routed_by(unsolicited="reject"),
        {"port-forwarding": forwarding("refused")},
        {"port-forwarding": "fail"},
        truth=Truth(causes=(NO_RULE,)),
    ),
    behind(
        "udp only",
        "somebody forgot that SIP has a TCP side",
        routed_by(forwards=(Forward(ports="5060", transports=("udp",)), PBX[1])),
        {
            "port-forwarding": {
                "ports": rows(({"transport": "udp", "port": 5060}, {"state": "forwarded"}), ({"transport": "tcp"}, {"state": "blocked"}))
            },
            "rtp-range": rtp_range(True),
        },
        {"port-forwarding": "fail"},
        truth=Truth(causes=(NO_RULE,)),
    ),
    behind(
        "carrier-grade nat",
        "the home's rules are right, and the provider translates once more",
        Plan(home=KernelRouter(forwards=PBX), carrier=KernelRouter()),
        {},
        {"port-forwarding": "fail", "rtp-range": "fail"},
        truth=Truth(causes=("topology.carrier-grade-nat|port-forwarding.carrier-grade-nat",), also=CARRIER),
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
    plan = routed_by(forwards=PBX, sip_alg=transports, port_range="20000-29999")
    remapping = of_nat(BY_NAME["remapping"]).expected
    changes = {**FORWARDED, "port-preservation": remapping["port-preservation"], "sip-alg": {"interference": level, "probes": rows(*rules)}}
    changes["rtp-range"] = {**rtp_range(True), "remapped": NearlyAll(*RTP)}
    causes = ("port-preservation.remapped", *(["sip-alg.rewritten|sip-alg.inconsistent"] if transports else []))
    truth = Truth(causes=causes, also=("sip-alg.pinhole", "sip-alg.via-port") if transports else (), hops=(1,) if "udp" in transports else None)
    return behind(name, description, plan, changes, {"sip-alg": "fail" if transports else "pass"}, truth=truth)


ALGS: tuple[Scenario, ...] = (
    _alg("sip alg on udp", "the kernel's SIP helper, as most consumer routers have it", ("udp",)),
    _alg("sip alg on tcp", "the helper on TCP alone", ("tcp",)),
    _alg("sip alg on both", "the helper on both transports", ("udp", "tcp")),
    _alg("sip alg off", "the same router without the helper: ports change, texts do not", ()),
)
SCENARIOS: tuple[Scenario, ...] = (
    *map(of_nat, (nat for nat in BY_KERNEL if nat.name != "carrier-grade")),
    *RULES,
    *ALGS,
    *PATHS,
    *USER_SPACE,
    *LIFETIMES,
)
