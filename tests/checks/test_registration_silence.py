"""Silence and loss: what TCP and the answers beside it tell decides between a verdict and none."""

import asyncio
import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from edgecheck.model.check import Delivery
from edgecheck.wire.address import Endpoint
from tests.checks.doctoring import SERVER, visit
from tests.fakes import certificates
from tests.fakes.peers import Connection, Lossy, Reply, TcpPeer
from tests.fakes.phone import PhoneWorld
from tests.fakes.registrar import Registrar
from tests.fakes.sip_peers import OverTcp, OverTls, over_udp, response
from tests.faults_of_registration import TCP

CLEAN = Delivery(unacked=0, retransmitted=0, rtt_ms=20.0)
STUCK = Delivery(unacked=1, retransmitted=8, rtt_ms=20.0)
BUMPY = Delivery(unacked=0, retransmitted=3, rtt_ms=20.0)


class Mute(TcpPeer):
    """Says nothing; or asks for credentials once, at once."""

    def __init__(self, delivery: Delivery | None, *, asks: bool = False, trying: bool = False) -> None:
        self.delivery, self.asks, self.trying = delivery, asks, trying

    def received(self, connection: Connection, data: bytes) -> None:
        if b"REGISTER" in data[:8] and self.trying:
            connection.send(response(data, connection.source, 100, "Trying"))
        elif b"REGISTER" in data[:8] and self.asks:
            self.asks = False
            challenge = ("WWW-Authenticate", 'Digest realm="r", nonce="n", qop="auth"')
            connection.send(response(data, connection.source, 401, "Unauthorized", challenge))


@pytest.mark.parametrize("asks", [False, True], ids=["from the start", "to the credentials"])
@pytest.mark.parametrize(
    ("delivery", "verdict"), [(CLEAN, "fail"), (None, "fail"), (STUCK, "inconclusive"), (BUMPY, "inconclusive")], ids=str
)
def test_silence_on_a_stream_is_judged_by_what_tcp_knows(delivery: Delivery | None, verdict: str, asks: bool) -> None:
    seen = visit(PhoneWorld().tcp_at(SERVER, Mute(delivery, asks=asks)), TCP)
    assert seen.verdicts == {"no-response": verdict}
    assert seen.seen.attempts[-1].delivery == delivery


def test_a_request_that_was_never_acknowledged_has_two_causes() -> None:
    summary = visit(PhoneWorld().tcp_at(SERVER, Mute(STUCK)), TCP).findings["no-response"].summary
    assert "8 segments had to be sent again" in summary
    assert "the line loses most packets, or something on the way" in summary


@pytest.mark.parametrize(("delivery", "cause"), [(BUMPY, "no-response"), (CLEAN, "wrong-transport")])
def test_another_transport_that_answers_is_no_proof_where_packets_were_lost(delivery: Delivery, cause: str) -> None:
    world = PhoneWorld().tcp_at(SERVER, Mute(delivery)).udp_at(SERVER, over_udp(Registrar()))
    assert list(visit(world, TCP).verdicts) == [cause]


@pytest.mark.parametrize(("delivery", "verdict"), [(CLEAN, "fail"), (STUCK, "inconclusive"), (BUMPY, "inconclusive"), (None, "fail")], ids=str)
def test_nothing_after_a_100_over_tcp(delivery: Delivery | None, verdict: str) -> None:
    seen = visit(PhoneWorld().tcp_at(SERVER, Mute(delivery, trying=True)), TCP)
    assert seen.verdicts == {"no-final-answer": verdict if delivery is not None else "inconclusive"}


class OnlyOptions(TcpPeer):
    """Answers OPTIONS, ignores REGISTER."""

    def __init__(self, delivery: Delivery | None) -> None:
        self.delivery = delivery

    def received(self, connection: Connection, data: bytes) -> None:
        if data.startswith(b"OPTIONS"):
            connection.send(response(data, connection.source))


@pytest.mark.parametrize(("delivery", "expected"), [(CLEAN, {"ignored": "fail"}), (BUMPY, {"no-response": "inconclusive"})])
def test_a_register_that_arrived_and_was_ignored(delivery: Delivery, expected: dict[str, str]) -> None:
    assert visit(PhoneWorld().tcp_at(SERVER, OnlyOptions(delivery)), TCP).verdicts == expected


