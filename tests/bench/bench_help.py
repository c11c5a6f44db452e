"""``edgecheck --help``: what it costs to be asked nothing.

    python -m tests.bench.bench_help [--runs 15]

Asserted beside the time: that neither aiortc nor aiohttp (nor anything else that is heavy) has been imported.
"""

import argparse
import json
import subprocess
import sys
from statistics import median

from tests.bench.measure import Bars, conditions, spread, table, timed
from tests.lab.ground import REPOSITORY, python

BAR_S, BAR_MB = 0.2, 40.0
HEAVY = ("aiortc", "aiohttp", "av", "cryptography", "asyncio", "ssl", "rich", "msgspec", "netifaces")
MUST_NOT = ("aiortc", "aiohttp")
_LIST = """
import json, sys
from edgecheck.cli import invoke
print(json.dumps([invoke(["--help"]), sorted(sys.modules)]))
"""
COMMANDS = {
    "edgecheck --help": ("-m", "edgecheck", "--help"),
    "edgecheck run --help": ("-m", "edgecheck", "run", "--help"),
    "edgecheck (first contact)": ("-m", "edgecheck"),
    "python -c pass": ("-c", "pass"),
    "python -c 'import typer'": ("-c", "import typer"),
    "python -c 'import aiohttp'": ("-c", "import aiohttp"),
    "python -c 'import aiortc'": ("-c", "import aiortc"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()
    print(conditions())
    took = {name: [timed(python(*command))] for name, command in COMMANDS.items()}  # warms the caches up
    for number in range(options.runs):
        for name, command in COMMANDS.items():
            one = timed(python(*command))
            if one.status != 0:
                raise SystemExit(f"{name}: status {one.status}\n{one.errors}")
            took[name] = [one] if number == 0 else [*took[name], one]
    rows = [
        (name, len(all_), spread((one.wall_s for one in all_), 3), f"{median(one.cpu_s for one in all_):.3f}", spread((one.peak_mb for one in all_), 1))
        for name, all_ in took.items()
    ]
    print(table(("process", "runs", "wall s: median (least-most)", "CPU s", "peak MB"), rows))
    done = subprocess.run(python("-c", _LIST), capture_output=True, text=True, cwd=REPOSITORY, check=True)
    status, modules = json.loads(done.stdout.splitlines()[-1])
    assert status == 0, done.stderr
    loaded = [name for name in HEAVY if name in modules]
    print(f"{len(modules)} modules are loaded for --help; of {', '.join(HEAVY)}: {', '.join(loaded) or 'none'}\n{conditions()}")
    bars = Bars()
    helps = [all_ for name, all_ in took.items() if name.endswith("--help")]
    bars.at_most("--help, wall, the slower command's median", max(median(one.wall_s for one in all_) for all_ in helps), BAR_S, "s", 3)
    bars.at_most("--help, peak resident memory, the largest of all runs", max(one.peak_mb for all_ in helps for one in all_), BAR_MB, "MB", 1)
    unwanted = [name for name in MUST_NOT if name in modules]
    bars.hold("aiortc and aiohttp are not imported for it", ", ".join(unwanted) or "neither is", "neither", not unwanted)
    return bars.show()


if __name__ == "__main__":
    sys.exit(main())
