"""A phone that registers and calls over TCP: is it called over its connection as the server calls it, and what has its call opened?

A PBX calls such a phone over the connection that the phone has made (RFC 5626), so an ALG meets the server's requests there, too. And the
SDP of its INVITE names ports of UDP, which an ALG may open, whatever carried the SDP. In order, beside all else:

1. The server knocks at the media port that is going to be named, unasked, from a port that nobody here has contacted.
2. REGISTER and INVITE, over one connection. The media port sends nothing, ever.
3. The server knocks from another port, at the media port and at one beside it. Datagrams that it returns are sent at the same time: that
   nothing was opened is said only where UDP passes.
4. The server sends OPTIONS and INVITE on the connection. TCP repeats what was lost, so one message that stays away is no proof: where one
   does, more connections are made, each with its REGISTER and its calls, and as many with what is no SIP and as long.
"""

import asyncio
from dataclasses import replace

from edgecheck.checks.sip_alg import messages
from edgecheck.checks.sip_alg.flow import Flow, control_probe, returned_control
from edgecheck.checks.sip_alg.knocking import caller_of, gauge, knock, named_media_port, note_knock
from edgecheck.checks.sip_alg.log import Answer, ChannelLog, status_of
from edgecheck.checks.sip_alg.messages import Caller, Step, item, marked, recognize
from edgecheck.checks.sip_alg.phone_log import CALLED, PhoneLog
from edgecheck.checks.sip_alg.stream import PATIENCE_S, MessageReader
from edgecheck.model.check import Network, Stream, UdpSocket
from edgecheck.model.errors import ControlLost, LocalFailure, RequestDeclined
from edgecheck.wire import control, probe
from edgecheck.wire.address import Endpoint
from edgecheck.wire.errors import WireError

MORE_CONNECTIONS = 12
CONNECT_TIMEOUT_S = 2.5
_CALL_SIZE = 800
"""Bytes of the control: as long as the server's INVITE, roughly; TCP cuts nothing of that size."""


class StreamPhone:
    """See the module's text."""

    def __init__(self, net: Network, number: int, server: Endpoint, gauge: Endpoint) -> None:
        """``gauge``: the server's SIP port of UDP."""
        self._net = net
        self._number = number
        self._gauge = gauge
        self.log = PhoneLog(server=server, series=net.new_series(), transport="tcp")
        self._media: list[UdpSocket] = []
        self._streams: list[Stream] = []

    async def run(self) -> None:
        """All of it; what fails leaves its reason in the log."""
        log, net = self.log, self._net
        try:
            line = await self._connect(0)
            log.local = line.stream.local
            self._media = [await net.open_udp() for _ in range(3)]
            log.media, log.media_beside = self._media[0].local, self._media[1].local
            log.public = Endpoint(net.observed, log.media.port)
            log.before = await knock(net, log, ("A2",), (log.media.port,))
            await line.register()
            await line.invite(log.media.port)
            log.registered, log.in_call = line.answered(Step.AUTHORIZED), line.answered(Step.INVITE)
            await self._knock_after()
            if not log.registered:
                log.problem = log.problem or "the REGISTER was not answered"
                return
            await asyncio.gather(line.be_called(), self._control(0))
            if not all(called.arrived for called in log.called.values()):
                await asyncio.gather(*(self._once_more(attempt) for attempt in range(1, MORE_CONNECTIONS + 1)))
            await net.sleep(min(0.5, net.rtt / 2 + 0.02))  # the answers are on their way
            await line.release()
        except (LocalFailure, ControlLost) as failure:
            log.problem = str(failure)
        finally:
            for socket in self._media:
                socket.close()
            for stream in self._streams:
                stream.close()

    async def _connect(self, attempt: int) -> "Line":
        stream = await self._net.connect_tcp(self.log.server, timeout=CONNECT_TIMEOUT_S)
        self._streams.append(stream)
        return Line(self._net, self.log, self._number, attempt, stream)

    async def _once_more(self, attempt: int) -> None:
        try:
            line = await self._connect(attempt)
            await asyncio.gather(self._control(attempt), line.register())
            if line.answered(Step.AUTHORIZED):
                await line.be_called()
                await line.release()
        except LocalFailure:
            pass  # one of many

    async def _control(self, attempt: int) -> None:
        """As long as a call and no SIP, there and back, on a connection of its own."""
        try:
            stream = await self._net.connect_tcp(self.log.server, timeout=CONNECT_TIMEOUT_S)
        except LocalFailure:
            return
        self._streams.append(stream)
        caller = caller_of(self._net, self.log, self._number, attempt, stream.local)
        number, data = control_probe(caller, attempt, _CALL_SIZE, Step.ANSWER_CONTROL)
        self.log.call_controls_sent += 1
        self.log.answer_controls[number] = self._net.now()
        stream.send(data)
        await self._net.until(lambda: len(stream.received) >= len(data) or stream.closed is not None, _patience(self._net))
        whole = len(stream.received) >= len(data)
        self.log.call_controls_arrived += whole and returned_control(bytes(stream.received[: len(data)]), caller) == number

    async def _knock_after(self) -> None:
        log, net = self.log, self._net
        assert log.media is not None
        assert log.media_beside is not None
        log.public_media = await named_media_port(net, log, self._number)
        senders: tuple[control.Sender, ...] = ("AX",) if net.service.alternate is None else ("AX", "BX")
        ports = tuple(dict.fromkeys((log.public_media or log.media.port, log.media_beside.port)))
        log.after, _ = await asyncio.gather(knock(net, log, senders, ports), gauge(net, log, self._media[2], self._gauge, self._number))
        for socket in self._media[:2]:
            for arrival in socket.inbox:
                self._note(arrival.data, arrival.source, socket.local.port)

    def _note(self, data: bytes, source: Endpoint, local_port: int) -> None:
        try:
            told = probe.parse(data)
        except WireError:
            return
        if told.kind is probe.Kind.PROBE and told.session == self._net.session:
            note_knock(net=self._net, log=self.log, told=told, source=source, local_port=local_port)


