"""Does the box with the public address lead a port on to some machine?

A probe that may live exactly as far as that box tells it without anything having to answer: led on, it expires there, and the box says so
(ICMP time exceeded); not led on, it has arrived, and is taken, refused or dropped as the box does with any packet of its own. So a
rule shows even when whoever it leads to is silent, and a box that refuses is told from a machine behind it that does, though both bear
the public address. Routers look at the TTL before their own filter, so a rule that a filter undoes shows too.

How far the box is, a port that this machine has opened itself tells: packets to it are led on for certain, and expire at the box when
they may live that far. The same packets are the control beside the probes: a box that does not tell of expiry proves nothing by silence.
All come from the same address of the server: a router that saves its errors counts them by whom it tells (Linux: ``icmp_ratelimit``), and
what it has told another address shows nothing of what it would tell this one.
"""

import asyncio
import math
from typing import NamedTuple

from edgecheck.checks.port_forwarding.observation import Icmp
from edgecheck.checks.port_forwarding.udp import request
from edgecheck.checks.unsolicited import Inbox, margin, open_bare, sender
from edgecheck.model.check import Network, UdpSocket
from edgecheck.model.evidence import WRONG_BY_CHANCE
from edgecheck.wire import control, probe
from edgecheck.wire import ports as port_ranges
from edgecheck.wire.address import Endpoint, parse_endpoint

FARTHEST = 24
"""Hops from the server that are tried, at once; a session may have 32 requests in work."""
_COPIES = 3
_FEWEST, _MOST = 6, 24
_SPACING_MS = 40
REFILL_S = 4.0
"""A router that has just told much may save its next errors."""
_BURST = 6
"""Linux tells one peer of six errors at once and then of one a second (``icmp_ratelimit``): past that, silence may be thrift."""


class Crossing(NamedTuple):
    """What the box with the public address does with each port."""

    behind: int | None
    """Hops from it to this machine."""
    told: bool
    """It told of what expired there in the same moments."""
    led_on: dict[tuple[str, int], bool]
    """(transport, port): whether it leads it on; missing = could not tell."""
    reset: dict[int, bool]
    """TCP ports that are reset although the connection may not live beyond that box: whether before it, for certain."""
    canary: bool | None
    """Whether it leads on a UDP port that no rule names."""
    canary_tcp: str
    """How a connection to such a TCP port ended there; ``silent`` may be thrift where errors are what others are answered with."""


NOTHING = Crossing(None, False, {}, {}, None, "")


def hello(net: Network, port: int, series: int | None = None) -> bytes:
    """A packet of ours that is counted where it does arrive, and disturbs nobody."""
    return probe.serialize(probe.Probe(probe.Kind.ECHO, net.session, net.new_series() if series is None else series, 0, port=port))


def expired(error: control.ErrorRow | Icmp) -> bool:
    """Time exceeded in transit (RFC 792; RFC 4443 numbers it anew)."""
    return (error.icmp_type, error.icmp_code) == ((3, 0) if ":" in error.offender else (11, 0))


def able(net: Network) -> bool:
    """Whether the server can do it."""
    return {"hop-limit", "udp-errors"} <= set(net.service.capabilities) and all(net.service.probe_ports)


async def cross(net: Network, udp: list[int], tcp: list[int], avoid: set[int], loss: float) -> Crossing:
    """``loss``: of one way, as measured just before."""
    own = sender(net, "AX")
    if not able(net) or own is None:
        return NOTHING
    socket = await net.open_udp()
    bare = await open_bare(net, avoid)
    try:
        at = await _opened(net, socket, own)
        if at is None or at.host != net.observed or not bare:
            return NOTHING
        return await _Box(net, socket, at, loss).asked(udp, tcp, bare[0].local.port)
    finally:
        for each in (socket, *bare):
            each.close()


async def _opened(net: Network, socket: UdpSocket, own: Endpoint) -> Endpoint | None:
    """Open the port towards the server's probe socket; where it is outside, by that socket's own account where it was heard."""
    at = await net.proved(socket)
    series = net.new_series()
    for _ in range(_COPIES):
        socket.send(hello(net, socket.local.port, series), own)
    await net.sleep(margin(net))
    account = await net.account(series)
    seen = [parse_endpoint(row.source) for row in account.received if row.listener == "AX"] if account else []
    return seen[0] if seen else at


