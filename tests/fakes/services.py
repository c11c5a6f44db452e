"""Services in the world of memory: those that hold ports of the client's machine, those of other hosts, and what the machine sees arrive."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from echo_server.plans.inquiry import Inquiring
from edgecheck.model.check import Counters
from edgecheck.model.machine import Holder
from edgecheck.wire import control, sip
from edgecheck.wire.address import Endpoint
from edgecheck.wire.errors import WireError

if TYPE_CHECKING:
    from tests.fakes.edge import Edge


@dataclass
class Service:
    """A program at work behind a port."""

    software: str = "a PBX"
    certificate: bytes | None = None
    """It opens TLS, and shows this."""
    speaks_sip: bool = True
    answers_strangers: bool = True
    heard: list[bytes] = field(default_factory=list)

    def reply(self, data: bytes, local: bool) -> bytes | None:
        """Its answer, to somebody on its own machine or from outside."""
        self.heard.append(data)
        if not self.speaks_sip or not (local or self.answers_strangers):
            return None
        try:
            asked = sip.parse_datagram(data)
        except WireError:
            return None
        kept = [(name, asked.get(name) or "") for name in ("Via", "From", "To", "Call-ID", "CSeq")]
        return sip.build("SIP/2.0 200 OK", [*kept, ("Server", self.software)])


@dataclass
class Computer:
    """The client's machine: its services, its firewall, and which windows on arrivals are open."""

    services: dict[tuple[str, int], Service] = field(default_factory=dict)
    owners: dict[tuple[str, int], str] = field(default_factory=dict)
    holders: dict[tuple[str, int], tuple[Holder, ...]] = field(default_factory=dict)
    """Who has a port open, on whatever address."""
    elsewhere: dict[tuple[str, int], Service] = field(default_factory=dict)
    """(transport, public port) -> a service of another host, to which a rule leads."""
    sees_packets: bool = False
    sees_connections: bool = False
    has_counters: bool = False
    keeps_marks: bool = True
    """Whether the path leaves ECN as it is."""
    drops: set[int] = field(default_factory=set)
    """Ports at which the machine's own firewall drops what comes from outside."""
    rewrites_sender: bool = False
    """The router puts its own address in the sender's place."""
    noise: Callable[[float], int] = lambda now: 0
    """Strangers' marked packets so far."""
    dropped_noise: Callable[[float], int] = lambda now: 0
    """Strangers' packets that the machine's own firewall has dropped so far: broadcasts of the neighbors."""
    seen: list[tuple[str, Endpoint, int, bytes]] = field(default_factory=list)
    marked: int = 0
    undelivered: int = 0

    def arrive(self, transport: str, source: Endpoint, port: int, data: bytes, mark: bool = False) -> None:
        """A datagram, or the first segment of a connection, comes in."""
        self.seen.append((transport, source, port, data))
        self.marked += mark
        self.undelivered += port in self.drops


class FakeSightings:
    """Implements ``Sightings`` over a machine."""

    def __init__(self, computer: Computer) -> None:
        self._computer = computer
        self._from = len(computer.seen)
        self._looked = False
        self.sees_packets = computer.sees_packets
        self.sees_connections = False

    def _seen(self, transport: str) -> list[tuple[str, Endpoint, int, bytes]]:
        return [one for one in self._computer.seen[self._from :] if one[0] == transport]

    def datagrams(self, needle: bytes) -> tuple[int, ...]:
        return tuple(port for _, _, port, data in self._seen("udp") if needle in data) if self.sees_packets else ()

    def connections(self, source: Endpoint) -> tuple[int, ...]:
        visible = self.sees_packets or self.sees_connections
        return tuple(port for _, peer, port, _ in self._seen("tcp") if peer == source) if visible else ()

    def callers(self) -> tuple[Endpoint, ...]:
        return tuple(peer for _, peer, _, _ in self._seen("tcp")) if self.sees_packets else ()

    async def look(self) -> None:
        self.sees_connections = self._computer.sees_connections

    def counters(self) -> Counters | None:
        computer = self._computer
        if not computer.has_counters:
            return None
        now = asyncio.get_running_loop().time()
        return Counters(computer.marked + computer.noise(now), computer.undelivered + computer.dropped_noise(now))

    def close(self) -> None: ...


async def inquire(edge: "Edge", plan: Inquiring, host: str) -> control.Inquired:
    """Carry an inquiry out: as ``echo_server.probing.asker`` does, without its sockets."""
    await asyncio.gather(*(_ask(edge, plan, host, port) for port in plan.ports))
    return plan.finish()


async def _ask(edge: "Edge", plan: Inquiring, host: str, port: int) -> None:
    loop, request, weather = asyncio.get_running_loop(), plan.request, edge.weather
    transport = "udp" if request.transport == "udp" else "tcp"
    first = 35_000 + edge.nat.questions % 1000
    edge.nat.questions += request.attempts
    for attempt in range(request.attempts):
        source = Endpoint(host, first + attempt * (transport == "tcp"))
        plan.left(port, source.port)
        question = plan.question(port, source.port)
        service = None
        if not weather.drops(loop.time()):
            service = _reach(edge, plan, transport, source, port, question)
        if service is not None and not weather.drops(loop.time()):
            await asyncio.sleep(2 * weather.delay)
            if transport == "tcp":
                plan.connected(port, source.port, 50.0)
                if service.certificate is not None and request.transport == "tls":
                    plan.encrypted(port, control.Certificate(subject="CN=s", issuer="CN=i", sha256=control.fingerprint(service.certificate)))
            answer = service.reply(question, local=False)
            if answer is not None and plan.heard(port, answer, Endpoint(request.address, port) if transport == "udp" else None, 50.0):
                return
            if transport == "tcp":
                return
        last = attempt == request.attempts - 1
        await asyncio.sleep((request.patience_ms if last else request.spacing_ms) / 1000)


def _reach(edge: "Edge", plan: Inquiring, transport: str, source: Endpoint, port: int, question: bytes) -> Service | None:
    """Who gets it: a service of another host, or of this machine."""
    computer = edge.computer
    if (transport, port) in computer.elsewhere:
        return computer.elsewhere[transport, port]
    local = edge.admits(transport, source, port)
    if local is None:
        return None
    shown = Endpoint("192.168.1.1", source.port) if computer.rewrites_sender else source
    computer.arrive(transport, shown, local, question, plan.request.mark and computer.keeps_marks)
    if local not in computer.drops and (transport, local) not in edge.taken:
        edge.hear(transport, local, shown, question)
    return None if local in computer.drops else computer.services.get((transport, local))
