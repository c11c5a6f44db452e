"""A cause for every blocked stretch of the RTP range: each, and what looks like it; never a wrong one."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.lab import runs
from tests.lab.conftest import Laboratory
from tests.lab.port_edge import ABSENT, SAVING, nft
from tests.lab.routers import Forward, KernelRouter
from tests.lab.scenarios_of_causes import SCAN_PROTECTION
from tests.lab.topology import CLIENT, LAN_HOST, Plan, Topology

pytestmark = pytest.mark.lab

UPPER = "10060-10099"


def rule(ports: str, to: str = "", *transports: str) -> Forward:
    return Forward(ports=ports, to=to, transports=transports or ("udp",))


def routed(*forwards: Forward, **options: Any) -> Plan:
    return Plan(home=KernelRouter(forwards=forwards, **options))


LOWER = rule("10000-10059")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One edge, and the causes that are to be told for each stretch."""

    name: str
    plan: Plan = field(default_factory=Plan)
    more: str = ""
    """Shell, once the network stands."""
    causes: Mapping[str, tuple[str, ...]]
    """Ports as the finding names them -> causes, in order."""
    besides: tuple[str, ...] = ()
    """May be told after them, where the machine is slow or the router saves its errors."""
    says: str = ""
    """Stands in a finding's sentence."""

    def prepare(self, topology: Topology, directory: Path) -> None:
        """What the plan does not say."""
        if self.more:
            topology.ground.shell(self.more)

    def fits(self, told: Mapping[str, tuple[str, ...]]) -> bool:
        return told.keys() == self.causes.keys() and all(
            told[ports][: len(causes)] == causes and set(told[ports][len(causes) :]) <= set(self.besides)
            for ports, causes in self.causes.items()
        )


CASES = (
    Case(
        name="a stretch for each of three causes",
        plan=routed(rule("10000-10019"), rule("10020-10039", LAN_HOST), rule("10040-10079")),
        more=nft("client", "host", "input", "udp dport 10050-10059 drop"),
        causes={"10020-10039": ("wrong-host",), "10050-10059": ("host-firewall",), "10080-10099": ("no-rule",)},
        besides=("provider-drops", "filtered-behind"),
        says="the rule ends at 10079",
    ),
    Case(name="the rule ends early", plan=routed(LOWER), causes={UPPER: ("no-rule",)}, says="the rule ends at 10059"),
    Case(name="the rule begins late", plan=routed(rule(UPPER)), causes={"10000-10059": ("no-rule",)}, says="the rule begins at 10060"),
    Case(
        name="the rule is for even ports",
        plan=routed(*(rule(str(port)) for port in range(10_000, 10_100, 2))),
        causes={"10001-10099 (odd ports)": ("no-rule",)},
        says="the rule lets in even ports alone",
    ),
    Case(
        name="the rule is for TCP",
        plan=routed(rule("10000-10099", "", "tcp")),
        causes={"10000-10099": ("no-rule",)},
        says="the rule seems to be for TCP alone",
    ),
    Case(name="the rule ends early, and the router rejects", plan=routed(LOWER, unsolicited="reject"), causes={UPPER: ("no-rule",)}),
    Case(
        name="the rule ends early, and the router rejects and saves its errors",
        plan=routed(LOWER, unsolicited="reject"),
        more=SAVING,
        causes={UPPER: ("no-rule",)},
        besides=("wrong-host", "provider-drops", "router-refuses"),
    ),
    Case(name="the rule ends early, and the router throttles", plan=routed(LOWER, udp_rate=500), causes={UPPER: ("no-rule",)}),
    Case(name="the rest goes to another machine", plan=routed(LOWER, rule(UPPER, LAN_HOST)), causes={UPPER: ("wrong-host",)}),
    Case(
        name="the rest goes to a machine that is not there",
        plan=routed(LOWER, rule(UPPER, ABSENT)),
        causes={UPPER: ("wrong-host",)},
        besides=("filtered-behind",),
    ),
    Case(
        name="the rest goes to a silent machine",
        plan=routed(LOWER, rule(UPPER, LAN_HOST)),
        more=nft("lan-host", "host", "input", "udp dport 10060-10099 drop"),
        causes={UPPER: ("wrong-host", "filtered-behind")},
    ),
    Case(
        name="the router's own filter undoes a part of its rule",
        plan=routed(rule("10000-10099")),
        more=nft("home", "more", "forward", 'iifname "wan" udp dport 10060-10099 ct state new drop'),
        causes={UPPER: ("wrong-host", "filtered-behind")},
    ),
    Case(
        name="a rule that shifts the ports",
        plan=routed(LOWER),
        more=nft("home", "more", "prerouting", f'iifname "wan" meta l4proto udp th dport 10060-10099 dnat to {CLIENT}:20060', priority="dstnat - 5"),
        causes={UPPER: ("no-listener",)},
    ),
    Case(
        name="a rule that shifts each port by two",
        more="".join(
            nft("home", f"more{port}", "prerouting", f'iifname "wan" meta l4proto udp th dport {port} dnat to {CLIENT}:{port + 2}', priority="dstnat - 5")
            for port in range(10_000, 10_100)
        ),
        causes={"10000-10097": ("wrong-port",), "10098-10099": ("no-listener",)},
    ),
    Case(
        name="the host's firewall lets in a part",
        plan=routed(rule("10000-10099")),
        more=nft("client", "host", "input", "udp dport 10060-10099 ct state new drop"),
        causes={UPPER: ("host-firewall",)},
    ),
    Case(
        name="the provider drops a part",
        plan=routed(rule("10000-10099")),
        more=nft("core", "provider", "forward", 'iifname "services" udp dport 10060-10099 drop'),
        causes={UPPER: ("no-rule", "provider-drops")},
        says="which a missing rule alone does not explain",
    ),
    Case(
        name="the provider rejects a part",
        plan=routed(rule("10000-10099")),
        more=nft("core", "provider", "forward", 'iifname "services" udp dport 10060-10099 reject with icmp type admin-prohibited'),
        causes={UPPER: ("provider-drops",)},
        besides=("no-rule",),
    ),
    Case(
        name="carrier-grade nat",
        plan=Plan(home=KernelRouter(forwards=(rule("10000-10099"),)), carrier=KernelRouter()),
        causes={"10000-10099": ("carrier-grade-nat",)},
    ),
    Case(
        name="one stretch of two causes",
        plan=routed(LOWER, rule("10060-10079", LAN_HOST)),
        causes={UPPER: ("wrong-host", "no-rule")},
        says="not for one cause throughout",
    ),
)
Play = Callable[[Case], dict[str, Any]]


