"""How a range of ports is judged: rounds, guides and chance. No port is named open without a packet, none blocked without proof.

Ports are visited in a shuffled order, so that a burst of loss does not look like a hole. A port that answered once is open, for good. A
port that did not is tried again, alone with its like, and among them ride *guides*: ports already known to be open, or copies on a
contacted pair. The guides measure what the path loses in that very round. A missing port is blocked when the losses measured no longer
explain all its failures; in a whole row of missing neighbors less will do, because chance does not pick neighbors out of a shuffled
order. But not much less: an open port that was silent by bad luck may stand beside the row, or in it.
When the guides die too, the round proves nothing and the next one is slower: a router that throttles is not a router that blocks. Where
slower is no better, it is the path that loses packets, and the pace is taken up again.

A missing port is a new flow to every router each time it is asked, for what was dropped leaves no trace. A guide that has arrived before is
a flow that the router knows, and passes where new ones are dropped: when the table of connections is full, or so many new ones a second are
let in. So guides are *fresh* as far as can be: sent as a flow that the router has not seen. What the fresh ones lose is what the missing
ones lose at least; where none are left, the loss of those before stands. And what a first round's silence is worth, in which nothing was
known to be open, is told by the second: by how many ports that are open after all had been silent in the first.
"""

import math
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from edgecheck.model.evidence import WRONG_BY_CHANCE
from edgecheck.wire import ports as port_ranges

MOST_ROUNDS = 14
HOLE_BY_CHANCE = 1e-9
"""Highest chance that random loss alone explains a single missing port: over 10,001 ports one false hole in a hundred thousand runs."""
ROW = 8
"""Missing neighbors that count as a row: neighbors among the ports that are tested together."""
ROW_BY_CHANCE = WRONG_BY_CHANCE
"""The same bound for each port of a row."""
GUIDES = 320
"""Known-good ports that ride with a round: where none of so many is lost, the second failure of a row's ports settles it."""
HEALTHY = 0.7
"""A round in which fewer of the guides arrived than this proves nothing."""
ALIVE = 0.3
"""With fewer guides than this the path itself is down: even a sample that is silent throughout says nothing."""
FEW = 8
"""With fewer fresh guides than this nothing is said of new flows."""
CALM = 0.95
"""With fewer guides than this the round counts, but the next one is slower."""
HELPED = 0.08
"""So many more of the guides must arrive at half the pace, or it was not the pace that had cost them."""
SIGMAS = 5.0
"""How far the losses at two paces must lie apart before the pace is blamed: chance does it once in three million."""
UNPACED_RETRY = 4000
"""Probes a second of the next round, when one was unpaced and lost something that the pace may be to blame for."""
SLOWEST = 100
DEAD_ROUNDS = 4
"""Rounds in a row, each slower than the one before, in which no new flow passed."""
SAMPLE = 64
"""When nothing at all arrives: so many ports, tried again slowly, stand for all. Their silence has no random cause."""
SAMPLE_PACE = 400
SAMPLE_ROUNDS = 2
MANY = 8 * SAMPLE
"""With more missing ports than this it pays to learn from a sample whether the pace is to blame."""
PACE_TO_BLAME = 0.25
"""Of silent ports asked again slowly so many arrive, where it was the pace that had silenced them."""
GUIDES_OF_SAMPLE = 32
"""Fresh guides are few where few ports are open: a sample must not use them up."""


@dataclass
class Round:
    """What came of sending one packet to each port asked and each guide."""

    arrived: set[int]
    guides_sent: int
    guides_arrived: int
    failed: int = 0
    """Packets that a system refused to send: the round proves nothing."""
    fresh_sent: int = 0
    """Of the guides those that were new flows."""
    fresh_arrived: int = 0

    @property
    def share(self) -> float:
        every = self.guides_arrived / self.guides_sent if self.guides_sent else 0.0
        return min(every, self.fresh_arrived / self.fresh_sent) if self.fresh_sent >= FEW else every

    @property
    def healthy(self) -> bool:
        return not self.failed and self.share >= HEALTHY


Fire = Callable[[list[int], list[int], int], Awaitable[Round]]
"""(ports asked, guides, probes a second) -> what came of it."""
Futile = Callable[[], Awaitable[bool]]
"""Whether it is known that no further round can tell anything."""


