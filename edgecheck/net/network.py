"""The one door to the outside: ``model.check.Network`` over a transport and a control session."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextvars import ContextVar
from typing import Literal, Protocol

from edgecheck.model.check import Counters, Listener, Memory, PortBatch, Sightings, Stream, UdpSocket
from edgecheck.model.errors import ControlLost, RequestDeclined
from edgecheck.model.evidence import Answered, Exchange, Failed, Outcome, Receipt, Silent
from edgecheck.model.machine import Holder, Machine
from edgecheck.model.router import RouterFacts
from edgecheck.net.control.reach import issuer
from edgecheck.net.machine.memory import ToldMemory
from edgecheck.net.schedule import COPIES, stun_offsets, stun_patience
from edgecheck.net.sockets.transport import Transport
from edgecheck.wire import control, probe, stun
from edgecheck.wire.address import Endpoint
from edgecheck.wire.errors import WireError
from edgecheck.wire.framing import StunFramer

_CLAIM_SERIES = 0
"""Series 0 is kept for claims: no check is given it."""
_STREAM_PATIENCE_S = 3.0


STOOD_AT_GATE: ContextVar[list[float]] = ContextVar("seconds stood at the gate", default=[0.0])  # noqa: B039
"""One number, shared by all tasks of a check: what the check did not spend on its own work."""


class Session(Protocol):
    """What the network needs of a control session."""

    lost: str | None

    async def ask(self, make: Callable[[int], control.Request]) -> control.Reply: ...


class Gate:
    """Holds back whoever would contact the alternate address until nobody needs it uncontacted any more."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self.someone_waits = asyncio.Event()

    def open(self) -> None:
        self._open.set()

    async def pass_through(self) -> None:
        if not self._open.is_set():
            self.someone_waits.set()
            began = asyncio.get_running_loop().time()
            await self._open.wait()
            stood = STOOD_AT_GATE.get()
            stood[0] = max(stood[0], asyncio.get_running_loop().time() - began)


