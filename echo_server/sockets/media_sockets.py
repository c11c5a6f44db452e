"""The sockets of the RTP range: opened when a session asks, a slice at a time, all under one selector of their own."""

import asyncio
import errno
import select
import socket
import sys
from time import monotonic
from typing import Any

from echo_server.answering.media import MediaPort
from echo_server.control.effects import MediaOpening
from echo_server.core import EchoServer
from echo_server.sockets.binding import Key
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint

_DESCRIPTORS = 1 << 18
"""More open files than this are of no use; some systems allow a billion."""
_SLICE = 200
"""Sockets opened or read before others get their turn: about 2 ms."""
_POLL_S = 0.005
"""Where the system has no selector that can itself be waited for (Windows)."""
_SELECT_MOST = 500
"""``select`` on Windows takes 512."""


def descriptor_budget() -> int:
    """How many sockets media may have; raises this process's limit on open files as far as it may."""
    if sys.platform == "win32":
        return 1 << 16
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _DESCRIPTORS and (hard == resource.RLIM_INFINITY or soft < hard):
        wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError):
            pass  # macOS has a lower bound of its own
    if soft == resource.RLIM_INFINITY:
        return 1 << 16
    return max(0, soft - min(4096, max(128, soft // 4)))


class MediaSockets:
    """Open media sockets, by family and port."""

    def __init__(self, server: EchoServer, hosts: dict[int, str], budget: int) -> None:
        """``hosts``: the address to bind, by family. ``budget``: most sockets."""
        self._server = server
        self._hosts = hosts
        self._budget = budget
        self._open: dict[Key, socket.socket] = {}
        self._by_descriptor: dict[int, tuple[socket.socket, str]] = {}
        self._poller: Any = None
        self._polling: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the loop call us when media arrives."""
        self._loop = loop
        if hasattr(select, "epoll"):
            self._poller = select.epoll()
        elif hasattr(select, "kqueue"):
            self._poller = _Kqueue()
        if self._poller is not None:
            loop.add_reader(self._poller.fileno(), self._drain)
        else:
            self._polling = loop.call_later(_POLL_S, self._poll)

    def close(self) -> None:
        if self._loop is not None and self._poller is not None:
            self._loop.remove_reader(self._poller.fileno())
            self._poller.close()
        if self._polling is not None:
            self._polling.cancel()
        for made in self._open.values():
            made.close()
        self._open.clear()
        self._by_descriptor.clear()

    async def open(self, opening: MediaOpening) -> tuple[control.MediaOpened, str | None]:
        """Open what is asked for; returns the reply, and why something is missing from it."""
        trouble = None
        family = opening.session.family
        for count, port in enumerate(opening.ports, 1):
            if opening.session.ended:
                break
            try:
                self._ensure(Key(f"media:{port}", family), port)
                opening.opened(port)
            except OSError as error:
                trouble = f"media port {port} cannot be bound: {error.strerror}"
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    break
            if count % _SLICE == 0:
                await asyncio.sleep(0)
        return opening.finish(), trouble

    def _ensure(self, key: Key, port: int) -> None:
        if key in self._open:
            return
        if len(self._open) >= self._budget:
            raise OSError(errno.EMFILE, "as many as the limit on open files allows are open")
        host = self._hosts[key.family]
        made = socket.socket(socket.AF_INET6 if key.family == 6 else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            made.setblocking(False)
            if key.family == 6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.bind((host, port))
            if self._poller is not None:
                self._poller.register(made.fileno(), select.EPOLLIN if hasattr(select, "epoll") else 0)
        except OSError:
            made.close()
            raise
        self._open[key] = made
        self._by_descriptor[made.fileno()] = (made, key.listener)

    async def shut(self, ports: list[MediaPort]) -> None:
        """Close the sockets of these, unless a session took them into use while others had their turn."""
        for count, (family, port) in enumerate(ports, 1):
            made = self._open.pop(Key(f"media:{port}", family), None) if (family, port) not in self._server.media_ports else None
            if made is not None:
                del self._by_descriptor[made.fileno()]
                made.close()  # which takes it out of the selector too
            if count % _SLICE == 0:
                await asyncio.sleep(0)

    def _drain(self) -> None:
        now = monotonic()
        for descriptor, _ in self._poller.poll(0, _SLICE):
            entry = self._by_descriptor.get(descriptor)
            if entry is not None:
                self._answer(*entry, now)

    def _poll(self) -> None:
        now = monotonic()
        sockets = list(self._open.values())
        for start in range(0, len(sockets), _SELECT_MOST):
            for made in select.select(sockets[start : start + _SELECT_MOST], [], [], 0)[0]:
                self._answer(made, self._by_descriptor[made.fileno()][1], now)
        if self._loop is not None:
            self._polling = self._loop.call_later(_POLL_S, self._poll)

    def _answer(self, made: socket.socket, listener: str, now: float) -> None:
        """One datagram: if more wait, the selector tells again."""
        try:
            data, source = made.recvfrom(4096)
        except OSError:
            return
        for outbound in self._server.handle_datagram(listener, Endpoint(source[0], source[1]), data, now):
            try:
                made.sendto(outbound.data, outbound.destination)
            except OSError:
                self._server.counters["not sent"] += 1
                if outbound.take_back is not None:
                    outbound.take_back()


class _Kqueue:
    """kqueue with the face of epoll, as far as it is needed."""

    def __init__(self) -> None:
        self._queue: Any = select.kqueue()  # type: ignore[attr-defined]

    def fileno(self) -> int:
        return int(self._queue.fileno())

    def register(self, descriptor: int, _: int) -> None:
        event = select.kevent(descriptor, select.KQ_FILTER_READ, select.KQ_EV_ADD)  # type: ignore[attr-defined]
        self._queue.control([event], 0, 0)

    def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
        return [(event.ident, 0) for event in self._queue.control(None, most, timeout)]

    def close(self) -> None:
        self._queue.close()
