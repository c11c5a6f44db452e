"""How a range is judged, on scripted paths: the rounds alone, without a network."""

import asyncio
import random
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecheck.checks.rtp_range import rounds
from edgecheck.checks.rtp_range.listening import FEW_GUIDES
from edgecheck.checks.rtp_range.rounds import Fire, Round, Tally, judge_range, judge_rest, lost_share
from edgecheck.model.evidence import WRONG_BY_CHANCE

LOW = 10_000


class Path:
    """A path that loses packets at random, with some ports closed. Is a ``Fire``; keeps what was fired."""

    def __init__(
        self,
        closed: Iterable[int] = (),
        loss: float = 0.0,
        seed: int = 0,
        *,
        control: int = 40,
        limit: int = 0,
        alive: Callable[[int], bool] = lambda turn: True,
        sends: Callable[[int], bool] = lambda turn: True,
    ) -> None:
        self.closed = set(closed)
        self.loss = loss
        self.control = control
        self.limit = limit
        """Packets a second that pass; 0 = all of them."""
        self.alive = alive
        self.sends = sends
        self.fired: list[tuple[int, int, int]] = []
        """(ports asked, guides, pace) of each round."""
        self._random = random.Random(seed)

    async def __call__(self, asked: list[int], guides: list[int], pace: int) -> Round:
        turn = len(self.fired)
        self.fired.append((len(asked), len(guides), pace))
        passes = 1.0 if not self.limit else min(1.0, self.limit / pace) if pace else 0.02

        def through() -> bool:
            return self.alive(turn) and self._random.random() < passes * (1 - self.loss)

        arrived = {port for port in [*asked, *guides] if port not in self.closed and through()}
        failed = 0 if self.sends(turn) else len(asked)
        if guides:
            known = len(guides), len(arrived.intersection(guides))
            beside = self.control if len(guides) < FEW_GUIDES and known[1] >= rounds.HEALTHY * known[0] else 0
            return Round(arrived, known[0] + beside, known[1] + sum(through() for _ in range(beside)), failed, *known)
        return Round(arrived, self.control, sum(through() for _ in range(self.control)), failed)

    @property
    def paces(self) -> list[int]:
        return [pace for _, _, pace in self.fired]


def judge(size: int, path: Fire, *, pace: int = 1000, seed: int = 1, hopeless: bool = False) -> Tally:
    tally = Tally(list(range(LOW, LOW + size)))
    asyncio.run(judge_range(tally, path, pace, random.Random(seed), hopeless=hopeless))
    assert not tally.open & tally.blocked
    return tally


# ---- a round, and what it proves


def test_a_share_of_guides() -> None:
    assert Round(set(), 0, 0).share == 0.0
    assert Round(set(), 40, 10).share == 0.25


@pytest.mark.parametrize(
    ("guides", "failed", "healthy"), [((100, 70), 0, True), ((100, 69), 0, False), ((100, 100), 1, False), ((0, 0), 0, False)]
)
def test_a_round_counts_only_when_its_guides_came_and_all_was_sent(guides: tuple[int, int], failed: int, healthy: bool) -> None:
    assert Round(set(), *guides, failed).healthy is healthy


@pytest.mark.parametrize(
    ("arrived", "sent", "share"), [(0, 0, 1 / 2), (1, 1, 1 / 3), (98, 98, 1 / 100), (88, 98, 11 / 100), (99, 98, 1 / 100)]
)
def test_loss_by_laplace(arrived: int, sent: int, share: float) -> None:
    assert lost_share(arrived, sent) == pytest.approx(share)


def failed(ports: list[int], tried: list[int], *shares: float) -> Tally:
    """A tally of these ports, of which those tried stayed silent in rounds of these losses."""
    tally = Tally(ports, open={port for port in ports if port not in tried})
    for share in shares:
        tally.count_failures(tried, share)
    return tally


