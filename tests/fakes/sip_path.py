"""The world of ``edge`` with SIP in it, and something on the path that reads it: an ALG, a drop, a box that answers by itself.

The ALG's deeds are those of the laboratory (``tests.lab.alg``), which were written without edgecheck's SIP code; here they act on a
path in memory, under a virtual clock, where loss and delay are exact.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgecheck.model.check import Arrival
from edgecheck.model.errors import LocalFailure
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint
from edgecheck.wire.framing import SipFramer
from tests.fakes.edge import PRIMARY, Edge, Weather
from tests.fakes.ends import FakeStream
from tests.fakes.nat import Nat
from tests.lab import alg
from tests.lab.alg import Fate

SIP_PORT, ALTERNATE_SIP_PORT, SIPS_PORT = 5060, 5080, 5061
SECOND_WAN = "203.0.113.9"
"""Where a message leaves that has a mapping of the kind ``address``; of any other kind it has another port."""
CAPABILITIES = ("sip-udp", "sip-tcp", "sip-tls")
Deed = Callable[[str, bytes, alg.Edge], Fate]
"""(``out`` or ``in``, message, mapping) -> what becomes of it."""


def does(*ids: str) -> Deed:
    """An ALG of the laboratory's: its mutations by id."""
    return lambda direction, data, edge: alg.apply(ids, direction, data, edge)


@dataclass(kw_only=True)
class Reader:
    """Something on the path that reads SIP."""

    deed: Deed
    ports: frozenset[int] = frozenset({SIP_PORT})
    transports: frozenset[str] = frozenset({"udp"})
    opens: bool = False
    """It lets in, from the server's address, whatever goes to a port that has sent a REGISTER or that an INVITE's SDP names."""


