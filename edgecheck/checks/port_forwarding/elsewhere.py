"""Does what is led on come to this machine after all, where this test does not hear it: at a port that another program holds, or on its way
through to a container?

No counter of drops shows that. For UDP the system counts what its programs have read, for packets that it leads on what it has forwarded: a
burst against quiet stretches before and after, as in ``here``. For TCP its table of connections shows to which port somebody connects from
where the server says that it did; one that stays half open is there, too: its answers get lost.
"""

import asyncio
from collections.abc import Iterable

import msgspec

from edgecheck.checks.port_forwarding.asking import Manner, ask
from edgecheck.checks.port_forwarding.here import ARRIVED, Rise, burst
from edgecheck.checks.port_forwarding.observation import PortRow
from edgecheck.model.check import Network, Sightings
from edgecheck.model.errors import LocalFailure, RequestDeclined
from edgecheck.wire.address import parse_endpoint

MOST = 4
"""Ports of each transport that are looked for."""
HALF_OPEN = (
    "connections to it arrive at this machine, and its answers do not get back: they may leave by another way (several lines), or a "
    "firewall drops them"
)
LED_ON = (
    "it arrives at this machine, whose own rules lead it on (to a container or a virtual machine): whether a service there gets it cannot "
    "be told from here"
)
_ATTEMPTS, _SPACING_MS = 4, 60
_LOOK_S = 0.02


async def look_elsewhere(net: Network, rows: list[PortRow], kept: float) -> list[PortRow]:
    """The rows, those led on (or perhaps so) with what this machine's system shows of them."""
    return [one if not _may_be(one) else await _looked(net, one, kept) for one in _first(rows)]


async def unless_here(net: Network, row: PortRow, doubted: PortRow) -> PortRow:
    """The row with its silence doubted for what may shut out the prober on the way; not so where it did come to this machine."""
    if row.here in ARRIVED:
        return row
    if row == doubted or row.transport != "tcp" or row.state != "blocked" or row.unbound is not None:
        return doubted
    found = await _tcp(net, row)
    return found if found.state == "undecided" or found.lands_on is not None else doubted


def _may_be(row: PortRow) -> bool:
    return row.unbound is None and not row.asked and row.here in (None, "nothing") and row.passed_on is not False


def _first(rows: list[PortRow]) -> Iterable[PortRow]:
    """Those beyond the most, as ones of which nothing can be told."""
    counts = {"udp": 0, "tcp": 0}
    for row in rows:
        counts[row.transport] += _may_be(row)
        beyond = _may_be(row) and counts[row.transport] > MOST
        yield _unclear(row) if beyond else row


def _unclear(row: PortRow) -> PortRow:
    """It may be at another program of this machine."""
    return msgspec.structs.replace(row, here="undropped" if row.here == "nothing" else None)


async def _looked(net: Network, row: PortRow, kept: float) -> PortRow:
    if row.here is None and row.state != "answered":
        return row  # this machine tells nothing, or is too busy
    return await (_udp(net, row, kept) if row.transport == "udp" else _tcp(net, row))


async def _udp(net: Network, row: PortRow, kept: float) -> PortRow:
    found = await burst(net, row)
    if found is None or not found.sent:
        return _unclear(row)
    enough, next_to_nothing = 0.75 * found.sent * kept, found.sent / 8
    if max(one.taken for one in found.quiet) > next_to_nothing:
        return _unclear(row)
    if found.rise.taken >= enough:
        return msgspec.structs.replace(row, here="taken")
    return row if found.rise.taken <= next_to_nothing else _unclear(row)


async def _tcp(net: Network, row: PortRow) -> PortRow:
    try:
        listener = await net.listen_tcp(row.port)
    except LocalFailure:
        return _unclear(row)
    sightings = net.watch()
    try:
        before = net.counters()
        told = await _asked(net, sightings, row.port)
        after = net.counters()
        mine = bool(listener.accepted)
        landed = {port for source in told or () for port in sightings.connections(parse_endpoint(source))}
        sees = sightings.sees_packets or sightings.sees_connections
    finally:
        listener.close()
        sightings.close()
    if told is None or mine:
        return _unclear(row)
    replace = msgspec.structs.replace
    if row.port in landed:
        return replace(row, state="undecided", reason=HALF_OPEN)
    if landed:
        return replace(row, lands_on=min(landed))
    if not sees or before is None or after is None:
        return _unclear(row)
    rise = Rise.between(before, after, "tcp")
    return replace(row, here="nothing") if not rise.taken and not rise.led_on else _unclear(row)


async def _asked(net: Network, sightings: Sightings, port: int) -> tuple[str, ...] | None:
    """From where the server has connected to the port; None: it did not say."""

    async def look() -> None:
        while True:
            await sightings.look()
            await asyncio.sleep(_LOOK_S)

    looking = asyncio.ensure_future(look())
    try:
        row = await ask(net, "B", ("tcp", port), Manner(False, _ATTEMPTS, _SPACING_MS, int(400 + 2000 * net.rtt)), net.new_series())
    except RequestDeclined:
        return None
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
    return row.sources if row is not None and row.outcome != "unsent" else None
