"""What this machine sees arriving: the packet socket's filter, the table of connections, the counters; and what other platforms print."""

import asyncio
import socket
import sys

import pytest

from edgecheck.net.machine import arrivals
from edgecheck.net.machine.arrivals import RealSightings, parse_connections, parse_netstat, parse_packet
from edgecheck.wire.address import Endpoint
from tests.waiting import wait_until

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="Linux's packet sockets and /proc")
LOCAL = [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)]


def privileged() -> bool:
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM).close()  # type: ignore[attr-defined, unused-ignore]
    except (OSError, AttributeError):
        return False
    return True


@LINUX
@pytest.mark.skipif(not privileged(), reason="a packet socket needs CAP_NET_RAW")
@pytest.mark.parametrize(("host", "family"), LOCAL)
def test_the_packet_socket_sees_questions_and_connections_and_nothing_else(host: str, family: int) -> None:
    async def work() -> None:
        sightings = RealSightings(host)
        assert sightings.sees_packets
        with socket.socket(family, socket.SOCK_DGRAM) as here, socket.socket(family, socket.SOCK_DGRAM) as peer, socket.socket(family) as tcp:
            here.bind((host, 0))
            port = here.getsockname()[1]
            for data in (b"OPTIONS sip:needle", b"ec00needle", b"INVITE sip:needle", b"\x80\x00needle", b"e"):
                peer.sendto(data, (host, port))
            wait_until(lambda: len(sightings.datagrams(b"needle")) >= 2, "both questions")
            assert sightings.datagrams(b"needle") == (port, port)
            assert sightings.datagrams(b"another") == ()
            tcp.bind((host, 0))
            tcp.listen()
            with socket.create_connection(tcp.getsockname()[:2]) as caller:
                source = Endpoint(*caller.getsockname()[:2])
                caller.sendall(b"OPTIONS needle")
                wait_until(lambda: source in sightings.callers(), "the connection")
                assert sightings.connections(source) == (tcp.getsockname()[1],)
                assert sightings.callers().count(source) == 1, "the first segment alone"
        sightings.close()

    asyncio.run(work())


@LINUX
@pytest.mark.parametrize(("host", "family"), LOCAL)
def test_anybody_may_read_the_table_of_connections(host: str, family: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "_packet_socket", lambda six: None)

    async def work() -> None:
        sightings = RealSightings(host)
        assert not sightings.sees_packets
        with socket.socket(family) as tcp:
            tcp.bind((host, 0))
            tcp.listen()
            with socket.create_connection(tcp.getsockname()[:2]) as caller:
                source = Endpoint(*caller.getsockname()[:2])
                assert sightings.connections(source) == ()
                await sightings.look()
                assert sightings.sees_connections
                assert tcp.getsockname()[1] in sightings.connections(source)
        assert sightings.callers() == sightings.datagrams(b"") == ()
        sightings.close()

    asyncio.run(work())


@LINUX
@pytest.mark.parametrize(("host", "family"), LOCAL)
def test_marked_packets_raise_their_counter(host: str, family: int) -> None:
    async def work() -> None:
        sightings = RealSightings(host)
        before = sightings.counters()
        assert before is not None
        with socket.socket(family, socket.SOCK_DGRAM) as here, socket.socket(family, socket.SOCK_DGRAM) as peer:
            here.bind((host, 0))
            if family == socket.AF_INET6:
                peer.setsockopt(socket.IPPROTO_IPV6, 67, 1)
            else:
                peer.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 1)
            for _ in range(5):
                peer.sendto(b"marked", here.getsockname()[:2])
                here.recv(10)
        after = sightings.counters()
        assert after is not None
        assert after.marked - before.marked >= 5
        sightings.close()

    asyncio.run(work())


def test_proc_net_tcp() -> None:
    """Two lines as Linux writes them on a little-endian machine, and one of a listener."""
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    listening = "   0: 0100007F:13C4 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0\n"
    connected = "   1: 0201A8C0:13C4 0B6433C6:9C40 01 00000000:00000000 00:00000000 00000000     0        0 2 1 0 20 4 30 10 -1\n"
    mapped = "   2: 0000000000000000FFFF00000201A8C0:13C5 0000000000000000FFFF00000B6433C6:9C41 08 0:0 0:0 0 0 0 3 1 0\n"
    if sys.byteorder == "little":
        assert parse_connections(head + listening + connected + mapped) == {
            (Endpoint("198.51.100.11", 40000), 5060),
            (Endpoint("198.51.100.11", 40001), 5061),
        }


def test_netstat_of_windows_and_macos() -> None:
    windows = "  TCP    192.168.1.2:5060       198.51.100.11:40000    ESTABLISHED\n  TCP    0.0.0.0:5060   0.0.0.0:0   LISTENING\n"
    windows += "  TCP    [2001:db8::2]:5061     [2001:db8::11%4]:40001     ESTABLISHED\n  UDP    0.0.0.0:5060    *:*\n"
    assert parse_netstat(windows) == {(Endpoint("198.51.100.11", 40000), 5060), (Endpoint("2001:db8::11", 40001), 5061)}
    macos = "tcp4       0      0  192.168.1.2.5060       198.51.100.11.40000    ESTABLISHED\n"
    macos += "tcp4       0      0  *.5060                 *.*                    LISTEN\n"
    macos += "tcp6       0      0  2001:db8::2.5061       2001:db8::11.40001     ESTABLISHED\n"
    assert parse_netstat(macos) == {(Endpoint("198.51.100.11", 40000), 5060), (Endpoint("2001:db8::11", 40001), 5061)}


@pytest.mark.parametrize("data", [b"", b"\x45", bytes(19), b"\x60" + bytes(30), b"\x45" + bytes(8) + b"\x11" + bytes(10), b"\xff" * 40])
def test_what_is_no_packet_is_nothing(data: bytes) -> None:
    assert parse_packet(data) is None


def test_a_later_fragment_has_no_ports() -> None:
    whole = bytearray(b"\x45" + bytes(8) + b"\x11" + bytes(2) + bytes((192, 0, 2, 1)) + bytes(4) + b"\x13\xc4\x13\xc5" + bytes(4) + b"data")
    assert parse_packet(bytes(whole)) == (17, Endpoint("192.0.2.1", 5060), 5061, b"data")
    whole[7] = 1
    assert parse_packet(bytes(whole)) is None
