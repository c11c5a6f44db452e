"""SIP servers for a phone in a world of memory: what they answer, over UDP, TCP and TLS."""

import ssl
from collections.abc import Callable, Iterable
from typing import Any

from edgecheck.wire import sip
from edgecheck.wire.address import Endpoint
from edgecheck.wire.framing import SipFramer
from tests.fakes.peers import Connection, Reply, TcpPeer, UdpPeer


def response(request: bytes, source: Endpoint, status: int = 200, reason: str = "OK", *extra: tuple[str, str]) -> bytes:
    """An answer as RFC 3261 section 8.2.6 makes it, with ``received`` and ``rport`` (RFC 3581)."""
    message = sip.parse_datagram(request)
    via = (message.get("Via") or "").replace(";rport", f";rport={source.port}") + f";received={source.host}"
    headers = [
        ("Via", via),
        ("From", message.get("From") or ""),
        ("To", f"{message.get('To')};tag=peer"),
        ("Call-ID", message.get("Call-ID") or ""),
        ("CSeq", message.get("CSeq") or ""),
        *extra,
    ]
    return sip.build(f"SIP/2.0 {status} {reason}", headers)


Respond = Callable[[bytes, Endpoint], Iterable[bytes]]


def ok(request: bytes, source: Endpoint) -> Iterable[bytes]:
    """200 to everything."""
    yield response(request, source)


def over_udp(respond: Respond = ok, **how: Any) -> UdpPeer:
    """A SIP server; ``how`` as in ``Reply``. Keep-alives and what is no SIP get no answer."""

    def peer(data: bytes, source: Endpoint) -> Iterable[Reply]:
        if data.strip() and data[:1].isalpha():
            for answer in respond(data, source):
                yield Reply(answer, **how)

    return peer


class OverTcp(TcpPeer):
    """A SIP server."""

    def __init__(self, respond: Respond = ok) -> None:
        self._respond = respond

    def connected(self, connection: Connection) -> None:
        connection.asked = SipFramer()

    def received(self, connection: Connection, data: bytes) -> None:
        try:
            messages = connection.asked.feed(data)
        except ValueError:
            connection.close()
            return
        for message in messages:
            for answer in self._respond(message, connection.source) if message.strip() else ():
                connection.send(answer)


class OverTls(TcpPeer):
    """TLS with this context before another peer."""

    def __init__(self, settings: ssl.SSLContext, inside: TcpPeer | None = None) -> None:
        self._settings = settings
        self._inside = inside or OverTcp()

    def connected(self, connection: Connection) -> None:
        connection.asked = _Encrypted(self._settings, connection, self._inside)

    def received(self, connection: Connection, data: bytes) -> None:
        connection.asked.received(data)


class _Encrypted:
    """The server's end of TLS; to the peer inside it is a ``Connection``."""

    def __init__(self, settings: ssl.SSLContext, connection: Connection, inside: TcpPeer) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = settings.wrap_bio(self._in, self._out, server_side=True)
        self._connection, self._inside = connection, inside
        self.source = connection.source
        self.asked: Any = None
        self._done = False
        inside.connected(self)  # type: ignore[arg-type]

    def received(self, data: bytes) -> None:
        self._in.write(data)
        try:
            if not self._done:
                self._tls.do_handshake()
                self._done = True
            while piece := self._tls.read(65_536):
                self._inside.received(self, piece)  # type: ignore[arg-type]
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self._flush()
            self._connection.close()
            return
        self._flush()

    def _flush(self) -> None:
        said = self._out.read()
        if said:
            self._connection.send(said)

    def send(self, data: bytes) -> None:
        self._tls.write(data)
        self._flush()

    def close(self, why: str = "the other end closed it") -> None:
        self._connection.close(why)
