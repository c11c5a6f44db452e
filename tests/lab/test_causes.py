"""A cause for every port that is not reached: each, and what looks like it. The right one alone, or among those that are told; never a wrong one."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.lab import igd, runs
from tests.lab.conftest import Laboratory
from tests.lab.ground import python
from tests.lab.hiding import hiding
from tests.lab.igd import Igd
from tests.lab.routers import Forward, KernelRouter
from tests.lab.topology import CLIENT, LAN_HOST, WAN, Plan, Topology

pytestmark = pytest.mark.lab

PBX = (Forward(ports="5060-5061"),)
ABSENT = "192.168.89.99"
"""Nobody's address on the LAN host's network."""
PORTS = ("UDP 5060", "TCP 5060", "TCP 5061")
SAVING = "ip netns exec home sysctl -qw net.ipv4.icmp_ratelimit=1000 net.ipv4.icmp_ratemask=6168"
"""As Linux has it by itself: six errors at once, then one a second."""


def nft(namespace: str, chain: str, hook: str, *lines: str, priority: str = "filter - 5") -> str:
    """One more chain in a namespace."""
    kind = "nat" if "dstnat" in priority else "filter"
    body = "\n".join(lines)
    return f"ip netns exec {namespace} nft -f - <<'END'\ntable ip {chain} {{ chain more {{ type {kind} hook {hook} priority {priority};\n{body}\n}}\n}}\nEND\n"


def provider(rule: str) -> str:
    """A rule of the provider's for what goes towards the home."""
    return nft("core", "provider", "forward", f'iifname "services" {rule}')


