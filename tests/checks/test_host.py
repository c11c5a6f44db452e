"""What is said of a machine: each fact with its look-alike; and what this very machine tells."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from edgecheck.checks import host
from edgecheck.checks.host import HostObservation
from edgecheck.model.machine import DefaultRoute, Firewall, Machine
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Verdict
from edgecheck.net.machine import facts as reading
from tests.checks.probing import look, say
from tests.fakes.edge import Edge
from tests.fakes.nat import Nat

PROFILE = Profile(name="t", title="", source="", confidence="verified", checks=(), rtp=(10_000, 19_999))
DSL = DefaultRoute(family=4, interface="eth0", gateway="192.168.1.1", metric=100)


def route(**changes: Any) -> DefaultRoute:
    return DefaultRoute(**({"family": 4, "interface": "wlan0", "gateway": "192.168.2.1", "metric": 100} | changes))


def causes(machine: Machine, **more: Any) -> list[str]:
    said = say(host.CHECK, HostObservation(**({"source": "192.168.1.2", "machine": machine} | more)), PROFILE)
    assert said.verdict in (Verdict.PASS, Verdict.WARN), "a fact about this machine fails nothing"
    return said.ids


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, "fine"),
        ({"interface": "wg0", "tunnel": True}, "vpn"),
        ({"interface": "eth0", "tunnel": False}, "fine"),
        ({"default_routes": (DSL, route())}, "several-routes"),
        ({"default_routes": (DSL, route(metric=600))}, "fine"),  # one wins
        ({"default_routes": (DSL, route(metric=None))}, "fine"),  # not told: nothing is claimed
        ({"default_routes": (DSL, route(interface="eth0", gateway="192.168.1.9"))}, "fine"),  # two routers on one line
        ({"default_routes": (DSL, route(family=6))}, "fine"),  # one each
        ({"sip_helper_loaded": True, "sip_helper_bound": True}, "sip-helper"),
        ({"sip_helper_loaded": True, "sip_helper_bound": False}, "fine"),
        ({"sip_helper_loaded": False, "sip_helper_bound": False}, "fine"),
        ({"conntrack": (60_000, 65_536)}, "conntrack-full"),
        ({"conntrack": (50_000, 65_536)}, "fine"),
        ({"conntrack": (0, 0)}, "fine"),
        ({"descriptors": (1024, 4096)}, "descriptors"),
        ({"descriptors": (1024, 524_288)}, "fine"),
        ({"descriptors": (256, -1)}, "fine"),
        ({"udp_buffers": (16_384, 212_992)}, "small-buffers"),
        ({"udp_buffers": (212_992, 212_992)}, "fine"),
        ({"firewall": Firewall(name="nftables", inbound="drops")}, "fine"),
        ({"container": True}, "fine"),  # with the host's network
        ({"bridges": ("docker0",)}, "fine"),
    ],
)
def test_one_fact(facts: dict[str, Any], expected: str) -> None:
    assert causes(Machine(**facts)) == [expected]


def test_a_helper_that_is_merely_loaded_is_told_and_warns_nobody() -> None:
    """The rule that holds it may be a container's; what becomes of SIP here, ``sip-alg`` measures."""
    loaded = {"sip_helper_loaded": True, "sip_helper_bound": None}
    seen = HostObservation(source="192.168.1.2", machine=Machine(**loaded))  # type: ignore[arg-type]
    said = say(host.CHECK, seen, PROFILE)
    assert (said.verdict, said.ids) == (Verdict.PASS, ["fine", "sip-helper-loaded"])
    assert "the kernel's SIP helper is loaded; whether on any traffic could not be read" in said.findings[0].evidence
    assert host.CHECK.summarize(seen, said.findings).startswith("Nothing that could be read of this machine stands in the way")
    beside = HostObservation(source="192.168.1.2", machine=Machine(interface="wg0", tunnel=True, **loaded))  # type: ignore[arg-type]
    said = say(host.CHECK, beside, PROFILE)
    assert said.ids == ["vpn", "sip-helper-loaded"]
    assert "more)" not in host.CHECK.summarize(beside, said.findings)


@pytest.mark.parametrize(
    ("inbound", "told"),
    [
        ("drops", "of calls; its own firewall (nftables) drops what no rule admits"),
        (None, "of calls; its own firewall (nftables) has rules that were not weighed: port-forwarding shows what gets in"),
        ("accepts", "of calls"),
    ],
)
def test_the_firewall_is_not_passed_over_in_silence(inbound: Any, told: str) -> None:
    seen = host.HostObservation(source="192.168.1.20", machine=Machine(firewall=Firewall(name="nftables", inbound=inbound)))
    assert host.CHECK.summarize(seen, host.CHECK.judge(seen, PROFILE)).endswith(told)


def test_ipv6_alone() -> None:
    """A default route that is not told is no proof where the checks themselves went by IPv4."""
    machine = Machine(default_routes=(route(family=6),))
    assert causes(machine, source="2001:db8::2") == ["single-family"]
    assert causes(machine) == ["fine"]


