"""UDP: rounds of probes from the never-contacted address to ports that listen, beside canaries and a control flow."""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from edgecheck.checks.port_forwarding.observation import Canaries, Icmp, PortRow
from edgecheck.checks.unsolicited import MOST_ROUNDS, NO_CONTROL_FLOW, Inbox, copies_at_once, margin, open_bare, probe_of, sender
from edgecheck.model.check import Network, UdpSocket
from edgecheck.model.errors import LocalFailure
from edgecheck.model.evidence import WRONG_BY_CHANCE, chance_at_worst
from edgecheck.model.profile import PortNeed
from edgecheck.wire import control
from edgecheck.wire import ports as port_ranges
from edgecheck.wire.address import Endpoint

SPACING_MS = 25


async def probe_udp(
    net: Network,
    wanted: list[tuple[PortNeed, int]],
    avoid: set[int],
    led_on: Mapping[int, LocalFailure] = MappingProxyType({}),
    spacing_ms: int = SPACING_MS,
) -> tuple[list[PortRow], Canaries, "Shots | None"]:
    """The rows, what became of the canaries, and the rounds themselves: errors may come in later. ``led_on``: what need not be opened."""
    sockets: dict[int, UdpSocket] = {}
    failures: dict[int, LocalFailure] = dict(led_on)
    if not wanted:
        return [], Canaries(), None
    mapped_canary, bare = None, []
    try:
        for _, port in wanted:
            if port not in sockets and port not in failures:
                try:
                    sockets[port] = await net.open_udp(port)
                except LocalFailure as failure:
                    failures[port] = failure
        mapped_canary = await net.open_udp()
        bare = await open_bare(net, avoid)
        at = await net.proved(mapped_canary)
        shots = await Shots.fire(net, sockets, bare, mapped_canary, at, spacing_ms)
        shots.bare = [socket.local.port for socket in bare]
        canaries = shots.canaries(bare)
        if at is not None and at.host != net.observed:
            canaries = msgspec.structs.replace(canaries, several_addresses=at.host)
        return [shots.row(need, port, failures) for need, port in wanted], canaries, shots
    finally:
        for socket in (*sockets.values(), *bare, *((mapped_canary,) if mapped_canary else ())):
            socket.close()


