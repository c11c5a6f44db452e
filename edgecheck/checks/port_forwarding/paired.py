"""Silence at the box with the public address, and what it is worth: each probe has a control right behind it.

Routers tell of few expired packets (Linux: one peer of six at once and then of one a second; others of so many a second to all), and some
of them only now and then. So a train of probes, one for each port that is still silent, ends with a packet to the port that is open: the
same sender, the same number of hops, some milliseconds later. Told of that one, the box could have told of those before it, for what it
saves up it spends on whoever comes first. Nothing is concluded from trains whose last packet it did not tell of.

The gaps between trains are drawn at random: a box that tells of one packet in so many milliseconds must not fall into step with them.
"""

import asyncio
import random
from collections.abc import Callable, Collection
from typing import NamedTuple

from edgecheck.checks.port_forwarding.observation import Icmp
from edgecheck.model.check import Network
from edgecheck.model.evidence import loss_is_excluded
from edgecheck.wire import control
from edgecheck.wire import ports as port_ranges
from edgecheck.wire.address import Endpoint

MOST_PORTS = 6
"""Of each transport in a train: a long one is no longer one moment."""
_PACE = 200
"""Datagrams a second in a train."""


class Gait(NamedTuple):
    """How trains follow each other."""

    trains: int
    """At most."""
    gap_s: tuple[float, float]
    """Drawn between these."""
    patience_s: float
    """For the last one's errors, and each connection's; besides the round trips."""


FAST = Gait(11, (0.02, 0.16), 0.5)
SLOW = Gait(14, (1.03, 1.23), 0.9)
"""Slower than Linux saves up one error a second (``icmp_ratelimit``)."""


Key = tuple[str, int]
"""(transport, port)."""


class Told(NamedTuple):
    """What came of trains with the same gait."""

    trains: int
    controls: int
    """Last packets of which the box told."""
    refused: frozenset[Key]
    """The box told of them, and not that they expired."""
    other: frozenset[Key]
    """They expired, or somebody answered, or somebody else told of them."""


def enough(trains: int, controls: int, among: int) -> bool:
    """Whether a port of which the box told in none of these trains would have been told of, had it been led on.

    Each train whose control was told of may have lost its probe, as controls were lost. Of the others nothing is known: the box was tired.
    ``among``: so many ports are weighed in the same way.
    """
    return loss_is_excluded(controls, trains, controls, among=among)


class Taken(NamedTuple):
    """(transport, port) that a box has not led on."""

    silent: frozenset[Key]
    """It told of packets to the open port, and of none of these."""
    refused: frozenset[Key]
    each_time: frozenset[Key] = frozenset()
    """UDP ports that it has refused so often that it would have told of any other refusal as well."""


async def taken_there(net: Network, at: Endpoint, hops: int, udp: Collection[int], tcp: Collection[int]) -> Taken:
    """What a box ``hops`` away took of these. ``at``: the open port.

    At most ``MOST_PORTS`` of each transport. Sent from the contacted address, to which ``at`` is open.
    """
    udp, tcp = list(dict.fromkeys(udp))[:MOST_PORTS], list(dict.fromkeys(tcp))[:MOST_PORTS]
    asked: frozenset[Key] = frozenset([*(("udp", port) for port in udp), *(("tcp", port) for port in tcp)])
    series: list[int] = []
    refused: frozenset[Key] = frozenset()
    other: frozenset[Key] = frozenset()
    trains = controls = 0
    for gait in (FAST, FAST, SLOW):
        if gait is SLOW or 3 * controls < 2 * trains:
            gait, trains, controls = SLOW, 0, 0  # a box that is tired: what it said in haste is forgotten
        series.append(net.new_series())
        told = await _run(net, at, hops, udp, tcp, gait, series[-1], len(asked))
        trains, controls = trains + told.trains, controls + told.controls
        refused, other = refused | told.refused, other | told.other
        if gait is SLOW or enough(trains, controls, len(asked)) or not asked - refused - other:
            break
    for one in series:
        late_refused, late_other = _sorted_out(net, at, await _errors(net, one))
        refused, other = refused | late_refused, other | late_other
    told_of = [error for one in series[-1:] for error in await _errors(net, one) if error.offender == net.observed and not expired(error)]
    times = {("udp", port): sum(error.copies for error in told_of if error.port == port) for port in udp}
    each_time = frozenset(key for key, count in times.items() if enough(trains, min(trains, count), len(asked)))
    return Taken(asked - refused - other if enough(trains, controls, len(asked)) else frozenset(), refused - other, each_time)


