"""The whole process of ``edgecheck run nat-behavior`` beside its peers, on a 50 ms path behind a port-restricted NAT.

    python -m tests.bench.bench_nat_behavior [--runs 7] [--pystun3 1]

Measured from the start of the process to its end, runs interleaved, the router's memory and our own empty before each. Each peer asks our server
and coturn's; the bars compare with the faster of the two.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.bench import peers
from tests.bench.measure import Bars, Took, conditions, spread, table, timed
from tests.lab import nats, runs
from tests.lab.ground import LabError, missing_tools, python
from tests.lab.routers import KernelRouter
from tests.lab.topology import CLIENT, Plan, Topology, UserRouter

VOVIDA_S = 1.2
"""The figure on record for Vovida's client."""
COTURN_SHARE = 5
RTT_MS = 50


class Contender(NamedTuple):
    name: str
    command: tuple[str, ...]
    runs: int
    answers: bool
    """Whether its output is read for right and wrong."""


def contenders(options: argparse.Namespace, coturn: bool) -> list[Contender]:
    servers = {"edgecheck-server": 3478, **({"coturn": peers.COTURN_PORT} if coturn else {})}
    ours = python("-m", "edgecheck", "run", "nat-behavior", runs.Server().target, "--quiet")
    found = [Contender("edgecheck", ours, options.runs, False)]
    for server, port in servers.items():
        if not missing_tools("stun"):
            found.append(Contender(f"Vovida stun, at {server}", peers.vovida(port), options.runs, True))
        if not missing_tools("turnutils_natdiscovery"):
            found.append(Contender(f"coturn natdiscovery, at {server}", peers.natdiscovery(port), options.runs, True))
    return [*found, Contender("pystun3, at edgecheck-server", peers.pystun3(CLIENT), options.pystun3, True)]


def answer(contender: Contender, took: Took) -> peers.Answer:
    read = {"Vovida": peers.of_vovida, "coturn": peers.of_natdiscovery, "pystun3": peers.of_pystun3}
    return read[contender.name.split()[0].rstrip(",")](took.output)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, help="of each, interleaved")
    parser.add_argument("--pystun3", type=int, default=1, help="runs of pystun3, which takes 16 s; 0 = leave it out")
    options = parser.parse_args()
    nat = next(nat for nat in nats.EIGHT if nat.name == "apdf")
    took: dict[str, list[Took]] = {}
    right: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        plan = Plan(home=KernelRouter(), path=UserRouter(weather={"delay_ms": RTT_MS / 2}))
        with Topology(plan, directory / "lab") as topology:
            runs.serve(topology, runs.Server(), directory)
            coturn = not missing_tools("turnserver", "turnutils_stunclient")
            if coturn:
                peers.serve_coturn(topology, directory)
            runners = contenders(options, coturn)
            # what it answers, and warm file caches, before any time counts
            seen = runs.run(topology, runs.Server(), directory, "nat-behavior")
            verdict = peers.judged(peers.of_edgecheck(runs.observations(seen)["nat-behavior"]), nat)
            print(f"{conditions()}\nedgecheck's answer: {seen['checks'][0]['summary']} ({verdict}); the check alone took {seen['checks'][0]['duration_s']:.2f} s")
            for number in range(max(contender.runs for contender in runners)):
                for contender in runners:
                    if number >= contender.runs:
                        continue
                    topology.forget()
                    state = {"XDG_STATE_HOME": str(directory / f"state-{number}-{len(took)}")}
                    one = timed(contender.command, ground=topology.ground, environment=state)
                    if one.late or (contender.name == "edgecheck" and one.status != 0):
                        raise LabError(f"{contender.name}: status {one.status}\n{one.output}\n{one.errors}")
                    took.setdefault(contender.name, []).append(one)
                    judged = peers.judged(answer(contender, one), nat) if contender.answers else verdict
                    right[contender.name] = right.get(contender.name, 0) + (judged == "right")
    return tell(took, right)


def tell(took: dict[str, list[Took]], right: dict[str, int]) -> int:
    walls = {name: median(one.wall_s for one in all_) for name, all_ in took.items()}
    ours = walls["edgecheck"]
    rows = [
        (name, len(all_), right[name], spread(one.wall_s for one in all_), f"{walls[name] / ours:.2f}", f"{median(one.cpu_s for one in all_):.2f}", f"{median(one.peak_mb for one in all_):.0f}")
        for name, all_ in took.items()
    ]
    print(table(("process", "runs", "right", "wall s: median (least-most)", "x ours", "CPU s", "peak MB"), rows))
    print(conditions())
    bars = Bars()
    bars.at_most("nat-behavior, whole process, against the figure on record", ours, VOVIDA_S, "s")
    for start, share in (("Vovida", 1), ("coturn", COTURN_SHARE)):
        of_peer = [wall for name, wall in walls.items() if name.startswith(start)]
        if of_peer:
            bars.at_most(f"... against {start} in this run{f', a {share}th of it' if share > 1 else ''}", ours, min(of_peer) / share, "s")
    return bars.show()


if __name__ == "__main__":
    sys.exit(main())
