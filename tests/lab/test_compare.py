"""Before and after, on a real router: repeated runs are unchanged, a new rule that ends early is named."""

import json
from pathlib import Path
from typing import Any

import pytest

from edgecheck.comparison import compare
from edgecheck.judging import rejudge
from edgecheck.model.comparison import Kind
from edgecheck.model.verdict import Verdict
from edgecheck.report import json as saved
from tests.lab import runs
from tests.lab.conftest import Laboratory
from tests.lab.routers import Forward, KernelRouter, rules
from tests.lab.topology import CLIENT, Plan, Topology

pytestmark = pytest.mark.lab

BEFORE = KernelRouter(forwards=(Forward(ports="5060-5061"), Forward(ports="10000-10099", transports=("udp",))))
AFTER = KernelRouter(forwards=(Forward(ports="5060-5061"), Forward(ports="10000-10059", transports=("udp",))), sip_alg=("udp",))


def read(seen: dict[str, Any]) -> Any:
    return rejudge(saved.read(json.dumps({name: value for name, value in seen.items() if name != "status"}).encode()))


def looked(topology: Topology, directory: Path) -> Any:
    return read(runs.run(topology, runs.Server(), directory))


def test_a_router_swap(laboratory: Laboratory) -> None:
    laboratory.need("sip-helper")
    directory = laboratory.directory("swap")
    with laboratory.stand(Plan(home=BEFORE), "swap") as topology:
        runs.serve(topology, runs.Server(), directory)
        first = looked(topology, directory)
        again = looked(topology, directory)
        topology.ground.run("home", "nft", "-f", "-", stdin="flush ruleset\n" + rules(AFTER, CLIENT), check=True)
        topology.ground.run("home", "conntrack", "-F")
        swapped = looked(topology, directory)
    unchanged = compare(first, again)
    assert [change for change in unchanged.changes if change.kind is not Kind.NOT_COMPARED] == []
    change = compare(first, swapped)
    assert change.verdict is Verdict.FAIL
    worse = {each.subject: each for each in change.of(Kind.WORSE)}
    assert worse["RTP inbound"].summary == "RTP 10060-10099 is no longer forwarded."
    assert worse["RTP inbound"].cause == "the new rule ends at 10059"
    assert "UDP 5060" in worse
    assert "TCP 5060" not in worse
    assert not any(each.check == "port-forwarding" for each in change.of(Kind.WORSE))
