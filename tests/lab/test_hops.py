"""NAT layers and carrier-grade NAT through real routers, those that answer and those that drop; and the hop of an ALG, named."""

from typing import Any

import pytest

from tests.lab import runs
from tests.lab.conftest import Laboratory
from tests.lab.hiding import hide
from tests.lab.routers import Forward, KernelRouter
from tests.lab.topology import CARRIER, HOME, LAN_HOST, SECOND_WAN, SERVER, WAN, Plan

pytestmark = pytest.mark.lab

INTERNET = "203.0.113.14"
"""The first router beyond the edge."""
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


def test_a_home_router_that_hides_is_not_taken_for_what_stands_behind(laboratory: Laboratory) -> None:
    """The provider's NAT then looks like the first router, and like the only one; so does the internet's first where there is no such NAT."""
    directory = laboratory.directory("home hides")
    with laboratory.stand(Plan(carrier=KernelRouter()), "home hides") as topology:
        hide(topology, "home")
        runs.serve(topology, runs.Server(), directory)
        report = runs.run(topology, runs.Server(), directory, "topology")
    seen = runs.observations(report)["topology"]
    assert (seen["nat_layers"], seen["cgnat"], seen["owner_hop"], seen["unseen_router"]) == (None, None, None, HOME), runs.told(report)
    assert seen["hops"][0]["address"] == CARRIER
    assert f"the default router {HOME} counts itself as no hop" in runs.told(report)


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


def test_routers_that_hide_are_not_taken_for_their_neighbors(laboratory: Laboratory) -> None:
    """They set the TTL anew, or leave it alone, or say nothing of expired packets: bounded, or unknown with the reason, and nobody else blamed."""
    directory = laboratory.directory("hidden")
    plan = Plan(home=KernelRouter(mapping="none", filtering="none"), carrier=KernelRouter(sip_alg=("udp",)))
    with laboratory.stand(plan, "hidden") as topology:
        topology.ground.shell("ip -n carrier route add 192.168.88.0/24 via 100.64.0.2")
        runs.serve(topology, runs.Server(), directory)
        topology.ground.shell("ip netns exec home nft 'add table ip anew; add chain ip anew out { type filter hook postrouting priority 0; }'")
        topology.ground.shell("ip netns exec home nft add rule ip anew out oifname wan ip ttl set 64")
        anew = runs.run(topology, runs.Server(), directory, "sip-alg")
        topology.ground.shell("ip netns exec home nft delete table ip anew")
        hide(topology, "carrier")
        behind = runs.run(topology, runs.Server(), directory, "sip-alg")
        hide(topology, "home")  # now nobody counts but the internet
        before = runs.run(topology, runs.Server(), directory, "sip-alg")
        topology.ground.shell("ip netns exec core nft 'add table ip mute; add chain ip mute out { type filter hook output priority 0; }'")
        topology.ground.shell("ip netns exec core nft add rule ip mute out icmp type time-exceeded drop")
        mute = runs.run(topology, runs.Server(), directory, "sip-alg")
    (one,) = located(anew)
    assert (one["hop"], one["address"], one["up_to_hop"], one["up_to_address"]) == (1, HOME, 2, SERVER), runs.told(anew)
    (one,) = located(behind)
    assert (one["hop"], one["address"], one["up_to_hop"], one["up_to_address"]) == (1, HOME, 2, INTERNET), runs.told(behind)
    assert "something on the path" in behind["headline"]
    (one,) = located(before)
    assert (one["hop"], one["up_to_hop"], one["up_to_address"], one["hidden"]) == (0, 1, INTERNET, HOME), runs.told(before)
    assert HOME not in before["headline"]
    assert f"the default router {HOME} (which does not count itself as a hop)" in runs.told(before)
    seen = runs.observations(mute)["sip-alg"]
    assert seen["located"] is None
    assert seen["located_reason"], "why"
    assert "something on the path" in mute["headline"]


def located(report: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = runs.observations(report)["sip-alg"]["located"]
    return found


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