def test_a_lone_hole_needs_more_than_a_row() -> None:
    many = list(range(LOW, LOW + 100))
    assert failed(many, [LOW + 50], 1e-4, 1.1e-5).blocked == set()
    assert failed(many, [LOW + 50], 1e-4, 1e-5).blocked == {LOW + 50}
    row = many[40:48]
    assert failed(many, row, 1.1 * WRONG_BY_CHANCE).blocked == set()
    assert failed(many, row, WRONG_BY_CHANCE).blocked == set(row)
    assert failed(many, row[:-1], WRONG_BY_CHANCE).blocked == set(), "seven are no row"


def test_an_arrival_ends_a_ports_failures() -> None:
    tally = Tally([LOW, LOW + 1])
    tally.open.add(LOW)
    tally.count_failures([LOW, LOW + 1], 1e-9)
    assert (tally.blocked, tally.missing(), tally.chance) == ({LOW + 1}, [], {LOW + 1: 1e-9})


# ---- the law

LAYOUTS: dict[str, Callable[[int], bool]] = {
    "all open": lambda at: False,
    "the upper half closed": lambda at: at >= 150,
    "one hole": lambda at: at == 77,
    "odd ports closed": lambda at: at % 2 == 1,
    "two open of twenty": lambda at: at % 20 >= 2,
    "one open": lambda at: at != 133,
}
"""Whether the port so far above the lowest is closed."""


@pytest.mark.parametrize("loss", [0.0, 0.01, 0.05, 0.1, 0.2])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_open_port_is_ever_called_blocked(layout: str, loss: float) -> None:
    """... and no closed one open. Thousands of ports a layout and loss; what stays undecided must be rare."""
    size, unsure = 300, 0
    for seed in range(12):
        closed = {port for port in range(LOW, LOW + size) if LAYOUTS[layout](port - LOW)}
        tally = judge(size, Path(closed, loss, seed), seed=seed)
        assert tally.blocked <= closed, seed
        assert not tally.open & closed, seed
        unsure += len(tally.missing())
    # One open port is one guide, and one guide measures no loss: there nothing but its own arrival can be told.
    if layout != "one open":
        assert unsure <= (0 if loss <= 0.1 else 12)


def test_rows_are_never_wrong_at_their_ends_nor_inside() -> None:
    """An open port beside closed ones, silent by bad luck, belongs to their row for as long as it is silent."""
    size, opens = 1000, 0
    for seed in range(40):
        closed = {port for port in range(LOW, LOW + size) if (port - LOW) % 20 >= 2}
        tally = judge(size, Path(closed, 0.2, seed), seed=seed)
        assert tally.blocked <= closed, (seed, tally.blocked - closed)
        opens += size - len(closed)
    assert opens == 4000


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    size=st.integers(1, 60),
    loss=st.floats(0.0, 0.2),
    seed=st.integers(0, 10_000),
    pace=st.sampled_from([0, 100, 1000]),
    hopeless=st.booleans(),
    data=st.data(),
)
def test_small_ranges_of_any_layout(size: int, loss: float, seed: int, pace: int, hopeless: bool, data: st.DataObject) -> None:
    closed = {LOW + at for at in data.draw(st.sets(st.integers(0, size - 1)))}
    tally = judge(size, Path(closed, loss, seed), pace=pace, seed=seed, hopeless=hopeless)
    assert tally.blocked <= closed
    assert not tally.open & closed
    assert tally.sent >= size


def test_every_hole_of_a_big_range_is_found_without_loss() -> None:
    holes = {10_005, 10_020, 10_021, *range(12_000, 20_001)}
    path = Path(holes)
    tally = judge(10_001, path)
    assert (tally.blocked, tally.missing()) == (holes, [])
    assert sum(asked for asked, _, _ in path.fired) <= 10_001 + 2 * len(holes) + 100


