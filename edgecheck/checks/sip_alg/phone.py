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

import asyncio
from typing import cast

from edgecheck.checks.sip_alg import messages
from edgecheck.checks.sip_alg.flow import control_probe, returned_control
from edgecheck.checks.sip_alg.knocking import ask_mirror, gauge, knock, named_media_port, note_knock
from edgecheck.checks.sip_alg.log import ChannelLog
from edgecheck.checks.sip_alg.messages import Caller, Step, item, marked
from edgecheck.checks.sip_alg.phone_log import CALLED, Called, PhoneLog
from edgecheck.checks.sip_alg.udp import UdpTraffic
from edgecheck.model.check import Network, UdpSocket
from edgecheck.model.errors import ControlLost, LocalFailure, RequestDeclined
from edgecheck.wire import control, probe
from edgecheck.wire.address import Endpoint, parse_endpoint
from edgecheck.wire.errors import WireError

CALLS = (2, 12, 24)
"""Copies of each request, round after round, while something is missing."""
CALL_SPACING_MS = 30
MOST_ANSWERS = 40
"""Copies of our answers: a loop on the path must not make us send for ever."""
_GREETINGS = 12
_GREETING_SPACING_S = 0.07
_EVEN_PORT_TRIES = 16


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
            log.before = await knock(self._net, log, ("A2",), self._first_ports())
            self._listen()
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
        self._take(await net.open_udp())  # to gauge the loss
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

    # --- after SIP

    def _answered(self, step: Step) -> bool:
        sent = self._channel.sent.get(item(self._number, 0, step))
        return sent is not None and any(_is_success(answer.data) for answer in sent.answers)

    async def _knock_after(self) -> None:
        log = self.log
        if log.public is None or log.media is None or log.media_beside is None or log.public_beside is None:
            return
        log.public_media = await named_media_port(self._net, log, self._number)
        ports = (log.public.port, log.public_beside.port, log.public_media or log.media.port, log.media_beside.port)
        senders: tuple[control.Sender, ...] = ("AX",) if self._net.service.alternate is None else ("AX", "BX")
        log.after, _ = await asyncio.gather(
            knock(self._net, log, senders, tuple(dict.fromkeys(ports))),
            gauge(self._net, log, self._sockets[4], log.server, self._number),
        )
        self._listen()

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
                        items=tuple(item(self._number, 0, step) for step in (*CALLED, Step.CALL_CONTROL)),
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
        return steps >= set(CALLED)

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
        note_knock(net=self._net, log=log, told=told, source=source, local_port=local_port)


def _is_success(data: bytes) -> bool:
    return data[8:9] == b"2"
