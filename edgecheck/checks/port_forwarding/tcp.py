"""TCP: the server dials ports that listen; whoever accepts must return a nonce, so that nobody else is taken for us."""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType

from edgecheck.checks.port_forwarding.observation import Canaries, PortRow, State
from edgecheck.checks.port_forwarding.udp import icmp_of, unproved
from edgecheck.checks.port_forwarding.weather import Weather, measure
from edgecheck.checks.unsolicited import probe_of, remembered
from edgecheck.model.check import Listener, Network, Stream, UdpSocket
from edgecheck.model.errors import LocalFailure
from edgecheck.model.evidence import Answered, loss_is_excluded
from edgecheck.model.profile import PortNeed
from edgecheck.wire import control, probe
from edgecheck.wire import ports as port_ranges
from edgecheck.wire.address import parse_endpoint

DIAL_ATTEMPTS = 12
"""Each with a SYN of its own: at 14 % loss each way, all twelve fail once in a hundred million."""
DIAL_SPACING_MS = 40
DIAL_ROUNDS = 4
CALM_S = 1.2
CALM_PORTS = 4


async def probe_tcp(
    net: Network,
    wanted: list[tuple[PortNeed, int]],
    avoid: set[int] | None,
    inquires: bool = False,
    led_on: Mapping[int, LocalFailure] = MappingProxyType({}),
) -> tuple[list[PortRow], Canaries]:
    """``avoid``: ports that are no canaries; None: no bare canaries. ``inquires``: ports that something else holds are left alone.

    ``led_on``: what need not be opened.
    """
    listeners: dict[int, Listener] = {}
    failures: dict[int, LocalFailure] = dict(led_on)
    bare: list[int] = []
    mapped: tuple[int, int] | None = None
    if not wanted:
        return [], Canaries()
    if "dial" not in net.service.capabilities:
        return [_row(need, port, None) for need, port in wanted], Canaries()
    answering: set[asyncio.Task[None]] = set()
    try:
        for _, port in wanted:
            if port not in listeners and port not in failures:
                try:
                    listeners[port] = await net.listen_tcp(port)
                except LocalFailure as failure:
                    failures[port] = failure
        if any(remembered(net.memory.sent_from(port, "tcp")) for _, port in wanted):
            mapped = await _mapped_tcp_canary(net, listeners)
        for _ in range(0 if avoid is None else 2):
            canary = await net.listen_tcp(0)
            if canary.local.port in (avoid or ()) or remembered(net.memory.sent_from(canary.local.port, "tcp")):
                canary.close()
            else:
                listeners[canary.local.port] = canary
                bare.append(canary.local.port)
        series = net.new_series()
        moved: dict[int, int] = {}
        answering.add(asyncio.create_task(return_probes(net, listeners, series, dict([mapped]) if mapped else {}, moved)))
        outside = [mapped[1]] if mapped else []
        # What a service holds is asked by itself (``live``): it must not be dialed a dozen times with what it does not understand.
        mine = [port for _, port in wanted if port in listeners or not inquires]
        dials = await Dials.go(net, list(dict.fromkeys([*mine, *bare, *outside])), series)
        await dials.ask_calmly(list(dict.fromkeys(mine)), series)
    finally:
        for task in answering:
            task.cancel()
        for listener in listeners.values():
            listener.close()
    rows = [_row(need, port, dials, failures.get(port), moved.get(port)) for need, port in wanted]
    return rows, Canaries(
        bare=len(bare),
        bare_reached=sum(dials.proved(port) for port in bare),
        mapped_reached=dials.proved(mapped[1]) if mapped else None,
        control_sent=dials.weather.arrived,
        control_arrived=dials.weather.returned,
    )


async def _mapped_tcp_canary(net: Network, listeners: dict[int, Listener]) -> tuple[int, int] | None:
    """A port that has just connected out, as ``port-preservation`` does, and listens now: (local, outside); None when it failed."""
    try:
        stream = await net.connect_tcp(net.primary)
        exchange = await net.stun_stream(stream, net.new_series(), 0)
        stream.close()
        if not isinstance(exchange.outcome, Answered) or exchange.outcome.mapped is None:
            return None
        local = stream.local.port
        listeners[local] = await net.listen_tcp(local)
    except LocalFailure:
        return None
    return local, parse_endpoint(exchange.outcome.mapped).port


