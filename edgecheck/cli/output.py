"""Where a report goes: the terminal, files, or stdout alone."""

import os
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from edgecheck.cli import status
from edgecheck.model.errors import UsageError
from edgecheck.model.verdict import Report
from edgecheck.store.files import replace


class Output(NamedTuple):
    """What was asked for."""

    json: str | None = None
    """A file, or ``-`` for stdout."""
    junit: str | None = None
    quiet: bool = False
    no_color: bool = False

    @property
    def stdout_taken(self) -> bool:
        """Whether a report goes to stdout, so that nothing else may."""
        return "-" in (self.json, self.junit)

    def check(self) -> None:
        """Say before the run, not after it, that a report could not be written. Raises ``UsageError``."""
        if self.json == self.junit == "-":
            raise UsageError("Only one report can go to stdout: give --json or --junit a file.")
        if self.json is not None and self.json == self.junit:
            raise UsageError("--json and --junit name the same file.")
        for name in (self.json, self.junit):
            if name is None or name == "-":
                continue
            file = Path(name)
            folder = file.parent
            if not name or file.is_dir():
                raise UsageError(f"{name!r} is not a file that a report could be written to.")
            if not folder.is_dir():
                raise UsageError(f"There is no folder {folder} to write {file.name} to.")
            if not os.access(file if file.exists() else folder, os.W_OK):
                raise UsageError(f"No permission to write {name}.")

    def write(self, report: Report) -> int:
        """Write the report as asked; return the exit status."""
        from edgecheck.report import json, junit, text

        code = status.of(report.verdict)
        for name, data in ((self.json, json.render), (self.junit, junit.render)):
            if name is None:
                continue
            content = data(report)
            if not put(name, content.encode() if isinstance(content, str) else content):
                code = code if code == status.FAILED else status.UNDECIDED
        if not self.stdout_taken:
            color = colored(sys.stdout, self.no_color)
            line = text.first_line(report, color=color) + "\n" if self.quiet else text.render(report, color=color, width=width(sys.stdout))
            sys.stdout.write(line)
        return code


def put(name: str, data: bytes) -> bool:
    """Write to this file, or to stdout for ``-``; a file that cannot be written (disk full) is said in one sentence, and False."""
    if name == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        return True
    try:
        replace(Path(name), data)
    except OSError as error:
        print(f"Could not write {name}: {error.strerror or error}.", file=sys.stderr)
        return False
    return True


def colored(stream: object, no_color: bool) -> bool:
    """Whether color goes to this stream: a terminal that shows it, and nobody said no."""
    if no_color or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not is_terminal(stream):
        return False
    return os.name != "nt" or bool(os.environ.get("WT_SESSION") or os.environ.get("ANSICON") or os.environ.get("TERM"))


def is_terminal(stream: object) -> bool:
    """Whether a person reads this stream as it is written."""
    isatty = getattr(stream, "isatty", None)
    return bool(isatty and isatty())


def width(stream: object) -> int:
    """Columns of the terminal; 0 (never wrap) where the stream is a file or a pipe, so that a row stays a line for grep."""
    return shutil.get_terminal_size((100, 24)).columns if is_terminal(stream) else 0