@pytest.fixture(scope="module")
def play(laboratory: Laboratory, request: pytest.FixtureRequest) -> Iterator[Play]:
    def run(case: Case) -> dict[str, Any]:
        directory = laboratory.directory(f"rtp cause {case.name}")
        with laboratory.stand(case.plan, "rtp cause") as topology:
            case.prepare(topology, directory)
            runs.serve(topology, runs.Server(), directory)
            return runs.run(topology, runs.Server(), directory, "rtp-range")

    with laboratory.together(request, "case", run) as played:
        yield played


def findings(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for check in report["checks"] for one in check["findings"] if one["id"] == "rtp-range.inbound-blocked"]


def told(report: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """Ports -> the causes told of them."""
    out: dict[str, tuple[str, ...]] = {}
    for finding in findings(report):
        ports, _, causes = finding["observed"].partition(": ")
        out[ports] = tuple(causes.split(" or ")) if causes else ()
    return out


EACH_RUN = ("a stretch for each of three causes",)


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name, marks=() if case.name in EACH_RUN else pytest.mark.slow) for case in CASES]
)
def test_cause(play: Play, case: Case) -> None:
    report = play(case)
    assert not runs.faults(report), "\n".join(runs.faults(report))
    evidence = "\n".join(line for finding in findings(report) for line in finding["evidence"])
    assert case.fits(told(report)), f"{runs.told(report)}\n{told(report)}\n{evidence}"
    assert not case.says or any(case.says in finding["summary"] for finding in findings(report)), runs.told(report)


HELD_UP = "udp sport 10060-10099"
OUTWARD = {
    "the home router drops": (nft("home", "out", "forward", f'iifname "lan" {HELD_UP} drop'), "Hop 1 (192.168.88.1) sees them and hop 2"),
    "the home router rejects": (
        nft("home", "out", "forward", f'iifname "lan" {HELD_UP} reject with icmp type admin-prohibited'),
        "192.168.88.1 refuses them (ICMP 3/13).",
    ),
    "a firewall in front of the server drops": (nft("core", "out", "forward", f'oifname "services" {HELD_UP} drop'), "sees them and hop 3"),
    "this machine's own firewall drops": (nft("client", "out", "output", f"{HELD_UP} drop"), "own system refuses to send"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OUTWARD)
def test_who_drops_on_the_way_out(laboratory: Laboratory, name: str) -> None:
    more, words = OUTWARD[name]
    directory = laboratory.directory(f"rtp out {name}")
    with laboratory.stand(routed(rule("10000-10099")), "rtp out") as topology:
        topology.ground.shell(more)
        runs.serve(topology, runs.Server(), directory)
        report = runs.run(topology, runs.Server(), directory, "rtp-range")
    (finding,) = [one for check in report["checks"] for one in check["findings"]]
    assert finding["subject"] == "UDP 10060-10099", runs.told(report)
    assert words in finding["summary"], runs.told(report)


@pytest.mark.slow
@pytest.mark.parametrize("most", [20, 150])
def test_who_is_shut_out_finds_no_stretch_blocked(laboratory: Laboratory, most: int) -> None:
    """The rule for the whole range is right. In the first run or the second one the router shuts out the prober, in the third both addresses."""
    directory = laboratory.directory(f"rtp shut out {most}")
    with laboratory.stand(routed(rule("10000-10099")), "rtp shut out") as topology:
        topology.ground.shell(f"ip netns exec home nft -f - <<'END'\n{SCAN_PROTECTION % ('', most)}\nEND")
        runs.serve(topology, runs.Server(), directory)
        reports = [runs.run(topology, runs.Server(), directory, "port-forwarding", "rtp-range") for _ in range(3)]
    for report in reports:
        assert not runs.faults(report), "\n".join(runs.faults(report))
        assert not findings(report), runs.told(report)
    undecided = [one for check in reports[-1]["checks"] for one in check["findings"] if one["id"] == "rtp-range.undecided"]
    assert any("port scan protection" in one["summary"] for one in undecided), runs.told(reports[-1])
