"""Where a report goes: the terminal, files, or stdout alone."""

import os
import shlex
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
    html: str | None = None
    junit: str | None = None
    quiet: bool = False
    no_color: bool = False
    offers: str = "--html report.html"
    """What to add to this command for a file with all evidence."""

    @property
    def files(self) -> dict[str, str]:
        """Option and file, of what was asked for."""
        given = {"--json": self.json, "--html": self.html, "--junit": self.junit}
        return {option: name for option, name in given.items() if name is not None}

    @property
    def stdout_taken(self) -> bool:
        """Whether a report goes to stdout, so that nothing else may."""
        return "-" in self.files.values()

    def check(self) -> None:
        """Say before the run, not after it, that a report could not be written. Raises ``UsageError``."""
        seen: dict[str, str] = {}
        for option, name in self.files.items():
            other = seen.setdefault(name, option)
            if other != option and name == "-":
                raise UsageError(f"Only one report can go to stdout: give {other} or {option} a file.")
            if other != option:
                raise UsageError(f"{other} and {option} name the same file.")
        for name in self.files.values():
            if name == "-":
                continue
            writable(name)

    def write(self, report: Report, name: str = "") -> int:
        """Write the report as asked; return the exit status. ``name``: what other commands know it by (``@12``, a file)."""
        from edgecheck.report import text

        code = status.of(report.verdict)
        written = {option: name for option, name in self.files.items() if put(name, _render(option, report))}
        if len(written) < len(self.files):
            code = code if code == status.FAILED else status.UNDECIDED
        if not self.stdout_taken:
            color = colored(sys.stdout, self.no_color)
            name = name or written.get("--json", "")
            proof = written.get("--html") or written.get("--json") or (page_of(name) if name else self.offers)
            line = text.first_line(report, color=color) + "\n" if self.quiet else ""
            by = settings_of(report, name)
            if not told(line or text.render(report, color=color, width=width(sys.stdout), proof=proof, settings_by=by)):
                code = code if code == status.FAILED else status.UNDECIDED
        return code


def page_of(name: str) -> str:
    """The command that makes the page of a report that is kept under this name."""
    return f"edgecheck report {shlex.quote(name)} --format html -o report.html"


def settings_of(report: Report, name: str) -> str:
    """The command that prints the settings for the PBX on stdout alone; empty where none is needed: into a pipe or a file goes all."""
    if not name or not is_terminal(sys.stdout):
        return ""
    asked = report.settings.get("profile")
    named = isinstance(asked, dict) and asked.get("pbx")
    return f"edgecheck settings {shlex.quote(name)}" if named else ""


def _render(option: str, report: Report) -> bytes:
    """The report in the form of this option; each is imported where it is wanted."""
    if option == "--json":
        from edgecheck.report import json

        return json.render(report)
    if option == "--html":
        from edgecheck.report import html

        return html.render(report).encode(errors="replace")
    from edgecheck.report import junit

    return junit.render(report).encode()


def writable(name: str) -> None:
    """Raises ``UsageError`` where this file could not be written."""
    file = Path(name)
    folder = file.parent
    if not name or file.is_dir():
        raise UsageError(f"{name!r} is not a file that a report could be written to.")
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder} to write {file.name} to.")
    if not os.access(file if file.exists() else folder, os.W_OK):
        raise UsageError(f"No permission to write {name}.")


def put(name: str, data: bytes) -> bool:
    """Write to this file, or to stdout for ``-``; a file that cannot be written (disk full) is said in one sentence, and False."""
    if name == "-":
        return told(data)
    try:
        replace(Path(name), data)
    except OSError as error:
        print(f"Could not write {name}: {error.strerror or error}.", file=sys.stderr)
        return False
    return True


def told(content: str | bytes) -> bool:
    """Write to stdout, now; where it leads to cannot be written (disk full) is said in one sentence, and False. No reader is no failure."""
    try:
        sys.stdout.flush()
        if isinstance(content, str):
            sys.stdout.write(content)
        else:
            sys.stdout.buffer.write(content)
        sys.stdout.flush()
    except BrokenPipeError:
        return True
    except OSError as error:
        print(f"Could not write to stdout: {error.strerror or error}.", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left of it would fail again at the end
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
