"""A phone that has registered and has a call: is it called as the server calls it, and what have its registration and its call opened?

On a socket of its own, beside all else, because a registration has to stay up for it. In order:

1. Datagrams that are no SIP go to the server from the phone's port and from a second one. The server then knocks at the public ports,
   unasked, from a port of its own that nobody here has contacted: what comes in now comes in without SIP.
2. REGISTER and INVITE, as any phone's; the INVITE names a media port from which nothing is ever sent.
3. The server calls the phone (``wire.control.Call``), and knocks again, from another port: at the phone's port, at the media port, and at
   the second port beside them. What comes in now and did not before, and not beside, was let in because of SIP.

The ports are fresh each time, and no socket of the server's knocks at one port both before and after: a router that has seen (and dropped)
a packet may treat the next one of the same pair alike, whatever has been opened since.
"""

from dataclasses import dataclass, field
from typing import cast

from edgecheck.checks.sip_alg import messages
from edgecheck.checks.sip_alg.flow import control_probe, returned_control
from edgecheck.checks.sip_alg.log import ChannelLog, ServerAccount
from edgecheck.checks.sip_alg.messages import Caller, Step, item, marked
from edgecheck.checks.sip_alg.udp import UdpTraffic
from edgecheck.model.check import Network, UdpSocket
from edgecheck.model.errors import ControlLost, LocalFailure, RequestDeclined
from edgecheck.wire import control, probe, sdp, sip
from edgecheck.wire.address import Endpoint, parse_endpoint
from edgecheck.wire.errors import WireError

CALLS = (2, 12, 24)
"""Copies of each request, round after round, while something is missing."""
CALL_SPACING_MS = 30
KNOCKS = 12
KNOCK_SPACING_MS = 15
MOST_ANSWERS = 40
"""Copies of our answers: a loop on the path must not make us send for ever."""
_GREETINGS = 12
_GREETING_SPACING_S = 0.07
_EVEN_PORT_TRIES = 16
_CALLED = (Step.CALLED_OPTIONS, Step.CALLED_INVITE)


@dataclass(slots=True)
class Round:
    """One request for knocks, and what came of it."""

    series: int
    senders: tuple[control.Sender, ...]
    address: str
    ports: tuple[int, ...]
    left: bool
    """Whether the server says that all left."""


@dataclass(slots=True)
class Called:
    """What arrived of one request of the server's, and what was answered."""

    arrived: list[tuple[bytes, int]] = field(default_factory=list)
    """Bytes, and the local port they came to."""
    answers: list[bytes] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class PhoneLog:
    """All that this end knows of one such phone."""

    server: Endpoint
    series: int
    local: Endpoint | None = None
    beside: Endpoint | None = None
    """The second port, which SIP never uses."""
    media: Endpoint | None = None
    media_beside: Endpoint | None = None
    public: Endpoint | None = None
    """Where the phone's packets come from, as the server sees them."""
    public_beside: Endpoint | None = None
    public_media: int | None = None
    """The media port as the INVITE named it when it arrived."""
    registered: bool = False
    in_call: bool = False
    called: dict[Step, Called] = field(default_factory=lambda: {step: Called() for step in _CALLED})
    call_controls_sent: int = 0
    call_controls_arrived: int = 0
    answer_controls: dict[int, float] = field(default_factory=dict)
    before: Round | None = None
    after: Round | None = None
    knocked: dict[tuple[int, str, int, int], int] = field(default_factory=dict)
    """(series, sender, port aimed at, local port) -> datagrams that came."""
    problem: str = ""
    """Why no call, or no knock, could be tried."""
    account: ServerAccount | None = None


