"""Whether silence may come of being shut out. Port scan and flood protection keeps out for minutes whoever has begun too many flows: in
this check, in one before it, in an earlier run. Then no silence tells of a rule.

Where some ports are open, one of them is asked once more from ports of the server that nobody has seen, else one that an earlier check of
this session has reached. What was seen is kept for later runs: they may find both addresses of the server shut out from the start.
"""

import asyncio

from edgecheck.checks.port_forwarding.asking import Manner, ask, heard, open_end
from edgecheck.checks.port_forwarding.shut_out import Witness, is_shut_out, reason
from edgecheck.checks.rtp_range.listening import Run
from edgecheck.checks.unsolicited import margin, remembered
from edgecheck.model.errors import LocalFailure

STARVED = (
    "new flows were lost in the same rounds where others passed: there is too much loss, or this edge's table of connections is full, "
    "or it takes only so many new flows a second, or shuts out whoever begins many (scan or flood protection)"
)
_UNSURE = (
    "the server's alternate address was let in at {name} before, and is not known to be any more: too much loss, or something on the way "
    "shuts out whoever begins many flows (scan or flood protection)"
)
_TRIES = 3
_HOW = Manner(held=False, copies=4, spacing_ms=20, patience_ms=100)
_EARLIER = (
    "in an earlier run, {minutes} ago, something on the way shut out the server's alternate address (port scan protection), and may do so "
    "still: run again ten minutes after the last run"
)


async def out_now(run: Run, witness: Witness | None) -> str:
    """Why silence proves nothing from now on: this port, which nobody may hold, was open and is so no longer. Empty where it is, or where
    it could not be told."""
    return reason(witness) if witness is not None and await is_shut_out(run.net, witness) else ""


async def no_longer_let_in(run: Run, witness: Witness | None) -> str:
    """The same, and where it could not be told: empty only where the prober has just reached that port."""
    if witness is None:
        return ""
    if not witness.asked:
        for _ in range(_TRIES):
            if await _reaches(run, witness):
                return ""
    out = await out_now(run, witness)
    return out or ("" if witness.asked else _UNSURE.format(name=witness.name))


async def _reaches(run: Run, witness: Witness) -> bool:
    net, place = run.net, (witness.transport, witness.port)
    series = net.new_series()
    try:
        end = await open_end(net, place)
    except LocalFailure:
        return False
    asking = asyncio.create_task(ask(net, "B", place, _HOW, series))
    hearing = asyncio.create_task(net.until(lambda: heard(net, end, series, witness.port), 3600))
    try:
        await asyncio.wait((asking, hearing), return_when=asyncio.FIRST_COMPLETED)
        if not hearing.done():
            await net.sleep(margin(net))
        return heard(net, end, series, witness.port)
    finally:
        for task in (asking, hearing):
            task.cancel()
        await asyncio.gather(asking, hearing, return_exceptions=True)
        end.close()


def note(run: Run) -> None:
    """For later runs."""
    if run.net.alternate is not None:
        run.net.memory.note(f"shut-out/{run.net.alternate.host}", "yes")


def noted(run: Run) -> str:
    """Why silence proves nothing after an earlier run; empty where nothing of the kind is known."""
    known = run.net.memory.recall(f"shut-out/{run.net.alternate.host}") if run.net.alternate is not None else None
    if known is None or not remembered(known[1]):
        return ""
    minutes = round(known[1] / 60)
    return _EARLIER.format(minutes=f"{minutes} minute{'s' * (minutes != 1)}" if minutes else "less than a minute")
