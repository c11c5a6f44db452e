"""What the benchmarks share: a process timed, a bar held against a figure, a table, and under which conditions it was measured."""

import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.ground import REPOSITORY, Ground

_STOPWATCH = str(Path(__file__).with_name("stopwatch.py"))
# Where the environment forbids byte code (containers like to), an installed edgecheck has it all the same. With this (empty) the first run writes it.
WARM = {"PYTHONDONTWRITEBYTECODE": ""}


@dataclass(frozen=True, kw_only=True)
class Took:
    """One whole process."""

    wall_s: float
    cpu_s: float
    """Of all its threads, user and system."""
    peak_mb: float
    """Of resident memory; MB of a million bytes."""
    status: int
    late: bool
    """It was killed because its time was up."""
    output: str
    errors: str


def timed(command: Sequence[str], *, ground: Ground | None = None, namespace: str = "client", environment: Mapping[str, str] | None = None, timeout: float = 60) -> Took:
    """Run a command to its end, in a namespace of the laboratory or (without ``ground``) right here."""
    with tempfile.NamedTemporaryFile(prefix="stopwatch-") as file:
        whole = (sys.executable, "-I", "-S", _STOPWATCH, file.name, str(timeout), *command)
        if ground is not None:
            done = ground.run(namespace, *whole, environment={**WARM, **(environment or {})}, timeout=timeout + 20, check=True)
        else:
            done = subprocess.run(
                whole, capture_output=True, text=True, env={**os.environ, **WARM, **(environment or {})}, cwd=REPOSITORY, check=True, stdin=subprocess.DEVNULL
            )
        told = json.loads(Path(file.name).read_text())
    return Took(
        wall_s=told["wall_s"],
        cpu_s=told["cpu_s"],
        peak_mb=told["peak_kb"] * 1024 / 1e6,
        status=told["status"],
        late=told["late"],
        output=done.stdout,
        errors=done.stderr,
    )


def spread(values: Iterable[float], digits: int = 2) -> str:
    """``median (least-most)``"""
    known = sorted(values)
    return f"{statistics.median(known):,.{digits}f} ({known[0]:,.{digits}f}-{known[-1]:,.{digits}f})" if known else "-"


class Bars:
    """The bars of the issue, as they are held against what was measured."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, str, str, str]] = []
        self.missed = 0

    def hold(self, what: str, seen: str, bar: str, met: bool) -> None:
        """Note one."""
        self._rows.append((what, seen, bar, "met" if met else "NOT MET"))
        self.missed += not met

    def at_most(self, what: str, value: float, bar: float, unit: str, digits: int = 2) -> None:
        """A figure that must not be above its bar."""
        self.hold(what, f"{value:.{digits}f} {unit}", f"<= {bar:.{digits}f} {unit}", value <= bar)

    def show(self) -> int:
        """Print them; the exit status of the benchmark."""
        print("\n" + table(("bar", "measured", "wanted", ""), self._rows))
        return 1 if self.missed else 0


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns as wide as they must be; the first and whatever holds words to the left, figures to the right."""
    lines = [list(map(str, head)), *(list(map(str, row)) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    right = [column > 0 and all(_figure(line[column]) for line in lines[1:]) for column in range(len(head))]
    out = ["  ".join(cell.rjust(width) if side else cell.ljust(width) for cell, width, side in zip(line, widths, right, strict=True)).rstrip() for line in lines]
    return "\n".join([out[0], "  ".join("-" * width for width in widths), *out[1:]])


def _figure(cell: str) -> bool:
    return not cell or cell[0] in "0123456789-.+"


def conditions() -> str:
    """When, on what, and how busy it was: a figure without them says little."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    machine = f"{os.cpu_count()} CPUs, {platform.system()} {platform.release()}, {platform.python_implementation()} {platform.python_version()}"
    return f"{now}, {machine}, load {load}{_others()}"


def _spent() -> tuple[float, float, float]:
    """Seconds: now; of all CPUs, not idle; of this process and those of its children that have ended."""
    # user nice system idle iowait irq softirq steal; the rest is contained in these
    ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    busy = (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
    return time.monotonic(), busy, sum(os.times()[:4])


_AT_START = _spent()


def _others() -> str:
    """What everybody else took of the machine since this benchmark began: noise, if it is much. (The kernel's work on our packets is in it.)"""
    now, busy, own = (end - start for end, start in zip(_spent(), _AT_START, strict=True))
    return f"; others took {max(0.0, busy - own) / now / (os.cpu_count() or 1):.0%} of the CPUs meanwhile" if now > 1 else ""
