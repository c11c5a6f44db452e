"""Real sockets on loopback: what arrives, what the system tells, and that nothing it tells is raised."""

import asyncio
import contextlib
import gc
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgecheck.model.errors import LocalFailure
from edgecheck.net.sockets.bell import Bell
from edgecheck.net.sockets.real import RealStream, RealTransport
from edgecheck.wire.address import Endpoint
from tests.net.peers import Peers, answers, certificate, silent, slams

HERE = "127.0.0.1"
PATIENCE = 5.0


def run(work: Callable[[RealTransport], Awaitable[None]], source: str = HERE) -> None:
    """On a loop in which nothing may go wrong unseen."""
    faults: list[dict[str, Any]] = []

    async def whole() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context))
        await work(RealTransport(source, Bell()))

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(whole())
    assert not faults


@contextlib.contextmanager
def plain_udp(host: str = HERE) -> Iterator[tuple[socket.socket, Endpoint]]:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind((host, 0))
        udp.settimeout(PATIENCE)
        yield udp, Endpoint(*udp.getsockname()[:2])


def closed_port(host: str = HERE) -> Endpoint:
    with plain_udp(host) as (_, endpoint):
        return endpoint


def needs(host: str) -> None:
    try:
        closed_port(host)
    except OSError as error:
        pytest.skip(f"this machine has no {host}: {error}")


