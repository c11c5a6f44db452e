"""``edgecheck compare`` and ``edgecheck baseline``."""

import sys
from typing import NamedTuple

from edgecheck.cli import saved, status
from edgecheck.cli.output import colored, put, width
from edgecheck.model.comparison import Comparison
from edgecheck.model.errors import UsageError
from edgecheck.model.verdict import Report


class Sink(NamedTuple):
    """Where the comparison goes."""

    json: str | None = None
    quiet: bool = False
    no_color: bool = False


def compare(before: str, after: str, sink: Sink) -> int:
    """Compare two saved reports (files, or baselines by name); return the exit status."""
    if before == after == "-":
        raise UsageError("Only one of the two reports can come from stdin.")
    return tell(compared(saved.baseline(before), saved.baseline(after)), sink)


def compared(before: Report, after: Report) -> Comparison:
    """The comparison of two reports."""
    from edgecheck.comparison import compare as difference

    return difference(before, after)


def tell(comparison: Comparison, sink: Sink) -> int:
    """Write it where it was asked for; return the exit status."""
    import msgspec

    from edgecheck.report import comparison as page

    code = status.of(comparison.verdict)
    if sink.json is not None:
        data = msgspec.json.format(msgspec.json.encode(comparison), indent=2) + b"\n"
        if not put(sink.json, data):
            code = code if code == status.FAILED else status.UNDECIDED
    if sink.json != "-":
        color = colored(sys.stdout, sink.no_color)
        if sink.quiet:
            sys.stdout.write(page.first_line(comparison, color=color) + "\n")
        else:
            sys.stdout.write(page.render(comparison, color=color, width=width(sys.stdout)))
    return code


def save(name: str, file: str) -> int:
    """Keep a saved report as a baseline."""
    from edgecheck.store import baselines

    if not baselines.valid(name):
        raise UsageError(f"{name[:80]!r} cannot be a baseline's name: letters, digits, '.', '_' and '-', 64 at most, not ending in .json.")
    report = saved.read(file)
    print(f"Kept as {name}: {baselines.save(name, report)}")
    return status.FINE


def listing() -> int:
    """Every baseline with its date, verdict and first line."""
    from edgecheck.report.text import safe
    from edgecheck.store import baselines

    kept = baselines.listed()
    if not kept:
        print("No baseline yet. Keep one:  edgecheck baseline save NAME REPORT.json")
    column = max((len(each.name) for each in kept), default=0)
    for each in kept:
        told = f"{each.report.started_at}  {each.report.verdict.value:12}  {each.report.headline}" if each.report else each.trouble
        print(f"{each.name.ljust(column)}  {safe(told)}")
    return status.FINE


def show(name: str, no_color: bool) -> int:
    """The report of a baseline, as text."""
    from edgecheck.report import text
    from edgecheck.store import baselines

    report = saved.judged_anew(baselines.load(name), f"baseline {name}")
    sys.stdout.write(text.render(report, color=colored(sys.stdout, no_color), width=width(sys.stdout)))
    return status.of(report.verdict)


def remove(name: str) -> int:
    """Forget a baseline."""
    from edgecheck.store import baselines

    baselines.remove(name)
    print(f"Removed {name}.")
    return status.FINE
