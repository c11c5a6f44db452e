"""The loss of each way, told apart by what both ends saw of echoes."""

import asyncio

import pytest

from edgecheck.checks.port_forwarding.weather import ECHOES, Weather, measure
from edgecheck.wire import probe
from edgecheck.wire.address import Endpoint
from tests.fakes import clock
from tests.fakes.edge import Edge
from tests.fakes.nat import Nat


class OneWay(Edge):
    """Of the echoes every third is lost on the way out, or every third answer on the way in; or each comes in twice."""

    way = ""
    count = 0

    def from_client(self, port: int, data: bytes, to: Endpoint) -> None:
        echo = data.startswith(probe.MAGIC) and data[4] == probe.Kind.ECHO
        self.count += echo and self.way == "out"
        if not (echo and self.way == "out" and self.count % 3 == 0):
            super().from_client(port, data, to)

    def _at_edge(self, source: Endpoint, to: Endpoint, data: bytes) -> None:
        answer = data.startswith(probe.MAGIC) and data[4] == probe.Kind.ECHOED
        self.count += answer and self.way == "in"
        if not (answer and self.way == "in" and self.count % 3 == 0):
            super()._at_edge(source, to, data)
            if answer and self.way == "twice":
                super()._at_edge(source, to, data)


@pytest.mark.parametrize(
    ("way", "seen"),
    [("", Weather(30, 30, 30)), ("out", Weather(30, 20, 20)), ("in", Weather(30, 30, 20)), ("twice", Weather(30, 30, 30))],
)
def test_the_loss_of_each_way_is_known(way: str, seen: Weather) -> None:
    async def work() -> Weather:
        edge = OneWay(Nat())
        edge.way = way
        net = edge.network()
        socket = await net.open_udp()
        try:
            return await measure(net, socket)
        finally:
            socket.close()

    assert clock.run(work()) == seen
    assert seen.sent == ECHOES


def test_answers_that_are_lost_silence_connections_and_no_datagrams() -> None:
    """A line whose way out is full: measured on the way in it looks clean."""
    full = Weather(30, 15, 15) + Weather(30, 15, 14)
    assert full.inward == (29, 30)
    assert full.both_ways == (29, 60)


def test_nothing_is_known_while_there_is_no_account() -> None:
    async def work() -> Weather:
        edge = Edge(Nat())
        net = edge.network()
        socket = await net.open_udp()

        async def untold(series: int) -> None:
            await asyncio.sleep(0)

        net.account = untold  # type: ignore[method-assign]
        return await measure(net, socket, 3)

    assert clock.run(work()) == Weather()
