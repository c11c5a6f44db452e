"""In: the never-contacted address sends to every port of the batch, while it listens and has sent nothing."""

import asyncio
from collections.abc import Callable

from edgecheck.checks.rtp_range.canaries import weigh
from edgecheck.checks.rtp_range.listening import FEW_GUIDES, Listening, Run, count_probes, request, weigh_round
from edgecheck.checks.rtp_range.rounds import Round, Tally, judge_range
from edgecheck.checks.unsolicited import NO_CONTROL_FLOW, margin, open_bare
from edgecheck.model.check import UdpSocket
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint

FRESH_SENDERS: tuple[control.Sender, ...] = ("B1", "B2")
"""From these a guide is a new flow: ``BX`` has reached it before."""
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
        self.doubtful: set[int] = set()
        """Ports that arrived, which proves no rule."""
        self._series = 0
        self._flows: dict[control.Sender, set[int]] = {}
        """Ports that each socket of the never-contacted address has reached: flows that the router may know."""
        self.refused = False
        """Whether ICMP errors came back for the ports that were asked last: a router may save its next ones then."""
        alternate = run.net.alternate
        self.contacted = run.net.memory.contacted(alternate.host) if alternate else None

    @property
    def controls(self) -> tuple[int, int]:
        """Packets known to have a way through (arrived, sent) in the rounds in which others stayed silent."""
        return sum(tally.guides_arrived for tally in self.tallies), sum(tally.guides_sent for tally in self.tallies)

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

            await judge_range(tally, fire, net.pace, run.dice, hopeless=at is None)
            if at is None and tally.missing():
                run.reasons["undecided"] = NO_CONTROL_FLOW
            account = await net.account(self._series) if tally.blocked else None
            self.refused |= bool(account and account.errors)
            self.doubtful |= await weigh(run, tally.open, self.contacted, (contact, at), bare)
            self.weighed += 1
        finally:
            contact.close()
            for socket in bare:
                socket.close()
        run.done += len(listening.ports)

    async def _round(
        self, listening: Listening, pair: tuple[UdpSocket, Endpoint | None], asked: list[int], guides: list[int], pace: int
    ) -> Round:
        run, net, (contact, at) = self.run, self.run.net, pair
        series, control_series = net.new_series(), net.new_series()
        self._series = series
        fresh = self._fresh(guides)
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
            for who in ("BX", *FRESH_SENDERS):
                if mine := [port for port in part if fresh.get(port, "BX") == who]:
                    # Each sender's take as long as the whole part: a burst that dies at its end must not spare them.
                    share = -(-(pace or net.limits.pace) * len(mine) // len(part)) if len(mine) < len(part) else pace
                    asks.append(net.ask(_ask(series, net.observed, mine, who, share)))
            probes = len(asks)
            if copies and at is not None:
                asks.append(net.ask(lambda id: request(id, control_series, at.host, [at.port], "A1", copies=copies, spacing_ms=2)))
            for reply in (await asyncio.gather(*asks))[:probes]:
                failed += reply.failed if isinstance(reply, control.Probed) else len(part)
            run.tell(len(listening.heard(series)))
        await net.until(lambda: len(listening.heard(series)) >= len(order), margin(net))
        heard = listening.heard(series)
        for port in heard:
            self._flows.setdefault(fresh.get(port, "BX"), set()).add(port)
        return weigh_round(heard, guides, fresh, (copies * len(parts), count_probes(net, contact, control_series)), failed)

    def _fresh(self, guides: list[int]) -> dict[int, control.Sender]:
        """Guide -> a socket of the never-contacted address from which nothing has reached it yet."""
        seen = self._flows
        found = {port: next((who for who in FRESH_SENDERS if port not in seen.get(who, ())), None) for port in guides}
        return {port: who for port, who in found.items() if who is not None}


def _ask(series: int, address: str, ports: list[int], who: control.Sender, pace: int) -> Callable[[int], control.Probe]:
    return lambda id: request(id, series, address, ports, who, pace=pace, dress="rtp")
