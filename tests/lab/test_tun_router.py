"""The user-space router is what its options say: proved with plain packets through a real client, home and server namespace."""

import itertools
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.lab.alg import method
from tests.lab.conftest import Laboratory
from tests.lab.ends import Ends, both_ends
from tests.lab.sip_samples import answer, request
from tests.lab.topology import ALTERNATE, CLIENT, SERVER, WAN, Plan, Topology, UserRouter
from tests.lab.user_nat import AD, APD, EI
from tests.waiting import PATIENCE_S, wait_until

pytestmark = pytest.mark.lab
_SEEN = {EI: 1, AD: 2, APD: 3}
_ADMITTED = {EI: ["a2", "b1"], AD: ["a2"], APD: []}


class Bench(Ends):
    def be(self, **sections: Any) -> None:
        """The router has these options from now on."""
        self.topology.reconfigure("home", changes={"nat": {"mapping": EI}, **sections})


@pytest.fixture(scope="module")
def topology(laboratory: Laboratory) -> Iterator[Topology]:
    with laboratory.stand(Plan(home=UserRouter(nat={"mapping": EI})), "tun") as made:
        yield made


@pytest.fixture
def bench(topology: Topology) -> Iterator[Bench]:
    with both_ends(topology) as (client, server):
        server.bind("sip", 5060, SERVER)
        server.bind("other sip", 5080, SERVER)
        made = Bench(topology, client, server)
        made.be()
        yield made


@pytest.mark.parametrize(("mapping", "filtering"), list(itertools.product(_SEEN, _ADMITTED)))
def test_every_mapping_with_every_filtering(bench: Bench, mapping: str, filtering: str) -> None:
    bench.be(nat={"mapping": mapping, "filtering": filtering})
    bench.client.bind("q")
    assert bench.arrives("q", bench.mapped("q"), "a2", "b1") == _ADMITTED[filtering]
    bench.client.bind("p", 40000)
    seen = [bench.mapped("p", to) for to in ("a1", "a2", "b1")]
    assert {host for host, _ in seen} == {WAN}
    assert len(set(seen)) == _SEEN[mapping]


@pytest.mark.parametrize("on", [True, False])
def test_hairpinning(bench: Bench, on: bool) -> None:
    """One socket sends to the other's public end: it arrives, from the sender's public end, or not at all."""
    bench.be(nat={"hairpinning": on, "filtering": EI})
    bench.client.bind("one")
    bench.client.bind("two")
    one, two = bench.mapped("one"), bench.mapped("two")
    bench.client.send("one", two, b"over the hairpin")
    bench.server.send("a1", two, b"marker")
    arrived = [bench.client.receive("two") for _ in range(1 + on)]
    assert (b"over the hairpin", one) in arrived if on else arrived == [(b"marker", (SERVER, 3478))]


def test_a_static_rule_and_who_refuses(bench: Bench) -> None:
    bench.be(nat={"forwards": [["udp", 5060, 5069, CLIENT], ["tcp", 5060, 5060, CLIENT]], "unsolicited": "reject"})
    bench.client.bind("pbx", 5060)
    bench.server.send("b1", (WAN, 5060), b"unsolicited")
    assert bench.client.receive("pbx") == (b"unsolicited", (ALTERNATE, 3478))
    bench.client.send("pbx", (ALTERNATE, 3478), b"answer")
    assert bench.server.receive("b1") == (b"answer", (WAN, 5060))
    # nobody listens there: the host's own refusal comes back through the router
    assert bench.server.error("b1", (WAN, 5061), b"x") == "ECONNREFUSED"
    # no rule: the router refuses
    assert bench.server.error("b2", (WAN, 6000), b"x") == "EHOSTUNREACH"
    bench.client.listen("pbx tcp", 5060)
    assert bench.server.connect((WAN, 5060)) == "connected"


def test_large_datagrams_and_time_to_live(bench: Bench) -> None:
    big = bytes(index % 251 for index in range(4000))
    bench.client.bind("p")
    bench.client.send("p", (SERVER, 3478), big)
    data, source = bench.server.receive("a1")
    assert data == big
    bench.server.send("a1", source, big)
    assert bench.client.receive("p")[0] == big
    ping = bench.topology.ground.run("client", "ping", "-n", "-c", "1", "-W", "15", SERVER)
    assert "ttl=62" in ping.stdout, ping.stdout
    # the first router is one hop, the core the second: its complaint comes back to the sender
    ping = bench.topology.ground.run("client", "ping", "-n", "-c", "1", "-W", "15", "-t", "2", SERVER)
    assert "203.0.113.14" in ping.stdout
    assert "Time to live exceeded" in ping.stdout


def test_tcp_passes(bench: Bench) -> None:
    bench.server.listen("service", 8443)
    bench.client.exchange("stream", 45000, (SERVER, 8443), [b"one ", b"two"])
    assert bench.server.accept("service") == (WAN, 45000)
    assert bench.server.read("service/peer", 7) == b"one two"
    bench.server.write("service/peer", b"x" * 100_000)
    assert len(bench.client.read("stream", 100_000)) == 100_000


ENDS = itertools.count()


def numbered(bench: Bench, count: int, expected: int = 0) -> list[int]:
    """Send ``count`` numbered datagrams; the numbers in the order in which they arrived: so many as are expected, and whatever else comes
    before an end that is sent behind them, again until it arrives. (Where nothing is expected, the path must keep the order.)"""
    for number in range(count):
        bench.client.send("p", (SERVER, 3478), str(number).encode())
    arrived: list[int] = []

    def take(timeout: float = PATIENCE_S) -> bytes:
        data = bench.server.receive("a1", timeout)[0]
        if not data.startswith(b"end"):
            arrived.append(int(data))
        return data

    while len(arrived) < expected:
        take()
    end = f"end {next(ENDS)}".encode()

    def ended() -> bool:
        bench.client.send("p", (SERVER, 3478), end)
        with suppress(TimeoutError):
            while take(0.3) != end:
                pass
            return True
        return False

    wait_until(ended, "the end")
    return arrived


