"""Whether silence may come of being shut out. Port scan and flood protection keeps out for minutes whoever has begun too many flows: in
this check, in one before it, in an earlier run. Then no silence tells of a rule.

Where some ports are open, one of them is asked once more from ports of the server that nobody has seen, else one that an earlier check of
this session has reached.
"""


from edgecheck.checks.port_forwarding.asking import Manner, open_end, reaches
from edgecheck.checks.port_forwarding.shut_out import Witness, is_shut_out, reason, unsure
from edgecheck.checks.rtp_range.listening import Run
from edgecheck.model.errors import LocalFailure, RequestDeclined

STARVED = (
    "new flows were lost in the same rounds where others passed: there is too much loss, or this edge's table of connections is full, "
    "or it takes only so many new flows a second, or shuts out whoever begins many (scan or flood protection)"
)
_TRIES = 3
_HOW = Manner(held=False, copies=4, spacing_ms=20, patience_ms=100)


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
    return out or ("" if witness.asked else unsure(witness))


async def _reaches(run: Run, witness: Witness) -> bool:
    place = (witness.transport, witness.port)
    try:
        end = await open_end(run.net, place)
    except LocalFailure:
        return False
    try:
        return (await reaches(run.net, place, _HOW, end))[0]
    except RequestDeclined:  # it has been asked too often
        return False
    finally:
        end.close()
