"""Whether what was seen of a port proves anything: arrivals that need no rule, silence of a prober that reaches nobody."""

import msgspec

from edgecheck.checks.port_forwarding.here import ARRIVED
from edgecheck.checks.port_forwarding.observation import Canaries, PortRow
from edgecheck.checks.unsolicited import lets_anyone_in, remembered
from edgecheck.model.check import Network


def wholly_silent(rows: list[PortRow], transport: str) -> bool:
    """Some port of this transport is blocked, and none of them shows that the prober reaches us at all."""
    mine = [row for row in rows if row.transport == transport]
    reached = (bool(row.arrived or row.lands_on or row.here in ARRIVED) or row.state in ("refused", "answered") for row in mine)
    return any(row.state == "blocked" for row in mine) and not any(reached)


def doubt(row: PortRow, reason: str, states: tuple[str, ...] = ("blocked",)) -> PortRow:
    return msgspec.structs.replace(row, state="undecided", reason=reason) if row.state in states else row


def weigh(net: Network, row: PortRow, canaries: Canaries, trusted: bool) -> PortRow:
    """Whether something else than a rule explains the arrival."""
    if row.state != "forwarded" and row.lands_on is None and not (row.state == "answered" and row.answered_here):
        return row
    if canaries.bare_reached and not trusted:
        reason = (
            "an earlier run contacted the alternate address, and this edge lets it in on any port now: "
            "run again ten minutes after the last run"
        )
        return _doubted(row, reason)
    if canaries.exposed:
        return row  # everything is let in, used or not
    used = net.memory.sent_from(row.lands_on or row.port, row.transport)  # it may have come by the mapping of that one
    loose = lets_anyone_in(canaries.mapped_reached)
    if canaries.mapped_reached is not False and remembered(used):
        reason = f"the port sent packets {used:.0f} s ago, and {loose}: run again ten minutes after the last run"
        return _doubted(row, reason)
    if canaries.mapped_reached or (canaries.mapped_reached is None and row.transport == "udp"):
        # What other programs have sent from it (a PBX that was just stopped) is known to nobody here.
        reason = f"it arrives, but {loose}, and another program may have used it: no rule is proved"
        return _doubted(row, reason)
    return row


def _doubted(row: PortRow, reason: str) -> PortRow:
    return msgspec.structs.replace(row, state="undecided", reason=reason, lands_on=None)
