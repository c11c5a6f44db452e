"""Four of the five checks (the RTP range apart) in one run, on a 50 ms path.

    python -m tests.bench.bench_all_checks [--runs 5]

Twice: where every port of the PBX is forwarded, and where none is, which is the slower case because silence must be proved.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import median

from tests.bench.measure import Bars, Took, conditions, spread, table, timed
from tests.lab import runs
from tests.lab.ground import LabError, python
from tests.lab.routers import Forward, KernelRouter
from tests.lab.topology import Plan, Topology, UserRouter

BAR_S = 5.0
RTT_MS = 50
CHECKS = ("nat-behavior", "port-preservation", "port-forwarding", "sip-alg")
EDGES = {
    "all forwarded": (KernelRouter(forwards=(Forward(ports="5060-5061"), Forward(ports="10000-20000", transports=("udp",)))), "forwarded"),
    "none forwarded": (KernelRouter(), "blocked"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    print(conditions())
    rows, bars = [], Bars()
    for name, (router, state) in EDGES.items():
        processes, checks = measure(router, state, options.runs)
        wall = median(took.wall_s for took in processes)
        alone = [f"{median(durations):.2f}" for durations in checks.values()]
        rows.append((name, len(processes), spread(took.wall_s for took in processes), *alone, f"{median(took.cpu_s for took in processes):.2f}"))
        bars.at_most(f"checks but the RTP range, {name}, whole process", wall, BAR_S, "s")
    print(table(("edge", "runs", "wall s: median (least-most)", *(f"{check} s" for check in CHECKS), "CPU s"), rows))
    print(f"(a check's own time leaves out its wait for its turn)\n{conditions()}")
    return bars.show()


def measure(router: KernelRouter, state: str, count: int) -> tuple[list[Took], dict[str, list[float]]]:
    processes: list[Took] = []
    checks: dict[str, list[float]] = {check: [] for check in CHECKS}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with Topology(Plan(home=router, path=UserRouter(weather={"delay_ms": RTT_MS / 2})), directory / "lab") as topology:
            for number in range(count + 1):
                topology.forget()
                # Another one each time: a server remembers for an hour that its alternate address was contacted from here, and says so.
                server = runs.serve(topology, runs.Server(), directory)
                saved = directory / f"report-{number}.json"
                command = python("-m", "edgecheck", "run", *CHECKS, runs.Server().target, "--quiet", "--json", str(saved))
                took = timed(command, ground=topology.ground, environment={"XDG_STATE_HOME": str(directory / f"state-{number}")})
                server.stop()
                report = json.loads(saved.read_text()) if saved.exists() else {}
                expect(report, state, took)
                if number == 0:
                    continue  # warms the caches up
                processes.append(took)
                for check in report["checks"]:
                    checks[check["id"]].append(check["duration_s"])
    return processes, checks


def expect(report: dict[str, object], state: str, took: Took) -> None:
    """A fast run that found something else than what stands there is no measurement."""
    seen = runs.observations(report) if report else {}
    states = {port["state"] for port in seen.get("port-forwarding", {}).get("ports", ())}
    found = (states, seen.get("sip-alg", {}).get("interference"), seen.get("nat-behavior", {}).get("classic_type"))
    if found != ({state}, "none", "port restricted cone"):
        raise LabError(f"not what stands there: {found}\n{took.output}\n{took.errors}\n{runs.told(report) if report else ''}")


if __name__ == "__main__":
    sys.exit(main())