def test_a_range_that_is_mostly_closed_is_asked_twice_at_the_full_pace() -> None:
    """A sample, asked slowly beside ports that answer, shows that it is not the pace that silences them."""
    path = Path(range(10_100, 20_001), control=rounds.GUIDES)
    tally = judge(10_001, path)
    assert (tally.blocked, tally.missing()) == (set(range(10_100, 20_001)), [])
    (first, sample, second) = path.fired
    assert (first, second) == ((10_001, 0, 1000), (9_901, 100, 1000))
    assert sample[0] <= 2 * rounds.SAMPLE
    assert sample[1:] == (rounds.GUIDES_OF_SAMPLE, rounds.SAMPLE_PACE)


@pytest.mark.parametrize("loss", [0.05, 0.1, 0.2])
def test_a_range_that_is_mostly_closed_is_never_wrong_at_its_ends(loss: float) -> None:
    for seed in range(8):
        path = Path(range(10_100, 14_001), loss, seed, control=rounds.GUIDES)
        tally = judge(4_001, path, seed=seed)
        assert tally.blocked <= set(range(10_100, 14_001)), seed
        assert len(tally.missing()) <= (0 if loss <= 0.1 else 3), seed


# ---- guides


def test_rounds_whose_guides_die_prove_nothing_and_go_slower() -> None:
    """Half the ports answer at first; then the path is down."""
    path = Path(range(LOW, LOW + 100), alive=lambda turn: turn == 0)
    tally = judge(200, path)
    assert tally.blocked == set()
    assert len(tally.missing()) == 100
    assert path.paces[1:4] == [500, 250, 125]
    assert path.paces[-1] == rounds.SLOWEST
    assert len(path.fired) == 1 + rounds.MOST_ROUNDS


def test_rounds_that_could_not_be_sent_prove_nothing() -> None:
    path = Path(range(LOW, LOW + 100), sends=lambda turn: False)
    assert judge(200, path).blocked == set()
    assert judge(200, Path(range(LOW, LOW + 200), sends=lambda turn: False)).blocked == set()


def test_guides_are_known_good_ports_and_not_too_many() -> None:
    path = Path({LOW})
    judge(5000, path)
    assert {guides for _, guides, _ in path.fired[1:]} == {rounds.GUIDES}
    path = Path({LOW})
    judge(50, path)
    assert {guides for _, guides, _ in path.fired[1:]} == {49}


# ---- pace


@pytest.mark.parametrize("limit", [120, 300, 500])
@pytest.mark.parametrize("pace", [0, 1000])
def test_a_path_that_takes_less_is_found_out_and_blocks_nothing(limit: int, pace: int) -> None:
    path = Path(limit=limit)
    tally = judge(2000, path, pace=pace)
    assert (tally.blocked, tally.missing()) == (set(), [])
    assert tally.slowed_to is not None
    assert tally.slowed_to in path.paces
    assert pace == 0 or tally.slowed_to < pace


def test_a_path_that_passes_nothing_at_speed_starts_again_slowly() -> None:
    class Flood(Path):
        """Drops everything of a round that is faster than 400 a second."""

        async def __call__(self, asked: list[int], guides: list[int], pace: int) -> Round:
            self.alive = lambda turn: 0 < pace <= 400
            return await super().__call__(asked, guides, pace)

    path = Flood({LOW + 7})
    tally = judge(300, path)
    assert tally.blocked == {LOW + 7}
    assert len(tally.open) == 299
    assert tally.slowed_to == rounds.SAMPLE_PACE


@pytest.mark.parametrize("loss", [0.0, 0.05, 0.1, 0.2])
def test_loss_alone_is_not_called_a_limit(loss: float) -> None:
    """It costs as much at any pace: no claim that the edge takes only so much."""
    for seed in range(15):
        assert judge(1000, Path({LOW + 7}, loss, seed), seed=seed).slowed_to is None
        assert judge(200, Path((), loss, seed), pace=0, seed=seed).slowed_to is None


def test_loss_alone_does_not_make_it_crawl() -> None:
    """Where slower is no better, the pace is taken up again: 5,000 closed ports at the slowest pace would take minutes a round."""
    path = Path(range(LOW, LOW + 5000), 0.1, 3)
    tally = judge(10_000, path)
    assert len(tally.blocked) == 5000
    assert min(path.paces) >= 250
    assert path.paces.count(250) <= 1


