"""Whose firewall is it? UDP that never arrives is blamed on the client's edge only where other clients' packets do arrive."""

from pathlib import Path
from typing import Any

import pytest

from tests.lab import runs
from tests.lab.conftest import Laboratory
from tests.lab.ground import python
from tests.lab.routers import KernelRouter
from tests.lab.topology import Plan, Topology

pytestmark = pytest.mark.lab

CLOSED = 'table inet site { chain into { type filter hook input priority filter; policy accept; iifname != "lo" meta l4proto udp drop; }\n}'


def looked(topology: Topology, directory: Path) -> dict[str, Any]:
    return runs.run(topology, runs.Server(), directory, "nat-behavior", "rtp-range")


def test_udp_blocked_here_with_a_server_that_others_reach(laboratory: Laboratory) -> None:
    directory = laboratory.directory("vouched")
    with laboratory.stand(Plan(home=KernelRouter(blocked=("udp",))), "vouched") as topology:
        runs.serve(topology, runs.Server(), directory)
        first = looked(topology, directory)
        profile = directory / "lab.toml"
        command = python("-m", "edgecheck", "run", runs.Server().target, "nat-behavior", "rtp-range", "--profile", str(profile), "--quiet")
        topology.ground.run("outside", *command, environment={"HOME": str(directory / "another home")})
        second = looked(topology, directory)
    assert runs.verdicts(first) == {"nat-behavior": "inconclusive", "rtp-range": "inconclusive"}, runs.told(first)
    assert "firewall in front of the server" in first["headline"]
    assert runs.verdicts(second) == {"nat-behavior": "fail", "rtp-range": "fail"}, runs.told(second)
    assert "UDP does not leave this network" in second["headline"]


def test_a_server_whose_own_firewall_is_closed_fails_nobody(laboratory: Laboratory) -> None:
    directory = laboratory.directory("closed")
    with laboratory.stand(Plan(), "closed") as topology:
        topology.ground.shell(f"ip netns exec server nft -f - <<'END'\n{CLOSED}\nEND")
        runs.serve(topology, runs.Server(), directory)
        report = looked(topology, directory)
    assert runs.verdicts(report) == {"nat-behavior": "inconclusive", "rtp-range": "inconclusive"}, runs.told(report)
    assert not any(finding["id"] == "rtp-range.throttled" for check in report["checks"] for finding in check["findings"])
