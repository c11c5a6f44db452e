"""The command line: parse, call, print, exit status. No logic lives here.

Only what ``--help`` needs is imported before a command is known: typer, and no event loop, no rich, no msgspec.
"""

import errno
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn, cast

from edgecheck.cli import garbage, status, stopped

_INTERRUPTED = 130
"""What newer versions of typer make of a KeyboardInterrupt; older ones raise ``Abort``."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and leave with its exit status (``cli.status``)."""
    garbage.loading()
    words = sys.argv[1:] if arguments is None else arguments
    try:
        code = invoke(words)
    except KeyboardInterrupt:  # while modules were still being imported
        code = _complain(stopped.sentence(words), status.UNDECIDED)
    try:
        sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # that is a reader that has gone: `edgecheck checks | head -1`
            code = _complain(_unwritten(error), status.UNDECIDED)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    garbage.ended()
    sys.exit(code)


def invoke(arguments: Sequence[str]) -> int:
    """Run one command; every error becomes one sentence on stderr and an exit status."""
    import typer

    from edgecheck.cli import completion
    from edgecheck.cli.app import app
    from edgecheck.model.errors import EdgecheckError, UsageError

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a Windows console that cannot show a character must not end the run
    completion.prepare()
    # Which class this is depends on whether typer brings its own click; every usage error derives from it.
    command_line_wrong = cast(type[Exception], typer.BadParameter.__mro__[1])
    try:
        code = app(args=list(arguments), prog_name="edgecheck", standalone_mode=False, complete_var=completion.VARIABLE)
    except command_line_wrong as error:
        return _complain(_plain(cast(Any, error)), status.USAGE)
    except UsageError as error:
        return _complain(str(error), status.USAGE, error)
    except EdgecheckError as error:
        return _complain(str(error), status.UNDECIDED, error)
    except (KeyboardInterrupt, typer.Abort):
        return _complain(stopped.sentence(arguments), status.UNDECIDED)
    except BrokenPipeError:
        return status.UNDECIDED
    except SystemExit as ended:  # of completion; and what typer makes of a reader that has gone, whose 1 would read as a warning
        return ended.code if isinstance(ended.code, int) and ended.code != 1 else status.UNDECIDED
    except OSError as error:
        if error.filename is None and error.errno in (errno.ENOSPC, errno.EFBIG, errno.EIO):
            return _complain(_unwritten(error), status.UNDECIDED)
        return _fault(error)
    except Exception as error:
        return _fault(error)
    if code == _INTERRUPTED:
        return _complain(stopped.sentence(arguments), status.UNDECIDED)
    return code if isinstance(code, int) else status.FINE


def _plain(error: Any) -> str:
    """A usage error without a library's own words for numbers; where something is missing, with where to read what."""
    message = str(error.format_message())
    for words, plain in _NUMBERS:
        message = re.sub(words, plain, message)
    command = getattr(getattr(error, "ctx", None), "command_path", "")
    if message.startswith("Missing") and command:
        return f"{_WANTED.get(command, message)} ({command} --help)"
    return message


_WANTED = {
    "edgecheck explain": "Say what: a finding (edgecheck explain sip-alg.rewritten), a check (sip-alg: lists its findings), a saved report "
    "(report.json) or a run of the history (@last).",
    "edgecheck alg": "Name a SIP server: edgecheck alg --against sip:HOST; with an echo server of your own: edgecheck run sip-alg "
    "edge://TOKEN@HOST.",
}
"""Of commands that cannot do without: what may be given."""


_NUMBERS = (
    (r"Input should be a valid integer.*", "a whole number is wanted."),
    (r"Input should be a valid number.*", "a number is wanted."),
    (r"Input should be greater than or equal to (\S+?)\.?$", r"\1 or more is wanted."),
)


def _unwritten(error: OSError) -> str:
    return f"Could not write to stdout: {error.strerror or error}."


def _fault(error: Exception) -> int:
    sentence = f"edgecheck itself failed ({type(error).__name__}: {error}); this says nothing about the network. Details: -v"
    return _complain(sentence, status.UNDECIDED, error)


def _complain(sentence: str, code: int, error: Exception | None = None) -> int:
    """One sentence on stderr; with ``-v`` the traceback behind it."""
    from edgecheck.cli.options import said_verbose
    from edgecheck.report.text import safe

    print(safe(sentence), file=sys.stderr)
    if error is not None and said_verbose():
        import traceback

        traceback.print_exception(error)
    return code
