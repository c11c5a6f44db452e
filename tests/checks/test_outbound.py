"""The check through networks that let out this and not that, and through servers whose own firewall is closed."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from edgecheck.checks import outbound
from edgecheck.checks.outbound.aims import sample
from edgecheck.checks.outbound.observation import OutboundObservation, OutboundTarget
from edgecheck.model.errors import LocalFailure
from edgecheck.model.machine import DefaultRoute, Machine
from edgecheck.model.profile import PortNeed, Profile
from edgecheck.model.verdict import Verdict
from edgecheck.wire.address import Endpoint
from tests.checks.probing import Said, look, say
from tests.fakes.edge import PRIMARY, Weather
from tests.fakes.ends import FakeStream
from tests.fakes.walls import Walled, Where, sessionless, walls

PBX = Profile(name="t", title="", source="", confidence="verified", checks=(), rtp=(10_000, 10_999))
PHONE = msgspec.structs.replace(
    PBX,
    rtp=None,
    ports=(
        PortNeed(ports="5060", transport="udp", purpose="SIP", protocol="sip", direction="out"),
        PortNeed(ports="5061", transport="tcp", purpose="SIP over TLS", protocol="sips", direction="out", required=False),
        PortNeed(ports="443", transport="tcp", purpose="web", protocol="web", direction="out"),
        PortNeed(ports="53", transport="udp", purpose="DNS", direction="out"),
    ),
)
SIP_UDP: Where = ("udp", 5060)
ALL_UDP = [("udp", port) for port in (53, 443, 3478, 5060, 5080, 5090, *sample((10_000, 20_000)))]


def trial(change: Callable[[Walled], Any], profile: Profile = PBX, weather: Weather | None = None) -> tuple[OutboundObservation, Said]:
    """The observation and what is said of it; everybody else reaches everything, if ``change`` does not say otherwise."""

    def edge() -> Walled:
        made = Walled(weather=weather)
        change(made)
        return made

    seen = look(outbound, edge, profile)
    return seen, say(outbound.CHECK, seen, profile)


def state(seen: OutboundObservation, transport: str, port: int) -> str:
    return target(seen, transport, port).state


def target(seen: OutboundObservation, transport: str, port: int) -> OutboundTarget:
    (found,) = [row for row in seen.targets if (row.transport, row.port) == (transport, port)]
    return found


def test_an_open_network_lets_everything_out() -> None:
    seen, said = trial(lambda edge: None)
    assert {row.state for row in seen.targets} == {"open"}
    assert {("udp", 5060), ("tcp", 5060), ("tls", 5061), ("tls", 443), ("tls", 8443), *ALL_UDP} <= {(row.transport, row.port) for row in seen.targets}
    assert (said.verdict, said.ids) == (Verdict.PASS, ["open"])
    assert seen.dns_intercepted is False
    assert seen.captive_portal is None


@pytest.mark.parametrize("place", [SIP_UDP, ("tcp", 5060), ("tls", 5061)])
def test_what_others_reach_and_this_network_does_not_is_blocked_here(place: Where) -> None:
    seen, said = trial(lambda edge: (edge.others_reach_all(), edge.walls.update(walls(place))))
    row = target(seen, *place)
    assert (row.state, row.side, row.reached_by_others) == ("blocked", "network", True)
    assert [one for one in seen.targets if one.state != "open"] == [row]
    assert said.ids == ["blocked", "open"]
    assert said.finding("blocked").verdict is Verdict.WARN, "one of several ways: no failure without a profile that needs it"


@pytest.mark.parametrize("place", [SIP_UDP, ("tcp", 5060), ("tls", 5061)])
@pytest.mark.parametrize("vouched", [False, True])
def test_a_servers_own_firewall_is_never_this_networks_doing(place: Where, vouched: bool) -> None:
    """The look-alike: the same silence. Packets of others do not arrive either, so there is nobody to vouch."""
    others = [one for one in (("udp", 5080), ("tcp", 5080)) if vouched]
    seen, said = trial(lambda edge: (edge.others_reach(*others), edge.server_walls.update(walls(place))))
    assert (state(seen, *place), target(seen, *place).side) == ("undecided", "unknown")
    assert said.ids == ["undecided", "open"]
    assert "own firewall" in said.finding("undecided").summary


@pytest.mark.parametrize("place", [SIP_UDP, ("tcp", 5060)])
def test_a_refusal_is_told_from_silence_and_whose_it_is_only_with_a_witness(place: Where) -> None:
    deed = walls(place, deed="refuse")
    seen, said = trial(lambda edge: (edge.others_reach_all(), edge.walls.update(deed)))
    assert (state(seen, *place), said.ids) == ("refused", ["refused", "open"])
    seen, said = trial(lambda edge: edge.server_walls.update(deed))
    assert (state(seen, *place), said.ids) == ("refused", ["undecided", "open"])


def test_who_refuses_is_named() -> None:
    seen, _ = trial(lambda edge: (edge.others_reach_all(), edge.walls.update(walls(SIP_UDP, deed="refuse"))))
    assert target(seen, *SIP_UDP).offender == "192.168.88.1"


def test_a_refusal_of_the_servers_own_is_not_this_networks_whoever_else_gets_in() -> None:
    """Its firewall may shut out this very address (too many tries), and let in all others."""
    _, said = trial(lambda edge: (edge.others_reach_all(), edge.server_walls.update(walls(SIP_UDP, deed="refuse"))))
    assert said.ids == ["undecided", "open"]
    assert "own firewall" in said.finding("undecided").summary


@pytest.mark.parametrize(("refuser", "words"), [("192.168.88.1", "192.168.88.1"), ("203.0.113.254", "203.0.113.254"), ("192.168.88.2", "This machine's own")])
def test_whoever_refuses_is_not_called_this_network_at_large(refuser: str, words: str) -> None:
    """The router, somebody further on, this machine's own firewall."""

    def change(edge: Walled) -> None:
        edge.others_reach_all()
        edge.refuser = refuser
        edge.walls.update(walls(SIP_UDP, deed="refuse"))

    seen, said = trial(change)
    found = said.finding("refused")
    assert words in found.summary, found.summary
    assert "This network refuses" not in found.summary
    assert target(seen, *SIP_UDP).side == ("machine" if refuser == "192.168.88.2" else "network")


