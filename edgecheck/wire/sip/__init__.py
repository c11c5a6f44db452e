"""SIP messages (RFC 3261), read without losing a byte.

A parser that normalizes erases what an ALG did. So a message keeps its exact bytes, each header keeps its own (name as
written, folding, line end, place), and the parsed view stands beside them. Whatever can be told as a fact is no error:
a Content-Length that is missing, wrong, written twice or not a number, a header that appears too often, values that break
their own grammar. An error is only what leaves no message to speak of: a start line that is none, a line without a colon.

Two ways in, for one question: is a body shorter than its Content-Length a message?

- ``parse``: no, more bytes must follow (``Truncated``). For framed messages.
- ``parse_datagram``: yes, and the difference between ``content_length`` and ``len(body)`` is evidence. For datagrams.

Names compare without regard to case, and compact forms are understood: ``message.get("Via")`` finds ``v: ...``.

Here are the message and its codec; ``names`` holds how headers are called, ``values`` how their values are read.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from edgecheck.wire.errors import Malformed, TooLong, Truncated
from edgecheck.wire.sip.names import long_name
from edgecheck.wire.sip.values import Uri, Via, address_uri, parameters, split_addresses, uri_parts, via_parts

__all__ = [
    "MAX_BLANK_LINES", "MAX_HEADERS", "MAX_MESSAGE", "PING", "PONG", "Header", "Message", "Uri", "Via", "address_uri", "build",
    "head_span", "long_name", "parameters", "parse", "parse_datagram", "serialize", "split_addresses", "uri_parts", "via_parts",
]

MAX_MESSAGE = 65_535
"""Bytes: what one UDP datagram can hold. No longer message concerns us, and a TCP peer cannot make us store more."""
MAX_HEADERS = 256
"""The longest of the RFC's torture tests has 43, and 70 hops add 70 Via; 20,000 empty ones are an attack on whoever lists them."""
MAX_BLANK_LINES = 16
"""Before the start line, where RFC 3261 section 7.5 wants them ignored; without end they would keep a reader busy for nothing."""
PING = b"\r\n\r\n"
"""Keep-alive (RFC 5626 section 3.5.1), on a stream and in a datagram."""
PONG = b"\r\n"
"""Its answer."""

_TOKEN = rb"[A-Za-z0-9.!%*_+`'~-]+"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([^\x00-\x20\x7f]+) ([Ss][Ii][Pp]/[0-9]+\.[0-9]+)")
_STATUS_LINE = re.compile(rb"([Ss][Ii][Pp]/[0-9]+\.[0-9]+) ([1-9][0-9]{2})(?: (.*))?", re.DOTALL)
_START_OF_START_LINE = re.compile(rb"[!-~]*(?: [^\r]*)?")
_ENOUGH = 64
"""Bytes of an unfinished start line that are looked at: a stranger's first ones give him away."""
_HEADER = re.compile(rb"(" + _TOKEN + rb")[ \t]*:(.*)", re.DOTALL)
_NAME = re.compile(_TOKEN)
_BLANK_LINES = re.compile(rb"(?:\r?\n){0,%d}" % MAX_BLANK_LINES)
_END_OF_HEAD = re.compile(rb"\n\r?\n")
_LINE = re.compile(rb"[^\n]*\n")
_LENGTH = re.compile(r"[0-9]{1,10}")
_FOLDING = re.compile(r"\r\n[ \t]")


class Header(NamedTuple):
    """One header field as it stands in the message."""

    name: str
    """As written: ``via``, ``V``, ``Via``."""
    value: str
    """Unfolded, without the white space around it. Bytes that are not UTF-8 are spelled ``\\xNN``."""
    raw: bytes
    """Exact: name, colon, white space, folding, line end."""


class Message(NamedTuple):
    """One request or response. ``parse(serialize(message)) == message``."""

    start_line: str
    headers: tuple[Header, ...]
    """In the order of the wire."""
    body: bytes
    """All that is there after the empty line, whatever Content-Length says."""
    raw: bytes
    """The exact message, blank lines before it included."""
    line_ending: bytes
    """Of the start line: CRLF, or LF alone."""

    @property
    def is_request(self) -> bool:
        """Whether it begins with a Request-Line."""
        return self.start_line[:4].upper() != "SIP/"

    @property
    def method(self) -> str | None:
        """Of a request."""
        return self.start_line.split(" ")[0] if self.is_request else None

    @property
    def uri(self) -> str | None:
        """The Request-URI, as written."""
        return self.start_line.split(" ")[1] if self.is_request else None

    @property
    def version(self) -> str:
        """``SIP/2.0`` as written; another one is well-formed all the same (RFC 3261 section 21.5.6 answers 505)."""
        return self.start_line.split(" ")[2 if self.is_request else 0]

    @property
    def status(self) -> int | None:
        """Of a response: 100 to 999."""
        return None if self.is_request else int(self.start_line.split(" ")[1])

    @property
    def reason(self) -> str | None:
        """Of a response; may be empty."""
        return None if self.is_request else self.start_line.split(" ", 2)[2:][0] if self.start_line.count(" ") > 1 else ""

    def get(self, name: str) -> str | None:
        """The value of the first header of this name, or None."""
        wanted = long_name(name)
        return next((header.value for header in self.headers if long_name(header.name) == wanted), None)

    def all(self, name: str) -> tuple[str, ...]:
        """The values of every header of this name, one for each header line (lists are not split: see ``split_addresses``)."""
        wanted = long_name(name)
        return tuple(header.value for header in self.headers if long_name(header.name) == wanted)

    @property
    def content_length(self) -> int | None:
        """What Content-Length declares; None when it is missing, is not a number, or stands there twice with different numbers."""
        declared = {int(value) if _LENGTH.fullmatch(value) else None for value in self.all("Content-Length")}
        return declared.pop() if len(declared) == 1 else None


