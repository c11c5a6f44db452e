"""Two flows that are never left idle for long: while they are known, the router has not forgotten everything.

A router that restarts, reconnects or loads its rules anew forgets all flows at once, however young. To an idle flow that looks like the end
of its life; and this end's own packets tell nothing, for each of them opens a flow again. So the server sends to the watched flows, and
only then does this end refresh them. Each look at which something got in covers the time since the refresh before it. The two have periods
of their own: what happens between a look at one and its refreshing, the other covers.
"""

import asyncio
from dataclasses import dataclass
from typing import Literal

from edgecheck.checks.mapping_lifetime.flows import Flow, Prober
from edgecheck.model.check import Network, UdpSocket
from edgecheck.model.errors import ControlLost, RequestDeclined

PERIODS_S = (1.7, 3.1)
"""Below the shortest time of the grid, and never long in step."""
COPIES = 2
INSISTING_COPIES = 6
"""Of a round, where nothing of those got in: some rounds prove a silence then."""
ATTEMPTS = 3
"""At a look of which loss leaves nothing."""
SLACK_S = 0.5
"""How long a flow has been idle is known from both sides, and so much is between them."""
SHORTER = 3
"""So many dead looks at a flow, none that found it after its period: flows live shorter than that, for not all was forgotten each time."""
Remembered = Literal["yes", "no", "unknown"]


@dataclass
class _Watched:
    socket: UdpSocket
    flow: Flow
    """``quiet``: it is known to the router from then on, for the answer has come."""
    period: float
    lived: int = 0
    """Looks that found it known after its whole period."""
    died: int = 0


class Watch:
    """Looks at young flows for as long as ``keep`` runs, and whenever it is asked."""

    def __init__(self, net: Network, prober: Prober) -> None:
        self._net = net
        self._prober = prober
        self._watched: list[_Watched] = []
        self._covered: list[tuple[float, float]] = []
        """From when to when a flow was known throughout."""
        self._lived_s = 0.0
        """A flow was known after it had been idle for so long."""
        self._dead: list[tuple[float, float]] = []
        """(When, how long the flow had been idle at most) of looks at which nothing got in."""
        self._looking = asyncio.Lock()

    async def begin(self, sockets: list[UdpSocket]) -> None:
        """With these, to which nothing gets in by itself, before any other flow. Raises ``ControlLost``."""
        flows = await asyncio.gather(*(self._contact(socket) for socket in sockets))
        self._watched = [
            _Watched(socket, flow, period) for socket, flow, period in zip(sockets, flows, PERIODS_S, strict=True) if flow is not None
        ]

    async def keep(self) -> None:
        """Look at each in its own time, until cancelled or the session is gone."""
        await asyncio.gather(*(self._keep(one) for one in self._watched))

    def lived(self, idle: float) -> None:
        """A flow elsewhere was known after so long."""
        self._lived_s = max(self._lived_s, idle)

    async def remembered(self, began: float, asked: float) -> Remembered:
        """As ``known``, after another look at all. Raises ``ControlLost``, ``RequestDeclined``."""
        for one in self._watched:
            await self._insist(one)
        return self.known(began, asked)

    def known(self, began: float, asked: float) -> Remembered:
        """Whether the router remembered what is young all the time between these. Later looks may show what an earlier one meant."""
        if any(at > began and at - idle < asked and idle <= self._lived_s + SLACK_S for at, idle in self._dead):
            return "no"
        if any(one.died >= SHORTER and not one.lived for one in self._watched):
            return "yes"
        reached = began
        for start, end in sorted(self._covered):
            reached = max(reached, end) if start <= reached else reached
        return "yes" if reached >= asked else "unknown"

    async def _keep(self, one: _Watched) -> None:
        try:
            while True:
                await self._net.sleep(max(0.0, one.flow.quiet + one.period - self._net.now()))
                if self._net.now() >= one.flow.quiet + one.period:  # somebody may have asked meanwhile
                    await self._insist(one)
        except (ControlLost, RequestDeclined):
            return  # whoever asks for a point learns of it, too

    async def _insist(self, one: _Watched) -> None:
        async with self._looking:
            for _ in range(ATTEMPTS):
                if await self._look(one) is not None:
                    return

    async def _look(self, one: _Watched) -> bool | None:
        """Have it sent to, then refresh it. A control is needed only where nothing gets in."""
        flow = one.flow
        burst = await self._prober.burst(flow, COPIES, rounds=1)
        if burst.alive is None and not burst.lost and await self._prober.refresh():
            burst = await self._prober.burst(flow, INSISTING_COPIES)
        if burst.alive:
            self._covered.append((flow.quiet, burst.began))
            self.lived(burst.began - flow.quiet)
            one.lived += burst.began - flow.quiet >= one.period
        elif burst.alive is False:
            self._dead.append((burst.last, burst.last - flow.began))
            one.died += 1
        one.flow = await self._contact(one.socket) or flow
        return burst.alive

    async def _contact(self, socket: UdpSocket) -> Flow | None:
        began = self._net.now()
        mapped = await self._net.proved(socket)
        return Flow(socket, mapped, began, self._net.now()) if mapped is not None else None
