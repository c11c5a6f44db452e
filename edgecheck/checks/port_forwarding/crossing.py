"""Does the box with the public address lead a port on to some machine?

A probe that may live exactly as far as that box tells it without anything having to answer: led on, it expires there, and the box says so
(ICMP time exceeded); not led on, it has arrived, and is taken, refused or dropped as the box does with any packet of its own. So a
rule shows even when whoever it leads to is silent, and a box that refuses is told from a machine behind it that does, though both bear
the public address. Routers look at the TTL before their own filter, so a rule that a filter undoes shows too.

How far the box is, a port that this machine has opened itself tells: packets to it are led on for certain, and expire at the box when
they may live that far. The same packets are the control behind each probe: see ``paired``. An expiry proves a rule for the never-contacted
address alone: of the contacted one a router may think differently. Silence proves that there is none only where it is certain which
box it is: the next one before it speaks under another address, or the walk from inside counts as many hops.
"""

import asyncio
import math
from typing import NamedTuple

from edgecheck.checks.port_forwarding.expiring_tcp import tells_of_tcp
from edgecheck.checks.port_forwarding.observation import Icmp
from edgecheck.checks.port_forwarding.paired import expired, taken_there
from edgecheck.checks.port_forwarding.udp import icmp_of, request
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
_ACCEPTED = ("connected", "proved")
_SPACING_MS = 40


class Crossing(NamedTuple):
    """What the box with the public address does with each port."""

    behind: int | None
    """Hops from it to this machine."""
    told: bool
    """It told of packets to an open port that expired there."""
    led_on: dict[tuple[str, int], bool]
    """(transport, port): whether it leads it on; missing = could not tell."""
    reset: dict[int, bool]
    """TCP ports that are reset although the connection may not live beyond that box: whether before it, for certain."""
    canary: bool | None
    """Whether it leads on a UDP port that no rule names."""
    canary_tcp: str
    """How a connection to such a TCP port ended there; ``silent`` may be thrift where errors are what others are answered with."""
    canary_error: Icmp | None
    """How it refused a UDP port that no rule names."""
    expiry_ttl: int | None = None
    """TTL on arrival of the box's own errors."""
    before: tuple[str, ...] = ()
    """Who tells of packets that expire before it."""
    answered: dict[int, bool] = {}
    """TCP ports that accept a connection that may not live beyond that box: whether before it, for certain."""
    reset_by_box: dict[int, bool] = {}
    """TCP ports that it leads on and that are reset: whether the reset comes from as far as the box, or (False) from right behind it."""


NOTHING = Crossing(None, False, {}, {}, None, "", None)
_NEARLY = 4
"""A machine behind the box whose reset begins with the TTL of the box's errors is so many hops behind it at most; the box's own resets may
begin with another."""


def of_the_box(ttl: int | None, own: int | None) -> bool | None:
    """Whether an ICMP error that arrived with this TTL was made by the box, whose own arrive with ``own``; None: could not tell."""
    return None if ttl is None or own is None else ttl == own


def hello(net: Network, port: int, series: int | None = None) -> bytes:
    """A packet of ours that is counted where it does arrive, and disturbs nobody."""
    return probe.serialize(probe.Probe(probe.Kind.ECHO, net.session, net.new_series() if series is None else series, 0, port=port))


def able(net: Network) -> bool:
    """Whether the server can do it."""
    return {"hop-limit", "udp-errors"} <= set(net.service.capabilities) and all(net.service.probe_ports)


