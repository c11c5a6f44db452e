"""``transport``: what came back at each target, told apart; silence stays silence."""

from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from edgecheck.checks import transport
from edgecheck.checks.transport.observation import TransportObservation
from edgecheck.doctor import PROFILE
from edgecheck.model.account import SipTransport
from edgecheck.model.check import Delivery
from edgecheck.model.phone import Target
from edgecheck.model.verdict import Finding, Verdict
from edgecheck.wire.address import Endpoint
from tests.fakes import certificates, clock
from tests.fakes.certificates import issue
from tests.fakes.peers import Connection, Icmp, Refuse, Reply, TcpPeer, UdpPeer
from tests.fakes.phone import HERE, PhoneWorld
from tests.fakes.sip_peers import OverTcp, OverTls, ok, over_udp, response

ADDRESS = "203.0.113.5"


def target(way: SipTransport = "udp", port: int = 5060, address: str = ADDRESS, because: str = "written in the address") -> Target:
    return Target(transport=way, host="pbx.example.com", address=address, port=port, because=because)


def look(world: PhoneWorld, *targets: Target, own: str | None = None) -> tuple[TransportObservation, dict[str, Finding]]:
    async def go() -> TransportObservation:
        phone = world.phone("sip:alice@pbx.example.com", "secret-word")
        phone.targets = list(targets)
        phone.own_address = own
        seen = await transport.probe(phone, PROFILE)
        assert seen.flow == (str(phone.flow) if phone.flow else None)
        assert not any(b"secret-word" in packet.data for packet in phone.traffic)
        return seen

    seen = clock.run(go())
    findings = transport.judge(seen, PROFILE)
    assert all(finding.evidence for finding in findings if finding.verdict is not Verdict.SKIPPED)
    return seen, {finding.id.partition(".")[2]: finding for finding in findings}


def test_a_server_that_answers() -> None:
    seen, found = look(PhoneWorld().udp_at(f"{ADDRESS}:5060", over_udp()), target())
    assert {cause: finding.verdict for cause, finding in found.items()} == {"answered": Verdict.PASS}
    one = seen.attempts[0]
    assert (one.status, one.answers, one.rtt_ms, one.rport_ignored) == (200, 5, 20.0, False)
    assert seen.flow == f"UDP {ADDRESS}:5060"
    assert seen.public_address == one.seen_as
    assert one.seen_as is not None
    assert one.seen_as.startswith(f"{HERE}:")


@pytest.mark.parametrize("status", [401, 403, 404, 405, 407, 483, 500])
def test_any_status_is_an_answer(status: int) -> None:
    def refuse(request: bytes, source: Endpoint) -> Iterable[bytes]:
        yield response(request, source, status, "No")

    _, found = look(PhoneWorld().udp_at(f"{ADDRESS}:5060", over_udp(refuse)), target())
    assert set(found) == {"answered"}


def test_a_provisional_answer_is_not_the_answer() -> None:
    def trying(request: bytes, source: Endpoint) -> Iterable[bytes]:
        yield response(request, source, 100, "Trying")

    _, found = look(PhoneWorld().udp_at(f"{ADDRESS}:5060", over_udp(trying)), target())
    assert {cause: finding.verdict for cause, finding in found.items()} == {"no-usable-answer": Verdict.INCONCLUSIVE}
    assert "100 Trying" in found["no-usable-answer"].summary


def test_silence_is_undecided_and_names_no_culprit() -> None:
    seen, found = look(PhoneWorld(), target())
    assert found["silent"].verdict is Verdict.INCONCLUSIVE
    assert seen.attempts[0].state == "silent"
    assert [(each.transport, each.state) for each in seen.beside] == [("tcp", "silent")]


def test_silence_beside_an_answer_is_a_warning_and_the_next_target_is_the_flow() -> None:
    world = PhoneWorld().udp_at("203.0.113.6:5060", over_udp())
    seen, found = look(world, target(), target(address="203.0.113.6"))
    assert found["silent"].verdict is Verdict.WARN
    assert seen.flow == "UDP 203.0.113.6:5060"


