"""Repeated runs over one unchanged edge compare as unchanged.

    python -m tests.bench.bench_compare [--runs 50] [--loss 0]

One kernel router with forwarding rules; every run is compared with the first and with the one before it. Told: pairs that are unchanged,
pairs of which something could not be compared, and false changes (better, worse or different). Bar: no false change.
"""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from edgecheck.comparison import compare
from edgecheck.model.comparison import Kind
from tests.bench.measure import conditions
from tests.lab import runs
from tests.lab.ground import missing_tools
from tests.lab.test_compare import BEFORE, looked
from tests.lab.topology import Plan, Topology


def main() -> int:
    """Print the figures; the exit status says whether the bar was reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--loss", type=int, default=0, help="percent, each way")
    asked = parser.parse_args()
    if missing := missing_tools():
        print(f"The laboratory needs {', '.join(missing)}.", file=sys.stderr)
        return 3
    told: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, Topology(Plan(home=BEFORE, loss=asked.loss), Path(folder) / "lab") as topology:
        directory = Path(folder)
        runs.serve(topology, runs.Server(), directory)
        reports = [looked(topology, directory) for _ in range(asked.runs)]
    for number, report in enumerate(reports[1:], 1):
        for earlier in {0, number - 1}:
            found = compare(reports[earlier], report)
            false = [change for change in found.changes if change.kind is not Kind.NOT_COMPARED]
            told["false change" if false else "not all compared" if found.changes else "unchanged"] += 1
            for change in false:
                print(f"  run {number} against run {earlier}: {change.kind.value} {change.summary}")
    print(conditions())
    print(f"{asked.runs} runs, loss {asked.loss} % each way: {dict(told)}")
    return 1 if told["false change"] else 0


if __name__ == "__main__":
    sys.exit(main())
