"""Runs that do not come to their own end: the time allowed, an interruption, a server that goes. What was known by then is told."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from edgecheck import runner
from edgecheck.model.check import Network, Observation
from edgecheck.model.errors import ControlLost
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Report, Verdict
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint
from tests.fakes import clock
from tests.fakes.edge import Edge
from tests.fakes.memory import SharedMemory
from tests.fakes.nat import EIGHT, Nat
from tests.fakes.world import Session, World, by_id, check, endless, kept, passes


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def cut_short(report: Report, why: str) -> None:
    """What was done stands, what was begun is undecided, what was not begun is skipped."""
    results = by_id(report)
    assert [results[id].verdict for id in ("done", "begun", "not begun")] == [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.SKIPPED]
    assert results["done"].observation is not None
    assert why in results["begun"].summary
    assert why in results["not begun"].summary
    assert [note for note in report.notes if why in note and "Not finished" in note]
    assert report.verdict is Verdict.INCONCLUSIVE


def test_the_time_allowed_keeps_what_is_known(world: World) -> None:
    profile = world.have(check("done", passes), check("begun", endless), check("not begun", passes))
    report = world.run(Edge(Nat()), profile=profile, timeout=7.5)
    cut_short(report, "the time allowed (7.5 s) was over")
    assert world.session is not None
    assert world.session.closed
    assert world.told.counts == [("begun", 1, 2)]


def test_the_time_allowed_holds_for_those_who_wait_at_the_gate_too(world: World) -> None:
    async def contacts(net: Network, profile: Profile) -> Observation:
        await net.may_contact_alternate()
        raise AssertionError("the gate must not open while somebody needs the address uncontacted")

    profile = world.have(check("one", contacts), check("two", endless))
    report = world.run(Edge(Nat()), profile=profile, timeout=3.0)
    assert {result.verdict for result in report.checks} == {Verdict.INCONCLUSIVE}


def test_a_failure_found_in_time_stays_a_failure(world: World) -> None:
    profile = world.have(check("one", passes, Verdict.FAIL), check("two", endless))
    assert world.run(Edge(Nat()), profile=profile, timeout=3.0).verdict is Verdict.FAIL


def test_the_time_allowed_covers_the_way_to_the_server(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Opening:
        @staticmethod
        async def open(*_: object) -> Session:
            await asyncio.Event().wait()
            raise AssertionError

    async def work() -> tuple[Report, float]:
        monkeypatch.setattr(runner, "ControlSession", Opening)
        return await runner.run(world.settings(timeout=2.0), world.told), asyncio.get_running_loop().time()

    report, took = clock.run(work())
    assert took == pytest.approx(2.0)
    assert kept(report).verdict is Verdict.INCONCLUSIVE
    assert any("the time allowed (2 s) was over" in note for note in report.notes)


def test_an_interruption_ends_with_a_report(world: World) -> None:
    profile = world.have(check("done", passes), check("begun", endless), check("not begun", passes))

    async def work() -> Report:
        world.meet(Edge(Nat()))
        task = asyncio.create_task(runner.run(world.settings(profile=profile), world.told))
        asyncio.get_running_loop().call_later(5, task.cancel)
        report = await task
        assert not task.cancelled()
        await asyncio.sleep(1)
        return report

    cut_short(kept(clock.run(work())), "interrupted")
    assert world.session is not None
    assert world.session.closed


def test_an_interruption_before_there_is_a_session(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Opening:
        @staticmethod
        async def open(*_: object) -> Session:
            await asyncio.Event().wait()
            raise AssertionError

    async def work() -> Report:
        monkeypatch.setattr(runner, "ControlSession", Opening)
        task = asyncio.create_task(runner.run(world.settings(), world.told))
        asyncio.get_running_loop().call_later(1, task.cancel)
        return await task

    report = kept(clock.run(work()))
    control, *checks = report.checks
    assert [finding.id for finding in control.findings] == ["control.unreachable"]
    assert report.headline == control.findings[0].summary
    assert report.headline.startswith(f"The session with {report.settings['target']} had not come about ")
    assert {result.verdict for result in checks} == {Verdict.SKIPPED}
    assert report.verdict is Verdict.INCONCLUSIVE
    assert any("interrupted" in note for note in report.notes)


# ---- the server goes


class Dying(Edge):
    """The server's process is killed at a moment: nothing answers any more, and the control channel is lost."""

    def __init__(self, nat: Nat, at: float) -> None:
        super().__init__(nat)
        self._death = at

    def _dead(self) -> bool:
        if asyncio.get_running_loop().time() >= self._death:
            self.lost = "the server closed the control channel"
        return self.lost is not None

    def _at_server(self, seen: Endpoint, data: bytes, to: Endpoint) -> None:
        if not self._dead():
            super()._at_server(seen, data, to)

    def _carry_out(self, outbound: Any) -> None:
        if not self._dead():
            super()._carry_out(outbound)

    async def ask(self, make: Callable[[int], control.Request], timeout: float = 30.0) -> control.Reply:
        self._dead()
        reply = await super().ask(make, timeout)
        if self._dead():
            raise ControlLost(f"The server was lost in mid-run: {self.lost}.")
        return reply


TOLD = (Verdict.PASS, Verdict.WARN, Verdict.FAIL)


@pytest.mark.parametrize("name", ["none", "full cone", "port restricted cone", "symmetric"])
def test_a_server_that_is_killed_at_any_moment_makes_no_verdict_wrong(name: str, world: World) -> None:
    """At every moment of the run: what was measured before stands, nothing is said that the whole run would not have said."""
    truth = world.run(Edge(Nat(**EIGHT[name])))
    said = {(result.id, finding.id, finding.verdict) for result in truth.checks for finding in result.findings if finding.verdict in TOLD}
    length, steps, partial = world.took, 24, 0
    for step in range(steps):
        moment = length * (step + 0.5) / steps
        world.memory = SharedMemory()
        report = world.run(Dying(Nat(**EIGHT[name]), moment))
        for result in report.checks:
            if result.id == "control":
                continue
            for finding in result.findings:
                if finding.verdict in TOLD:
                    assert (result.id, finding.id, finding.verdict) in said, (moment, finding)
            assert result.fault is None, (moment, result.fault)
        results = by_id(report)
        lost = "control" in results
        partial += lost and any(result.verdict in TOLD for result in report.checks)
        if lost:
            assert [finding.id for finding in results["control"].findings] == ["control.lost"]
            summary = results["control"].findings[0].summary
            assert "echo.example.net:8443" in summary
            assert "lost in mid-run" in summary
            assert "run again" in summary
            assert report.verdict in (Verdict.INCONCLUSIVE, Verdict.FAIL)
    assert partial, "of some run a part was measured and is reported"