def test_udp_silent_and_tcp_answers() -> None:
    _, found = look(PhoneWorld().tcp_at(f"{ADDRESS}:5060", OverTcp()), target())
    assert set(found) == {"udp-silent"}
    assert found["udp-silent"].verdict is Verdict.INCONCLUSIVE
    assert "UDP is filtered on the way or not served" in found["udp-silent"].summary


def test_tcp_without_a_connection_and_udp_answers() -> None:
    _, found = look(PhoneWorld().udp_at(f"{ADDRESS}:5060", over_udp()), target("tcp"))
    assert set(found) == {"tcp-silent"}


@pytest.mark.parametrize(
    ("icmp", "cause"), [(Icmp(3, 3), "refused"), (Icmp(3, 13, "192.168.1.1"), "unreachable"), (Icmp(3, 1, "192.168.1.1"), "unreachable")]
)
def test_icmp_tells_a_refusal_from_an_obstacle(icmp: Icmp, cause: str) -> None:
    seen, found = look(PhoneWorld().udp_at(f"{ADDRESS}:5060", lambda data, source: [icmp]), target())
    assert set(found) == {cause}
    assert found[cause].verdict is Verdict.FAIL
    assert (icmp.offender or ADDRESS) in seen.attempts[0].words


@pytest.mark.parametrize(
    ("code", "told"), [(1, "its address is stale"), (0, "reports no way to that host"), (13, "192.168.1.1 forbids it"), (10, "a firewall there")]
)
def test_an_obstacle_is_told_in_words(code: int, told: str) -> None:
    _, found = look(PhoneWorld().udp_at(f"{ADDRESS}:5060", lambda data, source: [Icmp(3, code, "192.168.1.1")]), target())
    assert told in found["unreachable"].summary
    assert f"ICMP 3/{code}" in found["unreachable"].summary


def test_an_icmp_error_beside_an_answer_decides_nothing() -> None:
    def both(data: bytes, source: Endpoint) -> Iterable[Reply | Icmp]:
        yield from over_udp()(data, source)
        yield Icmp(3, 3)

    _, found = look(PhoneWorld().udp_at(f"{ADDRESS}:5060", both), target())
    assert set(found) == {"answered"}


@pytest.mark.parametrize(("own", "told"), [(ADDRESS, True), ("203.0.113.77", False), (None, False)])
@pytest.mark.parametrize("peer", [lambda data, source: [Icmp()], None])
def test_a_server_behind_this_very_router_may_want_hairpinning(own: str | None, told: bool, peer: UdpPeer | None) -> None:
    world = PhoneWorld()
    if peer is not None:
        world.udp_at(f"{ADDRESS}:5060", peer)
    _, found = look(world, target(), own=own)
    (finding,) = found.values()
    assert ("hairpinning" in finding.summary) is told


def test_a_refused_connection() -> None:
    _, found = look(PhoneWorld().tcp_at(f"{ADDRESS}:5060", Refuse()), target("tcp"))
    assert set(found) == {"refused"}
    assert found["refused"].verdict is Verdict.FAIL


class HangsUp(TcpPeer):
    def received(self, connection: Connection, data: bytes) -> None:
        connection.close()


class HangsUpOnce(OverTcp):
    """A server in the middle of a restart."""

    def __init__(self) -> None:
        super().__init__()
        self.connections = 0

    def connected(self, connection: Connection) -> None:
        self.connections += 1
        super().connected(connection)

    def received(self, connection: Connection, data: bytes) -> None:
        if self.connections == 1:
            connection.close()
        else:
            super().received(connection, data)


def test_one_connection_that_ends_is_not_yet_a_server_that_hangs_up() -> None:
    server = HangsUpOnce()
    _, found = look(PhoneWorld().tcp_at(f"{ADDRESS}:5060", server), target("tcp"))
    assert {cause: finding.verdict for cause, finding in found.items()} == {"answered": Verdict.PASS}
    assert server.connections == 2
    assert any("the first connection ended without an answer" in line for line in found["answered"].evidence)


