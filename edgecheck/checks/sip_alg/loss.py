"""When does loss prove a drop? Only when chance no longer explains it.

SIP copies and non-SIP control copies of the same size leave the same socket in the same moments. If the path treated both alike, then
any of the copies might as well have been the ones that were lost: how likely is it that the SIP ones were hit this hard? That is
Fisher's exact test, and it holds because the order within each round of copies is drawn at random. Beside it stands the simpler
question (``model.evidence.chance_at_worst``): at a loss that goes with what the control met, how likely is it that all were lost? Both
answers must be below ``WRONG_BY_CHANCE``.

One order is not ours to draw: the server answers an INVITE with a burst of three, the final one last. A rate limit that passes the
first of each burst would always drop that one. But then it drops every control that comes behind the INVITE, and that is every second
one: so beside a burst the control must also be seen to fare better than that.
"""

from math import comb

from edgecheck.model.evidence import WRONG_BY_CHANCE, loss_is_excluded


def chance_of_worse(hit: int, total: int, control_hit: int, control_total: int) -> float:
    """The chance that ``hit`` or more of ``total`` are among those hit, if all were treated alike. 1.0 when nothing is known."""
    if not (0 < hit <= total and 0 <= control_hit <= control_total and control_total):
        return 1.0
    hits, everybody = hit + control_hit, total + control_total
    ways = sum(comb(total, k) * comb(control_total, hits - k) for k in range(hit, min(total, hits) + 1) if hits - k <= control_total)
    return ways / comb(everybody, hits)


def drop_is_proved(copies: int, control_sent: int, control_arrived: int, *, behind_others: bool = False) -> bool:
    """Whether ``copies`` that all failed to arrive were dropped for what they are. ``behind_others``: each was the last of a burst."""
    missed = control_sent - min(control_sent, control_arrived)
    if behind_others and sum(comb(control_sent, k) for k in range(missed + 1)) / 2**control_sent >= WRONG_BY_CHANCE:
        return False
    return (
        loss_is_excluded(control_arrived, control_sent, copies)
        and chance_of_worse(copies, copies, missed, control_sent) < WRONG_BY_CHANCE
    )
