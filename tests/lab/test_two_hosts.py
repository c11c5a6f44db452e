"""A real router that remembers hosts for everybody, and two machines behind it, one after the other."""

import pytest

from tests.lab import runs
from tests.lab.conftest import Laboratory
from tests.lab.scenario import BY_NAME
from tests.lab.topology import LAN_HOST

pytestmark = [pytest.mark.lab, pytest.mark.slow]


def test_what_one_machine_contacted_misleads_no_other(laboratory: Laboratory) -> None:
    """Both leave by the one public address; the second has a record of its own, which is empty."""
    plan = BY_NAME["adfh"].plan
    directory = laboratory.directory("two hosts")
    with laboratory.stand(plan, "two hosts") as topology:
        server = runs.Server()
        runs.serve(topology, server, directory)
        first = runs.run(topology, server, directory / "first", "nat-behavior")
        second = runs.run(topology, server, directory / "second", "nat-behavior", "port-forwarding")
        third = runs.run(topology, server, directory / "third", "nat-behavior", namespace="lan-host")
    assert LAN_HOST in runs.observations(third)["nat-behavior"]["local_address"]
    assert runs.observations(first)["nat-behavior"]["filtering"] == "address-dependent", runs.told(first)
    for report in (second, third):
        seen = runs.observations(report)["nat-behavior"]
        assert seen["filter_test"]["alternate_contacted_s"] is not None, runs.told(report)
        assert seen["filtering"] != "endpoint-independent", runs.told(report)
    states = {row["state"] for row in runs.observations(second)["port-forwarding"]["ports"]}
    assert "forwarded" not in states, runs.told(second)