def test_what_this_machine_does_not_send_is_its_own_doing() -> None:
    """An output rule of its own firewall: nothing has left, so no router is to be looked at."""
    seen, said = trial(lambda edge: (edge.others_reach_all(), edge.walls.update(walls(SIP_UDP, deed="own"))))
    assert (state(seen, *SIP_UDP), target(seen, *SIP_UDP).side) == ("refused", "machine")
    assert said.ids == ["refused", "open"]
    assert "own system refuses to send" in said.finding("refused").summary


@pytest.mark.parametrize("vouched", [True, False])
def test_answers_that_do_not_come_back_are_no_closed_way_out(vouched: bool) -> None:
    """What is sent arrives. Others' arriving packets show nothing of how answers leave the server."""
    seen, said = trial(lambda edge: ((edge.others_reach_all() if vouched else None), edge.walls.update(walls(SIP_UDP, deed="keep-answers"))))
    assert (state(seen, *SIP_UDP), target(seen, *SIP_UDP).side) == ("undecided", "unknown")
    assert said.ids == ["undecided", "open"]
    assert "reaches the server" in said.finding("undecided").summary
    assert "lets UDP 5060 out" not in said.finding("undecided").summary


def test_a_proxy_for_the_web_alone_fails_nobody() -> None:
    """All that calls need passes: there is nothing to log in to."""
    seen, said = trial(lambda edge: edge.strangers.update({("tcp", 80): b"HTTP/1.1 400 Bad Request\r\nServer: squid\r\n\r\n"}))
    assert seen.captive_portal == "HTTP/1.1 400 Bad Request"
    assert (said.ids, said.verdict) == (["web-proxy", "open"], Verdict.WARN)
    assert "log in" not in said.finding("web-proxy").summary


def test_an_outage_of_half_a_second_is_no_wall_before_udp() -> None:
    """Not one datagram passes, and the session, whose segments are sent again, outlives it; nor does a connection come about meanwhile."""

    class Outage(Weather):
        def drops(self, now: float) -> bool:
            return now < 0.5 or super().drops(now)

    seen, said = trial(lambda edge: edge.others_reach_all(), weather=Outage())
    assert {row.state for row in seen.targets} == {"open"}
    assert (said.verdict, said.ids) == (Verdict.PASS, ["open"])


