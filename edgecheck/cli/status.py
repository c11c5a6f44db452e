"""Exit status, the same for every command, so that it serves as a monitoring plugin and a typo never reads as a failure of the network."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgecheck.model.verdict import Verdict

FINE = 0
"""All decided, nothing failed or warned."""
WARNED = 1
FAILED = 2
"""At least one failure."""
UNDECIDED = 3
"""Undecided, nothing tested, or the server could not be reached."""
USAGE = 64
"""The command line is wrong (EX_USAGE)."""


def of(verdict: "Verdict") -> int:
    """The exit status that a report's verdict asks for."""
    return {"pass": FINE, "warn": WARNED, "fail": FAILED}.get(verdict.value, UNDECIDED)


def worse(one: int, other: int) -> int:
    """The graver of two exit statuses: a failure, else undecided, else a warning."""
    return max(one, other, key=(FINE, WARNED, UNDECIDED, FAILED).index)
