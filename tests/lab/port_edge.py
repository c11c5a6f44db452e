"""An edge whose ports are not reached, and what makes it one: chains, programs and other networks beside the plan."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab import igd
from tests.lab.ground import python
from tests.lab.igd import Igd
from tests.lab.routers import Forward, KernelRouter
from tests.lab.topology import WAN, Plan, Topology

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
SPEAKS_SIP = """
import socket, socketserver, sys, threading
def answer(asked):
    kept = [line for line in asked.split(b"\\r\\n") if line.split(b":")[0].lower() in (b"via", b"from", b"to", b"call-id", b"cseq")]
    return b"\\r\\n".join([b"SIP/2.0 200 OK", *kept, b"Server: telephony", b"Content-Length: 0", b"", b""])
class Answering(socketserver.BaseRequestHandler):
    def handle(self):
        asked = self.request.recv(4096)
        if b"SIP/2.0" in asked: self.request.sendall(answer(asked))
        self.request.recv(64)
socketserver.ThreadingTCPServer.allow_reuse_address = True
speaker = socketserver.ThreadingTCPServer(("0.0.0.0", int(sys.argv[1])), Answering)
threading.Thread(target=speaker.serve_forever, daemon=True).start()
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("0.0.0.0", int(sys.argv[1])))
print("ready", flush=True)
while True:
    asked, sender = datagrams.recvfrom(4096)
    if b"SIP/2.0" in asked: datagrams.sendto(answer(asked), sender)
"""
TAKEN_IN = "ip netns exec home nft insert rule ip edge local iifname wan meta l4proto '{ tcp, udp }' th dport 5060 accept\n"
"""The router takes the port for itself."""
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
IN_SITE, _OUTER = "192.168.1.2", "192.168.1.1"
SITE = igd.in_a_row(IN_SITE, _OUTER)
"""Two routers of one site, with private addresses between."""


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
    says: str = ""
    """The WAN address that the home router tells."""
    claims: str = ""
    """A machine for which it lists mappings of the PBX's ports that it does not apply."""
    causes: tuple[str, ...] = ()
    """For every port."""
    differing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For these ports; empty = it is reached."""
    besides: tuple[str, ...] = ("provider-drops",)
    """May be told after the first of them, where a machine so slow that no punched connection comes about hides what would leave it out: never in their
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
        if self.says:
            igd.stub(topology, says=self.says)
        if self.claims:
            listed = [(transport, port, self.claims, port, "stale") for transport in ("UDP", "TCP") for port in (5060, 5061)]
            igd.stub(topology, says=WAN, mappings=listed)

    def fits(self, told: Mapping[str, tuple[str, ...]]) -> bool:
        """Whether every port has its causes, and no other but those that may be told besides."""
        wanted = {port: self.differing.get(port, self.causes) for port in PORTS}
        return told.keys() == wanted.keys() and all(
            told[port][:1] == causes[:1]
            and tuple(cause for cause in told[port] if cause in causes) == causes
            and set(told[port]) - set(causes) <= set(self.besides if causes else ())
            for port, causes in wanted.items()
        )


def routed(**options: Any) -> Plan:
    return Plan(home=KernelRouter(**options))
