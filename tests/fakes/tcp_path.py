"""TCP as an idle connection meets it: segments that are repeated, and an edge that forgets connections."""

import asyncio
from collections.abc import Callable
from typing import Any, Literal

from edgecheck.model.errors import LocalFailure
from edgecheck.wire.address import Endpoint
from tests.fakes.edge import Edge
from tests.fakes.ends import FakeStream
from tests.fakes.nat import PUBLIC

RTO_S = (0.0, 0.2, 0.6, 1.4, 3.0, 6.2, 12.6)
"""When Linux sends one segment and its repetitions, beside the round trip."""


class TcpFlow:
    """The edge's entry for one connection."""

    def __init__(self, now: float) -> None:
        self.used = now
        self.gone = False


class ForgetfulEdge(Edge):
    """An edge that forgets idle TCP connections.

    ``inbound``: what a segment from outside meets then. ``outbound``: what one from inside meets: it is taken up again (Linux), reset,
    dropped. ``restarts_at``: then it forgets everything, busy or not. ``closes``: it resets both ends when it forgets.
    """

    def __init__(
        self,
        *values: Any,
        tcp_lifetime: float | None = None,
        inbound: Literal["drop", "reset"] = "drop",
        outbound: Literal["revive", "reset", "drop"] = "revive",
        restarts_at: float | None = None,
        closes: bool = False,
        **named: Any,
    ) -> None:
        super().__init__(*values, **named)
        self.tcp_lifetime = tcp_lifetime
        self.inbound, self.outbound = inbound, outbound
        self.restarts_at = restarts_at
        self.closes = closes
        self.outages: list[tuple[float, float]] = []

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _known(self, flow: TcpFlow) -> bool:
        now = self._now()
        if self.tcp_lifetime is not None and now - flow.used >= self.tcp_lifetime:
            flow.gone = True
        if self.restarts_at is not None and flow.used < self.restarts_at <= now:
            flow.gone = True
        return not flow.gone

    def _lost(self) -> bool:
        now = self._now()
        return self.weather.drops(now) or any(begin <= now < end for begin, end in self.outages)

    async def connect(self, to: Endpoint, port: int, timeout: float, *, tls: bool, ttl: int | None = None) -> FakeStream:
        port = port or self._free_port()
        listener = self._listener(to)
        await asyncio.sleep(2 * self.weather.delay)
        if listener is None:
            raise LocalFailure("timeout", f"Could not connect to {to}: no answer in time.")
        flow, loop = TcpFlow(self._now()), asyncio.get_running_loop()
        talk = self.server.open_stream(listener, "tcp", Endpoint(PUBLIC, port), self._now())
        delay = self.weather.delay

        def segment(crosses: Callable[[], bool], arrive: Callable[[], None]) -> None:
            """Sent again and again until it got through."""
            done = False

            def send() -> None:
                nonlocal done
                if not done and not self._lost() and crosses():
                    done = True
                    loop.call_later(delay, arrive)

            for offset in RTO_S:
                loop.call_later(offset + (2 * delay if offset else 0.0), send)

        def end_server(how: Literal["reset", "ended"]) -> None:
            if talk.write is not None:
                talk.write, talk.lost = None, how

        def outward() -> bool:
            if not self._known(flow):
                if self.outbound == "drop":
                    return False
                if self.outbound == "reset":
                    stream.closed = "Connection reset by peer"
                    self.bell.ring()
                    return False
                flow.gone = False
            flow.used = self._now()
            return True

        def inward() -> bool:
            if not self._known(flow):
                if self.inbound == "reset":
                    loop.call_later(delay, end_server, "reset")
                return False
            flow.used = self._now()
            return True

        def hear(data: bytes) -> None:  # FakeStream has waited one delay
            def at_server() -> None:
                answer = talk.feed(data, self._now())
                if answer:
                    segment(inward, lambda: stream.deliver(answer))

            segment(outward, at_server)

        def expire() -> None:
            if self.tcp_lifetime is not None and not self._known(flow):
                stream.closed = "Connection reset by peer"
                end_server("reset")
            elif self.tcp_lifetime is not None:
                loop.call_later(flow.used + self.tcp_lifetime - self._now(), expire)

        stream = FakeStream(self, Endpoint(self.source, port), to, hear)
        talk.write = lambda data: segment(inward, lambda: stream.deliver(data))
        if self.closes and self.tcp_lifetime is not None:
            loop.call_later(self.tcp_lifetime, expire)
        return stream
