"""The line of a TOML text on which a key stands.

``tomllib`` forgets lines; a person who is told "unknown field `prots`" wants to know where. This reads just enough of the
form of TOML to find a key that the parser has already accepted, and says ``None`` rather than a wrong line.
"""

import re

_STEP = re.compile(r"\.([A-Za-z0-9_-]+)|\[(\d+)\]")
_TABLE = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.\s-]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"\s*\"?([A-Za-z0-9_-]+)\"?\s*=")


def line_of(text: str, path: str) -> int | None:
    """The line, from 1, where ``$.ports[2].transport`` stands; that of its nearest parent where it does not stand at all."""
    steps = [key or int(index) for key, index in _STEP.findall(path)]
    best: int | None = None
    for depth in range(1, len(steps) + 1):
        line = _find(text.split("\n"), steps[:depth])
        if line is None:
            break
        best = line
    return best


def _find(lines: list[str], steps: list[str | int]) -> int | None:
    """Where the value at these steps begins."""
    if len(steps) == 1:
        return _key_line(lines, 0, str(steps[0])) or _header(lines, str(steps[0]), 0)
    if isinstance(steps[1], int):
        start = _header(lines, str(steps[0]), steps[1], array=True)
        if start is None:  # written as an array: rtp = [1, 2], ports = [{...}, ...]
            start = _element(lines, str(steps[0]), steps[1])
            if start is None or len(steps) == 2:
                return start
            return start if re.search(rf"[{{,]\s*\"?{re.escape(str(steps[2]))}\"?\s*=", lines[start - 1]) else None
    else:
        start = _header(lines, str(steps[0]), 0)
        steps = [steps[0], 0, *steps[1:]]
    if start is None or len(steps) == 2:
        return start
    return _key_line(lines, start, str(steps[2]))


def _key_line(lines: list[str], start: int, key: str) -> int | None:
    """The line of ``key =`` in the table that begins after line ``start``."""
    for number, line in enumerate(lines[start:], start + 1):
        if _TABLE.match(line):
            return None
        match = _KEY.match(line)
        if match and match[1] == key:
            return number
    return None


def _header(lines: list[str], table: str, index: int, array: bool = False) -> int | None:
    """The line of the ``index``-th ``[table]`` or ``[[table]]``."""
    for number, line in enumerate(lines, 1):
        match = _TABLE.match(line)
        if match and match[2] == table and (match[1] == "[[" or not array):
            if index == 0:
                return number
            index -= 1
    return None


def _element(lines: list[str], key: str, index: int) -> int | None:
    """The line of an element of an array: exact where the array stands on one line or has one element a line."""
    start = _key_line(lines, 0, key)
    if start is None:
        return None
    value = lines[start - 1].split("=", 1)[1].strip()
    if value != "[" and not value.startswith("[ #") and not value.startswith("[#"):
        return start
    for number, line in enumerate(lines[start:], start + 1):
        content = line.strip()
        if not content or content.startswith("#"):
            continue
        if content.startswith("]"):
            return None
        if index == 0:
            return number
        index -= 1
    return None
