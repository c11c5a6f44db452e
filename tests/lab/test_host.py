"""What a machine says of itself, each fact made true in the client's own namespace: and beside it what merely looks like it.

One ground and one server for all. Not here, for a namespace has no such thing of its own: a full connection table, small socket buffers, a
kernel that binds the SIP helper by itself (before 6.0); those are judged in ``tests/checks/test_host.py``.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import runs
from tests.lab.conftest import Laboratory
from tests.lab.ground import python
from tests.lab.routers import KernelRouter
from tests.lab.topology import CLIENT, CLIENT6, OUTSIDE, Plan, Topology

pytestmark = pytest.mark.lab

TURNED = """
import pathlib, runpy, sys, time
true, ahead = time.time, pathlib.Path(sys.argv.pop(1))
time.time = lambda: true() + float(ahead.read_text())
sys.argv[0] = "echo_server"
runpy.run_module("echo_server", run_name="__main__")
"""
"""The server as it is, but the clock that it reads is off by as many seconds as a file says (its whole process's ``time.time``)."""
BACKUP = "ip -n client route add default via 10.9.9.1 dev other"
"""A second way out, by an interface of its own."""
HELPER = """table ip alg {
  ct helper sip-udp { type "sip" protocol udp; l3proto ip; }
  chain raw { type filter hook prerouting priority -150; %s; }
  chain out { type filter hook output priority -150; %s; }
}
"""
SETS = 'udp dport 5060 ct helper set "sip-udp"'
ACCEPTS = "table inet own { chain local { type filter hook input priority filter; policy accept; udp dport 5060 accept; tcp dport 22 accept; }\n}\n"
DROPS = "table inet own { chain local { type filter hook input priority filter; policy drop; ct state established,related accept; iifname lo accept; meta l4proto { icmp, ipv6-icmp } accept; }\n}\n"
DOCKER = """ip -n client link add docker0 type bridge
ip -n client addr add 172.17.0.1/16 dev docker0
ip -n client link set docker0 up
ip netns exec client sysctl -qw net.ipv4.ip_forward=1
ip netns add container
ip link add eth0 netns container type veth peer name veth0 netns client
ip -n client link set veth0 master docker0 up
ip -n container addr add 172.17.0.2/16 dev eth0
ip -n container link set eth0 up
ip -n container link set lo up
ip -n container route add default via 172.17.0.1
ip netns exec client nft -f - <<'END'
table ip docker { chain out { type nat hook postrouting priority srcnat; ip saddr 172.17.0.0/16 oifname != "docker0" masquerade; }
}
END
"""
TUNNEL = """ip -n {name} tuntap add dev {device} mode tun
ip -n {name} addr add 10.8.0.{number}/24 dev {device}
ip -n {name} link set {device} up
"""
WITHOUT = ("setpriv", "--bounding-set", "-all", "--inh-caps", "-all")
"""Not a single capability: the packet filter's rules may not be read."""


class Machine:
    """The client's machine, set up and looked at."""

    def __init__(self, topology: Topology, directory: Path) -> None:
        self.topology = topology
        self.directory = directory
        self.ahead = directory / "ahead"
        """Seconds by which the server's clock is turned."""

    def shell(self, script: str) -> None:
        self.topology.ground.shell(script)

    def nft(self, rules: str) -> None:
        """The client's whole packet filter."""
        self.topology.ground.run("client", "nft", "-f", "-", stdin=f"flush ruleset\n{rules}", check=True)

    def look(self, *options: str, before: tuple[str, ...] = (), namespace: str = "client", six: bool = False) -> tuple[list[str], dict[str, Any]]:
        """The causes that ``host`` finds, and what it saw."""
        target = runs.Server(six=True).target if six else runs.Server().target
        profile = self.directory / "lab.toml"
        profile.write_text(runs.PROFILE.format(sample=runs.SAMPLE, low=runs.RTP[0], high=runs.RTP[1]))
        command = python("-m", "edgecheck", "run", "host", target, "--profile", str(profile), "--json", "-", "--quiet", *options)
        report = runs.report(self.topology, self.directory / namespace, (*before, *command), namespace=namespace)
        assert not runs.faults(report), runs.faults(report)
        (check,) = (check for check in report["checks"] if check["id"] == "host")
        return [finding["id"].partition(".")[2] for finding in check["findings"]], check["observation"]


@pytest.fixture(scope="module")
def machine(laboratory: Laboratory) -> Iterator[Machine]:
    laboratory.need("tun", "sip-helper", "prlimit")
    directory = laboratory.directory("host")
    with laboratory.stand(Plan(six=KernelRouter(mapping="none")), "host") as topology:
        made = Machine(topology, directory)
        made.ahead.write_text("0")
        addresses = [word for server in (runs.Server(), runs.Server(six=True)) for word in ("--address", server.address)]
        arguments = (*addresses, "--state-dir", str(directory / "server"), "--token", runs.TOKEN)
        topology.ground.spawn("server", *python("-c", TURNED, str(made.ahead), *arguments), ready="ready ", timeout=30)
        topology.ground.shell(
            "ip -n client link add other type veth peer name far && ip -n client link set far up"
            " && ip -n client addr add 10.9.9.2/24 dev other && ip -n client link set other up"
        )
        yield made


def test_what_only_looks_like_trouble(machine: Machine) -> None:
    """A backup route, a clock 10 s off, a firewall that only accepts, a helper that no rule sets, Docker's bridge, a tunnel beside, few files
    at first and many allowed: nothing of it is held against this machine."""
    machine.ahead.write_text("-10")
    machine.shell(f"{BACKUP} metric 900\n{DOCKER}{TUNNEL.format(name='client', device='tun0', number=2)}ip -n client route add 10.20.0.0/16 dev tun0\n")
    machine.nft(ACCEPTS + HELPER % ("accept", "accept") + "table ip docker { chain out { type nat hook postrouting priority srcnat; ip saddr 172.17.0.0/16 masquerade; }\n}\n")
    found, seen = machine.look(before=("prlimit", "--nofile=80:4096"))
    assert found == ["fine"], seen
    facts = seen["machine"]
    assert abs(seen["clock_ahead_s"] - 10) < 5
    assert {row["interface"]: row["metric"] for row in facts["default_routes"] if row["family"] == 4} == {"eth0": 0, "other": 900}
    assert (facts["interface"], facts["tunnel"], facts["bridges"]) == ("eth0", False, ["docker0"])
    assert (facts["firewall"]["inbound"], facts["sip_helper_loaded"], facts["sip_helper_bound"]) == (None, True, False)
    assert facts["descriptors"][1] == 4096


def test_each_trouble_is_named(machine: Machine) -> None:
    machine.ahead.write_text("-90")
    machine.shell("ip -n client route del default dev other metric 900\nip -n client route append default via 10.9.9.1 dev other")
    machine.nft(DROPS + HELPER % (SETS, SETS))
    found, seen = machine.look(before=("prlimit", "--nofile=80:80"))
    assert set(found) == {"clock", "several-routes", "sip-helper", "descriptors"}, seen
    assert seen["machine"]["firewall"] == {"name": "nftables", "inbound": "drops", "outbound": None}
    assert seen["clock_ahead_s"] > 60
    machine.ahead.write_text("86400")
    machine.shell("ip -n client route del default dev other")
    found, seen = machine.look(before=WITHOUT)  # nobody may read the rules: what may be is told, and not what is
    assert set(found) == {"clock", "sip-helper-loaded"}, seen
    assert seen["clock_ahead_s"] < -86_000
    machine.ahead.write_text("0")
    machine.nft("")


def test_two_next_hops_in_one_route(machine: Machine) -> None:
    """One default route that spreads connections over two lines, as ``ip route add default nexthop ... nexthop ...`` makes it."""
    machine.shell("ip -n client route replace default nexthop via 192.168.88.1 dev eth0 weight 9 nexthop via 10.9.9.1 dev other weight 1")
    found, seen = machine.look("-6", six=True)
    machine.shell("ip -n client route replace default via 192.168.88.1 dev eth0")
    assert found == ["several-routes"], seen


def test_one_family_alone(machine: Machine) -> None:
    machine.shell("ip -n client route del default via 192.168.88.1")
    found, seen = machine.look("-6", six=True)
    assert found == ["single-family"], seen
    assert seen["source"] == CLIENT6
    machine.shell("ip -n client route add default via 192.168.88.1\nip -n client -6 route del ::/0")
    found, seen = machine.look()
    assert (found, seen["source"]) == (["fine"], CLIENT)  # IPv4 alone is what most trunks speak


def test_a_container_behind_its_bridge(machine: Machine) -> None:
    """Its mark is podman's, on the laboratory's own /run; the same mark on the host's network is no second NAT."""
    machine.shell(DOCKER if "container" not in machine.topology.ground.shell("ip netns list") else "")
    machine.nft("table ip docker { chain out { type nat hook postrouting priority srcnat; ip saddr 172.17.0.0/16 masquerade; }\n}\n")
    machine.shell("touch /run/.containerenv")
    found, seen = machine.look(namespace="container")
    assert (found, seen["source"]) == (["container"], "172.17.0.2")
    found, seen = machine.look()
    assert (found, seen["machine"]["container"]) == (["fine"], True)
    machine.shell("rm /run/.containerenv")


def test_a_vpn_that_takes_everything(machine: Machine) -> None:
    ground = machine.topology.ground
    if "tun0" not in ground.shell("ip -n client -o link"):
        machine.shell(TUNNEL.format(name="client", device="tun0", number=2))
    machine.shell(TUNNEL.format(name="outside", device="tun0", number=1))
    machine.shell(
        "ip netns exec outside sysctl -qw net.ipv4.ip_forward=1\n"
        "ip netns exec outside nft 'add table ip vpn; add chain ip vpn out { type nat hook postrouting priority srcnat; }; add rule ip vpn out oifname eth0 masquerade'"
    )
    ground.spawn("outside", *python("-m", "tests.lab.vpn", "tun0", OUTSIDE, "1194"), ready="ready")
    ground.spawn("client", *python("-m", "tests.lab.vpn", "tun0", OUTSIDE, "1194", "to"), ready="ready")
    machine.shell(f"ip -n client route add {OUTSIDE}/32 via 192.168.88.1\nip -n client route replace default dev tun0")
    found, seen = machine.look()
    assert (found, seen["source"], seen["machine"]["tunnel"]) == (["vpn"], "10.8.0.2", True), seen
