"""The real server and client through every ALG mutation: each is named as the contract says, and only where it is at work."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from queue import SimpleQueue
from typing import Any

import pytest

from tests.lab import far_end, runs
from tests.lab.alg import MUTATIONS
from tests.lab.alg_scenarios import CASES, UNSEEN, Case
from tests.lab.conftest import AT_ONCE, Laboratory
from tests.lab.expectation import differences
from tests.lab.routers import KernelRouter
from tests.lab.topology import Plan, Topology, UserRouter
from tests.lab.user_nat import EI

pytestmark = pytest.mark.lab
SERVER = runs.Server()
NAT = {"mapping": EI, "allocation": "sequential"}
FIRST, SPAN = 20_000, 500
"""Each new router hands out ports that none before it had: nothing at the server can take one for another."""


Through = Callable[[dict[str, Any]], dict[str, Any]]
Play = Callable[[Case], dict[str, Any]]


@pytest.fixture(scope="module")
def through(laboratory: Laboratory) -> Iterator[Through]:
    """The client's report from behind a router with such an ALG.

    The same networks with their servers stand for all of them, each for one client at a time, which remembers nothing of those before;
    the router is made anew in between.
    """
    lowest = count(FIRST, SPAN)
    free: SimpleQueue[Topology] = SimpleQueue()

    def run(alg: dict[str, Any]) -> dict[str, Any]:
        low = next(lowest)
        topology = free.get()
        try:
            topology.reconfigure("home", changes={"nat": {**NAT, "ports": [low, low + SPAN - 1]}, "alg": alg})
            return runs.run(topology, SERVER, laboratory.directory("alg"), "sip-alg")
        finally:
            free.put(topology)

    with ExitStack() as standing:
        for number in range(AT_ONCE):
            topology = standing.enter_context(laboratory.stand(Plan(home=UserRouter(nat=NAT)), f"algs {number}"))
            runs.serve(topology, SERVER, laboratory.directory(f"server {number}"))
            free.put(topology)
        yield run


@pytest.fixture(scope="module")
def play(laboratory: Laboratory, request: pytest.FixtureRequest, through: Through) -> Iterator[Play]:
    """The client's report."""

    def run(case: Case) -> dict[str, Any]:
        return through({"mutations": list(case.mutations)})

    with laboratory.together(request, "case", run) as played:
        yield played


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_mutation(play: Play, case: Case) -> None:
    report = play(case)
    assert not runs.faults(report), "\n".join(runs.faults(report))
    seen = runs.observations(report)["sip-alg"]
    rows = {(row["transport"], row["server_port"], row["method"]): row for row in (*seen["probes"], *seen["incoming"])}
    found = list(differences(case.expected(), rows["udp", 5060, case.method], f"udp 5060 {case.method}"))
    found += case.unexpected(rows["udp", 5060, case.method]["changes"])
    found += differences(case.interference, seen["interference"], "interference")
    at_home = [(row["hop"], row["up_to_hop"]) for row in seen["located"] or ()]
    if case.mutations[0] in ("R16", "R16-all", "R21", "A5-busy"):  # behind the home router's look at the TTL
        found += [] if at_home == [(1, 2)] else [f"located at {at_home}"]
    if case.mutations[0] in ("R10", "R10-origin", "R11"):  # no header of theirs is touched: the offer itself is seen in what routers quote
        shown = {where for row in seen["located"] or () for where in row["where"] if row["hop"] == 1}
        found += [] if {row["where"] for row in case.changes} <= shown else [f"located by {sorted(shown)}"]
    if "R1-again" in case.mutations:
        found += [] if not at_home else [f"located at {at_home}, though the copies differ"]
    if case.found:
        told = {finding["id"] for check in report["checks"] for finding in check["findings"]}
        found += [] if f"sip-alg.{case.found}" in told else [f"no {case.found}"]
    for method, request in case.others.items():
        found += differences(request, rows["udp", 5060, method]["request"], f"udp 5060 {method}.request")
    untouched = {"request": "unchanged", "response": "unchanged", "changes": []}
    for key, row in rows.items():
        if key[:2] in (("udp", 5080), ("tls", 5061)):
            found += differences(untouched, row, f"control {key}")
    assert not found, "\n".join(["", *(MUTATIONS[name].text for name in case.mutations), *found, "", runs.told(report)])


def test_pinholes_alone(through: Through) -> None:
    """A router that opens ports for what SIP names and changes no text, as some firewalls do; beside it one that reads no SIP."""
    report, plain = through({"pinholes": True}), through({})
    seen = runs.observations(report)["sip-alg"]
    opened = {(row["server_port"], row["opened_by"]): row["opened"] for row in seen["pinholes"] if row["transport"] == "udp"}
    assert opened == {(5060, "REGISTER"): True, (5060, "INVITE"): True, (5080, "REGISTER"): False, (5080, "INVITE"): False}, runs.told(report)
    assert seen["interference"] == "harmless"
    assert {row["request"] for row in seen["probes"]} == {"unchanged"}
    assert [row["opened"] for row in runs.observations(plain)["sip-alg"]["pinholes"]] == [False] * 8
    assert runs.verdicts(plain)["sip-alg"] == "pass"


