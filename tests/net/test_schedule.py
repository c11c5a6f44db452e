"""When copies are sent: pure functions of the round trip."""

from itertools import pairwise

import pytest

from edgecheck.net import schedule

ROUND_TRIPS = [0.0, 0.001, 0.05, 0.15, 0.6, 3.0]


@pytest.mark.parametrize("rtt", ROUND_TRIPS)
@pytest.mark.parametrize("copies", [1, 2, schedule.COPIES])
def test_offsets(rtt: float, copies: int) -> None:
    offsets = schedule.stun_offsets(rtt, copies)
    gaps = [after - before for before, after in pairwise(offsets)]
    assert (len(offsets), offsets[0]) == (copies, 0.0)
    assert all(schedule.FIRST_GAP <= gap <= schedule.LONGEST_GAP + 1e-9 for gap in gaps)
    assert all(later >= earlier - 1e-9 for earlier, later in pairwise(gaps))


def test_the_first_gap_covers_the_round_trip_where_it_is_short_enough() -> None:
    """An answer that is on its way must not cost a second copy."""
    for rtt in (0.0, 0.02, 0.05, 0.1, 0.15):
        assert schedule.stun_offsets(rtt)[1] >= rtt


@pytest.mark.parametrize("rtt", ROUND_TRIPS)
@pytest.mark.parametrize("copies", [1, schedule.COPIES])
def test_patience_leaves_the_last_copy_the_time_to_be_answered(rtt: float, copies: int) -> None:
    assert schedule.stun_patience(rtt, copies) >= schedule.stun_offsets(rtt, copies)[-1] + 2 * rtt


def test_copies_are_enough_for_the_loss_promised() -> None:
    """At 20 % loss each way all copies fail with less than one in ten thousand."""
    assert (1 - 0.8 * 0.8) ** schedule.COPIES < 1e-4