def test_where_tls_is_never_spoken_and_connections_open_nothing_is_blocked() -> None:
    """TLS takes a second connection. On a path that loses half of them it fails three times in four, and the first one shows that it is open."""

    class Second(Walled):
        async def connect(self, to: Endpoint, port: int, timeout: float, *, tls: bool, ttl: int | None = None) -> FakeStream:
            if tls and to.port == 443:
                await asyncio.sleep(timeout)
                raise LocalFailure("timeout", f"Could not connect to {to}: no answer in time.")
            return await super().connect(to, port, timeout, tls=tls, ttl=ttl)

    def edge() -> Walled:
        made = Second()
        made.others_reach_all()
        return made

    row = target(look(outbound, edge, PBX), "tls", 443)
    assert (row.state, row.side) == ("undecided", "unknown")
    assert "a connection opens" in row.reason


def test_where_no_udp_passes_connections_measure_the_loss() -> None:
    seen, said = trial(lambda edge: (edge.others_reach_all(), edge.walls.update(walls(*ALL_UDP))))
    row = target(seen, *SIP_UDP)
    assert (row.state, row.control, row.control_copies) == ("blocked", 18, 18)
    assert "udp-blocked" in said.ids


def test_sip_alone_is_dropped() -> None:
    seen, said = trial(lambda edge: edge.walls.update(walls(SIP_UDP, ("udp", 5080), deed="drop-sip")))
    row = target(seen, *SIP_UDP)
    assert (row.state, row.side, row.plain_answered) == ("blocked", "network", True), "what else arrives there shows that the server's side is open"
    assert "SIP does not pass" in row.reason
    assert said.ids == ["blocked", "limited", "open"]


def test_what_the_profile_needs_fails_and_the_way_round_is_told() -> None:
    closed = walls(SIP_UDP, ("udp", 5090), ("tcp", 5060))
    _, said = trial(lambda edge: (edge.others_reach_all(), edge.walls.update(closed)), PHONE)
    assert said.finding("blocked").verdict is Verdict.FAIL
    assert said.finding("blocked").subject == "UDP 5060"
    assert "Open instead: TLS 5061, TLS 443" in said.finding("blocked").summary
    assert said.finding("limited").subject == "TCP 5060, UDP 5090"


def test_dns_for_others_may_be_closed() -> None:
    """A network that answers DNS itself lets nobody else's out; that is nobody's trouble."""
    seen, said = trial(lambda edge: (edge.others_reach_all(), edge.walls.update(walls(("udp", 53)))), PHONE)
    assert state(seen, "udp", 53) == "blocked"
    assert seen.dns_intercepted is None
    assert said.verdict is Verdict.PASS


def test_no_signaling_at_all_fails() -> None:
    closed = walls(SIP_UDP, ("tcp", 5060), ("tls", 5061))
    _, said = trial(lambda edge: (edge.others_reach_all(), edge.walls.update(closed)))
    assert said.finding("blocked").verdict is Verdict.FAIL


def test_udp_as_a_whole() -> None:
    seen, said = trial(lambda edge: (edge.others_reach_all(), edge.walls.update(walls(*ALL_UDP))))
    assert said.ids == ["udp-blocked", "open"]
    assert said.finding("udp-blocked").verdict is Verdict.FAIL
    assert {row.transport for row in seen.targets if row.state == "open"} == {"tcp", "tls"}
    unvouched, said = trial(lambda edge: edge.walls.update(walls(*ALL_UDP)))
    assert said.ids == ["undecided", "limited", "open"]
    assert {row.state for row in unvouched.targets if row.transport == "udp"} == {"undecided"}


def test_only_443_is_open() -> None:
    tcp = [("tcp", port) for port in (80, 3478, 5060, 5080, 5090)]
    seen, said = trial(lambda edge: (edge.others_reach_all(), edge.walls.update(walls(*ALL_UDP, *tcp, ("tls", 5061)))))
    assert {(row.transport, row.port) for row in seen.targets if row.state == "open"} == {("tls", 443), ("tls", 8443)}
    assert said.finding("udp-blocked").verdict is Verdict.FAIL
    assert "Open instead: TLS 443" in said.finding("blocked").summary


def test_another_certificate() -> None:
    seen, said = trial(lambda edge: edge.shown.update({443: b"a box's"}))
    assert (state(seen, "tls", 443), state(seen, "tls", 5061)) == ("intercepted", "open")
    assert said.finding("intercepted").verdict is Verdict.FAIL
    assert "certificate issued by" in str(target(seen, "tls", 443).answered_by)
    assert "shows its own certificate (issuer: " in said.finding("intercepted").summary


