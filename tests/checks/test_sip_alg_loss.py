"""When loss proves a drop: against sums done by hand, against a simulation, and against the rate limit that fools simpler tests."""

import random
from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecheck.checks.sip_alg.loss import chance_of_worse, drop_is_proved


def by_hand(hit: int, total: int, control_hit: int, control_total: int) -> float:
    """Every way in which so many of all could have been hit, one by one."""
    everybody = range(total + control_total)
    ways = [sum(one < total for one in chosen) >= hit for chosen in combinations(everybody, hit + control_hit)]
    return float(Fraction(sum(ways), len(ways)))


@pytest.mark.parametrize(("hit", "total", "control_hit", "control_total"), [(3, 3, 0, 4), (3, 3, 2, 4), (2, 5, 1, 3), (5, 5, 0, 5), (1, 4, 4, 4)])
def test_fishers_test_counts_every_way(hit: int, total: int, control_hit: int, control_total: int) -> None:
    assert chance_of_worse(hit, total, control_hit, control_total) == pytest.approx(by_hand(hit, total, control_hit, control_total))


@pytest.mark.parametrize("nonsense", [(0, 0, 0, 0), (0, 5, 0, 5), (5, 5, 0, 0), (6, 5, 0, 5), (5, 5, 6, 5)])
def test_nothing_is_known_from_nothing(nonsense: tuple[int, int, int, int]) -> None:
    assert chance_of_worse(*nonsense) == 1.0


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_more_copies_never_weaken_a_proof(copies: int, sent: int, arrived: int) -> None:
    if drop_is_proved(copies, sent, arrived):
        assert drop_is_proved(copies + 1, sent, arrived)
        assert drop_is_proved(copies, sent + 1, arrived + 1)
        assert arrived > 0


@pytest.mark.parametrize(
    ("copies", "sent", "arrived", "proved"),
    [
        (12, 12, 12, True),
        (12, 17, 17, True),
        (12, 12, 11, True),
        (4, 100, 100, True),  # of 104 sent the four that were lost are the four SIP ones: one way in 4.6 million
        (2, 100, 100, False),  # one way in 5,151 is too likely
        (12, 12, 8, False),
        (36, 41, 29, True),
        (12, 12, 0, False),
        (12, 0, 0, False),
    ],
)
def test_what_is_enough(copies: int, sent: int, arrived: int, proved: bool) -> None:
    assert drop_is_proved(copies, sent, arrived) is proved


def test_random_loss_is_not_blamed() -> None:
    """100,000 paths that lose at random, up to nine tenths of everything: not one drop is found."""
    draw = random.Random(1)
    for _ in range(100_000):
        loss = draw.random() * 0.9
        copies = draw.choice([12, 36])
        arrived = [draw.random() >= loss for _ in range(2 * copies)]
        if not any(arrived[:copies]):
            assert not drop_is_proved(copies, copies, sum(arrived[copies:]))


def test_the_last_of_a_burst_needs_a_control_that_fares_better_than_every_second() -> None:
    """A limit that passes the first of each burst drops each control that comes behind an INVITE: 24 of 46 came back."""
    assert drop_is_proved(26, 46, 24)
    assert not drop_is_proved(26, 46, 24, behind_others=True)
    assert drop_is_proved(12, 17, 17, behind_others=True)
