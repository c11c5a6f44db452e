"""A real kernel that treats SIP apart: its helper keeps what it reads, a rule of its own forgets sooner. Told from outside by how long mappings live."""

import pytest

from tests.lab import runs
from tests.lab.conftest import Laboratory
from tests.lab.routers import KernelRouter
from tests.lab.topology import Plan

pytestmark = [pytest.mark.lab, pytest.mark.slow]


@pytest.mark.parametrize("helper", [True, False])
def test_the_sip_helper_keeps_sip_longer(laboratory: Laboratory, helper: bool) -> None:
    router = KernelRouter(sip_alg=("udp",) if helper else (), udp_timeout_s=4, udp_stream_timeout_s=9)
    directory = laboratory.directory(f"lifetime of SIP {helper}")
    with laboratory.stand(Plan(home=router), f"lifetime {helper}") as topology:
        runs.serve(topology, runs.Server(), directory)
        report = runs.run(topology, runs.Server(), directory, "mapping-lifetime", "--quick")
    seen = runs.observations(report)["mapping-lifetime"]
    found = {finding["id"] for check in report["checks"] for finding in check["findings"]}
    assert seen["udp_s"] == [0, 5], runs.told(report)
    assert ("mapping-lifetime.sip-longer" in found) is helper, runs.told(report)
    assert seen["sip_s"][1] is None if helper else seen["sip_s"] == [0, 5], seen["sip_s"]


SOONER = """table ip sooner {
  ct timeout sip { protocol udp; l3proto ip; policy = { unreplied: 4, replied: 4 }; }
  chain early { type filter hook prerouting priority -150; udp dport 5060 ct timeout set "sip"; }
}
"""


def test_a_rule_for_sip_alone_forgets_it_sooner(laboratory: Laboratory) -> None:
    """Its look-alike, a router that forgets everything as soon, is the one above without the helper."""
    directory = laboratory.directory("lifetime of SIP sooner")
    with laboratory.stand(Plan(home=KernelRouter(udp_timeout_s=12, udp_stream_timeout_s=17)), "lifetime sooner") as topology:
        topology.ground.run("home", "nft", "-f", "-", stdin=SOONER, check=True)
        runs.serve(topology, runs.Server(), directory)
        report = runs.run(topology, runs.Server(), directory, "mapping-lifetime", "--quick")
    seen = runs.observations(report)["mapping-lifetime"]
    found = {finding["id"] for check in report["checks"] for finding in check["findings"]}
    assert (seen["udp_s"], seen["sip_s"]) == ([10, 15], [0, 5]), runs.told(report)
    assert "mapping-lifetime.sip-shorter" in found, runs.told(report)
