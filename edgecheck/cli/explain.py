"""``edgecheck explain``: the page of a finding, or a saved report judged anew."""

import sys

from edgecheck.cli import saved, status
from edgecheck.cli.output import Output, is_terminal, width
from edgecheck.model.errors import UsageError


def explain(what: str, output: Output, only: str = "", whole: bool = False) -> int:
    """Print the page, or the report; return the exit status. On a terminal the tables by make are folded unless ``whole``."""
    if saved.is_file(what) or saved.number_of(what) is not None:
        if only or whole:
            raise UsageError("--for and --all belong to the page of a finding: edgecheck explain sip-alg.rewritten --for netgear.")
        output.check()
        return output.write(saved.baseline(what), "" if what == "-" else what)
    from edgecheck.diagnosis.pages import page
    from edgecheck.report.text import wrap

    for line in page(what, only=only, folded=is_terminal(sys.stdout) and not whole):
        indent = " " * (len(line) - len(line.lstrip()))
        print("\n".join(wrap(line.lstrip(), width(sys.stdout), indent, indent + ("   " if line.lstrip()[:1].isdigit() else ""))))
    return status.FINE