class Shots:
    """Rounds of UDP probes to the ports that are still silent, with controls, until silence is proved or rounds are used up."""

    def __init__(self, net: Network, spacing_ms: int) -> None:
        self.net = net
        self._spacing_ms = spacing_ms
        self.sent: dict[int, int] = {}
        self.arrived: dict[int, int] = {}
        self.controls: dict[int, tuple[int, int]] = {}
        self.moved: dict[int, int] = {}
        """Port -> the other one of these at which what was sent to it arrived."""
        self.mapped_reached = False
        self.control_sent = self.control_arrived = 0
        self.errors: dict[int, control.ErrorRow] = {}
        self.bare: list[int] = []
        self._series: list[int] = []

    @classmethod
    async def fire(
        cls,
        net: Network,
        sockets: dict[int, UdpSocket],
        bare: list[UdpSocket],
        mapped_canary: UdpSocket,
        at: Endpoint | None,
        spacing_ms: int,
    ) -> "Shots":
        shots = cls(net, spacing_ms)
        targets = {**sockets, **{socket.local.port: socket for socket in bare}}
        for _ in range(MOST_ROUNDS):
            silent = [port for port in targets if not shots._settled(port)]
            if not silent:
                break
            await shots._round(targets, silent, mapped_canary, at)
            if at is None:
                break  # without a control flow no silence can be proved, however often it is repeated
        return shots

    def _settled(self, port: int) -> bool:
        return bool(self.arrived.get(port)) or port in self.moved or self.proved_silent(port)

    def proved_silent(self, port: int) -> bool:
        arrived, sent = self.controls.get(port, (0, 0))
        return chance_at_worst(arrived, sent, self.sent.get(port, 0)) < WRONG_BY_CHANCE

    async def _round(self, targets: dict[int, UdpSocket], silent: list[int], mapped_canary: UdpSocket, at: Endpoint | None) -> None:
        net, copies = self.net, copies_at_once(self.net)
        series, control_series = net.new_series(), net.new_series()
        self._series.append(series)
        controls = Inbox(net, mapped_canary, control_series)
        requests = [net.ask(lambda id: request(id, series, net.observed, silent, ("BX",), net.pace, copies, self._spacing_ms))]
        if at is not None:
            # The control flow and the never-contacted sender to the mapped canary, in the same moments.
            requests.append(net.ask(lambda id: request(id, control_series, at.host, [at.port], ("A1", "BX"), 0, copies, self._spacing_ms)))
        replies = await asyncio.gather(*requests)

        def heard() -> bool:
            there = _landed(net, targets, series)
            return all(port in there for port in silent)

        await net.until(heard, margin(net))
        first = replies[0]
        left = copies if isinstance(first, control.Probed) and not first.failed else 0
        arrived = controls.count(sender(net, "A1"))
        if at is not None:
            self.control_sent += copies
            self.control_arrived += arrived
            self.mapped_reached |= controls.count(sender(net, "BX")) > 0
        landed = _landed(net, targets, series)
        for port in silent:
            self.sent[port] = self.sent.get(port, 0) + left
            at_ports = landed.get(port, [])
            self.arrived[port] = self.arrived.get(port, 0) + at_ports.count(port)
            if at_ports and port not in at_ports:
                self.moved[port] = at_ports[0]
            before = self.controls.get(port, (0, 0))
            self.controls[port] = (before[0] + arrived, before[1] + (copies if at is not None else 0))
        account = await net.account(series)
        for row in account.errors if account else ():
            self.errors.setdefault(row.port, row)

    @property
    def canary(self) -> Icmp | None:
        """How ports that no rule names were refused; None when they were not."""
        return next((icmp_of(self.errors[port]) for port in self.bare if port in self.errors), None)

    async def late(self) -> dict[int, control.ErrorRow]:
        """ICMP errors, those included that have come in since the rounds: the first about each port."""
        accounts = [await self.net.account(series) for series in self._series]
        return {row.port: row for account in reversed(accounts) if account for row in reversed(account.errors)}

    def row(self, need: PortNeed, port: int, failures: dict[int, LocalFailure]) -> PortRow:
        made = PortRow(
            port=port,
            transport="udp",
            purpose=need.purpose,
            required=need.required,
            state="undecided",
            copies=self.sent.get(port, 0),
            arrived=self.arrived.get(port, 0),
        )
        replace = msgspec.structs.replace
        if port in failures:
            return replace(made, reason=str(failures[port]), unbound=failures[port].reason)
        if made.arrived:
            return replace(made, state="forwarded")
        if port in self.moved:
            return replace(made, state="blocked", lands_on=self.moved[port])
        if port in self.errors:
            told = icmp_of(self.errors[port])
            return replace(made, state="refused", answered_by=told.offender, reason=str(told), icmp=told)
        if self.proved_silent(port):
            return replace(made, state="blocked")
        return replace(made, reason=unproved(*self.controls.get(port, (0, 0))))

    def _mapped_silence_proved(self) -> bool:
        return chance_at_worst(self.control_arrived, self.control_sent, self.control_sent) < WRONG_BY_CHANCE

    def canaries(self, bare: list[UdpSocket]) -> Canaries:
        return Canaries(
            bare=len(bare),
            bare_reached=sum(bool(self.arrived.get(socket.local.port)) for socket in bare),
            mapped_reached=self.mapped_reached or (False if self._mapped_silence_proved() else None),
            control_sent=self.control_sent,
            control_arrived=self.control_arrived,
        )


def icmp_of(row: control.ErrorRow) -> Icmp:
    """The server's row as a fact of ours."""
    return Icmp(icmp_type=row.icmp_type, icmp_code=row.icmp_code, offender=row.offender, ttl=row.ttl)


def unproved(arrived: int, sent: int) -> str:
    """Why a silence is undecided."""
    if not sent:
        return f"{NO_CONTROL_FLOW}, and silence alone proves nothing"
    return f"{f'only {arrived}' if arrived else 'none'} of {sent} control packets arrived, so loss may explain the silence"


def request(
    id: int,
    series: int,
    address: str,
    ports: list[int],
    senders: tuple[control.Sender, ...],
    pace: int,
    copies: int,
    spacing_ms: int = SPACING_MS,
    hops: int = 0,
) -> control.Probe:
    return control.Probe(
        id=id,
        series=series,
        address=address,
        ports=port_ranges.compress(ports),
        senders=senders,
        copies=copies,
        spacing_ms=spacing_ms,
        pace=pace,
        hops=hops,
    )


def _landed(net: Network, sockets: dict[int, UdpSocket], series: int) -> dict[int, list[int]]:
    """Port that was aimed at -> the ports at which copies arrived: a rule may change the number."""
    landed: dict[int, list[int]] = {}
    for port, socket in sockets.items():
        for arrival in socket.inbox:
            found = probe_of(net, arrival.data)
            if found is not None and found.series == series:
                landed.setdefault(found.item, []).append(port)
    return landed
