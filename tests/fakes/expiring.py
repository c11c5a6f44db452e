"""An edge that honors how far packets may live: routers before the box with the public address, that box, and whom its rules lead to.

Each of them tells of expired packets as it likes: never, now and then, late, or so many a second.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from echo_server.answering.conversation import Conversation
from echo_server.outbound import Outbound
from echo_server.plans.prober import Attempt, Dialing
from echo_server.roles import endpoint
from edgecheck.model.check import Arrival, Counters
from edgecheck.model.errors import LocalFailure
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint
from tests.fakes.edge import ALTERNATE, PRIMARY, Edge, Weather
from tests.fakes.ends import FakeStream
from tests.fakes.nat import Nat

Stranger = Literal["silent", "refuses", "absent", "filtered"]
"""The machine that a rule leads to: says nothing, answers that nobody listens, or is not there. Or the box itself refuses what its rule leads on,
in the same words."""
ABSENT_S = 3.0
"""How long a router looks for a machine that is not there."""
_FIRST_TTL = 64
"""Every error begins with it."""


@dataclass
class Thrift:
    """How a router deals out its ICMP errors."""

    burst: float = 1e9
    per_s: float = 1e9
    per_peer: bool = True
    """Each destination has a bucket of its own, as with Linux' ``icmp_ratelimit``; else one for all (``icmp_msgs_per_sec``)."""
    silence: float = 0.0
    """Share of errors that it does not send, at random."""
    late_s: float = 0.0
    """Its errors come up to so much later."""
    _buckets: dict[str, tuple[float, float]] = field(default_factory=dict)

    def allows(self, peer: str, now: float, draw: random.Random) -> bool:
        """Whether it sends one more error to this peer; takes it."""
        key = peer if self.per_peer else ""
        tokens, at = self._buckets.get(key, (self.burst, now))
        tokens = min(self.burst, tokens + (now - at) * self.per_s)
        spends = tokens >= 1
        self._buckets[key] = (tokens - spends, now)
        return spends and draw.random() >= self.silence


