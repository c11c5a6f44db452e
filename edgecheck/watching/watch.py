"""The loop: look, compare with what was last known, tell, wait.

What was last known is kept check by check: a check that could not be told once (a lost server, a night of loss) is compared with the
last time when it could, so that a regression that came with an outage is still told after it. An outage itself is told once when it
begins and once when it ends.
"""

import random
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

import msgspec

from edgecheck.comparison import compare
from edgecheck.model.comparison import Change, Kind
from edgecheck.model.verdict import CheckResult, Report, Verdict

LEAST_S = 10.0
"""Seconds between two looks, at least: a look takes some seconds and sends some hundred packets."""
JITTER = 0.1
"""Each wait is longer or shorter by up to this share: a thousand machines that start with the hour must not all look at once."""
SLICE_S = 20.0
"""A wait is cut into such pieces: a machine that slept wakes up in one of them, and looks at the time by the clock on the wall."""


class Turn(NamedTuple):
    """What one look brought."""

    report: Report
    changes: tuple[Change, ...]
    """Worse, better or different than last known; the first look has none."""
    headline: str
    """Of the changes; empty where there is none."""
    first: bool
    began: bool
    """Something could not be told any more that could be told before."""
    ended: bool
    """All can be told again."""

    @property
    def telling(self) -> bool:
        """Whether a person should hear of it."""
        return self.first or bool(self.changes) or self.began or self.ended


class Sink(Protocol):
    """Who is told of every turn. Must not raise: a page that cannot be written is no reason to stop looking."""

    async def tell(self, turn: Turn) -> None: ...


class Clock(NamedTuple):
    """Time, and waiting."""

    wall: Callable[[], float]
    """Seconds since 1970; goes on while the machine sleeps."""
    sleep: Callable[[float], Awaitable[None]]


class Watch:
    """One watch over one edge."""

    def __init__(
        self, look: Callable[[], Awaitable[Report]], every_s: float, clock: Clock, sinks: tuple[Sink, ...], seed: int | None = None
    ):
        self._look = look
        self._every_s = every_s
        self._clock = clock
        self._sinks = sinks
        self._dice = random.Random(seed)
        self._known: Report | None = None
        self._untold = False
        self.verdict = Verdict.INCONCLUSIVE
        """Of the last look."""
        self.ending = False
        """Set before the loop is cancelled: a look that was cut short tells nothing."""

    async def go(self, most: int | None = None) -> None:
        """Look until cancelled, or so many times."""
        turns = 0
        while most is None or turns < most:
            began = self._clock.wall()
            report = await self._look()
            if self.ending:
                return
            turn = self.turn(report)
            for sink in self._sinks:
                await sink.tell(turn)
            turns += 1
            if turns != most:
                await self._wait_until(began + self._every_s * self._dice.uniform(1 - JITTER, 1 + JITTER))

    async def _wait_until(self, moment: float) -> None:
        while (left := moment - self._clock.wall()) > 0:
            if left > self._every_s * (1 + JITTER):
                return  # the clock on the wall was set back: do not sit out the difference
            await self._clock.sleep(min(left, SLICE_S))

    def turn(self, report: Report) -> Turn:
        """Compare with what was last known, and know it better."""
        self.verdict = report.verdict
        untold = report.verdict is Verdict.INCONCLUSIVE or not any(_told(result) for result in report.checks)
        known = self._known
        if known is None:
            self._known = msgspec.structs.replace(report, checks=tuple(result for result in report.checks if _told(result)))
            self._untold = untold
            return Turn(report, (), "", True, False, False)
        found = compare(known, report)
        changes = tuple(change for change in found.changes if change.kind is not Kind.NOT_COMPARED)
        turn = Turn(report, changes, found.headline if changes else "", False, untold and not self._untold, self._untold and not untold)
        self._known = _remembered(known, report)
        self._untold = untold
        return turn


def _told(result: CheckResult) -> bool:
    return result.observation is not None and result.verdict not in (Verdict.INCONCLUSIVE, Verdict.SKIPPED)


def _remembered(known: Report, now: Report) -> Report:
    """The new report, with what it could not tell as it was last known."""
    fresh = {result.id: result for result in now.checks if _told(result)}
    kept = {result.id: result for result in known.checks}
    checks = tuple({**kept, **fresh}.values())
    # without a session the report knows nothing of where it was: the place is as it was last known, too
    return msgspec.structs.replace(now if now.server else known, checks=checks)
