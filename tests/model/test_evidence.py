"""The chances by which silence is weighed."""

import random

import pytest

from edgecheck.model.evidence import WRONG_BY_CHANCE, chance_at_worst, loss_is_excluded


def test_nothing_known_excludes_nothing() -> None:
    assert chance_at_worst(0, 5, 11) == chance_at_worst(0, 0, 11) == chance_at_worst(5, 5, 0) == 1.0


def test_more_controls_and_more_copies_leave_less_to_chance() -> None:
    by_controls = [chance_at_worst(arrived, arrived, 11) for arrived in range(1, 12)]
    by_copies = [chance_at_worst(8, 8, copies) for copies in range(1, 20)]
    by_missed = [chance_at_worst(8, 8 + missed, 11) for missed in range(12)]
    assert by_controls == sorted(by_controls, reverse=True)
    assert by_copies == sorted(by_copies, reverse=True)
    assert by_missed == sorted(by_missed)
    assert all(0 < chance <= 1 for chance in (*by_controls, *by_copies, *by_missed))


def test_a_short_lucky_control_does_not_do() -> None:
    """One answer to one question, and then eleven lost: at 60 % loss of each round trip that is no wonder."""
    assert chance_at_worst(1, 1, 11) > 0.01
    assert not loss_is_excluded(6, 6, 6)
    assert loss_is_excluded(9, 9, 9)
    assert chance_at_worst(8, 8, 11) < WRONG_BY_CHANCE


def test_of_many_silences_each_must_be_the_less_likely() -> None:
    assert loss_is_excluded(9, 9, 9, among=2)
    assert not loss_is_excluded(9, 9, 9, among=3)
    assert loss_is_excluded(9, 9, 12, among=3)


@pytest.mark.parametrize("loss", [0.1, 0.4, 0.64, 0.8])
def test_whatever_the_loss_is_the_bound_holds(loss: float) -> None:
    """How often a control lets a silence pass for proved, and that silence comes about, on a line of this loss."""
    dice, copies, controls = random.Random(loss), 11, 9
    accused = 0.0
    for _ in range(20_000):
        arrived = sum(dice.random() >= loss for _ in range(controls))
        if chance_at_worst(arrived, controls, copies) < WRONG_BY_CHANCE:
            accused += loss**copies
    assert accused / 20_000 < 2 * WRONG_BY_CHANCE
