"""Real boxes that take SIP before the server: those that answer themselves and those that hand it on, near and far, from both sides and one.

And the look-alike: an honest server behind routers that tell of few expired packets.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import outside_registrar, runs
from tests.lab.conftest import Laboratory
from tests.lab.ground import python
from tests.lab.routers import KernelRouter
from tests.lab.sip_box import SipBox
from tests.lab.topology import CARRIER, HOME, SERVER, Plan, Topology, UserRouter

pytestmark = pytest.mark.lab
AFAR = UserRouter(weather={"delay_ms": 15})


def against(topology: Topology, directory: Path) -> dict[str, Any]:
    command = python("-m", "edgecheck", "alg", "--against", f"sip:{SERVER}", "--json", "-", "--quiet")
    report = runs.report(topology, directory, command)
    assert not runs.faults(report), runs.faults(report)
    return report


def on_udp(report: dict[str, Any]) -> dict[str, Any]:
    """The finding of UDP 5060."""
    (check,) = report["checks"]
    found: dict[str, Any] = next(one for one in check["findings"] if "UDP 5060" in one["subject"])
    return found


def located(report: dict[str, Any]) -> list[tuple[int, str, int | None]] | None:
    rows = runs.observations(report)["sip-alg"]["located"]
    return None if rows is None else [(row["hop"], row["address"], row["up_to_hop"]) for row in rows]


@pytest.fixture(scope="module")
def one_side(laboratory: Laboratory) -> Iterator[tuple[Topology, Path]]:
    """A registrar that is not ours, behind two routers and, some way off, a third."""
    laboratory.need("kamailio")
    directory = laboratory.directory("answerers")
    with laboratory.stand(Plan(carrier=KernelRouter(), path=AFAR), "answerers") as topology:
        outside_registrar.serve(topology, directory / "kamailio")
        yield topology, directory


def test_from_one_side_an_honest_server_is_none(one_side: tuple[Topology, Path]) -> None:
    """Behind routers that tell of one expired packet a second, as Linux does by default."""
    topology, directory = one_side
    seldom = "for name in home carrier path; do ip netns exec $name sysctl -qw net.ipv4.icmp_ratelimit={}; done"
    topology.ground.shell(seldom.format(1000))
    report = against(topology, directory)
    topology.ground.shell(seldom.format(0))
    assert on_udp(report)["id"] == "sip-alg.no-trace", runs.told(report)
    seen = runs.observations(report)["sip-alg"]
    assert [row["taken"] for row in seen["taken"]] == [False]
    assert {row["by"] for row in seen["round_trips"]} == {"sip", "server", "hop"}


@pytest.mark.parametrize(("where", "box", "hop"), [("home", HOME, (1, HOME, None)), ("carrier", CARRIER, (1, HOME, 2))])
def test_from_one_side_whoever_answers_for_everybody_is_located(
    one_side: tuple[Topology, Path], where: str, box: str, hop: tuple[int, str, int | None]
) -> None:
    topology, directory = one_side
    with SipBox(topology.ground, where):
        report = against(topology, directory)
    assert on_udp(report)["id"] == "sip-alg.answered-by-other", runs.told(report)
    assert located(report) == [hop], "at the second hop, or behind the first"
    assert box in on_udp(report)["summary"]
    assert (box in report["headline"]) is (where == "home")


@pytest.mark.parametrize(("where", "finding"), [("home", "sip-alg.taken-on-the-way"), ("carrier", "sip-alg.hint")])
def test_from_one_side_whoever_hands_sip_on_is_told_with_what_else_fits(
    one_side: tuple[Topology, Path], where: str, finding: str
) -> None:
    topology, directory = one_side
    with SipBox(topology.ground, where, "relays"):
        report = against(topology, directory)
    found = on_udp(report)
    assert found["id"] == finding, runs.told(report)
    assert ("hands SIP on in packets of its own" if where == "home" else "this port goes another way") in found["summary"]
    assert "answers in the server's place" in found["summary"] or "takes SIP" in found["summary"]
    assert located(report) == ([(1, HOME, None)] if where == "home" else None)


def test_with_the_servers_account_the_answer_is_proved_and_located(laboratory: Laboratory) -> None:
    directory = laboratory.directory("answerers")
    with laboratory.stand(Plan(path=AFAR), "answerers") as topology:
        runs.serve(topology, runs.Server(), directory)
        with SipBox(topology.ground, "home"):
            report = runs.run(topology, runs.Server(), directory, "sip-alg")
    assert not runs.faults(report), runs.faults(report)
    assert on_udp(report)["id"] == "sip-alg.answered-by-other", runs.told(report)
    assert located(report) == [(1, HOME, None)]
    trips = {row["by"]: row["least_ms"] for row in runs.observations(report)["sip-alg"]["round_trips"]}
    assert trips["sip"] < 15 < trips["server"]
    assert any("answered within" in line for line in on_udp(report)["evidence"])
