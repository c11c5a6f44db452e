"""Connections that are opened and left alone, in this process, with short patience where its end is waited for, and long where it is not."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from echo_server.sessions.limits import Bounds
from echo_server.settings.certificate import keep_certificate, load_context
from echo_server.sockets.binding import listen
from echo_server.sockets.streams import Acceptor, Conversations, Gate
from edgecheck.wire import stun
from tests.server.conftest import InMemory
from tests.waiting import PATIENCE_S, until

SHORT_S = 0.2
SHAKEN_S = 1.0
"""Long enough for a handshake on a busy machine."""


class Counting(Gate):
    """Knows how many have come in, also when they have left."""

    entered = 0

    def enter(self, host: str) -> bool:
        let_in = super().enter(host)
        self.entered += let_in
        return let_in


class Silent(asyncio.Protocol):
    pass


def serving(
    work: Callable[[int, Counting, InMemory], Coroutine[Any, Any, None]],
    context: ssl.SSLContext | None,
    *,
    must_ask: bool = False,
    patience: float = SHORT_S,
) -> Counting:
    """Run ``work`` beside an acceptor: (port, gate, server)."""

    async def both() -> Counting:
        loop = asyncio.get_running_loop()
        server = InMemory(bounds=Bounds(stream_idle_s=patience))
        conversations = Conversations(server.core, loop)
        listening = listen("127.0.0.1", 0)
        port = listening.getsockname()[1]
        gate = Counting(server.core.bounds)
        factory = (lambda _: Silent()) if must_ask else conversations.factory("A1", "tcp")
        acceptor = Acceptor(loop, listening, factory, gate, context, patience, must_ask=must_ask)
        try:
            await work(port, gate, server)
        finally:
            acceptor.close()
            conversations.close()
        return gate

    return asyncio.run(both())


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    certificate, key, _ = keep_certificate(tmp_path, ["127.0.0.1"])
    return load_context(certificate, key)[0]


async def hears_the_end(reader: asyncio.StreamReader) -> bool:
    """Whether the other end closes, by FIN or reset."""
    async with asyncio.timeout(PATIENCE_S):
        try:
            return await reader.read() == b""
        except ConnectionError:
            return True


def test_a_tls_handshake_that_never_begins_is_given_up(context: ssl.SSLContext) -> None:
    async def work(port: int, gate: Counting, server: InMemory) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await until(lambda: gate.entered == 1, "a connection")  # counted before TLS
        assert await hears_the_end(reader)
        await until(lambda: gate._from.total() == 0, "the end of the connection")
        writer.close()

    serving(work, context)


def test_what_is_no_tls_is_closed_and_forgotten(context: ssl.SSLContext) -> None:
    async def work(port: int, gate: Counting, server: InMemory) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        async with asyncio.timeout(PATIENCE_S):
            await reader.read()
        await until(lambda: gate._from.total() == 0, "the end of the connection")
        writer.close()

    serving(work, context)


@pytest.mark.parametrize("tls", [False, True])
def test_a_connection_over_which_nothing_is_asked_is_closed(context: ssl.SSLContext, tls: bool) -> None:
    async def work(port: int, gate: Counting, server: InMemory) -> None:
        blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=blind if tls else None)
        assert await hears_the_end(reader)
        await until(lambda: gate._from.total() == 0, "the end of the connection")
        writer.close()

    serving(work, context if tls else None, must_ask=True, patience=SHAKEN_S if tls else SHORT_S)


def test_an_idle_conversation_is_closed() -> None:
    async def work(port: int, gate: Counting, server: InMemory) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(stun.binding_request(bytes(12))[:10])
        assert await hears_the_end(reader)
        assert server.core.counters["stream idle"] == 1
        writer.close()

    serving(work, None)


def test_a_peer_that_reads_nothing_is_not_read_from_for_ever() -> None:
    async def pour(greedy: socket.socket) -> None:
        """Ask and ask, until the other end has had enough."""
        loop = asyncio.get_running_loop()
        written, batch = 0, stun.binding_request(bytes(12)) * 1000
        async with asyncio.timeout(4 * PATIENCE_S):
            while written < 50_000_000:
                await loop.sock_sendall(greedy, batch)
                written += len(batch)

    async def work(port: int, gate: Counting, server: InMemory) -> None:
        with socket.socket() as greedy:
            greedy.setblocking(False)
            greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await asyncio.get_running_loop().sock_connect(greedy, ("127.0.0.1", port))
            with pytest.raises(ConnectionError):
                await pour(greedy)
        assert server.core.counters["stream idle"] == 1

    serving(work, None)


def test_more_connections_than_may_be_are_turned_away_and_come_in_when_others_leave() -> None:
    async def work(port: int, gate: Counting, server: InMemory) -> None:
        gate._bounds = gate._bounds._replace(streams=2)
        first = await asyncio.open_connection("127.0.0.1", port)
        second = await asyncio.open_connection("127.0.0.1", port)
        third, turned_away = await asyncio.open_connection("127.0.0.1", port)
        assert await hears_the_end(third)
        assert gate.refused == 1
        first[1].close()
        await until(lambda: gate._from.total() == 1, "a connection")
        fourth, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(stun.binding_request(bytes(12)))
        async with asyncio.timeout(PATIENCE_S):
            assert (await fourth.readexactly(20))[:2] == b"\x01\x01"
        for open_one in (turned_away, second[1], writer):
            open_one.close()

    serving(work, None, patience=PATIENCE_S)