async def cross(
    net: Network, udp: list[int], tcp: list[int], avoid: set[int], loss: float, owner_hop: int | None, refused: list[int]
) -> Crossing:
    """``loss``: of one way, as measured just before. ``owner_hop``: how far the box is from here, as the walk from inside told.

    ``refused``: those UDP ports that somebody refused.
    """
    own = sender(net, "AX")
    if not able(net) or own is None:
        return NOTHING
    socket = await net.open_udp()
    bare = await open_bare(net, avoid)
    try:
        at = await _opened(net, socket, own)
        if at is None or at.host != net.observed or not bare:
            return NOTHING
        return await _Box(net, socket, at, loss, owner_hop).asked(udp, tcp, bare[0].local.port, refused)
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

    def __init__(self, net: Network, socket: UdpSocket, at: Endpoint, loss: float, owner_hop: int | None) -> None:
        self.net = net
        self.socket = socket
        self.at = at
        self.owner_hop = owner_hop
        lost = 1 - (1 - loss) ** 2  # in with the probe, out with the answer
        self.copies = max(_FEWEST, math.ceil(math.log(WRONG_BY_CHANCE) / math.log(lost))) if 0 < lost < 1 else _MOST + 1

    async def asked(self, udp: list[int], tcp: list[int], canary: int, refused: list[int]) -> Crossing:
        distances = await asyncio.gather(*(self._open_port(hops) for hops in range(1, FARTHEST + 1)))
        arrived = [hops for hops, (reached, _) in enumerate(distances, 1) if reached]
        tells = [hops for hops, (_, errors) in enumerate(distances, 1) if self._expired_there(errors)]
        if not arrived or not tells or tells[0] >= arrived[0]:
            return NOTHING
        box, certain = await self._nearest(tells[0], distances)
        behind = arrived[0] - box
        certain = certain or self.owner_hop == behind
        told, rows = await asyncio.gather(self._probe([*udp, canary], box), self._dial([*tcp, canary], box))
        led_on = self._told(told, rows)
        reset: dict[int, bool] = {}
        answered: dict[int, bool] = {}
        if certain:
            answered = await self._before([row.port for row in rows if row.outcome in _ACCEPTED and row.port != canary], box, _ACCEPTED)
            reset = await self._before([row.port for row in rows if row.outcome == "refused" and row.port != canary], box, ("refused",))
            silent = [key for key in [("udp", port) for port in udp] + [("tcp", row.port) for row in rows] if key not in led_on]
            open_ones = [key for key in silent if key[1] not in (canary, *reset)]
            if open_ones or any(not value for value in led_on.values()):
                open_ones = await self._weighable(open_ones, led_on, box)
                led_on |= await self._taken(open_ones, canary if ("udp", canary) not in led_on else None, box, refused[:1])
        else:
            led_on = {key: value for key, value in led_on.items() if value}
        ttls = {error.ttl for error in distances[box - 1][1] if expired(error) and error.offender == self.net.observed}
        ttl = ttls.pop() if len(ttls) == 1 else None
        before = dict.fromkeys(error.offender for _, errors in distances[: box - 1] for error in errors if expired(error))
        beyond = [port for port in tcp if led_on.get(("tcp", port)) is True]
        error = next((error for error in told if error.port == canary and error.offender == self.net.observed and not expired(error)), None)
        return Crossing(
            behind=behind,
            told=True,
            led_on={key: value for key, value in led_on.items() if key[1] != canary},
            reset=reset,
            answered=answered,
            canary=led_on.get(("udp", canary)),
            canary_tcp=next((row.outcome for row in rows if row.port == canary and certain), ""),
            canary_error=icmp_of(error) if error is not None and certain else None,
            expiry_ttl=ttl,
            before=tuple(host for host in before if host != self.net.observed),
            reset_by_box=await self._reset_from(beyond, ttl) if beyond and ttl is not None else {},
        )

    async def _reset_from(self, ports: list[int], ttl: int) -> dict[int, bool]:
        """By a floor for the TTL of what answers: a reset that arrives with less is not heard."""
        if "least-ttl" not in self.net.service.capabilities:
            return {}
        any_at_all, near, same, more = [
            {row.port: row.outcome for row in await self._dial(ports, 0, least)} for least in (0, ttl - _NEARLY, ttl, ttl + 1)
        ]
        reset = [port for port in ports if any_at_all.get(port) == near.get(port) == "refused" and more.get(port) == "silent"]
        return {port: same[port] == "refused" for port in reset if same.get(port) in ("refused", "silent")}

    async def _nearest(self, box: int, distances: list[tuple[bool, tuple[control.ErrorRow, ...]]]) -> tuple[int, bool]:
        """The first hop that speaks under the public address, and whether it is the box itself for certain: a machine behind the NAT bears
        that address, too, where the box is silent."""
        while box > 1:
            _, again = await self._open_port(box - 1)
            before = (*distances[box - 2][1], *again)
            if not self._expired_there(before):
                return box, any(expired(error) for error in before)
            box -= 1  # what was nearer had been lost
        return box, True

    async def _weighable(self, keys: list[tuple[str, int]], led_on: dict[tuple[str, int], bool], box: int) -> list[tuple[str, int]]:
        """Without those of TCP, where the box is not known to tell of TCP that expires: its silence about them means nothing."""
        known = any(value for (transport, _), value in led_on.items() if transport == "tcp")
        if known or not any(transport == "tcp" for transport, _ in keys) or await tells_of_tcp(self.net, box):
            return keys
        return [key for key in keys if key[0] != "tcp"]

    async def _taken(
        self, keys: list[tuple[str, int]], canary: int | None, hops: int, refused: list[int]
    ) -> dict[tuple[str, int], bool]:
        """Of the silent ones those that the box took for certain; and so of the canary, if that was silent.

        ``refused``: ports that are refused. The box may deal out its refusals more sparingly than its words about what expires: the canary,
        which goes first, is silent only where of that one was told each time.
        """
        udp, tcp = ([port for transport, port in keys if transport == wanted] for wanted in ("udp", "tcp"))
        first = [canary, *refused] if canary is not None else []
        taken = await taken_there(self.net, self.at, hops, [*first, *udp], tcp)
        # A canary that is refused differs from one of which nothing is told; how it was refused is of no use here.
        thrifty = bool(refused) and ("udp", refused[0]) not in taken.each_time
        silent = frozenset() if thrifty else taken.silent
        return dict.fromkeys((taken.silent | taken.refused) - ({("udp", canary)} - silent), False)

    async def _before(self, ports: list[int], box: int, ended: tuple[str, ...]) -> dict[int, bool]:
        """Connections to these end so there: whether one hop before, too."""
        upstream = {row.port for row in await self._dial(ports, box - 1) if row.outcome in ended} if ports and box > 1 else set()
        return {port: port in upstream for port in ports}

    def _expired_there(self, errors: tuple[control.ErrorRow, ...]) -> int:
        return sum(error.copies for error in errors if expired(error) and error.offender == self.net.observed)

    def _told(self, told: tuple[control.ErrorRow, ...], rows: tuple[control.DialRow, ...]) -> dict[tuple[str, int], bool]:
        """What somebody's answer tells; silence is another matter."""
        mine = [error for error in told if error.offender == self.net.observed]
        out: dict[tuple[str, int], bool] = {("udp", error.port): False for error in mine}
        out |= {("udp", error.port): True for error in mine if expired(error)}
        for row in rows:
            if row.icmp is not None and row.icmp.offender == self.net.observed:
                out["tcp", row.port] = expired(row.icmp)
            elif row.outcome in _ACCEPTED:
                out["tcp", row.port] = False
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
        net, series = self.net, self.net.new_series()
        copies = min(self.copies, _MOST, net.limits.copies)
        await net.ask(lambda id: request(id, series, net.observed, ports, ("BX",), net.pace, copies, _SPACING_MS, hops))
        await net.sleep(2 * margin(net))
        account = await net.account(series)
        return account.errors if account else ()

    async def _dial(self, ports: list[int], hops: int, least_ttl: int = 0) -> tuple[control.DialRow, ...]:
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
                attempts=attempts,
                spacing_ms=_SPACING_MS,
                patience_ms=int(300 + 3000 * net.rtt),
                hops=hops,
                least_ttl=max(0, least_ttl),
            )
        )
        return reply.rows if isinstance(reply, control.Dialed) else ()