def test_fragments_dropped(through: Through) -> None:
    """R18: whatever needs fragments is lost. That is told, and told apart from an ALG."""
    report = through({"mutations": ["R18"]})
    (check,) = report["checks"]
    seen = check["observation"]
    assert {(row["bytes"], row["passes"], row["lost_on_way"]) for row in seen["sizes"]} == {(1400, True, None), (1900, False, "out")}
    assert seen["interference"] == "none"
    assert {finding["id"] for finding in check["findings"]} == {"sip-alg.large-datagrams-lost", "sip-alg.none"}, runs.told(report)


def test_the_kernels_alg_in_depth(laboratory: Laboratory) -> None:
    """What Linux's helper is known to do beyond rewriting: pinholes, Via's port, TCP messages only when whole, calls turned back."""
    directory = laboratory.directory("alg kernel")
    plan = Plan(home=KernelRouter(sip_alg=("udp", "tcp"), port_range="20000-29999"))
    with laboratory.stand(plan, "alg kernel") as topology:
        runs.serve(topology, SERVER, directory)
        report = runs.run(topology, SERVER, directory, "sip-alg")
    seen = runs.observations(report)["sip-alg"]
    opened = {(row["transport"], row["server_port"], row["opened_by"]): (row["opened"], row["from_address"]) for row in seen["pinholes"]}
    ways = (("udp", 5060, "REGISTER"), ("udp", 5060, "INVITE"), ("tcp", 5060, "INVITE"))
    assert {way: opened[way] for way in ways} == dict.fromkeys(ways, (True, False))
    assert opened["tcp", 5060, "REGISTER"] == (True, None)
    assert {opened[way][0] for way in opened if way[1] == 5080} == {False}
    assert (seen["via_port"]["at_source"], seen["via_port"]["at_via"] > 0) == (0, True)
    rows = {row["method"]: row for row in seen["beside"]}
    assert {rows[f"INVITE of {size} bytes"]["request"] for size in (1400, 1900)} == {"rewritten"}
    split = {change["where"] for change in rows["INVITE in two segments"]["changes"] if change["direction"] == "request"}
    assert split & {"sdp c=", "Via"} == set()
    assert rows["INVITE in two segments"]["interference"] == "inconsistent"
    calls = {(row["transport"], row["server_port"], row["method"]): row for row in seen["incoming"]}
    for transport in ("udp", "tcp"):
        for method in ("incoming OPTIONS", "incoming INVITE"):
            touched = calls[transport, 5060, method]["changes"]
            assert {"Request-URI", "To"} <= {change["where"] for change in touched if change["direction"] == "request"}
            assert {"Contact", "To"} <= {change["where"] for change in touched if change["direction"] == "response"}
            clean = calls[transport, 5080, method]
            assert (clean["request"], clean["response"], clean["changes"]) == ("unchanged", "unchanged", [])
    findings = {(finding["id"], finding["subject"]) for finding in report["checks"][0]["findings"]}
    assert {("sip-alg.pinhole", "UDP 5060"), ("sip-alg.via-port", "UDP 5060"), ("sip-alg.inconsistent", "TCP 5060")} <= findings


def test_an_alg_before_the_server_is_not_laid_to_this_network(laboratory: Laboratory) -> None:
    """Two boxes: the home router rewrites SIP over TCP, and the server's own router over UDP."""
    directory = laboratory.directory("alg far end")
    with laboratory.stand(Plan(home=KernelRouter(sip_alg=("tcp",))), "alg far end") as topology:
        far_end.serve(topology, directory)
        report = runs.run(topology, SERVER, directory, "sip-alg")
    assert not runs.faults(report), "\n".join(runs.faults(report))
    seen = runs.observations(report)["sip-alg"]
    (located,) = seen["located"]
    assert (located["hop"], located["address"], located["where"]) == (2, SERVER.address, ["Request-URI", "To"]), runs.told(report)
    told = {finding["subject"]: finding for finding in report["checks"][0]["findings"][::-1]}  # the gravest of each
    assert told["UDP 5060"]["summary"].startswith(f"Hop 2 ({SERVER.address}) rewrites SIP"), runs.told(report)
    assert told["TCP 5060"]["summary"].startswith("Something on the path rewrites SIP"), runs.told(report)
    assert f"{SERVER.address} (before the echo server) rewrites SIP" in report["headline"]
    steps = report["advice"][0].splitlines()
    assert steps[0].startswith(f"{SERVER.address} (hop 2) is the echo server's own address")
    assert steps[1].startswith("Who does it on TCP 5060 was not seen. Switch the SIP ALG off in the router")


def test_every_mutation_has_its_case() -> None:
    assert {name for case in CASES for name in case.mutations} | set(UNSEEN) == set(MUTATIONS)
