"""The traffic on a TCP or TLS channel: a connection for each method, and one for the non-SIP control.

TCP repeats what was lost by itself, so one message is no proof of a drop: a box that drops it takes the connection with it. The copies
of UDP are therefore connections here: where an answer stays away, several more are made, for SIP and for the control alike. A
message goes out in one write, and so in one segment: ALGs look no further.
"""

import asyncio
from dataclasses import replace

from edgecheck.checks.sip_alg.flow import Flow, control_probe, returned_control
from edgecheck.checks.sip_alg.log import Answer, ChannelLog, status_of
from edgecheck.checks.sip_alg.messages import FLOWS, Caller, invite, recognize
from edgecheck.model.check import Network, Stream
from edgecheck.model.errors import LocalFailure
from edgecheck.wire import sip
from edgecheck.wire.errors import WireError
from edgecheck.wire.framing import SipFramer

PATIENCE_S = 1.0
"""And four round trips: room for the system to send a lost segment twice more."""
MORE_CONNECTIONS = 12
_MOST_RECEIVED = 65_535


class StreamTraffic:
    """One channel's connections. ``caller.local`` is the address alone: each connection has a port of its own."""

    def __init__(self, net: Network, caller: Caller, log: ChannelLog) -> None:
        self._net = net
        self._caller = caller
        self._log = log
        self._streams: list[Stream] = []
        log.control_size = len(invite(replace(caller, local=caller.local._replace(port=50_000))).data)

    async def run(self) -> None:
        """Every method once."""
        await asyncio.gather(self._control(0), *(self._converse(method, 0) for method in FLOWS))

    async def insist(self, methods: frozenset[str]) -> None:
        """Several more connections for what could not be told yet."""
        attempts = range(1, MORE_CONNECTIONS + 1)
        await asyncio.gather(
            *(self._control(attempt) for attempt in attempts),
            *(self._converse(method, attempt) for method in methods for attempt in attempts),
        )

    async def _connect(self) -> Stream | None:
        net, to = self._net, self._log.server
        try:
            stream = await (net.connect_tls(to) if self._log.transport == "tls" else net.connect_tcp(to))
        except LocalFailure as failure:
            self._log.errors.append(str(failure))
            return None
        self._streams.append(stream)
        self._log.local = self._log.local or stream.local
        self._log.certificate = self._log.certificate or stream.certificate
        return stream

    async def _control(self, attempt: int) -> None:
        stream = await self._connect()
        if stream is None:
            return
        caller = replace(self._caller, local=stream.local)
        item, data = control_probe(caller, attempt, self._log.control_size)
        self._log.control_times[item] = self._net.now()
        stream.send(data)
        await self._net.until(lambda: len(stream.received) >= len(data) or stream.closed is not None, self._patience)
        if returned_control(bytes(stream.received[: len(data)]), caller) == item and len(stream.received) >= len(data):
            self._log.control_returned.add(item)

    @property
    def _patience(self) -> float:
        return PATIENCE_S + 4 * self._net.rtt

    async def _converse(self, method: str, attempt: int) -> None:
        stream = await self._connect()
        if stream is None:
            return
        caller = replace(self._caller, local=stream.local, attempt=attempt)
        flow = Flow(caller, method, self._log)
        reader = _Reader(stream)
        flow.begin()
        while flow.pending and stream.closed is None:
            for sent in (*flow.acks, *flow.pending):
                if not sent.copies:
                    sent.times.append(self._net.now())
                    stream.send(sent.request.data)
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
        for stream in self._streams:
            stream.close()


class _Reader:
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
