"""Idle UDP flows: opened, left alone for a time, then sent to by the server. What ``mapping-lifetime`` measures with.

Theory. A NAT, or a stateful firewall, lets a packet in while it remembers that this socket has sent one out to the same address and
port. So the server sends from the contacted pair: what arrives proves that the flow was still known, for as long as nothing had passed.
Three things would make that a lie, and each has its control:

- *loss*. Silence counts only when control copies, sent between the others to a flow that was refreshed a moment before, arrived: random
  loss must not explain it any more (``model.evidence.loss_is_excluded``);
- *a rule*. A port that is forwarded, or a router that lets in everything, needs no memory. So every socket is first sent to *before* it
  has sent anything (a bare socket); whatever is let in then is not measured with;
- *time that nobody saw*. A machine that slept lost minutes that its own clock does not know of. The server's clock does: what happened
  while the two disagree is not told.

A probe that gets in may itself keep the flow alive (RFC 4787 REQ-6), so every flow is asked once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from edgecheck.checks.sip_alg.messages import Caller, options, recognize
from edgecheck.checks.unsolicited import margin, probe_of, remembered
from edgecheck.model.check import Network, UdpSocket
from edgecheck.model.errors import ControlLost, LocalFailure, RequestDeclined
from edgecheck.model.evidence import loss_is_excluded
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint, parse_endpoint
from edgecheck.wire.errors import WireError

COPIES = 16
SPACING_MS = 12
MOST_ROUNDS = 8
"""Of ``COPIES``, until silence is proved; at 20 % loss each way two are mostly enough."""
SILENCES = 100
"""Bursts of a run, about: one for each kind and idle time, and one from outside every few seconds. One death too many is a wrong bound."""
ONE_EXCHANGE_S = 1.5
"""A contact that took longer is not "one packet": Linux counts two-way traffic of more than two seconds as a stream."""
STREAM_EXCHANGES = 5
STREAM_EVERY_S = 0.8
"""A question and its answer five times over 3.2 s: well beyond those two seconds."""
STREAM_AT_LEAST_S = 2.5
CLOCKS_AGREE_S = 1.0
MOST_REJECTED = 256
SIP_COPIES = 10


@dataclass(frozen=True)
class Flow:
    """A socket that has contacted the server and is left alone from now on."""

    socket: UdpSocket
    mapped: Endpoint
    began: float
    """The last packet that crossed the edge did so at this time at the earliest ..."""
    quiet: float
    """... and at this time at the latest."""


@dataclass(frozen=True)
class Burst:
    """Copies that the server sent to one idle flow, and those to the control between them."""

    copies: int = 0
    arrived: int = 0
    control: int = 0
    """Of as many copies."""
    began: float = 0.0
    last: float = 0.0
    """When the last copy had left the server, at the latest."""
    reason: str = ""
    """Why it proves nothing, whatever arrived."""
    lost: bool = False
    """The session is gone: nothing more can be asked."""

    @property
    def silence_proved(self) -> bool:
        """Whether random loss no longer explains what did not arrive."""
        return loss_is_excluded(self.control, self.copies, self.copies, among=SILENCES)

    @property
    def alive(self) -> bool | None:
        """Whether the flow was still known; None = could not tell."""
        if self.reason:
            return None
        return True if self.arrived else False if self.silence_proved else None


class ServerClock:
    """Whether this machine's clock went on: it is held against the server's."""

    def __init__(self, net: Network) -> None:
        self._net = net
        self._start = (0.0, 0.0, 0.0)

    async def start(self) -> float:
        """Begin; the age of the session in seconds. Raises ``ControlLost``, ``RequestDeclined``."""
        self._start = await self._read()
        return self._start[1]

    async def agrees(self) -> bool:
        """Whether both clocks have counted the same since the start."""
        (before, server, after), (first_before, first_server, first_after) = await self._read(), self._start
        passed = server - first_server
        return before - first_after - CLOCKS_AGREE_S <= passed <= after - first_before + CLOCKS_AGREE_S

    async def _read(self) -> tuple[float, float, float]:
        """(our time before, the server's, ours after)."""
        before = self._net.now()
        reply = await self._net.ask(lambda id: control.Ping(id=id))
        if not isinstance(reply, control.Pong):
            raise RequestDeclined("fault", "The server does not tell its time.")
        return before, reply.at_ms / 1000, self._net.now()


async def contact_once(net: Network, socket: UdpSocket, line: "Line | None" = None) -> Flow | None:
    """One question and its answer; None when there was none, or it took so long that it may count as a stream."""
    began = net.now()
    mapped = await (line or stun_line(net)).contact(net, socket)
    ended = net.now()
    return Flow(socket, mapped, began, ended + margin(net)) if mapped is not None and ended - began <= ONE_EXCHANGE_S else None


async def converse(net: Network, socket: UdpSocket) -> Flow | None:
    """Two-way traffic over some seconds, the last question answered; None where that did not come about."""
    first_answer: float | None = None
    for turn in range(STREAM_EXCHANGES + 3):
        began = net.now()
        mapped = await net.proved(socket)
        if mapped is not None:
            if first_answer is None:
                first_answer = net.now()
            if turn >= STREAM_EXCHANGES - 1 and began - first_answer >= STREAM_AT_LEAST_S:
                return Flow(socket, mapped, began, net.now() + margin(net))
        await net.sleep(max(0.0, began + STREAM_EVERY_S - net.now()))
    return None


@dataclass(frozen=True)
class Line:
    """From which of its sockets the server sends, and how a flow towards that socket is opened."""

    sender: control.Sender
    source: Endpoint
    contact: Callable[[Network, UdpSocket], Awaitable[Endpoint | None]]
    """The mapped endpoint of one exchange; None where no answer came."""


def stun_line(net: Network) -> Line:
    """The contacted pair of everything else: A1."""
    return Line("A1", net.primary, lambda net, socket: net.proved(socket))


def sip_line(net: Network) -> Line | None:
    """SIP's own port, by SIP: what an ALG sees of a phone. None where the server does not send from there."""
    if "probe-from-sip" not in net.service.capabilities:
        return None
    return Line("SIP", Endpoint(net.primary.host, net.service.sip_port), ask_by_sip)


async def ask_by_sip(net: Network, socket: UdpSocket) -> Endpoint | None:
    """One OPTIONS and its answer; where it came from, as the server saw it: what an ALG writes into SIP is not believed."""
    to = Endpoint(net.primary.host, net.service.sip_port)
    series = net.new_series()
    asked = options(Caller(transport="udp", local=socket.local, server=to, session=net.session, series=series, channel=0))
    start = len(socket.inbox)

    def answered() -> bool:
        return any(
            arrival.source == to and arrival.data.startswith(b"SIP/2.0 ") and recognize(arrival.data, net.session, series) == asked.item
            for arrival in socket.inbox[start:]
        )

    for _ in range(SIP_COPIES):
        socket.send(asked.data, to)
        if await net.until(answered, max(0.08, 1.5 * net.rtt)):
            break
    if not answered():
        return None
    account = await net.account(series)
    rows = [row for row in account.received if row.item == asked.item] if account is not None else []
    try:
        return parse_endpoint(rows[0].source) if rows else None
    except WireError:
        return None


class Prober:
    """Has flows sent to, beside a control: one socket that is refreshed before each burst.

    One flow at a time, so that the control's arrivals are this burst's. All bursts share a series: the server keeps one account of them.
    """

    def __init__(self, net: Network, socket: UdpSocket, clock: ServerClock, line: Line | None = None) -> None:
        self.line = line or stun_line(net)
        self.mapped: Endpoint | None = None
        """Of the control, when it last got an answer."""
        self.socket = socket
        self._net = net
        self._clock = clock
        self._series = net.new_series()

    async def refresh(self) -> bool:
        """Keep the control alive; whether it was answered."""
        try:
            mapped = await self.line.contact(self._net, self.socket)
        except ControlLost:
            return False  # the burst that follows tells
        self.mapped = mapped or self.mapped
        return mapped is not None

    async def burst(self, flow: Flow, copies: int = COPIES, rounds: int = MOST_ROUNDS) -> Burst:
        """Send until something arrived or silence is proved. Never raises for a server that is gone or declines."""
        net, began = self._net, self._net.now()
        copies = min(copies, net.limits.copies)
        sent = arrived = heard = 0
        last = began
        at, control_at = len(flow.socket.inbox), len(self.socket.inbox)
        try:
            for _ in range(rounds):
                failed = await self._send(flow.mapped, copies)
                last = net.now()
                sent += max(0, copies - failed)
                await net.until(lambda wanted=sent: self._count(flow.socket, at) >= wanted, margin(net))  # type: ignore[misc]
                arrived, heard = self._count(flow.socket, at), self._count(self.socket, control_at)
                if arrived or loss_is_excluded(heard, sent, sent, among=SILENCES):
                    break
            steady = await self._clock.agrees()
        except (ControlLost, RequestDeclined) as error:
            return Burst(sent, arrived, heard, began, net.now(), str(error), isinstance(error, ControlLost))
        return Burst(sent, arrived, heard, began, last, "" if steady else "this machine's clock and the server's disagree: did it sleep?")

    async def _send(self, target: Endpoint, copies: int) -> int:
        """Ask for one round of copies to a flow and the control; how many of them the server could not send."""
        aimed: dict[str, set[int]] = {target.host: {target.port}}
        if self.mapped is not None:  # where a network leaves by several public addresses, each has its own request
            aimed.setdefault(self.mapped.host, set()).add(self.mapped.port)
        sender = self.line.sender
        return sum(await asyncio.gather(*(send(self._net, self._series, host, ports, copies, sender) for host, ports in aimed.items())))

    def _count(self, socket: UdpSocket, start: int) -> int:
        return arrivals(self._net, socket, self._series, start, self.line.source)

    async def let_in_bare(self, sockets: Sequence[UdpSocket]) -> tuple[list[UdpSocket], Burst]:
        """Which of these sockets, that have sent nothing yet, a packet reaches; the burst tells whether the others' silence is proved."""
        net, series = self._net, self._net.new_series()
        assert self.mapped is not None, "refresh comes first"
        began, start, copies = net.now(), len(self.socket.inbox), min(COPIES, net.limits.copies)
        ports = {self.mapped.port, *(socket.local.port for socket in sockets)}
        sent = heard = 0
        for _ in range(MOST_ROUNDS):
            failed = await send(net, series, self.mapped.host, ports, copies, pace=net.pace)
            sent += max(0, copies - failed)
            await net.sleep(margin(net))
            heard = arrivals(net, self.socket, series, start)
            if loss_is_excluded(heard, sent, sent, among=SILENCES):
                break
        # Where the control's public port has a bare socket's number, that socket was not sent to: it is not fit either.
        reached = [socket for socket in sockets if arrivals(net, socket, series) or socket.local.port == self.mapped.port]
        return reached, Burst(copies=sent, arrived=len(reached), control=heard, began=began, last=net.now())

    async def alternate_gets_in(self, sockets: Sequence[UdpSocket]) -> bool:
        """Whether a bare socket is reached from the alternate address, too."""
        assert self.mapped is not None, "refresh comes first"
        assert self._net.alternate is not None
        net, series, alternate = self._net, self._net.new_series(), self._net.alternate
        await send(net, series, self.mapped.host, [socket.local.port for socket in sockets], min(COPIES, net.limits.copies), "B1", net.pace)
        return await net.until(lambda: any(arrivals(net, socket, series, source=alternate) for socket in sockets), margin(net))


def arrivals(net: Network, socket: UdpSocket, series: int, start: int = 0, source: Endpoint | None = None) -> int:
    """Copies of a series that came from the contacted pair (or from ``source``), from this place in the inbox on."""
    count = 0
    for arrival in socket.inbox[start:]:
        found = probe_of(net, arrival.data) if arrival.source == (source or net.primary) else None
        count += found is not None and found.series == series
    return count


async def send(
    net: Network, series: int, host: str, ports: Iterable[int], copies: int, sender: control.Sender = "A1", pace: int = 0
) -> int:
    """Have the server send to these ports of ours; how many datagrams its system refused."""
    reply = await net.ask(
        lambda id: control.Probe(
            id=id,
            series=series,
            address=host,
            ports=tuple((port, port) for port in sorted(ports)),
            senders=(sender,),
            copies=copies,
            spacing_ms=SPACING_MS,
            pace=pace,
        )
    )
    return reply.failed if isinstance(reply, control.Probed) else copies


async def open_unused(net: Network, count: int) -> list[UdpSocket]:
    """Sockets on free ports that sent nothing lately, as far as is known: a router may still hold an older flow of such a port.

    Raises ``LocalFailure``.
    """
    out: list[UdpSocket] = []
    rejected: list[UdpSocket] = []
    try:
        while len(out) < count:
            if len(rejected) > MOST_REJECTED:
                raise LocalFailure("other", "Every port that the system gives has sent something lately: run this again in ten minutes.")
            socket = await net.open_udp()
            (rejected if remembered(net.memory.sent_from(socket.local.port)) else out).append(socket)
    except BaseException:
        for socket in out:
            socket.close()
        raise
    finally:
        for socket in rejected:
            socket.close()
    return out
