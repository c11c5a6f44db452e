"""In: the never-contacted address sends to every port of the batch, while it listens and has sent nothing.

Each round is sent from a port of its own, which no router knows: guides and the ports that are still missing are new flows alike then, and
whatever is done to the ones is done to the others. A router that lets known flows pass, or counts by the port that they come from,
cannot tell them apart.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from edgecheck.checks.port_forwarding.shut_out import Witness
from edgecheck.checks.rtp_range.canaries import weigh
from edgecheck.checks.rtp_range.listening import FEW_GUIDES, Listening, Run, count_probes, request, weigh_round
from edgecheck.checks.rtp_range.rounds import Round, Tally, judge_range
from edgecheck.checks.rtp_range.shut_out import no_longer_let_in, out_now
from edgecheck.checks.unsolicited import NO_CONTROL_FLOW, margin, open_bare
from edgecheck.model.check import UdpSocket
from edgecheck.model.errors import RequestDeclined
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint


class Source(NamedTuple):
    """A socket of the server's on the never-contacted address."""

    sender: control.Sender
    fresh: int = 0
    """See ``control.Probe.fresh``."""


OWN = Source("BX")
FIXED = (Source("B1"), Source("B2"))
"""For a server without fresh ports: new to most guides, but for what an earlier run from the same ports has left in a router."""
REQUEST_PORTS = 2048
"""Ports in one request to the server when unpaced; paced, a quarter second's worth."""
CONTROLS = 320
"""Control copies on the contacted pair in a round that has few guides, or none, as far as the server allows: see ``rounds.GUIDES``."""


