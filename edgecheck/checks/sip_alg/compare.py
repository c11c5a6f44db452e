"""What became of a SIP message on its way: the bytes that left beside the bytes that arrived. Pure, and total over any bytes.

The comparison works from the outside in: bytes; then headers, paired by name and likeness; then SDP lines, paired within their section.
What has the same meaning but other bytes (white space, folding, compact form, line ends, lists merged or split) is ``reformatted``.
``compare(a, b)`` is empty if and only if ``a == b``: whatever no finer rule explains is told as a reformatted message.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

from edgecheck.wire import sdp, sip
from edgecheck.wire.errors import WireError

Action = Literal["rewritten", "removed", "added", "reordered", "reformatted"]

MESSAGE = "message"
"""``where`` of a change to the whole: what arrived is no SIP, or differs in a way that has no finer name."""
LINE_ENDINGS = "line endings"
BODY = "body"
"""``where`` of a change to a body that is no SDP."""
REQUEST_URI, STATUS_LINE, METHOD, VERSION = "Request-URI", "Status-Line", "Method", "SIP-Version"

_LISTS = frozenset(
    {"Via", "Contact", "Route", "Record-Route", "Path", "Service-Route", "P-Asserted-Identity", "P-Preferred-Identity"}
    | {"Supported", "Require", "Proxy-Require", "Unsupported", "Allow", "Allow-Events", "Accept", "Accept-Encoding", "Accept-Language"}
)
"""Headers whose values may be spread over lines or joined by commas at will (RFC 3261 section 7.3.1)."""
_MOST_PAIRS = 400
"""Pairs of values weighed for likeness; a flood of headers is paired by place instead."""
_LIKENESS_LENGTH = 400
_SPACE = re.compile(r"\s+")
_SPACE_AROUND = re.compile(r"\s*([;,=<>/])\s*")
_PAIR, _DROP = "pair", "drop"


class Difference(NamedTuple):
    """One thing that changed on the way."""

    where: str
    """A header in its RFC spelling, ``Request-URI``, ``Status-Line``, an SDP line (``sdp c=``, ``sdp a=rtcp``), or a name above."""
    action: Action
    sent: str
    """As it left; empty for what was added."""
    arrived: str
    """As it arrived; empty for what was removed."""


class _Value(NamedTuple):
    text: str
    line: int
    """Which line of its message it stands on."""
    raw: bytes
    """The whole line, without its end."""


def compare(sent: bytes, arrived: bytes) -> tuple[Difference, ...]:
    """Everything that differs, in the order of the message: start line, headers, order, line endings, body."""
    if sent == arrived:
        return ()
    try:
        before, after = sip.parse_datagram(sent), sip.parse_datagram(arrived)
    except WireError:
        return (Difference(MESSAGE, "rewritten", _excerpt(sent), _excerpt(arrived)),)
    out = _start_lines(before, after)
    out += _fields(_headers(before), _headers(after), lambda name: name)
    if _has_bare_line_feeds(before) != _has_bare_line_feeds(after):
        out.append(Difference(LINE_ENDINGS, "reformatted", *("LF" if _has_bare_line_feeds(m) else "CRLF" for m in (before, after))))
    told = LINE_ENDINGS in [difference.where for difference in out]
    out += [difference for difference in _bodies(before.body, after.body) if not (told and difference.where == LINE_ENDINGS)]
    return tuple(out) or (Difference(MESSAGE, "reformatted", _excerpt(sent), _excerpt(arrived)),)


def _start_lines(before: sip.Message, after: sip.Message) -> list[Difference]:
    if before.start_line == after.start_line:
        return []
    if not (before.is_request and after.is_request):
        kind = REQUEST_URI if before.is_request else STATUS_LINE
        return [Difference(kind, "rewritten", before.start_line, after.start_line)]
    parts = ((METHOD, before.method, after.method), (REQUEST_URI, before.uri, after.uri), (VERSION, before.version, after.version))
    return [Difference(where, "rewritten", one or "", other or "") for where, one, other in parts if one != other]


def _headers(message: sip.Message) -> dict[str, list[_Value]]:
    """Values by the header's RFC name, lists taken apart."""
    out: dict[str, list[_Value]] = {}
    for line, header in enumerate(message.headers):
        name = sip.long_name(header.name)
        texts = sip.split_addresses(header.value) if name in _LISTS else [header.value]
        out.setdefault(name, []).extend(_Value(text, line, header.raw.rstrip(b"\r\n")) for text in texts or [header.value])
    return out


