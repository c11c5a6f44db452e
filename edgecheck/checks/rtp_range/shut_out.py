"""Whether silence may come of being shut out. Port scan and flood protection keeps out for minutes whoever has begun too many flows: in
this check, in one before it, in an earlier run. Then no silence tells of a rule.

Where some ports are open, one of them is asked once more from ports of the server that nobody has seen, else one that an earlier check of
this session has reached. What was seen is kept for later runs: they may find both addresses of the server shut out from the start.
"""

from edgecheck.checks.port_forwarding.shut_out import Witness, is_shut_out, reason
from edgecheck.checks.rtp_range.listening import Run
from edgecheck.checks.unsolicited import remembered

_EARLIER = (
    "in an earlier run, {minutes} ago, something on the way shut out the server's alternate address (port scan protection), and may do so "
    "still: run again ten minutes after the last run"
)


async def out_now(run: Run, witness: Witness | None) -> str:
    """Why silence proves nothing from now on: this port, which nobody may hold, was open and is so no longer. Empty where it is, or where
    it could not be told."""
    return reason(witness) if witness is not None and await is_shut_out(run.net, witness) else ""


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