def test_a_captive_portal() -> None:
    redirect = b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/login\r\n\r\n"
    seen, said = trial(lambda edge: (edge.others_reach_all(), edge.strangers.update({("tcp", 80): redirect}), edge.walls.update(walls(*ALL_UDP))))
    assert seen.captive_portal == "HTTP/1.1 302 Found, to http://portal.example/login"
    assert state(seen, "tcp", 80) == "intercepted"
    assert said.ids == ["captive-portal", "udp-blocked", "open"]
    assert said.verdict is Verdict.FAIL


def test_dns_is_intercepted() -> None:
    seen, said = trial(lambda edge: edge.strangers.update({("udp", 53): b""}))
    assert (seen.dns_intercepted, state(seen, "udp", 53)) == (True, "intercepted")
    assert said.finding("dns-intercepted").verdict is Verdict.WARN


def test_a_stranger_on_a_sip_port() -> None:
    seen, said = trial(lambda edge: edge.strangers.update({("tcp", 5060): b"421 closed\r\n"}))
    assert (state(seen, "tcp", 5060), target(seen, "tcp", 5060).answered_by) == ("intercepted", "421 closed")
    assert said.finding("intercepted").verdict is Verdict.WARN


def test_a_connection_that_opens_and_says_nothing_is_left_open() -> None:
    seen, said = trial(lambda edge: (edge.others_reach_all(), edge.walls.update(walls(("tcp", 5060), deed="deaf"))))
    assert state(seen, "tcp", 5060) == "undecided"
    assert said.ids == ["undecided", "open"]


@pytest.mark.parametrize("loss", [0.05, 0.2])
@pytest.mark.parametrize("seed", range(12))
def test_loss_is_never_taken_for_a_wall_nor_a_wall_for_loss(loss: float, seed: int) -> None:
    wall = [SIP_UDP, ("tls", 5061)]

    def change(edge: Walled) -> None:
        edge.others_reach_all()
        edge.walls.update(walls(*wall))

    seen, _ = trial(change, weather=Weather(loss=loss, seed=seed))
    for row in seen.targets:
        walled = (row.transport, row.port) in wall
        assert row.state in (("blocked", "undecided") if walled else ("open", "undecided")), row
    if loss < 0.1:
        assert target(seen, *SIP_UDP).state == "blocked"


def test_ports_that_the_server_has_not_are_not_tried() -> None:
    edges: list[Walled] = []

    def change(edge: Walled) -> None:
        edge.service = msgspec.structs.replace(edge.service, reach=(), sips_port=0)
        edges.append(edge)

    seen, said = trial(change, PHONE)
    assert {(row.transport, row.port) for row in seen.targets if row.state == "not-offered"} == {
        ("tls", 5061), ("udp", 5090), ("tcp", 5090), ("tls", 443), ("udp", 443), ("tcp", 80), ("udp", 53)
    }
    assert said.finding("not-offered").verdict is Verdict.SKIPPED
    assert said.finding("not-offered").subject == "TLS 5061, TLS 443"
    assert not {("tls", 5061), ("tls", 443), ("tcp", 80), ("tcp", 5090)} & set(edges[0].connections)


def test_only_the_primary_address_is_contacted() -> None:
    edges: list[Walled] = []
    trial(lambda edge: (edges.append(edge), edge.walls.update(walls(SIP_UDP))))
    assert edges[0].nat._hosts == {PRIMARY}


def test_a_sample_is_the_same_for_everybody() -> None:
    assert sample((10_000, 20_000)) == (10_000, 12_000, 14_000, 16_000, 18_000, 20_000)
    assert sample((10_001, 10_001)) == (10_001,)
    assert sample(None) == ()


def without_session(change: Callable[[Walled], Any]) -> tuple[OutboundObservation, Said]:
    def edge() -> Walled:
        made = Walled()
        change(made)
        network = sessionless(made)
        made.network = lambda *_: network  # type: ignore[method-assign]
        return made

    seen = look(outbound, edge, PBX)
    return seen, say(outbound.CHECK, seen, PBX)


