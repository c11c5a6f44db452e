"""A world for the registration doctor: DNS servers and SIP peers made of memory, on the clock of the loop.

The phone's own network code runs; only sockets and names of this machine are replaced. A peer is told what arrives and answers as the
test wants: late, from elsewhere, with an ICMP error, not at all.
"""

import asyncio
import ssl
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from edgecheck.model.account import Account, parse_account
from edgecheck.model.check import Arrival, Delivery, Quote
from edgecheck.model.errors import LocalFailure
from edgecheck.net.bell import Bell
from edgecheck.net.phone import SocketPhone
from edgecheck.net.ways import Ways
from edgecheck.wire import sip
from edgecheck.wire.address import Endpoint
from edgecheck.wire.framing import SipFramer

HERE = "192.168.1.20"
HERE6 = "2001:db8:1::20"
DNS = Endpoint("192.168.1.1", 53)
TRIP_S = 0.02
"""There and back."""


class Reply(NamedTuple):
    """A datagram that a peer sends back."""

    data: bytes
    source: Endpoint | None = None
    """None: from where the question went."""
    to_port: int | None = None
    """None: to the port that it came from."""
    delay: float = 0.0


class Icmp(NamedTuple):
    """An ICMP error that a peer or a router on the way sends back."""

    type: int = 3
    code: int = 3
    offender: str | None = None


UdpPeer = Callable[[bytes, Endpoint], Iterable[Reply | Icmp]]


class Connection:
    """A TCP connection as the peer sees it."""

    def __init__(self, stream: "MemoryStream") -> None:
        self._stream = stream
        self.source = stream.local
        self.asked: Any = None
        """Whatever the peer keeps for this connection."""

    def send(self, data: bytes) -> None:
        self._stream.arrive(data)

    def close(self, why: str = "the other end closed it") -> None:
        self._stream.end(why)


class TcpPeer:
    """Accepts, and says nothing. Tests override what they need."""

    delivery: Delivery | None = None
    """What the phone's TCP knows of a connection to it."""

    def connected(self, connection: Connection) -> None: ...

    def received(self, connection: Connection, data: bytes) -> None: ...


class Refuse(TcpPeer):
    """``connect`` fails: ``refused`` (RST), ``reset``, ``no-route``."""

    def __init__(self, reason: str = "refused") -> None:
        self.reason = reason


class Lossy(TcpPeer):
    """The first connections come to nothing, as if every SYN were lost; then it is this peer."""

    def __init__(self, peer: TcpPeer, lost: int) -> None:
        self.peer, self.lost = peer, lost

    def next(self) -> TcpPeer | None:
        """Who takes the next connection; None: nobody hears of it."""
        self.lost -= 1
        return self.peer if self.lost < 0 else None


class MemoryUdp:
    """Implements ``UdpSocket``."""

    def __init__(self, world: "PhoneWorld", bell: Bell, local: Endpoint) -> None:
        self._world, self._bell = world, bell
        self.local = local
        self.inbox: list[Arrival] = []
        self.errors: list[str] = []
        self.quotes: list[Quote] = []
        self.open = True
        world.sockets.append(self)

    def send(self, data: bytes, to: Endpoint, ttl: int | None = None) -> None:
        self._world.sent.append((self.local, to, data))
        peer = self._world.udp.get(to)
        if peer is None:
            return
        loop = asyncio.get_running_loop()
        for reply in peer(data, self.local):
            if isinstance(reply, Icmp):
                loop.call_later(TRIP_S, self._refused, reply, to, data)
            elif reply.to_port in (None, self.local.port):
                loop.call_later(TRIP_S + reply.delay, self.arrive, reply.data, reply.source or to)

    def arrive(self, data: bytes, source: Endpoint) -> None:
        if self.open:
            self.inbox.append(Arrival(asyncio.get_running_loop().time(), source, data))
            self._bell.ring()

    def _refused(self, icmp: Icmp, to: Endpoint, data: bytes) -> None:
        quote = Quote(
            at=asyncio.get_running_loop().time(), icmp_type=icmp.type, icmp_code=icmp.code, offender=icmp.offender or to.host, to=to, data=data
        )
        self.quotes.append(quote)
        self.errors.append(str(quote))
        self._bell.ring()

    def close(self) -> None:
        self.open = False


class MemoryStream:
    """Implements ``Stream``."""

    certificate: bytes | None = None

    def __init__(self, peer: TcpPeer, bell: Bell, local: Endpoint, remote: Endpoint) -> None:
        self._peer, self._bell = peer, bell
        self.local, self.remote = local, remote
        self.received = bytearray()
        self.closed: str | None = None
        self._connection = Connection(self)
        peer.connected(self._connection)

    def delivery(self) -> Delivery | None:
        return self._peer.delivery

    def send(self, data: bytes) -> None:
        if self.closed is None:
            asyncio.get_running_loop().call_later(TRIP_S / 2, self._peer.received, self._connection, data)

    def arrive(self, data: bytes) -> None:
        asyncio.get_running_loop().call_later(TRIP_S / 2, self._heard, data)

    def _heard(self, data: bytes) -> None:
        self.received += data
        self._bell.ring()

    def end(self, why: str) -> None:
        asyncio.get_running_loop().call_later(TRIP_S / 2, self._ended, why)

    def _ended(self, why: str) -> None:
        self.closed = self.closed or why
        self._bell.ring()

    def close(self) -> None:
        self.closed = self.closed or "closed"


