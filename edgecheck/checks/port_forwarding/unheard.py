"""The port arrives, and the program that has it open does not hear it: it listens on loopback, on another address or over IPv6 alone.

A port that this test could borrow is mostly one that nobody holds at the tested address, so what is forwarded there reaches nobody once
the test is over. Before a PBX is installed that is as it should be. But where the system's table of sockets has a program on the same
port of other addresses, that program may be the PBX. The table alone cannot tell whether ``::`` hears IPv4, and some systems lend a port
that is held; so this machine asks at the tested address itself once the test has let go of it: a refusal shows that nobody listens there.
"""

import ipaddress
from collections.abc import Sequence
from typing import Literal

import msgspec

from edgecheck.checks.port_forwarding.observation import PortRow
from edgecheck.model.check import Network
from edgecheck.model.errors import LocalFailure
from edgecheck.model.machine import Holder
from edgecheck.wire import control, inquiry
from edgecheck.wire.address import Endpoint

MOST = 6
"""Programs told of one port."""
_COPIES = 3
_PATIENCE_S = 0.15
_NOBODY_LISTENS = ((3, 3), (1, 4))
"""Port unreachable (RFC 792, RFC 4443)."""


async def listening_elsewhere(net: Network, rows: Sequence[PortRow]) -> list[PortRow]:
    """The rows; those that were reached while nobody held the port, with the programs that have it open where that is not heard."""
    reached = [row for row in rows if row.state == "forwarded" and row.unbound is None]
    if not reached or ipaddress.ip_address(net.source).is_loopback:
        return list(rows)  # against a server on this machine nothing is said of the network
    held = {transport: await _holders(net, transport, reached) for transport in ("udp", "tcp")}
    return [await _looked(net, row, held[row.transport].get(row.port, ())) if row in reached else row for row in rows]


async def _holders(net: Network, transport: Literal["udp", "tcp"], rows: Sequence[PortRow]) -> dict[int, tuple[Holder, ...]]:
    ports = [row.port for row in rows if row.transport == transport]
    return await net.holders(transport, ports) if ports else {}


async def _looked(net: Network, row: PortRow, holders: tuple[Holder, ...]) -> PortRow:
    hears = [holder.hears(net.source) for holder in holders]
    if not holders or True in hears:
        return row
    refused = await _refused(net, row)
    if refused is False or (refused is None and (row.transport == "tcp" or net.sees_quotes or None in hears)):
        return row
    return msgspec.structs.replace(row, listens_elsewhere=holders[:MOST], unheard=refused)


async def _refused(net: Network, row: PortRow) -> bool | None:
    """Whether nobody listens at the tested address, asked from this machine. None: nothing came back."""
    to = Endpoint(net.source, row.port)
    try:
        return await (_over_udp(net, to) if row.transport == "udp" else _over_tcp(net, to))
    except LocalFailure:
        return None


async def _over_tcp(net: Network, to: Endpoint) -> bool | None:
    try:
        stream = await net.connect_tcp(to, timeout=4 * _PATIENCE_S)
    except LocalFailure as failure:
        return True if failure.reason == "refused" else None
    stream.close()
    return False


async def _over_udp(net: Network, to: Endpoint) -> bool | None:
    if not net.sees_quotes:
        return None
    asking = await net.open_udp()
    try:
        marker = control.sip_marker(net.session, net.new_series(), to.port)
        text = inquiry.options(marker, "udp", asking.local, to)

        def refused() -> bool:
            return any(quote.to == to and (quote.icmp_type, quote.icmp_code) in _NOBODY_LISTENS for quote in asking.quotes)

        for _ in range(_COPIES):
            asking.send(text, to)
            if await net.until(lambda: bool(asking.inbox) or refused(), _PATIENCE_S):
                break
        return False if asking.inbox else True if refused() else None
    finally:
        asking.close()
