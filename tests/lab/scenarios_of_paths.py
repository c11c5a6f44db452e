"""Scenarios of what happens on the way: transports that do not get out, loss, delay, IPv6, a server with one address."""

from tests.lab.expectation import At, Between, Each, one_of, or_undecided, rows
from tests.lab.nats import APDM, EIM
from tests.lab.routers import KernelRouter
from tests.lab.runs import Server
from tests.lab.scenario import (
    ALL_PORTS,
    APDF,
    FORWARDED,
    NO_ALG,
    NO_RULE,
    PBX,
    WHOLE,
    Expected,
    Scenario,
    behind,
    forwarding,
    nat_behavior,
    preservation,
    routed_by,
    rtp_range,
)
from tests.lab.topology import CLIENT, CLIENT6, Plan, UserRouter
from tests.lab.truth import Truth

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
    behind(
        "udp blocked",
        "no UDP leaves the network, TCP does; others have reached the server over UDP",
        routed_by(blocked=("udp",)),
        NO_UDP,
        {"nat-behavior": "fail", "rtp-range": "fail", "sip-alg": one_of("pass", "inconclusive")},
        witness=True,
        truth=Truth(causes=("nat-behavior.udp-blocked|outbound.udp-blocked",), also=(NO_RULE, "outbound.*")),
    ),
    behind(
        "udp blocked, nobody else has come through",
        "the same for the server's first client ever: the server's own firewall may be what blocks",
        routed_by(blocked=("udp",)),
        NO_UDP,
        {
            "nat-behavior": one_of("fail", "inconclusive"),
            "rtp-range": one_of("fail", "inconclusive"),
            "sip-alg": one_of("pass", "inconclusive"),
        },
        # its own side blocks; that the server's would is as likely to whoever asks first
        truth=Truth(causes=(NO_RULE,), also=("nat-behavior.udp-blocked", "outbound.*")),
    ),
    behind(
        "one address",
        "the server has one address: nothing can come from an address that was never contacted",
        routed_by(),
        {"nat-behavior": {"mapping": None, "filtering": APDM, "classic_type": None}, "port-forwarding": None, "rtp-range": None},
        {"port-forwarding": "skipped"},
        server=Server(alternate=False),
    ),
    behind(
        "one address, full cone",
        "with one address nobody can tell endpoint-independent from address-dependent, neither mapping nor filtering",
        routed_by(filtering="endpoint-independent"),
        {"nat-behavior": {"mapping": None, "filtering": None, "classic_type": None}, "port-forwarding": None, "rtp-range": None},
        {"port-forwarding": "skipped"},
        server=Server(alternate=False),
    ),
    behind(
        "throttled",
        "the router drops UDP beyond 500 packets a second",
        routed_by(forwards=PBX, udp_rate=500),
        {**FORWARDED, "rtp-range": _LOSSY_RANGE},
        {"rtp-range": one_of("pass", "inconclusive")},
        truth=Truth(forbidden=("rtp-range.*", "port-forwarding.*")),
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
        truth=Truth(forbidden=("rtp-range.*", "port-forwarding.*")),
    ),
    behind(
        "50 ms away",
        "25 ms each way, no loss",
        Plan(home=KernelRouter(forwards=PBX), path=UserRouter(weather={"delay_ms": 25})),
        FORWARDED,
        {"": "pass"},
        truth=Truth(forbidden=("rtp-range.*", "port-forwarding.*")),
    ),
    behind(
        "rough path",
        "25 ms with as much jitter, a tenth of the packets overtaking others and a twentieth arriving twice; none lost",
        Plan(
            home=KernelRouter(forwards=PBX), path=UserRouter(weather={"delay_ms": 25, "jitter_ms": 25, "reorder": 0.1, "duplicate": 0.05})
        ),
        # Copies that arrive twice by chance on SIP alone may look like somebody's doing: then it is left open, never called touched.
        {**FORWARDED, "sip-alg": {"interference": or_undecided("none")}},
        {"": one_of("pass", "inconclusive")},
        truth=Truth(forbidden=("rtp-range.*", "port-forwarding.*")),
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
        truth=Truth(causes=("rtp-range.no-rule",)),
    ),
)
