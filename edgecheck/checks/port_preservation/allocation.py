"""From remapped ports to the rule by which the NAT picks them (RFC 4787 section 4.2). Pure."""

from itertools import pairwise

from edgecheck.checks.port_preservation.observation import PortRow

SEQUENTIAL_STEP = 8
"""A port allocated this little above the one before is "the next free one": others on the network allocate too."""
ENOUGH = 6
"""Remapped ports needed to tell an allocation rule."""
PARITY_ENOUGH = 12
"""At random, twelve ports keep their parity once in 4,096."""


def allocation(told: list[PortRow], fresh: list[PortRow]) -> str | None:
    """The rule by which the NAT picks ports; ``fresh`` in the order sent. UDP decides where it was tested: one rule for the NAT."""
    rows = [row for row in told if row.transport == "udp"] or told
    if not rows:
        return None
    moved = [row for row in rows if row.mapped != row.local]
    if not moved or (len(moved) * 8 <= len(rows) and len(rows) >= ENOUGH):
        return "preserved"  # the odd one out is taken by another device: judged by itself
    new = [row.mapped or 0 for row in fresh if row.mapped != row.local]
    if len(new) < ENOUGH:
        return None
    steps = [later - earlier for earlier, later in pairwise(new)]
    if sum(0 < abs(step) <= SEQUENTIAL_STEP for step in steps) * 5 >= len(steps) * 4:
        return "sequential"
    both = [*moved, *(row for row in fresh if row.mapped != row.local)]
    if any((row.mapped or 0) % 2 != row.local % 2 for row in both):
        return "random"
    return "parity" if len(both) >= PARITY_ENOUGH else None
