"""Idle TCP connections: opened together, left alone, then sent to by the server. What ``tcp_s`` is measured with.

Theory. What counts for SIP over TCP is whether the *server's* segment still gets in: a call comes from there. This end must not send
first: many routers (Linux among them) take up a connection again whose own end sends, and it would seem alive. So the server sends on the
connection (``control.Push``), and

- its probe arrives: alive, proved;
- the connection ends here, or a RST came in at the server's end, though neither end closed it: something between has forgotten it. Proved;
- silence. TCP repeats what is not acknowledged, after a second at the latest, then after twice and four times that (RFC 6298): so many
  copies were lost, which random loss must not explain any more. It is measured in the same moments on connections as old as these ones
  that are *kept busy*: a question that is answered before any segment can have been repeated lost neither of its two segments. And the
  busy ones must go on living: where they are gone too, it was no idleness (a router that was restarted, another address).

Only then does this end send, too: what comes of it (a RST, the server's probe all at once, nothing) is told, no verdict rests on it.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from edgecheck.checks.mapping_lifetime.flows import ServerClock
from edgecheck.checks.mapping_lifetime.observation import IdlePoint
from edgecheck.checks.unsolicited import margin
from edgecheck.model.check import Network, Stream
from edgecheck.model.errors import ControlLost, LocalFailure, RequestDeclined
from edgecheck.model.evidence import WRONG_BY_CHANCE, Answered, chance_at_worst
from edgecheck.wire import control, probe, stun
from edgecheck.wire.address import Endpoint

TWINS = 2
"""Connections for each idle time: the silence of two is worth twice as many lost copies ..."""
APART_S = 0.3
"""... where these, and so their repetitions, are so far apart: what is lost at one moment is one loss."""
BUSY = 2
BUSY_EVERY_S = 5.0
ASKED_EVERY_S = 0.15
"""While a silence is weighed."""
PROMPT_S = 0.15
"""Beyond the round trip. Linux, and so nearly every server, repeats no segment sooner than after 0.2 s."""
REPEATED_BY_S = 1.0
"""The first repetition is sent by then (RFC 6298 section 2.4)."""
REPETITIONS = (0, 1, 3, 7)
"""When the copies of one segment leave, in that unit: each wait is twice the one before."""
POINTS = 13
"""Silences of a run, one for each idle time: each has its chance to be taken for proved."""
AFTERWARDS_S = 3.0
LAST_ACK_S = 0.25
"""An answer is acknowledged so much later at most (delayed acknowledgment, RFC 1122 section 4.2.3.2: mostly 0.2 s)."""
HOLDS_S = 8.0
"""How long a busy connection has to show that it is there still."""
ITEM_OF_BUSY = 1000
NO_PUSH = "this server cannot send on a connection that lies idle: a newer edgecheck-server can"
NONE_OPENED = "no TCP connection to the server's STUN port came about"


@dataclass
class Idle:
    """A connection that is left alone."""

    stream: Stream
    item: int
    mapped: str
    began: float
    """The last segment crossed the edge at this time at the earliest ..."""
    quiet: float
    """... and at this time at the latest."""
    heard: int
    """Bytes that had come until then."""

    def probed(self, marker: bytes) -> bool:
        return marker in self.stream.received[self.heard :]


@dataclass(frozen=True)
class Question:
    """One exchange over a connection that is kept busy."""

    began: float
    answered: bool
    prompt: bool
    """No segment of it can have been repeated."""


class TcpMeasurement:
    """One measurement, with what it has found out so far."""

    def __init__(self, net: Network, clock: ServerClock, forgotten: Callable[[float, float], Awaitable[str]]) -> None:
        """``forgotten``: why a connection that began then and was dead when asked may not have died of its age, else empty."""
        self.points: list[IdlePoint] = []
        self.sender = ""
        self.reason = ""
        """Why nothing could be measured."""
        self._net = net
        self._clock = clock
        self._forgotten = forgotten
        self._series = net.new_series()
        self._streams: list[Stream] = []
        self._busy: list[Stream] = []
        self._questions: list[Question] = []
        self._weighing = 0
        self._lost = False
        """The session is gone: what is known is told."""

    async def measure(self, grid: Sequence[int]) -> None:
        """Fill in ``points``, or ``reason``. Raises nothing that comes of the path or the server."""
        if "push" not in self._net.service.capabilities:
            self.reason = NO_PUSH
            return
        keeping: list[asyncio.Task[None]] = []
        try:
            to = await self._open_busy()
            if to is None:
                self.reason = self.reason or NONE_OPENED
                return
            self.sender = str(to)
            keeping = [asyncio.ensure_future(self._keep_busy(number, stream)) for number, stream in enumerate(self._busy)]
            items = [(idle, index * TWINS + twin) for index, idle in enumerate(grid) for twin in range(TWINS)]
            opened = await asyncio.gather(*(self._open_idle(to, item) for _, item in items))
            await self._ask_all({idle: [flow for (of, _), flow in zip(items, opened, strict=True) if flow and of == idle] for idle in grid})
        finally:
            for task in keeping:
                task.cancel()
            await asyncio.gather(*keeping, return_exceptions=True)
            self._net.memory.note_sent([stream.local.port for stream in self._streams], "tcp")
            for stream in self._streams:
                stream.close()

    async def _open_busy(self) -> Endpoint | None:
        """Where connections get to; the busy ones stand then."""
        service = self._net.service
        others = (Endpoint(self._net.primary.host, one.port) for one in service.reach if one.transport == "tcp")
        for to in (self._net.primary, *others):
            self._busy = [stream for stream in await asyncio.gather(*(self._connect(to) for _ in range(BUSY))) if stream is not None]
            if len(self._busy) == BUSY:
                return to
        return None

    async def _connect(self, to: Endpoint) -> Stream | None:
        try:
            stream = await self._net.connect_tcp(to)
        except LocalFailure as error:
            self.reason = f"{NONE_OPENED}: {str(error).rstrip('.')}"
            return None
        self._streams.append(stream)
        return stream

    async def _open_idle(self, to: Endpoint, item: int) -> Idle | None:
        stream = await self._connect(to)
        if stream is None:
            return None
        began = self._net.now()
        outcome = (await self._net.stun_stream(stream, self._series, item)).outcome
        if not isinstance(outcome, Answered):
            return None
        quiet = self._net.now() + LAST_ACK_S + margin(self._net)
        return Idle(stream, item, outcome.mapped or "", began, quiet, len(stream.received))

    async def _keep_busy(self, number: int, stream: Stream) -> None:
        """Ask over and over: seldom, and often while a silence is weighed."""
        net, item = self._net, ITEM_OF_BUSY * (number + 1)
        series, due = net.new_series(), net.now()
        while True:
            if net.now() < due and not self._weighing:
                await net.sleep(min(ASKED_EVERY_S, due - net.now()))
                continue
            began = net.now()
            due = began + BUSY_EVERY_S
            item += 1
            try:
                exchange = await net.stun_stream(stream, series, item)
            except ControlLost:
                return  # whoever asks for a point learns of it, too
            answered = isinstance(exchange.outcome, Answered)
            prompt = answered and net.now() - began <= net.rtt + PROMPT_S
            self._questions.append(Question(began, answered, prompt))
            await net.sleep(max(0.0, began + ASKED_EVERY_S - net.now()))

    async def _ask_all(self, flows: dict[int, list[Idle]]) -> None:
        """Each in its own time; the longer ones are not waited for when two in a row are proved dead."""
        tasks = {idle: asyncio.ensure_future(self._ask(idle, of_age)) for idle, of_age in flows.items() if of_age}
        self.reason = "" if tasks else self.reason or NONE_OPENED
        waiting = set(tasks.values())
        try:
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    self.points.append(task.result())
                if self._lost:
                    return
                known = {point.idle_s: point.alive for point in self.points}
                states = [(idle, known.get(idle)) for idle in tasks]
                for (_, before), (idle, state) in pairwise(states):
                    if before is False and state is False:
                        late = {task for longer, task in tasks.items() if longer > idle}
                        waiting -= late
                        for task in late:
                            task.cancel()
        finally:
            for task in tasks.values():
                task.cancel()
            await asyncio.gather(*tasks.values(), return_exceptions=True)

    async def _ask(self, idle: int, flows: list[Idle]) -> IdlePoint:
        net = self._net
        quiet, began = max(flow.quiet for flow in flows), min(flow.began for flow in flows)
        await net.sleep(max(0.0, quiet + idle - net.now()))
        marker = {flow.item: self._marker(flow.item) for flow in flows}
        disturbed = any(len(flow.stream.received) > flow.heard and not flow.stream.closed for flow in flows)
        self._weighing += 1
        started = net.now()
        copies = arrived = 0
        ended, reason, at_most = "", "", 0.0
        dead = False
        questions: list[Question] = []
        try:
            before = await self._push(flows[:1])
            for flow in flows[1:]:
                await net.sleep(APART_S)
                before |= await self._push([flow])
            asked = net.now()
            copies = sum(state == "sent" for state in before.values())
            ended = _broken(flows, before)
            if copies and not ended:
                waited = await self._weigh([flow for flow in flows if before[flow.item] == "sent"], marker, started, asked)
                at_most = waited and asked - started + waited
            arrived = sum(flow.probed(marker[flow.item]) for flow in flows)
            questions = self._since(started)
            after = await self._push(flows) if not arrived else before
            ended = ended or _broken(flows, after)
            if ended:
                dead, at_most = not arrived, net.now() - started
            elif "closed" in after.values() or not copies:
                reason = "the server's end of the connection was closed"
            else:
                dead = bool(not arrived and at_most)
            if dead:
                ended = ended or await self._send_from_here(flows)
                reason = "" if await self._busy_hold() else "connections that were kept busy did not live on either: it was no idleness"
                reason = reason or await self._forgotten(began, net.now())
            if not reason and not await self._clock.agrees():
                reason = "this machine's clock and the server's disagree: did it sleep?"
        except (ControlLost, RequestDeclined) as error:
            reason, self._lost = str(error), self._lost or isinstance(error, ControlLost)
        finally:
            self._weighing -= 1
        prompt = sum(question.prompt for question in questions)
        alive = True if arrived else False if dead else None
        if alive and disturbed:
            reason = "something came over it in between"
        elif alive and ended:
            reason = f"of {len(flows)} connections of this age one lived, the other not: {ended}"
        elif alive is None:
            reason = reason or f"{prompt} of {len(questions)} questions on busy connections were answered at once: silence proves nothing"
        return IdlePoint(
            kind="tcp",
            idle_s=idle,
            at_most_s=round(started - began + at_most, 2),
            alive=None if reason else alive,
            copies=copies,
            arrived=arrived,
            control=prompt,
            control_copies=len(questions),
            ended=ended,
            local=", ".join(str(flow.stream.local) for flow in flows),
            mapped=", ".join(flow.mapped for flow in flows),
            reason=reason,
        )

    def _marker(self, item: int) -> bytes:
        return probe.serialize(probe.Probe(probe.Kind.PROBE, self._net.session, self._series, item))

    async def _push(self, flows: Sequence[Idle]) -> dict[int, str]:
        """Have the server send on each; how each stands at its end. Raises ``ControlLost``, ``RequestDeclined``."""
        items = tuple(flow.item for flow in flows)
        reply = await self._net.ask(lambda id: control.Push(id=id, series=self._series, items=items))
        return {row.item: row.state for row in reply.rows} if isinstance(reply, control.Pushed) else {}

    async def _weigh(self, flows: Sequence[Idle], marker: dict[int, bytes], started: float, asked: float) -> float:
        """Wait until a probe arrives, a connection ends, or silence is proved; in how many seconds that was proved, else 0.

        ``started``: when the first of them was sent on; ``asked``: the last, from when on it counts.

        Each copy is held against the questions of its own time: those of a minute that is good again say nothing of copies that left in an
        outage, and whoever is answered asks the more often.
        """
        net = self._net
        unit = max(REPEATED_BY_S, 4 * net.rtt)
        ends = [started]

        def over() -> bool:
            return any(flow.stream.closed or flow.probed(marker[flow.item]) for flow in flows)

        for factor in REPETITIONS:
            # The copy has left by then, and would be here a round trip later; a few questions more make the control worth something.
            if await net.until(over, asked + factor * unit + margin(net) + net.rtt - net.now()):
                return 0.0
            ends.append(net.now())
            if math.prod(self._chance(begin, end, len(flows)) for begin, end in pairwise(ends)) * POINTS < WRONG_BY_CHANCE:
                return factor * unit + net.rtt
        return 0.0

    def _chance(self, begin: float, end: float, copies: int) -> float:
        """That random loss took so many copies of this time."""
        asked = [question for question in self._since(begin) if question.began < end]
        return chance_at_worst(sum(question.prompt for question in asked), len(asked), copies)

    def _since(self, started: float) -> list[Question]:
        return [question for question in self._questions if question.began >= started]

    async def _busy_hold(self) -> bool:
        """Whether every connection that was kept busy still stands, and one of them is answered now."""
        now = self._net.now()
        await self._net.until(lambda: any(question.answered for question in self._since(now)), HOLDS_S)
        return any(question.answered for question in self._since(now)) and not any(stream.closed for stream in self._busy)

    async def _send_from_here(self, flows: Sequence[Idle]) -> str:
        """What becomes of a connection from outside of which nothing got in when this end sends; in words."""
        net = self._net
        before = {flow.item: len(flow.stream.received) for flow in flows}
        for flow in flows:
            flow.stream.send(stun.binding_request(control.stun_transaction_id(net.session, self._series, flow.item)))

        def told(flow: Idle) -> bool:
            return flow.stream.closed is not None or len(flow.stream.received) > before[flow.item]

        await net.until(lambda: all(told(flow) for flow in flows), AFTERWARDS_S + 2 * net.rtt)
        if any(flow.stream.closed for flow in flows):
            return "reset when this end sent"
        revived = any(len(flow.stream.received) > before[flow.item] for flow in flows)
        return "silent, and taken up again when this end sent" if revived else "silent, also when this end sent"


def _broken(flows: Sequence[Idle], states: dict[int, str]) -> str:
    """How the path itself ended a connection, which neither end has closed; empty: it did not."""
    for flow in flows:
        state = states.get(flow.item, "unknown")
        if flow.stream.closed and state in ("sent", "reset", "ended"):
            return f"ended at this end ({flow.stream.closed}), by neither end"
        if state == "reset":
            return "a RST came in at the server's end"
        if state == "ended":
            return "closed towards the server, not by this end"
    return ""