def test_without_a_session_what_answers_is_told_and_silence_proves_nothing() -> None:
    seen, said = without_session(lambda edge: edge.walls.update(walls(SIP_UDP, ("tcp", 80))))
    assert not seen.session
    assert (state(seen, "udp", 3478), state(seen, "tls", 443), state(seen, "tcp", 5060)) == ("open", "open", "open")
    assert (state(seen, *SIP_UDP), state(seen, "tcp", 80)) == ("undecided", "undecided")
    assert (said.verdict, said.ids) == (Verdict.INCONCLUSIVE, ["no-session"])
    assert "--control-port 443" in said.findings[0].summary


def test_without_a_session_a_router_that_refuses_everything_is_not_the_server() -> None:
    """A network with a proxy alone: its own router turns everything away."""
    everything = walls(*ALL_UDP, ("tls", 443), ("tls", 5061), *[("tcp", port) for port in (80, 3478, 5060, 5080, 5090)], deed="refuse")


    def change(edge: Walled) -> None:
        edge.walls.update(everything)
        edge.machine = Machine(interface="eth0", default_routes=(DefaultRoute(family=4, interface="eth0", gateway="192.168.88.1"),))

    _, said = without_session(change)
    assert "192.168.88.1" in said.findings[0].summary
    assert "edgecheck-server does not run there" not in said.findings[0].summary


def test_without_a_session_whoever_answers_in_the_servers_place_is_told() -> None:
    seen, said = without_session(lambda edge: edge.strangers.update({("tcp", 80): b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\n\r\n"}))
    assert state(seen, "tcp", 80) == "intercepted"
    assert "on TCP 80 something else answers" in said.findings[0].summary
    assert "captive portal" in said.findings[0].summary


def test_without_a_session_and_without_an_answer() -> None:
    _, said = without_session(lambda edge: edge.walls.update(walls(*ALL_UDP, ("tls", 443), ("tls", 5061), *[("tcp", port) for port in (80, 3478, 5060, 5080, 5090)])))
    assert said.verdict is Verdict.INCONCLUSIVE
    assert "it is off, the address is wrong" in said.findings[0].summary


@pytest.mark.parametrize("per_s", [0.5, 1, 5, 20])
@pytest.mark.parametrize("most", [2, 4, 8])
def test_a_limit_on_new_flows_closes_no_port(most: int, per_s: float) -> None:
    """Flood protection: known flows pass, others are dropped whatever the port. All ports are open; nothing may be called closed."""

    def change(edge: Walled) -> None:
        edge.others_reach_all()
        edge.new_flows = (most, per_s)

    seen, said = trial(change)
    states = {row.state for row in seen.targets}
    assert states <= {"open", "undecided"}, [row for row in seen.targets if row.state not in ("open", "undecided")]
    assert "blocked" not in said.ids
    closed = [line for finding in said.findings for line in [finding.summary] if "not open" in line]
    assert not closed, "what could not be told is not called closed"


def test_a_port_that_is_closed_is_told_beside_new_flows_that_pass() -> None:
    seen, said = trial(lambda edge: (edge.others_reach_all(), edge.walls.update(walls(SIP_UDP))))
    row = target(seen, *SIP_UDP)
    assert (row.state, row.new_copies, row.new_control) == ("blocked", 9, 18)
    assert "from new ports none of 9 copies, of open ports 18 of 18" in said.finding("blocked").evidence[0]


@pytest.mark.parametrize("seed", range(4))
def test_new_flows_that_are_lost_prove_less(seed: int) -> None:
    seen, _ = trial(
        lambda edge: (edge.others_reach_all(), edge.walls.update(walls(SIP_UDP))), weather=Weather(loss=0.2, delay=0.02, seed=seed)
    )
    assert state(seen, *SIP_UDP) in ("blocked", "undecided")
    assert all(row.state in ("open", "undecided") for row in seen.targets if (row.transport, row.port) != SIP_UDP)


@pytest.mark.parametrize("per_s", [11, 15, 20, 40])
def test_a_line_that_lets_through_so_many_packets_closes_no_port(per_s: float) -> None:
    """A shaped line passes the first few, and hardly an answer."""
    seen, said = trial(lambda edge: edge.others_reach_all(), weather=Weather(rate_limit=per_s))
    assert {row.state for row in seen.targets if row.transport == "udp"} <= {"open", "undecided"}
    assert not {"blocked", "udp-blocked"} & set(said.ids)
    assert not any("keeps the answers" in finding.summary for finding in said.findings)