def parse(data: bytes) -> Message:
    """Read one framed message, or a datagram whose body must be whole; bytes beyond Content-Length stay in ``body``.

    Raises ``Truncated`` (no empty line yet, body shorter than Content-Length), ``Malformed``, ``TooLong``.
    """
    message = parse_datagram(data)
    declared = message.content_length
    if declared is not None and len(message.body) < declared:
        raise Truncated(f"Content-Length says {declared}, the body has {len(message.body)} bytes")
    return message


def parse_datagram(data: bytes) -> Message:
    """Read what one datagram holds: like ``parse``, but a body shorter than Content-Length is a fact, not an error."""
    if len(data) > MAX_MESSAGE:
        raise TooLong(f"a SIP message of {len(data)} bytes; at most {MAX_MESSAGE}")
    begin, end = head_span(data)
    lines = _LINE.findall(data, begin, end)
    start, ending = _strip_line(lines[0])
    _check_start_line(start)
    # The last line is the empty one that ends the head.
    return Message(_text(start), _parse_headers(lines[1:-1]), data[end:], data, ending)


def head_span(data: bytes, searched: int = 0) -> tuple[int, int]:
    """Where the start line begins and where the body does.

    ``searched``: so many bytes are known to hold no end of the head. Raises ``Truncated`` when the end is not there,
    ``Malformed`` when no more bytes could make a message of it.
    """
    blank = _BLANK_LINES.match(data)
    begin = blank.end() if blank else 0
    # Begin three bytes early: the end of the head may have been cut in two.
    end = _END_OF_HEAD.search(data, max(begin, searched - 3))
    if end:
        return begin, end.end()
    line_end = data.find(b"\n", begin) + 1
    if line_end > searched:
        _check_start_line(_strip_line(data[begin:line_end])[0])
    elif not line_end and not _START_OF_START_LINE.fullmatch(data[begin : begin + _ENOUGH].removesuffix(b"\r")):
        raise Malformed("not SIP: the first word is not printable")
    raise Truncated("no empty line ends the headers")


def _check_start_line(line: bytes) -> None:
    if not (_STATUS_LINE.fullmatch(line) or _REQUEST_LINE.fullmatch(line)):
        raise Malformed(f"{line[:80]!r} is neither a Request-Line nor a Status-Line")


def _strip_line(line: bytes) -> tuple[bytes, bytes]:
    ending = b"\r\n" if line.endswith(b"\r\n") else b"\n"
    content = line[: -len(ending)]
    if b"\r" in content:
        raise Malformed(f"{content[:80]!r}: a CR that ends no line")
    return content, ending


def _parse_headers(lines: Sequence[bytes]) -> tuple[Header, ...]:
    fields: list[bytes] = []
    for line in lines:
        _strip_line(line)
        if line[:1] in (b" ", b"\t"):
            if not fields:
                raise Malformed("white space begins the first header line")
            fields[-1] += line
        else:
            fields.append(line)
    if len(fields) > MAX_HEADERS:
        raise TooLong(f"{len(fields)} headers; at most {MAX_HEADERS}")
    return tuple(map(_parse_header, fields))


def _parse_header(raw: bytes) -> Header:
    match = _HEADER.fullmatch(raw)
    if match is None:
        raise Malformed(f"{raw[:80]!r} is not a header: no name, or no colon")
    # Folding stands for one space (RFC 3261 section 7.3.1). No regular expression here: it would be quadratic in a run of spaces.
    parts = (part.strip(b" \t\r") for part in match[2].split(b"\n"))
    return Header(match[1].decode("ascii"), _text(b" ".join(filter(None, parts))), raw)


def _text(data: bytes) -> str:
    # Text that any report can hold, and that differs where the bytes do.
    return data.decode("utf-8", "backslashreplace")


def serialize(message: Message) -> bytes:
    """The exact bytes that were parsed."""
    return message.raw


def build(start_line: str, headers: Sequence[tuple[str, str]], body: bytes = b"") -> bytes:
    """A message of our own: names and order as given, Content-Length added last when absent.

    A value may be folded (CRLF and white space). Raises ``Malformed`` for a name that is no token and for a line end
    that would start another line, ``TooLong``.
    """
    lines = [start_line, *(f"{name}: {value}" for name, value in headers)]
    if not any(long_name(name) == "Content-Length" for name, _ in headers):
        lines.append(f"Content-Length: {len(body)}")
    try:
        start, names = start_line.encode(), [name.encode() for name, _ in headers]
        data = "\r\n".join((*lines, "", "")).encode() + body
    except UnicodeError as error:
        raise Malformed("text that has no UTF-8 form") from error
    if b"\r" in start or b"\n" in start:
        raise Malformed("a line end in the start line")
    _check_start_line(start)
    for name, (_, value) in zip(names, headers, strict=True):
        if not _NAME.fullmatch(name) or re.search(r"[\r\n]", _FOLDING.sub("", value)):
            raise Malformed(f"header {name!r} cannot be written")
    if len(data) > MAX_MESSAGE:
        raise TooLong(f"a SIP message of {len(data)} bytes; at most {MAX_MESSAGE}")
    return data
