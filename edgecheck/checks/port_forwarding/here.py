"""Does it arrive at this machine after all? Told by the system's own counters, which anyone may read on Linux.

A burst to one port is held against quiet stretches before and after. Whatever else this machine receives is counted, too, so only a
clear margin says anything: the burst nearly whole, and next to nothing while it was quiet. Anything between is "could not tell".
"""

import asyncio
import math
from typing import Literal, NamedTuple

from edgecheck.checks.port_forwarding.observation import PortRow
from edgecheck.checks.port_forwarding.tcp import patience_ms
from edgecheck.checks.port_forwarding.udp import request
from edgecheck.checks.unsolicited import margin
from edgecheck.model.check import Counters, Network
from edgecheck.model.errors import LocalFailure
from edgecheck.model.evidence import WRONG_BY_CHANCE
from edgecheck.wire import control

Here = Literal["dropped", "nobody-listens", "nothing"]
QUIET = 2
"""Counts in all during the whole examination that are nobody's probes."""
MOST_BURSTS = 4
"""Ports of each transport that get a burst of their own."""
_COPIES, _ATTEMPTS = 24, 16
_STRETCH_S = 0.25


class Rise(NamedTuple):
    """How far the counters rose."""

    undelivered: int
    nobody: int

    @classmethod
    def between(cls, before: Counters, after: Counters, transport: str) -> "Rise":
        """``nobody``: datagrams without a listener, or resets sent."""
        udp = after.no_listener_udp - before.no_listener_udp
        return cls(after.undelivered - before.undelivered, udp if transport == "udp" else after.resets_sent - before.resets_sent)


def read(sent: int, burst: Rise, quiet: tuple[Rise, ...], kept: float) -> Here | None:
    """What a burst of ``sent``, of which a share ``kept`` was not lost on the way, says; None = nothing clear. Pure."""
    if _chance_of_so_few(int(sent / 8), sent, kept) >= WRONG_BY_CHANCE:
        return None  # so much is lost that a burst could not be told from noise
    enough, next_to_nothing = 0.75 * sent * kept, sent / 8
    for one, other, means in (
        ("undelivered", "nobody", "dropped"),
        ("nobody", "undelivered", "nobody-listens"),
    ):
        clear = max((getattr(each, one) for each in quiet), default=0) <= next_to_nothing
        if clear and getattr(burst, one) >= enough and getattr(burst, other) <= next_to_nothing:
            return means  # type: ignore[return-value]
    return "nothing" if max(*burst, *(count for each in quiet for count in each)) <= next_to_nothing else None


async def look(
    net: Network, rows: list[PortRow], whole: tuple[Counters | None, Counters | None], kept: float
) -> dict[tuple[str, int], Here]:
    """What became here of probes to these ports. ``whole``: the counters before and after the rounds that have found them silent."""
    before, after = whole
    if before is None or after is None:
        return {}
    found: dict[tuple[str, int], Here] = {}
    for transport in ("udp", "tcp"):
        mine = [row for row in rows if row.transport == transport and row.unbound is None]
        rise = Rise.between(before, after, transport)
        if max(rise) <= QUIET:
            # Had they come, they would be counted, unless all but that many were lost.
            found |= {(transport, row.port): "nothing" for row in mine if _chance_of_so_few(QUIET, row.copies, kept) < WRONG_BY_CHANCE}
        for row in [row for row in mine if (transport, row.port) not in found][:MOST_BURSTS]:
            seen = await _burst(net, row, kept)
            if seen is not None:
                found[transport, row.port] = seen
    return found


def _chance_of_so_few(most: int, sent: int, kept: float) -> float:
    """That loss alone leaves so many of them, or fewer."""
    return sum(math.comb(sent, count) * kept**count * (1 - kept) ** (sent - count) for count in range(min(most, sent) + 1))


async def _burst(net: Network, row: PortRow, kept: float) -> Here | None:
    try:
        # Listening, or its own silence would look like nobody's.
        opened = await net.open_udp(row.port) if row.transport == "udp" else await net.listen_tcp(row.port)
    except LocalFailure:
        return None
    try:
        marks = [net.counters()]
        await net.sleep(_STRETCH_S)
        marks.append(net.counters())
        sent = await (_probes(net, row.port) if row.transport == "udp" else _connections(net, row.port))
        await net.sleep(margin(net))
        marks.append(net.counters())
        await net.sleep(_STRETCH_S)
        marks.append(net.counters())
    finally:
        opened.close()
    first, second, third, fourth = marks
    if first is None or second is None or third is None or fourth is None or not sent:
        return None
    between = (Rise.between(*pair, row.transport) for pair in ((first, second), (second, third), (third, fourth)))
    quiet_before, burst, quiet_after = between
    return read(sent, burst, (quiet_before, quiet_after), kept)


async def _probes(net: Network, port: int) -> int:
    series, copies = net.new_series(), min(_COPIES, net.limits.copies)
    reply = await net.ask(lambda id: request(id, series, net.observed, [port], ("BX",), 0, copies, 5))
    return reply.sent if isinstance(reply, control.Probed) else 0


async def _connections(net: Network, port: int) -> int:
    series, attempts = net.new_series(), min(_ATTEMPTS, net.limits.dials)
    asked = net.ask(
        lambda id: control.Dial(
            id=id,
            series=series,
            address=net.observed,
            ports=((port, port),),
            attempts=attempts,
            spacing_ms=5,
            patience_ms=min(patience_ms(net), 700),
        )
    )
    reply, _ = await asyncio.gather(asked, net.sleep(0))
    return reply.rows[0].attempts if isinstance(reply, control.Dialed) and reply.rows else 0
