"""After the 200: requests go by the Service-Route, to the GRUU, over a flow that is kept; and what of that does not work is told."""

import asyncio
import random
from collections.abc import Iterable

import pytest

from edgecheck.model.account import parse_account
from edgecheck.model.check import Delivery
from edgecheck.wire import sip, stun
from edgecheck.wire.address import Endpoint
from tests.checks.doctoring import SERVER, at, visit
from tests.fakes.peers import Connection, Icmp, Reply, UdpPeer
from tests.fakes.phone import PhoneWorld
from tests.fakes.registrar import Registrar
from tests.fakes.sip_peers import OverTcp, over_udp, response
from tests.faults_of_registration import TCP

PROXY = "203.0.113.40:5060"
GRUU = "sip:alice@203.0.113.10;gr=urn:uuid:1"


def with_gruu(contact: str) -> str:
    return f'{contact};pub-gruu="{GRUU}"'


class Proxy:
    """Notes what it is sent, and answers 200."""

    def __init__(self) -> None:
        self.seen: list[sip.Message] = []

    def __call__(self, data: bytes, source: Endpoint) -> Iterable[bytes]:
        self.seen.append(sip.parse_datagram(data))
        yield response(data, source)


def routed(*values: str, **how: object) -> Registrar:
    return Registrar(extra=tuple(("Service-Route", value) for value in values), **how)  # type: ignore[arg-type]


def reaching(registrar: Registrar) -> list[sip.Message]:
    """What asked for our own address."""
    return [each for each in registrar.seen if each.method == "OPTIONS" and "@" in (each.uri or "")]


def test_a_call_of_ours_goes_by_the_service_route_to_our_gruu() -> None:
    proxy, registrar = Proxy(), routed("<sip:203.0.113.40;lr>, <sip:inner.example.com;lr>", rewrite=with_gruu)
    seen = visit(at(registrar).udp_at(PROXY, over_udp(proxy)))
    (asked,) = proxy.seen
    assert (asked.uri, asked.all("Route")) == (GRUU, ("<sip:203.0.113.40;lr>", "<sip:inner.example.com;lr>"))
    assert asked.get("To") == "<sip:alice@203.0.113.10>"
    assert reaching(registrar) == []
    assert seen.seen.service_hop is not None
    assert (seen.seen.service_hop.target, seen.seen.service_hop.same) == ("UDP 203.0.113.40:5060", False)
    assert set(seen.verdicts.values()) <= {"pass", "skipped"}


def test_a_service_route_to_the_registrar_itself_keeps_the_flow() -> None:
    registrar = routed("<sip:203.0.113.10;lr>")
    seen = visit(at(registrar))
    (asked,) = reaching(registrar)
    assert asked.all("Route") == ("<sip:203.0.113.10;lr>",)
    assert asked.get("Via") is not None
    assert seen.seen.local is not None
    assert seen.seen.local in (asked.get("Via") or ""), "the port that has registered"
    assert seen.seen.service_hop is not None
    assert seen.seen.service_hop.same


def test_an_outbound_proxy_stays_the_first_hop() -> None:
    registrar = routed("<sip:inner.example.com;lr>")
    account = parse_account("sip:alice@example.com", proxy="sip:203.0.113.10")
    visit(at(registrar), account)
    (asked,) = reaching(registrar)
    assert asked.all("Route") == ("<sip:203.0.113.10;lr>", "<sip:inner.example.com;lr>")


def test_over_tcp_a_service_route_without_transport_is_asked_over_tcp() -> None:
    proxy, registrar = Proxy(), routed("<sip:203.0.113.40;lr>")
    world = PhoneWorld().tcp_at(SERVER, OverTcp(registrar)).tcp_at(PROXY, OverTcp(proxy))
    assert "service-route-unreachable" not in visit(world, TCP).verdicts
    assert len(proxy.seen) == 1


def test_a_service_route_without_lr_is_told_and_followed_by_the_book() -> None:
    proxy = Proxy()
    seen = visit(at(routed("<sip:203.0.113.40>, <sip:inner.example.com;lr>")).udp_at(PROXY, over_udp(proxy)))
    (asked,) = proxy.seen
    assert (asked.uri, asked.all("Route")) == ("sip:203.0.113.40", ("<sip:inner.example.com;lr>", "<sip:alice@203.0.113.10>"))
    assert {cause for cause, verdict in seen.verdicts.items() if verdict in ("warn", "fail")} == {"service-route-strict"}


REFUSES: UdpPeer = lambda data, source: [Icmp()]  # noqa: E731
MUTE: UdpPeer = lambda data, source: ()  # noqa: E731


