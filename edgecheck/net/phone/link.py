"""Ways to a SIP server: one message at a time over UDP, over a stream cut by Content-Length, over WebSocket.

Streams are read whenever somebody looks at ``inbox``; whoever waits looks after every arrival.
"""

import asyncio
import secrets
from collections.abc import Callable

from edgecheck.model.account import SipTransport
from edgecheck.model.check import Arrival, Delivery, Quote, Stream, UdpSocket
from edgecheck.model.errors import LocalFailure
from edgecheck.model.phone import Handshake, Packet
from edgecheck.net.sockets.bell import Bell
from edgecheck.wire import websocket
from edgecheck.wire.address import Endpoint
from edgecheck.wire.errors import Truncated, WireError
from edgecheck.wire.framing import SipFramer

Note = Callable[[Packet], None]
PATHS = ("/", "/ws")
"""Where SIP over WebSocket is served: RFC 7118 names no path, Asterisk uses ``/ws``."""


class UdpLink:
    """SIP over UDP. The socket hears everybody."""

    transport: SipTransport = "udp"
    unframed = b""
    closed: str | None = None
    handshake: Handshake | None = None

    def __init__(self, socket: UdpSocket, to: Endpoint) -> None:
        self._socket = socket
        self.local, self.remote = socket.local, to
        self.inbox: list[Arrival] = socket.inbox
        self.errors: list[str] = socket.errors
        self.quotes: list[Quote] = socket.quotes

    def delivery(self) -> Delivery | None:
        return None

    def send(self, data: bytes) -> None:
        self._socket.send(data, self.remote)

    def close(self) -> None:
        self._socket.close()


class StreamLink:
    """SIP over TCP or TLS."""

    def __init__(self, stream: Stream, transport: SipTransport, note: Note, handshake: Handshake | None = None) -> None:
        self._stream = stream
        self._note = note
        self._framer = SipFramer()
        self._messages: list[Arrival] = []
        self._broken = False
        self.transport = transport
        self.handshake = handshake
        self.local, self.remote = stream.local, stream.remote
        self.unframed = b""
        self.errors: list[str] = []
        self.quotes: list[Quote] = []

    @property
    def inbox(self) -> list[Arrival]:
        """Takes in what has come."""
        came = bytes(self._stream.received)
        del self._stream.received[:]
        if came:
            self._take(came)
        return self._messages

    def _take(self, came: bytes) -> None:
        self._write_down("in", came)
        if self._broken:
            self.unframed = (self.unframed + came)[:4096]
            return
        try:
            self._arrived(self._framer.feed(came))
        except WireError as error:
            self._fault(error, self._framer.remainder)
        else:
            if self._framer.broken is not None:
                self._fault(self._framer.broken, self._framer.remainder)

    def _fault(self, error: WireError, rest: bytes) -> None:
        self._broken = True
        self.unframed = rest[:4096]
        self.errors.append(f"what came could not be read as SIP: {error}")

    def _arrived(self, messages: list[bytes]) -> None:
        now = asyncio.get_running_loop().time()
        self._messages += [Arrival(now, self.remote, message) for message in messages]

    def _write_down(self, direction: str, data: bytes) -> None:
        self._note(
            Packet(
                at=asyncio.get_running_loop().time(),
                direction="in" if direction == "in" else "out",
                protocol="tcp",
                local=self.local,
                remote=self.remote,
                data=data,
                encrypted=self.transport in ("tls", "wss"),
            )
        )

    @property
    def closed(self) -> str | None:
        return self._stream.closed

    def delivery(self) -> Delivery | None:
        return self._stream.delivery()

    def send(self, data: bytes) -> None:
        self._write_down("out", data)
        self._stream.send(data)

    def close(self) -> None:
        self._stream.close()


class WebSocketLink(StreamLink):
    """SIP over WebSocket (RFC 7118), once upgraded."""

    def __init__(self, stream: Stream, transport: SipTransport, note: Note, handshake: Handshake | None = None) -> None:
        super().__init__(stream, transport, note, handshake)
        self._frames = websocket.Framer()
        self._ended: str | None = None

    def _take(self, came: bytes) -> None:
        if self._broken:
            return
        try:
            found = self._frames.feed(came)
        except WireError as error:
            self._fault(error, came)
            return
        messages = [payload for kind, payload in found if kind in (websocket.TEXT, websocket.BINARY)]
        for message in messages:
            self._write_down("in", message)  # as SIP, without the frames around it
        self._arrived(messages)
        for kind, payload in found:
            if kind == websocket.PING:
                self._stream.send(websocket.serialize(websocket.PONG, payload[:125], secrets.token_bytes(4)))
            elif kind == websocket.CLOSE:
                self._ended = "the other end closed the WebSocket"

    @property
    def closed(self) -> str | None:
        return self._ended or self._stream.closed

    def send(self, data: bytes) -> None:
        self._write_down("out", data)
        self._stream.send(websocket.serialize(websocket.TEXT, data, secrets.token_bytes(4)))


async def upgrade(bell: Bell, stream: Stream, authority: str, path: str, timeout: float) -> None:
    """Make a WebSocket of this connection. Raises ``LocalFailure`` (``not-websocket``, ``timeout``, ``reset``)."""
    key = secrets.token_bytes(16)
    stream.send(websocket.upgrade_request(authority, path, key))
    answers: list[websocket.Upgraded] = []

    def answered() -> bool:
        try:
            answers.append(websocket.parse_upgrade(bytes(stream.received), key))
        except Truncated:
            return stream.closed is not None
        return True

    where = f"a WebSocket at {stream.remote}{path}"
    try:
        await bell.until(answered, timeout)
    except WireError as error:
        raise LocalFailure("not-websocket", f"Could not open {where}: what answered there speaks no HTTP ({error}).") from error
    if not answers:
        why = "reset" if stream.closed else "timeout"
        raise LocalFailure(why, f"Could not open {where}: {stream.closed or 'no answer in time'}.")
    answer = answers[0]
    if not answer.accepted:
        said = f"HTTP {answer.status} {answer.reason}".strip()
        raise LocalFailure("not-websocket", f"Could not open {where}: the server answered {said[:80]!r} instead of an upgrade.")
    del stream.received[: answer.size]
