"""The real server and the real client through every edge of ``scenarios``: what each check observes is what stands there."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.lab import runs
from tests.lab.conftest import Laboratory
from tests.lab.expectation import differences
from tests.lab.scenario import Scenario
from tests.lab.scenarios import SCENARIOS

pytestmark = pytest.mark.lab


Play = Callable[[Scenario], tuple[dict[str, Any], str]]


@pytest.fixture(scope="module")
def play(laboratory: Laboratory, request: pytest.FixtureRequest) -> Iterator[Play]:
    """The client's report and the server's log."""

    def run(scenario: Scenario) -> tuple[dict[str, Any], str]:
        directory = laboratory.directory(f"run {scenario.name}")
        with laboratory.stand(scenario.plan, scenario.name) as topology:
            server = runs.serve(topology, scenario.server, directory)
            if scenario.witness:
                runs.run(
                    topology, scenario.server, directory / "witness", "nat-behavior", "rtp-range", rtp=scenario.rtp, namespace="outside"
                )
            return runs.run(topology, scenario.server, directory, *scenario.options, rtp=scenario.rtp), server.stderr

    with laboratory.together(request, "scenario", run) as played:
        yield played


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario(play: Play, scenario: Scenario) -> None:
    report, log = play(scenario)
    assert not runs.faults(report), "\n".join(runs.faults(report))
    assert "Traceback" not in log, log
    found = [
        *differences(scenario.expected, runs.observations(report)),
        *differences(scenario.verdicts, {"": report["verdict"], **runs.verdicts(report)}, "verdict"),
    ]
    assert not found, "\n".join(["", scenario.description, *found, "", runs.told(report)])
