"""The ports that are only there to be reached: what they answer, that nobody need have them, and whom they make a witness."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from edgecheck.wire import control, probe, stun
from edgecheck.wire.address import Endpoint, Target
from edgecheck.wire.control import ReachPort
from tests.server.conftest import Connecting, InMemory
from tests.server_process import ServerProcess
from tests.waiting import PATIENCE_S

PEER = InMemory.PEER
OTHER = Endpoint("203.0.113.99", 40_000)
STRANGER, NEIGHBOR = Endpoint("8.8.8.8", 53), Endpoint("10.0.0.7", 53)
DNS_HEAD = bytes.fromhex("1234 0100 0001 0000 0000 0000")


def question(session: Any, series: int, item: int) -> bytes:
    label = control.sip_marker(session.name, series, item).encode()
    return DNS_HEAD + bytes([len(label)]) + label + b"\x07invalid\0" + bytes.fromhex("00010001")


def test_a_reach_port_answers_stun_and_echoes_from_itself(memory: Any) -> None:
    server = memory()
    session = server.session()
    (answer,) = server.core.handle_datagram("reach:443", PEER, stun.binding_request(control.stun_transaction_id(session.name, 3, 7)), 1.0)
    assert (answer.sender, answer.destination) == ("reach:443", PEER)
    assert stun.parse(answer.data).mapped == PEER
    echo = probe.serialize(probe.Probe(probe.Kind.ECHO, session.name, 3, 8))
    (answer,) = server.core.handle_datagram("reach:443", PEER, echo, 1.0)
    assert (answer.sender, len(answer.data)) == ("reach:443", len(echo))
    rows = server.ask(session, control.Account, series=3).received
    assert {(row.item, row.listener, row.copies) for row in rows} == {(7, "reach:443", 1), (8, "reach:443", 1)}


def test_a_dns_question_is_counted_and_never_answered(memory: Any) -> None:
    server = memory()
    session = server.session()
    assert server.core.handle_datagram("reach:53", PEER, question(session, 5, 53), 1.0) == []
    assert [(row.item, row.copies, row.answered) for row in server.ask(session, control.Account, series=5).received] == [(53, 1, 0)]
    assert server.core.handle_datagram("reach:53", PEER, DNS_HEAD, 1.0) == []


def test_a_web_browser_is_not_served(memory: Any) -> None:
    server = memory()
    conversation = server.core.open_stream("reach:80", "tcp", PEER, 1.0)
    assert conversation.feed(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1.0) == b""
    assert conversation.over


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_a_stream_is_told_apart_and_vouches_over_tcp_alone(memory: Any, transport: control.Transport) -> None:
    server = memory()
    first, second = server.session(), server.session(OTHER)
    conversation = server.core.open_stream("reach:443", transport, PEER, 1.0)
    echo = probe.serialize(probe.Probe(probe.Kind.ECHO, first.name, 1, 1))
    assert len(conversation.feed(echo, 1.0)) == len(echo)
    account = server.ask(second, control.Account, series=1)
    assert (account.reached_by_others, account.reached_by_others_tcp) == ((), ((443, 443),))
    assert server.ask(first, control.Account, series=1).reached_by_others_tcp == ()


def test_whoever_scans_the_internet_shows_that_a_port_is_open(memory: Any) -> None:
    server = memory()
    session = server.session()
    for source in (NEIGHBOR, STRANGER):
        told = server.ask(session, control.Account, series=1)
        assert (told.reached_by_others, told.reached_by_others_tcp) == ((), ()), "a neighbor need not have crossed the firewall"
        server.core.handle_datagram("reach:443", source, b"hello", 1.0)
        server.core.open_stream("reach:80", "tcp", source, 1.0)
    told = server.ask(session, control.Account, series=1)
    assert (told.reached_by_others, told.reached_by_others_tcp) == (((443, 443),), ((80, 80),))


def test_the_date_is_told_where_the_server_knows_it(memory: Any) -> None:
    server, mute = memory(wall=lambda: 1_700_000_000.25), memory()
    assert server.ask(server.session(), control.Ping).wall_s == 1_700_000_000.25
    assert mute.ask(mute.session(), control.Ping).wall_s is None


async def offered(target: Target) -> tuple[ReachPort, ...]:
    async with Connecting(target) as client:
        return client.service.reach


def test_a_port_that_is_held_ends_no_start(start: Callable[..., ServerProcess]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        held = holder.getsockname()[1]
        server = start(f"--reach-ports={held}")
        try:
            assert f"TCP {held} (held by " in server.log
            assert asyncio.run(offered(server.target)) == (ReachPort(transport="udp", port=held),)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
                asker.settimeout(PATIENCE_S)
                asker.sendto(stun.binding_request(bytes(12)), ("127.0.0.1", held))
                answer, source = asker.recvfrom(2048)
        finally:
            assert server.stop() == 0
    assert source == ("127.0.0.1", held)
    assert stun.parse(answer).mapped is not None
