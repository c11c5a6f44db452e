"""One STUN question through the door: what ends the wait, what does not, and what silence is worth."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from edgecheck.model.check import Arrival
from edgecheck.model.errors import ControlLost, RequestDeclined
from edgecheck.model.evidence import Answered, Exchange, Failed, Silent
from edgecheck.net.foreign import NoSession
from edgecheck.net.network import EdgeNetwork, Gate
from edgecheck.net.schedule import COPIES
from edgecheck.wire import control, stun
from edgecheck.wire.address import Endpoint
from tests.fakes import clock
from tests.fakes.edge import PRIMARY, Edge
from tests.fakes.memory import SharedMemory
from tests.fakes.nat import PUBLIC, Nat

SERVER = Endpoint(PRIMARY, 3478)
STRANGER = Endpoint("192.0.2.66", 666)


def run(work: Callable[[EdgeNetwork, Edge], Awaitable[Any]], edge: Callable[[], Edge] = lambda: Edge(Nat())) -> Any:
    async def whole() -> Any:
        made = edge()
        return await work(made.network(), made)

    return clock.run(whole())


async def ask(network: EdgeNetwork, edge: Edge) -> Exchange:
    return await network.stun(await network.open_udp(), SERVER)


def test_an_answer_ends_the_wait() -> None:
    exchange = run(ask)
    assert isinstance(exchange.outcome, Answered)
    assert (exchange.copies, exchange.outcome.source) == (1, str(SERVER))
    assert exchange.outcome.mapped == f"{PUBLIC}:{exchange.local.rpartition(':')[2]}"
    assert exchange.outcome.rtt_ms == pytest.approx(50.0)


@pytest.mark.parametrize("lost", range(COPIES))
def test_a_lost_copy_is_sent_again(lost: int) -> None:
    class Losing(Edge):
        gone = 0

        def _at_server(self, seen: Endpoint, data: bytes, to: Endpoint) -> None:
            if self.gone < lost:
                self.gone += 1
            else:
                super()._at_server(seen, data, to)

    exchange = run(ask, lambda: Losing(Nat()))
    assert isinstance(exchange.outcome, Answered)
    assert exchange.copies >= lost + 1
    assert exchange.copies <= COPIES


class Noisy(Edge):
    """Before the server's own answer come others."""

    noise: tuple[Callable[[bytes], bytes], ...] = ()

    def _at_server(self, seen: Endpoint, data: bytes, to: Endpoint) -> None:
        for make in self.noise:
            self._at_edge(SERVER, seen, make(data))
        super()._at_server(seen, data, to)


STRAYS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda request: b"",
    "short": lambda request: request[:19],
    "our own request": lambda request: request,
    "another transaction": lambda request: request[:8] + bytes(12) + request[20:],
    "malformed": lambda request: b"\x01\x01\xff\xff" + request[4:],
    "another method": lambda request: stun.serialize(stun.Message(stun.Class.SUCCESS, 2, request[8:20])),
    "an indication": lambda request: stun.serialize(stun.Message(stun.Class.INDICATION, stun.BINDING, request[8:20])),
}


@pytest.mark.parametrize("stray", STRAYS)
def test_a_stray_is_no_answer(stray: str) -> None:
    class One(Noisy):
        noise = (STRAYS[stray],)

    exchange = run(ask, lambda: One(Nat()))
    assert isinstance(exchange.outcome, Answered)
    assert (exchange.outcome.source, exchange.outcome.error) == (str(SERVER), None)
    assert exchange.outcome.mapped is not None


def test_the_source_of_an_answer_is_told_as_it_was() -> None:
    """A forged or rerouted answer has our transaction and another source: the check decides, and must see it."""

    async def work(network: EdgeNetwork, edge: Edge) -> Exchange:
        socket: Any = await network.open_udp()
        socket.send = lambda data, to: (
            socket.inbox.append(Arrival(network.now(), STRANGER, stun.serialize(stun.Message(stun.Class.SUCCESS, stun.BINDING, data[8:20])))),
            edge.bell.ring(),
        )
        return await network.stun(socket, SERVER)

    exchange = run(work)
    assert isinstance(exchange.outcome, Answered)
    assert (exchange.outcome.source, exchange.outcome.mapped) == (str(STRANGER), None)


