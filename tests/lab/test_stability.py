"""Up to ten runs in a row, from the same ports, remembering and remembered: the same answers. Where a router remembers hosts or ports a later run
may say that it could not tell, with the reason; what it may never do is say something else."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.lab import runs
from tests.lab.conftest import Laboratory
from tests.lab.nats import EIGHT, Nat
from tests.lab.routers import Filtering, Forward, KernelRouter, rules
from tests.lab.scenario import of_nat
from tests.lab.topology import CLIENT, Plan, Topology

pytestmark = pytest.mark.lab
TEN, SOME = 10, 4
"""All that a router can remember of a run it remembers from the second one on: ten runs are made where it remembers what others may use, a
host or a port that was used; of the rest, some, and ten in the slow runs."""
SERVER = runs.Server()
TOLD = ("behind_nat", "mapping", "filtering", "hairpinning", "classic_type")


Runs = list[dict[str, Any]]


class Row(NamedTuple):
    """So many runs behind this NAT."""

    nat: Nat
    count: int


@pytest.fixture(scope="module")
def row(laboratory: Laboratory, request: pytest.FixtureRequest) -> Iterator[Callable[[Row], Runs]]:
    """The observations of so many runs, one after the other."""

    def run(row: Row) -> Runs:
        name = f"{row.count} runs {row.nat.name}"
        directory = laboratory.directory(name)
        with laboratory.stand(row.nat.plan, name) as topology:
            runs.serve(topology, SERVER, directory)
            return [runs.observations(runs.run(topology, SERVER, directory, "nat-behavior", "port-preservation")) for _ in range(row.count)]

    with laboratory.together(request, "wanted", run) as played:
        yield played


REMEMBERING = [nat for nat in EIGHT if nat.by_host or nat.classic == "full cone"]
OTHERS = [nat for nat in EIGHT if nat not in REMEMBERING]
ROWS = [
    *(pytest.param(Row(nat, TEN), id=nat.name) for nat in REMEMBERING),
    *(pytest.param(Row(nat, SOME), id=nat.name) for nat in OTHERS),
    *(pytest.param(Row(nat, TEN), id=f"{nat.name}, ten", marks=pytest.mark.slow) for nat in OTHERS),
]


@pytest.mark.parametrize("wanted", ROWS)
def test_runs_in_a_row(row: Callable[[Row], Runs], wanted: Row) -> None:
    nat, expected = wanted.nat, of_nat(wanted.nat).expected
    for number, seen in enumerate(row(wanted)):
        nat_seen, ports_seen = seen["nat-behavior"], seen["port-preservation"]
        for name in TOLD:
            if nat_seen[name] is None and number and nat.by_host and name in ("filtering", "classic_type"):
                assert nat_seen["reasons"]["filtering"]
                continue
            assert nat_seen[name] == expected["nat-behavior"][name], f"run {number + 1}: {name}"
        assert ports_seen["allocation"] == expected["port-preservation"]["allocation"], f"run {number + 1}"


def states(topology: Topology, directory: Path) -> dict[tuple[str, int], str]:
    """``port-forwarding``'s answer for each port, and the RTP range as one."""
    seen = runs.observations(runs.run(topology, SERVER, directory))
    found = {(row["transport"], row["port"]): row["state"] for row in seen["port-forwarding"]["ports"]}
    rtp: dict[str, Any] = seen["rtp-range"]
    found["rtp", 0] = "forwarded" if rtp["inbound_open"] else "blocked" if rtp["inbound_blocked"] else "undecided"
    return found


FORWARDS = (Forward(ports="5060-5061"), Forward(ports="10000-10099", transports=("udp",)))
Steps = list[dict[tuple[str, int], str]]