def _fields(before: dict[str, list[_Value]], after: dict[str, list[_Value]], where: Callable[[str], str]) -> list[Difference]:
    """Compare named values: rewritten, removed, added, reformatted; then which of those that stayed changed their place."""
    out: list[Difference] = []
    places: list[tuple[int, int, str]] = []
    for name in [*before, *(name for name in after if name not in before)]:
        ours, theirs = before.get(name, []), after.get(name, [])
        texts, others = [value.text for value in ours], [value.text for value in theirs]
        if texts != others and sorted(texts) == sorted(others):
            out.append(Difference(where(name), "reordered", ", ".join(texts), ", ".join(others)))
            continue
        found, pairs = _values(where(name), ours, theirs)
        out += found
        places += [(one.line, other.line, where(name)) for one, other in pairs]
    return out + _moved(places)


def _values(where: str, ours: list[_Value], theirs: list[_Value]) -> tuple[list[Difference], list[tuple[_Value, _Value]]]:
    out: list[Difference] = []
    pairs: list[tuple[_Value, _Value]] = []
    for one, other in _align(ours, theirs):
        if one is None and other is not None:
            out.append(Difference(where, "added", "", other.text))
        elif other is None and one is not None:
            out.append(Difference(where, "removed", one.text, ""))
        elif one is not None and other is not None:
            pairs.append((one, other))
            if one.text != other.text:
                action: Action = "reformatted" if same_meaning(where, one.text, other.text) else "rewritten"
                out.append(Difference(where, action, one.text, other.text))
    if not out and [value.raw for value in ours] != [value.raw for value in theirs]:
        # The same values, written otherwise: name, white space, folding, lists joined or split.
        out.append(Difference(where, "reformatted", _lines(ours), _lines(theirs)))
    return out, pairs


def _lines(values: Sequence[_Value]) -> str:
    return " | ".join(dict.fromkeys(_visible(value.raw) for value in values))


def same_meaning(where: str, one: str, other: str) -> bool:
    """Whether two values of this header or line differ in the way they are written alone."""
    if where == "Content-Length" and one.isdigit() and other.isdigit():
        return int(one) == int(other)
    return _squeeze(one) == _squeeze(other)


def _squeeze(text: str) -> str:
    return _SPACE_AROUND.sub(r"\1", _SPACE.sub(" ", text.strip()))


def _align(ours: list[_Value], theirs: list[_Value]) -> list[tuple[_Value | None, _Value | None]]:
    """Pair values in order so that the pairs are as alike as can be; what finds no like is added or removed."""
    if len(ours) == len(theirs) and (len(ours) == 1 or all(a.text == b.text for a, b in zip(ours, theirs, strict=True))):
        return list(zip(ours, theirs, strict=True))
    if len(ours) * len(theirs) > _MOST_PAIRS:
        common = min(len(ours), len(theirs))
        return [*zip(ours, theirs, strict=False), *((one, None) for one in ours[common:]), *((None, other) for other in theirs[common:])]
    cost = _costs(ours, theirs)
    out: list[tuple[_Value | None, _Value | None]] = []
    row, column = len(ours), len(theirs)
    while row or column:
        step = cost[row][column][1]
        one, other = step != "add", step != _DROP
        row, column = row - one, column - other
        out.append((ours[row] if one else None, theirs[column] if other else None))
    return out[::-1]


def _costs(ours: list[_Value], theirs: list[_Value]) -> list[list[tuple[float, str]]]:
    """The table of an edit distance; to pair two costs 0 (the same) to 1.9 (nothing alike), to drop or add one costs 1."""
    table: list[list[tuple[float, str]]] = [[(float(column), "add") for column in range(len(theirs) + 1)]]
    for row, one in enumerate(ours, 1):
        table.append([(float(row), _DROP)])
        for column, other in enumerate(theirs, 1):
            table[row].append(
                min(
                    (table[row - 1][column - 1][0] + _unlike(one.text, other.text), _PAIR),
                    (table[row - 1][column][0] + 1, _DROP),
                    (table[row][column - 1][0] + 1, "add"),
                    key=lambda option: option[0],
                )
            )
    return table


