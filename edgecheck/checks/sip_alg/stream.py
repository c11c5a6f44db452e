"""The traffic on a TCP or TLS channel: a connection for each method, and one for the non-SIP control.

TCP repeats what was lost by itself, so one message is no proof of a drop: a box that drops it takes the connection with it. The copies
of UDP are therefore connections here: where an answer stays away, several more are made, for SIP and for the control alike. A
message goes out in one write, and so in one segment: ALGs look no further.
"""

import asyncio
from collections.abc import Callable, Sequence

from edgecheck.checks.sip_alg.flow import Flow, control_probe, returned_control
from edgecheck.checks.sip_alg.log import Answer, ChannelLog, status_of
from edgecheck.checks.sip_alg.messages import FLOWS, Caller, invite, recognize
from edgecheck.model.check import Network, Stream
from edgecheck.model.errors import LocalFailure
from edgecheck.wire import sip
from edgecheck.wire.address import Endpoint
from edgecheck.wire.errors import WireError
from edgecheck.wire.framing import SipFramer

PATIENCE_S = 1.0
"""And four round trips: room for the system to send a lost segment twice more."""
MORE_CONNECTIONS = 12
CONNECTS = 4
CONNECT_TIMEOUT_S = 2.5
SEGMENTS_APART_S = 0.03
"""Long enough that the system has sent the first, with Nagle's algorithm off."""
_MOST_RECEIVED = 65_535


class StreamTraffic:
    """One channel's connections, each from a port of its own."""

    def __init__(
        self,
        net: Network,
        caller: Callable[[Endpoint, int], Caller],
        log: ChannelLog,
        methods: Sequence[str] = tuple(FLOWS),
        *,
        split_at: int = 0,
    ) -> None:
        """``split_at``: requests go out in two writes, cut there, far enough apart in time to be two segments; 0 = in one."""
        self._net = net
        self._caller = caller
        self._log = log
        self._methods = tuple(methods)
        self._split_at = split_at
        self._streams: list[Stream] = []
        self._attempts: set[asyncio.Task[Stream | LocalFailure]] = set()
        log.control_size = len(invite(caller(Endpoint(net.source, 50_000), 0)).data)

    async def run(self) -> None:
        """Every method once."""
        await asyncio.gather(self._control(0), *(self._converse(method, 0) for method in self._methods))

    async def insist(self, methods: frozenset[str]) -> None:
        """Several more connections for what could not be told yet."""
        attempts = range(1, MORE_CONNECTIONS + 1)
        await asyncio.gather(
            *(self._control(attempt) for attempt in attempts),
            *(self._converse(method, attempt) for method in methods for attempt in attempts),
        )

    async def _connect(self) -> Stream | None:
        """A connection; where the first SYN is not answered soon, others follow at once: the system's own repeat comes after a second."""
        attempts: list[asyncio.Task[Stream | LocalFailure]] = []
        for patience in (max(0.3, 4 * self._net.rtt),) * (CONNECTS - 1) + (CONNECT_TIMEOUT_S + 1,):
            attempts.append(asyncio.create_task(self._connect_once()))
            self._attempts.add(attempts[-1])
            timer = asyncio.create_task(self._net.sleep(patience))
            while not timer.done() and not all(attempt.done() for attempt in attempts):
                await asyncio.wait({timer, *(attempt for attempt in attempts if not attempt.done())}, return_when=asyncio.FIRST_COMPLETED)
                if any(attempt.done() and not isinstance(attempt.result(), LocalFailure) for attempt in attempts):
                    break
            timer.cancel()
            ended = [attempt.result() for attempt in attempts if attempt.done()]
            for stream in ended:
                if not isinstance(stream, LocalFailure):
                    self._log.local = self._log.local or stream.local
                    self._log.certificate = self._log.certificate or stream.certificate
                    return stream
            if len(ended) == len(attempts):
                break  # all failed: refused, mostly
        self._log.errors.append(str(ended[0]) if ended else "no connection could be made in time")
        return None

    async def _connect_once(self) -> Stream | LocalFailure:
        """The failure is returned: nobody may be left to catch it."""
        connect = self._net.connect_tls if self._log.transport == "tls" else self._net.connect_tcp
        try:
            stream = await connect(self._log.server, timeout=CONNECT_TIMEOUT_S)
        except LocalFailure as failure:
            return failure
        self._streams.append(stream)
        return stream

    async def _control(self, attempt: int) -> None:
        stream = await self._connect()
        if stream is None:
            return
        caller = self._caller(stream.local, 0)
        item, data = control_probe(caller, attempt, self._log.control_size)
        self._log.control_times[item] = self._net.now()
        stream.send(data)
        await self._net.until(lambda: len(stream.received) >= len(data) or stream.closed is not None, self._patience)
        if returned_control(bytes(stream.received[: len(data)]), caller) == item and len(stream.received) >= len(data):
            self._log.control_returned.add(item)

    @property
    def _patience(self) -> float:
        return PATIENCE_S + 4 * self._net.rtt

    async def _write(self, stream: Stream, data: bytes) -> None:
        if not self._split_at:
            stream.send(data)
            return
        for piece in (data[: self._split_at], data[self._split_at :]):
            stream.send(piece)
            await self._net.sleep(SEGMENTS_APART_S)

    async def _converse(self, method: str, attempt: int) -> None:
        stream = await self._connect()
        if stream is None:
            return
        caller = self._caller(stream.local, attempt)
        flow = Flow(caller, method, self._log)
        reader = MessageReader(stream)
        flow.begin()
        while flow.pending and stream.closed is None:
            for sent in (*flow.acks, *flow.pending):
                if not sent.copies:
                    sent.times.append(self._net.now())
                    await self._write(stream, sent.request.data)
            waiting = list(flow.pending)

            def went_on() -> bool:
                for data in reader.messages():
                    item = recognize(data, caller.session, caller.series)
                    if item in self._log.sent and status_of(data) is not None and flow.owns(self._log.sent[item]):
                        flow.take(self._log.sent[item], Answer(data, stream.remote))
                return flow.pending != waiting or stream.closed is not None  # noqa: B023

            if not await self._net.until(went_on, self._patience):
                break
        if stream.closed is not None:
            self._log.errors.append(f"{method}: {stream.closed}")

    def close(self) -> None:
        """Let every connection go."""
        for attempt in self._attempts:
            attempt.cancel()
        for stream in self._streams:
            stream.close()


class MessageReader:
    """SIP messages out of a stream, whole ones; of a broken stream what came as one piece."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._seen = 0
        self._framer = SipFramer()

    def messages(self) -> list[bytes]:
        fresh = bytes(self._stream.received[self._seen : _MOST_RECEIVED])
        self._seen += len(fresh)
        if not fresh or self._framer.broken is not None:
            return []
        try:
            found = self._framer.feed(fresh)
        except WireError:
            found = []
        if self._framer.broken is not None and self._framer.remainder:
            found.append(self._framer.remainder)
        return [data for data in found if data not in (sip.PING, sip.PONG)]
