"""Where the server's primary address is let in, which has knocked at no port: the witness for a prober that is let in nowhere.

A rule leads on whoever asks. So where this address is let in, and neither at a port without a rule nor at one that has contacted it, there
is a rule; and where the prober stays outside all the same, its silence proves nothing.

On a NAT that lets in whoever was contacted, it is let in at a port that has contacted it, rule or none. A port of which nothing of the kind
is known proves no rule then, since another program may have used it; but that the one address is let in there and the other is not, no
missing rule explains: the prober's silence proves nothing either.
"""

import asyncio
import contextlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from edgecheck.checks.port_forwarding.asking import End, Manner, Place, ask, heard, let_in, open_end, place_of
from edgecheck.checks.port_forwarding.observation import PortRow
from edgecheck.checks.unsolicited import open_bare, remembered
from edgecheck.model.check import Network, UdpSocket
from edgecheck.model.errors import LocalFailure, RequestDeclined

MOST_ASKED = 4
"""Ports of a transport: who is shut out is so at all of them, and few knocks shut out nobody."""
_COPIES, _SPACING_MS, _PATIENCE_MS = 4, 20, 100
_DATAGRAMS = 8
"""Copies to a UDP port of ours, as many as a server allows: they are one flow, and disturb nobody."""
_TO_CANARIES = 3
"""Copies: more would be the very knocking that shuts out."""


class Led(NamedTuple):
    """Ports at which it is let in."""

    rules: list[PortRow] = []
    """Only a rule explains it."""
    unused: list[PortRow] = []
    """This NAT lets in whoever was contacted, and this machine is not known to have sent from them lately."""

    @property
    def rows(self) -> list[PortRow]:
        """Those at which the prober's silence tells of no missing rule."""
        return [*self.rules, *self.unused]


async def led_in(net: Network, rows: Sequence[PortRow], avoid: Collection[int], most: int = MOST_ASKED) -> Led:
    """Those of these at which it is let in. ``avoid``: ports that are no canaries; ``most``: of a transport.

    None where it is let in at a port that has contacted nobody as well.
    """
    asked = [row for one in ("udp", "tcp") for row in [row for row in rows if row.transport == one][:most]]
    there = await let_in_at(net, asked)
    if not there:
        return Led()
    try:
        anywhere, contacted = await _lets_in_anyhow(net, avoid, {row.transport for row in there})
    except (LocalFailure, RequestDeclined):
        return Led()
    if anywhere:
        return Led()
    return Led(unused=[row for row in there if not remembered(net.memory.sent_from(row.port, row.transport))]) if contacted else Led(there)


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


async def _lets_in_anyhow(net: Network, avoid: Collection[int], transports: Collection[str]) -> tuple[bool, bool]:
    """Whether it is let in where no rule leads: on a port that has contacted nobody (or that could not be told); on one that has
    contacted it."""
    socket = await net.open_udp()
    bare: list[UdpSocket] = []
    ends: dict[Place, End] = {}
    try:
        at = await net.proved(socket) or await net.proved(socket)  # UDP gets through: much loss may hold it up once
        if at is None or at.host != net.observed:
            return True, True
        bare = await open_bare(net, avoid)
        used: Place = "udp", at.port
        ends[used] = socket
        ends |= {("udp", one.local.port): one for one in bare[:1]}
        if "tcp" in transports:
            listener = await net.listen_tcp(0)
            ends["tcp", listener.local.port] = listener
        there = await _ask_all(net, dict.fromkeys(ends, False), ends, _TO_CANARIES)
        contacted = used in there
        if there == {used}:  # on this NAT much hangs on what is silent: more of it
            more: dict[Place, End] = {("udp", one.local.port): one for one in bare[1:]}
            there |= await _ask_all(net, dict.fromkeys(more, False), more, _TO_CANARIES)
        return not there <= {used}, contacted
    finally:
        _close((socket, *bare, *ends.values()))


async def _ask_all(net: Network, places: Mapping[Place, bool], ends: Mapping[Place, End], copies: int = _COPIES) -> set[Place]:
    """``places``: with whether a service holds the port."""
    series = net.new_series()

    def manner(place: Place, held: bool) -> Manner:
        one_flow = copies == _COPIES and place[0] == "udp" and not held
        return Manner(held, _DATAGRAMS if one_flow else copies, _SPACING_MS, _PATIENCE_MS)

    told = await asyncio.gather(*(ask(net, "A", place, manner(place, held), series) for place, held in places.items()))
    # Where a port is ours, a stranger's answer (over UDP nobody notes it of the prober) is no arrival here.
    answered = {place for place, row in zip(places, told, strict=True) if places[place] and let_in(row)}
    return answered | {place for place, end in ends.items() if heard(net, end, series, place[1])}


def _close(ends: Iterable[End]) -> None:
    for end in ends:
        end.close()
