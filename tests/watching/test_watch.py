"""The loop on a clock of its own: what is told, what is not, and that nothing is forgotten over an outage."""

import asyncio

import pytest

from edgecheck.model.comparison import Kind
from edgecheck.model.verdict import Verdict
from edgecheck.watching.watch import JITTER, SLICE_S, Clock, Watch
from tests.reports import finding, report, result


def layers(count):
    """A look: one NAT layer is fine, two are a warning."""
    verdict, id = ("pass", "topology.single") if count == 1 else ("warn", "topology.double-nat")
    return report(result(finding(id, verdict, "layers"), observation={"nat_layers": count}))


def outage():
    """A look without a server."""
    control = result(finding("control.unreachable", "inconclusive"))
    skipped = result(finding("topology.skipped", "skipped"))
    return report(control, skipped, server=None)


class Machine:
    """A clock that waits for nobody, and what was told."""

    def __init__(self, *looks):
        self.now = 1_000_000.0
        self.looks = list(looks)
        self.looked_at = []
        self.slept = []
        self.turns = []

    async def look(self):
        self.looked_at.append(self.now)
        self.now += 2.0
        return self.looks[min(len(self.looked_at), len(self.looks)) - 1]

    async def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds

    async def tell(self, turn):
        self.turns.append(turn)

    def watch(self, every=900.0):
        return Watch(self.look, every, Clock(lambda: self.now, self.sleep), (self,), seed=7)

    def go(self, times, every=900.0):
        asyncio.run(self.watch(every).go(times))
        return [turn for turn in self.turns if turn.telling]


def test_an_edge_that_stays_as_it_is_is_told_once():
    told = Machine(layers(1)).go(20)
    assert [(turn.first, turn.changes) for turn in told] == [(True, ())]


def test_a_change_is_told_when_it_comes_and_when_it_goes():
    told = Machine(layers(1), layers(1), layers(2), layers(2), layers(1)).go(5)
    assert [[change.kind for change in turn.changes] for turn in told] == [[], [Kind.WORSE, Kind.DIFFERENT], [Kind.BETTER, Kind.DIFFERENT]]
    assert "double-nat" in told[1].headline


def test_an_outage_is_told_when_it_begins_and_when_it_ends():
    told = Machine(layers(1), outage(), outage(), outage(), layers(1), layers(1)).go(6)
    assert [(turn.first, turn.began, turn.ended, turn.changes) for turn in told] == [
        (True, False, False, ()),
        (False, True, False, ()),
        (False, False, True, ()),
    ]


def test_a_change_that_came_with_an_outage_is_told_after_it():
    told = Machine(layers(1), outage(), layers(2)).go(3)
    assert [change.kind for change in told[-1].changes] == [Kind.WORSE, Kind.DIFFERENT]


def test_a_watch_that_begins_in_an_outage():
    told = Machine(outage(), outage(), layers(1), layers(2)).go(4)
    assert [(turn.first, turn.ended, bool(turn.changes)) for turn in told] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]


def test_looks_are_as_far_apart_as_asked_give_or_take_a_tenth():
    machine = Machine(layers(1))
    machine.go(50)
    gaps = [later - earlier for earlier, later in zip(machine.looked_at, machine.looked_at[1:], strict=False)]
    assert all(900 * (1 - JITTER) <= gap <= 900 * (1 + JITTER) + SLICE_S for gap in gaps)
    assert max(gaps) - min(gaps) > 60  # they do vary
    assert 870 < sum(gaps) / len(gaps) < 930
    assert max(machine.slept) <= SLICE_S


def test_after_a_sleep_it_looks_within_a_slice():
    machine = Machine(layers(1))
    ordinary = machine.sleep

    async def asleep(seconds):
        await ordinary(seconds)
        if len(machine.slept) == 3:
            machine.now += 8 * 3600  # the lid was closed
            machine.woke = machine.now

    machine.sleep = asleep
    machine.go(2)
    assert machine.looked_at[1] - machine.woke <= SLICE_S


def test_a_clock_that_is_set_back_is_not_sat_out():
    machine = Machine(layers(1))
    ordinary = machine.sleep

    async def set_back(seconds):
        await ordinary(seconds)
        if len(machine.slept) == 2:
            machine.now -= 30 * 86400

    machine.sleep = set_back
    machine.go(2)
    assert sum(machine.slept) < 2 * 900


def test_a_look_that_is_cut_short_tells_nothing():
    machine = Machine(layers(1))
    watch = machine.watch()

    async def cut():
        watch.ending = True
        return outage()

    machine.look = cut
    watch._look = cut
    asyncio.run(watch.go())
    assert machine.turns == []


@pytest.mark.parametrize(("look", "verdict"), [(layers(1), Verdict.PASS), (layers(2), Verdict.WARN), (outage(), Verdict.INCONCLUSIVE)])
def test_the_last_verdict_is_known(look, verdict):
    machine = Machine(look)
    watch = machine.watch()
    asyncio.run(watch.go(1))
    assert watch.verdict is verdict
