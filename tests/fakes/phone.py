"""A world for the registration doctor: DNS servers and SIP peers made of memory, on the clock of the loop.

The phone's own network code runs; only sockets and names of this machine are replaced. A peer is told what arrives and answers as the
test wants: late, from elsewhere, with an ICMP error, not at all.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from edgecheck.model.account import Account, parse_account
from edgecheck.model.check import Arrival, Delivery, Quote
from edgecheck.model.errors import LocalFailure
from edgecheck.net.phone.phone import SocketPhone
from edgecheck.net.phone.ways import Ways
from edgecheck.net.sockets.bell import Bell
from edgecheck.wire.address import Endpoint
from tests.fakes.peers import Connection, Icmp, Lossy, Refuse, TcpPeer, UdpPeer
from tests.fakes.zone import Zone

HERE = "192.168.1.20"
HERE6 = "2001:db8:1::20"
DNS = Endpoint("192.168.1.1", 53)
TRIP_S = 0.02
"""There and back."""


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
