"""``edgecheck compare``."""

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
