"""A row of routers in memory, for packets that expire on the way: who owns the public address, who speaks, who is tired of speaking."""

import asyncio
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edgecheck.model.check import Arrival, Memory, Quote
from edgecheck.model.evidence import Answered, Exchange
from edgecheck.model.machine import Machine
from edgecheck.model.router import RouterFacts
from edgecheck.net.machine.memory import NoMemory
from edgecheck.net.sockets.bell import Bell
from edgecheck.wire.address import Endpoint
from tests.fakes.nat import CLIENT, PUBLIC

SERVER = Endpoint("198.51.100.10", 3478)


@dataclass
class Router:
    """One hop. Linux looks at the TTL before its rules; other systems filter first."""

    address: str
    owns: bool = False
    """The public address is its own."""
    takes: str = "refuse"
    """What it does with a packet for itself: ``refuse`` (port unreachable) or ``drop``."""
    speaks: bool = True
    """Of expired packets."""
    filters: str = ""
    """Before it looks at TTL or address, packets to ports above 5000 are dropped (``drop``) or refused (``refuse``)."""
    errors_a_second: float | None = None
    """ICMP rate limit, after a burst of six; None = no limit."""
    tokens: float = 6.0
    asked: float = 0.0

    def may_speak(self, now: float) -> bool:
        """Whether its rate limit allows an ICMP error now; takes it."""
        if self.errors_a_second is None:
            return True
        self.tokens = min(6.0, self.tokens + (now - self.asked) * self.errors_a_second)
        self.asked = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass
class HopSocket:
    world: "HopWorld"
    local: Endpoint
    inbox: list[Arrival] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    quotes: list[Quote] = field(default_factory=list)

    def send(self, data: bytes, to: Endpoint, ttl: int | None = None) -> None:
        self.world.send(self, data, to, ttl or 64)

    def close(self) -> None: ...


class HopWorld:
    """Implements as much of ``Network`` as walks need. ``loss`` is per packet and way; ``delay`` is the round trip of each hop, seconds."""

    def __init__(self, *routers: Router, loss: float = 0.0, delay: float = 0.005, late: float = 0.0, seed: int = 0) -> None:
        self.routers = routers
        self.loss, self.delay, self.late = loss, delay, late
        self.source, self.observed, self.primary = CLIENT, PUBLIC, SERVER
        self.session, self.sees_quotes, self.rtt = bytes(8), True, delay * len(routers)
        self.memory: Memory = NoMemory()
        self.told = RouterFacts(reason="not asked")
        self._bell = Bell()
        self._random = random.Random(seed)
        self._series, self._ports = itertools.count(1), itertools.count(40_000)

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def until(self, condition: Callable[[], bool], timeout: float) -> bool:
        return await self._bell.until(condition, timeout)

    async def machine(self) -> Machine:
        return Machine()

    def new_series(self) -> int:
        return next(self._series)

    def progress(self, done: int, total: int, note: str = "") -> None: ...

    async def router(self) -> RouterFacts:
        return self.told

    async def open_udp(self, port: int = 0) -> HopSocket:
        return HopSocket(self, Endpoint(self.source, next(self._ports)))

    async def stun(self, socket: HopSocket, to: Endpoint, **more: Any) -> Exchange:
        outcome = Answered(source=str(to), mapped=f"{self.observed}:{socket.local.port}", rtt_ms=1.0)
        return Exchange(question="STUN Binding", local=str(socket.local), remote=str(to), copies=1, outcome=outcome)

    def _lost(self) -> bool:
        return self._random.random() < self.loss

    def send(self, socket: HopSocket, data: bytes, to: Endpoint, ttl: int) -> None:
        """Decide at once what becomes of it; whatever comes back, comes later."""
        for number, router in enumerate(self.routers, 1):
            if self._lost():
                return
            if router.filters and to.port > 5000:
                self._error(socket, data, to, router, number, (3, 13), router.filters == "refuse")
                return
            if router.owns and to.host == self.observed:
                self._error(socket, data, to, router, number, (3, 3), router.takes == "refuse")
                return
            if number == ttl:
                self._error(socket, data, to, router, number, (11, 0), router.speaks)
                return
        if to == SERVER and not self._lost():
            self._later(len(self.routers) + 1, lambda: socket.inbox.append(Arrival(self.now(), to, b"echo")))

    def _error(
        self, socket: HopSocket, data: bytes, to: Endpoint, router: Router, hop: int, kind: tuple[int, int], speaks: bool
    ) -> None:
        if not speaks or not router.may_speak(self.now()) or self._lost():
            return
        quote = Quote(at=self.now(), icmp_type=kind[0], icmp_code=kind[1], offender=router.address, to=to, data=data)
        self._later(hop, lambda: socket.quotes.append(quote))

    def _later(self, hop: int, work: Callable[[], None]) -> None:
        def arrive() -> None:
            work()
            self._bell.ring()

        asyncio.get_running_loop().call_later(hop * self.delay + self._random.uniform(0, self.late), arrive)
