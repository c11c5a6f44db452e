"""What a real router lets out, drops, refuses and answers itself; and the same silence from the server's own firewall.

One ground and one server for all: the order matters, for at first nobody has reached the server, and later somebody has.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.lab import runs
from tests.lab.conftest import Laboratory
from tests.lab.ground import python
from tests.lab.topology import HOME, SERVER, Plan, Topology

pytestmark = pytest.mark.lab

ONLY_443 = 'iifname "wan" accept; tcp dport { 443, 8443 } accept; meta l4proto { tcp, udp } drop'
PORTAL = "HTTP/1.1 302 Found\\r\\nLocation: http://portal.example/login\\r\\n\\r\\n"
SERVICE = f"""
import socketserver, ssl, threading
class Portal(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.recv(4096)
        self.request.sendall(b"{PORTAL}")
socketserver.ThreadingTCPServer.allow_reuse_address = True
portal = socketserver.ThreadingTCPServer(("{HOME}", 8080), Portal)
threading.Thread(target=portal.serve_forever, daemon=True).start()
class Box(socketserver.ThreadingTCPServer):
    def get_request(self):
        made, peer = super().get_request()
        return context.wrap_socket(made, server_side=True), peer
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
import sys
context.load_cert_chain(sys.argv[1], sys.argv[2])
box = Box(("{HOME}", 8444), Portal)
print("ready", flush=True)
box.serve_forever()
"""
"""A box on the router that answers HTTP and TLS in everybody's place."""

LIE = "203.0.113.99"
ASK = """
import socket, sys
asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asking.settimeout(0.2)
for _ in range(75):
    try:
        asking.sendto(bytes.fromhex("123401000001000000000000") + b"\\x03pbx\\x07example\\0\\0\\x01\\0\\x01", (sys.argv[1], 53))
        print(socket.inet_ntoa(asking.recv(512)[-4:]))
        break
    except OSError:
        pass
"""
"""Ask this DNS server for pbx.example, again until it answers."""


class Edge:
    """The ground, the server, and a second table of the router's for each case."""

    def __init__(self, topology: Topology, directory: Any, need: Callable[..., None]) -> None:
        self.topology = topology
        self._directory = directory
        self.need = need

    def rules(self, namespace: str, hook: str, rules: str, kind: str = "filter") -> None:
        """Put these (separated by ``;``) before everything else there; empty: take them off."""
        lines = "\n".join(f"    {rule.strip()}" for rule in rules.split(";") if rule.strip())
        priority = "dstnat - 5" if kind == "nat" else "filter - 5"
        head = f"type {kind} hook {hook} priority {priority}; policy accept;"
        table = f"table ip more {{\n  chain first {{\n    {head}\n{lines}\n  }}\n}}" if lines else ""
        # Translation counts for a flow's first packet: what is still tracked would go on as before, were its port used again.
        flush = f"\nip netns exec {namespace} conntrack -F 2>/dev/null" if kind == "nat" else ""
        self.topology.ground.shell(
            f"ip netns exec {namespace} nft -f - <<'END'\ntable ip more {{ }}\ndelete table ip more\n{table}\nEND{flush}"
        )

    def run(self, *checks: str, namespace: str = "client") -> dict[str, Any]:
        report = runs.run(self.topology, runs.Server(), self._directory / namespace, *checks, namespace=namespace)
        assert not runs.faults(report), runs.faults(report)
        return report


@pytest.fixture(scope="module")
def edge(laboratory: Laboratory) -> Iterator[Edge]:
    directory = laboratory.directory("outbound")
    with laboratory.stand(Plan(), "outbound") as topology:
        runs.serve(topology, runs.Server(), directory)
        yield Edge(topology, directory, laboratory.need)


def states(report: dict[str, Any]) -> dict[tuple[str, int], str]:
    return {(row["transport"], row["port"]): row["state"] for row in runs.observations(report)["outbound"]["targets"]}


def closed(report: dict[str, Any]) -> dict[tuple[str, int], str]:
    """What is not open."""
    return {place: state for place, state in states(report).items() if state != "open"}


def found(report: dict[str, Any], check: str = "outbound") -> list[str]:
    return [one["id"].partition(".")[2] for row in report["checks"] if row["id"] == check for one in row["findings"]]


def test_what_a_network_lets_out(edge: Edge) -> None:
    # Nobody else has been here yet: the server's own firewall and this network's look the same, so nothing is asserted.
    for namespace, hook in (("server", "input"), ("home", "forward")):
        edge.rules(namespace, hook, "udp dport 5060 drop; tcp dport 5061 drop")
        report = edge.run("outbound")
        assert closed(report) == {("udp", 5060): "undecided", ("tls", 5061): "undecided"}, (namespace, runs.told(report))
        assert found(report) == ["undecided", "open"]
        edge.rules(namespace, hook, "")

    everywhere = edge.run("outbound", namespace="outside")
    assert closed(everywhere) == {}, runs.told(everywhere)
    assert {("udp", 53), ("udp", 443), ("tls", 443), ("tcp", 80), ("tls", 5061), ("udp", 10_000), ("tls", 8443)} <= set(states(everywhere))

    # Now somebody has been.
    edge.rules("home", "forward", "udp dport 5060 drop; tcp dport 5061 drop")
    report = edge.run("outbound")
    assert closed(report) == {("udp", 5060): "blocked", ("tls", 5061): "blocked"}, runs.told(report)

    # What arrives and is not answered: here, on the way, or at the server.
    edge.rules("home", "forward", "")
    for namespace, hook in (("server", "output"), ("home", "forward"), ("client", "input")):
        edge.rules(namespace, hook, f"ip saddr {SERVER} udp sport 5060 drop")
        report = edge.run("outbound")
        edge.rules(namespace, hook, "")
        assert (closed(report), found(report)) == ({("udp", 5060): "undecided"}, ["undecided", "open"]), (namespace, runs.told(report))
    edge.rules("client", "output", "udp dport 5060 drop")
    report = edge.run("outbound")
    edge.rules("client", "output", "")
    assert "This machine's own system refuses to send to UDP 5060" in runs.told(report)

    edge.rules("home", "forward", "udp dport 5060 reject with icmp admin-prohibited; tcp dport 5060 reject with tcp reset")
    report = edge.run("outbound")
    assert closed(report) == {("udp", 5060): "refused", ("tcp", 5060): "refused"}, runs.told(report)
    assert HOME in str(runs.observations(report)["outbound"]["targets"])

    edge.rules("home", "forward", ONLY_443)
    report = edge.run("outbound")
    assert {place for place, state in states(report).items() if state == "open"} == {("tls", 443), ("tls", 8443)}, runs.told(report)
    assert found(report)[0] == "udp-blocked"


def test_a_box_that_answers_itself(edge: Edge) -> None:
    scratch = edge.topology.ground.scratch
    certificate, key = scratch / "box.pem", scratch / "box.key"
    made = edge.topology.ground.run(
        "home", "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
        "-subj", "/CN=Inspecting Box", "-keyout", str(key), "-out", str(certificate),
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    edge.topology.ground.spawn("home", *python("-c", SERVICE, str(certificate), str(key)), ready="ready")
    edge.rules("home", "forward", "")
    edge.rules("home", "prerouting", f"tcp dport 80 dnat to {HOME}:8080", kind="nat")
    report = edge.run("outbound")
    assert (found(report), report["verdict"]) == (["web-proxy", "open"], "warn"), runs.told(report)  # nothing that calls need is touched
    edge.rules("home", "prerouting", f"tcp dport 80 dnat to {HOME}:8080; tcp dport 443 dnat to {HOME}:8444", kind="nat")
    report = edge.run("outbound")
    assert closed(report) == {("tcp", 80): "intercepted", ("tls", 443): "intercepted"}, runs.told(report)
    assert found(report) == ["captive-portal", "intercepted", "open"]
    assert "portal.example/login" in report["headline"] or "portal.example/login" in runs.observations(report)["outbound"]["captive_portal"]
    assert "Inspecting Box" in runs.told(report) or "Inspecting Box" in str(runs.observations(report))
    edge.rules("home", "prerouting", "", kind="nat")


def test_a_router_that_answers_dns_for_everybody(edge: Edge) -> None:
    """A real dnsmasq that lies, and whoever asks another server is led to it; beside it the same one for those alone who ask it."""
    edge.need("dnsmasq")
    lying = ("--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--pid-file", f"--address=/#/{LIE}")
    edge.topology.ground.spawn("home", "dnsmasq", "--no-daemon", f"--listen-address={HOME}", "--bind-interfaces", *lying)
    asked = edge.topology.ground.run("client", *python("-c", ASK, HOME))
    assert LIE in asked.stdout, asked.stderr

    report = edge.run("outbound")
    assert (runs.observations(report)["outbound"]["dns_intercepted"], found(report)) == (False, ["open"]), runs.told(report)

    edge.rules("home", "prerouting", 'iifname "lan" udp dport 53 redirect; iifname "lan" tcp dport 53 redirect', kind="nat")
    report = edge.run("outbound")
    edge.rules("home", "prerouting", "", kind="nat")
    seen = runs.observations(report)["outbound"]
    assert (seen["dns_intercepted"], report["verdict"]) == (True, "warn"), runs.told(report)
    assert found(report) == ["dns-intercepted", "open"]


@pytest.mark.slow
@pytest.mark.parametrize("rules", ["udp dport 53 drop", "udp dport 53 reject with icmp admin-prohibited"])
def test_dns_that_is_closed_is_answered_by_nobody(edge: Edge, rules: str) -> None:
    """A network that offers DNS itself may close the way to others': neither an interception nor anything that calls need."""
    edge.rules("home", "forward", rules)
    report = edge.run("outbound")
    edge.rules("home", "forward", "")
    assert (runs.observations(report)["outbound"]["dns_intercepted"], found(report)) == (None, ["limited", "open"]), runs.told(report)


def test_no_control_channel(edge: Edge) -> None:
    edge.rules("home", "forward", "tcp dport 8443 reject with tcp reset; udp dport 5060 drop")
    report = edge.run("outbound", "host")
    assert report["status"] == 3
    assert (found(report, "control"), found(report)) == (["unreachable"], ["no-session"])
    seen = states(report)
    assert (seen["udp", 3478], seen["tls", 443], seen["tls", 5061], seen["udp", 5060]) == ("open", "open", "open", "undecided")
    assert "--control-port 443" in runs.told(report)
    assert found(report, "host") == ["fine"]
    edge.rules("home", "forward", "")


BESIDE = f"""
import http.server
http.server.ThreadingHTTPServer.allow_reuse_address = True
beside = http.server.ThreadingHTTPServer(("{SERVER}", 80), http.server.SimpleHTTPRequestHandler)
print("ready", flush=True)
beside.serve_forever()
"""
WEB = """
name = "web"
title = "a PBX that fetches its settings from the web"
source = "tests/lab"
confidence = "verified"
checks = ["outbound"]
ports = [{ ports = "80", transport = "tcp", purpose = "settings", direction = "out" }, { ports = "5060", transport = "udp", purpose = "SIP", direction = "out" }]
"""


@pytest.mark.slow
def test_a_web_server_beside_the_echo_server_is_no_portal(laboratory: Laboratory) -> None:
    """It holds TCP 80 of the very address that is asked: the echo server has not that port, so nothing is asked there and nothing is said of it."""
    directory = laboratory.directory("web beside")
    with laboratory.stand(Plan(), "web beside") as topology:
        topology.ground.spawn("server", *python("-c", BESIDE), ready="ready")
        runs.serve(topology, runs.Server(), directory)
        profile = directory / "web.toml"
        profile.write_text(WEB)
        command = python("-m", "edgecheck", "run", runs.Server().target, "--profile", str(profile), "--json", "-", "--quiet")
        report = runs.report(topology, directory, command)
    assert states(report)["tcp", 80] == "not-offered"
    assert runs.observations(report)["outbound"]["captive_portal"] is None
    assert found(report) == ["not-offered", "open"], runs.told(report)