class Web(TcpPeer):
    def received(self, connection: Connection, data: bytes) -> None:
        connection.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("peer", "cause", "verdict"),
    [
        (TcpPeer(), "connected-silent", Verdict.INCONCLUSIVE),
        (HangsUp(), "hung-up", Verdict.INCONCLUSIVE),
        (Web(), "not-sip", Verdict.FAIL),
    ],
)
def test_connections_that_come_to_nothing(peer: TcpPeer, cause: str, verdict: Verdict) -> None:
    _, found = look(PhoneWorld().tcp_at(f"{ADDRESS}:5060", peer), target("tcp"))
    assert {id: finding.verdict for id, finding in found.items()} == {cause: verdict}


def test_a_tls_server_at_a_plain_port(tmp_path: Path) -> None:
    world = PhoneWorld().tcp_at(f"{ADDRESS}:5060", OverTls(certificates.settings(tmp_path, issue("x"))))
    seen, found = look(world, target("tcp"))
    assert seen.attempts[0].state == "tls-on-plain"
    assert found["wrong-transport"].verdict is Verdict.FAIL


def test_an_alert_after_the_handshake_is_told_as_one(tmp_path: Path) -> None:
    """As over TLS 1.3 where a client certificate is demanded."""
    root = issue("Test Root", authority=True)
    peer = OverTls(certificates.settings(tmp_path, issue("x", root), ask=root, demand=True))
    _, found = look(PhoneWorld().tcp_at(f"{ADDRESS}:5061", peer), target("tls", 5061))
    assert found["hung-up"].verdict is Verdict.INCONCLUSIVE
    assert "ends it with an alert (certificate required); see tls" in found["hung-up"].summary
    assert "guard" not in found["hung-up"].summary


def test_plain_sip_at_a_tls_port() -> None:
    seen, found = look(PhoneWorld().tcp_at(f"{ADDRESS}:5061", OverTcp()), target("tls", 5061))
    assert seen.attempts[0].state == "plain-on-tls"
    assert found["wrong-transport"].verdict is Verdict.FAIL


def test_tls_answers(tmp_path: Path) -> None:
    world = PhoneWorld().tcp_at(f"{ADDRESS}:5061", OverTls(certificates.settings(tmp_path, issue("pbx.example.com"))))
    seen, found = look(world, target("tls", 5061))
    assert set(found) == {"answered"}
    assert seen.attempts[0].answers == 5


def test_an_answer_from_another_address() -> None:
    world = PhoneWorld().udp_at(f"{ADDRESS}:5060", over_udp(source=Endpoint("203.0.113.99", 5070)))
    seen, found = look(world, target())
    assert set(found) == {"answered-elsewhere"}
    assert seen.attempts[0].answered_from == "203.0.113.99:5070"


def test_a_server_that_answers_to_the_port_in_the_via() -> None:
    """RFC 3261 without RFC 3581: fine as long as no NAT changes ports."""
    world = PhoneWorld()
    sockets: dict[int, Endpoint] = {}

    def old(data: bytes, source: Endpoint) -> Iterable[Reply]:
        sockets[source.port] = source
        if data.strip():
            port = int(data.split(b"Via: SIP/2.0/UDP ")[1].split(b";")[0].rpartition(b":")[2])
            if port == source.port:
                yield Reply(response(data, source))
            else:
                # the world hands a reply only to who asked; this one goes to the other socket of the phone
                world.later(Endpoint(source.host, port), Endpoint(ADDRESS, 5060), response(data, source))

    world.udp_at(f"{ADDRESS}:5060", old)
    seen, found = look(world, target())
    assert seen.attempts[0].rport_ignored is True
    assert found["rport-ignored"].verdict is Verdict.WARN


def test_loss_is_counted_and_one_lost_is_nothing() -> None:
    def every(nth: int) -> UdpPeer:
        count = 0

        def peer(data: bytes, source: Endpoint) -> Iterable[Reply]:
            nonlocal count
            if data.strip():
                count += 1
                if count < 2 or count % nth == 0:
                    yield from over_udp()(data, source)

        return peer

    _, found = look(PhoneWorld().udp_at(f"{ADDRESS}:5060", every(3)), target())
    assert set(found) == {"answered", "loss"}
    _, found = look(PhoneWorld().udp_at(f"{ADDRESS}:5060", every(1)), target())
    assert set(found) == {"answered"}


