"""The traffic on a UDP channel: all methods at once from one socket, with a non-SIP control datagram beside every round of copies.

Copies follow each other closely until the final answer: a phone's own timer (T1, 500 ms) would make one lost packet cost half a
second. Within a round the order is drawn: where a rate limit lets the first packets of a burst through and drops the others, the
control meets it as often as SIP does. An order that merely takes turns is not enough, for it can keep step with the limit's.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from edgecheck.checks.sip_alg.flow import COPIES_OF_ACK, Flow, control_probe, returned_control
from edgecheck.checks.sip_alg.log import Answer, ChannelLog, Sent, status_of
from edgecheck.checks.sip_alg.messages import FLOWS, Caller, Step, invite, recognize, split_item
from edgecheck.model.check import Network, UdpSocket

COPIES = 12
"""Of a request that gets no answer: beside as many control copies enough to prove a drop where little else is lost."""
MORE_COPIES = 24
"""Where that was not enough."""
SPACING_S = 0.07
CONTROLS_FIRST = 6
"""In the first round; later ones have one each. A clean path takes three rounds."""
CONTROLS_ALONE = 24
"""Where SIP passes and no control has come back."""
_TICK_S = 0.005
_CLEAN_COPIES = 3
"""A path that loses nothing takes no more of a request."""
_ALIKE, _ALIKE_SPACING_S = 8, 0.035
"""Copies of a control that are all the same, apart from the rounds: what they meet shows what SIP's copies meet for being alike."""


@dataclass(slots=True)
class _Patience:
    left: int
    """Copies still to be sent."""
    due: float
    """When the next one is; after the last, when to give up."""