def test_an_error_response_is_an_answer_with_its_code() -> None:
    exchange = run(lambda network, edge: _change(network), lambda: Edge(Nat(), alternate=False))
    assert isinstance(exchange.outcome, Answered)
    assert exchange.outcome.error == 420


async def _change(network: EdgeNetwork) -> Exchange:
    return await network.stun(await network.open_udp(), SERVER, change_address=True)


def test_silence_with_a_receipt_says_what_the_server_saw() -> None:
    """Everything arrived and was answered, and nothing came back; and nothing arrived at all."""

    class Filtered(Edge):
        def _carry_out(self, outbound: Any) -> None: ...

    back = run(ask, lambda: Filtered(Nat()))
    assert isinstance(back.outcome, Silent)
    assert (back.receipt.arrived, back.receipt.sent) == (COPIES, COPIES) == (back.copies, COPIES)
    out = run(ask, lambda: Edge(Nat(blocks_udp=True)))
    assert (out.receipt.arrived, out.receipt.sent) == (0, 0)


def test_silence_without_a_receipt_has_none() -> None:
    class Declining(Edge):
        async def ask(self, make: Callable[[int], control.Request], timeout: float = 30.0) -> control.Reply:
            raise RequestDeclined("fault", "The server declined: a fault of its own.")

    exchange = run(ask, lambda: Declining(Nat(blocks_udp=True)))
    assert (type(exchange.outcome), exchange.receipt) == (Silent, None)


def test_a_refusal_names_who_refused() -> None:
    async def work(network: EdgeNetwork, edge: Edge) -> Exchange:
        socket: Any = await network.open_udp()
        socket.errors += ["ICMP 3/3 from 10.0.0.1 about 192.0.2.1:9"]  # of an earlier question
        socket.send = lambda data, to: socket.errors.append(f"ICMP 3/13 from 192.168.88.1 about {SERVER}")
        return await network.stun(socket, SERVER)

    exchange = run(work)
    assert exchange.outcome == Failed(operation="send", reason=f"ICMP 3/13 from 192.168.88.1 about {SERVER}", offender="192.168.88.1")


def test_once_the_server_is_lost_nobody_waits_for_it() -> None:
    async def work(network: EdgeNetwork, edge: Edge) -> float:
        socket = await network.open_udp()
        edge.lost = "it was killed"
        began = network.now()
        for attempt in (network.stun(socket, SERVER), network.account(1), network.proved(socket), network.ask(lambda id: control.Ping(id=id))):
            with pytest.raises(ControlLost, match="lost in mid-run: it was killed"):
                await attempt
        return network.now() - began

    assert run(work) == 0.0


def test_without_an_echo_server_there_is_nothing_to_lose() -> None:
    async def work(network: EdgeNetwork, edge: Edge) -> Exchange:
        alone = EdgeNetwork(
            edge, NoSession(), edge.service, limits=control.Limits(), session_name=bytes(8), observed=PUBLIC,
            primary_host=PRIMARY, memory=SharedMemory(), pace=0, rtt=0.05,
        )
        assert await alone.account(1) is None
        return await alone.stun(await alone.open_udp(), SERVER)

    assert isinstance(run(work).outcome, Answered)


def test_series_are_not_used_twice_and_never_that_of_claims() -> None:
    async def work(network: EdgeNetwork, edge: Edge) -> list[int]:
        return [network.new_series() for _ in range(65_536)]

    series = run(work)
    assert sorted(series[:65_535]) == list(range(1, 65_536))
    assert series[65_535] == 1


def test_the_gate() -> None:
    passed: list[float] = []

    async def work() -> None:
        gate, loop = Gate(), asyncio.get_running_loop()

        async def through() -> None:
            await gate.pass_through()
            passed.append(loop.time())

        loop.call_later(3.0, gate.open)
        assert not gate.someone_waits.is_set()
        first = asyncio.create_task(through())
        await gate.someone_waits.wait()
        await first
        await through()

    clock.run(work())
    assert passed == [3.0, 3.0]