class ExpiringEdge(Edge):
    """An ``Edge`` with hops. ``rules``: (transport, public port) -> another machine to which the box leads it."""

    def __init__(
        self,
        nat: Nat | None = None,
        weather: Weather | None = None,
        *,
        box: Thrift | None = None,
        rejects: bool = False,
        rules: dict[tuple[str, int], Stranger] | None = None,
        upstream: Sequence[Thrift] | None = None,
        inner: Sequence[Thrift] = (),
        provider_drops: frozenset[int] = frozenset(),
        tells_of_tcp: bool = True,
        seed: int = 0,
    ) -> None:
        """``inner``: routers between the box and this machine, seen from outside under the box's address. ``tells_of_tcp``: whether the box
        tells of expired TCP at all."""
        super().__init__(nat or Nat(), weather)
        self.box = box or Thrift()
        self.rejects = rejects
        self.rules = rules or {}
        self.upstream = tuple(upstream) if upstream is not None else (Thrift(), Thrift())
        self.inner = tuple(inner)
        self.provider_drops = provider_drops
        self.tells_of_tcp = tells_of_tcp
        self.counted = Counters(0, 0)
        self.service = msgspec.structs.replace(self.service, capabilities=(*self.service.capabilities, "hop-limit"))
        self.random = random.Random(seed)

    def send(self, port: int, data: bytes, to: Endpoint, ttl: int | None) -> None:
        if ttl is None or ttl > self._hops_out:
            super().send(port, data, to, None)
        elif ttl > len(self.inner) + 1:
            self.nat.outbound("udp", port, to)  # it dies behind the box, which has seen it

    @property
    def _hops_out(self) -> int:
        return len(self.inner) + 1 + len(self.upstream)

    async def connect(self, to: Endpoint, port: int, timeout: float, *, tls: bool, ttl: int | None = None) -> FakeStream:
        if ttl is None or ttl > self._hops_out:
            return await super().connect(to, port, timeout, tls=tls)
        if ttl > len(self.inner) + 1:
            self.nat.outbound("tcp", port, to)
        await asyncio.sleep(timeout)
        raise LocalFailure("timeout", f"Could not connect to {to}: no answer in time.")

    def _expire(self, talk: Conversation, source: Endpoint, to: Endpoint, hops: int) -> None:
        loop = asyncio.get_running_loop()

        def end() -> None:
            talk.expired = True

        met = None if self.weather.drops(loop.time()) else self._meets("tcp", source, to.port, hops)
        if isinstance(met, tuple) and not self.weather.drops(loop.time()):
            loop.call_later(met[0] + 2 * self.weather.delay, end)

    # ---- from outside

    def _carry_out(self, outbound: Sequence[Outbound]) -> None:
        for one in outbound:
            self._later(self._come_in, one)

    def _come_in(self, one: Outbound) -> None:
        source = endpoint(self.service, one.sender)
        met = self._meets("udp", source, one.destination.port, one.hops or 64)
        if isinstance(met, int):
            self._deliver(met, Arrival(0.0, source, one.data))
        elif met is not None:
            wait, kind, offender, ttl = met

            def tell() -> None:
                now = asyncio.get_running_loop().time()
                self.server.handle_error(one.sender, one.destination, kind, offender, ttl, one.data, now)

            asyncio.get_running_loop().call_later(wait, self._later, tell)

    def _meets(self, transport: str, source: Endpoint, port: int, hops: int) -> int | tuple[float, tuple[int, int], str, int] | None:
        """The local port that it reaches; or an error: after so many seconds, of this kind, from this address, with this TTL; or nothing."""
        box = len(self.upstream) + 1
        for number, router in enumerate(self.upstream, 1):
            if port in self.provider_drops and number == len(self.upstream):
                return None
            if hops == number:
                return self._tells(router, source, (11, 0), f"203.0.113.{200 + number}", number)
        local = self.nat.inbound(transport, source, port)  # what this machine has begun goes before any rule
        stranger = self.rules.get((transport, port)) if local is None else None
        if stranger is None and local is None:
            return self._tells(self.box, source, (3, 13), self.nat.public, box) if self.rejects else None
        hops -= len(self.upstream) + 1
        if hops <= 0:
            if transport == "tcp" and not self.tells_of_tcp:
                return None
            return self._tells(self.box, source, (11, 0), self.nat.public, box)
        if stranger is not None:
            wait = {"silent": None, "refuses": 0.0, "absent": ABSENT_S, "filtered": 0.0}[stranger]
            if wait is None:
                return None
            thrift = Thrift() if stranger == "refuses" else self.box
            kind = (3, 1) if stranger == "absent" else (3, 3)
            return self._tells(thrift, source, kind, self.nat.public, box + (stranger == "refuses"), wait)
        for number, router in enumerate(self.inner, box + 1):
            if hops == number - box:
                return self._tells(router, source, (11, 0), self.nat.public, number)
        return local

    def admits(self, transport: str, source: Endpoint, port: int) -> int | None:
        met = self._meets(transport, source, port, 64)
        return met if isinstance(met, int) else None

    def _tells(
        self, router: Thrift, peer: Endpoint, kind: tuple[int, int], offender: str, hops: int, wait: float = 0.0
    ) -> tuple[float, tuple[int, int], str, int] | None:
        """``hops``: from the server to who tells."""
        if not router.allows(peer.host, asyncio.get_running_loop().time(), self.random):
            return None
        return wait + self.random.uniform(0, router.late_s), kind, offender, _FIRST_TTL + 1 - hops

    async def _dial(self, dialing: Dialing) -> control.Dialed:
        plan = dialing.request
        await asyncio.gather(*(self._attempt(dialing, port, number) for port in dialing.ports for number in range(plan.attempts)))
        return dialing.finish()

    async def _attempt(self, dialing: Dialing, port: int, number: int) -> None:
        plan, weather, loop = dialing.request, self.weather, asyncio.get_running_loop()
        await asyncio.sleep(number * plan.spacing_ms / 1000)
        host = ALTERNATE if dialing.local == "B" else PRIMARY
        source = Endpoint(host, plan.source_port or 34_000 + number)
        dialing.left(port)
        await asyncio.sleep(weather.delay)
        met = None if weather.drops(loop.time()) else self._meets("tcp", source, port, plan.hops or 64)
        patience = plan.patience_ms / 1000 - weather.delay
        if isinstance(met, tuple) and met[0] + weather.delay < patience and not weather.drops(loop.time()):
            wait, (kind, code), offender, ttl = met
            await asyncio.sleep(wait + weather.delay)
            told = control.ErrorRow(port=port, sender=f"{dialing.local}/tcp", icmp_type=kind, icmp_code=code, offender=offender, ttl=ttl)
            dialing.ended(port, Attempt("unreachable", 50.0, f"ICMP {kind}/{code} from {offender}", told))
            return
        listener = self.listeners.get(met) if isinstance(met, int) else None
        if listener is None:
            await asyncio.sleep(patience)
            dialing.ended(port, Attempt("silent", 900.0))
            return
        heard = bytearray()
        stream = FakeStream(self, listener.local, source, heard.extend)
        listener.accepted.append(stream)
        stream.deliver(dialing.greeting(port, number, source.port))
        await asyncio.sleep(2 * weather.delay)
        dialing.ended(port, Attempt("proved" if dialing.proves(port, bytes(heard)) else "connected", 50.0))