@dataclass
class Tried:
    """A round as the tally keeps it, to compare paces."""

    pace: float
    """Infinite where it was unpaced."""
    ports: Sequence[int]
    """The guides; where there were none, the ports asked."""
    arrived: set[int]


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
    rounds: list[Tried] = field(default_factory=list)
    fresh_sent: int = 0
    fresh_arrived: int = 0
    unweighed: tuple[Tried, float] | None = None
    """The first round and what its control lost, until it is known how new flows fared in it."""

    @property
    def slowed_to(self) -> int | None:
        """Probes a second that the path took, where it lost more at a higher pace and chance does not explain it."""
        paces: dict[float, tuple[int, int]] = {}
        for one in self.rounds:
            good = self.open.intersection(one.ports)
            sent, arrived = paces.get(one.pace, (0, 0))
            paces[one.pace] = sent + len(good), arrived + len(good & one.arrived)
        best: float | None = None
        for pace in sorted(paces, reverse=True):
            if best is None or _better(paces[pace], paces[best]):
                best = pace
        return int(best) if best is not None and best < max(paces) else None

    @property
    def starved(self) -> bool:
        """Ports are left that could not be told, and new flows to open ports were lost as well."""
        return bool(self.missing()) and self.fresh_sent >= FEW and self.fresh_arrived < HEALTHY * self.fresh_sent

    def missing(self) -> list[int]:
        return [port for port in self.ports if port not in self.open and port not in self.blocked]

    def count_failures(self, tried: Sequence[int], lost: float) -> None:
        """A healthy round in which each silent port was silent with chance ``lost``."""
        for port in tried:
            if port not in self.open:
                self.chance[port] = self.chance.get(port, 1.0) * lost
        silent = [place for place, port in enumerate(self.ports) if port not in self.open]
        for first, last in port_ranges.compress(silent):
            bound = ROW_BY_CHANCE if last - first + 1 >= ROW else HOLE_BY_CHANCE
            self.blocked |= {port for port in self.ports[first : last + 1] if self.chance.get(port, 1.0) <= bound}

    def weigh(self, tried: Sequence[int], result: Round, *, every: bool = False) -> None:
        """Count a healthy round; and the first one, if that still waits and ``every`` port was asked that had been silent in it."""
        lost = lost_share(result.guides_arrived, result.guides_sent)
        sent, arrived = (result.fresh_sent, result.fresh_arrived) if result.fresh_sent >= FEW else (self.fresh_sent, self.fresh_arrived)
        lost = max(lost, 1 - arrived / sent) if sent else lost
        if every and self.unweighed is not None and result.fresh_sent >= FEW:
            first, lost_then = self.unweighed
            self.unweighed = None
            good = self.open.intersection(first.ports)
            silent_then = len(good - first.arrived) / (1 - lost)  # those that were lost again are not known yet
            if len(good) >= FEW:
                self.count_failures(first.ports, max(lost_then, silent_then / (silent_then + len(good & first.arrived))))
        self.count_failures(tried, lost)


def lost_share(arrived: int, sent: int) -> float:
    """Laplace's rule: a packet's chance of being lost, judged by its guides."""
    return (max(0, sent - arrived) + 1) / (sent + 2)


def _better(slow: tuple[int, int], fast: tuple[int, int]) -> bool:
    """Whether a larger share arrived of the one (sent, arrived) than of the other, and not by chance."""
    if not slow[0] or not fast[0]:
        return False
    both = (slow[1] + fast[1]) / (slow[0] + fast[0])
    spread = math.sqrt(both * (1 - both) * (1 / slow[0] + 1 / fast[0]))
    return slow[1] / slow[0] - fast[1] / fast[0] > SIGMAS * spread


async def judge_range(
    tally: Tally, fire: Fire, pace: int, dice: random.Random, *, hopeless: bool = False, futile: Futile | None = None
) -> None:
    """Rounds until every port is open or blocked, or the rounds are used up: what is left then is undecided.

    ``hopeless``: no control flow could be set up, so whatever stays silent is undecided in the end; a sample comes first, and every
    port is tried only if something of it arrives. ``futile``: as in ``judge_rest``.
    """
    if not tally.missing():
        return
    if hopeless:
        sample = await _sample(tally, fire, pace, dice)
        if sample is None or not sample.arrived:
            return
    missing = tally.missing()
    if missing:
        first = await _fire(tally, fire, missing, [], pace)
        _count_first(tally, missing, first)
    innocent = await _pace_is_innocent(tally, fire, pace, dice)
    await judge_rest(tally, fire, pace if innocent else _slower(pace), dice, futile=futile)