class _Transport:
    """Implements ``net.transport.Transport`` as far as a phone uses it."""

    port_capacity = 100
    sees_quotes = True

    def __init__(self, world: "PhoneWorld", source: str, bell: Bell) -> None:
        self._world, self.source, self.bell = world, source, bell

    def _port(self, port: int) -> Endpoint:
        self._world.last_port += 1
        return Endpoint(self.source, port or self._world.last_port)

    async def open_udp(self, port: int) -> MemoryUdp:
        return MemoryUdp(self._world, self.bell, self._port(port))

    async def connect(self, to: Endpoint, port: int, timeout: float, *, tls: bool, ttl: int | None = None) -> MemoryStream:
        self._world.connected.append(to)
        peer = self._world.tcp.get(to)
        if ttl is not None and ttl < self._world.hops.get(to, 3):
            peer = None
        if isinstance(peer, Lossy):
            peer = peer.next()
        if peer is None:
            await asyncio.sleep(timeout)
            raise LocalFailure("timeout", f"Could not connect to {to}/tcp: no answer in time.")
        await asyncio.sleep(TRIP_S)
        if isinstance(peer, Refuse):
            words = {"refused": "the connection was refused", "no-route": "no route to it from here"}
            raise LocalFailure(peer.reason, f"Could not connect to {to}/tcp: {words.get(peer.reason, peer.reason)}.")
        return MemoryStream(peer, self.bell, self._port(port), to)

    async def open_ports(self, ports: Sequence[int], accept: Callable[[bytes], bool]) -> Any:
        raise NotImplementedError

    async def listen_tcp(self, port: int) -> Any:
        raise NotImplementedError


class PhoneWorld:
    """Names, and who listens where."""

    def __init__(self, zone: str = "", hosts: dict[str, list[str]] | None = None) -> None:
        self.udp: dict[Endpoint, UdpPeer] = {}
        self.tcp: dict[Endpoint, TcpPeer] = {}
        self.hosts = hosts
        """What the system's own way knows; None: the same as the DNS server."""
        self.sent: list[tuple[Endpoint, Endpoint, bytes]] = []
        self.connected: list[Endpoint] = []
        self.hops: dict[Endpoint, int] = {}
        """How many hops away a TCP port is; three, where it is not told."""
        self.sockets: list[MemoryUdp] = []
        self.last_port = 40_000
        self.zone = Zone(zone)
        self.udp[DNS] = self.zone.answer

    def udp_at(self, where: str, peer: UdpPeer) -> "PhoneWorld":
        self.udp[endpoint(where)] = peer
        return self

    def tcp_at(self, where: str, peer: TcpPeer) -> "PhoneWorld":
        self.tcp[endpoint(where)] = peer
        return self

    def later(self, to: Endpoint, source: Endpoint, data: bytes) -> None:
        """A datagram to a socket of the phone that did not ask for it."""
        for socket in self.sockets:
            if socket.local == to:
                asyncio.get_running_loop().call_later(TRIP_S, socket.arrive, data, source)

    async def look_up(self, name: str) -> list[str]:
        if self.hosts is not None:
            found = self.hosts.get(name, [])
        else:
            found = [*self.zone.addresses(name, "AAAA"), *self.zone.addresses(name, "A")]
        if not found:
            import socket

            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return found

    def phone(self, account: Account | str, secret: str | None = None, **more: Any) -> SocketPhone:
        """Inside the running loop."""
        bell = Bell()

        def transport_from(source: str) -> Any:
            return _Transport(self, source, bell)

        family = more.pop("family", None)
        return SocketPhone(
            parse_account(account) if isinstance(account, str) else account,
            secret,
            Ways(transport_from, lambda host: HERE6 if ":" in host else HERE, None, family),
            bell,
            resolvers=(str(DNS),),
            look_up=self.look_up,
            family=family,
            sees_quotes=True,
            **more,
        )


def endpoint(text: str) -> Endpoint:
    from edgecheck.wire.address import parse_endpoint

    return parse_endpoint(text)


class Zone:
    """A DNS server's data: lines ``name [ttl] type data``, and ``name RCODE`` (``SERVFAIL``, ``SILENT``...) for a name that fails."""

    def __init__(self, text: str) -> None:
        self._sets: dict[tuple[str, str], list[str]] = {}
        self._codes: dict[str, str] = {}
        for line in filter(None, (line.strip() for line in text.splitlines())):
            name, kind, *data = line.split(None, 2)
            if data:
                self._sets.setdefault((name.lower(), kind), []).append(data[0])
            else:
                self._codes[name.lower()] = kind

    def addresses(self, name: str, kind: str) -> list[str]:
        alias = self._sets.get((name.lower(), "CNAME"))
        return self.addresses(alias[0].rstrip("."), kind) if alias else self._sets.get((name.lower(), kind), [])

    def answer(self, data: bytes, source: Endpoint) -> Iterable[Reply]:
        query = dns.message.from_wire(data)
        reply = dns.message.make_response(query, recursion_available=True)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        code = self._codes.get(name)
        if code == "SILENT":
            return
        if code is not None:
            reply.set_rcode(dns.rcode.from_text(code))
        else:
            self._fill(reply, name, dns.rdatatype.to_text(question.rdtype))
        yield Reply(reply.to_wire())

    def _fill(self, reply: dns.message.Message, name: str, kind: str) -> None:
        alias = self._sets.get((name, "CNAME"))
        if alias and kind != "CNAME":
            reply.answer.append(dns.rrset.from_text(f"{name}.", 300, "IN", "CNAME", alias[0]))
            self._fill(reply, alias[0].rstrip(".").lower(), kind)
            return
        found = self._sets.get((name, kind))
        if found:
            reply.answer.append(dns.rrset.from_text(f"{name}.", 300, "IN", kind, *found))
        elif not any(known == name or known.endswith(f".{name}") for known, _ in self._sets):
            reply.set_rcode(dns.rcode.NXDOMAIN)


# --- SIP peers ---------------------------------------------------------------------------------------------------------------


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
