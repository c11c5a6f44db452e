"""UDP: a question to every port at once, a copy each in turn, so that all meet the same weather and the open ports measure the loss.

Where none answers, connections over TCP in the same moments measure it: each needs a packet out and one back, too.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from edgecheck.checks.outbound.aims import Aim
from edgecheck.checks.outbound.anew import NewFlows, ask_anew
from edgecheck.checks.outbound.messages import Language, first_words
from edgecheck.checks.outbound.tally import UdpTally
from edgecheck.checks.unsolicited import margin
from edgecheck.model.check import Network
from edgecheck.model.evidence import loss_is_excluded
from edgecheck.wire import control, probe, rtp
from edgecheck.wire.address import Endpoint

COPIES = 6
SPACING_S = 0.035
MOST_ROUNDS = 4
WITNESSES = 3
"""Connections over TCP beside each copy, for as long as no port answers: else there would be no control."""


@dataclass
class UdpResult:
    """All of them."""

    tallies: list[UdpTally]
    dns_copies: int = 0
    dns_answered: bool = False
    dns_arrived: int | None = None
    reached_by_others: frozenset[int] = frozenset()
    reached_by_others_tcp: frozenset[int] = frozenset()
    receipts: bool = False
    anew: NewFlows | None = None
    """The silent ones asked from new ports; None: none was silent, or none answered."""
    local: str = ""
    errors: list[str] = field(default_factory=list)
    connected: int = 0
    """Connections that came about while no port answered ..."""
    connections: int = 0
    """... of so many."""

    @property
    def alone(self) -> bool:
        """No UDP port answers."""
        return not any(tally.answered for tally in self.tallies)

    @property
    def control(self) -> tuple[int, int]:
        """(answered, sent) over the ports that answer at all; where none does, over connections."""
        if self.alone:
            return self.connected, self.connections
        alive = [tally for tally in self.tallies if tally.answered]
        return sum(tally.answered for tally in alive), sum(tally.copies for tally in alive)

    def silence_proved(self, tally: UdpTally) -> bool:
        """Whether random loss no longer explains that this port never answered."""
        return loss_is_excluded(*self.control, tally.copies, among=1 if self.alone else len(self.tallies))


class UdpTrial:
    """One socket, all UDP ports."""

    def __init__(self, net: Network, language: Language, aims: tuple[Aim, ...], witness: Callable[[], Awaitable[bool]]) -> None:
        """``witness``: whether a connection to an open port comes about."""
        self._net = net
        self._witness = witness
        self._language = language
        self._host = net.primary.host
        self.result = UdpResult([UdpTally(aim, number) for number, aim in enumerate(aims)])
        self._by_port = {tally.aim.port: tally for tally in self.result.tallies}
        self._seen = self._quotes_seen = 0
        self._others: list[Endpoint] = []
        """Where else it was asked from."""
        self._connecting: list[asyncio.Future[bool]] = []

    async def run(self) -> UdpResult:
        """Rounds of copies until every port answered, or its silence is proved. Raises ``LocalFailure``."""
        net = self._net
        self._socket = await net.open_udp()
        self._local = self._socket.local
        self.result.local = str(self._local)
        try:
            for _ in range(MOST_ROUNDS):
                for copy in range(COPIES):
                    self._send(copy)
                    if net.in_session and self.result.alone:
                        self._connecting += [asyncio.ensure_future(self._witness()) for _ in range(WITNESSES)]
                    if await net.until(self._all_answered, SPACING_S):
                        break
                await net.until(self._all_answered, margin(net) + net.rtt)
                await self._count()
                if all(tally.answered or tally.refusal or self.result.silence_proved(tally) for tally in self.result.tallies):
                    break
            if net.in_session:
                await self._ask_anew()
                await self._receipts()
            self._read()
        finally:
            for one in self._connecting:
                one.cancel()
            await asyncio.gather(*self._connecting, return_exceptions=True)
            net.memory.note_sent([self._local.port])
            self._socket.close()
        self.result.errors = list(dict.fromkeys(self._socket.errors))[:5]
        return self.result

    async def _ask_anew(self) -> None:
        """Where others answer, and loss does not explain why these do not: they began new flows all the time, the others did not."""
        self._read()
        told = [tally for tally in self.result.tallies if tally.refusal or tally.stranger or tally.unsent or tally.plain_answered]
        alive = [tally for tally in self.result.tallies if tally.answered]
        silent = [tally for tally in self.result.tallies if not tally.answered and tally not in told and self.result.silence_proved(tally)]
        if silent and alive:
            self.result.anew, self._others = await ask_anew(self._net, self._language, silent, alive)

    async def _count(self) -> None:
        """The connections, as far as they are needed."""
        if not self.result.alone:
            return
        came = await asyncio.gather(*self._connecting)
        self._connecting.clear()
        self.result.connections += len(came)
        self.result.connected += sum(came)

    def _send(self, copy: int) -> None:
        for tally in self.result.tallies:
            to = Endpoint(self._host, tally.aim.port)
            self._socket.send(self._language.question(tally.aim, tally.number, self._local), to)
            tally.copies += 1
            if tally.aim.speech == "sip" and self._net.in_session:
                self._socket.send(self._language.plain(tally.aim, tally.number), to)
                tally.plain_copies += 1
            if tally.aim.port == 53 and self._net.in_session:
                self._socket.send(self._language.dns(copy + 1), to)
                self.result.dns_copies += 1

    def _all_answered(self) -> bool:
        self._read()
        return all(tally.answered or tally.refusal for tally in self.result.tallies)

    def _read(self) -> None:
        inbox, quotes = self._socket.inbox, self._socket.quotes
        while self._seen < len(inbox):
            arrival = inbox[self._seen]
            self._seen += 1
            tally = self._by_port.get(arrival.source.port) if arrival.source.host == self._host else None
            if tally is not None:
                self._take(tally, arrival.data)
        for tally in self.result.tallies if self._socket.errors else ():
            own = f"Could not send to {Endpoint(self._host, tally.aim.port)}: "
            tally.unsent = next((error for error in self._socket.errors if error.startswith(own)), "")
        while self._quotes_seen < len(quotes):
            quote = quotes[self._quotes_seen]
            self._quotes_seen += 1
            tally = self._by_port.get(quote.to.port) if quote.to.host == self._host else None
            if tally is not None and not quote.expired and tally.refusal is None:
                tally.refusal = quote

    def _take(self, tally: UdpTally, data: bytes) -> None:
        language, number = self._language, tally.number
        if language.answers(data, tally.aim, number, self._local):
            tally.answered += 1
        elif tally.aim.speech == "sip" and language.answers_plain(data, number):
            tally.plain_answered += 1
        elif tally.aim.port == 53 and language.is_dns_answer(data):
            self.result.dns_answered = True
        elif not data.startswith(b"SIP/2.0 ") and probe.MAGIC not in data[: rtp.PROBE_OFFSET + len(probe.MAGIC)]:
            # What begins as an answer of ours is no stranger's: a provisional one, a late one, or one that was marred on the way.
            tally.stranger = tally.stranger or first_words(data)

    async def _receipts(self) -> None:
        language, result = self._language, self.result
        accounts = [await self._net.account(series) for series in (language.echo_series, language.sip_series, language.dns_series)]
        if any(account is None for account in accounts):
            return
        echoes, sip, dns = [account for account in accounts if account is not None]
        result.receipts = True
        result.reached_by_others = _expand(sip.reached_by_others)
        result.reached_by_others_tcp = _expand(sip.reached_by_others_tcp)
        result.dns_arrived = sum(row.copies for row in dns.received)
        media = {port for low, high in (echoes.media.received if echoes.media else ()) for port in range(low, high + 1)}
        for tally in result.tallies:
            if tally.aim.speech == "rtp":
                tally.arrived = int(tally.number in media)
            else:
                account = sip if tally.aim.speech == "sip" else echoes
                ends = (self._local, *self._others) if tally.aim.speech == "sip" else ()
                items = {language.sip_item(tally.aim, tally.number, end) for end in ends} or {tally.number}
                tally.arrived = sum(row.copies for row in account.received if row.item in items and not row.listener.endswith("/tcp"))


def _expand(ranges: tuple[tuple[int, int], ...]) -> frozenset[int]:
    return frozenset(port for low, high in ranges for port in range(low, high + 1))


async def sip_records(net: Network, port: int) -> int | None:
    """How many SIP messages of this session reached this port of the server over UDP, marked or not; None = not known."""
    reply = await net.ask(lambda id: control.Mirror(id=id))
    if not isinstance(reply, control.Mirrored) or reply.dropped:
        return None
    return sum(row.direction == "received" and row.server_port == port and row.transport == "udp" for row in reply.records)
