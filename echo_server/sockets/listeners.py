"""The UDP sockets: drained a burst at a time inside the event loop, and the one way by which a datagram leaves.

Plain non-blocking sockets, because asyncio's datagram transport takes one datagram a round of the loop: four times slower.
"""

import errno
import socket
from collections.abc import Mapping
from time import monotonic

from echo_server.core import EchoServer
from echo_server.outbound import Outbound
from echo_server.sockets import icmp
from echo_server.sockets.binding import Key
from edgecheck.wire.address import Endpoint

BURST = 256
"""Datagrams read before other sockets get their turn: about 5 ms."""
_ICMP_ERRORS = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ECONNRESET})
_IP_MINTTL, _IPV6_MINHOPCOUNT = 21, 73
_TRIES = 8
"""Each pending ICMP error makes one call fail; so many errors may come in between two tries to send."""


def limit_hops(sock: socket.socket, hops: int) -> int:
    """What is sent from now on expires at the router that many hops away; returns what held before. Raises ``OSError``."""
    six = sock.family == socket.AF_INET6
    level, option = (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS) if six else (socket.IPPROTO_IP, socket.IP_TTL)
    before = sock.getsockopt(level, option)
    sock.setsockopt(level, option, hops)
    return before


def hear_from(sock: socket.socket, least_ttl: int) -> None:
    """From now on this TCP socket hears only what arrives with such a TTL (hop limit) or more (RFC 5082). Linux. Raises ``OSError``."""
    six = sock.family == socket.AF_INET6
    sock.setsockopt(socket.IPPROTO_IPV6 if six else socket.IPPROTO_IP, _IPV6_MINHOPCOUNT if six else _IP_MINTTL, least_ttl)


class UdpSockets:
    """All UDP sockets but those for media, by listener and family."""

    def __init__(self, server: EchoServer, sockets: Mapping[Key, socket.socket]) -> None:
        self._server = server
        self._sockets = dict(sockets)
        self._queued_errors: dict[Key, bool] = {}

    def add(self, key: Key, made: socket.socket) -> None:
        """One more, kept for a session's probes."""
        self._sockets[key] = made
        self._queued_errors[key] = icmp.want_errors(made)

    def remove(self, key: Key) -> None:
        """Its session is over: nothing is sent from it any more."""
        del self._sockets[key]
        del self._queued_errors[key]

    def reader(self, key: Key) -> "Reader":
        """What the event loop calls when this socket is readable."""
        return Reader(self._server, self, key, self._sockets[key])

    def send(self, outbound: Outbound) -> bool:
        """Send now. False when the system refuses: no route, no permission, no such socket. Raises ``BlockingIOError`` when it is full."""
        key = Key(outbound.sender, outbound.destination.family)
        sock = self._sockets.get(key)
        if sock is None:
            return False
        if not outbound.hops:
            return self._send(key, sock, outbound)
        usual = limit_hops(sock, outbound.hops)
        try:
            return self._send(key, sock, outbound)
        finally:
            limit_hops(sock, usual)  # a later packet of this socket must not expire

    def _send(self, key: Key, sock: socket.socket, outbound: Outbound) -> bool:
        for _ in range(_TRIES):
            try:
                sock.sendto(outbound.data, outbound.destination)
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS):
                    raise BlockingIOError(error.errno, error.strerror) from error
                # An ICMP error that waits makes sendto to *another* port fail, and the datagram does not leave: read it, send again.
                if not self.read_errors(key) and error.errno not in _ICMP_ERRORS:
                    return False
            except (ValueError, OverflowError):
                return False
            else:
                return True
        return False

    def answer(self, outbound: Outbound) -> None:
        """Send now or never: an answer that does not leave is taken back from its receipt."""
        try:
            left = self.send(outbound)
        except BlockingIOError:
            left = False
        if not left:
            self._server.counters["not sent"] += 1
            if outbound.take_back is not None:
                outbound.take_back()

    def read_errors(self, key: Key) -> int:
        """Take what ICMP errors wait at a session's probe socket into the accounts; returns how many."""
        if not self._queued_errors.get(key):
            return 0
        count = 0
        while count < BURST and (error := icmp.read_error(self._sockets[key])) is not None:
            self._server.handle_error(
                key.listener, error.aimed_at, (error.type, error.code), error.offender, error.ttl, error.quoted, monotonic()
            )
            count += 1
        return count


class Reader:
    """Drains one socket."""

    def __init__(self, server: EchoServer, sockets: UdpSockets, key: Key, sock: socket.socket) -> None:
        self._server = server
        self._sockets = sockets
        self._key = key
        self._socket = sock
        self._quick = server.quick(*key)

    def __call__(self) -> None:
        receive, send, quick = self._socket.recvfrom, self._socket.sendto, self._quick
        listener = self._key.listener
        now = monotonic()
        for count in range(BURST):
            try:
                data, source = receive(65535)
            except (BlockingIOError, InterruptedError):
                if not count:  # woken, and not by a datagram: an error waits, and would wake us for ever
                    self._sockets.read_errors(self._key)
                return
            except OSError:  # an ICMP error told by the system; Windows tells it for any destination
                self._sockets.read_errors(self._key)
                continue
            answer = quick(data, source, now)
            if answer is None:
                for outbound in self._server.handle_datagram(listener, Endpoint(source[0], source[1]), data, now):
                    self._sockets.answer(outbound)
            elif answer:
                try:
                    send(answer, source)
                except OSError:
                    self._server.counters["not sent"] += 1
