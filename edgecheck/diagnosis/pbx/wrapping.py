"""Comments of several lines: what is copied from a terminal of 80 columns is then what was written."""

import textwrap
from collections.abc import Iterable

_COLUMNS = 79


def text(lines: Iterable[str], mark: str) -> str:
    """A file of these lines; those that begin with ``mark`` (``; ``, ``# ``) are comments."""
    return "\n".join(part for line in lines for part in (wrapped(line, mark) if line.startswith(mark) else [line])) + "\n"


def wrapped(line: str, indent: str) -> list[str]:
    """At 79 columns, further lines indented by ``indent``."""
    return textwrap.wrap(line, _COLUMNS, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
