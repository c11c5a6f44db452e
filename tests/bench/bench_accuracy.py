"""The confusion matrix: eight NATs of the kernel x loss, ours beside Vovida's client and coturn's.

    python -m tests.bench.bench_accuracy [--runs 20] [--losses 0,5,10,20] [--nats apdf,adfh] [--tools edgecheck,vovida,natdiscovery] [--workers 8]

Each cell has a network of its own with our server in it, which all tools ask. Before every run the routers forget everything, and ours starts with
an empty state folder. Loss is random, each way, in the core of the network. Told are three answers:

- *right*: mapping and filtering are told, and so they are (of a NAT whose mapping depends on the destination: the mapping);
- *unsure*: the tool could not tell, or told less, or did not end within its time;
- *wrong*: something that was asserted (of mapping, filtering, or whether there is a NAT) is not so.

Ours is held to more: a wrong address, RFC 3489 name or hairpinning, or a fault of its own, counts as wrong, too.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.bench import peers
from tests.bench.measure import Bars, conditions, table, timed
from tests.lab import nats, runs, scenarios
from tests.lab.expectation import differences, or_undecided
from tests.lab.ground import LabError, missing_tools, python
from tests.lab.nats import Nat
from tests.lab.topology import CLIENT, PUBLIC_CLIENT, Topology

LOSS_OF_THE_BAR = 10
"""Percent: at this or less nothing may be asserted wrong."""
PATIENCE_S = 60
"""The slowest peer waits about ten seconds at worst."""


class Outcome(NamedTuple):
    """One run of one tool."""

    tool: str
    nat: str
    loss: int
    verdict: peers.Verdict
    label: str
    wall_s: float
    words: str
    """What was wrong, or why it could not tell."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One NAT at one loss."""

    nat: Nat
    loss: int
    runs: int
    tools: tuple[str, ...]


class Bench:
    """The network of one cell."""

    def __init__(self, cell: Cell, topology: Topology, directory: Path) -> None:
        self.cell = cell
        self.topology = topology
        self.directory = directory
        self._count = 0

    def edgecheck(self) -> Outcome:
        self._count += 1
        nat = self.cell.nat
        saved, state = self.directory / "report.json", self.directory / f"state-{self._count}"
        saved.unlink(missing_ok=True)
        command = python("-m", "edgecheck", "run", "nat-behavior", runs.Server().target, "--quiet", "--json", str(saved))
        took = timed(command, ground=self.topology.ground, environment={"XDG_STATE_HOME": str(state)}, timeout=PATIENCE_S)
        if not saved.exists():
            return self._outcome("edgecheck", "unsure", "?", took.wall_s, f"no report, status {took.status}: {took.output} {took.errors}")
        report = json.loads(saved.read_text())
        check = next((check for check in report["checks"] if check["id"] == "nat-behavior"), None)
        seen = check["observation"] if check else None
        answer = peers.of_edgecheck(seen)
        verdict = peers.judged(answer, nat)
        expected = scenarios.nat_behavior(nat, CLIENT if nat.behind else PUBLIC_CLIENT)
        off = [*differences({key: or_undecided(value) for key, value in expected.items()}, seen or {})] if seen else []
        faults = runs.faults(report)
        if off or faults:
            verdict = "wrong"
        words = "; ".join([*off, *faults]) or ("" if verdict == "right" else json.dumps((seen or {}).get("reasons") or report.get("headline")))
        return self._outcome("edgecheck", verdict, answer.label, took.wall_s, words)

    def vovida(self) -> Outcome:
        return self._peer("vovida", peers.vovida(), peers.of_vovida)

    def natdiscovery(self) -> Outcome:
        return self._peer("natdiscovery", peers.natdiscovery(), peers.of_natdiscovery)

    def _peer(self, tool: str, command: tuple[str, ...], read: Callable[[str], peers.Answer]) -> Outcome:
        took = timed(command, ground=self.topology.ground, timeout=PATIENCE_S)
        answer = read(took.output)
        verdict = peers.judged(answer, self.cell.nat)
        return self._outcome(tool, verdict, answer.label, took.wall_s, answer.label)

    def _outcome(self, tool: str, verdict: peers.Verdict, label: str, wall_s: float, words: str) -> Outcome:
        return Outcome(tool, self.cell.nat.name, self.cell.loss, verdict, label, wall_s, words)


TOOLS: dict[str, Callable[[Bench], Outcome]] = {"edgecheck": Bench.edgecheck, "vovida": Bench.vovida, "natdiscovery": Bench.natdiscovery}
PROGRAMS = {"vovida": "stun", "natdiscovery": "turnutils_natdiscovery"}


def measure(cell: Cell) -> list[Outcome]:
    """Every run of one cell, tools in turn."""
    out = []
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with Topology(replace(cell.nat.plan, loss=cell.loss), directory / "lab") as topology:
            server = runs.serve(topology, runs.Server(), directory)
            bench = Bench(cell, topology, directory)
            for number in range(cell.runs):
                for offset in range(len(cell.tools)):
                    topology.forget()
                    out.append(TOOLS[cell.tools[(number + offset) % len(cell.tools)]](bench))
            if "Traceback" in server.stderr:
                raise LabError(f"the server stumbled:\n{server.stderr}")
    return out


