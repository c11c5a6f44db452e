"""Ten thousand real ports at once, few descriptors, and neighbors who send without end."""

import asyncio
import gc
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from edgecheck.net.sockets.bell import Bell
from edgecheck.net.sockets.port_batch import RealPortBatch, capacity
from edgecheck.wire.address import Endpoint
from tests.net.live import ANOTHER as HERE

WHOLE = range(10_000, 20_001)
PATIENCE = 20.0


def run(work: Callable[[], Awaitable[None]]) -> None:
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(work())  # type: ignore[arg-type]


def descriptors() -> int:
    """Open ones; what earlier tests left to the garbage is none of ours."""
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def needs(ports: int) -> None:
    if capacity() < ports:
        pytest.skip(f"this machine lets a process have {capacity()} ports at once, and the test needs {ports} (ulimit -n)")


def test_every_port_of_the_range_receives_and_sends() -> None:
    needs(len(WHOLE))

    async def work() -> None:
        before, bell = descriptors(), Bell()
        batch = await RealPortBatch.open(HERE, WHOLE, lambda data: True, bell)
        try:
            assert (batch.opened, batch.busy) == (frozenset(WHOLE), {})
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside:
                outside.bind((HERE, 0))
                outside.settimeout(PATIENCE)
                for port in WHOLE:
                    outside.sendto(b"%d" % port, (HERE, port))
                assert await bell.until(lambda: len(batch.arrivals) == len(WHOLE), PATIENCE)
                at = Endpoint(*outside.getsockname())
                assert {(port, arrival.data, arrival.source) for port, arrival in batch.arrivals} == {(p, b"%d" % p, at) for p in WHOLE}
                heard = set()
                for port in WHOLE:
                    assert batch.send(port, b"out", at)
                    heard.add(outside.recvfrom(10)[1])
                assert heard == {(HERE, port) for port in WHOLE}
        finally:
            batch.close()
        batch.close()
        assert descriptors() <= before

    run(work)


def test_ports_in_use_are_named_and_the_others_work() -> None:
    async def work() -> None:
        bell = Bell()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two:
            one.bind((HERE, 21_003))
            two.bind((HERE, 21_007))
            batch = await RealPortBatch.open(HERE, range(21_000, 21_010), lambda data: True, bell)
            try:
                assert batch.busy == {21_003: "port-in-use", 21_007: "port-in-use"}
                assert batch.opened == frozenset(range(21_000, 21_010)) - {21_003, 21_007}
                one.sendto(b"x", (HERE, 21_004))
                assert await bell.until(lambda: len(batch.arrivals) == 1, PATIENCE)
                assert batch.arrivals[0][0] == 21_004
            finally:
                batch.close()

    run(work)


def test_ports_are_released_and_taken_again() -> None:
    async def work() -> None:
        before, bell = descriptors(), Bell()
        batch = await RealPortBatch.open(HERE, range(21_000, 21_010), lambda data: True, bell)
        try:
            batch.release([21_003, 21_004, 30_000])
            assert batch.opened == frozenset(range(21_000, 21_010)) - {21_003, 21_004}
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as kept, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside:
                kept.bind((HERE, 21_004))
                batch.retake([21_003, 21_004])
                assert (batch.opened, batch.busy) == (frozenset(range(21_000, 21_010)) - {21_004}, {21_004: "port-in-use"})
                outside.sendto(b"x", (HERE, 21_003))
                assert await bell.until(lambda: len(batch.arrivals) == 1, PATIENCE)
                assert batch.arrivals[0][0] == 21_003
        finally:
            batch.close()
        assert descriptors() <= before

    run(work)


def test_an_address_that_this_machine_does_not_have() -> None:
    async def work() -> None:
        before = descriptors()
        batch = await RealPortBatch.open("192.0.2.77", range(21_000, 21_010), lambda data: True, Bell())
        assert (batch.opened, set(batch.busy.values())) == (frozenset(), {"no-route"})
        batch.close()
        assert descriptors() <= before

    run(work)


def test_strays_are_not_kept() -> None:
    async def work() -> None:
        bell = Bell()
        batch = await RealPortBatch.open(HERE, [21_000], lambda data: data.startswith(b"ours"), bell)
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside:
                for data in (b"", b"a scanner", b"ours 1", b"x" * 60_000, b"ours 2"):
                    outside.sendto(data, (HERE, 21_000))
            assert await bell.until(lambda: len(batch.arrivals) == 2, PATIENCE)
            assert [arrival.data for _, arrival in batch.arrivals] == [b"ours 1", b"ours 2"]
        finally:
            batch.close()

    run(work)


def test_drain_reads_without_the_event_loop() -> None:
    async def work() -> None:
        batch = await RealPortBatch.open(HERE, [21_000, 21_001], lambda data: True, Bell())
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside:
                outside.sendto(b"one", (HERE, 21_000))
                outside.sendto(b"two", (HERE, 21_001))
            batch.drain()
            assert sorted((port, arrival.data) for port, arrival in batch.arrivals) == [(21_000, b"one"), (21_001, b"two")]
        finally:
            batch.close()

    run(work)


