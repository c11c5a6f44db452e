"""Mapping and filtering as a diagram: which public port each destination saw, and who got an answer in."""

from typing import NamedTuple

from edgecheck.model.shapes import number, rows, text
from edgecheck.model.verdict import Report
from edgecheck.report.html.shapes import facts

_MOST = 6


class Mapping(NamedTuple):
    """One destination."""

    local: str
    remote: str
    mapped: str
    same: bool
    """The public endpoint is the one that the socket's first destination saw."""
    y: int


class Entry(NamedTuple):
    """One sender to a port that only one destination was sent to."""

    who: str
    gets_in: bool | None


class Diagram(NamedTuple):
    mapping: str
    filtering: str
    local: str
    mapped: str
    mappings: tuple[Mapping, ...]
    entries: tuple[Entry, ...]
    height: int
    box: str
    """What stands between, in a word."""


def figure(report: Report) -> Diagram | None:
    """The diagram; None where nothing was measured."""
    given = facts(report, "nat-behavior")
    local = text(given, "local_address")
    if not local:
        return None
    mappings: list[Mapping] = []
    first: dict[str, str] = {}
    for row in rows(given, "mappings"):
        own = text(row, "local")
        mapped = text(row, "mapped")
        if own != local or not mapped or len(mappings) >= _MOST:
            continue
        same = first.setdefault(own, mapped) == mapped
        mappings.append(Mapping(own, text(row, "remote"), mapped, same, 40 + 46 * len(mappings)))
    entries = _entries(report)
    height = 40 + 46 * max(len(mappings), 1)
    behind = given.get("behind_nat")
    box = "NAT" if behind is True else "no NAT" if behind is False else "NAT?"
    words = [text(given, name) or "could not be told" for name in ("mapping", "filtering")]
    return Diagram(words[0], words[1], local, text(given, "mapped_address"), tuple(mappings), entries, height, box)


def _entries(report: Report) -> tuple[Entry, ...]:
    given = facts(report, "nat-behavior")
    test = given.get("filter_test")
    filtering = text(given, "filtering")
    if not isinstance(test, dict) or not filtering:
        return ()
    control = number(test, "control")
    open_ = {"endpoint-independent": (True, True), "address-dependent": (True, False), "address-and-port-dependent": (False, False)}
    same, other = open_.get(filtering, (None, None))
    senders = (
        ("the address and port that was contacted", True if control else None),
        ("the same address, another port", same),
        ("another address", other),
    )
    return tuple(Entry(who, gets_in) for who, gets_in in senders)