class SipPath(Edge):
    """``reader`` None: an edge that lets SIP alone."""

    def __init__(
        self,
        reader: Reader | None = None,
        weather: Weather | None = None,
        nat: Nat | None = None,
        *,
        capabilities: tuple[str, ...] = CAPABILITIES,
        blocked: frozenset[tuple[str, int]] = frozenset(),
    ) -> None:
        super().__init__(nat or Nat(allocation="random"), weather)
        self.reader = reader
        self.blocked = blocked
        """(transport, port) that nothing gets through to."""
        self.service = control.Service(address=PRIMARY, capabilities=capabilities)
        self.sent_datagrams = 0
        self.jitter: Callable[[float], float] = lambda now: 0.0
        """More delay, by the time of sending: for reordering."""
        self.outages: list[tuple[float, float]] = []
        """From when to when nothing passes."""
        self._own_mappings: dict[int, int] = {}
        self._holes: dict[tuple[str, int], int] = {}
        """(address let in, public port) -> local port."""

    def _reads(self, transport: str, port: int) -> Reader | None:
        reader = self.reader
        return reader if reader is not None and transport in reader.transports and port in reader.ports else None

    def _later(self, work: Callable[..., None], *values: Any) -> None:
        loop = asyncio.get_running_loop()
        if any(begin <= loop.time() < end for begin, end in self.outages) or self.weather.drops(loop.time()):
            return
        loop.call_later(self.weather.delay + self.jitter(loop.time()), work, *values)

    def _listener(self, at: Endpoint) -> str | None:
        return f"sip:{SIPS_PORT}" if at == Endpoint(PRIMARY, SIPS_PORT) else super()._listener(at)

    # ---- datagrams

    def from_client(self, port: int, data: bytes, to: Endpoint) -> None:
        self.sent_datagrams += 1
        seen = self.nat.outbound("udp", port, to)
        if seen is None or ("udp", to.port) in self.blocked:
            return
        reader = self._reads("udp", to.port)
        fate = reader.deed("out", data, self._mapping(port, seen, to)) if reader else Fate((data,))
        if fate.kind:
            seen = Endpoint(SECOND_WAN, seen.port) if fate.kind == "address" else Endpoint(seen.host, seen.port ^ 1)
            self._own_mappings[seen.port] = port
        if reader is not None and reader.opens and alg.is_sip(data):
            self._open(port, data, seen, to)
        for message in fate.forward:
            self._later(self._at_server, seen, message, to)
        for answer in fate.back:
            asyncio.get_running_loop().call_later(0.001, self._deliver, port, Arrival(0.0, to, answer))

    def _at_edge(self, source: Endpoint, destination: Endpoint, data: bytes) -> None:
        local = self._own_mappings.get(destination.port) or self.nat.inbound("udp", source, destination.port)
        local = local or self._holes.get((source.host, destination.port))
        if local is None:
            return
        reader = self._reads("udp", source.port)
        fate = reader.deed("in", data, self._mapping(local, destination, source)) if reader else Fate((data,))
        for message in fate.forward:
            self._deliver(fate.private_port or local, Arrival(0.0, Endpoint(source.host, fate.remote_port or source.port), message))

    def _open(self, port: int, data: bytes, seen: Endpoint, to: Endpoint) -> None:
        if alg.method(data) == "REGISTER":
            self._holes[to.host, seen.port] = port
        elif alg.method(data) == "INVITE":
            named = alg.media_port(data)
            self._holes[to.host, named] = named

    def admits(self, transport: str, source: Endpoint, port: int) -> int | None:
        return super().admits(transport, source, port) or (self._holes.get((source.host, port)) if transport == "tcp" else None)

    def _open_contact(self, data: bytes, to: Endpoint) -> None:
        """What a REGISTER over TCP names is a port of TCP."""
        found = re.search(rb"^Contact: [^\r]*:([0-9]+);transport=tcp", data, re.MULTILINE)
        if alg.method(data) == "REGISTER" and found is not None:
            self._holes[to.host, int(found[1])] = int(found[1])

    def _mapping(self, port: int, seen: Endpoint, remote: Endpoint) -> alg.Edge:
        return alg.Edge(self.source, port, seen.host, seen.port, remote.host, remote.port)

    # ---- streams: one message is one segment; a dropped one takes the connection with it

    async def connect(self, to: Endpoint, port: int, timeout: float, *, tls: bool, ttl: int | None = None) -> FakeStream:
        port = port or self._free_port()
        transport: control.Transport = "tls" if tls else "tcp"
        seen, listener = self.nat.outbound("tcp", port, to), self._listener(to)
        await asyncio.sleep(2 * self.weather.delay)
        if seen is None or listener is None or (transport, to.port) in self.blocked:
            raise LocalFailure("timeout", f"Could not connect to {to}/{transport}: no answer in time.")
        loop = asyncio.get_running_loop()
        talk = self.server.open_stream(listener, transport, seen, loop.time())
        reader, mapping, stuck, deaf = self._reads(transport, to.port), self._mapping(port, seen, to), False, False

        def hear(data: bytes) -> None:
            nonlocal stuck
            if reader is not None and reader.opens and alg.is_sip(data):
                self._open(port, data, seen, to)
                self._open_contact(data, to)
            fate = reader.deed("out", data, mapping) if reader else Fate((data,))
            stuck = stuck or not fate.forward
            for answer in fate.back:
                loop.call_later(self.weather.delay, stream.deliver, answer)
            for message in () if stuck else fate.forward:
                answer = talk.feed(message, loop.time())
                loop.call_later(self.weather.delay, come_back, answer)

        def come_back(data: bytes) -> None:
            nonlocal deaf
            for one in SipFramer().feed(data) if reader and data.startswith(b"SIP/") else [data]:
                fate = reader.deed("in", one, mapping) if reader and one else Fate((one,))
                deaf = deaf or not fate.forward
                for message in () if deaf else fate.forward:
                    stream.deliver(message)

        stream = FakeStream(self, Endpoint(self.source, port), to, hear)
        talk.write = lambda data: loop.call_later(self.weather.delay, come_back, data)  # type: ignore[assignment]
        return stream
