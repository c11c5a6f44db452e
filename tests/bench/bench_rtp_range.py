"""``rtp-range``: 10,001 ports, in from an address never contacted, and out and back; zero-delay laboratory.

    python -m tests.bench.bench_rtp_range [--runs 5]

Four edges: every port forwarded; no port forwarded (nothing gets in, everything goes out); nothing gets in or out; and the rule that ends early,
100 ports forwarded of 10,001, which is measured once at 1,000 probes a second, too, as a run without ``--pace`` does it. Beside them, in the same
runs, a bare Python loop over the same ports (``tests.bench.floor``), and nmap where it is installed.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench import floor
from tests.bench.measure import Bars, Took, conditions, spread, table, timed
from tests.lab import runs
from tests.lab.ground import LabError, missing_tools, python
from tests.lab.routers import Forward, KernelRouter
from tests.lab.topology import CLIENT, WAN, Plan, Topology

LOW, HIGH = floor.LOW, floor.HIGH
PORTS = HIGH - LOW + 1
WHOLE = [[LOW, HIGH]]
FLOOR, FLOOR_PORT = ("198.51.100.12", "198.51.100.13"), 7000
"""Addresses of its own for the bare loop: the echo server has that range on its own."""
PEAK_MB = 120.0
_NO_WAY_OUT = f'nft insert rule ip edge across iifname "lan" udp sport {LOW}-{HIGH} drop'
_NMAP = ("nmap", "-n", "-Pn", "-sU", "--min-rate", "20000", "--max-retries", "1", "-T5", "-p", f"{LOW}-{HIGH}", WAN)


@dataclass(frozen=True, kw_only=True)
class Edge:
    name: str
    bar_s: float | None
    """The longest that the check may take; None: no bar is set, the figure is told."""
    inbound: int
    """Ports that are forwarded, from the lowest."""
    outbound: bool
    pace: int = 0

    @property
    def router(self) -> KernelRouter:
        return KernelRouter(forwards=(Forward(ports=f"{LOW}-{LOW + self.inbound - 1}", transports=("udp",)),) if self.inbound else ())

    def expected(self) -> dict[str, Any]:
        """What the check must have found for its time to count."""
        return {
            "tested": PORTS,
            "inbound_open": self.inbound,
            "inbound_blocked": [[LOW + self.inbound, HIGH]] if self.inbound < PORTS else [],
            "outbound_open": PORTS if self.outbound else 0,
            "outbound_blocked": [] if self.outbound else WHOLE,
            "undecided": [],
        }


EDGES = (
    Edge(name="all forwarded", bar_s=1.0, inbound=PORTS, outbound=True),
    Edge(name="none forwarded", bar_s=2.0, inbound=0, outbound=True),
    Edge(name="blocked both ways", bar_s=None, inbound=0, outbound=False),
    Edge(name="a hundred forwarded", bar_s=10.0, inbound=100, outbound=True),
)
AS_USUAL = Edge(name="a hundred forwarded, 1,000 a second", bar_s=45.0, inbound=100, outbound=True, pace=1000)
"""20 s are the least that both ways take at that pace."""


@dataclass(frozen=True, kw_only=True)
class One:
    """One run of ours."""

    took: Took
    check_s: float
    retried: int
    wrong: str
    """What of the answer is not what stands there; empty = all right."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    print(conditions())
    rows: list[tuple[object, ...]] = []
    wrong: list[str] = []
    notes: list[str] = []
    bars = Bars()
    for edge in (*EDGES, AS_USUAL):
        ours, floors, nmaps = measure(edge, options.runs if edge.pace == 0 else 1)
        wrong += [f"{edge.name}: {one.wrong}" for one in ours if one.wrong]
        check, peak = median(one.check_s for one in ours), max(one.took.peak_mb for one in ours)
        row = (edge.name, "edgecheck", len(ours), spread(one.check_s for one in ours), spread(one.took.wall_s for one in ours))
        rows.append((*row, f"{median(one.took.cpu_s for one in ours):.2f}", f"{peak:.0f}", f"{median(one.retried for one in ours):.0f}"))
        if floors:
            bare_s = median(sum(pair) for pair in floors)
            rows.append((edge.name, "bare loop, in + out", len(floors), spread(sum(pair) for pair in floors), "", "", "", ""))
            notes.append(f"{edge.name}: the check took {check / bare_s:.1f} times as long as the bare loop")
        if nmaps:
            rows.append((edge.name, "nmap from outside, in only", len(nmaps), "", spread(one.wall_s for one in nmaps), "", f"{max(one.peak_mb for one in nmaps):.0f}", ""))
        if edge.bar_s is not None:
            bars.at_most(f"{PORTS:,} ports both ways, {edge.name}: the check", check, edge.bar_s, "s")
        bars.at_most("... peak resident memory of the client, largest", peak, PEAK_MB, "MB", 0)
    print(table(("edge", "process", "runs", "check s: median (least-most)", "whole process s", "CPU s", "peak MB", "retried"), rows))
    print("\n".join([*notes, *(f"not what stands there: {line}" for line in wrong), conditions()]))
    bars.hold("every run found what stands there", f"{len(wrong)} did not", "0", not wrong)
    return bars.show()