async def _run(net: Network, at: Endpoint, hops: int, udp: list[int], tcp: list[int], gait: Gait, series: int, among: int) -> Told:
    dials: list[asyncio.Task[control.Reply]] = []
    trains = 0
    patience_ms = int(1000 * (gait.patience_s + 4 * net.rtt))
    try:
        for number in range(gait.trains):
            if number:
                await net.sleep(random.uniform(*gait.gap_s))
            if tcp:
                dials.append(asyncio.ensure_future(net.ask(_dial(net, series, tcp, hops, patience_ms))))
                await asyncio.sleep(0)  # asked first: the connections are under way before the train's last packet
            probed = await net.ask(_train(net, series, [*udp, at.port], hops))
            trains += isinstance(probed, control.Probed) and not probed.failed
            if gait is SLOW:  # who has been told of needs no more of its few words; one stays, for the last must not be the first
                errors = await _errors(net, series)
                known = set().union(*_sorted_out(net, at, errors))
                udp = [port for port in udp if ("udp", port) not in known] or udp[:1]
                rows = _rows([dial.result() for dial in dials if dial.done()])
                tcp = [port for port in tcp if all(row.port != port or row.outcome == "silent" for row in rows)]
                if enough(trains, _told(net, at, errors), among):
                    break
        await net.sleep(gait.patience_s + net.rtt)
        errors = await _errors(net, series)  # no later than the connections were waited for
        rows = _rows(await asyncio.gather(*dials))
    finally:
        for dial in dials:
            dial.cancel()
        await asyncio.gather(*dials, return_exceptions=True)
    refused, other = _sorted_out(net, at, errors)
    for row in rows:
        by_the_box = row.icmp is not None and row.icmp.offender == net.observed and not expired(row.icmp)
        if row.outcome != "silent":
            (refused if by_the_box else other).add(("tcp", row.port))
    return Told(trains, min(trains, _told(net, at, errors)), frozenset(refused), frozenset(other))


def _told(net: Network, at: Endpoint, errors: tuple[control.ErrorRow, ...]) -> int:
    """Controls of which the box told."""
    return sum(error.copies for error in errors if error.port == at.port and expired(error) and error.offender == net.observed)


def _rows(replies: list[control.Reply]) -> list[control.DialRow]:
    return [row for reply in replies if isinstance(reply, control.Dialed) for row in reply.rows]


def expired(error: control.ErrorRow | Icmp) -> bool:
    """Time exceeded in transit (RFC 792; RFC 4443 numbers it anew)."""
    return (error.icmp_type, error.icmp_code) == ((3, 0) if ":" in error.offender else (11, 0))


def _sorted_out(net: Network, at: Endpoint, errors: tuple[control.ErrorRow, ...]) -> tuple[set[Key], set[Key]]:
    """UDP ports that the box refused; and those of which something else was told."""
    about = [error for error in errors if error.port != at.port]
    other = {("udp", error.port) for error in about if expired(error) or error.offender != net.observed}
    return {("udp", error.port) for error in about} - other, other


def _train(net: Network, series: int, ports: list[int], hops: int) -> Callable[[int], control.Probe]:
    """To these ports in this order."""
    each = tuple((port, port) for port in ports)
    return lambda id: control.Probe(id=id, series=series, address=net.observed, ports=each, senders=("AX",), pace=_PACE, hops=hops)


def _dial(net: Network, series: int, ports: list[int], hops: int, patience_ms: int) -> Callable[[int], control.Dial]:
    return lambda id: control.Dial(
        id=id,
        series=series,
        address=net.observed,
        ports=port_ranges.compress(ports),
        sender="A",
        attempts=1,
        patience_ms=patience_ms,
        hops=hops,
    )


async def _errors(net: Network, series: int) -> tuple[control.ErrorRow, ...]:
    account = await net.account(series)
    return account.errors if account else ()