def _unlike(one: str, other: str) -> float:
    if one == other:
        return 0.0
    return 0.1 + 1.8 * (1 - SequenceMatcher(None, one[:_LIKENESS_LENGTH], other[:_LIKENESS_LENGTH], autojunk=False).ratio())


def _moved(places: list[tuple[int, int, str]]) -> list[Difference]:
    """The fewest names that must have moved to explain the new order: those outside a longest ascending run."""
    ordered = sorted(set(places))
    ends: list[int] = []  # the lowest last place of an ascending run of each length
    last: list[int] = []  # and whose it is
    before: list[int | None] = []
    for index, (_, place, _) in enumerate(ordered):
        length = bisect_right(ends, place)
        before.append(last[length - 1] if length else None)
        ends[length : length + 1] = [place]
        last[length : length + 1] = [index]
    stayed = set()
    at = last[-1] if last else None
    while at is not None:
        stayed.add(at)
        at = before[at]
    moved: dict[str, Difference] = {}
    for index, (was, now, where) in enumerate(ordered):
        if index not in stayed:
            moved.setdefault(where, Difference(where, "reordered", f"line {was + 1}", f"line {now + 1}"))
    return list(moved.values())


def _bodies(before: bytes, after: bytes) -> list[Difference]:
    if before == after:
        return []
    if not before or not after:
        return [Difference(BODY, "removed" if before else "added", _excerpt(before), _excerpt(after))]
    if not before.startswith(b"v="):
        return [Difference(BODY, "rewritten", _excerpt(before), _excerpt(after))]
    ours, theirs = _sections(before), _sections(after)
    out: list[Difference] = []
    for one, other in _paired_sections(ours, theirs):
        if one is None or other is None:
            lines = one or other or {}
            media = next(iter(lines.values()))[0]
            out.append(Difference("sdp m=", "removed" if one else "added", media.text if one else "", "" if one else media.text))
        else:
            out += _fields(one, other, lambda label: f"sdp {label}")
    bare = [sum(line.endswith(b"\n") and not line.endswith(b"\r\n") for line in body.splitlines(keepends=True)) for body in (before, after)]
    if bare[0] != bare[1]:
        out.append(Difference(LINE_ENDINGS, "reformatted", *(f"{count} lines of SDP end with LF alone" for count in bare)))
    return out or [Difference(BODY, "reformatted", _excerpt(before), _excerpt(after))]


_Section = dict[str, list[_Value]]


def _sections(body: bytes) -> list[_Section]:
    """The session's lines, then those of each medium; by label (``c=``, ``a=rtcp``...)."""
    out: list[_Section] = [{}]
    for number, line in enumerate(sdp.parse(body)):
        if line.kind == "m":
            out.append({})
        raw = line.raw.rstrip(b"\r\n")
        out[-1].setdefault(_label(line), []).append(_Value(f"{line.kind}={line.value}" if line.kind else _visible(raw), number, raw))
    return out


def _label(line: sdp.Line) -> str:
    if line.kind == "a":
        return f"a={line.value.partition(':')[0].strip()}"
    return f"{line.kind}=" if line.kind else "line"


def _paired_sections(ours: list[_Section], theirs: list[_Section]) -> list[tuple[_Section | None, _Section | None]]:
    """The session with the session; media in order, by the likeness of their m= lines."""
    ours_by_line = {section["m="][0]: section for section in ours[1:]}
    theirs_by_line = {section["m="][0]: section for section in theirs[1:]}
    media = _align(list(ours_by_line), list(theirs_by_line))
    return [
        (ours[0], theirs[0]),
        *((one and ours_by_line[one], other and theirs_by_line[other]) for one, other in media),
    ]


def _has_bare_line_feeds(message: sip.Message) -> bool:
    return message.line_ending == b"\n" or any(not header.raw.endswith(b"\r\n") for header in message.headers)


def _visible(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace").replace("\r", "\\r").replace("\n", "\\n").replace("\t", "\\t")


def _excerpt(data: bytes) -> str:
    text = _visible(data[:200])
    return f"{text}... ({len(data)} bytes)" if len(data) > 200 else text
