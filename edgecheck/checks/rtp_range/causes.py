"""Why ports are not reached, stretch by stretch: what holds for the ports examined holds for the stretch that they stand for. Pure."""

from typing import NamedTuple

from edgecheck.checks.port_forwarding.judge import causes, plain, telling, why
from edgecheck.checks.port_forwarding.observation import ForwardingObservation, PortRow
from edgecheck.checks.rtp_range.observation import RtpObservation
from edgecheck.checks.rtp_range.stretches import Stretch, shape, stretches, text
from edgecheck.wire import ports as port_ranges
from edgecheck.wire.ports import Ranges


class Blocked(NamedTuple):
    """Blocked stretches of which the same is to be said."""

    ranges: Ranges
    fits: tuple[str, ...] = ()
    """Every cause that fits, the likeliest first; none where causes were not looked for."""
    rows: tuple[PortRow, ...] = ()
    """The ports that were examined."""
    shape: str = ""
    """What the rule looks like, as a clause."""
    over_tcp: tuple[int, ...] = ()
    """Ports of these that are let in over TCP."""
    left_out: bool = False
    """Others were examined, and none of these."""

    @property
    def clause(self) -> str:
        """The causes in brief: ``no rule; the rule ends at 10099``. Empty where none was looked for anywhere."""
        words = plain(self.fits) if self.fits else "cause not looked for" * self.left_out
        return "; ".join(filter(None, (words, self.shape if self.fits == ("no-rule",) else "")))

    @property
    def text(self) -> str:
        """The ports."""
        return text(stretches(self.ranges))


def blocked_inward(seen: RtpObservation) -> list[Blocked]:
    """All of ``inbound_blocked``: stretches with the same causes together, those that nobody has examined last."""
    if not seen.inbound_blocked:
        return []
    moved = {port for low, high, _ in seen.inbound_moved for port in range(low, high + 1)}
    rest = port_ranges.compress(set(port_ranges.expand(seen.inbound_blocked)) - moved)
    first = [Blocked(port_ranges.compress(moved), ("wrong-port",))] if moved else []
    return [*first, *_others(seen, rest)] if rest else first


def _others(seen: RtpObservation, blocked: Ranges) -> list[Blocked]:
    examined, found = seen.examined, stretches(blocked)
    if examined is None:
        return [Blocked(blocked)]
    groups: dict[tuple[str, ...], list[Stretch]] = {}
    for stretch in found:
        groups.setdefault(_fitting(seen, examined, stretch), []).append(stretch)
    ordered = sorted(groups.items(), key=lambda group: not group[0])
    return [_together(seen, examined, fits, members) for fits, members in ordered]


def _rows(examined: ForwardingObservation, stretch: Stretch, transport: str = "udp") -> list[PortRow]:
    return [row for row in examined.ports if row.transport == transport and row.port in stretch.members]


def _fitting(seen: RtpObservation, examined: ForwardingObservation, stretch: Stretch) -> tuple[str, ...]:
    """What fits any of the ports examined: where they differ, it is one for these and another for those."""
    rows = [row for row in _rows(examined, stretch) if row.state in ("blocked", "refused")]
    found = dict.fromkeys(cause for row in rows for cause in causes(examined, row))
    if seen.inbound_open and len(found) > 1:
        found.pop("carrier-grade-nat", None)  # other ports of this address are let in
    return tuple(found)


def _together(seen: RtpObservation, examined: ForwardingObservation, fits: tuple[str, ...], members: list[Stretch]) -> Blocked:
    ranges = port_ranges.compress(port for stretch in members for port in stretch.members)
    opened = _open(seen)
    shapes = [shape(stretch, seen.range, opened) for stretch in members]
    return Blocked(
        ranges,
        fits,
        tuple(row for stretch in members for row in _rows(examined, stretch)),
        "; ".join(shapes) if fits and all(shapes) and len(shapes) <= 2 else "",
        tuple(row.port for stretch in members for row in _rows(examined, stretch, "tcp")),
        left_out=not any(_rows(examined, stretch) for stretch in members),
    )


def _open(seen: RtpObservation) -> set[int]:
    """Ports that are known to receive."""
    others = (seen.inbound_blocked, seen.inbound_undecided, seen.busy)
    return set(range(seen.range[0], seen.range[1] + 1)).difference(*map(port_ranges.expand, others)) if seen.inbound_open else set()


def sentence(seen: RtpObservation, group: Blocked) -> str:
    """``does not arrive: the router has no rule that lets it in; the rule ends at 10099``; for a group with causes."""
    if group.fits == ("wrong-port",):
        first, _, there = seen.inbound_moved[0]
        return f"arrives at this machine, but at other ports of it ({first} at {there}): the router's rule changes the ports"
    assert seen.examined is not None
    each = _each(seen.examined, group)
    if len(set(each.values())) > 1 and all(len(fits) == 1 for fits in each.values()):
        told = [
            f"{', '.join(str(port) for port, fits in each.items() if fits == one)}: {plain(one)}" for one in dict.fromkeys(each.values())
        ]
        return f"does not arrive, and not for one cause throughout; of the ports examined {'; '.join(told)}"
    words = why(seen.examined, group.rows[0], group.fits).rstrip(".")
    if group.fits == ("no-rule",):
        words += f"; {group.shape}" if group.shape else ""
    elif "no-rule" in group.fits and group.shape:
        words += f" (as if {group.shape})"
    if set(port_ranges.expand(group.ranges)) <= set(port_ranges.expand(seen.return_blocked)) and "provider-drops" in group.fits:
        words += "; answers to what they send do not come back either, which a missing rule alone does not explain"
    if group.over_tcp and "no-rule" in group.fits:
        words += "; over TCP it is let in, so the rule seems to be for TCP alone"
    return words


def apart(seen: RtpObservation, group: Blocked) -> tuple[str, ...]:
    """What would tell the causes apart, where several fit."""
    if seen.examined is None or len(group.fits) < 2:
        return ()
    return telling(seen.examined, group.rows[0], group.fits)


def differing(seen: RtpObservation, group: Blocked) -> tuple[str, ...]:
    """Evidence: which ports were examined, and which causes fit each, where they are not alike."""
    if seen.examined is None or not group.rows:
        return ()
    each = _each(seen.examined, group)
    if len(set(each.values())) > 1:
        return (f"examined: {'; '.join(f'{port}: {plain(fits)}' for port, fits in each.items())}",)
    return (f"examined, for all of them: {', '.join(map(str, each))}",)


def _each(examined: ForwardingObservation, group: Blocked) -> dict[int, tuple[str, ...]]:
    """Port that was examined -> every cause that fits it."""
    return {row.port: causes(examined, row) for row in group.rows}