def descriptors() -> int:
    """Open ones; what earlier tests left to the garbage is none of ours."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


# ---- UDP


@pytest.mark.parametrize("host", [HERE, "::1"])
def test_datagrams_go_and_come_with_their_source(host: str) -> None:
    needs(host)

    async def work(transport: RealTransport) -> None:
        one = await transport.open_udp(0)
        with plain_udp(host) as (peer, at):
            one.send(b"there", at)
            assert peer.recvfrom(100)[0] == b"there"
            for word in (b"back", b"", b"x" * 60_000):
                peer.sendto(word, one.local)
            assert await transport.bell.until(lambda: len(one.inbox) == 3, PATIENCE)
            assert [(arrival.source, len(arrival.data)) for arrival in one.inbox] == [(at, 4), (at, 0), (at, 60_000)]
            assert one.inbox[0].at <= asyncio.get_running_loop().time()
            assert not one.errors
        one.close()
        one.close()

    run(work, host)


@pytest.mark.parametrize(("host", "icmp"), [(HERE, "ICMP 3/3"), ("::1", "ICMP 1/4")])
def test_a_refusal_is_told_and_the_next_datagram_still_goes_out(host: str, icmp: str) -> None:
    """Linux fails the *next* send for an ICMP error, to whatever destination: it must be sent again, at once."""
    needs(host)

    async def work(transport: RealTransport) -> None:
        one, nobody = await transport.open_udp(0), closed_port(host)
        with plain_udp(host) as (peer, at):
            for turn in range(5):
                one.send(b"to nobody", nobody)
                one.send(b"%d" % turn, at)
                assert peer.recvfrom(100)[0] == b"%d" % turn
            one.send(b"to nobody", nobody)
            assert await transport.bell.until(lambda: len(one.errors) == 6, PATIENCE)
            assert set(one.errors) == {f"{icmp} from {host} about {nobody}"}
            peer.sendto(b"back", one.local)
            assert await transport.bell.until(lambda: bool(one.inbox), PATIENCE)
        one.close()

    run(work, host)


def test_a_queue_of_refusals_is_emptied_and_costs_no_arrival() -> None:
    """Else the event loop would turn without end on the error queue."""

    async def work(transport: RealTransport) -> None:
        one, nobody = await transport.open_udp(0), closed_port()
        with plain_udp() as (peer, _):
            for turn in range(20):
                one.send(b"to nobody", nobody)
                peer.sendto(b"%d" % turn, one.local)
            assert await transport.bell.until(lambda: len(one.inbox) == 20, PATIENCE)
        assert len(one.errors) >= 1
        for _ in range(3):
            await asyncio.sleep(0)
        told = len(one.errors)
        assert not await transport.bell.until(lambda: len(one.errors) != told, 0.05), "nothing is told twice"
        one.close()

    run(work)


@pytest.mark.parametrize(
    ("data", "to", "meaning"),
    [
        (b"x" * 70_000, Endpoint(HERE, 9), "too long"),
        (b"x", Endpoint("::1", 9), "send to [::1]:9"),
        (b"x", Endpoint("198.51.100.1", 9), "send to 198.51.100.1:9"),  # not from a loopback source
        (b"x", Endpoint(HERE, 0), f"send to {HERE}:0"),
        (b"x", Endpoint(HERE, 99_999), f"send to {HERE}:99999"),
        (b"x", Endpoint("not an address", 9), "send to not an address:9"),
    ],
)
def test_what_cannot_be_sent_is_told_and_never_raised(data: bytes, to: Endpoint, meaning: str) -> None:
    async def work(transport: RealTransport) -> None:
        one = await transport.open_udp(0)
        one.send(data, to)
        assert len(one.errors) == 1
        assert meaning in one.errors[0]
        assert "ICMP" not in one.errors[0]
        with plain_udp() as (peer, at):
            one.send(b"still alive", at)
            assert peer.recvfrom(100)[0] == b"still alive"
        one.close()

    run(work)


def test_a_full_send_buffer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(transport: RealTransport) -> None:
        one = await transport.open_udp(0)

        class Full:
            def sendto(self, *_: object) -> int:
                raise BlockingIOError

        real, one._udp = one._udp, Full()  # type: ignore[attr-defined]
        one.send(b"x", Endpoint(HERE, 9))
        one._udp = real  # type: ignore[attr-defined]
        assert one.errors == ["the send buffer was full"]
        one.close()

    run(work)


# ---- ports that are not to be had


@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_a_port_in_use_is_named(kind: str) -> None:
    async def work(transport: RealTransport) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM) as holder:
            holder.bind((HERE, 0))
            if kind == "tcp":
                holder.listen()
            port = holder.getsockname()[1]
            before = descriptors()
            with pytest.raises(LocalFailure, match=f"{HERE}:{port}/{kind}: another program") as caught:
                await (transport.open_udp(port) if kind == "udp" else transport.listen_tcp(port))
            assert caught.value.reason == "port-in-use"
            assert descriptors() <= before

    run(work)


@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_a_source_that_this_machine_does_not_have(kind: str) -> None:
    async def work(transport: RealTransport) -> None:
        with pytest.raises(LocalFailure, match="this machine has no such address"):
            await (transport.open_udp(0) if kind == "udp" else transport.listen_tcp(0))

    run(work, "192.0.2.77")


# ---- TCP and TLS


def test_streams_both_ways() -> None:
    async def work(transport: RealTransport) -> None:
        listener = await transport.listen_tcp(0)
        stream = await transport.connect(listener.local, 0, PATIENCE, tls=False)
        assert await transport.bell.until(lambda: bool(listener.accepted), PATIENCE)
        other = listener.accepted[0]
        assert (stream.remote, other.remote, stream.certificate) == (listener.local, stream.local, None)
        stream.send(b"there")
        other.send(b"back")
        assert await transport.bell.until(lambda: (bytes(stream.received), bytes(other.received)) == (b"back", b"there"), PATIENCE)
        assert stream.closed is None
        other.close()
        assert await transport.bell.until(lambda: stream.closed is not None, PATIENCE)
        stream.send(b"to nobody")
        listener.close()

    run(work)


def test_a_closed_port_can_be_used_again_at_once() -> None:
    """Closed with a reset, both ends: no TIME_WAIT keeps the pair of ports."""

    async def work(transport: RealTransport) -> None:
        listener = await transport.listen_tcp(0)
        port = 0
        for turn in range(5):
            stream = await transport.connect(listener.local, port, PATIENCE, tls=False)
            port = stream.local.port
            assert await transport.bell.until(lambda turn=turn: len(listener.accepted) == turn + 1, PATIENCE)  # type: ignore[misc]
            stream.close()
            assert await transport.bell.until(lambda turn=turn: listener.accepted[turn].closed is not None, PATIENCE)  # type: ignore[misc]
            assert "reset" in (listener.accepted[turn].closed or "")
        listener.close()
        again = await transport.listen_tcp(listener.local.port)
        again.close()

    run(work)


def test_a_peer_that_is_gone_before_it_was_greeted() -> None:
    """A port scanner, or the server's other attempts once one of them has come through: accepted, and already reset."""

    async def work(transport: RealTransport) -> None:
        listener = await transport.listen_tcp(0)
        for _ in range(3):
            with socket.create_connection(listener.local) as scanner:  # nothing is accepted before the loop turns
                scanner.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream = await transport.connect(listener.local, 0, PATIENCE, tls=False)
        assert await transport.bell.until(lambda: any(one.remote == stream.local for one in listener.accepted), PATIENCE)
        listener.close()
        stream.close()

    run(work)


