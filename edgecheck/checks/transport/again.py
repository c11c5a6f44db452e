"""A target that stayed silent, asked again beside the usual port of the same server, which answers.

Four lost requests are no wonder on a bad line, and then the DNS names the right port. So both are asked in turn, in the same moments, until
the silent one answers or loss no longer explains that it does not. A guard that counts requests is spared: only a port that the DNS
names, and that no phone could use as things stand, is worth them.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from edgecheck.checks.transport.knock import answered_once, knock
from edgecheck.checks.transport.observation import Attempt
from edgecheck.model.phone import Phone

MOST_ROUNDS = 14
"""Nine of nine answers beside nine silences are enough: see ``model.evidence.loss_is_excluded``."""


async def ask_again(phone: Phone, attempts: Sequence[Attempt], beside: Sequence[Attempt]) -> list[Attempt]:
    """The attempts; a silent one as it is after that: with what came of it, or answered."""
    return list(await asyncio.gather(*(_settled(phone, one, usual_port(one, beside)) for one in attempts)))


def usual_port(attempt: Attempt, others: Sequence[Attempt]) -> Attempt | None:
    """The one that answers at the same address, by the same transport, at another port."""
    same = (attempt.transport, attempt.address)
    return next((one for one in others if one.works and (one.transport, one.address) == same and one.port != attempt.port), None)


async def _settled(phone: Phone, attempt: Attempt, usual: Attempt | None) -> Attempt:
    if attempt.state != "silent" or usual is None or not attempt.because.startswith("SRV "):
        return attempt
    asked = heard = 0
    for _ in range(MOST_ROUNDS):
        now, control = await asyncio.gather(answered_once(phone, attempt.target), answered_once(phone, usual.target))
        if now:
            again = await knock(phone, attempt.target, 0)
            return again if again.works else attempt
        asked, heard = asked + 1, heard + control
        attempt = msgspec.structs.replace(attempt, again=asked, usual_answers=heard)
        if attempt.silence_proved:
            break
    return attempt
