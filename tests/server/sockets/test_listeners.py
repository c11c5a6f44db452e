"""Sending through sockets that refuse: nothing is lost in silence, nothing counted that did not leave."""

import asyncio
import errno
import socket
import sys
from typing import Any

import pytest

from echo_server.outbound import Outbound
from echo_server.probing import probe_sender
from echo_server.sockets.binding import Key
from echo_server.sockets.listeners import UdpSockets
from edgecheck.wire import control, stun
from edgecheck.wire.address import Endpoint
from tests.server.conftest import InMemory

TO = Endpoint(InMemory.PEER.host, 6000)


class Moody:
    """A socket that refuses with these errors, one a call, and then sends."""

    family = socket.AF_INET

    def __init__(self, *errors: int) -> None:
        self.errors = list(errors)
        self.sent: list[tuple[bytes, Endpoint]] = []
        self.waiting: list[tuple[bytes, Endpoint]] = []

    def sendto(self, data: bytes, to: Endpoint) -> None:
        if self.errors:
            code = self.errors.pop(0)
            raise OSError(code, "moody")
        self.sent.append((data, to))

    def recvfrom(self, size: int) -> tuple[bytes, Endpoint]:
        if not self.waiting:
            raise BlockingIOError
        return self.waiting.pop(0)


def sockets(server: Any, moody: Moody, listener: str = "A1") -> UdpSockets:
    return UdpSockets(server.core, {Key(listener, 4): moody})  # type: ignore[dict-item]


@pytest.mark.parametrize("code", [errno.ECONNREFUSED, errno.EHOSTUNREACH])
def test_an_error_that_another_datagram_caused_does_not_cost_this_one(memory: Any, code: int) -> None:
    moody = Moody(code, code, code)
    assert sockets(memory(), moody).send(Outbound("A1", TO, b"data"))
    assert moody.sent == [(b"data", TO)]


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENETUNREACH, errno.EMSGSIZE])
def test_a_refusal_of_our_own_system_is_told(memory: Any, code: int) -> None:
    moody = Moody(code)
    assert not sockets(memory(), moody).send(Outbound("A1", TO, b"data"))
    assert moody.sent == []


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.ENOBUFS])
def test_full_buffers_are_no_refusal(memory: Any, code: int) -> None:
    with pytest.raises(BlockingIOError):
        sockets(memory(), Moody(code)).send(Outbound("A1", TO, b"data"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads the TTL as Linux tells it")
@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_what_expires_on_the_way_does_so_alone(memory: Any, family: int, host: str) -> None:
    """The TTL of one datagram is not the next one's, told by the system where it arrives."""
    try:
        made, hears = socket.socket(family, socket.SOCK_DGRAM), socket.socket(family, socket.SOCK_DGRAM)
        made.bind((host, 0))
    except OSError:
        pytest.skip(f"this machine has no {host}")
    six = family == socket.AF_INET6
    with made, hears:
        hears.bind((host, 0))
        hears.setsockopt(socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP, 51 if six else 12, 1)  # IPV6_RECVHOPLIMIT, IP_RECVTTL
        udp = UdpSockets(memory().core, {Key("A1", 6 if six else 4): made})
        to = Endpoint(*hears.getsockname()[:2])
        seen = []
        for hops in (0, 3, 0):
            assert udp.send(Outbound("A1", to, b"data", hops=hops))
            ancillary = hears.recvmsg(100, 100)[1]
            seen.append(int.from_bytes(ancillary[0][2][:4], sys.byteorder))
    assert seen[0] == seen[2] > seen[1] == 3


def test_an_unknown_sender_is_refused(memory: Any) -> None:
    assert not sockets(memory(), Moody()).send(Outbound("B1", TO, b"data"))


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.EPERM])
def test_an_answer_that_does_not_leave_is_in_no_receipt(memory: Any, code: int) -> None:
    server = memory()
    session = server.session()
    moody = Moody(code)
    request = stun.binding_request(control.stun_transaction_id(session.name, 1, 2))
    moody.waiting = [(request, TO), (request, TO)]
    sockets(server, moody).reader(Key("A1", 4))()
    (row,) = server.ask(session, control.Account, series=1).received
    assert (row.copies, row.answered, len(moody.sent)) == (2, 1, 1)
    assert server.core.counters["not sent"] == 1


def test_a_wake_drains_no_more_than_its_share(memory: Any) -> None:
    server = memory()
    moody = Moody()
    moody.waiting = [(stun.binding_request(number.to_bytes(12, "big")), Endpoint("127.0.0.1", 1)) for number in range(1000)]
    sockets(server, moody).reader(Key("A1", 4))()
    assert len(moody.sent) == 256
    assert len(moody.waiting) == 744


def plan(server: Any) -> Any:
    return server.ask(server.session(), control.Probe, series=1, address=TO.host, ports=((6000, 6009),), senders=("A1",))


def test_probes_wait_for_room_in_full_buffers(memory: Any) -> None:
    server = memory()
    moody = Moody(*[errno.EAGAIN] * 5)
    probed = asyncio.run(probe_sender.send(plan(server), sockets(server, moody)))
    assert (probed.sent, probed.failed, len(moody.sent)) == (10, 0, 10)


def test_probes_that_are_refused_are_counted_and_not_waited_for(memory: Any) -> None:
    server = memory()
    moody = Moody(*[errno.EPERM] * 4)
    probed = asyncio.run(probe_sender.send(plan(server), sockets(server, moody)))
    assert (probed.sent, probed.failed, len(moody.sent)) == (6, 4, 6)


def test_a_plan_ends_with_its_session(memory: Any) -> None:
    server = memory()
    sending = plan(server)
    server.core.end_session(sending.session)
    moody = Moody()
    assert asyncio.run(probe_sender.send(sending, sockets(server, moody))).sent == 0
    assert moody.sent == []