def test_a_connection_that_was_reset_while_it_was_made() -> None:
    """The system no longer knows the peer; the connection ends as any other, and nothing is raised into the loop."""

    class Reset(asyncio.Transport):
        def get_extra_info(self, name: str, default: Any = None) -> Any:
            return {"sockname": (HERE, 5060), "socket": reset}.get(name, default)

    reset = socket.socket()
    reset.close()
    to = Endpoint(HERE, 5061)
    stream = RealStream(Bell(), to=to)
    stream.connection_made(Reset())
    stream.connection_lost(ConnectionResetError(104, "Connection reset by peer"))
    assert (stream.local, stream.remote) == (Endpoint(HERE, 5060), to)
    assert "reset" in (stream.closed or "")


@pytest.mark.parametrize("port", [0, 99_999])
def test_a_port_that_is_none(port: int) -> None:
    async def work(transport: RealTransport) -> None:
        before = descriptors()
        with pytest.raises(LocalFailure, match=f"Could not connect to {HERE}:{port}/tcp: "):
            await transport.connect(Endpoint(HERE, port), 0, PATIENCE, tls=False)
        assert descriptors() <= before

    run(work)


def test_no_peer_fills_our_memory() -> None:
    async def work(transport: RealTransport) -> None:
        listener = await transport.listen_tcp(0)
        stream = await transport.connect(listener.local, 0, PATIENCE, tls=False)
        assert await transport.bell.until(lambda: bool(listener.accepted), PATIENCE)
        for _ in range(64):
            listener.accepted[0].send(b"x" * 100_000)
        listener.accepted[0]._transport.write_eof()  # type: ignore[attr-defined]
        assert await transport.bell.until(lambda: stream.closed is not None, PATIENCE)
        assert 0 < len(stream.received) <= 1 << 20
        listener.close()

    run(work)


def test_nothing_listens_there(peers: Peers) -> None:
    async def work(transport: RealTransport) -> None:
        with socket.socket() as bound:
            bound.bind((HERE, 0))
            to = Endpoint(*bound.getsockname())
            before = descriptors()
            with pytest.raises(LocalFailure, match=f"connect to {to}/tcp: the connection was refused") as caught:
                await transport.connect(to, 0, PATIENCE, tls=False)
            assert caught.value.reason == "refused"
            assert descriptors() <= before

    run(work)


@contextlib.contextmanager
def unanswering() -> Iterator[Endpoint]:
    """A listener whose queue is full: Linux drops further SYNs, as a firewall would."""
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind((HERE, 0))
        full.listen(0)
        while True:
            client = stack.enter_context(socket.socket())
            client.settimeout(0.05)
            try:
                client.connect(full.getsockname())
            except TimeoutError:
                break
        yield Endpoint(*full.getsockname())


def test_nobody_answers() -> None:
    async def work(transport: RealTransport) -> None:
        with unanswering() as to:
            before = descriptors()
            with pytest.raises(LocalFailure, match=f"connect to {to}/tcp: no answer in time") as caught:
                await transport.connect(to, 0, 0.05, tls=False)
            assert caught.value.reason == "timeout"
            assert descriptors() <= before

    run(work)


def test_a_cancelled_connect_leaves_no_socket() -> None:
    async def work(transport: RealTransport) -> None:
        with unanswering() as to:
            before = descriptors()
            attempt = asyncio.create_task(transport.connect(to, 0, 60, tls=False))
            await asyncio.sleep(0)
            attempt.cancel()
            await asyncio.wait({attempt})
            assert attempt.cancelled()
            assert descriptors() <= before

    run(work)


def test_tls_trusts_nobody_and_keeps_the_certificate(peers: Peers) -> None:
    context, der = certificate("anybody", "Corp Proxy CA")
    port = peers.tcp(silent, context)

    async def work(transport: RealTransport) -> None:
        stream = await transport.connect(Endpoint(HERE, port), 0, PATIENCE, tls=True)
        assert stream.certificate == der
        stream.close()

    run(work)


@pytest.mark.parametrize(("peer", "reason"), [(answers(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "tls"), (slams, "reset"), (silent, "timeout")])
def test_no_tls_there(peer: Any, reason: str, peers: Peers) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    port = peers.tcp(plain if reason == "tls" else peer)

    async def work(transport: RealTransport) -> None:
        to = Endpoint(HERE, port)
        with pytest.raises(LocalFailure, match=f"Could not connect to {to}/tls: ") as caught:
            await transport.connect(to, 0, 0.3 if reason == "timeout" else PATIENCE, tls=True)
        assert caught.value.reason == reason

    run(work)
