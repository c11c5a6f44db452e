"""Where SIP is dropped with all of its flow: each request from a port of its own, and what is no SIP from another.

A firewall that knows applications looks at what a flow begins with, and drops the rest of that flow whatever it is. Then the control from
SIP's own socket is lost as well, and it looks as if nothing passed. So here no socket sends both: one request or one control each, in
rounds whose order is drawn.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec

from edgecheck.checks.sip_alg.both_ends import BothEnds, sort_out
from edgecheck.checks.sip_alg.flow import Flow, control_probe, returned_control
from edgecheck.checks.sip_alg.log import Answer, ChannelLog, ServerAccount, status_of
from edgecheck.checks.sip_alg.messages import FLOWS, Caller, Step, invite, recognize
from edgecheck.checks.sip_alg.observation import NEW_PORTS, SipProbe
from edgecheck.checks.sip_alg.reading import read_probe, read_step
from edgecheck.model.check import Network, UdpSocket
from edgecheck.model.errors import LocalFailure
from edgecheck.wire.address import Endpoint

ROUNDS = 12
SPACING_S = 0.03
PATIENCE_S = 0.3


@dataclass(slots=True)
class NewPorts:
    """One channel of UDP, once more."""

    net: Network
    shared: BothEnds
    """What became of the channel where one socket sent it all."""
    methods: tuple[str, ...]
    media_port: int
    series: int = 0
    ends: BothEnds | None = None
    _talks: list[tuple[UdpSocket, Caller, Flow | None]] = field(default_factory=list)
    _seen: dict[int, int] = field(default_factory=dict)

    async def run(self) -> None:
        """All rounds, and what the answers lead to; then the server is to be asked for its account: ``sort``."""
        net, was = self.net, self.shared.log
        self.series = net.new_series()
        log = ChannelLog(number=was.number, transport="udp", server=was.server)
        self.ends = BothEnds(log, ServerAccount(None, None, None))
        draw = random.Random(net.session)
        try:
            for number in range(ROUNDS):
                sends = [self._request(log, method, number) for method in self.methods] + [self._control(log, number)]
                for send in draw.sample(sends, len(sends)):
                    await send()
                await net.until(lambda: self._listen(log), SPACING_S)
            await net.until(lambda: self._listen(log) or self._is_whole(log), PATIENCE_S + 2 * net.rtt)
        except LocalFailure as failure:
            log.errors.append(str(failure))
        finally:
            for socket, _, _ in self._talks:
                socket.close()

    def _caller(self, local: Endpoint, number: int) -> Caller:
        was = self.shared.log
        media = self.media_port + 2 * number
        return Caller(
            transport="udp",
            local=local,
            server=was.server,
            session=self.net.session,
            series=self.series,
            channel=was.number,
            attempt=number,
            media_port=media,
        )

    def _request(self, log: ChannelLog, method: str, number: int) -> Callable[[], Awaitable[None]]:
        async def send() -> None:
            socket = await self.net.open_udp()
            caller = self._caller(socket.local, number)
            log.local = log.local or socket.local
            flow = Flow(caller, method, log)
            flow.begin()
            self._talks.append((socket, caller, flow))
            self._send(socket, log, flow)

        return send

    def _control(self, log: ChannelLog, number: int) -> Callable[[], Awaitable[None]]:
        async def send() -> None:
            socket = await self.net.open_udp()
            caller = self._caller(socket.local, number)
            log.control_size = len(invite(caller).data)
            item, data = control_probe(caller, number, log.control_size)
            log.control_times[item] = self.net.now()
            self._talks.append((socket, caller, None))
            socket.send(data, log.server)

        return send

    def _send(self, socket: UdpSocket, log: ChannelLog, flow: Flow) -> None:
        for sent in (*flow.acks, *flow.pending):
            if not sent.copies:
                sent.times.append(self.net.now())
                socket.send(sent.request.data, log.server)

    def _listen(self, log: ChannelLog) -> bool:
        """Take in what has come, and go on from there. Never true, so that it may stand in a condition."""
        for place, (socket, caller, flow) in enumerate(self._talks):
            for arrival in socket.inbox[self._seen.get(place, 0) :]:
                returned = returned_control(arrival.data, caller)
                item = recognize(arrival.data, caller.session, caller.series)
                if returned in log.control_times:
                    log.control_returned.add(returned or 0)
                elif flow is not None and item in log.sent and flow.owns(log.sent[item]) and status_of(arrival.data) is not None:
                    flow.take(log.sent[item], Answer(arrival.data, arrival.source))
                    self._send(socket, log, flow)
            self._seen[place] = len(socket.inbox)
        return False

    def _is_whole(self, log: ChannelLog) -> bool:
        pending = any(flow.pending for _, _, flow in self._talks if flow is not None)
        return not pending and log.control_returned == set(log.control_times)

    def sort(self, account: ServerAccount) -> None:
        """Take the server's account in."""
        if self.ends is not None:
            self.ends = sort_out(self.ends.log, account, self.net.session, self.series)

    def read(self) -> tuple[SipProbe, ...]:
        """A row a method, where this tells more than the one socket did."""
        return tuple(row for method in self.methods if (row := self._row(method)).interference not in (None, "none"))

    def _row(self, method: str) -> SipProbe:
        assert self.ends is not None
        row = read_probe(self.ends, method)
        named = tuple(msgspec.structs.replace(one, name=f"{one.name} {NEW_PORTS}") for one in row.messages)
        reason = row.reason
        if "lost" in (row.request, row.response):
            of = self.shared
            beside = f"{len(of.control_arrived or ())} of {of.log.control_sent}"
            reason += f", each from a port of its own (and from the port that SIP was sent from {beside})"
        return msgspec.structs.replace(row, method=f"{method} {NEW_PORTS}", messages=named, reason=reason)


def methods_to_try(ends: BothEnds) -> tuple[str, ...]:
    """Those of which the one socket could not tell whether they, or their answers, are dropped. Pure."""
    if ends.log.transport != "udp" or ends.log.not_tested is not None or not ends.account.whole:
        return ()
    return tuple(method for method, steps in FLOWS.items() if _is_open(ends, steps[0]))


def _is_open(ends: BothEnds, step: Step) -> bool:
    reading = read_step(ends, step)
    return reading is not None and (reading.request == "undecided" or (reading.response == "undecided" and bool(reading.answers_sent)))