class Dials:
    """Connection attempts to TCP ports, again to the silent ones while loss may explain their silence.

    The loss is measured in the same moments by echoes over UDP, there and back as the handshake: they share the path, not the protocol.
    """

    def __init__(self, net: Network, among: int) -> None:
        """``among``: how many ports are tried."""
        self.net = net
        self.told: dict[int, list[control.DialRow]] = {}
        self.weather = Weather()
        self._among = among
        self.throttled = False
        """A port that was silent in a burst was reached calmly: what is silent still may be so for that."""

    @classmethod
    async def go(cls, net: Network, ports: list[int], series: int) -> "Dials":
        dials = cls(net, len(ports))
        socket = await net.open_udp()
        try:
            proved = await net.proved(socket)
            for _ in range(DIAL_ROUNDS):
                asked = [port for port in ports if not dials.settled(port)]
                if not asked:
                    break
                measuring = asyncio.create_task(dials._measure(socket, len(asked)))
                try:
                    await dials._dial(asked, series)
                    if proved is None or all(dials.proved(port) for port in asked):
                        measuring.cancel()  # nothing can be weighed, or nothing was silent
                    await asyncio.gather(measuring, return_exceptions=True)
                finally:
                    measuring.cancel()
                if proved is None:
                    break  # without a control flow no silence can be proved, however often it is repeated
        finally:
            socket.close()
        return dials

    async def ask_calmly(self, ports: list[int], series: int) -> None:
        """Some ports were reached, and others are silent: a guard against floods lets in so few new connections a second that a burst uses
        them up. One attempt at a time, then, and far between."""
        silent = [port for port in ports if port in self.told and not self.settled_by_answer(port)]
        if not silent or not any(self.proved(port) for port in ports):
            return
        for port in silent[:CALM_PORTS]:
            await self.net.sleep(CALM_S)
            await self._dial([port], series, 1)
            self.throttled |= self.proved(port)

    def proved(self, port: int) -> bool:
        return any(row.outcome == "proved" for row in self.told.get(port, ()))

    def attempts(self, port: int) -> int:
        return sum(row.attempts for row in self.told.get(port, ()))

    def silence_proved(self, port: int) -> bool:
        return loss_is_excluded(*self.weather.both_ways, self.attempts(port), among=self._among)

    def settled(self, port: int) -> bool:
        rows = self.told.get(port)
        return bool(rows) and (self.settled_by_answer(port) or self.silence_proved(port))

    def settled_by_answer(self, port: int) -> bool:
        return any(row.outcome not in ("silent", "unsent") for row in self.told.get(port, ()))

    @property
    def _at_once(self) -> int:
        """Ports in one request."""
        return max(1, self.net.limits.dials // DIAL_ATTEMPTS)

    async def _dial(self, ports: list[int], series: int, attempts: int = DIAL_ATTEMPTS) -> None:
        for start in range(0, len(ports), self._at_once):
            wanted = port_ranges.compress(ports[start : start + self._at_once])
            reply = await self.net.ask(
                lambda id: control.Dial(
                    id=id,
                    series=series,
                    address=self.net.observed,
                    ports=wanted,  # noqa: B023
                    attempts=attempts,
                    spacing_ms=DIAL_SPACING_MS,
                    patience_ms=patience_ms(self.net),
                )
            )
            for row in reply.rows if isinstance(reply, control.Dialed) else ():
                self.told.setdefault(row.port, []).append(row)

    async def _measure(self, socket: UdpSocket, ports: int) -> None:
        """For as long as so many ports take."""
        for _ in range(0, ports, self._at_once):
            self.weather += await measure(self.net, socket)


def patience_ms(net: Network) -> int:
    """How long a connection attempt may take."""
    return int(500 + 4000 * net.rtt)


async def return_probes(
    net: Network, listeners: dict[int, Listener], series: int, outside: Mapping[int, int], moved: dict[int, int]
) -> None:
    """Return each nonce on the connection it came by: proof to the server that it is us who accepted.

    One that was sent to another port is not returned but noted in ``moved`` (port aimed at -> where it arrived): the rule changes the port.
    ``outside``: local port -> the public one, where they differ.
    """
    done: set[int] = set()

    def fresh() -> list[tuple[int, Stream]]:
        return [
            (port, stream)
            for port, listener in listeners.items()
            for stream in listener.accepted
            if id(stream) not in done and len(stream.received) >= probe.SIZE
        ]

    while True:
        await net.until(lambda: bool(fresh()), 3600)
        for port, stream in fresh():
            done.add(id(stream))
            found = probe_of(net, bytes(stream.received))
            if found is None or found.series != series:
                continue
            if found.item != outside.get(port, port):
                moved[found.item] = port
            else:
                stream.send(probe.serialize(found._replace(kind=probe.Kind.ECHO)))


def _row(
    need: PortNeed, port: int, dials: Dials | None, failure: LocalFailure | None = None, lands_on: int | None = None
) -> PortRow:
    rows = dials.told.get(port, []) if dials else []
    outcomes = {row.outcome: row for row in reversed(rows)}
    icmp = next((icmp_of(row.icmp) for row in rows if row.icmp is not None), None)
    state: State = "undecided"
    answered_by, reason = None, "the server cannot dial back" if dials is None else "no attempt was made"
    if "proved" in outcomes:
        state, reason = "forwarded", ""
    elif lands_on is not None:
        state, reason = "blocked", ""
    elif "connected" in outcomes:
        state, reason = "answered", "something accepted the connection that is not this test"
        answered_by = outcomes["connected"].detail or "a service that said nothing"
    elif "refused" in outcomes or "unreachable" in outcomes:
        row = outcomes.get("refused") or outcomes["unreachable"]
        state, reason = "refused", row.detail or row.outcome
        answered_by = "a reset from the probed address" if row.outcome == "refused" else row.detail
    elif "silent" in outcomes and dials is not None:
        if dials.throttled:
            reason = "something lets in so few new connections a second that silence proves nothing"
        elif dials.silence_proved(port):
            state, reason = "blocked", ""
        else:
            reason = unproved(*dials.weather.both_ways)
    elif rows:
        reason = f"the server could not send: {rows[-1].detail}"
    if failure is not None and state in ("blocked", "undecided", "refused"):
        state, reason = "undecided", str(failure)  # nothing of ours listened, so nothing could have been proved
    return PortRow(
        port=port,
        transport="tcp",
        purpose=need.purpose,
        required=need.required,
        state=state,
        answered_by=answered_by,
        copies=dials.attempts(port) if dials else 0,
        arrived=int(state == "forwarded"),
        reason=reason,
        icmp=icmp if state == "refused" and outcomes.keys().isdisjoint({"refused"}) else None,
        unbound=failure.reason if failure else None,
        lands_on=lands_on if state == "blocked" else None,
    )
