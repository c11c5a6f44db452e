"""``edgecheck baseline``: reports kept under a name."""

import sys

from edgecheck.cli import saved, status
from edgecheck.cli.output import colored, page_of, settings_of, width
from edgecheck.model.errors import UsageError


def save(name: str, file: str) -> int:
    """Keep a saved report as a baseline."""
    from edgecheck.store import baselines

    if not baselines.valid(name):
        raise UsageError(f"{name[:80]!r} cannot be a baseline's name: letters, digits, '.', '_' and '-', 64 at most, not ending in .json.")
    report = saved.baseline(file)
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
    color, by = colored(sys.stdout, no_color), settings_of(report, name)
    sys.stdout.write(text.render(report, color=color, width=width(sys.stdout), proof=page_of(name), settings_by=by))
    return status.of(report.verdict)


def remove(name: str) -> int:
    """Forget a baseline."""
    from edgecheck.store import baselines

    baselines.remove(name)
    print(f"Removed {name}.")
    return status.FINE
