"""Leaving a report with the echo server, for its admin: only when asked for, once, and bounded in size."""

import zlib

import msgspec

from edgecheck.model.errors import UsageError
from edgecheck.model.verdict import Report
from edgecheck.net.control.session import ControlSession
from edgecheck.wire import control
from edgecheck.wire.address import Target


async def share(report: Report, target: Target, source: str | None, family: int | None) -> int:
    """Leave it; the number under which the admin finds it.

    Raises ``ServerUnreachable``, ``TokenRefused``, ``RequestDeclined``, ``ControlLost``; ``UsageError`` where it is too large.
    """
    packed = zlib.compress(msgspec.json.encode(report), 9)
    if len(packed) > control.MOST_SHARED:
        most = control.MOST_SHARED >> 10
        raise UsageError(f"The report takes {len(packed) >> 10} kB packed, more than the {most} kB that a server keeps.")
    session = await ControlSession.open(target, source, family)
    try:
        reply = await session.ask(lambda id: control.Share(id=id, report=packed))
    finally:
        await session.close()
    assert isinstance(reply, control.Shared)
    return reply.number