class Inbound:
    """One direction: what arrived unasked."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.tallies: list[Tally] = []
        self.weighed = 0
        """So many of them, the first ones, are judged to the end."""
        self.arriving: Callable[[], set[int]] = set
        """Ports that heard a packet of the round that goes on, or went on last."""
        self.moved: dict[int, int] = {}
        """Port -> the other one at which what was sent to it arrived."""
        self.doubtful: set[int] = set()
        """Ports that arrived, which proves no rule."""
        self._series = 0
        self._flows: dict[Source, set[int]] = {}
        """Ports that each socket of the never-contacted address has reached: flows that the router may know."""
        self._fresh_ports = run.net.limits.fresh_ports
        self._turn = 0
        """Rounds so far."""
        self.refused = False
        """Whether ICMP errors came back for the ports that were asked last: a router may save its next ones then."""
        alternate = run.net.alternate
        self.contacted = run.net.memory.contacted(alternate.host) if alternate else None

    @property
    def controls(self) -> tuple[int, int]:
        """Packets known to have a way through (arrived, sent) in the rounds in which others stayed silent."""
        return sum(tally.guides_arrived for tally in self.tallies), sum(tally.guides_sent for tally in self.tallies)

    @property
    def nothing_came(self) -> bool:
        """Ports are blocked, and none was reached, not even by what was sent to another."""
        reached = self.moved or any(tally.open for tally in self.tallies)
        return not reached and any(tally.blocked for tally in self.tallies)

    async def test(self, listening: Listening) -> None:
        """The never-contacted address sends to every port of the batch."""
        run, net = self.run, self.run.net
        run.done += len(listening.batch.busy)
        if net.alternate is None:
            run.reasons["inbound_open"] = "the server has one address only, so nothing can be sent from one that was never contacted"
            run.done += len(listening.ports)
            return
        contact = await net.open_udp()
        bare = await open_bare(net, run.every)
        try:
            at = await net.proved(contact)
            run.leaves_from = at.host if at else run.leaves_from
            run.udp_alive |= at is not None
            tally = Tally(listening.ports)
            self.tallies.append(tally)

            async def fire(asked: list[int], guides: list[int], pace: int) -> Round:
                return await self._round(listening, (contact, at), asked, guides, pace)

            async def futile() -> bool:
                port = min(tally.open)
                with run.lent(listening, [port]):
                    run.starved_by = await out_now(run, Witness("udp", port, False))
                return bool(run.starved_by)

            await judge_range(tally, fire, net.pace, run.dice, hopeless=at is None, futile=futile)
            await self._doubt_a_silent_batch(tally)
            if at is None and tally.missing():
                run.reasons["undecided"] = NO_CONTROL_FLOW
            account = await net.account(self._series) if tally.blocked else None
            self.refused |= bool(account and account.errors)
            self.moved = {port: there for port, there in self.moved.items() if port not in tally.open}
            doubtful = await weigh(run, tally.open | set(self.moved.values()), self.contacted, (contact, at), bare)
            # Where a filter lets anyone in, what arrives at another port may have come by the mapping of that one.
            by_mapping = {port for port, there in self.moved.items() if there in doubtful}
            self.moved = {port: there for port, there in self.moved.items() if port not in by_mapping}
            self.doubtful |= doubtful & tally.open | by_mapping
            self.weighed += 1
        finally:
            contact.close()
            for socket in bare:
                socket.close()
        run.done += len(listening.ports)

    async def _doubt_a_silent_batch(self, tally: Tally) -> None:
        """It has no guides of its own; a port of an earlier batch, which is closed now, shows whether the prober is still let in."""
        known = min((port for before in self.tallies[:-1] for port in before.open), default=None)
        if known is None or tally.open or not tally.blocked:
            return
        out = await no_longer_let_in(self.run, Witness("udp", known, False))
        if out:
            self.run.starved_by = out
            tally.blocked.clear()

    async def _round(
        self, listening: Listening, pair: tuple[UdpSocket, Endpoint | None], asked: list[int], guides: list[int], pace: int
    ) -> Round:
        run, net, (contact, at) = self.run, self.run.net, pair
        series, control_series = net.new_series(), net.new_series()
        self._series = series
        sources = self._sources(asked, guides)
        fresh = {port for port in guides if sources[port] != OWN and port not in self._flows.get(sources[port], ())}
        self.arriving = lambda: listening.heard(series)
        order = [*asked, *guides]
        run.dice.shuffle(order)
        step = REQUEST_PORTS if pace == 0 else max(32, pace // 4)
        parts = [order[start : start + step] for start in range(0, len(order), step)]
        # Where few ports are known to be good yet, the control is the contacted pair, spread over the round like the others.
        copies = min(net.limits.copies, -(-CONTROLS // len(parts))) if at is not None and len(guides) < FEW_GUIDES else 0
        failed = 0
        for part in parts:
            asks = []
            for source in dict.fromkeys(sources[port] for port in part):
                mine = [port for port in part if sources[port] == source]
                # Each source's take as long as the whole part: a burst that dies at its end must not spare them.
                share = -(-(pace or net.limits.pace) * len(mine) // len(part)) if len(mine) < len(part) else pace
                asks.append(net.ask(_ask(series, net.observed, mine, source, share)))
            probes = len(asks)
            if copies and at is not None:
                asks.append(net.ask(lambda id: request(id, control_series, at.host, [at.port], "A1", copies=copies, spacing_ms=2)))
            try:
                replies = await asyncio.gather(*asks)
            except RequestDeclined:
                if not self._fresh_ports or part is not parts[0]:
                    raise
                self._fresh_ports = 0  # the server has none left
                return await self._round(listening, pair, asked, guides, pace)
            for reply in replies[:probes]:
                failed += reply.failed if isinstance(reply, control.Probed) else len(part)
            run.tell(len(listening.heard(series)))
        await net.until(lambda: len(listening.heard(series)) >= len(order), margin(net))
        heard = listening.heard(series)
        self.moved.update(listening.moved(series))
        for port in heard:
            self._flows.setdefault(sources.get(port, OWN), set()).add(port)
        sent = copies * len(parts)
        return weigh_round(heard, guides, fresh, (sent, min(sent, count_probes(net, contact, control_series))), failed)

    def _sources(self, asked: list[int], guides: list[int]) -> dict[int, Source]:
        """Port -> from where it is asked in this round; the first round is the session's own port's."""
        turn = self._turn
        self._turn += 1
        if self._fresh_ports or not turn:
            return dict.fromkeys([*asked, *guides], Source("BX", 1 + (turn - 1) % self._fresh_ports) if turn else OWN)
        seen = self._flows
        new = {port: next((one for one in FIXED if port not in seen.get(one, ())), OWN) for port in guides}
        return dict.fromkeys(asked, OWN) | new


def _ask(series: int, address: str, ports: list[int], source: Source, pace: int) -> Callable[[int], control.Probe]:
    return lambda id: request(id, series, address, ports, source.sender, pace=pace, dress="rtp", fresh=source.fresh)