def test_connections_made_later_acquit_the_server() -> None:
    """The first SYNs are lost; the controls connect, and are silent for as long as they are waited for."""
    world = PhoneWorld().tcp_at(SERVER, Lossy(TcpPeer(), 1)).udp_at(SERVER, over_udp(Registrar()))
    seen = visit(world, TCP)
    assert seen.verdicts == {"no-response": "inconclusive"}
    assert seen.seen.options_connected == 5


@pytest.mark.parametrize("seed", range(40))
def test_a_lost_final_answer_is_no_proof_that_nobody_stands_behind(seed: int) -> None:
    """The server says 100 to each copy, and its one final answer may get lost."""
    chance = random.Random(seed)

    def lossy(data: bytes, source: Endpoint) -> Iterable[Reply]:
        for answer in (response(data, source, 100, "Trying"), response(data, source, 403, "No")):
            if chance.random() < 0.36:  # 40 % are lost, each way
                yield Reply(answer)

    verdicts = visit(PhoneWorld().udp_at(SERVER, lossy)).verdicts
    assert verdicts.get("no-final-answer") != "fail"


class Lost(TcpPeer):
    """TCP over a line that loses 40 % each way, as far as a phone sees it: every message takes the tries that chance gives it."""

    def __init__(self, chance: random.Random) -> None:
        self.chance, self.inside = chance, OverTcp(Registrar())
        self.delivery = CLEAN

    def connected(self, connection: Connection) -> None:
        self.inside.connected(connection)
        self._note(self._tries())

    def _tries(self) -> int:
        tries = 1
        while self.chance.random() < 0.4:
            tries += 1
        return tries

    def _note(self, tries: int) -> None:
        again = self.delivery.retransmitted + tries - 1 if self.delivery else 0
        self.delivery = Delivery(unacked=0, retransmitted=again, rtt_ms=20.0)

    def received(self, connection: Connection, data: bytes) -> None:
        there, back = self._tries(), self._tries()
        # Our side sends again until an acknowledgment is back: at least as often as the data needed.
        self._note(there + (self.chance.random() < 0.4))
        wait = 0.2 * (2 ** (there - 1) - 1) + 0.2 * (2 ** (back - 1) - 1)
        asyncio.get_running_loop().call_later(wait, self.inside.received, connection, data)


@pytest.mark.parametrize("block", range(8))
def test_at_forty_percent_loss_a_healthy_account_over_tcp_never_fails(block: int) -> None:
    for seed in range(block * 50, block * 50 + 50):
        verdicts = visit(PhoneWorld().tcp_at(SERVER, Lost(random.Random(seed))), TCP).verdicts
        assert {cause for cause, verdict in verdicts.items() if verdict == "fail"} == set(), seed


class Clean(TcpPeer):
    """Takes connections and says nothing, not even to a TLS greeting; nothing is lost."""

    delivery = CLEAN


class Bumpy(TcpPeer):
    delivery = BUMPY


class BumpyAtFirst(Lossy):
    """The first connection stays silent, later ones speak TLS."""

    def __init__(self, peer: TcpPeer) -> None:
        super().__init__(peer, 1)

    def next(self) -> TcpPeer | None:
        return super().next() or Bumpy()


@pytest.mark.parametrize(("peer", "expected"), [(Clean, {"wrong-transport": "fail"}), (Bumpy, {"no-response": "inconclusive"}), (TcpPeer, {"no-response": "inconclusive"})])
def test_silence_to_a_tls_greeting_is_no_proof_where_packets_were_lost(peer: type[TcpPeer], expected: dict[str, str]) -> None:
    """UDP is answered beside it."""
    world = PhoneWorld().tcp_at("203.0.113.10:5061", peer()).udp_at(SERVER, over_udp(Registrar()))
    assert visit(world, "sip:alice@203.0.113.10;transport=tls").verdicts == expected


def test_a_server_that_opened_tls_later_speaks_it(tmp_path: Path) -> None:
    inside = OverTls(certificates.settings(tmp_path, certificates.issue("PBX")), OverTcp(Registrar()))
    world = PhoneWorld().tcp_at("203.0.113.10:5061", BumpyAtFirst(inside)).udp_at(SERVER, over_udp(Registrar()))
    verdicts = visit(world, "sip:alice@203.0.113.10;transport=tls").verdicts
    assert "fail" not in verdicts.values()