def test_a_container_behind_its_bridge() -> None:
    assert causes(Machine(container=True), source="172.17.0.2") == ["container"]
    assert causes(Machine(container=None), source="172.17.0.2") == ["fine"]


@pytest.mark.parametrize(("ahead", "error", "expected"), [(61.0, 0.1, "clock"), (-86_400.0, 0.1, "clock"), (59.0, 0.1, "fine"), (61.0, 2.0, "fine")])
def test_the_clock(ahead: float, error: float, expected: str) -> None:
    assert causes(Machine(), clock_ahead_s=ahead, clock_error_s=error) == [expected]


def test_a_synchronized_clock_is_not_blamed_alone() -> None:
    seen = HostObservation(source="192.168.1.2", machine=Machine(clock_synchronized=True), clock_ahead_s=-200.0, clock_error_s=0.0)
    assert "the server's clock may be the wrong one" in say(host.CHECK, seen, PROFILE).findings[0].summary


@pytest.mark.parametrize("wrong", [0.0, 300.0, -7200.0])
def test_the_servers_clock_is_asked(wrong: float) -> None:
    seen = look(host, lambda: Edge(Nat(), clock_ahead=wrong), PROFILE)
    assert seen.clock_ahead_s == pytest.approx(wrong, abs=0.05)
    assert seen.clock_error_s == pytest.approx(0.025, abs=0.001)


# -------------------------------------------------------------------------------------------------------- what is really read


def test_this_machine_tells_something_and_nothing_is_null_without_a_reason() -> None:
    seen = asyncio.run(reading.machine("127.0.0.1"))
    told = {name: getattr(seen, name) for name in ("interface", "tunnel", "firewall", "sip_helper_loaded", "conntrack", "descriptors", "udp_buffers")}
    if sys.platform == "linux":
        assert seen.udp_buffers is not None
        assert seen.interface == "lo"
    assert {name for name, value in told.items() if value is None} <= set(seen.reasons)


def nft(*entries: dict[str, Any]) -> str:
    return json.dumps({"nftables": [{"metainfo": {}}, *entries]})


def chain(policy: str, hook: str = "input", family: str = "inet") -> dict[str, Any]:
    return {"chain": {"family": family, "table": "t", "name": "c", "hook": hook, "type": "filter", "policy": policy}}


def rule(*expressions: dict[str, Any], family: str = "inet") -> dict[str, Any]:
    return {"rule": {"family": family, "table": "t", "chain": "c", "expr": list(expressions)}}


MATCH = {"match": {"op": "==", "left": {}, "right": 5060}}


@pytest.mark.parametrize(
    ("rules", "inbound"),
    [
        (nft(), "accepts"),
        (nft(chain("drop", "forward")), "accepts"),
        (nft(chain("drop")), "drops"),
        (nft(chain("accept")), "accepts"),
        (nft(chain("accept"), rule(MATCH, {"accept": None}), rule({"counter": {}}, {"drop": None})), "drops"),
        (nft(chain("accept"), rule(MATCH, {"drop": None})), None),  # some are dropped: which, its rules say
        (nft(chain("drop", family="ip")), "drops"),
        (nft(chain("drop", family="ip6")), "accepts"),  # of IPv4 nothing is dropped
        (nft(chain("drop", family="arp")), "accepts"),  # no packets of anybody's
        (nft(chain("accept", "ingress", "netdev"), rule(MATCH, {"drop": None}, family="netdev")), None),  # before any other chain
        (nft(chain("drop", family="bridge")), None),
        (nft(chain("drop"), rule({"accept": None})), None),  # the policy is never reached
        (nft(chain("accept"), rule({"accept": None}), rule({"drop": None})), None),  # nor is this rule
        (nft(chain("accept"), rule({"limit": {}}, {"drop": None})), None),  # some of it
        ("no JSON", None),
        ("[]", None),
    ],
)
def test_what_a_packet_filter_does_to_the_unnamed(rules: str, inbound: str | None) -> None:
    assert reading._nft_inbound(rules) == inbound


def test_of_the_other_family_another_chain_speaks() -> None:
    assert reading._nft_inbound(nft(chain("drop", family="ip6")), 6) == "drops"
    assert reading._nft_inbound(nft(chain("drop", family="ip")), 6) == "accepts"


