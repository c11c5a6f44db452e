"""Reports that were saved: read from a file, from stdin, from the baselines or from the history, and judged anew."""

import sys
from pathlib import Path

import msgspec

from edgecheck.model.errors import UsageError
from edgecheck.model.verdict import Report


def is_file(word: str) -> bool:
    """Whether this word means a file (or stdin), not a name or a finding's id."""
    return word == "-" or word.endswith(".json") or len(Path(word).parts) > 1 or Path(word).is_file()


def read(name: str) -> Report:
    """The report in this file (``-``: stdin), judged anew. Raises ``UsageError``."""
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
        return judged_anew(json.read(data), name)
    except UsageError as error:
        raise UsageError(str(error) if str(error).startswith(f"{name}:") else f"{name}: {error}") from None


def baseline(word: str) -> Report:
    """A baseline by its name, a run of the history (``@12``, ``@last``), or a report in a file. Raises ``UsageError``."""
    from edgecheck.store import baselines

    number = number_of(word)
    if number is not None:
        return kept(number)
    return read(word) if is_file(word) else judged_anew(baselines.load(word), f"baseline {word}")


def kept(number: int) -> Report:
    """This run of the history; 0 is the newest. Raises ``UsageError``, ``HistoryFailed``."""
    from edgecheck.store.history import History

    return judged_anew(History().load(number), f"@{number}")


def number_of(word: str) -> int | None:
    """``@12`` is 12, ``@last`` the newest; None for any other word."""
    if word == "@last":
        return 0
    digits = word.removeprefix("@")
    if word.startswith("@") and digits.removeprefix("-").isdecimal() and len(digits) < 12:
        return int(digits)
    return None


def judged_anew(report: Report, name: str) -> Report:
    """The same observations, judged by this version. Raises ``UsageError``."""
    from edgecheck.judging import rejudge

    try:
        return rejudge(report)
    except (msgspec.ValidationError, RecursionError) as error:
        raise UsageError(f"{name}: This report was damaged or edited by hand: {str(error).replace('`', chr(39))}.") from None