class UdpTraffic:
    """One channel's socket and flows."""

    def __init__(
        self,
        net: Network,
        caller: Caller,
        log: ChannelLog,
        socket: UdpSocket,
        methods: Sequence[str] = tuple(FLOWS),
        *,
        hold: bool = False,
        small: bool = False,
    ) -> None:
        """``hold``: registrations and calls are kept up until ``release``. ``small``: beside each control goes a short one."""
        self._net = net
        self._caller = caller
        self._log = log
        self._socket = socket
        self._small = small
        self._seen = 0
        self._controls = 0
        self._rounds = 0
        self._draw = random.Random(caller.marker(Step.CONTROL))
        self._flows = [Flow(caller, method, log, hold=hold) for method in methods]
        log.local = socket.local
        log.control_size = len(invite(caller).data)

    async def run(self) -> None:
        """Every method to its end, or to the end of patience."""
        for flow in self._flows:
            flow.begin()
        await self._converse(COPIES, lambda: [sent for flow in self._flows for sent in flow.pending])
        self._send_acks()
        await self._try_alike()
        if any(sent.answers for sent in self._log.sent.values()):
            for _ in range(CONTROLS_ALONE):
                if self._log.control_returned:
                    break
                self._send_control()
                if self._small:
                    self._send_small()
                await self._net.until(self._control_is_back, SPACING_S)

    async def _try_alike(self) -> None:
        """Where copies were needed."""
        log = self._log
        if log.repeated_sent or max((sent.copies for sent in log.sent.values()), default=0) <= _CLEAN_COPIES:
            return
        _, data = control_probe(self._caller, 0, log.control_size, Step.REPEATED_CONTROL)
        for _ in range(_ALIKE):
            log.repeated_sent += 1
            self._socket.send(data, log.server)
            await self._net.sleep(_ALIKE_SPACING_S)

    async def release(self) -> None:
        """End what is kept up."""
        for flow in self._flows:
            flow.release()
        await self._converse(COPIES, lambda: [sent for flow in self._flows for sent in flow.pending])

    async def insist(self, wanting: Mapping[int, frozenset[int]]) -> None:
        """More copies of what could not be told yet, and of whatever follows from it.

        ``wanting``: by item, the provisional responses that the server sent and that never came; empty where it is the final one.
        """
        known = frozenset(self._log.sent)
        acks = [sent for flow in self._flows for sent in flow.acks if sent.request.item in wanting]

        def wanted() -> list[Sent]:
            pending = [sent for flow in self._flows for sent in flow.pending]
            out = [sent for sent in pending if sent.request.item in wanting or sent.request.item not in known]
            for item, statuses in wanting.items():
                if statuses - {status_of(answer.data) for answer in self._log.sent[item].answers}:
                    out.append(self._log.sent[item])
            return acks + out

        await self._converse(MORE_COPIES, wanted)
        await self._try_alike()

    async def _converse(self, copies: int, wanted: Callable[[], list[Sent]]) -> None:
        """Send rounds until nobody wants one any more; each request at most ``copies`` times."""
        net = self._net
        patience: dict[int, _Patience] = {}
        while True:
            now = net.now()
            waiting = {sent.request.item: sent for sent in wanted()}
            for item in waiting:
                patience.setdefault(item, _Patience(copies, now))
            batch = [sent for item, sent in waiting.items() if patience[item].left and patience[item].due <= now + _TICK_S]
            if batch:
                self._send_round(batch)
            for sent in batch:
                mine = patience[sent.request.item]
                # The first copy has a round trip's time before the second: on a clean path it is the only one.
                pause = SPACING_S if mine.left < copies else max(SPACING_S, min(0.5, 1.3 * net.rtt))
                mine.left -= 1
                mine.due = now + (pause if mine.left else max(0.2, 1.5 * net.rtt + 0.1))
            ahead = [patience[item].due for item in waiting if patience[item].left or patience[item].due > now]
            if not ahead:
                return
            steps, open_ones = len(self._log.sent), len(waiting)
            await net.until(lambda: self._went_on(steps) or len(wanted()) < open_ones, min(ahead) - now)  # noqa: B023

    def _went_on(self, steps: int) -> bool:
        self._receive()
        return len(self._log.sent) > steps

    def _control_is_back(self) -> bool:
        self._receive()
        return bool(self._log.control_returned)

    def _send_round(self, batch: list[Sent]) -> None:
        self._rounds += 1
        self._send_acks()
        controls = CONTROLS_FIRST if self._rounds == 1 else 1
        order: list[Callable[[], None]] = [*(partial(self._send, sent) for sent in batch), *[self._send_control] * controls]
        order += [self._send_small] * (controls if self._small else 0)
        self._draw.shuffle(order)
        for send in order:
            send()

    def _send_acks(self) -> None:
        for flow in self._flows:
            for ack in flow.acks:
                while ack.copies < COPIES_OF_ACK:
                    self._send(ack)

    def _send(self, sent: Sent) -> None:
        sent.times.append(self._net.now())
        self._socket.send(sent.request.data, self._log.server)

    def _send_control(self) -> None:
        item, data = control_probe(self._caller, self._controls, self._log.control_size)
        self._controls += 1
        self._log.control_times[item] = self._net.now()
        self._socket.send(data, self._log.server)

    def _send_small(self) -> None:
        item, data = control_probe(self._caller, len(self._log.small_sent), 0, Step.SMALL_CONTROL)
        self._log.small_sent.add(item)
        self._socket.send(data, self._log.server)

    def _receive(self) -> None:
        """Sort what has arrived. Strays end no wait."""
        while self._seen < len(self._socket.inbox):
            arrival = self._socket.inbox[self._seen]
            self._seen += 1
            returned = returned_control(arrival.data, self._caller)
            if returned is not None and split_item(returned)[2] == Step.REPEATED_CONTROL:
                self._log.repeated_returned += 1
                continue
            if returned is not None:
                kept = self._log.small_returned if returned in self._log.small_sent else self._log.control_returned
                kept.add(returned)
                continue
            item = recognize(arrival.data, self._caller.session, self._caller.series)
            if item in self._log.sent and status_of(arrival.data) is not None:
                sent = self._log.sent[item]
                next(flow for flow in self._flows if flow.owns(sent)).take(sent, Answer(arrival.data, arrival.source))

    def close(self) -> None:
        """Read what is there, and let the port go."""
        self._receive()
        self._log.errors += self._socket.errors
        self._socket.close()