def test_a_stale_port_in_the_dns() -> None:
    world = PhoneWorld().udp_at(f"{ADDRESS}:5060", over_udp())
    _, found = look(world, target(port=5080, because="SRV _sip._udp.example.com, priority 10, weight 0"))
    assert set(found) == {"silent", "stale-port"}
    assert found["stale-port"].verdict is Verdict.FAIL


@pytest.mark.parametrize("way", ["udp", "tcp"])
def test_a_stale_port_is_one_that_stays_silent_beside_the_usual_one(way: SipTransport) -> None:
    """Four requests, or the SYNs of one connection, may all be lost."""
    world = PhoneWorld()
    if way == "udp":
        world.udp_at(f"{ADDRESS}:5060", over_udp())
    else:
        world.tcp_at(f"{ADDRESS}:5060", OverTcp())
    seen, found = look(world, target(way, port=5080, because="SRV _sip, priority 10, weight 0"))
    assert (seen.attempts[0].state, seen.attempts[0].again, seen.attempts[0].usual_answers) == ("silent", 9, 9)
    assert found["stale-port"].verdict is Verdict.FAIL
    assert "asked 9 times again" in " ".join(found["stale-port"].evidence)
    lossy = msgspec.structs.replace(seen, attempts=(msgspec.structs.replace(seen.attempts[0], again=14, usual_answers=8),))
    (unsure,) = [finding for finding in transport.judge(lossy, PROFILE) if finding.id == "transport.stale-port"]
    assert unsure.verdict is Verdict.INCONCLUSIVE
    assert "got lost" in unsure.summary


def test_a_port_of_which_the_first_requests_were_lost_is_not_stale() -> None:
    count = 0

    def later(data: bytes, source: Endpoint) -> Iterable[Reply]:
        nonlocal count
        count += 1
        if count > 5:
            yield from over_udp()(data, source)

    world = PhoneWorld().udp_at(f"{ADDRESS}:5060", over_udp()).udp_at(f"{ADDRESS}:5080", later)
    seen, found = look(world, target(port=5080, because="SRV _sip._udp.example.com, priority 10, weight 0"))
    assert set(found) == {"answered"}
    assert seen.flow == f"UDP {ADDRESS}:5080"


def test_a_dead_port_beside_a_record_that_works_may_be_another_server() -> None:
    world = PhoneWorld().udp_at(f"{ADDRESS}:5060", over_udp()).udp_at(f"{ADDRESS}:5090", lambda data, source: [Icmp()])
    srv = "SRV _sip._udp.example.com, priority {}, weight 0"
    _, found = look(world, target(port=5090, because=srv.format(10)), target(because=srv.format(20)))
    assert {cause: finding.verdict for cause, finding in found.items()} == {
        "refused": Verdict.WARN,
        "answered": Verdict.PASS,
    }


def test_udp_refused_where_tls_is_spoken(tmp_path: Path) -> None:
    world = PhoneWorld().udp_at(f"{ADDRESS}:5061", lambda data, source: [Icmp()])
    world.tcp_at(f"{ADDRESS}:5061", OverTls(certificates.settings(tmp_path, issue("pbx.example.com"))))
    _, found = look(world, target(port=5061))
    assert found["wrong-transport"].verdict is Verdict.FAIL
    assert "transport=tls" in found["wrong-transport"].summary


def test_a_503_sends_a_phone_to_the_next_target() -> None:
    def busy(request: bytes, source: Endpoint) -> Iterable[bytes]:
        yield response(request, source, 503, "Service Unavailable")

    world = PhoneWorld().udp_at(f"{ADDRESS}:5060", over_udp(busy)).udp_at("203.0.113.6:5060", over_udp(ok))
    seen, found = look(world, target(), target(address="203.0.113.6"))
    assert seen.flow == "UDP 203.0.113.6:5060"
    assert set(found) == {"unavailable", "answered"}


def test_nothing_to_try() -> None:
    _, found = look(PhoneWorld())
    assert found["skipped"].verdict is Verdict.SKIPPED


