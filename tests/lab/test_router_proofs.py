"""What scenarios build on beside the NATs' mapping and filtering: static rules, refusals, the kernel's SIP ALG, blocked and throttled
transports, loss, timeouts, a provider's NAT, an IPv6 firewall. Plain packets only."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab.conftest import Laboratory
from tests.lab.packets import Packets
from tests.lab.routers import Forward, KernelRouter
from tests.lab.sip_samples import answer, request
from tests.lab.topology import ALTERNATE, ALTERNATE6, CLIENT, CLIENT6, HOME_AT_CARRIER, LAN_HOST, SERVER, SERVER6, WAN, Plan, Topology

pytestmark = pytest.mark.lab


@contextmanager
def standing(laboratory: Laboratory, plan: Plan, name: str) -> Iterator[tuple[Topology, Packets, Packets]]:
    with laboratory.stand(plan, name) as topology:
        yield topology, Packets(topology.ground, "client"), Packets(topology.ground, "server")


def test_static_rules(laboratory: Laboratory) -> None:
    """A range that ends early, a rule to the wrong host, and nothing where there is no rule."""
    plan = Plan(home=KernelRouter(forwards=(Forward(ports="10000-10059"), Forward(ports="5060", to=LAN_HOST))))
    with standing(laboratory, plan, "rules") as (topology, client, server):
        server.bind("b", 4000, ALTERNATE)
        for port in (5060, 10000, 10059, 10060):
            client.bind(str(port), port)
        other = Packets(topology.ground, "lan-host")
        other.bind("5060", 5060)
        for port in (5060, 10060, 10000, 10059):
            server.send("b", (WAN, port), str(port).encode())
        assert client.receive("10000") == (b"10000", (ALTERNATE, 4000))
        assert client.receive("10059")[0] == b"10059"
        assert other.receive("5060") == (b"5060", (ALTERNATE, 4000))
        for silent in ("5060", "10060"):
            with pytest.raises(TimeoutError):
                client.receive(silent, timeout=0)
        client.listen("tcp", 10001)
        assert server.connect((WAN, 10001)) == "connected"
        assert server.connect((WAN, 5060)) == "ECONNREFUSED"  # the wrong host has no listener and says so


def test_reject(laboratory: Laboratory) -> None:
    """ICMP administratively prohibited, for UDP and TCP, where there is no rule."""
    with standing(laboratory, Plan(home=KernelRouter(unsolicited="reject")), "reject") as (_, _client, server):
        server.bind("b", 4000, ALTERNATE)
        assert server.error("b", (WAN, 5060), b"x") == "EHOSTUNREACH"
        assert server.connect((WAN, 5060)) == "EHOSTUNREACH"


def test_udp_blocked(laboratory: Laboratory) -> None:
    with standing(laboratory, Plan(home=KernelRouter(blocked=("udp",))), "udp-blocked") as (_, client, server):
        server.bind("a", 3478, SERVER)
        server.listen("service", 8443)
        client.bind("p")
        client.send("p", (SERVER, 3478), b"x")
        assert client.connect((SERVER, 8443)) == "connected"
        with pytest.raises(TimeoutError):
            server.receive("a", timeout=0.1)


def test_throttled_and_lossy(laboratory: Laboratory) -> None:
    with standing(laboratory, Plan(home=KernelRouter(udp_rate=500)), "throttled") as (_, client, server):
        server.bind("a", 3478, SERVER)
        client.bind("p")
        began = time.monotonic()
        client.send("p", (SERVER, 3478), b"x", copies=2000)
        times = server.count("a")
        assert 50 <= len(times) < 50 + 2 + 500 * (times[-1] - began)
    with standing(laboratory, Plan(loss=10), "lossy") as (_, client, server):
        server.bind("a", 3478, SERVER)
        client.bind("p")
        client.send("p", (SERVER, 3478), b"x", copies=2000)
        assert 1700 < len(server.count("a")) < 1900  # seven standard deviations


def test_idle_mappings_are_forgotten_in_their_time(laboratory: Laboratory) -> None:
    """Waiting is what is tested here: an idle flow is known well before its time is up, and forgotten well after. Each is asked once."""
    with standing(laboratory, Plan(home=KernelRouter(udp_timeout_s=3, udp_stream_timeout_s=6)), "timeouts") as (_, client, server):
        server.bind("a", 3478, SERVER)

        def contact(name: str) -> tuple[str, int]:
            client.send(name, (SERVER, 3478), b"x")
            mapped = server.receive("a")[1]
            server.send("a", mapped, b"answer")
            assert client.receive(name)[0] == b"answer"
            return mapped

        flows = {}
        for name in ("open", "late", "old stream", "stream", "early"):
            client.bind(name)
            flows[name] = contact(name)
        began = time.monotonic()

        def wait(until: float) -> None:
            time.sleep(max(0.0, began + until - time.monotonic()))

        def forgotten(name: str) -> None:
            contact("open")
            server.send("a", flows[name], b"probe")
            server.send("a", flows["open"], b"marker")
            assert client.until("open", b"marker") == []
            with pytest.raises(TimeoutError):
                client.receive(name, timeout=0)

        def known(name: str) -> None:
            server.send("a", flows[name], b"probe")
            assert client.receive(name)[0] == b"probe"

        wait(1)
        known("early")
        for at in (1.1, 2.3):
            wait(at)
            assert [contact(name) for name in ("stream", "old stream")] == [flows["stream"], flows["old stream"]]
        wait(3.8)
        forgotten("late")
        wait(6)
        known("stream")
        wait(9.3)
        forgotten("old stream")


def test_carrier_hides_the_homes_rules(laboratory: Laboratory) -> None:
    plan = Plan(home=KernelRouter(forwards=(Forward(ports="5060"),)), carrier=KernelRouter())
    with standing(laboratory, plan, "carrier") as (topology, client, server):
        carrier = Packets(topology.ground, "carrier")
        client.bind("pbx", 5060)
        client.bind("open")
        server.bind("a", 3478, SERVER)
        server.bind("b", 4000, ALTERNATE)
        client.send("open", (SERVER, 3478), b"x")
        _, mapped = server.receive("a")
        assert mapped[0] == WAN
        server.send("b", (WAN, 5060), b"unsolicited")
        server.send("a", mapped, b"marker")
        assert client.until("open", b"marker") == []
        with pytest.raises(TimeoutError):
            client.receive("pbx", timeout=0)
        carrier.bind("inside")
        carrier.send("inside", (HOME_AT_CARRIER, 5060), b"from the provider's side")
        assert client.receive("pbx")[0] == b"from the provider's side"


def test_ipv6_firewall(laboratory: Laboratory) -> None:
    """No translation: the client's own address is seen outside; only what was asked for comes in, but for the one rule."""
    plan = Plan(six=KernelRouter(mapping="none", forwards=(Forward(ports="5060"),)))
    with standing(laboratory, plan, "six") as (_, client, server):
        server.bind("a", 3478, SERVER6)
        server.bind("b", 4000, ALTERNATE6)
        client.bind("p", 40000, CLIENT6)
        client.bind("pbx", 5060, CLIENT6)
        client.send("p", (SERVER6, 3478), b"x")
        assert server.receive("a")[1] == (CLIENT6, 40000)
        server.send("b", (CLIENT6, 40000), b"unsolicited")
        server.send("b", (CLIENT6, 5060), b"by the rule")
        server.send("a", (CLIENT6, 40000), b"marker")
        assert client.until("p", b"marker") == []
        assert client.receive("pbx")[0] == b"by the rule"


