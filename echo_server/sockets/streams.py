"""TCP and TLS: accepting connections within bounds, and the conversations on STUN and SIP ports."""

import asyncio
import errno
import socket
import ssl
from asyncio import sslproto
from collections import Counter
from collections.abc import Callable
from time import monotonic
from typing import Any

from echo_server.answering.conversation import Conversation
from echo_server.core import EchoServer
from echo_server.sessions.limits import Bounds, is_loopback, network
from echo_server.sockets.listeners import limit_hops
from edgecheck.wire.address import Endpoint
from edgecheck.wire.control import Transport

_ACCEPTED_A_TURN = 32
_SLICE = 4096
"""Bytes of one stream that are worked on before others get their turn: 200 STUN requests, about 4 ms."""
_PAUSE_S = 0.25
"""How long a stream rests whose source has had its answers for this second."""
_WRITE_BUFFER = 1 << 18
_SWEEP_S = 1.0
_ERROR_LOOK_S = 0.02
_ERROR_LOOKS = 50

ProtocolFactory = Callable[[Endpoint], asyncio.Protocol]


class Gate:
    """How many connections there may be, in all and from one source. Counted before TLS, so that half-open ones count."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._from: Counter[str] = Counter()
        self.refused = 0

    def enter(self, host: str) -> bool:
        """Whether one more may come in from there; counts it."""
        source = network(host)
        if self._from.total() >= self._bounds.streams or (self._from[source] >= self._bounds.streams_per_source and not is_loopback(host)):
            self.refused += 1
            return False
        self._from[source] += 1
        return True

    def leave(self, host: str) -> None:
        """One connection from there has ended."""
        source = network(host)
        self._from[source] -= 1
        if not self._from[source]:
            del self._from[source]


class Acceptor:
    """Accepts at one listening socket."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listening: socket.socket,
        factory: ProtocolFactory,
        gate: Gate,
        context: ssl.SSLContext | None,
        handshake_s: float,
        must_ask: bool = False,
    ) -> None:
        """``must_ask``: a connection over which nothing has been asked (``Watched.asked``) within ``handshake_s`` is closed."""
        self._loop = loop
        self._listening = listening
        self._factory = factory
        self._gate = gate
        self._context = context
        self._handshake_s = handshake_s
        self._must_ask = must_ask
        self._tasks: set[asyncio.Task[None]] = set()
        self._rest: asyncio.TimerHandle | None = None
        loop.add_reader(listening.fileno(), self._accept)

    def close(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
        self._loop.remove_reader(self._listening.fileno())
        self._listening.close()
        for task in self._tasks:
            task.cancel()

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_A_TURN):
            try:
                accepted, address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    # The connection stays in the queue and would be told again at once, for ever: look away for a while.
                    self._loop.remove_reader(self._listening.fileno())
                    self._rest = self._loop.call_later(1.0, self._loop.add_reader, self._listening.fileno(), self._accept)
                return
            peer = Endpoint(address[0], address[1])
            if not self._gate.enter(peer.host):
                accepted.close()
                continue
            accepted.setblocking(False)
            task = self._loop.create_task(self._connect(accepted, peer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self, accepted: socket.socket, peer: Endpoint) -> None:
        options: dict[str, Any] = {}
        if self._context is not None:
            options = {"ssl": self._context, "ssl_handshake_timeout": self._handshake_s, "ssl_shutdown_timeout": 2.0}
        try:
            transport, protocol = await self._loop.connect_accepted_socket(
                lambda: Watched(self._factory(peer), self._gate, peer.host), accepted, **options
            )
        except OSError:  # no TLS, not ours, or not in time (ssl.SSLError and TimeoutError are OSErrors)
            accepted.close()
            self._gate.leave(peer.host)
            return
        if self._must_ask:
            self._loop.call_later(self._handshake_s, lambda: None if protocol.asked else transport.abort())


# asyncio keeps a read buffer of 256 kB for each TLS connection, before any byte has come: two thousand half-open ones would hold
# half a gigabyte. One TLS record (16 kB) at a time is all that we need.
sslproto.SSLProtocol.max_size = 32 * 1024


class Watched(asyncio.Protocol):
    """A protocol as it is, but the gate learns when its connection ends."""

    def __init__(self, inner: asyncio.Protocol, gate: Gate, host: str) -> None:
        self.inner = inner
        self.asked = False
        """A whole request has come; set by whoever answers it."""
        self._gate = gate
        self._host = host
        # The loop asks these of every protocol; there is nothing to add to them.
        self.data_received = inner.data_received  # type: ignore[method-assign]
        self.eof_received = inner.eof_received  # type: ignore[method-assign]
        self.pause_writing = inner.pause_writing  # type: ignore[method-assign]
        self.resume_writing = inner.resume_writing  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.inner.connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._gate.leave(self._host)
        self.inner.connection_lost(error)


class Conversations:
    """All conversations on STUN and SIP ports; those that idle are closed."""

    def __init__(self, server: EchoServer, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._open: set[ConversationProtocol] = set()
        self._sweeping = loop.call_later(_SWEEP_S, self._sweep)

    def factory(self, listener: str, transport: Transport) -> ProtocolFactory:
        """Makes the protocol of one connection accepted at this listener."""
        return lambda peer: ConversationProtocol(self._server.open_stream(listener, transport, peer, monotonic()), self._open, self._loop)

    def close(self) -> None:
        self._sweeping.cancel()
        for protocol in tuple(self._open):
            protocol.abort()

    def _sweep(self) -> None:
        now = monotonic()
        for protocol in tuple(self._open):
            if protocol.conversation.deadline() < now:
                self._server.counters["stream idle"] += 1
                protocol.abort()
        self._sweeping = self._loop.call_later(_SWEEP_S, self._sweep)


class ConversationProtocol(asyncio.Protocol):
    """One connection: what comes in is worked on a slice at a time, and no more is read meanwhile."""

    def __init__(self, conversation: Conversation, registry: "set[ConversationProtocol]", loop: asyncio.AbstractEventLoop) -> None:
        self.conversation = conversation
        self._registry = registry
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._backlog = b""
        self._working = False
        self._writable = True
        self._ended = False

    def abort(self) -> None:
        """Close it now; what was not sent is lost."""
        if self._transport is not None:
            self.conversation.lost = "closed"
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(_WRITE_BUFFER)
        self.conversation.write = transport.write
        self.conversation.write_expiring = self._write_expiring
        self._registry.add(self)

    def data_received(self, data: bytes) -> None:
        self._backlog += data
        if not self._working and self._transport is not None:
            self._working = True
            self._transport.pause_reading()
            self._work()

    def eof_received(self) -> bool:
        self._ended = True
        return self._working  # keep our side open until what came is answered

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        if self._working:
            self._loop.call_soon(self._work)

    def connection_lost(self, error: Exception | None) -> None:
        self._registry.discard(self)
        self.conversation.write = None
        if not self.conversation.lost:
            self.conversation.lost = "reset" if isinstance(error, ConnectionResetError) else "ended"
        if self._backlog:  # nobody hears an answer any more, but what came is to be accounted for
            self.conversation.feed(self._backlog[: 16 * _SLICE], monotonic())
        self.conversation.end(monotonic())
        self._transport = None

    def _write_expiring(self, data: bytes, hops: int) -> None:
        """The first copy; what the system repeats lives as long as any."""
        transport = self._transport
        if transport is None or transport.get_write_buffer_size():
            return
        sock = transport.get_extra_info("socket")
        usual = limit_hops(sock, hops)
        try:
            transport.write(data)
        finally:
            limit_hops(sock, usual)
        self._look_for_error(_ERROR_LOOKS)

    def _look_for_error(self, looks: int) -> None:
        """An established connection survives such an error, and Linux keeps it until something is acknowledged: the repetition, 0.2 s
        after the first copy at the earliest."""
        if self._transport is None or not looks:
            return
        if self._transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.EHOSTUNREACH:
            self.conversation.expired = True
        else:
            self._loop.call_later(_ERROR_LOOK_S, self._look_for_error, looks - 1)

    def _work(self) -> None:
        transport = self._transport
        if transport is None or not self._writable or not self._working:
            return
        piece, self._backlog = self._backlog[:_SLICE], self._backlog[_SLICE:]
        for answer in self.conversation.answers(piece, monotonic()):
            transport.write(answer)
        if self.conversation.over:
            self._backlog = b""
            self.conversation.lost = "closed"
            transport.close()
        elif self._backlog:
            self._loop.call_later(_PAUSE_S, self._work) if self.conversation.throttled else self._loop.call_soon(self._work)
        else:
            self._working = False
            if self._ended:
                transport.close()
            elif self.conversation.throttled:
                self._working = True
                self._loop.call_later(_PAUSE_S, self._work)
            else:
                transport.resume_reading()
