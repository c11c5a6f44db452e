"""The bell, on a clock that jumps: how long it waits is exact, and costs nothing."""

import asyncio

import pytest

from edgecheck.net.sockets.bell import Bell
from tests.fakes import clock


def test_what_holds_already_is_not_waited_for() -> None:
    async def work() -> tuple[bool, float]:
        loop = asyncio.get_running_loop()
        return await Bell().until(lambda: True, 10.0), loop.time()

    assert clock.run(work()) == (True, 0.0)


def test_silence_lasts_as_long_as_it_was_given_and_no_longer() -> None:
    async def work() -> tuple[bool, float]:
        answer = await Bell().until(lambda: False, 0.7)
        return answer, asyncio.get_running_loop().time()

    answer, took = clock.run(work())
    assert (answer, round(took, 6)) == (False, 0.7)


@pytest.mark.parametrize("timeout", [0.0, -1.0])
def test_no_time_left_still_looks_once(timeout: float) -> None:
    async def work() -> tuple[bool, bool]:
        return await Bell().until(lambda: True, timeout), await Bell().until(lambda: False, timeout)

    assert clock.run(work()) == (True, False)


def test_every_waiter_looks_again_at_every_ring() -> None:
    """Two wait for different things on one bell: the first ring satisfies one, the second the other."""
    heard: list[str] = []
    ended: list[tuple[str, float]] = []

    async def work() -> None:
        bell, loop = Bell(), asyncio.get_running_loop()

        async def wait(word: str) -> None:
            assert await bell.until(lambda: word in heard, 10.0)
            ended.append((word, loop.time()))

        def arrive(word: str) -> None:
            heard.append(word)
            bell.ring()

        loop.call_later(1.0, arrive, "one")
        loop.call_later(2.0, arrive, "two")
        await asyncio.gather(wait("two"), wait("one"), wait("two"))

    clock.run(work())
    assert [(word, round(at, 6)) for word, at in ended] == [("one", 1.0), ("two", 2.0), ("two", 2.0)]


def test_a_ring_that_nobody_hears_is_not_lost_and_not_kept() -> None:
    """What counts is the condition: rung before, it holds already; a ring for something else prolongs nothing."""

    async def work() -> tuple[bool, float]:
        bell, loop = Bell(), asyncio.get_running_loop()
        bell.ring()
        for at in (0.1, 0.2, 0.3):
            loop.call_later(at, bell.ring)
        return await bell.until(lambda: False, 0.5), loop.time()

    answer, took = clock.run(work())
    assert (answer, round(took, 6)) == (False, 0.5)


def test_a_cancelled_waiter_leaves_the_others_waiting() -> None:
    async def work() -> bool:
        bell, heard = Bell(), []
        first = asyncio.create_task(bell.until(lambda: bool(heard), 5.0))
        second = asyncio.create_task(bell.until(lambda: bool(heard), 5.0))
        await asyncio.sleep(0.1)
        first.cancel()
        await asyncio.wait({first})
        assert first.cancelled()
        heard.append("it")
        bell.ring()
        return await second

    assert clock.run(work())