@pytest.mark.parametrize(
    ("value", "peer", "verdict", "words"),
    [
        ("<sip:203.0.113.40;lr>", REFUSES, "warn", "cannot be reached"),
        ("<sip:nowhere.example.com;lr>", MUTE, "warn", "leads to no address"),
        ("<tel:123>", MUTE, "warn", "it is no SIP address"),
        ("<sip:203.0.113.40;lr>", MUTE, "inconclusive", "whether it leads anywhere could not be told"),
        ("<sip:203.0.113.40;transport=tcp;lr>", MUTE, "inconclusive", "cannot be reached"),
    ],
)
def test_a_service_route_that_leads_nowhere(value: str, peer: UdpPeer, verdict: str, words: str) -> None:
    registrar = routed(value)
    seen = visit(at(registrar).udp_at(PROXY, peer))
    assert seen.verdicts["service-route-unreachable"] == verdict
    assert words in seen.findings["service-route-unreachable"].summary
    assert seen.verdicts["registered"] == "pass"
    assert seen.seen.removed is True
    assert len(reaching(registrar)) == 1, "asked the direct way instead"


@pytest.mark.parametrize("seed", range(25))
def test_loss_never_accuses_a_service_route(seed: int) -> None:
    """A proxy that is well, a line that loses 40 % each way."""
    chance, registrar, proxy = random.Random(seed), routed("<sip:203.0.113.40;lr>"), Proxy()

    def lossy(respond: object) -> UdpPeer:
        def peer(data: bytes, source: Endpoint) -> Iterable[Reply]:
            if chance.random() < 0.6:
                yield from (Reply(each) for each in respond(data, source) if chance.random() < 0.6)  # type: ignore[operator]

        return peer

    verdicts = visit(PhoneWorld().udp_at(SERVER, lossy(registrar)).udp_at(PROXY, lossy(proxy))).verdicts
    assert verdicts.get("service-route-unreachable") != "warn"


class TwoPhones(Registrar):
    """Delivers what comes for the GRUU to us; another phone of the account answers what comes for the address of record."""

    world: PhoneWorld

    def __call__(self, request: bytes, source: Endpoint) -> Iterable[bytes]:
        message = sip.parse_datagram(request)
        if message.is_request and message.method == "OPTIONS" and message.uri == GRUU:
            self.world.later(source, Endpoint("203.0.113.10", 5060), request)
        if message.is_request and message.method == "OPTIONS":
            return [response(request, source)]
        return super().__call__(request, source)


@pytest.mark.parametrize(("gruu", "cause"), [(True, "reachable"), (False, "reach-untold")])
def test_a_gruu_reaches_this_phone_among_others(gruu: bool, cause: str) -> None:
    registrar = TwoPhones(others=["<sip:alice@192.168.7.7:5060>;expires=900"], rewrite=with_gruu if gruu else None)
    registrar.world = at(registrar)
    seen = visit(registrar.world)
    assert cause in seen.verdicts
    assert gruu or "or another phone" in seen.findings["reach-untold"].summary


OUTBOUND = (("Require", "outbound"), ("Flow-Timer", "5"))


class Flow:
    """A registrar that keeps flows, and answers STUN or not."""

    def __init__(self, *, answers: bool, **how: object) -> None:
        self.registrar = Registrar(extra=OUTBOUND, **how)  # type: ignore[arg-type]
        self.answers, self.pings = answers, 0

    def __call__(self, data: bytes, source: Endpoint) -> Iterable[Reply]:
        if stun.is_stun(data):
            self.pings += 1
            if self.answers:
                asked = stun.parse(data)
                yield Reply(stun.serialize(stun.Message(stun.Class.SUCCESS, stun.BINDING, asked.transaction_id)))
            return
        for answer in self.registrar(data, source) if data.strip() else ():
            yield Reply(answer)


def test_a_flow_that_was_taken_is_pinged_and_its_timer_respected() -> None:
    flow = Flow(answers=True, override=lambda message, source: b"" if message.method == "OPTIONS" else None)
    seen = visit(PhoneWorld().udp_at(SERVER, flow))
    assert seen.seen.keepalive_answered is True
    assert seen.verdicts["registered"] == "pass"
    assert "keepalive-unanswered" not in seen.verdicts
    # The OPTIONS met 32 s of silence, and a ping went out at least every 5 s meanwhile.
    assert 7 <= flow.pings <= 12
    assert any("it answers the keep-alive" in line for line in seen.findings["registered"].evidence)


