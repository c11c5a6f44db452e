"""``edgecheck explain``: the page of a finding, or a saved report judged anew."""

import sys

from edgecheck.cli import saved, status
from edgecheck.cli.output import Output, width


def explain(what: str, output: Output) -> int:
    """Print the page, or the report; return the exit status."""
    if saved.is_file(what) or saved.number_of(what) is not None:
        output.check()
        return output.write(saved.baseline(what), "" if what == "-" else what)
    from edgecheck.diagnosis.pages import page
    from edgecheck.report.text import wrap

    for line in page(what):
        indent = " " * (len(line) - len(line.lstrip()))
        print("\n".join(wrap(line.lstrip(), width(sys.stdout), indent, indent + ("   " if line.lstrip()[:1].isdigit() else ""))))
    return status.FINE
