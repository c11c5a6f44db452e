"""Out and back: every port sends to a media port of the server, which counts the packet and returns it."""

import asyncio
from collections.abc import Callable

from edgecheck.checks.rtp_range.listening import FEW_GUIDES, ITEM_AT, Listening, Run, count_probes, weigh_round
from edgecheck.checks.rtp_range.rounds import UNPACED_RETRY, Round, Tally, judge_range, judge_rest
from edgecheck.checks.rtp_range.shut_out import STARVED
from edgecheck.checks.unsolicited import margin
from edgecheck.model.check import Network, UdpSocket
from edgecheck.wire import control, probe, rtp
from edgecheck.wire import ports as port_ranges
from edgecheck.wire.address import Endpoint

CONTROLS = 40
"""Control packets on the way out in a round that has few guides, or none."""
_BURST = 16
"""Packets sent before waiting ones are read."""


class Outbound:
    """The other direction: what got out, and what came back."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.tallies: list[Tally] = []
        self.weighed = 0
        """So many of them, the first ones, are judged to the end."""
        self.back: list[Tally] = []
        self.arriving: Callable[[], set[int]] = set
        """Ports to which an answer of the round that goes on, or went on last, came back."""
        self.vouched: set[int] = set()
        self.returned: set[int] = set()
        self.remapped: set[int] = set()
        self.receipted: set[int] = set()
        """Ports whose packets the server has told of, so that it is known with which number they left."""
        self.unheard: set[int] = set()
        """Ports for which the server could not listen."""
        self._flows: set[tuple[int, int]] = set()
        """(port, port of the server) of guides that were sent as new flows."""
        self._turn = 0
        self.unsendable: set[int] = set()
        """Ports from which the system refused to send when they were asked last."""
        self._opening: asyncio.Task[set[int]] | None = None

    async def test(self, listening: Listening) -> None:
        """Every port of the batch sends to a media port of the server, which counts the packet and returns it."""
        run, net = self.run, self.run.net
        run.done += len(listening.batch.busy)
        usable = listening.ports
        if net.service.media is None or not usable:
            run.reasons["outbound_open"] = "no port could be opened here" if net.service.media else "the server offers no media ports"
            run.done += len(usable)
            return
        contact = await net.open_udp()
        proving = asyncio.create_task(net.proved(contact))
        try:
            net.memory.note_sent(usable)
            opened = await (self._opening or self._open_media(usable))
            there = Tally([port for port in usable if self.target(port) in opened])
            if len(there.ports) < len(usable):
                self.unheard |= set(usable).difference(there.ports)
                run.reasons["outbound_open"] = "the server could not open all of the media ports"
            self.tallies.append(there)

            async def fire(asked: list[int], guides: list[int], pace: int) -> Round:
                return (await self._round(listening, contact, asked, guides, pace, self._fresh(guides)))[0]

            async def fire_back(asked: list[int], guides: list[int], pace: int) -> Round:
                # What is asked for here are answers along flows that the router knows, so the guides are such flows as well.
                return (await self._round(listening, contact, asked, guides, pace, {}))[1]

            await judge_range(there, fire, net.pace, run.dice)
            if await proving is not None and not run.udp_alive:
                run.udp_alive = True
                if there.blocked:
                    # UDP was away altogether, and is back: what was judged without any control is judged anew.
                    there.blocked.clear()
                    there.chance.clear()
                    await judge_range(there, fire, net.pace, run.dice)
            if there.blocked and not there.open and run.udp_alive and not await self._takes_new_flows():
                there.blocked.clear()
                run.reasons.setdefault("outbound_undecided", STARVED)
            # What got out has been answered; an answer that did not come is asked for again, or loss would read as a block.
            back = Tally(sorted(there.open), open=self.returned & there.open)
            self.back.append(back)
            await judge_rest(back, fire_back, min(net.pace or UNPACED_RETRY, UNPACED_RETRY), run.dice)
            self.weighed += 1
            await net.ask(lambda id: control.CloseMedia(id=id))
        finally:
            proving.cancel()
            contact.close()
        run.done += len(usable)

    async def _takes_new_flows(self) -> bool:
        """Whether something else that is new gets out now: the control is a flow that a router with a full table knows."""
        socket = await self.run.net.open_udp()
        try:
            return await self.run.net.proved(socket) is not None
        finally:
            socket.close()

    def target(self, port: int) -> int:
        """The server's port for a local port: the same number where its range has it."""
        assert self.run.net.service.media is not None
        low, high = self.run.net.service.media
        return port if low <= port <= high else low + (port - low) % (high - low + 1)

    def open_media_meanwhile(self, ports: list[int]) -> None:
        """Let the server open its sockets while the other direction is tested."""
        if self.run.net.service.media is not None and ports:
            self._opening = asyncio.create_task(self._open_media(ports))
            self._opening.add_done_callback(lambda task: task.cancelled() or task.exception())  # inbound may fail before it is awaited

    async def _open_media(self, ports: list[int]) -> set[int]:
        wanted = port_ranges.compress(self.target(port) for port in ports)
        reply = await self.run.net.ask(lambda id: control.OpenMedia(id=id, ports=wanted))
        return set(port_ranges.expand(reply.ports)) if isinstance(reply, control.MediaOpened) else set()

    def _fresh(self, guides: list[int]) -> dict[int, int]:
        """Guide -> a port of the server at which others have arrived, and this one has never been seen."""
        targets = [self.target(port) for port in guides]
        self._turn += 1
        shifted = targets[self._turn % len(targets) :] + targets[: self._turn % len(targets)] if targets else []
        found = {port: to for port, to in zip(guides, shifted, strict=True) if to != self.target(port) and (port, to) not in self._flows}
        self._flows.update(found.items())
        return found

    async def _round(
        self, listening: Listening, contact: UdpSocket, asked: list[int], guides: list[int], pace: int, fresh: dict[int, int]
    ) -> tuple[Round, Round]:
        """What arrived there, and what came back. ``fresh``: guides that are sent to another port than their own."""
        run, net, batch = self.run, self.run.net, listening.batch
        series = net.new_series()
        self.arriving = lambda: listening.heard(series)
        order = [*asked, *guides]
        run.dice.shuffle(order)
        ask = probe.Probe(probe.Kind.ECHO, net.session, series, 0)
        packet = bytearray(rtp.probe_packet(probe.serialize(ask), series, 160 * series, int.from_bytes(net.session[:4], "big")))
        began, host, failed = net.now(), net.primary.host, 0
        refused: set[int] = set()
        control = _Control(net, contact, len(order), CONTROLS if len(guides) < FEW_GUIDES else 0)
        for position, port in enumerate(order):
            control.send(position)
            packet[ITEM_AT : ITEM_AT + 4] = port.to_bytes(2, "big") * 2
            to = Endpoint(host, fresh.get(port) or self.target(port))
            if not batch.send(port, bytes(packet), to):
                await net.sleep(0.002)
                if not batch.send(port, bytes(packet), to):
                    failed += 1
                    refused.add(port)
            ahead = position / pace - (net.now() - began) if pace else 0.0
            if ahead > 0.004:
                run.tell(len(listening.heard(series)))
                await net.sleep(ahead)
            elif position % _BURST == 0:
                batch.drain()
                if position % 1024 == 0:
                    await net.sleep(0)
        self.unsendable = refused | (self.unsendable - set(order))
        await net.until(lambda: len(listening.heard(series)) >= len(order), margin(net))
        returned = set(listening.heard(series))
        self.returned |= returned
        account = await net.account(series)
        if account is not None:
            self.vouched = set(port_ranges.expand(account.reached_by_others))
        # Without a row for media no packet of the series reached the server; without a receipt only what came back is known to have.
        arrived = returned
        if account is not None and account.media is not None:
            arrived = set(port_ranges.expand(account.media.received))
            self.receipted |= arrived
            self.remapped |= set(port_ranges.expand(account.media.remapped_ports))
        complete = len(returned) == len(order)
        out, back = ((0, 0), (0, 0)) if complete else await control.outcome(run.udp_alive)
        return weigh_round(arrived, guides, fresh, out, failed + (account is None)), weigh_round(returned, guides, fresh, back, failed)