@pytest.fixture(scope="module")
def stages(laboratory: Laboratory, request: pytest.FixtureRequest) -> Iterator[Callable[[str], Steps]]:
    """Runs on one router that is set up between them, as people do: without rules, the same again, with rules, without them. A rule that
    is taken away ends no flow that it has let in: the last run meets those of the one before."""

    def run(filtering: Filtering) -> Steps:
        directory = laboratory.directory(f"stages {filtering}")
        plain, with_rules = KernelRouter(filtering=filtering), KernelRouter(filtering=filtering, forwards=FORWARDS)
        with laboratory.stand(Plan(home=plain), f"stages {filtering}") as topology:
            runs.serve(topology, SERVER, directory)
            told = [states(topology, directory), states(topology, directory)]
            change(topology, with_rules)
            told.append(states(topology, directory))
            change(topology, plain, forget=False)
            told.append(states(topology, directory))
            return told

    with laboratory.together(request, "filtering", run) as played:
        yield played


@pytest.mark.parametrize(
    "filtering", ["endpoint-independent", "address-dependent", "address-dependent by host", "address-and-port-dependent"]
)
def test_rules_come_and_go(stages: Callable[[str], Steps], filtering: str) -> None:
    """The first run says blocked. The second meets the first one's mappings: it may not know, but a used port is never taken for a
    forwarded one. A rule added, and taken away again, is seen by the next run, or that cannot tell."""
    blocked, again, forwarded, removed = stages(filtering)
    assert set(blocked.values()) == {"blocked"}
    assert set(again.values()) <= {"blocked", "undecided"}
    assert set(forwarded.values()) <= {"forwarded", "undecided"}
    assert set(removed.values()) <= ({"blocked"} if filtering == "address-and-port-dependent" else {"blocked", "undecided"})


def test_a_dmz_taken_away(laboratory: Laboratory) -> None:
    """First everything is open, used or not; then only what has been used: what the first run learned must not vouch for the second."""
    directory = laboratory.directory("dmz")
    with laboratory.stand(Plan(home=KernelRouter(filtering="endpoint-independent", dmz=True)), "dmz") as topology:
        runs.serve(topology, SERVER, directory)
        assert set(states(topology, directory).values()) == {"forwarded"}
        change(topology, KernelRouter(filtering="endpoint-independent"), forget=False)
        assert set(states(topology, directory).values()) <= {"blocked", "undecided"}


def test_a_looser_router_swapped_for_one_that_remembers_hosts(laboratory: Laboratory) -> None:
    """The same addresses, another filter: what was learned before the swap must not decide after it."""
    directory = laboratory.directory("swap")
    by_name = {nat.name: nat for nat in EIGHT}
    with laboratory.stand(by_name["full cone"].plan, "swap") as topology:
        runs.serve(topology, SERVER, directory)
        before = runs.observations(runs.run(topology, SERVER, directory, "nat-behavior"))["nat-behavior"]
        assert before["filtering"] == "endpoint-independent"
        assert isinstance(topology.plan.home, KernelRouter)
        change(topology, KernelRouter(filtering="address-dependent by host"))
        for _ in range(2):
            after = runs.observations(runs.run(topology, SERVER, directory, "nat-behavior"))["nat-behavior"]
            assert after["filtering"] in ("address-dependent", None)


def change(topology: Topology, router: KernelRouter, *, forget: bool = True) -> None:
    """Load other rules into the home router; with ``forget`` as after a reboot, else the flows and used ports and hosts that it knows stay."""
    known = {name: topology.ground.run("home", "nft", "list", "set", "ip", "edge", name).stdout for name in ("used", "hosts")}
    topology.ground.run("home", "nft", "-f", "-", stdin="flush ruleset\n" + rules(router, CLIENT), check=True)
    if forget:
        topology.ground.run("home", "conntrack", "-F")
        return
    for name, told in known.items():
        if "elements = {" in told:
            elements = told.partition("elements = {")[2].partition("}")[0].split(",")
            kept = ", ".join(element.partition(" timeout ")[0].partition(" expires ")[0].strip() for element in elements)
            topology.ground.run("home", "nft", "add", "element", "ip", "edge", name, f"{{ {kept} }}", check=True)
