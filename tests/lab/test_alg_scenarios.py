"""The real server and client through every ALG mutation: each is named as the contract says, and only where it is at work."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import runs
from tests.lab.alg import MUTATIONS
from tests.lab.alg_scenarios import CASES, UNSEEN, Case
from tests.lab.conftest import Laboratory
from tests.lab.expectation import differences
from tests.lab.topology import Plan, Topology, UserRouter
from tests.lab.user_nat import EI

pytestmark = pytest.mark.lab
SERVER = runs.Server()


@pytest.fixture(scope="module")
def edge(laboratory: Laboratory) -> Iterator[tuple[Topology, Path]]:
    directory = laboratory.directory("alg runs")
    with laboratory.stand(Plan(home=UserRouter(nat={"mapping": EI, "allocation": "sequential"})), "alg") as topology:
        runs.serve(topology, SERVER, directory)
        yield topology, directory


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_mutation(edge: tuple[Topology, Path], case: Case) -> None:
    topology, directory = edge
    topology.reconfigure("home", changes={"alg": {"mutations": list(case.mutations)}})
    report = runs.run(topology, SERVER, directory, "sip-alg")
    assert not runs.faults(report), "\n".join(runs.faults(report))
    seen = runs.observations(report)["sip-alg"]
    rows = {(row["transport"], row["server_port"], row["method"]): row for row in seen["probes"]}
    found = list(differences(case.expected(), rows["udp", 5060, case.method], f"udp 5060 {case.method}"))
    found += case.unexpected(rows["udp", 5060, case.method]["changes"])
    found += differences(case.interference, seen["interference"], "interference")
    for method, request in case.others.items():
        found += differences(request, rows["udp", 5060, method]["request"], f"udp 5060 {method}.request")
    untouched = {"request": "unchanged", "response": "unchanged", "changes": []}
    for key, row in rows.items():
        if key[:2] in (("udp", 5080), ("tls", 5061)):
            found += differences(untouched, row, f"control {key}")
    assert not found, "\n".join(["", *(MUTATIONS[name].text for name in case.mutations), *found, "", runs.told(report)])


def test_every_mutation_has_its_case() -> None:
    assert {name for case in CASES for name in case.mutations} | set(UNSEEN) == set(MUTATIONS)