def _slower(pace: int) -> int:
    return max(SLOWEST, pace // 2) if pace else UNPACED_RETRY


async def _pace_is_innocent(tally: Tally, fire: Fire, pace: int, dice: random.Random) -> bool:
    """Whether ports that were silent stay so when a sample of them is asked slowly, while ports known to be open answer."""
    missing, known = tally.missing(), sorted(tally.open)
    if len(missing) < MANY or len(known) < FEW:
        return False
    sample = missing[:: len(missing) // SAMPLE]  # spread over all that is missing
    result = await _fire(tally, fire, sample, dice.sample(known, min(GUIDES_OF_SAMPLE, len(known))), _gentle(pace))
    if result.healthy:
        tally.weigh(sample, result)
    return result.healthy and len(result.arrived.intersection(sample)) <= PACE_TO_BLAME * len(sample)


async def judge_rest(tally: Tally, fire: Fire, pace: int, dice: random.Random, *, futile: Futile | None = None) -> None:
    """The rounds for what is still missing, with known-good ports as guides.

    After a round that proved nothing a sample is asked first, where much is missing. ``futile``: asked after so many rounds in a row in
    which no new flow passed; they end where it says so.
    """
    if not tally.open:
        await _judge_silence(tally, fire, pace, dice)
    faster, share_before, steady, healthy, dead = 0, 0.0, False, True, 0
    for _ in range(MOST_ROUNDS):
        missing = tally.missing()
        if not missing or not tally.open:
            return
        asked = missing if healthy or len(missing) < MANY else dice.sample(missing, SAMPLE)
        known = sorted(tally.open)
        guides = dice.sample(known, min(GUIDES, len(known)))
        result = await _fire(tally, fire, asked, guides, pace)
        healthy = result.healthy
        dead = 0 if result.fresh_arrived or not result.fresh_sent else dead + 1
        if futile is not None and dead == DEAD_ROUNDS and await futile():
            return
        if healthy:
            tally.weigh(asked, result, every=asked is missing)
        if result.share >= CALM or (steady and healthy):
            continue
        if faster and healthy and result.share < share_before + HELPED:
            pace, steady = faster, True
        else:
            faster, share_before, pace = pace, result.share, _slower(pace)


async def _fire(tally: Tally, fire: Fire, asked: list[int], guides: list[int], pace: int) -> Round:
    """One round, and its account."""
    result = await fire(asked, guides, pace)
    tally.sent += len(asked) + len(guides)
    tally.open |= result.arrived
    if guides or not result.arrived.issuperset(asked):
        tally.guides_sent += result.guides_sent
        tally.guides_arrived += result.guides_arrived
    tally.fresh_sent += result.fresh_sent
    tally.fresh_arrived += result.fresh_arrived
    if not result.failed:
        tally.rounds.append(Tried(pace or math.inf, guides or asked, result.arrived))
    return result


def _count_first(tally: Tally, tried: list[int], result: Round) -> None:
    """No port was known to be good yet: the guides are the ports themselves, or the control of the contacted pair."""
    if result.failed:
        return
    share = len(result.arrived) / len(tried)
    if share >= HEALTHY:
        tally.count_failures(tried, min(0.5, 2 * (1 - share) + 1 / (len(tried) + 2)))
    elif result.healthy and len(tally.open) >= FEW:
        tally.unweighed = Tried(math.inf, tried, result.arrived), lost_share(result.guides_arrived, result.guides_sent)
    elif result.healthy:
        tally.count_failures(tried, lost_share(result.guides_arrived, result.guides_sent))


async def _sample(tally: Tally, fire: Fire, pace: int, dice: random.Random) -> Round | None:
    """A few ports at a gentle pace, twice: what came of both rounds; None when they prove nothing."""
    both = Round(set(), 0, 0)
    for _ in range(SAMPLE_ROUNDS):
        sample = sorted(dice.sample(tally.ports, min(SAMPLE, len(tally.ports))))
        result = await _fire(tally, fire, sample, [], _gentle(pace))
        both.arrived |= result.arrived
        both.guides_sent += result.guides_sent
        both.guides_arrived += result.guides_arrived
        if not both.arrived and (result.failed or (result.guides_sent and result.share < ALIVE)):
            return None
    return both


def _gentle(pace: int) -> int:
    return min(pace, SAMPLE_PACE) if pace else SAMPLE_PACE


async def _judge_silence(tally: Tally, fire: Fire, pace: int, dice: random.Random) -> None:
    """Not one packet arrived. Slow down before judging; if a sample stays silent as well, it is not the pace."""
    sample = await _sample(tally, fire, pace, dice)
    if sample is None:
        return
    if sample.arrived:
        # It was the pace: start again, as slowly as what worked.
        tally.chance.clear()
        tally.blocked.clear()
        await judge_range(tally, fire, _gentle(pace), dice)
        return
    # So many silent packets have no random cause. But one open port among ten thousand may be lost where its neighbors are closed: only a
    # path that lost nothing at all is believed at once.
    if tally.guides_arrived >= tally.guides_sent and len(tally.ports) * (SAMPLE_ROUNDS + 1) >= SAMPLE:
        tally.blocked = set(tally.ports)
        return
    for _ in range(MOST_ROUNDS):
        missing = tally.missing()
        if not missing or tally.open:
            return
        result = await _fire(tally, fire, missing, [], pace)
        if result.healthy:
            tally.count_failures(missing, lost_share(result.guides_arrived, result.guides_sent))