@pytest.mark.parametrize(("pinged", "told"), [((9, 9), True), ((0, 0), False), ((5, 14), False)])
def test_pings_without_an_answer_are_told_where_loss_is_no_reason(pinged: tuple[int, int], told: bool) -> None:
    seen = visit(PhoneWorld().udp_at(SERVER, Flow(answers=False)), pinged=pinged)
    assert (seen.seen.keepalive_answered, seen.seen.keepalive_copies) == (False, 7)
    assert ("keepalive-unanswered" in seen.verdicts) == told
    assert seen.seen.removed is True


class TcpFlow(OverTcp):
    """Over TCP: CRLF for CRLF CRLF, or not."""

    def __init__(self, *, answers: bool) -> None:
        super().__init__(Registrar(extra=OUTBOUND))
        self.answers = answers
        self.delivery = Delivery(unacked=0, retransmitted=0, rtt_ms=20.0)

    def received(self, connection: Connection, data: bytes) -> None:
        if data == sip.PING:
            if self.answers:
                asyncio.get_running_loop().call_later(0.01, connection.send, sip.PONG)
            return
        super().received(connection, data)


@pytest.mark.parametrize("answers", [True, False])
def test_over_tcp_a_ping_wants_its_pong(answers: bool) -> None:
    seen = visit(PhoneWorld().tcp_at(SERVER, TcpFlow(answers=answers)), TCP)
    assert seen.seen.keepalive_answered is answers
    assert ("keepalive-unanswered" in seen.verdicts) is not answers
    assert seen.verdicts["registered"] == "pass"


def test_where_outbound_was_not_taken_no_flow_is_kept_and_that_is_evidence() -> None:
    registrar = Registrar()
    seen = visit(at(registrar))
    assert seen.seen.offered == ("path", "outbound", "gruu")
    assert seen.seen.keepalive_answered is None
    assert any("offered and not taken" in line for line in seen.findings["registered"].evidence)


class Waits(Registrar):
    """Sends an OPTIONS for our address on to us as SIP repeats it, and says 408 after two seconds without an answer."""

    world: PhoneWorld
    lost: float = 0.0
    chance: random.Random = random.Random(0)
    elsewhere: bool = False

    def deliver(self, source: Endpoint, request: bytes) -> None:
        if not self.elsewhere and self.chance.random() >= self.lost:
            self.world.later(source, Endpoint("203.0.113.10", 5060), request)

    def peer(self, data: bytes, source: Endpoint) -> Iterable[Reply]:
        if self.chance.random() < self.lost or not data[:1].isalpha():
            return
        message = sip.parse_datagram(data)
        if message.is_request and message.method == "OPTIONS" and "@" in (message.uri or ""):
            for wait in (0.0, 0.5, 1.5):
                asyncio.get_running_loop().call_later(wait, self.deliver, source, data)
            yield from (Reply(response(data, source, 408, "Request Timeout"), delay=2.0) for _ in range(1) if self.chance.random() >= self.lost)
            return
        for answer in self(data, source):
            if self.chance.random() >= self.lost:
                yield Reply(answer)


def waiting(seed: int = 0, lost: float = 0.0, *, elsewhere: bool = False) -> tuple[PhoneWorld, Waits]:
    registrar = Waits()
    registrar.chance, registrar.lost, registrar.elsewhere = random.Random(seed), lost, elsewhere
    registrar.world = PhoneWorld().udp_at(SERVER, registrar.peer)
    return registrar.world, registrar


@pytest.mark.parametrize(("pinged", "verdict"), [((5, 5), "warn"), ((5, 12), "inconclusive")])
def test_a_server_that_gives_up_is_asked_until_loss_is_no_reason(pinged: tuple[int, int], verdict: str) -> None:
    world, _ = waiting(elsewhere=True)
    seen = visit(world, pinged=pinged)
    assert seen.verdicts["not-reachable"] == verdict
    asked = [attempt for attempt in seen.seen.attempts if attempt.purpose == "reach"]
    assert {attempt.status for attempt in asked} == {408}
    assert 2 <= len(asked) <= 5


@pytest.mark.parametrize("block", range(4))
def test_loss_never_makes_a_binding_unreachable(block: int) -> None:
    """The server sends everything on to us, and 40 % are lost, each way."""
    for seed in range(block * 25, block * 25 + 25):
        world, _ = waiting(seed, 0.4)
        verdicts = visit(world).verdicts
        assert verdicts.get("not-reachable") not in ("warn", "fail"), seed
        assert "fail" not in verdicts.values(), seed
