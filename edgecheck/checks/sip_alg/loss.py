"""When does loss prove a drop? Only when chance no longer explains it.

SIP copies and non-SIP control copies of the same size leave the same socket in the same moments. If the path treated both alike, then
any of the copies might as well have been the ones that were lost: how likely is it that the SIP ones were hit this hard? That is
Fisher's exact test. Beside it stands the simpler question (``model.evidence.chance_of_silence``): at the loss that the control met,
how likely is it that all were lost? Both answers must be below ``WRONG_BY_CHANCE``.
"""

from math import comb

from edgecheck.model.evidence import WRONG_BY_CHANCE, chance_of_silence


def chance_of_worse(hit: int, total: int, control_hit: int, control_total: int) -> float:
    """The chance that ``hit`` or more of ``total`` are among those hit, if all were treated alike. 1.0 when nothing is known."""
    if not (0 < hit <= total and 0 <= control_hit <= control_total and control_total):
        return 1.0
    hits, everybody = hit + control_hit, total + control_total
    ways = sum(comb(total, k) * comb(control_total, hits - k) for k in range(hit, min(total, hits) + 1) if hits - k <= control_total)
    return ways / comb(everybody, hits)


def drop_is_proved(copies: int, control_sent: int, control_arrived: int) -> bool:
    """Whether ``copies`` that all failed to arrive were dropped for what they are."""
    return (
        chance_of_silence(control_arrived, control_sent, copies) < WRONG_BY_CHANCE
        and chance_of_worse(copies, copies, control_sent - min(control_sent, control_arrived), control_sent) < WRONG_BY_CHANCE
    )
