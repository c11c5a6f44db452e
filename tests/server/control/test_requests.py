"""The requests that need no outside, and the datagrams that go with them, in memory."""

from typing import Any

import pytest

from echo_server.control.effects import Closing, MediaOpening
from echo_server.sessions.limits import Bounds
from edgecheck.wire import control, probe, rtp
from edgecheck.wire.address import Endpoint
from edgecheck.wire.probe import Kind, Probe
from tests.server.conftest import InMemory

PEER = InMemory.PEER
OTHER = Endpoint("203.0.113.8", 6000)


def test_ping_tells_the_sessions_clock(memory: Any) -> None:
    server = memory()
    session = server.session(now=100.0)
    assert server.ask(session, control.Ping, now=101.5) == control.Pong(id=7, at_ms=1500.0)


def claim(server: Any, session: Any, source: Endpoint, now: float = 1.0, listener: str = "A1") -> Probe:
    data = probe.serialize(Probe(Kind.CLAIM, session.name, 2, 5, port=5060), 60)
    (outbound,) = server.core.handle_datagram(listener, source, data, now)
    assert (outbound.sender, outbound.destination, len(outbound.data)) == (listener, source, 60)
    return probe.parse(outbound.data)


@pytest.mark.parametrize("listener", ["A1", "A2", "B1", "B2", "AX:40001", "BX:40002", "sip:5060", "sip:5080"])
def test_a_cookie_proves_an_address(memory: Any, listener: str) -> None:
    server = memory()
    session = server.session()
    claimed = claim(server, session, OTHER, listener=listener)
    assert (claimed.kind, claimed.session, claimed.series, claimed.item) == (Kind.CLAIMED, session.name, 2, 5)
    proved = server.ask(session, control.Prove, cookie=claimed.cookie.hex(), address=OTHER.host)
    assert proved == control.Proved(id=7, addresses=(PEER.host, OTHER.host))
    (row,) = server.ask(session, control.Account, series=2).received
    assert (row.item, row.listener, row.source, row.answered) == (5, listener.partition(":")[0] if listener[1] == "X" else listener, str(OTHER), 1)


def test_a_cookie_proves_only_its_own_address_session_and_time(memory: Any) -> None:
    server = memory()
    session, another = server.session(), server.session(Endpoint("203.0.113.9", 1))
    cookie = claim(server, session, OTHER, now=59.0).cookie.hex()

    def reason(who: Any, address: str, now: float, cookie: str = cookie) -> str:
        reply = server.ask(who, control.Prove, cookie=cookie, address=address, now=now)
        return reply.reason if isinstance(reply, control.Declined) else "proved"

    assert reason(session, "203.0.113.99", 60.0) == "unproved-address"
    assert reason(another, OTHER.host, 60.0) == "unproved-address"
    assert reason(session, OTHER.host, 200.0) == "unproved-address"
    assert reason(session, OTHER.host, 60.0, "00" * 8) == "unproved-address"
    assert reason(session, OTHER.host, 60.0, "nonsense") == "malformed"
    assert reason(session, OTHER.host, 60.0) == "proved"


def test_addresses_of_a_session_are_bounded(memory: Any) -> None:
    server = memory(bounds=Bounds(addresses=3))
    session = server.session()
    replies = []
    for number in (8, 9, 10, 9):
        source = Endpoint(f"203.0.113.{number}", 1)
        replies.append(server.ask(session, control.Prove, cookie=claim(server, session, source).cookie.hex(), address=source.host))
    assert [getattr(reply, "reason", "proved") for reply in replies] == ["proved", "proved", "limit", "proved"]


def test_a_claim_of_no_session_is_not_answered(memory: Any) -> None:
    server = memory()
    assert server.core.handle_datagram("A1", OTHER, probe.serialize(Probe(Kind.CLAIM, b"nobodys!", 1, 1)), 1.0) == []


@pytest.mark.parametrize("kind", [Kind.CLAIMED, Kind.PROBE, Kind.ECHOED, Kind.HAIRPIN])
def test_other_probes_are_not_answered(memory: Any, kind: Kind) -> None:
    server = memory()
    session = server.session()
    assert server.core.handle_datagram("A1", OTHER, probe.serialize(Probe(kind, session.name, 1, 1)), 1.0) == []


# --- Media --------------------------------------------------------------------------------------------------------------


def open_media(server: Any, session: Any, *ranges: tuple[int, int]) -> control.MediaOpened:
    opening = server.ask(session, control.OpenMedia, ports=ranges)
    assert isinstance(opening, MediaOpening), opening
    for port in opening.ports:
        opening.opened(port)
    return opening.finish()


def echo(session: Any, series: int, item: int) -> bytes:
    return rtp.probe_packet(probe.serialize(Probe(Kind.ECHO, session.name, series, item, port=item)), 1, 160, 99)


def test_an_rtp_packet_with_our_echo_comes_back(memory: Any) -> None:
    server = memory()
    session = server.session()
    assert open_media(server, session, (10000, 10003)).ports == ((10000, 10003),)
    packet = echo(session, 8, 10002)
    source = Endpoint(PEER.host, 10002)
    (outbound,) = server.core.handle_datagram("media:10002", source, packet, 1.0)
    assert (outbound.sender, outbound.destination, len(outbound.data)) == ("media:10002", source, len(packet))
    assert rtp.parse(outbound.data)[:4] == rtp.parse(packet)[:4]
    assert probe.parse(outbound.data, rtp.PROBE_OFFSET) == probe.parse(packet, rtp.PROBE_OFFSET)._replace(kind=Kind.ECHOED)


