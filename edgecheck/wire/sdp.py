"""SDP (RFC 8866) as lines, without losing a byte: what an ALG does to a session description, it does to lines.

Nothing is rejected. A body that is no SDP is lines of no kind, and the comparison of what was sent with what arrived still
works on them. ``b"".join(line.raw for line in parse(body)) == body``.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

_LINE = re.compile(rb"[^\n]*\n|[^\n]+\Z")


class Line(NamedTuple):
    """One line of a session description."""

    kind: str
    """The letter before ``=`` (``v``, ``o``, ``c``, ``m``, ``a``...); empty when the line is not of that form."""
    value: str
    """What stands behind ``=``, or the whole line when it has no kind; no line end. Bytes that are not UTF-8 are spelled ``\\xNN``."""
    raw: bytes
    """Exact, with the line end."""


def parse(body: bytes) -> tuple[Line, ...]:
    """The lines of a body, whatever it holds. Lines end with CRLF or LF; the last one may lack its end."""
    return tuple(map(_parse_line, _LINE.findall(body)))


def _parse_line(raw: bytes) -> Line:
    ending = b"\r\n" if raw.endswith(b"\r\n") else b"\n"
    text = raw.removesuffix(ending).decode("utf-8", "backslashreplace")
    if text[1:2] == "=" and text[0].isascii() and text[0].isalpha():
        return Line(text[0], text[2:], raw)
    return Line("", text, raw)


def serialize(lines: Sequence[Line]) -> bytes:
    """The exact bytes that were parsed."""
    return b"".join(line.raw for line in lines)
