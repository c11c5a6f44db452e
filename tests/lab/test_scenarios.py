"""The real server and the real client through every edge of ``scenarios``: what each check observes is what stands there."""

import pytest

from tests.lab import runs
from tests.lab.conftest import Laboratory
from tests.lab.expectation import differences
from tests.lab.scenarios import SCENARIOS, Scenario

pytestmark = pytest.mark.lab


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario(laboratory: Laboratory, scenario: Scenario) -> None:
    directory = laboratory.directory(f"run {scenario.name}")
    with laboratory.stand(scenario.plan, scenario.name) as topology:
        server = runs.serve(topology, scenario.server, directory)
        report = runs.run(topology, scenario.server, directory, *scenario.options, rtp=scenario.rtp)
        log = server.stderr
    assert not runs.faults(report), "\n".join(runs.faults(report))
    assert "Traceback" not in log, log
    found = [
        *differences(scenario.expected, runs.observations(report)),
        *differences(scenario.verdicts, {"": report["verdict"], **runs.verdicts(report)}, "verdict"),
    ]
    assert not found, "\n".join(["", scenario.description, *found, "", runs.told(report)])