def test_a_port_that_is_flooded_does_not_keep_the_others_from_being_read() -> None:
    """Whoever sends as fast as we read would hold us for ever: here each datagram read brings the next one."""
    bound = 5_000
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
        reads = 0

        def accept(data: bytes) -> bool:
            nonlocal reads
            reads += 1
            if reads < bound:
                flood.sendto(b"more", (HERE, 21_000))
            return data == b"ours"

        async def work() -> None:
            bell = Bell()
            batch = await RealPortBatch.open(HERE, [21_000, 21_001], accept, bell)
            try:
                flood.sendto(b"more", (HERE, 21_000))
                batch.drain()
                assert reads < bound
                flood.sendto(b"ours", (HERE, 21_001))
                assert await bell.until(lambda: bool(batch.arrivals), PATIENCE)
                assert reads < bound
            finally:
                batch.close()

        run(work)


def test_a_destination_that_is_refused_costs_no_later_packet() -> None:
    """Whatever answers with ICMP, or forbids a send: ``send`` says so or the packet leaves, and nothing is raised."""

    async def work() -> None:
        batch = await RealPortBatch.open(HERE, [21_000], lambda data: True, Bell())
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside:
                outside.bind((HERE, 0))
                outside.settimeout(PATIENCE)
                at = Endpoint(*outside.getsockname())
                for turn in range(5):
                    batch.send(21_000, b"to nobody", Endpoint(HERE, 9))
                    assert batch.send(21_000, b"%d" % turn, at)
                    assert outside.recvfrom(10)[0] == b"%d" % turn
            assert not batch.send(21_000, b"x" * 70_000, at)
            assert not batch.send(21_000, b"x", Endpoint("::1", 9))
            assert not batch.send(21_000, b"x", Endpoint(HERE, 99_999))
        finally:
            batch.close()

    run(work)


def test_a_cancelled_opening_leaves_nothing_open() -> None:
    async def work() -> None:
        before = descriptors()
        opening = asyncio.create_task(RealPortBatch.open(HERE, range(10_000, 12_000), lambda data: True, Bell()))
        await asyncio.sleep(0)
        assert descriptors() > before
        opening.cancel()
        await asyncio.wait({opening})
        assert opening.cancelled()
        assert descriptors() <= before

    run(work)


FEW = """
import asyncio, resource, sys
soft, hard = int(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
from edgecheck.net.sockets.bell import Bell
from edgecheck.net.sockets.port_batch import RealPortBatch, capacity
from edgecheck.net.sockets.real import RealTransport

async def work():
    transport = RealTransport(sys.argv[-1], Bell())
    batch = await transport.open_ports(range(22_000, 22_000 + transport.port_capacity), lambda data: True)
    canaries = [await transport.open_udp(0) for _ in range(5)]
    over = await RealPortBatch.open(sys.argv[-1], range(30_000, 34_000), lambda data: True, Bell())
    print(transport.port_capacity, len(batch.opened), len(batch.busy), len(over.opened) + len(over.busy), *set(over.busy.values()))

asyncio.run(work())
"""


@pytest.mark.parametrize(("soft", "hard", "least"), [(256, 256, 100), (256, 2048, 1800), (64, 64, 16)])
def test_capacity_is_what_can_really_be_opened(soft: int, hard: int, least: int) -> None:
    """And what is beyond it is named as such, not as in use."""
    done = subprocess.run([sys.executable, "-c", FEW, str(soft), str(hard), HERE], capture_output=True, text=True, check=True)
    promised, opened, busy, asked_too_much, *why = done.stdout.split()
    assert (int(opened), int(busy)) == (int(promised), 0)
    assert least <= int(promised) <= hard
    assert int(asked_too_much) == 4_000
    assert why == ["no-descriptors"]
    assert done.stderr == ""


NONE_LEFT = """
import asyncio, os, resource, sys
from edgecheck.model.errors import LocalFailure
from edgecheck.net.sockets.bell import Bell
from edgecheck.net.sockets.real import RealTransport
from edgecheck.wire.address import Endpoint

async def work():
    transport = RealTransport(sys.argv[-1], Bell())
    resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
    while True:
        try:
            os.dup(0)
        except OSError:
            break
    for attempt in (
        transport.open_udp(0),
        transport.listen_tcp(0),
        transport.connect(Endpoint(sys.argv[-1], 9), 0, 1.0, tls=False),
        transport.open_ports([22_000], lambda data: True),
    ):
        try:
            await attempt
        except LocalFailure as failure:
            print(failure.reason, str(failure))

asyncio.run(work())
"""


def test_where_no_descriptor_is_left_every_operation_says_so() -> None:
    done = subprocess.run([sys.executable, "-c", NONE_LEFT, HERE], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 4, done
    for line in lines:
        assert line.startswith("no-descriptors Could not open a s")
        assert "limit on open files" in line