def main() -> int:
    options = _options()
    chosen = [nat for nat in nats.EIGHT if not options.nats or nat.name in options.nats]
    tools = tuple(tool for tool in options.tools if tool not in PROGRAMS or not missing_tools(PROGRAMS[tool]))
    # the slow ones (much loss) first, so that no worker is left alone with them at the end
    cells = [Cell(nat=nat, loss=loss, runs=options.runs, tools=tools) for loss in sorted(options.losses, reverse=True) for nat in chosen]
    print(f"{conditions()}\n{len(cells)} cells of {options.runs} runs of {', '.join(tools)}; {options.workers} at a time", flush=True)
    began = time.monotonic()
    outcomes: list[Outcome] = []
    with ThreadPoolExecutor(options.workers) as pool:
        for cell, found in zip(cells, pool.map(measure, cells), strict=True):
            outcomes += found
            if options.verbose:
                print(f"{time.monotonic() - began:5.0f} s  {cell.nat.name}, {cell.loss} %: {_counts(found, tools)}", flush=True)
    if options.raw:
        Path(options.raw).write_text("".join(json.dumps(one._asdict()) + "\n" for one in outcomes))
    return tell(outcomes, tools, chosen, sorted(options.losses), time.monotonic() - began)


def tell(outcomes: list[Outcome], tools: tuple[str, ...], chosen: list[Nat], losses: list[int], elapsed: float) -> int:
    def of(tool: str, loss: int | None = None, nat: str | None = None) -> list[Outcome]:
        return [one for one in outcomes if one.tool == tool and loss in (None, one.loss) and nat in (None, one.nat)]

    print("\nright / unsure / wrong, by NAT and loss")
    head = ("tool", "NAT", *(f"{loss} %" for loss in losses))
    print(table(head, [(tool, nat.name, *(_tally(of(tool, loss, nat.name)) for loss in losses)) for tool in tools for nat in chosen]))
    print("\nall NATs together")
    print(table(head[:1] + head[2:], [(tool, *(_tally(of(tool, loss)) for loss in losses)) for tool in tools]))
    print("\nseconds: median / 95th percentile / longest, whole process (several networks on one machine at once)")
    print(table(head[:1] + head[2:], [(tool, *(_times(of(tool, loss)) for loss in losses)) for tool in tools]))
    for tool in tools:
        print(f"\n{tool}, what was answered, all losses (M mapping, F filtering; EI endpoint-independent, AD address-, APD address-and-port-dependent)")
        print(_confusion(of(tool), chosen))
    _tell_words(outcomes, tools)
    print(f"\n{elapsed:.0f} s in all; {conditions()}")
    bars = Bars()
    for tool in tools:
        limit = [one for one in outcomes if one.tool == tool and one.loss <= LOSS_OF_THE_BAR]
        wrong = sum(one.verdict == "wrong" for one in limit)
        if tool == "edgecheck":
            bars.hold(f"edgecheck, wrong at {LOSS_OF_THE_BAR} % loss or less", f"{wrong} of {len(limit)}", "0", wrong == 0)
            every = of(tool)
            ever = sum(one.verdict == "wrong" for one in every)
            bars.hold("edgecheck, wrong at any loss", f"{ever} of {len(every)}", "0", ever == 0)
        elif limit:
            print(f"for comparison: {tool} was wrong in {wrong} of {len(limit)} at {LOSS_OF_THE_BAR} % or less")
    return bars.show()


def _counts(outcomes: Iterable[Outcome], tools: tuple[str, ...]) -> str:
    found = list(outcomes)
    return ", ".join(f"{tool} {_tally([one for one in found if one.tool == tool])}" for tool in tools)


def _tally(outcomes: list[Outcome]) -> str:
    counted = Counter(one.verdict for one in outcomes)
    return f"{counted['right']} / {counted['unsure']} / {counted['wrong']}"


def _times(outcomes: list[Outcome]) -> str:
    walls = sorted(one.wall_s for one in outcomes)
    return f"{median(walls):.2f} / {walls[int(0.95 * (len(walls) - 1))]:.2f} / {walls[-1]:.2f}" if walls else "-"


def _confusion(outcomes: list[Outcome], chosen: list[Nat]) -> str:
    labels = sorted({one.label for one in outcomes}, key=lambda label: (label == "?", "?" in label, label))
    rows = []
    for nat in chosen:
        counted = Counter(one.label for one in outcomes if one.nat == nat.name)
        rows.append((nat.name, peers.truth(nat).label, *(counted[label] or "." for label in labels)))
    return table(("NAT", "truth", *labels), rows)


def _tell_words(outcomes: list[Outcome], tools: tuple[str, ...]) -> None:
    """Everything wrong, and of ours all that could not be told, once each."""
    told = Counter((one.tool, one.verdict, one.nat, one.loss, one.words) for one in outcomes if one.verdict == "wrong" or (one.verdict == "unsure" and one.tool == "edgecheck"))
    if told:
        print("\nwrong, and where ours was unsure:")
        rows = sorted(told.items(), key=lambda item: (tools.index(item[0][0]), item[0][1:4]))
        print("\n".join(f"  {count} x {tool} {verdict}: {nat}, {loss} %: {words[:600]}" for (tool, verdict, nat, loss, words), count in rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def names(allowed: Iterable[str]) -> Callable[[str], list[str]]:
        known = tuple(allowed)

        def read(text: str) -> list[str]:
            chosen = [word.strip() for word in text.split(",")]
            if unknown := [word for word in chosen if word not in known]:
                raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not among {', '.join(known)}")
            return chosen

        return read

    parser.add_argument("--runs", type=int, default=20, help="of each tool in each cell")
    parser.add_argument("--losses", type=lambda text: [int(word) for word in text.split(",")], default=[0, 5, 10, 20], help="percent, each way")
    parser.add_argument("--nats", type=names(nat.name for nat in nats.EIGHT), default=[])
    parser.add_argument("--tools", type=names(TOOLS), default=list(TOOLS))
    parser.add_argument("--workers", type=int, default=8, help="networks at a time; the tools mostly wait")
    parser.add_argument("--raw", metavar="FILE", help="write every run there, a JSON object a line")
    parser.add_argument("--verbose", action="store_true", help="tell each cell as it ends")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
