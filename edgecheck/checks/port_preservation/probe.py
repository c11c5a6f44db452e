"""Asking for every port's mapping, and in a known order for some fresh ones."""

import asyncio
from typing import Literal

import msgspec

from edgecheck.checks.port_preservation.allocation import allocation
from edgecheck.checks.port_preservation.observation import PortRow, PreservationObservation
from edgecheck.checks.port_preservation.sample import rtp_sample, signaling_ports
from edgecheck.model import draft
from edgecheck.model.check import Network
from edgecheck.model.errors import LocalFailure
from edgecheck.model.evidence import Answered, Exchange, Failed
from edgecheck.model.profile import Profile
from edgecheck.wire.address import Endpoint, parse_endpoint

FRESH = 12
TRANSPORTS: tuple[Literal["udp", "tcp"], ...] = ("udp", "tcp")
_AT_ONCE = 64
ANSWERS_LOST = "its answers did not come back"
"""How the reason ends where what left arrived at the server."""


async def probe_network(net: Network, profile: Profile) -> PreservationObservation:
    """Ask for every port's mapping, some dozens at a time."""
    wanted = [(transport, port, True) for transport, port in signaling_ports(profile)]
    wanted += [("udp", port, False) for port in rtp_sample(profile)]
    asked: dict[int, PortRow] = {}

    async def ask(place: int) -> None:
        transport, port, signaling = wanted[place]
        asked[place] = await _one(net, transport, port, signaling, series[transport])

    def so_far(why: str) -> PreservationObservation:
        unasked = (PortRow(transport=name, local=port, mapped=None, signaling=signal, reason=why) for name, port, signal in wanted)
        seen = _observed(net, [asked.get(place, row) for place, row in enumerate(unasked)], [])
        # What the others would have shown decides the rule; only that a port did not keep its parity is sure.
        return msgspec.structs.replace(seen, allocation=None, parity_kept=None if seen.parity_kept else seen.parity_kept)

    draft.leave(so_far)
    series = {"udp": net.new_series(), "tcp": net.new_series()}
    for start in range(0, len(wanted), _AT_ONCE):
        part = range(start, min(start + _AT_ONCE, len(wanted)))
        began = net.now()
        await asyncio.gather(*map(ask, part))
        net.progress(len(asked), len(wanted), "ports")
        if net.pace and start + _AT_ONCE < len(wanted):
            await net.sleep(max(0.0, len(part) / net.pace - (net.now() - began)))
    rows = await _with_owners(net, [asked[place] for place in range(len(wanted))])
    fresh = [row for row in await _fresh(net) if row.mapped is not None]
    net.memory.note_sent([row.local for row in (*rows, *fresh) if row.transport == "udp"])
    net.memory.note_sent([row.local for row in rows if row.transport == "tcp"], "tcp")
    return _observed(net, rows, fresh)


def _observed(net: Network, rows: list[PortRow], fresh: list[PortRow]) -> PreservationObservation:
    told = [row for row in rows if row.mapped is not None]
    return PreservationObservation(
        tested=len(told),
        preserved=sum(row.mapped == row.local for row in told),
        ports=tuple(rows),
        allocation=allocation(told, fresh),
        fresh=tuple(fresh),
        parity_kept=all((row.mapped or 0) % 2 == row.local % 2 for row in told) if told else None,
        remote=str(net.primary),
    )


async def _one(net: Network, transport: Literal["udp", "tcp"], port: int, signaling: bool, series: int) -> PortRow:
    try:
        exchange = await (_udp(net, port, series) if transport == "udp" else _tcp(net, port, series))
    except LocalFailure as failure:
        held = failure.reason == "port-in-use"
        return PortRow(transport=transport, local=port, mapped=None, signaling=signaling, reason=str(failure), in_use=held)
    outcome = exchange.outcome
    if isinstance(outcome, Answered) and outcome.mapped is not None and outcome.source == exchange.remote:
        return PortRow(transport=transport, local=port, mapped=parse_endpoint(outcome.mapped).port, signaling=signaling)
    return PortRow(transport=transport, local=port, mapped=None, signaling=signaling, reason=_reason(exchange))


async def _with_owners(net: Network, rows: list[PortRow]) -> list[PortRow]:
    """Whoever holds a port is named, where the platform tells."""
    named: dict[tuple[str, int], str] = {}
    for transport in TRANSPORTS:
        held = [row.local for row in rows if row.in_use and row.transport == transport]
        if held:
            named |= {(transport, port): name for port, name in (await net.owners(transport, held)).items()}
    return [msgspec.structs.replace(row, owner=named.get((row.transport, row.local))) if row.in_use else row for row in rows]


def _reason(exchange: Exchange) -> str:
    if isinstance(exchange.outcome, Failed):
        return exchange.outcome.reason
    receipt = exchange.receipt
    if receipt is None:
        return f"no answer to {exchange.copies} copies, and no receipt"
    if receipt.arrived and receipt.source:
        return f"the server received {receipt.arrived} of {exchange.copies} copies from {receipt.source}, {ANSWERS_LOST}"
    return f"none of {exchange.copies} copies reached the server"


async def _udp(net: Network, port: int, series: int) -> Exchange:
    socket = await net.open_udp(port)
    try:
        return await net.stun(socket, net.primary, series=series, item=port)
    finally:
        socket.close()


async def _tcp(net: Network, port: int, series: int) -> Exchange:
    stream = await net.connect_tcp(Endpoint(net.primary.host, net.service.stun_ports[0]), port)
    try:
        return await net.stun_stream(stream, series, port)
    finally:
        stream.close()


async def _fresh(net: Network) -> list[PortRow]:
    """Ports of the system's choice, asked in a known order: a mapping that an earlier check made says nothing about the rule."""
    series = net.new_series()
    sockets = [await net.open_udp() for _ in range(FRESH)]
    try:
        exchanges = await asyncio.gather(*(net.stun(socket, net.primary, series=series, item=socket.local.port) for socket in sockets))
    finally:
        for socket in sockets:
            socket.close()
    return [
        PortRow(transport="udp", local=socket.local.port, mapped=parse_endpoint(exchange.outcome.mapped).port)
        for socket, exchange in zip(sockets, exchanges, strict=True)
        if isinstance(exchange.outcome, Answered) and exchange.outcome.mapped is not None
    ]
