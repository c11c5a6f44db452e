"""Real UDP and TCP sockets. The only client file, beside ``port_batch``, that reads and writes them.

Linux tells of ICMP errors on an unconnected UDP socket only through the error queue (``IP_RECVERR``); and a pending error makes
the *next* send, to whatever destination, fail without sending. So the queue is drained and the datagram sent again.
"""

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable, Collection, Sequence

from edgecheck.model.check import Arrival, Counters, Delivery, Listener, PortBatch, Quote, Sightings, Stream, UdpSocket
from edgecheck.model.machine import Holder, Machine
from edgecheck.model.router import RouterFacts
from edgecheck.net.machine import counters
from edgecheck.net.machine.arrivals import RealSightings
from edgecheck.net.machine.owners import holders, owners
from edgecheck.net.sockets.bell import Bell
from edgecheck.net.sockets.delivery import read_delivery
from edgecheck.net.sockets.failure import local_failure
from edgecheck.net.sockets.port_batch import RealPortBatch, capacity
from edgecheck.wire.address import Endpoint

_DRAIN = 256  # datagrams a wake: one busy socket does not starve the others
_RECEIVE = 65_535
_LINUX = sys.platform == "linux"
IP_RECVERR = 11
IPV6_RECVERR = 25
MSG_ERRQUEUE = 0x2000
_SOCK_EXTENDED_ERR = struct.Struct("=IBBBBII")
_QUOTE = 2048  # Linux routers quote some 520 bytes (RFC 1812 section 4.3.2.3: as much as fits into 576)
_MOST_QUOTES = 1000  # a flood of errors must not fill the memory
_UNKNOWN = Endpoint("0.0.0.0", 0)
_IP_MINTTL = 21
_HOPS = 64
_SYN_AGAIN_S = 0.95
"""A SYN is sent again after a second (RFC 6298 section 2.1)."""