# ---- all silent


def test_all_silent_beside_a_live_control_is_blocked_after_a_sample() -> None:
    path = Path(range(LOW, LOW + 10_001))
    tally = judge(10_001, path)
    assert len(tally.blocked) == 10_001
    assert path.fired == [(10_001, 0, 1000), *[(rounds.SAMPLE, 0, rounds.SAMPLE_PACE)] * rounds.SAMPLE_ROUNDS]


@pytest.mark.parametrize("size", [4, 300])
def test_all_silent_beside_a_dead_control_is_undecided(size: int) -> None:
    path = Path(range(LOW, LOW + size), alive=lambda turn: False)
    tally = judge(size, path)
    assert (tally.blocked, len(tally.missing())) == (set(), size)
    assert len(path.fired) == 2, "the path is down: nothing more is tried in vain"


def test_a_sample_never_goes_faster_than_asked() -> None:
    path = Path(range(LOW, LOW + 300))
    judge(300, path, pace=150)
    assert max(path.paces) == 150


@pytest.mark.parametrize("size", [1, 4, 20])
def test_few_silent_ports_are_weighed_by_the_control(size: int) -> None:
    closed = range(LOW, LOW + size)
    assert judge(size, Path(closed)).blocked == set(closed)
    assert judge(size, Path(closed, control=0)).blocked == set()


def test_one_late_port_of_few_clears_the_others_too() -> None:
    """All four were lost four times; then they arrive, one round after the other: none of them is left over or blocked."""
    script = [*[set[int]()] * 4, {LOW}, {LOW + 1}, {LOW + 2}, {LOW + 3}]

    async def fire(asked: list[int], guides: list[int], pace: int) -> Round:
        arrived = (script.pop(0) if script else set()).intersection([*asked, *guides]) | set(guides)
        return Round(arrived, len(guides) or 40, len(guides) or 32)

    assert judge(4, fire).open == {LOW, LOW + 1, LOW + 2, LOW + 3}


# ---- hopeless: no other UDP was answered


def test_hopeless_tries_a_sample_before_the_range() -> None:
    path = Path(range(LOW, LOW + 10_001), alive=lambda turn: False, control=0)
    judge(10_001, path, hopeless=True)
    assert sum(asked for asked, _, _ in path.fired) == rounds.SAMPLE * rounds.SAMPLE_ROUNDS


@pytest.mark.parametrize("size", [1, 20, 50, 64, 1000])
def test_hopeless_that_was_none_goes_on_as_ever(size: int) -> None:
    """STUN may be blocked where RTP is not."""
    closed = {LOW + 900} if size == 1000 else set()
    path = Path(closed)
    tally = judge(size, path, hopeless=True)
    assert (tally.blocked, tally.missing()) == (closed, [])
    assert tally.slowed_to is None
    assert size < 1000 or path.paces[-1] >= 500, "nothing showed that the pace was to blame"


# ---- the rest: answers that did not come back


def test_rest_starts_from_what_is_known() -> None:
    tally = Tally(list(range(LOW, LOW + 100)), open=set(range(LOW, LOW + 90)))
    path = Path(range(LOW + 95, LOW + 100))
    asyncio.run(judge_rest(tally, path, 500, random.Random(1)))
    assert tally.blocked == set(range(LOW + 95, LOW + 100))
    assert len(tally.open) == 95
    assert path.fired[0] == (10, 90, 500)


def test_nothing_missing_nothing_sent() -> None:
    path = Path()
    tally = Tally([LOW], open={LOW})
    asyncio.run(judge_range(tally, path, 0, random.Random(1)))
    asyncio.run(judge_rest(tally, path, 0, random.Random(1)))
    asyncio.run(judge_range(Tally([]), path, 0, random.Random(1), hopeless=True))
    assert path.fired == []
