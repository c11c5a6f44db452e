"""A real kernel's SIP helper keeps what it reads: told from the outside by how long mappings live."""

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
