"""A session that is lost in mid-run goes on, under its name: what was under way is undecided, the rest is measured."""

import asyncio

import pytest

from edgecheck import profiles, runner
from edgecheck.cli.progress import Quiet
from edgecheck.cli.run import event_loop
from edgecheck.model.verdict import CheckResult, Report, Verdict
from edgecheck.net.control import session
from tests.net import live
from tests.net.live import HERE
from tests.server_process import ServerProcess

ORDER = ("nat-behavior", "port-preservation", "host")


class Cutter(Quiet):
    """Cuts the control channel when a check has finished, as a network does that has gone for a moment."""

    def __init__(self, opened: list[session.ControlSession], after: str, server: ServerProcess | None = None) -> None:
        self._opened = opened
        self._after = after
        self._server = server

    def check_finished(self, result: CheckResult) -> None:
        if result.id == self._after:
            if self._server is not None:
                self._server.process.kill()
            channel = self._opened[-1]
            channel._lose("cut by the test")
            connection = channel._socket._response.connection
            assert connection is not None
            assert connection.transport is not None
            connection.transport.abort()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[session.ControlSession]:
    """Every control session, in order."""
    found: list[session.ControlSession] = []
    whole = session.ControlSession.open.__func__

    async def noted(cls, *given: object) -> session.ControlSession:  # type: ignore[no-untyped-def]
        found.append(await whole(cls, *given))
        return found[-1]

    monkeypatch.setattr(session.ControlSession, "open", classmethod(noted))
    return found


def run(server: ServerProcess, show: Quiet) -> Report:
    settings = runner.Settings(target=server.target, profile=profiles.load("generic-pbx"), checks=ORDER, source=HERE, pace=0)
    with asyncio.Runner(loop_factory=event_loop) as loop:
        return loop.run(runner.run(settings, show))


def test_the_rest_is_measured_in_the_same_session(opened: list[session.ControlSession]) -> None:
    with live.server() as server:
        report = run(server, Cutter(opened, "nat-behavior"))
    assert [each.id for each in report.checks] == ["nat-behavior", "port-preservation", "host"]
    assert {each.verdict for each in report.checks} == {Verdict.PASS}, [each.summary for each in report.checks]
    assert len(opened) == 2
    assert opened[1].welcome.continued
    assert opened[1].welcome.session == opened[0].welcome.session
    assert any("the session goes on" in note for note in report.notes)


def test_without_a_server_the_rest_is_not_tested_and_said_so(
    opened: list[session.ControlSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "CONTINUE_AFTER_S", (0.01,))
    with live.server() as server:
        report = run(server, Cutter(opened, "nat-behavior", server))
    verdicts = {each.id: each.verdict for each in report.checks}
    assert verdicts["control"] is Verdict.INCONCLUSIVE
    assert verdicts["nat-behavior"] is Verdict.PASS
    assert verdicts["port-preservation"] is Verdict.SKIPPED