class Phone:
    """See the module's text."""

    def __init__(self, net: Network, number: int, server: Endpoint) -> None:
        self._net = net
        self._number = number
        self.log = PhoneLog(server=server, series=net.new_series())
        self._sockets: list[UdpSocket] = []
        self._seen: list[int] = []
        self._caller: Caller | None = None
        self._traffic: UdpTraffic | None = None

    async def run(self) -> None:
        """All of it; what fails leaves its reason in the log."""
        log = self.log
        try:
            await self._open()
            await self._greet()
            await self._find_public()
            log.before = await self._knock(("A2",), self._first_ports())
            assert self._traffic is not None
            await self._traffic.run()
            log.registered, log.in_call = self._answered(Step.AUTHORIZED), self._answered(Step.INVITE)
            if not log.registered:
                log.problem = log.problem or "the REGISTER was not answered"
            await self._knock_after()
            await self._be_called()  # afterwards: an ALG that hears the phone refuse a call closes what it had opened for its media
            await self._traffic.release()
        except (LocalFailure, ControlLost) as failure:
            log.problem = str(failure)
        finally:
            for socket in self._sockets:
                socket.close()

    # --- sockets

    async def _open(self) -> None:
        net, log = self._net, self.log
        for _ in range(2):
            self._take(await net.open_udp())
        self._take(await self._even())
        self._take(await self._even())
        log.local, log.beside, log.media, log.media_beside = (socket.local for socket in self._sockets)
        self._caller = Caller(
            transport="udp",
            local=log.local,
            server=log.server,
            session=net.session,
            series=log.series,
            channel=self._number,
            media_port=log.media.port,
        )
        channel = ChannelLog(number=self._number, transport="udp", server=log.server)
        self._channel = channel
        self._traffic = UdpTraffic(net, self._caller, channel, self._sockets[0], ("REGISTER", "INVITE"), hold=True)

    def _take(self, socket: UdpSocket) -> None:
        self._sockets.append(socket)
        self._seen.append(0)

    async def _even(self) -> UdpSocket:
        """A media port, as RFC 3550 section 11 wants it; any, where the system gives none."""
        refused: list[UdpSocket] = []
        try:
            for _ in range(_EVEN_PORT_TRIES):
                socket = await self._net.open_udp()
                if socket.local.port % 2 == 0:
                    return socket
                refused.append(socket)
            return refused.pop()
        finally:
            for socket in refused:
                socket.close()

    # --- before SIP

    async def _greet(self) -> None:
        """From the phone's port and the one beside it, until each has an echo back, so that each has its mapping."""
        assert self._caller is not None
        heard: set[int] = set()

        def listen() -> bool:
            for index in (0, 1):
                for arrival in self._sockets[index].inbox:
                    if returned_control(arrival.data, self._callers[index]) is not None:
                        heard.add(index)
            return len(heard) == 2

        self._callers = [self._caller, self._beside_caller()]
        for copy in range(_GREETINGS):
            for index in (0, 1):
                if index not in heard:
                    _, data = self._greeting(index, copy)
                    self._sockets[index].send(data, self.log.server)
            pause = _GREETING_SPACING_S if copy else max(_GREETING_SPACING_S, min(0.5, 1.3 * self._net.rtt))
            if await self._net.until(listen, pause):
                return

    def _beside_caller(self) -> Caller:
        assert self._caller is not None
        assert self.log.beside is not None
        caller = self._caller
        return Caller(
            transport="udp",
            local=self.log.beside,
            server=caller.server,
            session=caller.session,
            series=caller.series,
            channel=caller.channel,
            attempt=1,
        )

    def _greeting(self, index: int, copy: int) -> tuple[int, bytes]:
        """Even copies are the phone's, odd ones those of the port beside it: the account tells their sources apart."""
        return control_probe(self._callers[index], 2 * copy + index + 256, probe.SIZE)

    async def _find_public(self) -> None:
        accounted = await self._net.account(self.log.series)
        for row in accounted.received if accounted is not None else ():
            _, copy, step = messages.split_item(row.item)
            if step != Step.CONTROL or copy < 256:
                continue
            try:
                source = parse_endpoint(row.source)
            except WireError:
                continue
            if copy % 2:
                self.log.public_beside = source
            else:
                self.log.public = source

    def _first_ports(self) -> tuple[int, ...]:
        log = self.log
        if log.public is None or log.media is None:
            return ()
        return tuple(dict.fromkeys((log.public.port, log.media.port)))

    async def _knock(self, senders: tuple[control.Sender, ...], ports: tuple[int, ...]) -> Round | None:
        log, net = self.log, self._net
        if log.public is None or not ports:
            log.problem = log.problem or "where this network's packets come from could not be learned"
            return None
        host = log.public.host
        series = net.new_series()
        try:
            reply = await net.ask(
                lambda id: control.Probe(
                    id=id,
                    series=series,
                    address=host,
                    ports=tuple((port, port) for port in sorted(ports)),
                    senders=senders,
                    copies=KNOCKS,
                    spacing_ms=KNOCK_SPACING_MS,
                    pace=net.pace,
                )
            )
        except (ControlLost, RequestDeclined) as error:
            log.problem = log.problem or str(error)
            return None
        await net.until(lambda: False, min(1.0, 0.05 + net.rtt))
        self._listen()
        left = cast(control.Probed, reply).sent == len(ports) * len(senders) * KNOCKS
        return Round(series, senders, host, ports, left)

    # --- after SIP

    def _answered(self, step: Step) -> bool:
        sent = self._channel.sent.get(item(self._number, 0, step))
        return sent is not None and any(_is_success(answer.data) for answer in sent.answers)

    async def _knock_after(self) -> None:
        log = self.log
        if log.public is None or log.media is None or log.media_beside is None or log.public_beside is None:
            return
        log.public_media = await self._named_media_port()
        ports = (log.public.port, log.public_beside.port, log.public_media or log.media.port, log.media_beside.port)
        senders: tuple[control.Sender, ...] = ("AX",) if self._net.service.alternate is None else ("AX", "BX")
        log.after = await self._knock(senders, tuple(dict.fromkeys(ports)))

    async def _named_media_port(self) -> int | None:
        """What the SDP of the INVITE said when it arrived."""
        mirrored = await ask_mirror(self._net)
        if isinstance(mirrored, str):
            return None
        wanted = messages.item(self._number, 0, Step.INVITE)
        for record in mirrored.records:
            if record.direction == "received" and messages.recognize(record.data, self._net.session, self.log.series) == wanted:
                try:
                    lines = sdp.parse(sip.parse_datagram(record.data).body)
                except WireError:
                    continue
                for line in lines:
                    port = line.value.split(" ")[1:2]
                    if line.kind == "m" and port and port[0].isdecimal() and 1024 <= int(port[0]) <= 65_535:
                        return int(port[0])
        return None

    async def _be_called(self) -> None:
        log, net = self.log, self._net
        if not log.registered:
            return
        for copies in CALLS:
            try:
                reply = await net.ask(
                    lambda id: control.Call(
                        id=id,
                        series=log.series,
                        registered=item(self._number, 0, Step.AUTHORIZED),
                        methods=("OPTIONS", "INVITE"),
                        items=tuple(item(self._number, 0, step) for step in (*_CALLED, Step.CALL_CONTROL)),
                        copies=copies,  # noqa: B023
                        spacing_ms=CALL_SPACING_MS,
                    )
                )
            except (ControlLost, RequestDeclined) as error:
                log.problem = log.problem or str(error)
                return
            log.call_controls_sent += cast(control.Called, reply).controls
            await net.until(self._all_came, min(1.5, 0.15 + 1.5 * net.rtt))
            await net.sleep(min(0.5, net.rtt / 2 + 0.02))  # the answers are on their way
            if self._all_came() and await self._all_answers_arrived():
                return

    def _all_came(self) -> bool:
        self._listen()
        return all(called.arrived for called in self.log.called.values())

    async def _all_answers_arrived(self) -> bool:
        mirrored = await ask_mirror(self._net)
        if isinstance(mirrored, str):
            return True  # no more can be learned
        steps = {
            marked(record.data, self._net.session, self.log.series)
            for record in mirrored.records
            if record.direction == "received" and record.data[:7].upper() == b"SIP/2.0"
        }
        return steps >= set(_CALLED)

    def _listen(self) -> None:
        """Sort what has come to any of our sockets; answer what is a request."""
        log, session = self.log, self._net.session
        for index, socket in enumerate(self._sockets):
            while self._seen[index] < len(socket.inbox):
                arrival = socket.inbox[self._seen[index]]
                self._seen[index] += 1
                if arrival.data.startswith(probe.MAGIC):
                    self._note_probe(arrival.data, arrival.source, socket.local.port)
                    continue
                if arrival.data[:8].upper() == b"SIP/2.0 ":
                    continue  # an answer: the traffic's
                step = marked(arrival.data, session, log.series)
                if step in log.called:
                    called = log.called[step]
                    if len(called.arrived) < MOST_ANSWERS:
                        called.arrived.append((arrival.data, socket.local.port))
                        self._answer(socket, arrival.data, called)

    def _answer(self, socket: UdpSocket, request: bytes, called: Called) -> None:
        assert self._caller is not None
        data = messages.answer(self._caller, request)
        if data is None:
            return
        copy = len(self.log.answer_controls)
        number = item(self._number, copy, Step.ANSWER_CONTROL)
        asked = probe.Probe(probe.Kind.ECHO, self._net.session, self.log.series, number, copy % 256, socket.local.port)
        self.log.answer_controls[number] = self._net.now()
        called.answers.append(data)
        both = [data, probe.serialize(asked, len(data))]
        for one in both if copy % 2 else both[::-1]:
            socket.send(one, self.log.server)

    def _note_probe(self, data: bytes, source: Endpoint, local_port: int) -> None:
        try:
            told = probe.parse(data)
        except WireError:
            return
        log = self.log
        if told.kind is not probe.Kind.PROBE or told.session != self._net.session:
            return
        if (told.series, told.item) == (log.series, item(self._number, 0, Step.CALL_CONTROL)):
            log.call_controls_arrived += 1
            return
        sender = self._sender(source, told.port)
        key = (told.series, sender, told.item, local_port)
        log.knocked[key] = log.knocked.get(key, 0) + 1

    def _sender(self, source: Endpoint, port: int) -> str:
        """Which socket of the server's this came from: by what the probe says of its own port, and by the address."""
        service = self._net.service
        if port == service.stun_ports[1]:
            return "A2"
        return "BX" if source.host == service.alternate else "AX"


def _is_success(data: bytes) -> bool:
    return data[8:9] == b"2"


async def ask_mirror(net: Network) -> control.Mirrored | str:
    """The server's records; or why they cannot be had."""
    try:
        return cast(control.Mirrored, await net.ask(lambda id: control.Mirror(id=id)))
    except (ControlLost, RequestDeclined) as error:
        return str(error)