class _Box:
    """The box with the public address, and the open port that shows how far it is."""

    def __init__(self, net: Network, socket: UdpSocket, at: Endpoint, loss: float) -> None:
        self.net = net
        self.socket = socket
        self.at = at
        lost = 1 - (1 - loss) ** 2  # in with the probe, out with the answer
        self.copies = max(_FEWEST, math.ceil(math.log(WRONG_BY_CHANCE) / math.log(lost))) if 0 < lost < 1 else _MOST + 1

    async def asked(self, udp: list[int], tcp: list[int], canary: int) -> Crossing:
        distances = await asyncio.gather(*(self._open_port(hops) for hops in range(1, FARTHEST + 1)))
        arrived = [hops for hops, (reached, _) in enumerate(distances, 1) if reached]
        tells = [hops for hops, (_, errors) in enumerate(distances, 1) if self._expired_there(errors)]
        if not arrived or not tells or tells[0] >= arrived[0]:
            return NOTHING
        box = tells[0]
        while True:
            control_told, before, told, rows = await asyncio.gather(
                self._open_port(box), self._open_port(box - 1), self._probe([*udp, canary], box), self._dial([*tcp, canary], box)
            )
            if box > 1 and self._expired_there(before[1]):
                box -= 1  # what was nearer had been lost: a machine behind the NAT bears the public address, too
                continue
            break
        told_now = self._expired_there(control_told[1]) >= _COPIES - 1
        led_on = self._led_on([*udp, canary], told, rows, told_now)
        unclear_udp = [port for port in (*udp, canary) if ("udp", port) not in led_on]
        unclear_tcp = [port for port in (*tcp, canary) if ("tcp", port) not in led_on]
        dials = rows
        if unclear_udp or unclear_tcp:
            later, told_later, dialed_later = await self._once_more(unclear_udp, unclear_tcp, box)
            led_on, told_now = led_on | later, told_now or told_later
            dials = (*dialed_later, *(row for row in rows if row.port not in unclear_tcp))
        again = [row.port for row in dials if row.outcome == "refused" and row.port != canary]
        upstream = {row.port for row in await self._dial(again, box - 1) if row.outcome == "refused"} if again and box > 1 else set()
        return Crossing(
            behind=arrived[0] - box,
            told=told_now,
            led_on={key: value for key, value in led_on.items() if key[1] != canary},
            reset={port: port in upstream for port in again},
            canary=led_on.get(("udp", canary)),
            canary_tcp=next((row.outcome for row in dials if row.port == canary and told_now), ""),
        )

    async def _once_more(
        self, udp: list[int], tcp: list[int], box: int
    ) -> tuple[dict[tuple[str, int], bool], bool, tuple[control.DialRow, ...]]:
        """What could not be told, when the router may have saved its errors: after a while, and with nothing else beside it."""
        await self.net.sleep(REFILL_S)
        beside, errors, dialed = await asyncio.gather(self._open_port(box), self._probe(udp, box), self._dial(tcp, box))
        told = self._expired_there(beside[1]) >= _COPIES - 1
        return self._led_on(udp, errors, dialed, told), told, dialed

    def _expired_there(self, errors: tuple[control.ErrorRow, ...]) -> int:
        return sum(error.copies for error in errors if expired(error) and error.offender == self.net.observed)

    def _led_on(
        self, udp: list[int], told: tuple[control.ErrorRow, ...], rows: tuple[control.DialRow, ...], told_now: bool
    ) -> dict[tuple[str, int], bool]:
        mine = [error for error in told if error.offender == self.net.observed]
        out: dict[tuple[str, int], bool] = {("udp", error.port): False for error in mine}
        out |= {("udp", error.port): True for error in mine if expired(error)}
        for row in rows:
            if row.icmp is not None and row.icmp.offender == self.net.observed:
                out["tcp", row.port] = expired(row.icmp)
            elif row.outcome in ("connected", "proved"):
                out["tcp", row.port] = False
        thrift = sum(error.copies for error in mine) + sum(row.attempts for row in rows if row.icmp is not None)
        if told_now and thrift < _BURST and self.copies <= min(_MOST, self.net.limits.copies):
            silent = [("udp", port) for port in udp] + [("tcp", row.port) for row in rows if row.outcome == "silent"]
            out = {**dict.fromkeys(silent, False), **out}
        return out

    async def _open_port(self, hops: int) -> tuple[bool, tuple[control.ErrorRow, ...]]:
        """Packets to the port that is open: whether one arrived, and what was told of them."""
        if hops < 1:
            return False, ()
        net, series = self.net, self.net.new_series()
        inbox = Inbox(net, self.socket, series)
        await net.ask(lambda id: request(id, series, self.at.host, [self.at.port], ("AX",), 0, _COPIES, _SPACING_MS, hops))
        await net.until(lambda: inbox.count(sender(net, "AX")) > 0, 2 * margin(net))
        account = await net.account(series)
        return inbox.count(sender(net, "AX")) > 0, account.errors if account else ()

    async def _probe(self, ports: list[int], hops: int) -> tuple[control.ErrorRow, ...]:
        if not ports:
            return ()
        net, series = self.net, self.net.new_series()
        copies = min(self.copies, _MOST, net.limits.copies)
        await net.ask(lambda id: request(id, series, net.observed, ports, ("AX",), net.pace, copies, _SPACING_MS, hops))
        await net.sleep(2 * margin(net))
        account = await net.account(series)
        return account.errors if account else ()

    async def _dial(self, ports: list[int], hops: int) -> tuple[control.DialRow, ...]:
        net, attempts = self.net, min(self.copies, _MOST)
        ports = ports[: net.limits.dials // attempts]
        if len(ports) < 1 or "dial" not in net.service.capabilities:
            return ()
        reply = await net.ask(
            lambda id: control.Dial(
                id=id,
                series=net.new_series(),
                address=net.observed,
                ports=port_ranges.compress(ports),
                sender="A",
                attempts=attempts,
                spacing_ms=_SPACING_MS,
                patience_ms=int(300 + 3000 * net.rtt),
                hops=hops,
            )
        )
        return reply.rows if isinstance(reply, control.Dialed) else ()
