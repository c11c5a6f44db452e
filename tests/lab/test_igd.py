"""The default router's own word, by a real miniupnpd and by one that plays what miniupnpd refuses to say; and that a lie changes no verdict."""

from pathlib import Path
from typing import Any

import pytest

from tests.lab import igd, runs
from tests.lab.conftest import Laboratory
from tests.lab.igd import Igd
from tests.lab.routers import KernelRouter
from tests.lab.topology import CLIENT, HOME, HOME_AT_CARRIER, WAN, Plan, Topology

pytestmark = pytest.mark.lab

MAPPINGS = ((15060, 5060, "udp", "sip phone"), (18443, 18443, "tcp", "web page"))
LIE = "25.9.9.9"
AT_SECOND, SECOND = "192.168.1.2", "192.168.1.1"


def topology_of(topology: Topology, directory: Path) -> tuple[dict[str, Any], list[str], dict[str, Any]]:
    """Observation, finding ids and the whole report. A new directory each time: a run is to remember nothing of the last."""
    report = runs.run(topology, runs.Server(), directory, "topology")
    assert not runs.faults(report), "\n".join(runs.faults(report))
    (check,) = report["checks"]
    return check["observation"], [finding["id"].partition(".")[2] for finding in check["findings"]], report


def test_the_home_router_in_its_own_words(laboratory: Laboratory) -> None:
    laboratory.need(*igd.PROGRAMS)
    directory = laboratory.directory("igd home")
    with laboratory.stand(Plan(), "igd home") as topology:
        runs.serve(topology, runs.Server(), directory)

        lying = Igd(says=LIE).start(topology, directory / "lying")
        seen, found, report = topology_of(topology, directory / "1")
        assert (seen["nat_layers"], seen["cgnat"], seen["router"]["wan_address"]) == (1, False, LIE), runs.told(report)
        assert found == ["single-nat", "wan-address-differs"]
        assert report["verdict"] == "warn"
        report = runs.run(topology, runs.Server(), directory / "beside", "nat-behavior")  # the router's name is read beside any check
        assert (report["client"]["router"]["manufacturer"], report["client"]["router"]["model"]) == (igd.MANUFACTURER, igd.MODEL)
        lying.stop()

        hostile = igd.stub(topology, hostile="giant")
        seen, found, _ = topology_of(topology, directory / "2")
        assert (seen["router"], found) == (None, ["single-nat"])
        assert "more than" in seen["reasons"]["router"]
        hostile.stop()

        igd.own_public_address(topology)
        Igd(mappings=MAPPINGS, says=igd.PUBLIC).start(topology, directory / "true")
        before = igd.rules(topology)
        assert all(f"dport {port[0]}" in before for port in MAPPINGS), before
        seen, found, report = topology_of(topology, directory / "3")
        assert igd.rules(topology) == before, "nothing was changed on the router"
    router = seen["router"]
    assert (found, report["verdict"]) == (["single-nat"], "pass"), runs.told(report)
    assert (seen["public_address"], router["wan_address"], router["gateway"]) == (igd.PUBLIC, igd.PUBLIC, HOME)
    assert (router["protocol"], router["protocols"]) == ("upnp", ["upnp", "nat-pmp", "pcp"])
    assert (router["manufacturer"], router["model"], router["model_number"]) == (igd.MANUFACTURER, igd.MODEL, igd.NUMBER)
    assert "MiniUPnPd" in router["firmware"]
    listed = {(one["external_port"], one["internal_port"], one["transport"], one["description"]) for one in router["mappings"]}
    assert listed == set(MAPPINGS)
    assert {one["internal_host"] for one in router["mappings"]} == {CLIENT}
    assert router["mappings_complete"]


def test_behind_a_second_nat(laboratory: Laboratory) -> None:
    laboratory.need(*igd.PROGRAMS)
    directory = laboratory.directory("igd carrier")
    with laboratory.stand(Plan(carrier=KernelRouter()), "igd carrier") as topology:
        runs.serve(topology, runs.Server(), directory)

        refusing = Igd().start(topology, directory / "refusing")  # it tells no address of 100.64.0.0/10: 0.0.0.0
        seen, found, report = topology_of(topology, directory / "1")
        assert (seen["nat_layers"], seen["cgnat"], seen["router"]["wan_address"]) == (2, True, None), runs.told(report)
        assert (seen["router"]["model"], found) == (igd.MODEL, ["carrier-grade-nat"])
        refusing.stop()

        honest = igd.stub(topology, says=HOME_AT_CARRIER)
        seen, found, _ = topology_of(topology, directory / "2")
        assert (seen["nat_layers"], seen["cgnat"], seen["router"]["wan_address"]) == (2, True, HOME_AT_CARRIER)
        assert found == ["carrier-grade-nat"]
        honest.stop()

        proud = igd.stub(topology, says=WAN)  # what a router says that learned its address by STUN
        seen, found, _ = topology_of(topology, directory / "3")
        assert (seen["nat_layers"], seen["cgnat"], found) == (None, None, ["undecided"])
        assert "STUN" in seen["reasons"]["cgnat"]
        assert "DMZ" in seen["reasons"]["cgnat"]
        proud.stop()

        igd.second_router(topology, AT_SECOND, SECOND)
        igd.stub(topology, says=AT_SECOND)
        seen, found, report = topology_of(topology, directory / "4")
        assert (seen["nat_layers"], seen["cgnat"], found) == (2, None, ["double-nat"]), runs.told(report)
        assert all(address in report["checks"][0]["summary"] for address in (HOME, AT_SECOND, SECOND, WAN))
