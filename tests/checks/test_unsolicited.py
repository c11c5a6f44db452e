"""What an unsolicited packet meets: senders, probes that are ours, rounds with their control, canaries."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from edgecheck.checks import unsolicited
from edgecheck.checks.unsolicited import (
    COPIES,
    MOST_ROUNDS,
    RECALLS_S,
    REMEMBERS_S,
    FilterEvidence,
    Inbox,
    believed,
    filter_rounds,
    open_bare,
    remembered,
    sender,
)
from edgecheck.model.check import Arrival
from edgecheck.model.errors import LocalFailure
from edgecheck.net.network import EdgeNetwork
from edgecheck.wire import control, probe
from edgecheck.wire.address import Endpoint
from tests.fakes import clock
from tests.fakes.edge import ALTERNATE, PRIMARY, Edge, Weather
from tests.fakes.ends import FakeUdp
from tests.fakes.memory import SharedMemory
from tests.fakes.nat import EIGHT, Nat

STRANGER = Endpoint("192.0.2.66", 4000)


def run(edge: Edge, work: Callable[[EdgeNetwork], Awaitable[Any]], memory: SharedMemory | None = None) -> Any:
    async def whole() -> Any:
        network = edge.network(memory)
        network.gate.open()
        return await work(network)

    return clock.run(whole())


# ---- senders and probes


def test_the_servers_sockets_by_name() -> None:
    net = Edge(Nat()).network()
    assert [str(sender(net, name)) for name in ("A1", "A2", "AX", "B1", "B2", "BX")] == [
        f"{PRIMARY}:3478",
        f"{PRIMARY}:3479",
        f"{PRIMARY}:33001",
        f"{ALTERNATE}:3478",
        f"{ALTERNATE}:3479",
        f"{ALTERNATE}:33002",
    ]
    one = Edge(Nat(), alternate=False).network()
    assert [sender(one, name) for name in ("B1", "B2", "BX")] == [None] * 3
    assert sender(one, "A1") == Endpoint(PRIMARY, 3478)


def made(net: EdgeNetwork, **other: Any) -> bytes:
    given = {"kind": probe.Kind.PROBE, "session": net.session, "series": 7, "item": 5060, **other}
    return probe.serialize(probe.Probe(**given))


def test_only_this_sessions_probes_of_this_series_count() -> None:
    net = Edge(Nat()).network()
    at = Endpoint(PRIMARY, 3478)
    right = made(net)
    wrong = [
        b"",
        right[:-1],
        b"x" * len(right),
        made(net, session=b"another!"),
        made(net, series=8),
        made(net, kind=probe.Kind.ECHO),
        made(net, kind=probe.Kind.HAIRPIN),
    ]
    socket = FakeUdp(Edge(Nat()), Endpoint("192.168.88.2", 40_001))
    inbox = Inbox(net, socket, 7)
    socket.inbox += [Arrival(0.0, at, data) for data in wrong]
    assert inbox.count(at) == 0
    socket.inbox += [Arrival(0.0, at, right), Arrival(0.0, at, made(net, copy=1)), Arrival(0.0, STRANGER, right)]
    assert (inbox.count(at), inbox.count(STRANGER), inbox.count(None), inbox.count(Endpoint(PRIMARY, 3479))) == (2, 1, 0, 0)
    socket.inbox.append(Arrival(0.0, at, made(net, copy=2)))
    assert inbox.count(at) == 3, "each datagram is looked at once, and none is missed"
    socket.inbox += [Arrival(0.0, at, right), Arrival(0.0, at, made(net, copy=2))]
    assert inbox.count(at) == 3, "a path that doubles packets makes up for none that it loses"


# ---- the filter's rounds


def rounds(edge: Edge, memory: SharedMemory | None = None) -> FilterEvidence:
    async def work(net: EdgeNetwork) -> FilterEvidence | None:
        socket = await net.open_udp()
        loss, edge.weather.loss = edge.weather.loss, 0.0  # the mapping is had in fair weather
        mapped = await net.proved(socket)
        assert mapped is not None
        edge.weather.loss = loss
        return await filter_rounds(net, socket, mapped)

    seen: FilterEvidence = run(edge, work, memory)
    return seen


@pytest.mark.parametrize("name", EIGHT)
def test_one_round_is_enough_on_a_clean_path(name: str) -> None:
    seen = rounds(Edge(Nat(**EIGHT[name])))
    assert (seen.copies, seen.control) == (COPIES, COPIES)
    loose, host = name in ("none", "full cone"), name in ("none", "full cone", "restricted cone", "restricted by host")
    assert (seen.same_address, seen.other_address) == (COPIES * host, COPIES * loose)
    assert seen.silence_proved
    assert (seen.alternate_contacted_s, seen.recalled) == (None, None)


@pytest.mark.parametrize("loss", [0.1, 0.3, 0.5])
def test_rounds_go_on_until_chance_no_longer_explains_the_silence(loss: float) -> None:
    proved = 0
    for seed in range(12):
        seen = rounds(Edge(Nat(), Weather(loss=loss, seed=seed)))
        assert (seen.same_address, seen.other_address) == (0, 0)
        assert seen.silence_proved or seen.copies == COPIES * MOST_ROUNDS
        assert seen.control <= seen.copies
        proved += seen.silence_proved
    assert proved >= {0.1: 12, 0.3: 12, 0.5: 6}[loss]


def test_rounds_end_when_everybody_was_heard() -> None:
    """Whatever the control says: arrivals need none."""

    class NoControl(Edge):
        def _at_edge(self, source: Endpoint, destination: Endpoint, data: bytes) -> None:
            if not (source.port == 3478 and source.host == PRIMARY and data.startswith(probe.MAGIC)):
                super()._at_edge(source, destination, data)

    seen = rounds(NoControl(Nat(filtering="endpoint-independent")))
    assert (seen.copies, seen.control) == (COPIES, 0)
    assert (seen.same_address, seen.other_address) == (COPIES, COPIES)
    strict = rounds(NoControl(Nat()))
    assert (strict.copies, strict.control, strict.silence_proved) == (COPIES * MOST_ROUNDS, 0, False)


def test_with_one_address_nobody_waits_for_the_other() -> None:
    seen = rounds(Edge(Nat(filtering="address-dependent"), alternate=False))
    assert (seen.same_address, seen.other_address, seen.copies) == (COPIES, None, COPIES)


def test_copies_that_did_not_leave_are_not_counted_as_sent() -> None:
    class Failing(Edge):
        async def ask(self, make: Any, timeout: float = 30.0) -> control.Reply:
            reply = await super().ask(make, timeout)
            return control.Probed(id=reply.id, sent=9, failed=9) if isinstance(reply, control.Probed) else reply

    seen = rounds(Failing(Nat()))
    assert seen.copies == 2 * (COPIES - 3), "three of six left from each sender: one round does not do, two do"


def test_what_an_earlier_run_knew_is_part_of_the_evidence() -> None:
    memory = SharedMemory()
    memory.note(f"filtering/{ALTERNATE}", "address-dependent")
    memory.note_contact(ALTERNATE)
    memory.clock += 40
    seen = rounds(Edge(Nat()), memory)
    assert (seen.alternate_contacted_s, seen.recalled, seen.recalled_s) == (40, "address-dependent", 40)


def test_how_long_a_contact_counts() -> None:
    assert [remembered(age) for age in (None, 0.0, REMEMBERS_S - 0.1, REMEMBERS_S)] == [False, True, True, False]
    assert [believed(age) for age in (None, 0.0, RECALLS_S - 0.1, RECALLS_S)] == [False, True, True, False]


# ---- the alternate address, contacted at last


@pytest.mark.parametrize("dead", [False, True])
def test_whether_the_alternate_address_lives(dead: bool) -> None:
    memory = SharedMemory()
    answers = run(Edge(Nat(), alternate_dead=dead), unsolicited.alternate_answers, memory)
    assert answers is not dead
    assert memory.contacted(ALTERNATE) == 0, "it has been contacted now, whatever came of it"
    assert run(Edge(Nat(), alternate_dead=dead), unsolicited.alternate_connects) is not dead


def test_where_there_is_no_alternate_address_nobody_is_asked() -> None:
    edge = Edge(Nat(), alternate=False)
    assert run(edge, unsolicited.alternate_answers) is None
    assert run(edge, unsolicited.alternate_connects) is False


def test_the_alternate_address_is_contacted_only_in_its_turn() -> None:
    async def work() -> None:
        edge = Edge(Nat())
        network = edge.network()
        asking = asyncio.create_task(unsolicited.alternate_answers(network))
        await asyncio.sleep(60)
        assert not asking.done()
        assert edge.nat.inbound("udp", Endpoint(ALTERNATE, 3478), 40_001) is None
        network.gate.open()
        assert await asking is True

    clock.run(work())


# ---- bare canaries


def bare(edge: Edge, avoid: set[int], memory: SharedMemory | None = None, transport: Any = "udp") -> list[int]:
    async def work(net: EdgeNetwork) -> list[int]:
        sockets = await open_bare(net, avoid, transport)
        assert set(edge.udp) == {socket.local.port for socket in sockets}, "what was rejected is closed again"
        return [socket.local.port for socket in sockets]

    ports: list[int] = run(edge, work, memory)
    return ports


def test_bare_canaries_avoid_what_a_rule_may_name_and_what_sent_lately() -> None:
    assert bare(Edge(Nat()), set()) == [40_001, 40_002, 40_003]
    memory = SharedMemory()
    memory.note_sent([40_002])
    memory.note_sent([40_005], "tcp")
    memory.clock += 30
    assert bare(Edge(Nat()), {40_001, 40_003}, memory) == [40_004, 40_005, 40_006]
    assert bare(Edge(Nat()), {40_001, 40_003}, memory, "tcp") == [40_002, 40_004, 40_006]
    memory.clock += REMEMBERS_S
    assert bare(Edge(Nat()), set(), memory) == [40_001, 40_002, 40_003]


def test_fewer_canaries_where_there_are_no_more_ports() -> None:
    class Full(Edge):
        async def open_udp(self, port: int) -> FakeUdp:
            if len(self.udp) == 2:
                raise LocalFailure("no-descriptors", "no more sockets")
            return await super().open_udp(port)

    assert len(bare(Full(Nat()), set())) == 2
    assert bare(Edge(Nat()), set(range(40_000, 50_000))) == [], "where every port may be named by a rule, there is no canary"
