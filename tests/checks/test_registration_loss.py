"""Lost, late and missing answers to a REGISTER: whatever happens on the way, nobody is blamed for it."""

import asyncio
import random
from collections.abc import Callable, Iterable

import pytest

from edgecheck.wire.address import Endpoint
from tests.checks.doctoring import ACCOUNT, SERVER, at, visit
from tests.fakes.peers import Connection, Icmp, Lossy, Reply, TcpPeer
from tests.fakes.phone import PhoneWorld
from tests.fakes.registrar import Registrar
from tests.fakes.sip_peers import OverTcp, over_udp, response
from tests.faults_of_registration import TCP


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("loss", [0.2, 0.5])
def test_loss_never_makes_a_wrong_cause(seed: int, loss: float) -> None:
    """A server that is well: whatever is lost, it registers, or it is silence that is told; nobody's password is blamed."""
    chance, server = random.Random(seed), Registrar()

    def lossy(data: bytes, source: Endpoint) -> Iterable[Reply]:
        if chance.random() >= loss:
            for answer in server(data, source):
                if chance.random() >= loss:
                    yield Reply(answer, delay=chance.random() * 0.7)

    verdicts = visit(PhoneWorld().udp_at(SERVER, lossy)).verdicts
    assert {cause for cause, verdict in verdicts.items() if verdict in ("fail", "warn")} == set()
    assert "registered" in verdicts or (loss > 0.2 and verdicts["no-response"] == "inconclusive")


@pytest.mark.parametrize("beside", [True, False], ids=["UDP answers beside it", "nothing else"])
@pytest.mark.parametrize("lost", [1, 3])
def test_connections_that_loss_prevents_blame_nobody(lost: int, beside: bool) -> None:
    """A TCP server that is well, on a line that loses every SYN of the first connections."""
    world = PhoneWorld().tcp_at(SERVER, Lossy(OverTcp(Registrar()), lost))
    if beside:
        world.udp_at(SERVER, over_udp(Registrar()))
    assert visit(world, TCP).verdicts == {"no-response": "inconclusive"}


class _Stalls(TcpPeer):
    """Asks for credentials after a while, and is not heard again."""

    def __init__(self, after_s: float) -> None:
        self.after_s, self.first = after_s, True

    def received(self, connection: Connection, data: bytes) -> None:
        if b"REGISTER" in data[:8] and self.first:
            self.first = False
            challenge = ("WWW-Authenticate", 'Digest realm="r", nonce="n", qop="auth"')
            answer = response(data, connection.source, 401, "Unauthorized", challenge)
            asyncio.get_running_loop().call_later(self.after_s, connection.send, answer)


@pytest.mark.parametrize(("after_s", "verdict"), [(0.1, "fail"), (2.6, "inconclusive")])
def test_a_stream_that_was_slow_already_may_be_slower_still(after_s: float, verdict: str) -> None:
    """TCP on a line that loses much: an answer takes seconds, the next one more than all patience."""
    assert visit(PhoneWorld().tcp_at(SERVER, _Stalls(after_s)), TCP).verdicts == {"no-response": verdict}


@pytest.mark.parametrize("seed", range(6))
def test_loss_never_hides_a_refusal_behind_another(seed: int) -> None:
    chance, server = random.Random(seed), Registrar(password="other")

    def lossy(data: bytes, source: Endpoint) -> Iterable[Reply]:
        for answer in server(data, source) if chance.random() > 0.3 else ():
            yield Reply(answer, delay=chance.random())

    assert visit(PhoneWorld().udp_at(SERVER, lossy)).verdicts["wrong-credentials"] == "fail"


def test_answers_that_come_late_are_no_strangers() -> None:
    """Each copy is answered after 6 s: a dozen answers to requests that are long over."""
    seen = visit(at(Registrar(), delay=6.0))
    assert seen.verdicts["registered"] == "pass"
    assert set(seen.verdicts.values()) <= {"pass", "skipped"}


def _trying(data: bytes, source: Endpoint) -> list[bytes]:
    return [response(data, source, 100, "Trying")]


def _damaged(data: bytes, source: Endpoint) -> list[bytes]:
    return [b"SIP/2.0 200 OK\r\nContact: <"]


@pytest.mark.parametrize(("answers", "cause"), [(_trying, "no-final-answer"), (_damaged, "not-sip")])
def test_where_sip_comes_back_the_transport_is_not_blamed(answers: Callable[[bytes, Endpoint], list[bytes]], cause: str) -> None:
    """Another port of the same server answers, too."""
    world = PhoneWorld().udp_at("203.0.113.10:5070", over_udp(answers)).udp_at(SERVER, over_udp(Registrar()))
    assert visit(world, f"{ACCOUNT}:5070").verdicts == {cause: "fail"}


def test_silence_beside_an_answer_may_be_a_filter() -> None:
    found = visit(PhoneWorld().tcp_at(SERVER, OverTcp())).findings["wrong-transport"]
    assert "a firewall lets that way, or its answers, not through" in found.summary
    found = visit(at(Registrar()).udp_at("203.0.113.10:5070", lambda data, source: [Icmp()]), f"{ACCOUNT}:5070").findings["wrong-transport"]
    assert "firewall" not in found.summary
