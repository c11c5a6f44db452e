"""NAT layers and carrier-grade NAT through real routers, those that answer and those that drop; and the hop of an ALG, named."""

import pytest

from tests.lab import runs
from tests.lab.conftest import Laboratory
from tests.lab.routers import Forward, KernelRouter
from tests.lab.topology import CARRIER, HOME, LAN_HOST, SECOND_WAN, WAN, Plan

pytestmark = pytest.mark.lab

EDGES = [
    ("drops", Plan(), 1, False),
    ("answers", Plan(home=KernelRouter(unsolicited="take")), 1, False),
    ("rejects", Plan(home=KernelRouter(unsolicited="reject")), 1, False),
    ("no nat", Plan(home=KernelRouter(mapping="none", filtering="none"), public_lan=True), 0, False),
    ("dmz", Plan(home=KernelRouter(dmz=True)), 1, False),
    ("forwards to another machine", Plan(home=KernelRouter(forwards=(Forward(ports="1024-65535", to=LAN_HOST, transports=("udp",)),))), 1, False),
    ("carrier drops", Plan(carrier=KernelRouter()), 2, True),
    ("carrier answers", Plan(carrier=KernelRouter(unsolicited="take")), 2, True),
]


@pytest.mark.parametrize(("name", "plan", "layers", "cgnat"), EDGES, ids=[edge[0] for edge in EDGES])
def test_layers(laboratory: Laboratory, name: str, plan: Plan, layers: int | None, cgnat: bool | None) -> None:
    directory = laboratory.directory(f"topology {name}")
    with laboratory.stand(plan, f"topology {name}") as topology:
        runs.serve(topology, runs.Server(), directory)
        report = runs.run(topology, runs.Server(), directory, "topology")
    seen = runs.observations(report)["topology"]
    assert (seen["nat_layers"], seen["cgnat"]) == (layers, cgnat), runs.told(report)


LOCATED = [
    ("home", Plan(home=KernelRouter(sip_alg=("udp",))), [(1, HOME)]),
    ("both", Plan(home=KernelRouter(sip_alg=("udp",)), carrier=KernelRouter(sip_alg=("udp",))), [(1, HOME), (2, CARRIER)]),
    ("none", Plan(), []),
]


@pytest.mark.parametrize(("name", "plan", "boxes"), LOCATED, ids=[edge[0] for edge in LOCATED])
def test_the_hop_that_rewrites_is_named(laboratory: Laboratory, name: str, plan: Plan, boxes: list[tuple[int, str]]) -> None:
    directory = laboratory.directory(f"located {name}")
    with laboratory.stand(plan, f"located {name}") as topology:
        runs.serve(topology, runs.Server(), directory)
        report = runs.run(topology, runs.Server(), directory, "sip-alg")
    located = runs.observations(report)["sip-alg"]["located"]
    assert [(one["hop"], one["address"]) for one in located] == boxes
    assert all({"Via", "Contact"} <= set(one["where"]) for one in located)
    if boxes:
        assert HOME in report["headline"]


def test_two_lines_and_two_ways_out(laboratory: Laboratory) -> None:
    """The router spreads connections over two public addresses, and the machine has a second default route."""
    directory = laboratory.directory("two lines")
    with laboratory.stand(Plan(), "two lines") as topology:
        runs.serve(topology, runs.Server(), directory)
        topology.ground.shell(
            f"""ip -n core route add {SECOND_WAN}/32 via {WAN}
ip -n home addr add {SECOND_WAN}/32 dev wan
ip netns exec home nft insert rule ip edge source oifname wan meta l4proto udp snat to numgen inc mod 2 map '{{ 0 : {WAN}, 1 : {SECOND_WAN} }}'
ip -n client link add vpn type veth peer name nobody
ip -n client addr add 10.9.9.2/24 dev vpn
ip -n client link set vpn up
ip -n client link set nobody up
ip -n client route add default via 10.9.9.1 dev vpn metric 900
"""
        )
        report = runs.run(topology, runs.Server(), directory, "topology")
    (check,) = report["checks"]
    assert [finding["id"] for finding in check["findings"]] == ["topology.single-nat", "topology.several-addresses", "topology.several-routes"]
    assert set(check["observation"]["public_addresses"]) == {WAN, SECOND_WAN}
    assert check["observation"]["other_routes"] == ["10.9.9.1 (vpn)"]
