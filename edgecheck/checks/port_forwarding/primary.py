"""Where the server's primary address is let in, which has knocked at no port: the witness for a prober that is let in nowhere.

A rule leads on whoever asks. So where this address is let in, and neither at a port without a rule nor at one that has contacted it, there
is a rule; and where the prober stays outside all the same, its silence proves nothing.
"""

import asyncio
import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence

from edgecheck.checks.port_forwarding.asking import End, Manner, Place, ask, heard, let_in, open_end, place_of
from edgecheck.checks.port_forwarding.observation import PortRow
from edgecheck.checks.unsolicited import open_bare
from edgecheck.model.check import Network, UdpSocket
from edgecheck.model.errors import LocalFailure, RequestDeclined

MOST_ASKED = 4
"""Ports of a transport: who is shut out is so at all of them, and few knocks shut out nobody."""
_COPIES, _SPACING_MS, _PATIENCE_MS = 4, 20, 100
_TO_CANARIES = 3
"""Copies: more would be the very knocking that shuts out."""


async def led_in(net: Network, rows: Sequence[PortRow], avoid: Collection[int], most: int = MOST_ASKED) -> list[PortRow]:
    """Those of these at which it is let in and only a rule explains it. ``avoid``: ports that are no canaries; ``most``: of a transport.

    None where it is let in at a canary as well: on any port, or on one that has contacted it.
    """
    asked = [row for one in ("udp", "tcp") for row in [row for row in rows if row.transport == one][:most]]
    there = await let_in_at(net, asked)
    try:
        return [] if not there or await _lets_in_anyhow(net, avoid, {row.transport for row in there}) else there
    except (LocalFailure, RequestDeclined):
        return []


async def let_in_at(net: Network, rows: Sequence[PortRow]) -> list[PortRow]:
    """Those of these at which it is let in, for whatever reason."""
    if "inquire" not in net.service.capabilities:
        return []
    ends: dict[Place, End] = {}
    try:
        for row in [row for row in rows if not row.asked]:
            with contextlib.suppress(LocalFailure):  # taken meanwhile; the others are witnesses as before
                ends[place_of(row)] = await open_end(net, place_of(row))
        there = await _ask_all(net, {place_of(row): row.asked for row in rows if row.asked or place_of(row) in ends}, ends)
    except RequestDeclined:
        return []
    finally:
        _close(ends.values())
    return [row for row in rows if place_of(row) in there]


async def _lets_in_anyhow(net: Network, avoid: Collection[int], transports: Collection[str]) -> bool:
    """Whether it is let in where no rule leads: on a port that has contacted it, or that has contacted nobody."""
    contacted = await net.open_udp()
    bare: list[UdpSocket] = []
    ends: dict[Place, End] = {}
    try:
        at = await net.proved(contacted)
        if at is None or at.host != net.observed:
            return True
        bare = await open_bare(net, avoid)
        ends["udp", at.port] = contacted
        ends |= {("udp", one.local.port): one for one in bare[:1]}
        if "tcp" in transports:
            listener = await net.listen_tcp(0)
            ends["tcp", listener.local.port] = listener
        return bool(await _ask_all(net, dict.fromkeys(ends, False), ends, _TO_CANARIES))
    finally:
        _close((contacted, *bare, *ends.values()))


async def _ask_all(net: Network, places: Mapping[Place, bool], ends: Mapping[Place, End], copies: int = _COPIES) -> set[Place]:
    """``places``: with whether a service holds the port."""
    series = net.new_series()
    told = await asyncio.gather(
        *(ask(net, "A", place, Manner(held, copies, _SPACING_MS, _PATIENCE_MS), series) for place, held in places.items())
    )
    # Where a port is ours, a stranger's answer (over UDP nobody notes it of the prober) is no arrival here.
    answered = {place for place, row in zip(places, told, strict=True) if places[place] and let_in(row)}
    return answered | {place for place, end in ends.items() if heard(net, end, series, place[1])}


def _close(ends: Iterable[End]) -> None:
    for end in ends:
        end.close()