SIP = "th dport 5060-5061"
UNTOLD_TCP = nft("home", "mute", "output", "icmp type time-exceeded @th,136,8 6 drop")
"""It says nothing of TCP segments that expire (byte 17 of the error: the quoted protocol), and tells of all else."""
UNTOLD = nft("home", "mute", "output", "icmp type time-exceeded drop")
TAKES_UDP = """
import socket, sys
taker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
taker.bind(("0.0.0.0", int(sys.argv[1])))
print("ready", flush=True)
while taker.recv(2048) is not None: pass
"""
SPEAKS = """
import socketserver, sys
class Greeting(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(b"SSH-2.0-here")
        self.request.recv(64)
socketserver.ThreadingTCPServer.allow_reuse_address = True
with socketserver.ThreadingTCPServer(("0.0.0.0", int(sys.argv[1])), Greeting) as speaker:
    print("ready", flush=True)
    speaker.serve_forever()
"""
CONTAINER = """ip netns add container
ip link add docker0 netns client type veth peer name eth0 netns container
ip -n client addr add 172.17.0.1/16 dev docker0
ip -n client link set docker0 up
ip -n container addr add 172.17.0.2/16 dev eth0
ip -n container link set eth0 up
ip -n container route add default via 172.17.0.1
ip netns exec client sysctl -qw net.ipv4.ip_forward=1
"""
SECOND_LINE = """ip link add wan2 netns home type veth peer name edge2 netns core
ip -n home addr add 192.0.3.2/24 dev wan2
ip -n home link set wan2 up
ip -n core addr add 192.0.3.1/24 dev edge2
ip -n core link set edge2 up
ip -n home rule add iif lan ipproto tcp sport 5060-5061 lookup 200
ip -n home route add default via 192.0.3.1 table 200
""" + nft("core", "sources", "prerouting", 'iifname "edge2" ip saddr != 192.0.3.0/24 drop', priority="-300")
"""Answers to connections leave by it, and its provider lets out no foreign senders."""
TUNNEL = """ip netns add tunnel
ip link add tun9 netns client type veth peer name eth0 netns tunnel
ip -n client addr add 10.8.0.2/24 dev tun9
ip -n client link set tun9 up
ip -n tunnel addr add 10.8.0.1/24 dev eth0
ip -n tunnel link set eth0 up
ip -n client route add 198.51.100.11/32 via 10.8.0.1
ip netns exec client sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1
"""
POOL = f"""ip -n core route add 203.0.113.129/32 via {WAN}
ip netns exec home nft insert rule ip edge source oifname wan snat to 203.0.113.129
ip -n home route add unreachable 203.0.113.129/32
"""
"""It translates to an address that none of its interfaces has; whatever else comes for that one it refuses, under the address of its line."""
BOTH = "meta l4proto { tcp, udp }"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One edge, and the causes that are to be told for each port."""

    name: str
    plan: Plan = field(default_factory=Plan)
    more: str = ""
    """Shell, once the network stands."""
    programs: tuple[tuple[str, tuple[str, str]], ...] = ()
    """Namespace, program (Python) and its port: once it says ``ready`` it serves."""
    igd: Igd | None = None
    """The home router speaks UPnP; it has a public address that it takes for one."""
    claims: str = ""
    """A machine for which it lists mappings of the PBX's ports that it does not apply."""
    causes: tuple[str, ...] = ()
    """For every port."""
    differing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For these ports; empty = it is reached."""
    besides: tuple[str, ...] = ("provider-drops",)
    """May be told after them, where a machine so slow that no punched connection comes about hides what would leave it out: never in their
    place. Not where a plain router is asked."""

    def prepare(self, topology: Topology, directory: Path) -> None:
        """What the plan does not say."""
        if self.more:
            topology.ground.shell(self.more)
        for namespace, (program, port) in self.programs:
            topology.ground.spawn(namespace, *python("-c", program, port), ready="ready")
        if self.igd is not None:
            igd.own_public_address(topology)
            self.igd.start(topology, directory / "igd")
        if self.claims:
            listed = [(transport, port, self.claims, port, "stale") for transport in ("UDP", "TCP") for port in (5060, 5061)]
            igd.stub(topology, says=WAN, mappings=listed)

    def fits(self, told: Mapping[str, tuple[str, ...]]) -> bool:
        """Whether every port has its causes, and no other but those that may be told besides."""
        wanted = {port: self.differing.get(port, self.causes) for port in PORTS}
        return told.keys() == wanted.keys() and all(
            told[port][: len(causes)] == causes and set(told[port][len(causes) :]) <= set(self.besides if causes else ())
            for port, causes in wanted.items()
        )


def routed(**options: Any) -> Plan:
    return Plan(home=KernelRouter(**options))


CASES = (
    Case(name="no rule", causes=("no-rule",), besides=()),
    Case(name="no rule, a router that saves its errors", more=SAVING, causes=("no-rule",)),
    Case(name="no rule, and the router rejects", plan=routed(unsolicited="reject"), causes=("no-rule",), besides=()),
    Case(
        name="no rule, the router rejects and saves its errors",
        plan=routed(unsolicited="reject"),
        more=SAVING,
        causes=("no-rule",),
        besides=("wrong-host", "provider-drops", "router-refuses"),
    ),
    Case(name="no rule, and the router takes it for itself", plan=routed(unsolicited="take"), causes=("no-rule",)),
    Case(
        name="a rule for UDP alone",
        plan=routed(forwards=(Forward(ports="5060", transports=("udp",)),)),
        causes=("no-rule",),
        differing={"UDP 5060": ()},
    ),
    Case(name="no rule behind random ports", plan=routed(mapping="random"), causes=("no-rule", "provider-drops")),
    Case(name="wrong host, alive", plan=routed(forwards=(Forward(ports="5060-5061", to=LAN_HOST),)), causes=("wrong-host",)),
    Case(
        name="wrong host, alive, behind a router that saves its errors",
        plan=routed(forwards=(Forward(ports="5060-5061", to=LAN_HOST),)),
        more=SAVING,
        causes=("wrong-host",),
    ),
    Case(name="wrong host, absent", plan=routed(forwards=(Forward(ports="5060-5061", to=ABSENT),)), causes=("wrong-host",)),
    Case(
        name="wrong host, absent, behind a router that saves its errors",
        plan=routed(forwards=(Forward(ports="5060-5061", to=ABSENT),)),
        more=SAVING,
        causes=("wrong-host",),
        besides=("filtered-behind",),
    ),
    Case(
        name="wrong host, silent",
        plan=routed(forwards=(Forward(ports="5060-5061", to=LAN_HOST),)),
        more=nft("lan-host", "host", "input", f"{BOTH} {SIP} drop"),
        causes=("wrong-host", "filtered-behind"),
    ),
    Case(
        name="wrong host, silent, behind a router that tells of no expired TCP",
        plan=routed(forwards=(Forward(ports="5060-5061", to=LAN_HOST),)),
        more=UNTOLD_TCP + nft("lan-host", "host", "input", f"{BOTH} {SIP} drop"),
        causes=("wrong-host", "filtered-behind"),
        differing=dict.fromkeys(("TCP 5060", "TCP 5061"), ("no-rule", "wrong-host", "filtered-behind")),
    ),
    Case(
        name="no rule, and a router that tells of no expired TCP",
        more=UNTOLD_TCP,
        causes=("no-rule",),
        differing=dict.fromkeys(("TCP 5060", "TCP 5061"), ("no-rule", "wrong-host", "filtered-behind")),
    ),
    Case(name="held by another, alive", igd=Igd(says=igd.PUBLIC, held=(5060, 5061)), causes=("held-by-another",)),
    Case(
        name="held by another, silent",
        igd=Igd(says=igd.PUBLIC, held=(5060, 5061)),
        more=nft("lan-host", "host", "input", f"{BOTH} {SIP} drop"),
        causes=("held-by-another",),
    ),
    Case(name="held by another, with a service", plan=Plan(wrong_service=True), igd=Igd(says=igd.PUBLIC, held=(5060, 5061)), causes=("held-by-another",)),
    Case(name="mapped to a machine that is gone", igd=Igd(says=igd.PUBLIC, held=(5060, 5061), holder=ABSENT), causes=("wrong-host",)),
    Case(
        name="mapped to this machine",
        igd=Igd(says=igd.PUBLIC, mappings=tuple((port, port, transport, "pbx") for port in (5060, 5061) for transport in ("udp", "tcp"))),
    ),
    Case(name="listed for another machine, and not applied", claims=LAN_HOST, causes=("no-rule",)),
    Case(
        name="mapped to this machine, whose firewall drops",
        plan=Plan(host_firewall=True),
        igd=Igd(says=igd.PUBLIC, mappings=tuple((port, port, transport, "pbx") for port in (5060, 5061) for transport in ("udp", "tcp"))),
        causes=("host-firewall",),
    ),
    Case(
        name="a guard against floods, and the rules are right",
        plan=routed(forwards=PBX),
        more=nft("home", "guard", "prerouting", 'iifname "wan" tcp flags & (syn|ack) == syn limit rate over 1/second burst 1 packets drop', priority="-150"),
    ),
    Case(
        name="a guard against floods, and one port has no rule",
        plan=routed(forwards=(Forward(ports="5060"),)),
        more=nft("home", "guard", "prerouting", 'iifname "wan" tcp flags & (syn|ack) == syn limit rate over 1/second burst 1 packets drop', priority="-150"),
        differing={"UDP 5060": (), "TCP 5060": ()},
        causes=("no-rule",),
    ),
    Case(
        name="everything goes to another machine",
        more=nft("home", "more", "prerouting", f'iifname "wan" {BOTH} dnat to {LAN_HOST}', priority="dstnat - 5"),
        causes=("wrong-host",),
    ),
    Case(
        name="the router's own filter undoes its rule",
        plan=routed(forwards=PBX),
        more=nft("home", "more", "forward", f'iifname "wan" {BOTH} {SIP} drop'),
        causes=("wrong-host", "filtered-behind"),
    ),
    Case(
        name="the router's own filter refuses what its rule leads on",
        plan=routed(forwards=PBX),
        more=nft("home", "more", "forward", 'iifname "wan" meta l4proto udp ct state new reject', 'iifname "wan" ct state new tcp flags syn reject with tcp reset'),
        causes=("filtered-behind",),
        besides=(),
    ),
    Case(
        name="the router's own filter undoes its rule, and it tells of nothing",
        plan=routed(forwards=PBX),
        more=UNTOLD + nft("home", "more", "forward", f'iifname "wan" {BOTH} {SIP} drop'),
        causes=("no-rule", "wrong-host", "filtered-behind", "provider-drops", "carrier-grade-nat"),
    ),
    Case(
        name="an address of a pool that the router refuses under its own",
        more=POOL,
        causes=("no-rule",),
        besides=("router-refuses", "provider-drops"),
    ),
    Case(
        name="the provider leads everything on, and the rules are right",
        plan=Plan(home=KernelRouter(forwards=PBX), carrier=KernelRouter(dmz=True)),
    ),
    Case(
        name="the provider leads everything on, and one port has no rule",
        plan=Plan(home=KernelRouter(forwards=(Forward(ports="5060"),)), carrier=KernelRouter(dmz=True)),
        causes=("no-rule", "wrong-host", "filtered-behind"),
        differing={"UDP 5060": (), "TCP 5060": ()},
    ),
    Case(
        name="a rule that changes the port",
        more=nft(
            "home", "more", "prerouting", *(f'iifname "wan" {one} {SIP} dnat to {CLIENT}:5099' for one in ("udp", "tcp")), priority="dstnat - 5"
        ).replace("udp th", "meta l4proto udp th").replace("tcp th", "meta l4proto tcp th"),
        causes=("no-listener",),
    ),
    Case(
        name="rules that lead to other programs of this machine",
        plan=routed(forwards=(Forward(ports="5060", transports=("tcp",)),)),
        programs=(("client", (TAKES_UDP, "5070")), ("client", (SPEAKS, "5071"))),
        more=nft(
            "home",
            "more",
            "prerouting",
            f'iifname "wan" udp dport 5060 dnat to {CLIENT}:5070',
            f'iifname "wan" tcp dport 5061 dnat to {CLIENT}:5071',
            priority="dstnat - 5",
        ),
        causes=("wrong-port",),
        differing={"TCP 5060": ()},
        besides=(),
    ),
    Case(
        name="the way back leads out by another interface",
        plan=routed(forwards=PBX),
        more=TUNNEL,
        causes=("reverse-path",),
        besides=(),
    ),
    Case(
        name="the host's firewall drops one sender",
        plan=routed(forwards=PBX),
        more=nft("client", "banned", "input", "ip saddr 198.51.100.11 drop"),
        causes=("host-firewall",),
        besides=(),
    ),
    Case(
        name="published by a container of this machine",
        plan=routed(forwards=PBX),
        more=CONTAINER + nft("client", "docker", "prerouting", f"fib daddr type local {BOTH} {SIP} dnat to 172.17.0.2", priority="dstnat"),
        causes=("led-on-here",),
        besides=(),
    ),
    Case(
        name="a rule that leads to another tested port",
        plan=routed(forwards=(Forward(ports="5060"),)),
        more=nft("home", "more", "prerouting", f'iifname "wan" tcp dport 5061 dnat to {CLIENT}:5060', priority="dstnat - 5"),
        differing={"TCP 5061": ("wrong-port",)},
    ),
    Case(name="the host's firewall drops", plan=Plan(home=KernelRouter(forwards=PBX), host_firewall=True), causes=("host-firewall",)),
    Case(
        name="the host's firewall rejects",
        plan=routed(forwards=PBX),
        more=nft("client", "host", "input", f"{BOTH} {SIP} reject"),
        causes=("host-firewall",),
    ),
    Case(
        name="carrier-grade nat",
        plan=Plan(home=KernelRouter(forwards=PBX), carrier=KernelRouter()),
        causes=("carrier-grade-nat",),
    ),
    Case(
        name="carrier-grade nat that rejects",
        plan=Plan(home=KernelRouter(forwards=PBX), carrier=KernelRouter(unsolicited="reject")),
        causes=("carrier-grade-nat",),
    ),
    Case(
        name="carrier-grade nat behind a home router that hides",
        plan=Plan(home=KernelRouter(forwards=PBX), carrier=KernelRouter()),
        more=hiding("home"),
        causes=("no-rule", "provider-drops", "carrier-grade-nat"),
    ),
    Case(name="no rule, and the router hides", more=hiding("home"), causes=("no-rule", "provider-drops", "carrier-grade-nat")),
    Case(
        name="the provider drops SIP, and the rule is right",
        plan=routed(forwards=PBX),
        more=provider(f"{BOTH} {SIP} drop"),
        causes=("no-rule", "provider-drops"),
    ),
    Case(
        name="the provider drops new SIP flows alone, and there is no rule",
        more=provider(f"ct state new {BOTH} {SIP} drop"),
        causes=("no-rule", "provider-drops"),
    ),
    Case(
        name="the provider lets nothing in unasked, and the rule is right",
        plan=routed(forwards=PBX),
        more=provider(f"ct state new {BOTH} drop"),
        causes=("no-rule", "provider-drops"),
    ),
    Case(
        name="the provider rejects",
        plan=routed(forwards=PBX),
        more=provider(f"{BOTH} {SIP} reject with icmp type admin-prohibited"),
        causes=("provider-drops",),
    ),
    Case(
        name="the provider resets",
        plan=routed(forwards=PBX),
        more=provider("tcp dport 5060-5061 reject with tcp reset"),
        causes=("router-refuses", "provider-drops"),
        differing={"UDP 5060": ()},
    ),
    Case(
        name="the router keeps the port for itself",
        plan=routed(forwards=(Forward(ports="5061"),)),
        more=nft("home", "more", "input", "udp dport 5060 reject", "tcp dport 5060 reject with tcp reset"),
        causes=("router-refuses",),
        besides=("provider-drops",),
        differing={"TCP 5061": ()},
    ),
    Case(
        name="a firewall without translation",
        plan=Plan(home=KernelRouter(mapping="none"), public_lan=True),
        causes=("no-rule",),
    ),
    Case(
        name="the host's firewall, and no translation",
        plan=Plan(home=KernelRouter(mapping="none", filtering="none"), public_lan=True, host_firewall=True),
        causes=("host-firewall",),
    ),
)
Play = Callable[[Case], dict[str, Any]]


@pytest.fixture(scope="module")
def play(laboratory: Laboratory, request: pytest.FixtureRequest) -> Iterator[Play]:
    def run(case: Case) -> dict[str, Any]:
        if case.igd is not None:
            laboratory.need(*igd.PROGRAMS)
        directory = laboratory.directory(f"cause {case.name}")
        with laboratory.stand(case.plan, "cause") as topology:
            case.prepare(topology, directory)
            runs.serve(topology, runs.Server(), directory)
            return runs.run(topology, runs.Server(), directory, "port-forwarding")

    with laboratory.together(request, "case", run) as played:
        yield played


def told(report: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """Port -> the causes told of it; none where it is reached."""
    (check,) = report["checks"]
    out: dict[str, tuple[str, ...]] = {}
    for finding in check["findings"]:
        transport, _, numbers = finding["subject"].partition(" ")
        state, _, causes = finding["observed"].partition(": ")
        named = finding["id"].partition(".")[2]
        fits = tuple(causes.split(" or ")) if causes else ()
        assert state in ("forwarded", "blocked", "refused", "answered"), runs.told(report)
        assert named == (fits[0] if len(fits) == 1 else state), "one cause is the finding's name"
        for part in numbers.split(", "):
            low, _, high = part.partition("-")
            out |= {f"{transport} {port}": fits for port in range(int(low), int(high or low) + 1)}
    return out


EACH_RUN = (
    "no rule",
    "no rule, and the router rejects",
    "wrong host, alive",
    "wrong host, absent",
    "a rule that changes the port",
    "a rule that leads to another tested port",
    "the host's firewall drops",
    "carrier-grade nat",
    "the provider drops SIP, and the rule is right",
    "the provider rejects",
    "the router keeps the port for itself",
    "a firewall without translation",
)
"""One of each cause; their look-alikes are for ``-m slow``."""


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name, marks=() if case.name in EACH_RUN else pytest.mark.slow) for case in CASES]
)
def test_cause(play: Play, case: Case) -> None:
    report = play(case)
    assert not runs.faults(report), "\n".join(runs.faults(report))
    assert case.fits(told(report)), runs.told(report) + "\n".join(
        ["", str(told(report)), *(line for check in report["checks"] for finding in check["findings"] for line in finding["evidence"])]
    )


@pytest.mark.slow
def test_answers_that_leave_by_another_line(laboratory: Laboratory) -> None:
    directory = laboratory.directory("cause second line")
    with laboratory.stand(routed(forwards=PBX), "cause") as topology:
        topology.ground.shell(SECOND_LINE)
        runs.serve(topology, runs.Server(), directory)
        report = runs.run(topology, runs.Server(), directory, "port-forwarding")
    findings = {finding["subject"]: finding for finding in report["checks"][0]["findings"]}
    assert findings["UDP 5060"]["id"] == "port-forwarding.forwarded", runs.told(report)
    assert findings["TCP 5060-5061"]["id"] == "port-forwarding.undecided", runs.told(report)
    assert "its answers do not get back" in findings["TCP 5060-5061"]["summary"], runs.told(report)