def family_of(host: str) -> socket.AddressFamily:
    """AF_INET or AF_INET6, by the text of an address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def ignore_windows_reset(udp: socket.socket) -> None:
    """Windows: an ICMP port unreachable must not make a later receive fail (SIO_UDP_CONNRESET off)."""
    if sys.platform == "win32":
        with contextlib.suppress(OSError, ValueError):
            udp.ioctl(0x9800000C, False)


def _begin(tcp: socket.socket, to: Endpoint, ttl: int) -> None:
    """Send a SYN that lives for so many hops; all that follows lives as long as ever, so that a peer whose own SYN comes is answered.

    Linux gives a connection up when it is told that its SYN has expired, but for errors that quote a packet with fewer hops left than it
    wants (RFC 5082): these quote one with one hop, or none. Over IPv6 it looks at the error's own hops, which tell nothing.
    """
    _limit_hops(tcp, ttl)
    if _LINUX and tcp.family == socket.AF_INET:
        tcp.setsockopt(socket.IPPROTO_IP, _IP_MINTTL, 2)
    code = tcp.connect_ex((to.host, to.port))
    if code not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
        raise OSError(code, os.strerror(code))  # to connect once more would send a SYN that lives
    _limit_hops(tcp, _HOPS)


def _limit_hops(made: socket.socket, ttl: int) -> None:
    """What is sent from now on lives for so many hops; -1: as the system has it."""
    with contextlib.suppress(OSError):
        if made.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
        else:
            made.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)


class RealUdpSocket:
    """A bound UDP socket whose arrivals ring the bell."""

    def __init__(self, udp: socket.socket, bell: Bell) -> None:
        self._udp = udp
        self._bell = bell
        self._loop = asyncio.get_running_loop()
        self.local = Endpoint(*udp.getsockname()[:2])
        self.inbox: list[Arrival] = []
        self.errors: list[str] = []
        self.quotes: list[Quote] = []
        self._loop.add_reader(udp.fileno(), self._readable)

    def send(self, data: bytes, to: Endpoint, ttl: int | None = None) -> None:
        # Set for each datagram and taken back: a later packet of this socket must not expire.
        if ttl is not None:
            _limit_hops(self._udp, ttl)
        try:
            self._send(data, to)
        finally:
            if ttl is not None:
                _limit_hops(self._udp, -1)

    def _send(self, data: bytes, to: Endpoint) -> None:
        for _ in range(3):
            try:
                self._udp.sendto(data, (to.host, to.port))
            except BlockingIOError:
                self.errors.append("the send buffer was full")
                return
            except (OSError, OverflowError) as error:  # OverflowError: no port at all, in what a peer told
                if not self._drain_errors():
                    self.errors.append(str(local_failure("send to", str(to), error)))
                    return
            else:
                return

    def _readable(self) -> None:
        now = self._loop.time()
        for _ in range(_DRAIN):
            try:
                data, address = self._udp.recvfrom(_RECEIVE)
            except BlockingIOError:
                break
            except OSError as error:
                if not self._drain_errors():
                    self.errors.append(error.strerror or type(error).__name__)
                    if sys.platform != "win32":
                        break
                continue
            self.inbox.append(Arrival(now, Endpoint(*address[:2]), data))
        self._bell.ring()

    def _drain_errors(self) -> bool:
        """Read the error queue into ``errors`` and ``quotes``; whether there was anything."""
        if not _LINUX:
            return False
        found = False
        with contextlib.suppress(OSError):
            while True:
                payload, ancillary, _, destination = self._udp.recvmsg(_QUOTE, 512, MSG_ERRQUEUE)
                found = True
                to = Endpoint(str(destination[0]), int(destination[1]))
                for _, kind, data in ancillary:
                    if kind in (IP_RECVERR, IPV6_RECVERR) and len(self.quotes) < _MOST_QUOTES:
                        quote = _quote(self._loop.time(), data, to, payload)
                        self.quotes.append(quote)
                        self.errors.append(str(quote))
        if found:
            self._bell.ring()
        return found

    def close(self) -> None:
        if self._udp.fileno() >= 0:
            self._loop.remove_reader(self._udp.fileno())
            self._udp.close()


def _quote(at: float, data: bytes, to: Endpoint, payload: bytes) -> Quote:
    """From ``struct sock_extended_err`` and the offender's address behind it (Linux, ip(7))."""
    _, origin, kind, code, _, _, _ = _SOCK_EXTENDED_ERR.unpack_from(data)
    offender = None
    rest = data[_SOCK_EXTENDED_ERR.size :]
    if origin == 2 and len(rest) >= 8:
        offender = socket.inet_ntop(socket.AF_INET, rest[4:8])
    elif origin == 3 and len(rest) >= 24:
        offender = socket.inet_ntop(socket.AF_INET6, rest[8:24])
    return Quote(at=at, icmp_type=kind, icmp_code=code, offender=offender, to=to, data=payload)


