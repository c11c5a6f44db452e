"""Ten thousand UDP ports at once: one nested selector, so that the event loop sees a single descriptor.

Where the selector has no descriptor of its own (``select`` on Windows) it is polled, and fewer ports fit at once.
"""

import asyncio
import contextlib
import selectors
import socket
import sys
from collections.abc import Callable, Iterable, Sequence

from edgecheck.model.check import Arrival
from edgecheck.net.sockets.bell import Bell
from edgecheck.net.sockets.failure import local_failure
from edgecheck.wire.address import Endpoint

_WANTED = 24_000
_SPARE = 96  # descriptors that the rest of the process needs
_SELECT_LIMIT = 400  # select() on Windows takes 512
_SLICE = 512  # sockets opened before others get a turn
_POLL_S = 0.005
_MOST_READS = 64  # of one port at a time: whoever floods it does not keep the others from being read


def capacity() -> int:
    """How many ports may be open at once; raises the soft limit on open files as far as the hard one allows."""
    if sys.platform == "win32":
        return _SELECT_LIMIT
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED if hard == resource.RLIM_INFINITY else min(_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # macOS refuses more than its own OPEN_MAX, whatever the hard limit says.
        for target in (wanted, 10_240):
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
                soft = target
                break
    limit = _WANTED if soft == resource.RLIM_INFINITY else soft
    return max(16, limit - _SPARE)


class RealPortBatch:
    """Many bound UDP sockets; what ``accept`` lets through is kept with its local port."""

    def __init__(self, accept: Callable[[bytes], bool], bell: Bell) -> None:
        self._accept = accept
        self._source = ""
        self._bell = bell
        self._loop = asyncio.get_running_loop()
        self._selector = selectors.DefaultSelector()
        self._sockets: dict[int, socket.socket] = {}
        self._poller: asyncio.Task[None] | None = None
        self.opened: frozenset[int] = frozenset()
        self.busy: dict[int, str] = {}
        self.arrivals: list[tuple[int, Arrival]] = []

    @classmethod
    async def open(cls, source: str, ports: Sequence[int], accept: Callable[[bytes], bool], bell: Bell) -> "RealPortBatch":
        try:
            batch = cls(accept, bell)
        except OSError as error:
            raise local_failure("open", "a selector for many ports", error) from error
        batch._source = source
        try:
            for position, port in enumerate(ports):
                if position % _SLICE == _SLICE - 1:
                    await asyncio.sleep(0)
                batch._open_one(port)
        except BaseException:
            batch.close()
            raise
        batch.opened = frozenset(batch._sockets)
        descriptor = getattr(batch._selector, "fileno", None)
        if descriptor is not None:
            batch._loop.add_reader(descriptor(), batch._readable)
        else:
            batch._poller = asyncio.create_task(batch._poll())
        return batch

    def release(self, ports: Iterable[int]) -> None:
        for port in ports:
            udp = self._sockets.pop(port, None)
            if udp is not None:
                self._selector.unregister(udp)
                udp.close()
        self.opened = frozenset(self._sockets)

    def retake(self, ports: Iterable[int]) -> None:
        for port in ports:
            if port not in self._sockets:
                self._open_one(port)
        self.opened = frozenset(self._sockets)

    def _open_one(self, port: int) -> None:
        source = self._source
        family = socket.AF_INET6 if ":" in source else socket.AF_INET
        try:
            udp = socket.socket(family, socket.SOCK_DGRAM)
        except OSError as error:
            self.busy[port] = local_failure("open", f"a socket for port {port}", error).reason
            return
        try:
            udp.setblocking(False)
            udp.bind((source, port))
            self._selector.register(udp, selectors.EVENT_READ, port)
        except (OSError, ValueError) as error:
            udp.close()
            self.busy[port] = local_failure("bind", f"{Endpoint(source, port)}/udp", error).reason
            return
        self._sockets[port] = udp

    def send(self, port: int, data: bytes, to: Endpoint) -> bool:
        try:
            self._sockets[port].sendto(data, to)
        except (OSError, OverflowError):  # OverflowError: no port at all, in what a peer told
            return False
        return True

    def drain(self) -> None:
        now = self._loop.time()
        arrivals = self.arrivals
        accept = self._accept
        for key, _ in self._selector.select(0):
            udp: socket.socket = key.fileobj  # type: ignore[assignment]
            try:
                for _ in range(_MOST_READS):
                    data, address = udp.recvfrom(2048)
                    if accept(data):
                        arrivals.append((key.data, Arrival(now, Endpoint(address[0], address[1]), data)))
            except OSError:  # nothing more to read, or an ICMP error that the receipt tells better
                continue

    def _readable(self) -> None:
        self.drain()
        self._bell.ring()

    async def _poll(self) -> None:
        while True:
            if self._sockets:
                self._readable()
            await asyncio.sleep(_POLL_S)

    def close(self) -> None:
        descriptor = getattr(self._selector, "fileno", None)
        if self._poller is not None:
            self._poller.cancel()
        elif descriptor is not None and self._selector.get_map() is not None:
            self._loop.remove_reader(descriptor())
        self._selector.close()
        for udp in self._sockets.values():
            udp.close()
        self._sockets.clear()
