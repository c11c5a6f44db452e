"""Does somebody speak SIP at a UDP port at which this test's own probes met silence?

A service answers its own language alone: the PBX of another machine to which a rule leads, or the router's built-in telephony, which keeps
the port for itself. Both are silent to a probe, and answer an OPTIONS.
"""

from collections.abc import Collection

import msgspec

from edgecheck.checks.port_forwarding.asking import Manner, ask, let_in
from edgecheck.checks.port_forwarding.held import name
from edgecheck.checks.port_forwarding.observation import PortRow
from edgecheck.model.check import Network
from edgecheck.model.errors import RequestDeclined

MOST = 4
"""Ports that are asked; the others stay silent."""
_HOW = Manner(held=True, copies=6, spacing_ms=100, patience_ms=700)


async def greet(net: Network, rows: list[PortRow], sip: Collection[int]) -> list[PortRow]:
    """The rows, those of the ports of ``sip`` that were silent with who answers there, if anybody does."""
    if "inquire" not in net.service.capabilities:
        return rows
    silent = [row for row in rows if row.port in sip and _is_silent(row)][:MOST]
    return [await _greeted(net, row) if row in silent else row for row in rows]


def _is_silent(row: PortRow) -> bool:
    nothing_came = row.here in (None, "nothing", "undropped") and row.lands_on is None
    return row.transport == "udp" and row.state == "blocked" and row.unbound is None and row.icmp is None and nothing_came


async def _greeted(net: Network, row: PortRow) -> PortRow:
    try:
        told = await ask(net, "B", ("udp", row.port), _HOW, net.new_series())
    except RequestDeclined:
        return row
    return msgspec.structs.replace(row, state="answered", answered_by=name(told)) if told is not None and let_in(told) else row