class RealStream(asyncio.Protocol):
    """A TCP or TLS connection whose arrivals ring the bell."""

    local: Endpoint
    remote: Endpoint

    def __init__(self, bell: Bell, on_made: Callable[[Stream], None] | None = None, to: Endpoint = _UNKNOWN) -> None:
        self._bell = bell
        self._on_made = on_made
        self._to = to
        self._transport: asyncio.Transport | None = None
        self.received = bytearray()
        self.closed: str | None = None
        self.certificate: bytes | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.local = Endpoint(*transport.get_extra_info("sockname")[:2])
        peer = transport.get_extra_info("peername")
        self.remote = Endpoint(*peer[:2]) if peer else self._to  # none: the other end has reset it already
        encryption = transport.get_extra_info("ssl_object")
        if encryption is not None:
            self.certificate = encryption.getpeercert(binary_form=True)
        # Closed with a reset: no TIME_WAIT, so the same port can be used again at once, and the NAT forgets too.
        with contextlib.suppress(OSError):
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if self._on_made is not None:
            self._on_made(self)
        self._bell.ring()

    def data_received(self, data: bytes) -> None:
        if len(self.received) + len(data) <= 1 << 20:  # no peer of ours has that much to say
            self.received += data
        self._bell.ring()

    def eof_received(self) -> bool:
        self.closed = self.closed or "the other end closed it"
        self._bell.ring()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = self.closed or (str(local_failure("keep", "the connection", exc)) if exc else "closed")
        self._bell.ring()

    def delivery(self) -> Delivery | None:
        if self._transport is None or self._transport.is_closing():
            return None
        return read_delivery(self._transport.get_extra_info("socket"))

    def send(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class RealListener:
    """A listening TCP socket."""

    def __init__(self, local: Endpoint) -> None:
        self.local = local
        self.accepted: list[Stream] = []
        self.server: asyncio.Server | None = None

    def close(self) -> None:
        if self.server is not None:
            self.server.close()
        for stream in self.accepted:
            stream.close()


class RealTransport:
    """Sockets of this machine, bound to one local address."""

    def __init__(self, source: str, bell: Bell) -> None:
        self.source = source
        self.bell = bell
        self.port_capacity = capacity()
        self.sees_quotes = _LINUX

    def _socket(self, kind: socket.SocketKind) -> socket.socket:
        try:
            return socket.socket(family_of(self.source), kind)
        except OSError as error:
            raise local_failure("open", "a socket", error) from error

    async def open_udp(self, port: int) -> UdpSocket:
        udp = self._socket(socket.SOCK_DGRAM)
        try:
            udp.setblocking(False)
            if _LINUX:
                if ":" in self.source:
                    udp.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
                else:
                    udp.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
            ignore_windows_reset(udp)
            udp.bind((self.source, port))
        except OSError as error:
            udp.close()
            raise local_failure("bind", f"{Endpoint(self.source, port)}/udp", error) from error
        return RealUdpSocket(udp, self.bell)

    async def open_ports(self, ports: Sequence[int], accept: Callable[[bytes], bool]) -> PortBatch:
        return await RealPortBatch.open(self.source, ports, accept, self.bell)

    def _tcp(self, port: int) -> socket.socket:
        tcp = self._socket(socket.SOCK_STREAM)
        tcp.setblocking(False)
        if sys.platform != "win32":  # there SO_REUSEADDR would let us steal a port in use
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tcp.bind((self.source, port))
        except OSError as error:
            tcp.close()
            raise local_failure("bind", f"{Endpoint(self.source, port)}/tcp", error) from error
        return tcp

    async def listen_tcp(self, port: int) -> Listener:
        tcp = self._tcp(port)
        listener = RealListener(Endpoint(*tcp.getsockname()[:2]))
        try:
            listener.server = await asyncio.get_running_loop().create_server(
                lambda: RealStream(self.bell, listener.accepted.append), sock=tcp, backlog=64
            )
        except OSError as error:
            tcp.close()
            raise local_failure("listen on", f"{Endpoint(self.source, port)}/tcp", error) from error
        return listener

    def counters(self) -> Counters | None:
        return counters.read(":" in self.source)

    async def connect(self, to: Endpoint, port: int, timeout: float, *, tls: bool, ttl: int | None = None) -> Stream:
        loop = asyncio.get_running_loop()
        tcp = self._tcp(port)
        began = loop.time()
        context = None
        if tls:
            # Nobody is trusted here: the certificate is evidence, compared with what the server says over the proved channel.
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        try:
            async with asyncio.timeout(timeout):
                if ttl is not None:
                    _begin(tcp, to, ttl)
                await loop.sock_connect(tcp, (to.host, to.port))
                if ttl is not None and loop.time() - began > _SYN_AGAIN_S:
                    raise TimeoutError("it may have been a SYN sent again that was answered, which lives longer")
                _, stream = await loop.create_connection(
                    lambda: RealStream(self.bell, to=to), sock=tcp, ssl=context, server_hostname="" if tls else None
                )
        except (OSError, OverflowError) as error:
            tcp.close()
            raise local_failure("connect to", f"{to}/{'tls' if tls else 'tcp'}", error) from error
        except BaseException:
            tcp.close()
            raise
        return stream

    async def read_router(self) -> RouterFacts:
        from edgecheck.net.router import read_router

        return await read_router(self.source)

    async def owners(self, transport: str, ports: Collection[int]) -> dict[int, str]:
        return await asyncio.to_thread(owners, transport, ports, self.source)

    async def holders(self, transport: str, ports: Collection[int]) -> dict[int, tuple[Holder, ...]]:
        return await asyncio.to_thread(holders, transport, ports)

    def watch(self) -> Sightings:
        return RealSightings(self.source)

    async def read_machine(self) -> Machine:
        from edgecheck.net.machine.facts import machine

        return await machine(self.source)

    def wall_clock(self) -> float:
        return time.time()