@pytest.mark.parametrize(
    ("garbage", "cause"),
    [
        (b"", "silent"),
        (b"\0\0\0\0", "silent"),  # a keep-alive
        (b"SIP/2.0 200 OK\r\n\r\n", "no-usable-answer"),
        (b"SIP/2.0 200 OK\r\nVia: x\r\n\r\n", "no-usable-answer"),
        (b"\xff\xfe", "not-sip"),
    ],
)
def test_garbage_is_no_answer_and_no_silence(garbage: bytes, cause: str) -> None:
    seen, found = look(PhoneWorld().udp_at(f"{ADDRESS}:5060", lambda data, source: [Reply(garbage)]), target())
    assert set(found) == {cause}
    assert seen.flow is None


def test_a_slow_server_loses_nothing() -> None:
    world = PhoneWorld().udp_at(f"{ADDRESS}:5060", over_udp(delay=1.2))
    seen, found = look(world, target())
    assert set(found) == {"answered"}
    assert (seen.attempts[0].answers, seen.attempts[0].rtt_ms) == (5, 1220.0)


def test_a_tls_port_that_never_greets_back_is_silence_and_is_waited_for_once() -> None:
    world = PhoneWorld().tcp_at(f"{ADDRESS}:5061", TcpPeer())

    async def go() -> tuple[TransportObservation, list[float]]:
        phone = world.phone("sip:alice@pbx.example.com;transport=tls", None)
        phone.targets = [target("tls", 5061)]
        seen = await transport.probe(phone, PROFILE)
        began = phone.now()
        facts = await phone.handshake(phone.targets[0].endpoint, "pbx.example.com")
        assert facts.failure == "timeout"
        return seen, [phone.now() - began]

    seen, waited = clock.run(go())
    found = transport.judge(seen, PROFILE)[0]
    assert (found.id, found.verdict) == ("transport.connected-silent", Verdict.INCONCLUSIVE)
    assert "a TLS greeting" in found.summary
    assert waited == [pytest.approx(1.5, abs=0.2)]


@pytest.mark.parametrize(("address", "private"), [("10.1.2.3", True), ("100.64.0.9", True), ("203.0.113.5", False), ("127.0.0.9", False)])
def test_only_what_is_private_is_called_so(address: str, private: bool) -> None:
    _, found = look(PhoneWorld(), target(address=address))
    assert ("private address" in found["silent"].summary) is private


def test_a_saved_observation_is_judged_the_same() -> None:
    seen, found = look(PhoneWorld().udp_at(f"{ADDRESS}:5060", over_udp()), target(), target("tcp"))
    again = msgspec.convert(msgspec.json.decode(msgspec.json.encode(seen)), TransportObservation)
    assert transport.judge(again, PROFILE) == tuple(found.values())


def left(world: PhoneWorld, where: Target) -> tuple[int, int]:
    """What is left for the checks that follow: answers, and the copies that they took."""

    async def go() -> tuple[int, int]:
        phone = world.phone("sip:alice@pbx.example.com")
        phone.targets = [where]
        await transport.probe(phone, PROFILE)
        return phone.pinged[str(where)]

    return clock.run(go())


def test_the_loss_of_the_line_is_left_for_those_who_follow() -> None:
    count = [0]

    def second_copy_on(data: bytes, source: Endpoint) -> Iterable[Reply]:
        count[0] += 1
        if count[0] > 1 and data.strip():
            yield Reply(response(data, source))

    where = f"{ADDRESS}:5060"
    assert left(PhoneWorld().udp_at(where, over_udp()), target()) == (5, 5)
    assert left(PhoneWorld().udp_at(where, second_copy_on), target()) == (5, 6)
    assert left(PhoneWorld().udp_at(where, lambda data, source: ()), target()) == (0, 4)
    server = OverTcp()
    assert left(PhoneWorld().tcp_at(where, server), target("tcp")) == (0, 0), "this platform does not tell"
    server.delivery = Delivery(unacked=0, retransmitted=2, rtt_ms=20.0)
    assert left(PhoneWorld().tcp_at(where, server), target("tcp")) == (6, 8)
