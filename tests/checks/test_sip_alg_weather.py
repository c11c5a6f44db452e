"""Paths that let SIP alone must never be blamed, whatever the weather, and loss leaves an ALG untold at most."""

import random
from collections.abc import Callable

import pytest

from edgecheck.model.verdict import Verdict
from tests.checks.sip_alg_paths import ALL, MUTATIONS, NONE, OTHERS, go
from tests.fakes.edge import Weather
from tests.fakes.nat import EIGHT, Nat
from tests.fakes.sip_path import Deed, Reader, SipPath, does
from tests.lab import alg
from tests.lab.alg import Fate


@pytest.mark.parametrize("name", EIGHT)
def test_no_nat_is_an_alg(name: str) -> None:
    run = go(SipPath(nat=Nat(**EIGHT[name])))
    assert run.seen.interference == NONE
    assert run.verdict is Verdict.PASS
    assert {run.finding(subject).id for subject in ALL} == {"sip-alg.none"}


def test_a_clean_path_takes_a_handful_of_round_trips_and_packets() -> None:
    path = SipPath(weather=Weather(delay=0.025))
    run = go(path)
    assert run.seconds < 0.5
    assert path.sent_datagrams <= 75


class FirstOfBurst(Weather):
    """A path that lets the first few datagrams of each burst through, and drops the others: the worst that an order can meet."""

    def __init__(self, most: int, window: float, loss: float, seed: int) -> None:
        super().__init__(loss=loss, seed=seed)
        self.most, self.window, self.begin, self.count = most, window, -1.0, 0

    def drops(self, now: float) -> bool:
        if now - self.begin >= self.window:
            self.begin, self.count = now, 0
        self.count += 1
        return self.count > self.most or super().drops(now)


def weathers(count: int) -> list[Callable[[], SipPath]]:
    """Clean paths in foul weather: loss, outages, rate limits, burst limits, jitter that reorders, duplication, a filter of what is alike."""

    def lossy(loss: float, seed: int) -> Callable[[], SipPath]:
        return lambda: SipPath(weather=Weather(loss=loss, seed=seed))

    def outage(seed: int) -> Callable[[], SipPath]:
        def make() -> SipPath:
            draw, path = random.Random(seed), SipPath(weather=Weather(loss=0.02, seed=seed))
            begin = draw.uniform(0, 0.4)
            path.outages = [(begin, begin + draw.choice([0.1, 0.5, 1, 2, 3]))]
            return path

        return make

    def limited(rate: float) -> Callable[[], SipPath]:
        return lambda: SipPath(weather=Weather(rate_limit=rate))

    def bursts(most: int, window: float) -> Callable[[], SipPath]:
        return lambda: SipPath(weather=FirstOfBurst(most, window, 0.02, most))

    def jittery(seed: int) -> Callable[[], SipPath]:
        def make() -> SipPath:
            draw, path = random.Random(seed), SipPath(weather=Weather(loss=0.05, seed=seed))
            path.jitter = lambda now: draw.uniform(0, 0.3)
            return path

        return make

    def doubling(seed: int, share: float) -> Callable[[], SipPath]:
        def make() -> SipPath:
            draw = random.Random(seed)
            deed: Deed = lambda direction, data, edge: Fate((data, data) if draw.random() < share else (data,))  # noqa: E731
            return SipPath(Reader(deed=deed), Weather(loss=0.05, seed=seed))

        return make

    def alike(seed: int) -> Callable[[], SipPath]:
        """A filter that drops what it has seen before, SIP or not, in front of a path that loses: SIP's copies are alike."""

        def make() -> SipPath:
            known: set[tuple[str, bytes]] = set()

            def deed(direction: str, data: bytes, edge: alg.Edge) -> Fate:
                if (direction, data) in known:
                    return Fate()
                known.add((direction, data))
                return Fate((data,))

            return SipPath(Reader(deed=deed), Weather(loss=0.2, seed=seed))

        return make

    seeds = range(count)
    return [
        *(lossy(loss, seed) for loss in (0.05, 0.1, 0.2, 0.3, 0.5) for seed in seeds),
        *(outage(seed) for seed in range(3 * count)),
        *(limited(rate) for rate in (10, 16, 20, 50, 100, 200)),
        *(bursts(most, window) for most in range(1, 12) for window in (0.001, 0.02, 0.06)),
        *(jittery(seed) for seed in seeds),
        *(doubling(seed, share) for share in (0.2, 1.0) for seed in seeds),
        *(alike(seed) for seed in seeds),
    ]


def test_foul_weather_is_never_an_alg() -> None:
    decided = 0
    for make in weathers(8):
        run = go(make())
        assert run.seen.interference in (NONE, None)
        assert {probe.request for probe in run.seen.probes} <= {"unchanged", "undecided"}
        assert {probe.response for probe in run.seen.probes} <= {"unchanged", "undecided"}
        assert not any(probe.changes for probe in run.seen.probes)
        assert run.verdict in (Verdict.PASS, Verdict.INCONCLUSIVE)
        decided += run.seen.interference == NONE
    assert decided > len(weathers(8)) // 2, "could not tell must not become the easy way out"


@pytest.mark.parametrize("loss", [0.05, 0.1, 0.2, 0.3])
@pytest.mark.parametrize("name", ["R1", "R10", "R16", "R21", "A1", "A7", "A10"])
def test_loss_makes_an_alg_untold_at_most(name: str, loss: float) -> None:
    """Never a pass for UDP 5060, never a worse deed than was done, and on the other channels never any."""
    level = MUTATIONS[name][0]
    told = 0
    for seed in range(6):
        run = go(SipPath(Reader(deed=does(name)), Weather(loss=loss, seed=seed)))
        assert run.seen.interference in (level, None)
        assert run.finding("UDP 5060").id in (f"sip-alg.{MUTATIONS[name][1]}", "sip-alg.undecided")
        assert {run.finding(subject).id for subject in OTHERS} <= {"sip-alg.none", "sip-alg.undecided"}
        told += run.seen.interference == level
    assert told >= (6 if loss <= 0.1 else 4)
