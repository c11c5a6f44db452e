"""How a range of ports is judged: rounds, guides and chance. No port is named open without a packet, none blocked without proof.

Ports are visited in a shuffled order, so that a burst of loss does not look like a hole. A port that answered once is open, for good. A
port that did not is tried again, alone with its like, and among them ride *guides*: ports already known to be open, or copies on a
contacted pair. The guides measure what the path loses in that very round. A missing port is blocked when the losses measured no longer
explain all its failures; a whole row of missing neighbors needs less, because chance does not pick neighbors out of a shuffled order.
When the guides die too, the round proves nothing and the next one is slower: a router that throttles is not a router that blocks.
"""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from edgecheck.wire import ports as port_ranges

MOST_ROUNDS = 14
HOLE_BY_CHANCE = 1e-8
"""Highest chance that random loss alone explains a single missing port: over 10,001 ports one false hole in ten thousand runs."""
ROW = 8
"""Missing neighbors that count as a row."""
ROW_BY_CHANCE = 1e-3
"""The same bound for each port of a row."""
GUIDES = 200
"""Known-good ports that ride with a round."""
HEALTHY = 0.7
"""A round in which fewer of the guides arrived than this proves nothing."""
ALIVE = 0.3
"""With fewer guides than this the path itself is down: even a sample that is silent throughout says nothing."""
CALM = 0.95
"""With fewer guides than this the round counts, but the next one is slower."""
UNPACED_RETRY = 4000
"""Probes a second of the second round, when the first was unpaced and lost something."""
SLOWEST = 100
SAMPLE = 64
"""When nothing at all arrives: so many ports, tried again slowly, stand for all. Their silence has no random cause."""
SAMPLE_PACE = 400
SAMPLE_ROUNDS = 2


@dataclass
class Round:
    """What came of sending one packet to each port asked and each guide."""

    arrived: set[int]
    guides_sent: int
    guides_arrived: int
    failed: int = 0
    """Packets that a system refused to send: the round proves nothing."""

    @property
    def share(self) -> float:
        return self.guides_arrived / self.guides_sent if self.guides_sent else 0.0

    @property
    def healthy(self) -> bool:
        return not self.failed and self.share >= HEALTHY


Fire = Callable[[list[int], list[int], int], Awaitable[Round]]
"""(ports asked, guides, probes a second) -> what came of it."""


@dataclass
class Tally:
    """One direction: what is known of each port."""

    ports: list[int]
    open: set[int] = field(default_factory=set)
    blocked: set[int] = field(default_factory=set)
    chance: dict[int, float] = field(default_factory=dict)
    """Chance that loss alone explains all failures of this port so far."""
    sent: int = 0
    guides_sent: int = 0
    guides_arrived: int = 0
    slowed_to: int | None = None
    """Probes a second that the path took, where it did not take the pace asked for."""

    def missing(self) -> list[int]:
        return [port for port in self.ports if port not in self.open and port not in self.blocked]

    def count_failures(self, tried: Sequence[int], lost: float) -> None:
        """A healthy round in which each silent port was silent with chance ``lost``."""
        for port in tried:
            if port not in self.open:
                self.chance[port] = self.chance.get(port, 1.0) * lost
        silent = [port for port in self.ports if port not in self.open]
        for low, high in port_ranges.compress(silent):
            bound = ROW_BY_CHANCE if high - low + 1 >= ROW else HOLE_BY_CHANCE
            self.blocked |= {port for port in range(low, high + 1) if self.chance.get(port, 1.0) <= bound}


def lost_share(arrived: int, sent: int) -> float:
    """Laplace's rule: a packet's chance of being lost, judged by its guides."""
    return (max(0, sent - arrived) + 1) / (sent + 2)


async def judge_range(tally: Tally, fire: Fire, pace: int, dice: random.Random, *, hopeless: bool = False) -> None:
    """Rounds until every port is open or blocked, or the rounds are used up: what is left then is undecided.

    ``hopeless``: no control flow could be set up, so whatever stays silent is undecided in the end; a sample comes first, and every
    port is tried only if something of it arrives.
    """
    missing = tally.missing()
    if not missing:
        return
    if hopeless:
        await _sample(tally, fire, pace, dice)
        return
    first = await fire(missing, [], pace)
    tally.sent += len(missing)
    tally.open |= first.arrived
    _count_first(tally, missing, first)
    await judge_rest(tally, fire, UNPACED_RETRY if pace == 0 else max(SLOWEST, pace // 2), dice)


async def judge_rest(tally: Tally, fire: Fire, pace: int, dice: random.Random) -> None:
    """The rounds for what is still missing, with known-good ports as guides; a sample where there are none."""
    if not tally.open:
        await _sample(tally, fire, pace, dice)
        return
    for turn in range(MOST_ROUNDS):
        missing = tally.missing()
        if not missing:
            return
        known = sorted(tally.open)
        guides = dice.sample(known, min(GUIDES, len(known)))
        result = await fire(missing, guides, pace)
        tally.sent += len(missing) + len(guides)
        tally.guides_sent += result.guides_sent
        tally.guides_arrived += result.guides_arrived
        found = result.arrived.intersection(missing)
        tally.open |= result.arrived
        if result.healthy:
            tally.count_failures(missing, lost_share(result.guides_arrived, result.guides_sent))
            if turn == 0 and len(missing) > ROW and len(found) * 2 > len(missing):
                tally.slowed_to = pace  # most of the missing came once it went slower: it was the pace that had cost them
        if result.share < CALM:
            tally.slowed_to = pace = max(SLOWEST, pace // 2)


def _count_first(tally: Tally, tried: list[int], result: Round) -> None:
    """No port was known to be good yet: the guides are the ports themselves, or the control of the contacted pair."""
    if result.failed:
        return
    share = len(result.arrived) / len(tried)
    if share >= HEALTHY:
        tally.count_failures(tried, min(0.5, 2 * (1 - share) + 1 / (len(tried) + 2)))
    elif result.healthy:
        tally.guides_sent += result.guides_sent
        tally.guides_arrived += result.guides_arrived
        tally.count_failures(tried, lost_share(result.guides_arrived, result.guides_sent))


async def _sample(tally: Tally, fire: Fire, pace: int, dice: random.Random) -> None:
    """Not one packet arrived. Slow down before judging: a sample of ports, twice; if they stay silent, all are blocked."""
    tally.blocked.clear()
    for _ in range(SAMPLE_ROUNDS):
        sample = sorted(dice.sample(tally.ports, min(SAMPLE, len(tally.ports))))
        result = await fire(sample, [], SAMPLE_PACE if pace == 0 else min(pace, SAMPLE_PACE))
        tally.sent += len(sample)
        tally.guides_sent += result.guides_sent
        tally.guides_arrived += result.guides_arrived
        tally.open |= result.arrived
        if result.failed or (result.guides_sent and result.share < ALIVE):
            return
    if tally.open:
        # It was the pace: start again, as slowly as what worked.
        tally.slowed_to = SAMPLE_PACE
        tally.chance.clear()
        await judge_range(tally, fire, SAMPLE_PACE, dice)
    elif len(tally.ports) * (SAMPLE_ROUNDS + 1) >= SAMPLE:
        tally.blocked = set(tally.ports)
    else:
        for _ in range(MOST_ROUNDS):  # few ports: every silence is weighed by the control alone
            missing = tally.missing()
            if not missing or tally.open:
                return
            result = await fire(missing, [], SAMPLE_PACE)
            tally.sent += len(missing)
            tally.open |= result.arrived
            if result.healthy:
                tally.count_failures(missing, lost_share(result.guides_arrived, result.guides_sent))
