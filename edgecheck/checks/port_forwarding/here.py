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

Here = Literal["dropped", "reverse-path", "nobody-listens", "led-on", "nothing"]
ARRIVED = frozenset({"dropped", "reverse-path", "nobody-listens", "led-on", "taken"})
"""What shows that it came to this machine."""
QUIET = 2
"""Counts in all during the whole examination that are nobody's probes."""
MOST_BURSTS = 4
"""Ports of each transport that get a burst of their own."""
_COPIES, _ATTEMPTS = 24, 16
_STRETCH_S = 0.25
_TURNS = 2
"""Copies of the rounds before may still come in while nobody listens for them any more."""


class Rise(NamedTuple):
    """How far the counters rose."""

    undelivered: int
    nobody: int
    led_on: int = 0
    taken: int = 0
    """Datagrams that programs have read, or connections that were accepted; see ``elsewhere``."""
    reverse_path: int = 0
    """Those of ``undelivered`` that the check of senders dropped."""

    @classmethod
    def between(cls, before: Counters, after: Counters, transport: str) -> "Rise":
        """``nobody``: datagrams without a listener, or resets sent."""
        udp, tcp = after.no_listener_udp - before.no_listener_udp, after.resets_sent - before.resets_sent
        read, accepted = after.read_udp - before.read_udp, after.accepted_tcp - before.accepted_tcp
        over_udp = transport == "udp"
        return cls(
            after.undelivered - before.undelivered,
            udp if over_udp else tcp,
            after.led_on - before.led_on,
            read if over_udp else accepted,
            after.reverse_path - before.reverse_path,
        )

    @property
    def lost(self) -> tuple[int, int, int]:
        """What no program of this machine got."""
        return self.undelivered, self.nobody, self.led_on


class Burst(NamedTuple):
    """A burst, and the quiet around it."""

    sent: int
    rise: Rise
    quiet: tuple[Rise, ...]


def read(sent: int, rise: Rise, quiet: tuple[Rise, ...], kept: float) -> Here | None:
    """What a burst of ``sent``, of which a share ``kept`` was not lost on the way, says; None = nothing clear. Pure."""
    if _chance_of_so_few(int(sent / 8), sent, kept) >= WRONG_BY_CHANCE:
        return None  # so much is lost that a burst could not be told from noise
    enough, next_to_nothing = 0.75 * sent * kept, sent / 8
    meanings: tuple[Here, ...] = ("dropped", "nobody-listens", "led-on")
    for place, means in enumerate(meanings):
        clear = max((each.lost[place] for each in quiet), default=0) <= next_to_nothing
        others = [count for number, count in enumerate(rise.lost) if number != place]
        if clear and rise.lost[place] >= enough and max(others) <= next_to_nothing:
            return "reverse-path" if means == "dropped" and rise.reverse_path >= enough else means
    return "nothing" if max(*rise.lost, *(count for each in quiet for count in each.lost)) <= next_to_nothing else None


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
        if max(rise.lost) <= QUIET:
            # Had they come, they would be counted, unless all but that many were lost.
            found |= {(transport, row.port): "nothing" for row in mine if _chance_of_so_few(QUIET, row.copies, kept) < WRONG_BY_CHANCE}
        for row in [row for row in mine if (transport, row.port) not in found][:MOST_BURSTS]:
            for _ in range(_TURNS):
                seen = await burst(net, row)
                means = read(seen.sent, seen.rise, seen.quiet, kept) if seen is not None and seen.sent else None
                if means is not None:
                    found[transport, row.port] = means
                if means is not None or seen is None:
                    break
    return found


def _chance_of_so_few(most: int, sent: int, kept: float) -> float:
    """That loss alone leaves so many of them, or fewer."""
    return sum(math.comb(sent, count) * kept**count * (1 - kept) ** (sent - count) for count in range(min(most, sent) + 1))


async def burst(net: Network, row: PortRow) -> Burst | None:
    """A burst to one port, with a quiet stretch before and after. None: no counters here, or the port is not to be had."""
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
    if first is None or second is None or third is None or fourth is None:
        return None
    between = (Rise.between(*pair, row.transport) for pair in ((first, second), (second, third), (third, fourth)))
    quiet_before, rise, quiet_after = between
    return Burst(sent, rise, (quiet_before, quiet_after))


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
