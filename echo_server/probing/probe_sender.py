"""Carrying out a plan of probes: every datagram at its time, none lost in our own buffers, and the loop free for others."""

import asyncio
from time import monotonic

from echo_server.outbound import Outbound
from echo_server.plans.prober import Sending
from echo_server.plans.sip_caller import Calling
from echo_server.sockets.listeners import UdpSockets
from edgecheck.wire.control import Called, Probed

_SLICE_S = 0.004
"""Longest time on end that one plan keeps the loop."""
_EARLY_S = 0.0005
"""Sleeping for less than this costs more than it is worth: a timer of the loop is a millisecond coarse."""
_FULL_TRIES = 200
"""Waits of a millisecond for room in a full send buffer before a datagram is given up."""


async def send(plan: Sending | Calling, sockets: UdpSockets) -> Probed | Called:
    """Send all of the plan and return the reply; ends early when the session does."""
    start = monotonic()
    turn_ends = start + _SLICE_S
    for delay, outbound in plan.steps():
        now = monotonic()
        wait = max(start + delay - now, plan.session.reserve_probe(now) - _SLICE_S)
        if wait > _EARLY_S:
            await asyncio.sleep(wait)
            turn_ends = monotonic() + _SLICE_S
        elif now > turn_ends:
            await asyncio.sleep(0)
            turn_ends = monotonic() + _SLICE_S
        if plan.session.ended:
            break
        try:
            left = sockets.send(outbound)
        except BlockingIOError:
            left = await _send_later(outbound, sockets)
        if left:
            plan.left(outbound)
        else:
            plan.refused(outbound)
    return plan.finish()


async def _send_later(outbound: Outbound, sockets: UdpSockets) -> bool:
    for _ in range(_FULL_TRIES):
        await asyncio.sleep(0.001)
        try:
            return sockets.send(outbound)
        except BlockingIOError:
            pass
    return False
