"""Which blocked ports belong together, and which of them stand for the others. Pure."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from edgecheck.checks.port_forwarding.paired import MOST_PORTS
from edgecheck.wire import ports as port_ranges
from edgecheck.wire.ports import Ranges

MOST_EXAMINED = MOST_PORTS - 1
"""Ports that are examined: what is weighed in one train, beside a port that no rule names."""
MOST_BESIDE = 8
"""Ports at which the primary address asks: fewer than any protection against scans counts."""
_LEAST_OF_ONE_PARITY = 4
"""Every other port, so many times, is no chance."""


class Stretch(NamedTuple):
    """Blocked ports without a gap, or every other one."""

    low: int
    high: int
    step: int = 1

    @property
    def members(self) -> range:
        return range(self.low, self.high + 1, self.step)


def stretches(blocked: Ranges) -> list[Stretch]:
    """In order. Every other port from one to another is one stretch: so look rules for RTP without RTCP."""
    out: list[Stretch] = []
    singles: list[int] = []

    def end_singles() -> None:
        if len(singles) >= _LEAST_OF_ONE_PARITY:
            out.append(Stretch(singles[0], singles[-1], 2))
        else:
            out.extend(Stretch(port, port) for port in singles)
        singles.clear()

    for low, high in blocked:
        if singles and low - singles[-1] != 2:
            end_singles()
        if low == high:
            singles.append(low)
        else:
            end_singles()
            out.append(Stretch(low, high))
    end_singles()
    return out


def shifts(moved: Mapping[int, int]) -> tuple[tuple[int, int, int], ...]:
    """(first, last, where the first arrives), for neighbors that are moved by as much."""
    out: list[tuple[int, int, int]] = []
    for port, there in sorted(moved.items()):
        if out and port == out[-1][1] + 1 and there - port == out[-1][2] - out[-1][0]:
            out[-1] = (out[-1][0], port, out[-1][2])
        else:
            out.append((port, port, there))
    return tuple(out)


def representatives(found: Collection[Stretch], most: int = MOST_EXAMINED) -> list[int]:
    """The middle of each stretch, the longest first; then their ends."""
    longest = sorted(found, key=lambda stretch: -len(stretch.members))[:most]
    ports: dict[int, None] = {}
    for place in range(3):
        for stretch in longest:
            members = stretch.members
            if len(ports) < most:
                ports.setdefault((members[len(members) // 2], members[0], members[-1])[place])
    return sorted(ports)


def beside(found: Collection[Stretch], chosen: Collection[int]) -> list[int]:
    """Others of the stretches in which one was chosen: both ends of each, where rules begin and end, then evenly between. The first of
    every stretch come first."""
    mine = [[one for one in stretch.members if one not in chosen] for stretch in found if any(port in stretch.members for port in chosen)]
    out: dict[int, None] = {}
    for eighths in (0, 8, 4, 2, 6, 1, 3, 5, 7):
        for members in filter(None, mine):
            if len(out) < MOST_BESIDE:
                out.setdefault(members[(len(members) - 1) * eighths // 8])
    return list(out)


def shape(stretch: Stretch, whole: tuple[int, int], open_ports: Collection[int]) -> str:
    """What a rule must look like that leaves out this stretch alone, as a clause; empty where nothing shows it."""
    low, high = whole
    if stretch.step == 2:
        between = range(stretch.low + 1, stretch.high, 2)
        return f"the rule lets in {'even' if stretch.low % 2 else 'odd'} ports alone" if all(port in open_ports for port in between) else ""
    below, above = stretch.low - 1 in open_ports, stretch.high + 1 in open_ports
    if below and stretch.high == high:
        return f"the rule ends at {stretch.low - 1}"
    if above and stretch.low == low:
        return f"the rule begins at {stretch.high + 1}"
    return f"the rule leaves out {port_ranges.text(((stretch.low, stretch.high),))}" if below and above else ""


def text(found: Collection[Stretch]) -> str:
    """``10001-10099 (odd ports)``, ``10060-10099``."""
    plain = port_ranges.compress(port for stretch in found if stretch.step == 1 for port in stretch.members)
    told = [f"{stretch.low}-{stretch.high} ({'odd' if stretch.low % 2 else 'even'} ports)" for stretch in found if stretch.step == 2]
    return ", ".join(filter(None, (port_ranges.text(plain) if plain else "", *told)))
