"""A real kernel that forgets idle TCP connections, with a real server that sends on them."""

import pytest

from tests.lab import runs
from tests.lab.conftest import Laboratory
from tests.lab.routers import KernelRouter
from tests.lab.topology import Plan

pytestmark = [pytest.mark.lab, pytest.mark.slow]


@pytest.mark.parametrize(("unsolicited", "word"), [("drop", "taken up again when this end sent"), ("take", "a RST came in at the server's end")])
def test_idle_connections_are_forgotten(laboratory: Laboratory, unsolicited: str, word: str) -> None:
    """``take``: the router's own system answers what it does not know, with a RST towards the server."""
    router = KernelRouter(udp_timeout_s=4, udp_stream_timeout_s=4, tcp_timeout_s=12, unsolicited=unsolicited)  # type: ignore[arg-type]
    directory = laboratory.directory(f"lifetime of TCP {unsolicited}")
    with laboratory.stand(Plan(home=router), f"lifetime of TCP {unsolicited}") as topology:
        runs.serve(topology, runs.Server(), directory)
        report = runs.run(topology, runs.Server(), directory, "mapping-lifetime", "--quick", "--tcp")
    seen = runs.observations(report)["mapping-lifetime"]
    assert seen, report["checks"][0]["findings"][0]["evidence"][-1][-3000:]
    low, high = seen["tcp_s"]
    assert (low, high in range(15, 21)) == (10, True), runs.told(report)
    dead = [point for point in seen["points"] if point["kind"] == "tcp" and point["alive"] is False]
    assert dead
    assert all(word in point["ended"] for point in dead), dead
    found = {finding["id"]: finding["verdict"] for check in report["checks"] for finding in check["findings"]}
    assert found["mapping-lifetime.tcp-short"] == "warn"