def measure(edge: Edge, count: int) -> tuple[list[One], list[tuple[float, float]], list[Took]]:
    ours: list[One] = []
    floors: list[tuple[float, float]] = []
    nmaps: list[Took] = []
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with Topology(Plan(home=edge.router), directory / "lab") as topology:
            if not edge.outbound:
                topology.ground.shell(f"ip netns exec home {_NO_WAY_OUT}")
            runs.serve(topology, runs.Server(), directory)
            if edge.inbound == PORTS:
                extra = " ; ".join(f"ip -n server addr add {host}/24 dev eth0" for host in FLOOR)
                topology.ground.shell(extra)
                topology.ground.spawn("server", *python("-m", "tests.bench.floor", "serve", *FLOOR, str(FLOOR_PORT)), ready="ready")
            for number in range(count + (edge.pace == 0)):
                one = check(edge, topology, directory, number)
                if number == 0 and edge.pace == 0:
                    continue  # warms the caches up
                ours.append(one)
                if edge.inbound == PORTS:
                    topology.forget()
                    floors.append(bare(topology))
                if edge.outbound and not edge.inbound and not missing_tools("nmap"):
                    topology.forget()
                    nmaps.append(timed(_NMAP, ground=topology.ground, namespace="outside"))
    return ours, floors, nmaps


def check(edge: Edge, topology: Topology, directory: Path, number: int) -> One:
    topology.forget()
    saved = directory / f"report-{number}.json"
    command = python("-m", "edgecheck", "run", "rtp-range", runs.Server().target, "--profile", "asterisk", "--pace", str(edge.pace), "--quiet", "--json", str(saved))
    took = timed(command, ground=topology.ground, environment={"XDG_STATE_HOME": str(directory / f"state-{number}")})
    if not saved.exists():
        raise LabError(f"no report (status {took.status})\n{took.output}\n{took.errors}")
    report = json.loads(saved.read_text())
    seen = runs.observations(report)["rtp-range"] or {}
    differing = [f"{key} is {json.dumps(seen.get(key))[:120]}" for key, value in edge.expected().items() if seen.get(key) != value]
    return One(
        took=took,
        check_s=report["checks"][0]["duration_s"],
        retried=seen.get("retried") or 0,
        wrong="; ".join(differing) + (f" ({runs.told(report)})" if differing else ""),
    )


def bare(topology: Topology) -> tuple[float, float]:
    """Seconds in and out."""
    done = topology.ground.run("client", *python("-m", "tests.bench.floor", "ask", CLIENT, WAN, FLOOR[0], str(FLOOR_PORT)), check=True)
    told = json.loads(done.stdout)
    if told["in"][0] != PORTS or told["out"][0] != PORTS:
        raise LabError(f"the bare loop lost packets: {told}")
    return told["in"][1], told["out"][1]


if __name__ == "__main__":
    sys.exit(main())