ALG_RANGE = "20000-29999"
"""The lab recipe: ports are always translated, so a rewritten port is seen as well."""


@pytest.mark.parametrize("transports", [("udp",), ("tcp",), ("udp", "tcp"), ()], ids=lambda names: "+".join(names) or "off")
def test_the_kernels_sip_alg(laboratory: Laboratory, transports: tuple[str, ...]) -> None:
    """On its transports it rewrites Via, Contact and SDP on port 5060 and leaves Call-ID and a=rtcp private; elsewhere not a byte changes.

    (Each call announces an RTP port of its own: the helper drops an INVITE whose pinhole another connection already has.)
    """
    plan = Plan(home=KernelRouter(port_range=ALG_RANGE, sip_alg=transports))
    with standing(laboratory, plan, "alg-" + "-".join(transports)) as (_, client, server):
        client.bind("phone", 5060)
        for port in (5060, 5080):
            server.bind(str(port), port, SERVER)
            server.listen(f"tcp {port}", port)
            sent = request("INVITE", CLIENT, 5060, SERVER, sdp=True)
            client.send("phone", (SERVER, port), sent)
            arrived, source = server.receive(str(port))
            judge(sent, arrived, source, touched="udp" in transports and port == 5060)
            if port == 5060:
                server.send("5060", source, answer(arrived, "200 OK", source, SERVER, sdp=True))
                returned, _ = client.receive("phone")
                assert (f";received={CLIENT};rport=5060".encode() in returned) == ("udp" in transports)
            sent = request("INVITE", CLIENT, 45000 + port, SERVER, sdp=True, transport="TCP", rtp=41000)
            client.exchange(f"stream {port}", 45000 + port, (SERVER, port), [sent])
            source = server.accept(f"tcp {port}")
            arrived = server.read(f"tcp {port}/peer", len(sent) // 2)  # it came in one segment, and what is rewritten is shorter
            judge(sent, arrived, source, touched="tcp" in transports and port == 5060)


def judge(sent: bytes, arrived: bytes, source: tuple[str, int], *, touched: bool) -> None:
    """Rewritten as the kernel does it, or not a byte."""
    if not touched:
        assert arrived == sent
        return
    text = arrived.decode()
    assert f" {source[0]}:{source[1]};branch=z9hG4bKabc;rport\r\n" in text
    assert f"<sip:me@{source[0]}:{source[1]}>" in text
    assert f"c=IN IP4 {WAN}\r\n" in text
    assert f"Call-ID: 77@{CLIENT}\r\n" in text
    assert f"a=rtcp:40001 IN IP4 {CLIENT}\r\n" in text
    body = text.partition("\r\n\r\n")[2]
    assert f"Content-Length: {len(body)}\r\n" in text


def test_the_kernels_alg_opens_a_pinhole_for_media(laboratory: Laboratory) -> None:
    """After an INVITE the SIP server's address reaches the announced RTP port unasked, another address does not."""
    with standing(laboratory, Plan(home=KernelRouter(sip_alg=("udp",))), "pinhole") as (_, client, server):
        client.bind("phone", 5060)
        client.bind("rtp", 40000)
        server.bind("sip", 5060, SERVER)
        server.bind("media", 4000, SERVER)
        server.bind("stranger", 4000, ALTERNATE)
        client.send("phone", (SERVER, 5060), request("INVITE", CLIENT, 5060, SERVER, sdp=True))
        server.receive("sip")
        server.send("stranger", (WAN, 40000), b"stranger")
        server.send("media", (WAN, 40000), b"media")
        assert client.until("rtp", b"media") == []