class _Control:
    """Other UDP on the way out in the same moments, spread over a round: echoes from a socket of its own, counted at both ends."""

    def __init__(self, net: Network, contact: UdpSocket, size: int, copies: int) -> None:
        self._net = net
        self._contact = contact
        self._copies = copies
        self._series = net.new_series()
        self._packet = probe.serialize(probe.Probe(probe.Kind.ECHO, net.session, self._series, 0, port=contact.local.port))
        self._due = [number * size // copies for number in range(copies)]
        self._sent = 0

    def send(self, position: int) -> None:
        """What is due at this position of the round."""
        while self._sent < self._copies and self._due[self._sent] <= position:
            self._contact.send(self._packet, self._net.primary)
            self._sent += 1

    async def outcome(self, alive: bool) -> tuple[tuple[int, int], tuple[int, int]]:
        """(sent, arrived) of the way out and of the way back.

        ``alive``: other UDP was answered before. Where it never was, a control that does not get through is none.
        """
        account = await self._net.account(self._series) if self._copies else None
        arrived = min(self._sent, sum(row.copies for row in account.received)) if account else 0
        returned = min(arrived, count_probes(self._net, self._contact, self._series)) if account else 0
        return (self._sent, arrived) if arrived or alive else (0, 0), (arrived, returned) if returned or alive else (0, 0)