class EdgeNetwork:
    """Implements ``Network``. The same code runs over real sockets and over the tests' in-memory NAT."""

    def __init__(
        self,
        transport: Transport,
        session: Session,
        service: control.Service,
        *,
        limits: control.Limits,
        session_name: bytes,
        observed: str,
        primary_host: str,
        memory: Memory,
        pace: int,
        rtt: float,
        quick: bool = False,
        idle_tcp: bool = False,
        alternate_contacted_s: float | None = None,
        control_port: int = 8443,
        certificate: str = "",
        interceptor: str = "",
        router: asyncio.Task[RouterFacts] | None = None,
        progress: Callable[[int, int, str], None] = lambda done, total, note: None,
    ) -> None:
        """``alternate_contacted_s``: what the server told of its alternate address; ``router``: who asks the router already."""
        self._transport = transport
        self._session = session
        self.in_session = session.lost is None
        self.control_endpoint = Endpoint(primary_host, control_port)
        self.certificate = certificate
        self.interceptor = interceptor
        self._machine: asyncio.Task[Machine] | None = None
        self.service = service
        self.limits = limits
        self.session = session_name
        self.source = transport.source
        self.observed = observed
        self.memory = memory
        if service.alternate is not None and alternate_contacted_s is not None:
            self.memory = ToldMemory(memory, service.alternate, alternate_contacted_s, self.now)
        self.pace = pace
        self.quick = quick
        self.idle_tcp = idle_tcp
        self.rtt = rtt
        self.port_capacity = transport.port_capacity
        self.sees_quotes = transport.sees_quotes
        self.gate = Gate()
        self._primary_host = primary_host
        self._last_series = _CLAIM_SERIES
        self._proved = {observed}
        self._progress = progress
        self._router = router
        memory.note_contact(primary_host)

    @property
    def primary(self) -> Endpoint:
        return Endpoint(self._primary_host, self.service.stun_ports[0])

    @property
    def alternate(self) -> Endpoint | None:
        return Endpoint(self.service.alternate, self.service.stun_ports[0]) if self.service.alternate else None

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def until(self, condition: Callable[[], bool], timeout: float) -> bool:
        return await self._transport.bell.until(condition, timeout)

    def new_series(self) -> int:
        self._last_series = self._last_series % 65_535 + 1
        return self._last_series

    async def open_udp(self, port: int = 0) -> UdpSocket:
        return await self._transport.open_udp(port)

    async def open_ports(self, ports: Sequence[int], accept: Callable[[bytes], bool]) -> PortBatch:
        return await self._transport.open_ports(ports, accept)

    async def listen_tcp(self, port: int) -> Listener:
        return await self._transport.listen_tcp(port)

    async def connect_tcp(self, to: Endpoint, port: int = 0, timeout: float = 3.0, ttl: int | None = None) -> Stream:
        return await self._transport.connect(to, port, timeout, tls=False, ttl=ttl)

    async def connect_tls(self, to: Endpoint, timeout: float = 5.0) -> Stream:
        return await self._transport.connect(to, 0, timeout, tls=True)

    async def owners(self, transport: Literal["udp", "tcp"], ports: Collection[int]) -> dict[int, str]:
        return await self._transport.owners(transport, ports)

    async def holders(self, transport: Literal["udp", "tcp"], ports: Collection[int]) -> dict[int, tuple[Holder, ...]]:
        return await self._transport.holders(transport, ports)

    def watch(self) -> Sightings:
        return self._transport.watch()

    async def ask(self, make: Callable[[int], control.Request]) -> control.Reply:
        return await self._session.ask(make)

    async def account(self, series: int) -> control.Accounted | None:
        self._still_there()
        try:
            reply = await self.ask(lambda id: control.Account(id=id, series=series))
        except (ControlLost, RequestDeclined):
            return None
        return reply if isinstance(reply, control.Accounted) else None

    def _still_there(self) -> None:
        """Without its receipts a server that is gone cannot be told from a filter: no use to wait for its answers."""
        if self.in_session and self._session.lost is not None:
            raise ControlLost(f"The server was lost in mid-run: {self._session.lost}.")

    def issuer(self, certificate: bytes) -> str:
        return issuer(certificate)

    async def machine(self) -> Machine:
        if self._machine is None:
            self._machine = asyncio.ensure_future(self._transport.read_machine())
        return await asyncio.shield(self._machine)

    def wall_clock(self) -> float:
        return self._transport.wall_clock()

    async def may_contact_alternate(self) -> None:
        await self.gate.pass_through()
        if self.service.alternate is not None:
            self.memory.note_contact(self.service.alternate)

    def counters(self) -> Counters | None:
        return self._transport.counters()

    async def router(self) -> RouterFacts:
        if self.source == self.observed:
            return RouterFacts(reason="this machine has the public address itself: no router translates for it")
        if self._router is None:
            self._router = asyncio.create_task(self._transport.read_router())
        return await asyncio.shield(self._router)  # one check that is canceled takes nothing from the others

    def progress(self, done: int, total: int, note: str = "") -> None:
        self._progress(done, total, note)

    async def stun(
        self,
        socket: UdpSocket,
        to: Endpoint,
        *,
        change_address: bool = False,
        change_port: bool = False,
        series: int | None = None,
        item: int = 0,
        copies: int | None = None,
    ) -> Exchange:
        self._still_there()
        series = self.new_series() if series is None else series
        transaction = control.stun_transaction_id(self.session, series, item)
        change = (stun.change_request(change_address, change_port),) if change_address or change_port else ()
        request = stun.binding_request(transaction, *change)
        started, seen = self.now(), len(socket.inbox)
        errors_before = len(socket.errors)
        answers: list[tuple[float, Endpoint, stun.Message]] = []

        def answered() -> bool:
            nonlocal seen
            while seen < len(socket.inbox):
                arrival = socket.inbox[seen]
                seen += 1
                message = _response(arrival.data, transaction)
                if message is not None:
                    answers.append((arrival.at, arrival.source, message))
            return bool(answers)

        sent = 0
        allowed = copies or COPIES
        for offset in stun_offsets(self.rtt, allowed):
            if await self.until(answered, started + offset - self.now()):
                break
            socket.send(request, to)
            sent += 1
        else:
            await self.until(answered, started + stun_patience(self.rtt, allowed) - self.now())
        outcome: Outcome
        receipt = None
        if answers:
            at, source, message = answers[0]
            rtt = at - started
            if sent == 1:
                self.rtt = min(self.rtt, rtt) if self.rtt else rtt
            outcome = Answered(
                source=str(source),
                mapped=str(message.mapped) if message.mapped else None,
                rtt_ms=round(rtt * 1000, 2),
                copies=len(answers),
                other_address=str(message.other_address) if message.other_address else None,
                error=message.error[0] if message.error else None,
            )
        else:
            receipt = await self._stun_receipt(series, item)
            outcome = _silence(socket.errors[errors_before:], to, self.now() - started)
        asked = " CHANGE-REQUEST" * bool(change) + " ip" * change_address + " port" * change_port
        return Exchange(
            question=f"STUN Binding{asked}",
            local=str(socket.local),
            remote=str(to),
            copies=sent,
            outcome=outcome,
            receipt=receipt,
        )

    async def _stun_receipt(self, series: int, item: int) -> Receipt | None:
        account = await self.account(series)
        if account is None:
            return None
        rows = [row for row in account.received if row.item == item]
        return Receipt(
            arrived=sum(row.copies for row in rows), sent=sum(row.answered for row in rows), source=rows[0].source if rows else None
        )

    async def stun_stream(self, stream: Stream, series: int, item: int) -> Exchange:
        transaction = control.stun_transaction_id(self.session, series, item)
        started = self.now()
        stream.send(stun.binding_request(transaction))
        framer, seen = StunFramer(), 0
        answers: list[stun.Message] = []

        def answered() -> bool:
            nonlocal seen
            fresh = bytes(stream.received[seen:])
            seen += len(fresh)
            try:
                found = [_response(frame, transaction) for frame in framer.feed(fresh)]
            except WireError:
                found = []  # not STUN: whatever speaks there is not our server
            answers.extend(message for message in found if message is not None)
            return bool(answers) or stream.closed is not None

        await self.until(answered, max(_STREAM_PATIENCE_S, 8 * self.rtt))
        outcome: Outcome
        if answers:
            outcome = Answered(
                source=str(stream.remote),
                mapped=str(answers[0].mapped) if answers[0].mapped else None,
                rtt_ms=round((self.now() - started) * 1000, 2),
            )
        elif stream.closed is not None:
            outcome = Failed(operation="receive", reason=stream.closed)
        else:
            outcome = Silent(waited_ms=round((self.now() - started) * 1000, 1))
        receipt = None if answers else await self._stun_receipt(series, item)
        return Exchange(
            question="STUN Binding over TCP",
            local=str(stream.local),
            remote=str(stream.remote),
            copies=1,
            outcome=outcome,
            receipt=receipt,
        )

    async def proved(self, socket: UdpSocket) -> Endpoint | None:
        exchange = await self.stun(socket, self.primary)
        if not isinstance(exchange.outcome, Answered) or exchange.outcome.mapped is None:
            return None
        host, _, port = exchange.outcome.mapped.rpartition(":")
        mapped = Endpoint(host.strip("[]"), int(port))
        if mapped.host not in self._proved and not await self._claim(socket, mapped.host):
            return None
        return mapped

    async def _claim(self, socket: UdpSocket, host: str) -> bool:
        """UDP leaves from another public address than the control channel: show the server that it is ours too."""
        cookies: list[str] = []
        seen = len(socket.inbox)

        def claimed() -> bool:
            nonlocal seen
            while seen < len(socket.inbox):
                arrival = socket.inbox[seen]
                seen += 1
                try:
                    answer = probe.parse(arrival.data)
                except WireError:
                    continue
                if answer.kind is probe.Kind.CLAIMED and answer.session == self.session:
                    cookies.append(answer.cookie.hex())
            return bool(cookies)

        claim = probe.serialize(probe.Probe(probe.Kind.CLAIM, self.session, _CLAIM_SERIES, 0, port=socket.local.port))
        for _ in range(COPIES):
            socket.send(claim, self.primary)
            if await self.until(claimed, max(0.08, 1.5 * self.rtt)):
                break
        for cookie in cookies[:3]:
            try:
                reply = await self.ask(lambda id, cookie=cookie: control.Prove(id=id, cookie=cookie, address=host))  # type: ignore[misc]
            except (RequestDeclined, ControlLost):
                continue
            if isinstance(reply, control.Proved) and host in reply.addresses:
                self._proved.add(host)
                return True
        return False


def _response(data: bytes, transaction: bytes) -> stun.Message | None:
    """The Binding response of this transaction, or None for anything else: strays must not end the wait."""
    if data[8:20] != transaction:
        return None
    try:
        message = stun.parse(data)
    except WireError:
        return None
    return message if message.message_class in (stun.Class.SUCCESS, stun.Class.ERROR) and message.method == stun.BINDING else None


def _silence(errors: Sequence[str], to: Endpoint, waited: float) -> Outcome:
    about = [error for error in errors if str(to) in error]
    if about:
        offender = about[0].split(" from ", 1)[1].split(" ", 1)[0] if " from " in about[0] else None
        return Failed(operation="send", reason=about[0], offender=offender)
    return Silent(waited_ms=round(waited * 1000, 1))
