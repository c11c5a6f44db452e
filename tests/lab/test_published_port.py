"""A PBX in a container whose published port no program of the machine holds (Docker without its proxy, podman): rules of the machine's own
lead it on, to whoever comes from outside and from here. The router's rule is right, and nobody is sent to it.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.lab import pbx, runs
from tests.lab.conftest import Laboratory
from tests.lab.ground import python
from tests.lab.routers import Forward, KernelRouter
from tests.lab.test_host import DOCKER
from tests.lab.test_live_pbx import WITHOUT
from tests.lab.topology import Plan, Topology

pytestmark = [pytest.mark.lab, pytest.mark.slow]
PBX = "172.17.0.2"
PUBLISHED = f"""table ip published {{
  chain in {{ type nat hook prerouting priority dstnat; fib daddr type local meta l4proto {{ tcp, udp }} th dport 5060 dnat to {PBX}; }}
  chain out {{ type nat hook output priority -100; ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto {{ tcp, udp }} th dport 5060 dnat to {PBX}; }}
}}
"""
"""As Docker and podman (netavark) make it."""
PROFILE = """
name = "published"
title = "a PBX in a container"
source = "tests/lab"
confidence = "verified"
checks = ["port-forwarding"]
ports = [
  { ports = "5060", transport = "udp", purpose = "SIP", protocol = "sip" },
  { ports = "5060", transport = "tcp", purpose = "SIP", protocol = "sip" },
  { ports = "5062", transport = "udp", purpose = "SIP", protocol = "sip" },
]
"""


def look(topology: Topology, directory: Path, before: tuple[str, ...]) -> dict[str, Any]:
    directory.mkdir(parents=True, exist_ok=True)
    profile = directory / "published.toml"
    profile.write_text(PROFILE)
    command = python("-m", "edgecheck", "run", runs.Server().target, "--profile", str(profile), "--json", "-", "--quiet")
    report = runs.report(topology, directory, (*before, *command))
    assert not runs.faults(report), runs.faults(report)
    return report


def test_a_published_port_is_not_another_machine(laboratory: Laboratory) -> None:
    laboratory.need("kamailio")
    directory = laboratory.directory("published")
    with laboratory.stand(Plan(home=KernelRouter(forwards=(Forward(ports="5060-5062"),))), "published") as topology:
        topology.ground.shell(DOCKER)
        topology.ground.run("client", "nft", "-f", "-", stdin=PUBLISHED, check=True)
        runs.serve(topology, runs.Server(), directory)
        pbx.kamailio(topology, "container", PBX, directory / "pbx")
        privileged, unprivileged = (look(topology, directory / name, before) for name, before in (("with", ()), ("without", WITHOUT)))
    for report, tcp in ((privileged, True), (unprivileged, None)):
        rows = {(row["transport"], row["port"]): row for row in runs.observations(report)["port-forwarding"]["ports"]}
        told = runs.told(report)
        assert (rows["udp", 5060]["state"], rows["udp", 5060]["answered_here"]) == ("answered", True), told
        assert (rows["tcp", 5060]["state"], rows["tcp", 5060]["answered_here"]) == ("answered", tcp), told
        assert rows["udp", 5060]["unbound"] == rows["tcp", 5060]["unbound"] == "led-on"
        assert rows["udp", 5060]["answered_by"].startswith("kamailio")
        assert (rows["udp", 5062]["state"], rows["udp", 5062]["unbound"]) == ("forwarded", None), told  # beside it, an ordinary port
        assert report["verdict"] == ("pass" if tcp else "inconclusive"), told
        assert "wrong-host" not in told