def test_weather(bench: Bench) -> None:
    """Loss, duplication, reordering: on the way up here; every packet is accounted for."""
    bench.client.bind("p")
    bench.be(weather={"up": {"loss": 0.5}})
    assert 60 <= len(numbered(bench, 200)) <= 140  # more than five standard deviations on either side
    bench.be(weather={"up": {"duplicate": 1.0}})
    assert sorted(numbered(bench, 20, 40)) == sorted([*range(20), *range(20)])
    bench.be(weather={"up": {"delay_ms": 100, "reorder": 0.5}})
    arrived = numbered(bench, 40, 40)
    assert sorted(arrived) == list(range(40))
    assert arrived != sorted(arrived)
    bench.be(weather={"up": {"delay_ms": 20, "jitter_ms": 50, "keep_order": True}})
    assert numbered(bench, 40, 40) == list(range(40))
    bench.be(weather={"up": {"loss": 0.3, "burst": 5}})
    assert 20 <= len(numbered(bench, 200)) < 200


def test_rate_limit(bench: Bench) -> None:
    bench.client.bind("p")
    bench.be(weather={"up": {"rate": 10, "allowance": 25}})
    began = time.monotonic()
    assert 25 <= len(numbered(bench, 200)) <= 25 + 1 + 10 * (time.monotonic() - began)


def test_delay(bench: Bench) -> None:
    """25 ms each way: no answer before 50 ms have passed."""
    bench.be(weather={"delay_ms": 25})
    out = bench.topology.ground.run("client", "ping", "-n", "-c", "3", "-i", "0.1", SERVER).stdout
    times = [float(part.split("=")[1]) for part in out.split() if part.startswith("time=")]
    assert len(times) == 3
    assert min(times) >= 50


def call(bench: Bench, to: str = "sip", host: str = CLIENT, port: int = 5060) -> tuple[bytes, bytes, tuple[str, int]]:
    """An INVITE with SDP: as sent, as it arrived, and from where."""
    sent = request("INVITE", host, port, SERVER, sdp=True)
    bench.client.send("phone", (SERVER, 5060 if to == "sip" else 5080), sent)
    arrived, source = bench.server.receive(to)
    return sent, arrived, source


def test_alg_on_udp(bench: Bench) -> None:
    """It rewrites on its port and not on another, one direction by the request's list, the other by the response's."""
    bench.client.bind("phone", 5060)
    bench.be(nat={"allocation": "sequential"}, alg={"mutations": ["R1", "R10", "A3"]})
    sent, arrived, source = call(bench)
    assert f"Via: SIP/2.0/UDP {WAN}:{source[1]};".encode() in arrived
    assert f"c=IN IP4 {WAN}".encode() in arrived
    assert f'Contact: "Me" <sip:me@{CLIENT}:5060>'.encode() in arrived
    bench.server.send("sip", source, answer(sent, "200 OK", source, SERVER, sdp=True))
    assert f"c=IN IP4 {WAN}".encode() in bench.client.receive("phone")[0]
    sent, arrived, source = call(bench, "other sip")
    assert arrived == sent
    bench.be()
    sent, arrived, _ = call(bench)
    assert arrived == sent


def test_alg_drops_answers_and_moves(bench: Bench) -> None:
    bench.client.bind("phone", 5060)
    bench.be(alg={"mutations": ["R21"]})
    bench.client.send("phone", (SERVER, 5060), request("OPTIONS", CLIENT, 5060, SERVER))
    data, source = bench.client.receive("phone")
    assert data.startswith(b"SIP/2.0 200 OK\r\n")
    assert source == (SERVER, 5060)
    bench.be(alg={"mutations": ["R19", "A6"]})
    sent, arrived, source = call(bench)
    assert arrived == sent
    assert source[1] != bench.mapped("phone")[1]
    bench.server.send("sip", source, answer(sent, "200 OK", source, SERVER))
    assert bench.client.receive("phone")[1] == (SERVER, 5099)


def test_alg_on_tcp_keeps_the_streams_length(bench: Bench) -> None:
    """A change that keeps the length takes effect, one that does not cannot, a drop starves the stream."""
    message = request("INVITE", CLIENT, 5060, SERVER, sdp=True, transport="TCP")
    bench.server.listen("service", 5060)

    def arrives(*ids: str, port: int, timeout: float = PATIENCE_S) -> bytes:
        bench.be(alg={"mutations": list(ids)})
        bench.client.exchange("stream", port, (SERVER, 5060), [message])
        bench.server.accept("service")
        return bench.server.read("service/peer", len(message), timeout)

    assert arrives("R15-order", port=45001) not in (message, b"")
    assert arrives("R1", port=45002) == message
    with pytest.raises(OSError, match="timed out"):
        arrives("R16", port=45003, timeout=0.5)
    assert method(message) == "INVITE"


def test_wrong_options_end_the_program(laboratory: Laboratory) -> None:
    """A typo in a scenario must not become a router that does nothing."""
    from tests.lab.ground import LabError

    for wrong in ({"alg": {"mutations": ["R99"]}}, {"nat": {"maping": EI}}):
        with (
            pytest.raises(LabError, match=r"KeyError|TypeError"),
            laboratory.stand(Plan(home=UserRouter(**wrong)), json.dumps(wrong)[:8].strip('{"')),
        ):
            pass