@pytest.mark.parametrize(("tables", "firewall"), [("filter\n", ("nftables and iptables", None)), ("", ("nftables", "accepts"))])
def test_iptables_older_tables_are_not_overlooked(tables: str, firewall: tuple[str, str | None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """nft shows nothing of them, so it cannot be said that nothing is dropped, nor that no rule sets the SIP helper."""
    (tmp_path / "ip_tables_names").write_text(tables)
    monkeypatch.setattr(reading, "Path", lambda name: tmp_path / name.rpartition("/")[2])
    monkeypatch.setattr(reading.sys, "platform", "linux")
    monkeypatch.setattr(reading.os, "geteuid", lambda: 0)

    async def output(*command: str) -> str | None:
        return nft() if command[0] == "nft" else None

    monkeypatch.setattr(reading, "_output", output)
    found, rules = asyncio.run(reading._firewall(4))
    assert found is not None
    assert (found.name, found.inbound) == firewall
    assert (rules is None) == bool(tables)


HELPER = {"ct helper": {"family": "inet", "table": "t", "name": "h", "type": "sip", "protocol": "udp"}}
SETS: dict[str, Any] = {"ct helper": "h"}
BY_A_MAP = {"ct helper": {"map": {"key": {"payload": {"protocol": "udp", "field": "dport"}}, "data": {"set": [[5060, "h"]]}}}}


@pytest.mark.parametrize(
    ("rules", "bound"),
    [
        (nft(HELPER, chain("accept"), rule(MATCH, SETS)), True),
        (nft(HELPER, chain("accept"), rule(MATCH, BY_A_MAP)), True),
        (nft(HELPER, chain("accept"), rule(MATCH, {"accept": None})), False),  # made, and set by no rule
        (nft({"ct helper": {**HELPER["ct helper"], "type": "ftp"}}, rule(MATCH, SETS)), False),
        (nft({"ct helper": {**HELPER["ct helper"], "table": "other"}}, rule(MATCH, SETS)), False),  # another table's has that name
        (nft(rule(MATCH, {"xt": {"type": "target", "name": "CT"}})), None),  # iptables' own: which helper, nft does not tell
        (nft(), False),
        ("-A PREROUTING -p udp --dport 5060 -j CT --helper sip", True),
        ("-A PREROUTING -p tcp --dport 21 -j CT --helper ftp", False),
        ("{", None),
        (None, None),
    ],
)
def test_whether_a_rule_sets_the_helper(rules: str | None, bound: bool | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(reading, "Path", lambda name: tmp_path / "none")  # no kernel that sets it by itself
    assert reading._helper_bound(True, rules) is bound


@pytest.mark.parametrize(
    ("references", "holders", "bound"),
    [
        (1, ("nf_nat_sip",), False),  # its companion alone: no rule sets it
        (2, ("nf_nat_sip",), None),  # somebody does, in this namespace or another
        (0, (), False),
        (None, (), None),  # built into the kernel
    ],
)
def test_a_module_that_nobody_holds_is_set_by_no_rule(
    references: int | None, holders: tuple[str, ...], bound: bool | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What a user without rights may read: nobody is warned of a module that does nothing."""
    module = tmp_path / "nf_conntrack_sip"
    for holder in holders:
        (module / "holders" / holder).mkdir(parents=True)
    (module / "holders").mkdir(parents=True, exist_ok=True)
    if references is not None:
        (module / "refcnt").write_text(f"{references}\n")
    monkeypatch.setattr(reading, "Path", lambda name: tmp_path / name.rpartition("/")[2])
    assert reading._helper_bound(True, None) is bound


def test_routes_as_ip_tells_them() -> None:
    told = [
        {"dst": "default", "gateway": "192.168.1.1", "dev": "eth0", "metric": 100, "flags": []},
        {"dst": "default", "dev": "ppp0", "scope": "link", "flags": []},
        {"dst": "default", "flags": [], "nexthops": [{"gateway": "10.0.0.1", "dev": "a", "weight": 1, "flags": []}, {"dev": "b", "weight": 1, "flags": ["dead"]}]},
        {"type": "unreachable", "dst": "default", "dev": "lo", "metric": 4294967295, "flags": []},
    ]
    seen = [(row.interface, row.gateway, row.metric) for row in reading._told_by_ip(json.dumps(told), 4)]
    assert seen == [("eth0", "192.168.1.1", 100), ("ppp0", None, 0), ("a", "10.0.0.1", 0)]
    assert reading._told_by_ip("", 6) == []


def test_metrics_are_read_from_the_kernels_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "route"
    packed = int.from_bytes(bytes((192, 168, 1, 1)), sys.byteorder)
    table.write_text(
        "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
        f"eth0 00000000 {packed:08X} 0003 0 0 100 00000000 0 0 0\neth0 0001A8C0 00000000 0001 0 0 100 00FFFFFF 0 0 0\n"
    )
    monkeypatch.setattr(reading, "Path", lambda name: table if name == "/proc/net/route" else Path(name))
    assert reading._linux_metrics() == {("eth0", "192.168.1.1"): 100}


def test_a_firewall_that_lets_out_only_what_it_names_is_told_of() -> None:
    rules = nft(chain("drop")).replace('"hook": "input"', '"hook": "output"')
    assert rules != nft(chain("drop"))
    assert (reading._nft_inbound(rules), reading._nft_inbound(rules, 4, "output")) == ("accepts", "drops")
    assert reading._nft_inbound(nft(chain("drop")), 4, "output") == "accepts"
    for inbound in ("accepts", "drops", None):
        machine = Machine(firewall=Firewall(name="nftables", inbound=inbound, outbound="drops"))
        (finding,) = host.judge(host.HostObservation(source="192.168.1.20", machine=machine), PROFILE)
        assert "lets out only what its rules name" in finding.summary
        assert "on its way out, what no rule names: drops" in finding.evidence
