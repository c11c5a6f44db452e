"""Scenarios of routers that Linux is not: other mappings, allocations and pools; and routers that forget within seconds."""

from collections.abc import Mapping
from typing import Any

from tests.lab.expectation import At, one_of, or_undecided
from tests.lab.routers import KernelRouter
from tests.lab.scenario import (
    BY_NAME,
    NO_RULE,
    SILENT,
    TESTED,
    WHOLE,
    Expected,
    Scenario,
    behind,
    forwarding,
    preservation,
    routed_by,
    rtp_range,
)
from tests.lab.topology import SECOND_WAN, WAN, Plan, UserRouter
from tests.lab.truth import Truth


def _user(name: str, description: str, nat: dict[str, Any], changes: Expected, *causes: str, also: tuple[str, ...] = ()) -> Scenario:
    told = causes or (NO_RULE,)  # these routers draw ports, or let anyone in on a used one: none can be opened from within
    truth = Truth(causes=tuple(cause for cause in told if cause != NO_RULE), fits=SILENT if NO_RULE in told else (), also=also)
    return behind(name, description, Plan(home=UserRouter(nat=nat)), changes, truth=truth)


USER_SPACE: tuple[Scenario, ...] = (
    _user(
        "sequential ports",
        "mapped ports are counted up",
        {"allocation": "sequential"},
        {
            "port-preservation": {"tested": TESTED, "preserved": 0, "allocation": "sequential", "parity_kept": one_of(True, False)},
            "rtp-range": rtp_range(False, remapped=True),
        },
        NO_RULE,
        "port-preservation.remapped",
    ),
    _user(
        "parity kept",
        "mapped ports are drawn at random, odd stays odd and even even",
        {"allocation": "parity"},
        {
            "port-preservation": {"tested": TESTED, "preserved": 0, "allocation": "parity", "parity_kept": True},
            "rtp-range": rtp_range(False, remapped=True),
        },
        NO_RULE,
        "port-preservation.remapped",
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
        NO_RULE,
        "nat-behavior.endpoint-dependent-mapping",
        also=("port-preservation.*",),
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
        "nat-behavior.pooling|topology.several-addresses",
        also=(NO_RULE,),
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
        NO_RULE,
        "port-preservation.remapped",
    ),
)


def _lifetimes(name: str, description: str, plan: Plan, expected: Mapping[str, Any], verdict: Any, truth: Truth) -> Scenario:
    """``mapping-lifetime`` alone, by name. The routers forget within seconds, so it ends early: two idle times in a row were too long."""
    options = ("mapping-lifetime", "--quick")
    return Scenario(
        name=name,
        description=description,
        plan=plan,
        options=options,
        expected={"mapping-lifetime": expected},
        verdicts={"mapping-lifetime": verdict},
        truth=truth,
    )


_SHORT = Truth(causes=("mapping-lifetime.very-short|mapping-lifetime.short",), also=("mapping-lifetime.*",))
_GONE_AT_ONCE = one_of([0, 5], [0, 10], [None, None])
LIFETIMES: tuple[Scenario, ...] = (
    _lifetimes(
        "mappings that die young",
        "the kernel's timeouts, 4 s after one exchange and 9 s for a stream; packets from outside refresh, and make a stream of it",
        routed_by(udp_timeout_s=4, udp_stream_timeout_s=9),
        {
            "udp_s": [0, 5],
            "udp_stream_s": [5, 10],
            "inbound_refreshes": True,
            "tcp_s": None,
            "recommended_keepalive_s": None,
            "lets_in_all": False,
        },
        "fail",
        _SHORT,
    ),
    _lifetimes(
        "mappings that outside does not refresh",
        "7 s whatever the traffic was, and only packets from inside count",
        Plan(home=UserRouter(nat={"lifetime_s": 7, "inbound_refreshes": False})),
        {"udp_s": [5, 10], "udp_stream_s": [5, 10], "inbound_refreshes": False, "recommended_keepalive_s": 4, "lets_in_all": False},
        "fail",
        _SHORT,
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
        _SHORT,
    ),
    _lifetimes(
        "nothing to forget",
        "no translation, no filter: every packet gets in",
        BY_NAME["none"].plan,
        {
            "udp_s": [None, None],
            "udp_stream_s": [None, None],
            "inbound_refreshes": None,
            "recommended_keepalive_s": None,
            "lets_in_all": True,
            "points": [],
        },
        "pass",
        Truth(),
    ),
)