class Line:
    """One connection: what is asked on it, and what comes."""

    def __init__(self, net: Network, log: PhoneLog, number: int, attempt: int, stream: Stream, contact_port: int = 0) -> None:
        """``contact_port``: another one than the connection's own, to stand in Contact."""
        self.stream = stream
        self._net, self._log, self._number, self._attempt, self._contact_port = net, log, number, attempt, contact_port
        self._channel = ChannelLog(number=number, transport="tcp", server=log.server)
        self._reader = MessageReader(stream)
        self._flows: list[Flow] = []
        self._called: set[Step] = set()

    async def register(self) -> None:
        """And the answer to the challenge."""
        await self._converse(Flow(self._caller(), "REGISTER", self._channel, hold=True))

    async def invite(self, media_port: int) -> None:
        """And the ACK; the call stays up."""
        await self._converse(Flow(self._caller(media_port), "INVITE", self._channel, hold=True))

    async def release(self) -> None:
        """End the call and the registration."""
        for flow in self._flows:
            flow.release()
        await self._settle()

    def answered(self, step: Step) -> bool:
        """Whether it was granted."""
        sent = self._channel.sent.get(item(self._number, self._attempt, step))
        return sent is not None and any(answer.data[8:9] == b"2" for answer in sent.answers)

    async def be_called(self) -> None:
        """Have the server send its requests; answer what comes."""
        net, log = self._net, self._log
        try:
            await net.ask(
                lambda id: control.Call(
                    id=id,
                    series=log.series,
                    registered=item(self._number, self._attempt, Step.AUTHORIZED),
                    methods=("OPTIONS", "INVITE"),
                    items=tuple(item(self._number, self._attempt, step) for step in (*CALLED, Step.CALL_CONTROL)),
                    transport="tcp",
                )
            )
        except (ControlLost, RequestDeclined) as error:
            log.problem = log.problem or str(error)
            return
        await net.until(lambda: self._listen() or self._called >= set(CALLED) or self.stream.closed is not None, _patience(net))

    def _caller(self, media_port: int = 0) -> Caller:
        made = caller_of(self._net, self._log, self._number, self._attempt, self.stream.local, media_port)
        return replace(made, contact_port=self._contact_port)

    async def _converse(self, flow: Flow) -> None:
        self._flows.append(flow)
        flow.begin()
        await self._settle()

    async def _settle(self) -> None:
        """Send what is to be sent, until nobody waits for an answer any more."""
        while self.stream.closed is None:
            for sent in [sent for flow in self._flows for sent in (*flow.acks, *flow.pending)]:
                if not sent.copies:
                    sent.times.append(self._net.now())
                    self.stream.send(sent.request.data)
            waiting = [sent for flow in self._flows for sent in flow.pending]
            if not waiting or not await self._net.until(
                lambda waiting=waiting: self._listen() or waiting != [sent for flow in self._flows for sent in flow.pending],  # type: ignore[misc]
                _patience(self._net),
            ):
                return

    def _listen(self) -> bool:
        """Sort what has come: answers to the flows, requests to be answered. Never true, so that it may stand in a condition."""
        session, log = self._net.session, self._log
        for data in self._reader.messages():
            if status_of(data) is not None:
                known = self._channel.sent.get(recognize(data, session, log.series) or -1)
                for flow in self._flows if known is not None else ():
                    if known is not None and flow.owns(known):
                        flow.take(known, Answer(data, self.stream.remote))
            elif (step := marked(data, session, log.series)) is not None and step in log.called:
                self._answer(step, data)
        return False

    def _answer(self, step: Step, request: bytes) -> None:
        called = self._log.called[step]
        called.arrived.append((request, self._log.local.port if self._log.local else 0))
        self._called.add(step)
        data = messages.answer(self._caller(), request)
        if data is not None:
            called.answers.append(data)
            self.stream.send(data)


def _patience(net: Network) -> float:
    return PATIENCE_S + 4 * net.rtt
