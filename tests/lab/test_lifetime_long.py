"""A real kernel that keeps what is idle long enough, and Linux as it comes: a minute and more of waiting, so for ``-m slow`` alone."""

from typing import Any

import pytest

from tests.lab import runs
from tests.lab.conftest import Laboratory
from tests.lab.routers import KernelRouter
from tests.lab.topology import Plan

pytestmark = [pytest.mark.lab, pytest.mark.slow]


def measured(laboratory: Laboratory, name: str, router: KernelRouter, *options: str) -> tuple[dict[str, Any], set[str], str]:
    """What it saw, the causes, and the report in brief."""
    directory = laboratory.directory(name)
    with laboratory.stand(Plan(home=router), name) as topology:
        runs.serve(topology, runs.Server(), directory)
        report = runs.run(topology, runs.Server(), directory, "mapping-lifetime", *options, timeout=400)
    (check,) = report["checks"]
    return check["observation"], {finding["id"].partition(".")[2] for finding in check["findings"]}, runs.told(report)


def test_nothing_is_forgotten_within_three_minutes(laboratory: Laboratory) -> None:
    """UDP and TCP both, and what to set."""
    seen, found, told = measured(laboratory, "kept", KernelRouter(udp_timeout_s=300, udp_stream_timeout_s=300), "--tcp")
    assert (seen["udp_s"], seen["udp_stream_s"], seen["tcp_s"]) == ([180, None], [180, None], [180, None]), told
    assert found == {"long-enough", "tcp-long-enough", "settings"}, told


def test_linux_as_it_comes(laboratory: Laboratory) -> None:
    """30 s after one exchange: every 30 s comes too late. Two-way traffic is kept for two minutes."""
    seen, found, told = measured(laboratory, "linux", KernelRouter(), "--quick")
    assert (seen["udp_s"], seen["udp_stream_s"][0]) == ([25, 30], 45), told
    assert found == {"short", "long-enough", "settings"}, told  # the stream is judged apart


def test_a_router_that_forgets_all_in_mid_run_has_no_short_lifetime(laboratory: Laboratory) -> None:
    """As after a restart, a reconnection or new rules; its look-alike is the router above, which forgets each flow in its time."""
    router = KernelRouter(udp_timeout_s=300, udp_stream_timeout_s=300)
    directory = laboratory.directory("restart")
    with laboratory.stand(Plan(home=router), "restart") as topology:
        runs.serve(topology, runs.Server(), directory)
        topology.ground.spawn("home", "sh", "-c", "sleep 20; conntrack -F")
        report = runs.run(topology, runs.Server(), directory, "mapping-lifetime", "--quick", "--tcp")
    (check,) = report["checks"]
    seen, told = check["observation"], runs.told(report)
    assert [seen[field][1] for field in ("udp_s", "udp_stream_s", "sip_s", "tcp_s")] == [None] * 4, told
    assert (seen["inbound_refreshes"], seen["recommended_keepalive_s"]) == (None, None), told
    assert {finding["id"] for finding in check["findings"]} == {"mapping-lifetime.undecided"}, told
    assert "forgot everything at once" in told
