"""The whole world in memory: the client's real network code, a NAT, a lossy path with delay, and the real server's core.

Nothing here is mocked but sockets, wires and time.
"""

import asyncio
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from echo_server.answering.conversation import Conversation
from echo_server.control.effects import Closing, MediaOpening, Reply
from echo_server.core import EchoServer
from echo_server.outbound import Outbound
from echo_server.plans.inquiry import Inquiring
from echo_server.plans.prober import Attempt, Dialing, Sending
from echo_server.plans.sip_caller import Calling
from echo_server.roles import endpoint
from echo_server.sessions.limits import TOKEN_LIMITS
from edgecheck.model.check import Arrival, Counters, Quote
from edgecheck.model.errors import ControlLost, LocalFailure, RequestDeclined
from edgecheck.model.machine import Holder, Machine
from edgecheck.model.router import RouterFacts
from edgecheck.net.machine.memory import NoMemory
from edgecheck.net.network import EdgeNetwork
from edgecheck.net.sockets.bell import Bell
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint
from tests.fakes.ends import FakeBatch, FakeListener, FakeStream, FakeUdp
from tests.fakes.nat import CLIENT, Nat
from tests.fakes.services import Computer, FakeSightings, inquire

PRIMARY, ALTERNATE = "198.51.100.10", "198.51.100.11"
FINGERPRINT = "00" * 32
TOKEN = "a token"


@dataclass
class Weather:
    """The path: one-way delay and random loss in each direction."""

    delay: float = 0.025
    loss: float = 0.0
    seed: int = 0
    rate_limit: float | None = None
    """Datagrams a second that the edge lets through, both ways; what comes faster is dropped (a bucket of a tenth of a second)."""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._bucket = (self.rate_limit or 0) / 10
        self._at = 0.0

    def drops(self, now: float) -> bool:
        if self.rate_limit is not None:
            self._bucket = min(self.rate_limit / 10, self._bucket + (now - self._at) * self.rate_limit)
            self._at = now
            if self._bucket < 1:
                return True
            self._bucket -= 1
        return self._random.random() < self.loss


