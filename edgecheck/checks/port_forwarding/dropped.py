"""Whether this machine's own firewall drops what comes to ports that services here hold: one question at a time, and the system's count of
packets that came in and were not delivered, which anyone may read on Linux.

Theory, as in ``marks``: were the count raised by strangers (a firewall drops their broadcasts, too), the chance that it rises with each of
m questions and never in a quiet time k windows long is at most ``chance_of_strangers(m, k)``, whatever their rate. Several ports are asked
in one window; then the count must rise by as many as arrived. Where packets are seen, a window in which a question was lost counts for
nothing; where they are not, it ends the matter: could not tell.
"""

from collections.abc import Awaitable, Callable, Collection
from typing import NamedTuple

from edgecheck.checks.port_forwarding.marks import chance_of_strangers
from edgecheck.model.check import Network, Sightings
from edgecheck.model.evidence import WRONG_BY_CHANCE

RISES = 6
MOST_WINDOWS = 9
"""Questions at most: loss may spoil some."""
MOST_PORTS = 3
"""Ports that are asked in one window; the server allows a session so many questions only."""
QUIET = next(k for k in range(1, 100) if chance_of_strangers(RISES, k) < WRONG_BY_CHANCE)
"""Quiet windows that so many rises need."""
MOST_QUIET_S = 8.0


class Window(NamedTuple):
    """What came of one question to each port."""

    arrived: int | None
    """How many were seen to arrive here; None: this machine does not show it."""
    answered: bool
    """Somebody has answered: nobody drops it."""


async def drops(net: Network, sightings: Sightings, ports: int, ask: Callable[[], Awaitable[Window | None]]) -> bool | None:
    """Whether this machine drops what comes to these ``ports`` (their number). ``ask``: put one question to each; None = declined.

    None: could not tell.
    """
    rises, longest = 0, 0.0
    for _ in range(MOST_WINDOWS):
        began, before = net.now(), _undelivered(sightings)
        window = await ask()
        after = _undelivered(sightings)
        longest = max(longest, net.now() - began)
        if window is None or window.answered or before is None or after is None or longest * QUIET > MOST_QUIET_S:
            return None
        if window.arrived is not None and window.arrived < ports:
            continue
        if after - before < ports:
            return False if window.arrived is not None else None
        rises += 1
        if not await _quiet(net, sightings, after, longest * QUIET / RISES):
            return None
        if rises == RISES:
            return True
    return None


async def _quiet(net: Network, sightings: Sightings, level: int, seconds: float) -> bool:
    """Whether the count stands still for so long."""
    await net.sleep(seconds)
    return _undelivered(sightings) == level


def _undelivered(sightings: Sightings) -> int | None:
    counters = sightings.counters()
    return counters.undelivered if counters else None


def together(ports: Collection[object]) -> bool:
    """Whether so many may be asked in one window."""
    return 1 < len(ports) <= MOST_PORTS
