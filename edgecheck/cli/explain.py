"""``edgecheck explain``: the page of a finding, or a saved report judged anew."""

import sys
from pathlib import Path

import msgspec

from edgecheck.cli import status
from edgecheck.cli.output import Output, width
from edgecheck.model.errors import UsageError
from edgecheck.model.verdict import Report


def explain(what: str, output: Output) -> int:
    """Print the page, or the report; return the exit status."""
    if what == "-" or what.endswith(".json") or len(Path(what).parts) > 1 or Path(what).is_file():
        output.check()
        return output.write(_judged_anew(what))
    from edgecheck.diagnosis.pages import page
    from edgecheck.report.text import wrap

    for line in page(what):
        indent = " " * (len(line) - len(line.lstrip()))
        print("\n".join(wrap(line.lstrip(), width(sys.stdout), indent, indent + ("   " if line.lstrip()[:1].isdigit() else ""))))
    return status.FINE


def _judged_anew(name: str) -> Report:
    from edgecheck.course import rejudge
    from edgecheck.report import json

    try:
        if name == "-":
            data = sys.stdin.buffer.read(json.MAX_SIZE + 1)
        else:
            with Path(name).open("rb") as stream:
                data = stream.read(json.MAX_SIZE + 1)
    except OSError as error:
        raise UsageError(f"{name}: cannot be read ({error.strerror or error}).") from None
    try:
        report = json.read(data)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from None
    try:
        return rejudge(report)
    except (msgspec.ValidationError, RecursionError) as error:
        raise UsageError(f"{name}: This report was damaged or edited by hand: {str(error).replace('`', chr(39))}.") from None