class Edge:
    """A client behind ``nat`` and a server outside. Is the transport and the session of the client's network."""

    def __init__(
        self,
        nat: Nat,
        weather: Weather | None = None,
        *,
        alternate: bool = True,
        media: tuple[int, int] | None = (10_000, 20_000),
        alternate_dead: bool = False,
        port_capacity: int = 20_000,
        reach: tuple[control.ReachPort, ...] = (),
        certificate: str = FINGERPRINT,
        machine: Machine | None = None,
        clock_ahead: float = 0.0,
        server: EchoServer | None = None,
        limits: control.Limits = TOKEN_LIMITS,
    ) -> None:
        """``server``: another edge's, so that two machines use one; made anew where None, with these ``limits``."""
        self.machine = machine or Machine(interface="eth0", tunnel=False)
        """What the client's machine says of itself."""
        self.clock_ahead = clock_ahead
        """Seconds by which its clock is wrong."""
        self.nat = nat
        self.weather = weather or Weather()
        self.source = nat.public if not nat.translate else CLIENT
        self.bell = Bell()
        self.port_capacity = port_capacity
        self.sees_quotes = False
        self.lost: str | None = None
        self.udp: dict[int, FakeUdp] = {}
        self.batches: list[FakeBatch] = []
        self.listeners: dict[int, FakeListener] = {}
        self.led_on: set[tuple[str, int]] = set()
        """(transport, port) that this machine's own rules lead on to a container's service; nobody holds it."""
        self.taken: set[tuple[str, int]] = set()
        """(transport, port) that another program of this machine holds."""
        self.lent: set[tuple[str, int]] = set()
        """(transport, port) that a service holds and the system lends all the same, for as long as somebody else has it open."""
        self.computer = Computer()
        self.router = RouterFacts(gateway="192.168.1.1", reason="the router 192.168.1.1 told nothing")
        """What the client's router says of itself."""
        self.router_asked = 0
        self.counted: Counters | None = None
        """What the client's machine counts of packets."""
        self.alternate_dead = alternate_dead
        self.server_blocks: set[int] = set()
        """Media ports that the server's own firewall drops."""
        self._next_port = 40_000
        self.service = control.Service(
            address=PRIMARY,
            alternate=ALTERNATE if alternate else None,
            probe_ports=(33_001 + 2 * nat.sessions, 33_002 + 2 * nat.sessions),
            media=media,
            reach=reach,
            capabilities=("alternate-address", "stun-tcp", "media", "dial", "inquire", "probe-from-sip", "udp-errors", "push")[0 if alternate else 1 :],
        )
        draws = random.Random(7)
        self.server = server or EchoServer({4: self.service}, key=b"k" * 16, draw=draws.randbytes, certificate=certificate, token=TOKEN, limits=limits, on_fault=_raise, wall=self._true_time)
        hello = self.server.greet()
        nonce = "11" * control.NONCE_SIZE
        proof = control.proof(TOKEN, "client", hello.nonce, nonce, certificate)
        said = control.Authenticate(protocol=control.PROTOCOL, version="test", nonce=nonce, certificate=certificate, proof=proof)
        admitted = self.server.admit(hello, said, Endpoint(nat.public, 50_000), asyncio.get_running_loop().time() if server else 0.0)
        assert not isinstance(admitted, control.Refused), admitted.message
        self.session, self.welcome = admitted
        self.session.service = self.service  # a server that is shared has probe sockets for every session
        nat.sessions += 1
        nat.outbound("tcp", 50_000, Endpoint(PRIMARY, 8443))

    def network(self, memory: Any = None, pace: int = 0, quick: bool = False) -> EdgeNetwork:
        return EdgeNetwork(
            self,
            self,
            self.service,
            limits=self.server.limits,
            session_name=bytes.fromhex(self.welcome.session),
            observed=self.nat.public,
            primary_host=PRIMARY,
            memory=memory or NoMemory(),
            pace=pace,
            rtt=2 * self.weather.delay,
            quick=quick,
            certificate=self.welcome.certificate,
            alternate_contacted_s=self.welcome.alternate_contacted_s,
        )

    def _true_time(self) -> float:
        return 1_700_000_000.0 + asyncio.get_running_loop().time()

    def wall_clock(self) -> float:
        return self._true_time() + self.clock_ahead

    async def read_machine(self) -> Machine:
        return self.machine

    # ---- the wires

    def _later(self, work: Callable[..., None], *values: Any) -> None:
        loop = asyncio.get_running_loop()
        if not self.weather.drops(loop.time()):
            loop.call_later(self.weather.delay, work, *values)

    def _of_this_machine(self, port: int, data: bytes, to: Endpoint) -> None:
        source = Endpoint(self.source, port)
        self.computer.arrive("udp", source, to.port, data)
        self.computer.undelivered -= to.port in self.computer.drops  # the loopback interface is not filtered
        service = self.computer.services.get(("udp", to.port))
        answer = service.reply(data, local=True) if service else None
        if answer is not None:
            asyncio.get_running_loop().call_later(0.001, self._deliver, port, Arrival(0.0, to, answer))

    def send(self, port: int, data: bytes, to: Endpoint, ttl: int | None) -> None:
        """One datagram leaves a socket. Here nothing expires on the way: see ``expiring``."""
        self.from_client(port, data, to)

    def from_client(self, port: int, data: bytes, to: Endpoint) -> None:
        if to.host == self.source and ("udp", to.port) in self.taken | self.led_on | self.lent:
            self._of_this_machine(port, data, to)
            return
        if to.host == self.source:
            asyncio.get_running_loop().call_later(0.001, self._deliver, to.port, Arrival(0.0, Endpoint(self.source, port), data))
            if self.sees_quotes and to.port not in self.udp and port in self.udp:
                self.udp[port].quotes.append(Quote(at=0.0, icmp_type=3, icmp_code=3, offender=self.source, to=to, data=data))
                self.bell.ring()
            return
        if to.host == self.nat.public and self.nat.translate:
            self._hairpin(port, data, to)
            return
        seen = self.nat.outbound("udp", port, to)
        if seen is not None:
            self._later(self._at_server, seen, data, to)

    def _hairpin(self, port: int, data: bytes, to: Endpoint) -> None:
        if self.nat.hairpinning:
            seen = self.nat.outbound("udp", port, to)
            local = self.nat.inbound("udp", seen, to.port) if seen else None
            if seen is not None and local is not None:
                self._later(self._deliver, local, Arrival(0.0, seen, data))

    def _at_server(self, seen: Endpoint, data: bytes, to: Endpoint) -> None:
        listener = self._listener(to)
        if listener is not None:
            self._carry_out(self.server.handle_datagram(listener, seen, data, asyncio.get_running_loop().time()))

    def _listener(self, at: Endpoint) -> str | None:
        if at.host == ALTERNATE and self.alternate_dead:
            return None
        for listener in ("A1", "A2", "B1", "B2", "sip:5060", "sip:5080"):
            if endpoint(self.service, listener) == at and (listener[0] != "B" or self.service.alternate):
                return listener
        if at.host == PRIMARY and (4, at.port) in self.server.media_ports and at.port not in self.server_blocks:
            return f"media:{at.port}"
        return None

    def _carry_out(self, outbound: Sequence[Outbound]) -> None:
        for one in outbound:
            source = endpoint(self.service, one.sender)
            if not (source.host == ALTERNATE and self.alternate_dead):
                self._later(self._at_edge, source, one.destination, one.data)

    def _at_edge(self, source: Endpoint, destination: Endpoint, data: bytes) -> None:
        local = self.nat.inbound("udp", source, destination.port)
        if local is not None:
            self._deliver(local, Arrival(0.0, source, data))

    def hear(self, transport: str, port: int, source: Endpoint, data: bytes) -> None:
        """A question of the server's arrives at a socket of this test's, where there is one."""
        if transport == "udp":
            self._later(self._deliver, port, Arrival(0.0, source, data))
        elif port in self.listeners:
            self.listeners[port].accepted.append(FakeStream(self, self.listeners[port].local, source, bytearray().extend))

    def _deliver(self, port: int, arrival: Arrival) -> None:
        arrival = Arrival(asyncio.get_running_loop().time(), arrival.source, arrival.data)
        if port in self.udp:
            self.udp[port].inbox.append(arrival)
        else:
            for batch in self.batches:
                if port in batch.opened:
                    batch.receive(port, arrival)
        self.bell.ring()

    # ---- the client's transport

    def _free_port(self) -> int:
        self._next_port += 1
        return self._next_port

    async def open_udp(self, port: int) -> FakeUdp:
        if ("udp", port) in self.taken:
            raise LocalFailure("port-in-use", f"Could not bind {port}/udp: another program on this machine holds it.")
        port = port or self._free_port()
        self.udp[port] = FakeUdp(self, Endpoint(self.source, port))
        return self.udp[port]

    async def owners(self, transport: str, ports: Collection[int]) -> dict[int, str]:
        return {port: self.computer.owners[transport, port] for port in ports if (transport, port) in self.computer.owners}

    async def holders(self, transport: str, ports: Collection[int]) -> dict[int, tuple[Holder, ...]]:
        found = {port: self.computer.holders.get((transport, port), ()) for port in ports}
        return {port: holders for port, holders in found.items() if holders}

    def watch(self) -> FakeSightings:
        return FakeSightings(self.computer)

    async def open_ports(self, ports: Sequence[int], accept: Callable[[bytes], bool]) -> FakeBatch:
        return FakeBatch(self, ports, accept)

    async def listen_tcp(self, port: int) -> FakeListener:
        if ("tcp", port) in self.taken:
            raise LocalFailure("port-in-use", f"Could not bind {port}/tcp: another program on this machine holds it.")
        port = port or self._free_port()
        self.listeners[port] = FakeListener(self, Endpoint(self.source, port))
        return self.listeners[port]

    def counters(self) -> Counters | None:
        return self.counted

    async def connect(self, to: Endpoint, port: int, timeout: float, *, tls: bool, ttl: int | None = None) -> FakeStream:
        port = port or self._free_port()
        if to.host == self.source:
            return self._connect_here(to, port, tls)
        seen = self.nat.outbound("tcp", port, to)
        listener = self._listener(to)
        await asyncio.sleep(2 * self.weather.delay)
        if seen is None or listener is None:
            raise LocalFailure("timeout", f"Could not connect to {to}: no answer in time.")
        talk = self.server.open_stream(listener, "tcp", seen, asyncio.get_running_loop().time())

        def hear(data: bytes) -> None:
            loop = asyncio.get_running_loop()
            loop.call_later(self.weather.delay, stream.deliver, talk.feed(data, loop.time()))

        def push(data: bytes) -> None:
            asyncio.get_running_loop().call_later(self.weather.delay, stream.deliver, data)

        stream = FakeStream(self, Endpoint(self.source, port), to, hear)
        talk.write = push
        talk.write_expiring = lambda data, hops: self._expire(talk, to, seen, hops)
        return stream

    def _expire(self, talk: Conversation, source: Endpoint, to: Endpoint, hops: int) -> None:
        """What the server sends on a connection is to expire on the way: nobody says anything here."""

    async def read_router(self) -> RouterFacts:
        self.router_asked += 1
        await asyncio.sleep(0.01)
        return self.router

    def _connect_here(self, to: Endpoint, port: int, tls: bool) -> FakeStream:
        if to.port in self.listeners and ("tcp", to.port) not in self.led_on:
            mine = FakeStream(self, Endpoint(self.source, port), to, bytearray().extend)
            self.listeners[to.port].accepted.append(FakeStream(self, to, mine.local, bytearray().extend))
            return mine
        service = self.computer.services.get(("tcp", to.port))
        if service is None or (tls and service.certificate is None):
            raise LocalFailure("refused", f"Could not connect to {to}: the connection was refused.")

        def hear(data: bytes) -> None:
            stream.deliver(service.reply(data, local=True) or b"")

        stream = FakeStream(self, Endpoint(self.source, port), to, hear)
        stream.certificate = service.certificate if tls else None
        self.computer.arrive("tcp", stream.local, to.port, b"")
        return stream

    # ---- the client's control session

    async def ask(self, make: Callable[[int], control.Request], timeout: float = 30.0) -> control.Reply:
        if self.lost is not None:
            raise ControlLost(f"The server was lost in mid-run: {self.lost}.")
        await asyncio.sleep(self.weather.delay)
        loop = asyncio.get_running_loop()
        request = make(1)
        # Through the wire and back, so that a message that would not survive it fails here.
        effects = self.server.handle_request(self.session, control.parse(control.serialize(request)), loop.time())
        reply: control.Reply | None = None
        for effect in effects:
            if isinstance(effect, Reply):
                reply = effect.message
            elif isinstance(effect, Sending | Calling):
                began = loop.time()
                if isinstance(effect, Sending) and effect.fresh:
                    effect.leave_from([self._fresh(role, number) for role, number in effect.fresh])
                for at, outbound in effect.steps():
                    await asyncio.sleep(max(0.0, began + at - loop.time()))
                    effect.left(outbound)
                    self._carry_out([outbound])
                reply = effect.finish()
            elif isinstance(effect, MediaOpening):
                for port in effect.ports:
                    effect.opened(port)
                reply = effect.finish()
            elif isinstance(effect, Dialing):
                reply = await self._dial(effect)
            elif isinstance(effect, Inquiring):
                reply = await inquire(self, effect, ALTERNATE if effect.local == "B" else PRIMARY)
            else:
                assert isinstance(effect, Closing)
        await asyncio.sleep(self.weather.delay)
        assert reply is not None
        reply = control.parse(control.serialize(reply))  # type: ignore[assignment]
        if isinstance(reply, control.Declined):
            raise RequestDeclined(reply.reason, reply.message)
        return reply

    def _fresh(self, role: str, number: int) -> str:
        """The listener of a further socket of this session: no two sessions behind one NAT have the same port."""
        return f"{role}:{45_000 + 64 * self.nat.sessions + 2 * number + (role == 'BX')}"

    def admits(self, transport: str, source: Endpoint, port: int) -> int | None:
        """The local port to which a packet for this public one is let through."""
        return self.nat.inbound(transport, source, port)

    async def _dial(self, dialing: Dialing) -> control.Dialed:
        loop = asyncio.get_running_loop()
        host = ALTERNATE if dialing.local == "B" else PRIMARY
        for port in dialing.ports:
            for attempt in range(dialing.request.attempts):
                source = Endpoint(host, 36_000 + self.nat.calls % 20_000)
                self.nat.calls += 1
                dialing.left(port)
                local = None if self.weather.drops(loop.time()) else self.admits("tcp", source, port)
                listener = self.listeners.get(local) if local is not None else None
                if listener is None:
                    dialing.ended(port, Attempt("silent", 900.0))
                    continue
                heard = bytearray()
                stream = FakeStream(self, listener.local, source, heard.extend)
                listener.accepted.append(stream)
                stream.deliver(dialing.greeting(port, attempt, source.port))
                await asyncio.sleep(2 * self.weather.delay)
                proves = dialing.proves(port, bytes(heard))
                dialing.ended(port, Attempt("proved" if proves else "connected", 50.0))
                if proves:
                    break
        return dialing.finish()


def _raise(error: Exception) -> None:
    raise error
