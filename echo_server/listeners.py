"""The UDP sockets: drained a burst at a time inside the event loop, and the one way by which a datagram leaves.

Plain non-blocking sockets, because asyncio's datagram transport takes one datagram a round of the loop: four times slower.
"""

import errno
import socket
from collections.abc import Mapping
from time import monotonic

from echo_server import icmp
from echo_server.binding import Key
from echo_server.core import EchoServer
from echo_server.outbound import Outbound
from edgecheck.wire.address import Endpoint

BURST = 256
"""Datagrams read before other sockets get their turn: about 5 ms."""
_TRIES = 8
"""Each pending ICMP error makes one call fail; so many errors may come in between two tries to send."""


class UdpSockets:
    """All UDP sockets but those for media, by listener and family."""

    def __init__(self, server: EchoServer, sockets: Mapping[Key, socket.socket]) -> None:
        self._server = server
        self._sockets = dict(sockets)
        self._queued_errors = {key: icmp.want_errors(made) for key, made in self._sockets.items() if key.listener in ("AX", "BX")}

    def reader(self, key: Key) -> "Reader":
        """What the event loop calls when this socket is readable."""
        return Reader(self._server, self, key, self._sockets[key])

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self._sockets.items())

    def send(self, outbound: Outbound) -> bool:
        """Send now. False when the system will not: its buffers are full, or there is no such socket or route."""
        key = Key(outbound.sender, outbound.destination.family)
        sock = self._sockets.get(key)
        if sock is None:
            return False
        for _ in range(_TRIES):
            try:
                sock.sendto(outbound.data, outbound.destination)
            except OSError as error:
                if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS):
                    return False
                # An ICMP error that waits makes sendto to *another* port fail, and the datagram does not leave: read it, send again.
                if not self.read_errors(key) and error.errno not in (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ECONNRESET):
                    return False
            except (ValueError, OverflowError):
                return False
            else:
                return True
        return False

    def read_errors(self, key: Key) -> int:
        """Take what ICMP errors wait at a probe socket into the accounts; returns how many."""
        if not self._queued_errors.get(key):
            return 0
        count = 0
        while count < BURST and (error := icmp.read_error(self._sockets[key])) is not None:
            self._server.handle_error(
                key.listener, error.aimed_at, (error.type, error.code), error.offender, error.ttl, error.quoted, monotonic()
            )
            count += 1
        return count

    def read_all_errors(self) -> None:
        """Before an account is told."""
        for key in self._queued_errors:
            self.read_errors(key)

    def close(self) -> None:
        for made in self._sockets.values():
            made.close()


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
        for _ in range(BURST):
            try:
                data, source = receive(65535)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # an ICMP error told by the system; Windows tells it for any destination
                self._sockets.read_errors(self._key)
                continue
            answer = quick(data, source, now)
            if answer is None:
                for outbound in self._server.handle_datagram(listener, Endpoint(source[0], source[1]), data, now):
                    if not self._sockets.send(outbound):
                        self._server.counters["not sent"] += 1
                        if outbound.take_back is not None:
                            outbound.take_back()
            elif answer:
                try:
                    send(answer, source)
                except OSError:
                    self._server.counters["not sent"] += 1