def test_media_is_accounted_for_as_ranges(memory: Any) -> None:
    server = memory()
    session = server.session()
    for item in (10000, 10001, 10002, 10005):
        outbound = server.core.handle_datagram(
            f"media:{item}", Endpoint(PEER.host, item if item != 10001 else 61000), echo(session, 8, item), 1.0
        )
        assert len(outbound) == 1
    outbound[0].take_back()
    media = server.ask(session, control.Account, series=8).media
    assert media == control.MediaRow(
        received=((10000, 10002), (10005, 10005)),
        remapped=((10001, f"{PEER.host}:61000"),),
        remapped_ports=((10001, 10001),),
        sources=(PEER.host,),
        answered=3,
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda packet: packet[:39],
        lambda packet: b"\x90" + packet[1:],
        lambda packet: packet[12:],
        lambda packet: packet.replace(probe.MAGIC, b"\xedECX"),
        lambda packet: packet[:16] + bytes([Kind.PROBE]) + packet[17:],
        lambda packet: packet[:20] + b"nobodys!" + packet[28:],
        lambda packet: b"",
        lambda packet: rtp.TONE,
    ],
)
def test_any_other_packet_on_a_media_port_is_dropped_and_counted(memory: Any, change: Any) -> None:
    server = memory()
    session = server.session()
    assert server.core.handle_datagram("media:10000", PEER, change(echo(session, 8, 10000)), 1.0) == []
    assert server.core.counters["media of nobody"] == 1


def test_media_sockets_are_shared_and_closed_by_the_last_who_used_them(memory: Any) -> None:
    server = memory()
    first, second = server.session(), server.session(OTHER)
    open_media(server, first, (10000, 10003))
    assert open_media(server, second, (10002, 10005)).ports == ((10002, 10005),)
    closing, _ = server.core.handle_request(first, control.CloseMedia(id=1), 1.0)
    assert isinstance(closing, Closing)
    assert sorted(closing.ports) == [(4, 10000), (4, 10001)]
    assert (4, 10002) in server.core.media_ports
    assert sorted(server.core.end_session(second)) == [(4, 10002), (4, 10003), (4, 10004), (4, 10005)]
    assert len(server.core.media_ports) == 0


def test_what_could_not_be_opened_is_missing_from_the_reply(memory: Any) -> None:
    server = memory()
    opening = server.ask(server.session(), control.OpenMedia, ports=((10000, 10004),))
    for port in (10000, 10001, 10003):
        opening.opened(port)
    assert opening.finish().ports == ((10000, 10001), (10003, 10003))


@pytest.mark.parametrize(
    ("ranges", "reason"),
    [(((9999, 10000),), "malformed"), (((20000, 20001),), "malformed"), ((), "malformed"), (((10000, 10100),), "limit")],
)
def test_media_requests_that_are_declined(memory: Any, ranges: Any, reason: str) -> None:
    server = memory(limits=control.Limits(media_ports=100))
    assert server.ask(server.session(), control.OpenMedia, ports=ranges).reason == reason


# --- ICMP ---------------------------------------------------------------------------------------------------------------


def test_an_icmp_error_finds_its_series_by_what_it_quotes(memory: Any) -> None:
    server = memory()
    session = server.session()
    aimed = Endpoint(PEER.host, 5060)
    quoted = probe.serialize(Probe(Kind.PROBE, session.name, 9, 5060))
    for data in (quoted, bytes(12) + quoted):
        server.core.handle_error("BX:40002", aimed, (3, 13), "192.0.2.1", 61, data, 1.0)
    (row,) = server.ask(session, control.Account, series=9).errors
    assert row == control.ErrorRow(port=5060, sender="BX", icmp_type=3, icmp_code=13, offender="192.0.2.1", ttl=61, copies=2)


def test_an_icmp_error_that_quotes_nothing_belongs_to_the_latest_series_of_the_only_session_there(memory: Any) -> None:
    server = memory()
    session = server.session()
    for series in (9, 10):
        server.ask(session, control.Probe, series=series, address=PEER.host, ports=((5060, 5060),), senders=("BX",))
    server.core.handle_error("BX:40002", Endpoint(PEER.host, 5060), (3, 3), PEER.host, 64, b"", 1.0)
    server.core.handle_error("AX:40001", Endpoint(PEER.host, 5060), (3, 3), PEER.host, 64, b"", 1.0)
    assert len(server.ask(session, control.Account, series=10).errors) == 1
    assert server.ask(session, control.Account, series=9).errors == ()
    server.session(Endpoint(PEER.host, 50001))
    server.core.handle_error("BX:40002", Endpoint(PEER.host, 5060), (3, 3), PEER.host, 64, b"", 1.0)
    assert server.ask(session, control.Account, series=10).errors[0].copies == 1


def test_an_icmp_error_for_an_address_of_nobody_is_ignored(memory: Any) -> None:
    server = memory()
    session = server.session()
    quoted = probe.serialize(Probe(Kind.PROBE, session.name, 9, 5060))
    server.core.handle_error("BX:40002", Endpoint("192.0.2.1", 5060), (3, 3), "192.0.2.1", 64, quoted, 1.0)
    assert server.ask(session, control.Account, series=9).errors == ()
