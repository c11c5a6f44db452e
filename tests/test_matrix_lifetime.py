"""Mapping lifetimes through the in-memory NAT, on a clock that jumps: right within a step of the grid, at any loss never wrong."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from edgecheck.checks.mapping_lifetime import CHECK
from edgecheck.checks.mapping_lifetime.observation import Bounds, LifetimeObservation
from edgecheck.checks.mapping_lifetime.probe import GRID_S
from edgecheck.model.profile import Profile
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint
from tests.fakes import clock
from tests.fakes.edge import PRIMARY, Edge, Weather
from tests.fakes.memory import SharedMemory
from tests.fakes.nat import EIGHT, Nat
from tests.fakes.world import World

PROFILE = Profile(name="test", title="", source="", confidence="verified", checks=())
A1 = Endpoint(PRIMARY, 3478)


def look(edge: Callable[[], Edge], quick: bool = False, memory: SharedMemory | None = None) -> tuple[LifetimeObservation, float]:
    """The observation, and how many (virtual) seconds it took."""

    async def work() -> tuple[LifetimeObservation, float]:
        network = edge().network(memory, quick=quick)
        began = network.now()
        return await CHECK.probe(network, PROFILE), network.now() - began

    return clock.run(work())


def through(loss: float = 0.0, seed: int = 0, delay: float = 0.025, quick: bool = False, **nat: Any) -> LifetimeObservation:
    return look(lambda: Edge(Nat(**nat, seed=seed), Weather(loss=loss, seed=seed, delay=delay)), quick)[0]


def not_wrong(found: Bounds, truth: float) -> bool:
    """Bounds are told to the second."""
    lower, upper = found
    return (lower is None or lower <= truth) and (upper is None or truth <= upper + 1)


def steps(found: Bounds) -> int:
    """How many steps of the grid lie between the bounds."""
    marks = (0, *GRID_S, None)
    return marks.index(found[1]) - marks.index(found[0])


# ---- the fake itself


def test_the_fake_nat_forgets_as_it_is_told() -> None:
    """A dropped packet refreshes nothing; inbound ones refresh where they may; a stream is two-way and older than two seconds."""

    async def work() -> None:
        nat = Nat(lifetime=10, stream_lifetime=30, per_destination_ports=True)
        stranger = Endpoint(PRIMARY, 3479)
        nat.outbound("udp", 5000, A1)
        await asyncio.sleep(9)
        assert nat.inbound("udp", stranger, 5000) is None
        await asyncio.sleep(0.5)
        assert nat.inbound("udp", A1, 5000) == 5000, "the first answer: not yet a stream"
        await asyncio.sleep(9.9)
        assert nat.inbound("udp", A1, 5000) == 5000, "now it is"
        await asyncio.sleep(29)
        assert nat.inbound("udp", A1, 5000) == 5000
        await asyncio.sleep(30)
        assert nat.inbound("udp", A1, 5000) is None
        one_way = Nat(lifetime=10, inbound_refreshes=False)
        one_way.outbound("udp", 5000, A1)
        await asyncio.sleep(9)
        assert one_way.inbound("udp", A1, 5000) == 5000
        await asyncio.sleep(1)
        assert one_way.inbound("udp", A1, 5000) is None

    clock.run(work())


# ---- the figures


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.2])
@pytest.mark.parametrize(("lifetime", "truth"), [(20, (15, 20)), (30, (25, 30)), (60, (45, 60)), (120, (90, 120)), (300, (180, None))])
def test_lifetimes_are_right_within_a_step(lifetime: float, truth: Bounds, loss: float) -> None:
    exact = 0
    for seed in range(6):
        seen = through(loss, seed, lifetime=lifetime)
        for found in (seen.udp_s, seen.udp_stream_s):
            assert not_wrong(found, lifetime), seen
            exact += found == truth
        assert seen.inbound_refreshes in ((True, None) if lifetime < 180 else (None,))
        if loss == 0:
            assert seen.inbound_refreshes is (True if lifetime < 180 else None)
    assert exact >= {0.0: 12, 0.1: 12, 0.2: 11}[loss]


@pytest.mark.parametrize("quick", [False, True])
def test_no_lifetime_is_ever_told_wrong(quick: bool) -> None:
    """Lifetimes between the steps, streams that live longer, distance, heavy loss, refresh or not."""
    draw = random.Random(4787 + quick)
    told = 0
    for seed in range(60):
        lifetime = draw.choice([draw.uniform(2, 60), draw.uniform(60, 220)])
        stream = draw.choice([None, draw.uniform(lifetime, 250)])
        refreshes = draw.random() < 0.5
        seen = through(
            draw.choice([0, 0.05, 0.1, 0.2, 0.3]),
            seed,
            draw.choice([0.002, 0.025, 0.1, 0.15]),
            quick,
            lifetime=lifetime,
            stream_lifetime=stream,
            inbound_refreshes=refreshes,
            per_destination_ports=draw.random() < 0.5,
            allocation=draw.choice(["preserved", "random"]),
            translate=draw.random() < 0.8,
        )
        assert not_wrong(seen.udp_s, lifetime), seen
        assert not_wrong(seen.udp_stream_s, stream or lifetime), seen
        assert seen.inbound_refreshes in (refreshes, None), seen
        told += seen.udp_s[0] is not None
    assert told >= 58


@pytest.mark.parametrize("name", EIGHT)
def test_every_nat_that_forgets_is_measured(name: str) -> None:
    seen = through(lifetime=33, **EIGHT[name])
    expected = {"none": ((None, None), True), "restricted by host": ((None, None), None)}.get(name, ((30, 35), False))
    assert (seen.udp_s, seen.lets_in_all) == expected
    if expected[1] is False:
        assert (seen.udp_stream_s, seen.inbound_refreshes) == ((30, 35), True)
    else:
        assert seen.reasons["udp_s"]


def test_linux_keeps_a_stream_longer() -> None:
    seen = through(per_destination_ports=True, lifetime=30, stream_lifetime=120)
    assert (seen.udp_s, seen.udp_stream_s, seen.inbound_refreshes, seen.recommended_keepalive_s) == ((25, 30), (90, 120), True, 16)
    assert [finding.id for finding in CHECK.judge(seen, PROFILE)] == [
        f"mapping-lifetime.{cause}" for cause in ("short", "long-enough", "settings")
    ]


@pytest.mark.parametrize(("refreshes", "lifetime", "told"), [(True, 20, True), (False, 20, False), (False, 7, False), (True, 7, True), (True, 2.5, None)])
def test_refresh_from_outside(refreshes: bool, lifetime: float, told: bool | None) -> None:
    seen = through(lifetime=lifetime, inbound_refreshes=refreshes)
    assert seen.inbound_refreshes is told
    assert ("inbound_refreshes" in seen.reasons) == (told is None)


@pytest.mark.parametrize("lifetime", [2.0, 2.6])
def test_what_lives_shorter_than_the_watch_sees_is_told_all_the_same(lifetime: float) -> None:
    """It finds its own flows dead, each time: no router restarts that often."""
    seen, _ = look(lambda: Edge(Nat(lifetime=lifetime)), quick=True)
    assert (seen.udp_s, seen.udp_stream_s) == ((0, 5), (0, 5))
    assert [finding.id for finding in CHECK.judge(seen, PROFILE)][:1] == ["mapping-lifetime.very-short"]


# ---- time


def test_a_quick_run_ends_after_45_seconds_idle() -> None:
    seen, took = look(lambda: Edge(Nat(lifetime=300)), quick=True)
    assert (seen.quick, seen.grid_s[-1], seen.udp_s, seen.udp_stream_s) == (True, 45, (45, None), (45, None))
    assert took < 45 + 6
    assert CHECK.judge(seen, PROFILE)[0].id == "mapping-lifetime.long-enough"


def test_the_whole_takes_as_long_as_its_longest_idle_time() -> None:
    _, took = look(lambda: Edge(Nat(lifetime=1000)))
    assert 180 < took < 180 + 6


def test_two_dead_in_a_row_end_it() -> None:
    seen, took = look(lambda: Edge(Nat(lifetime=12)))
    assert (seen.udp_s, seen.udp_stream_s, seen.inbound_refreshes) == ((10, 15), (10, 15), True)
    assert took < 20 + 6
    assert [point.idle_s for point in seen.points if point.kind == "packet"] == [5, 10, 15, 20]


def test_every_flow_is_sent_to_once() -> None:
    seen = through(0.2, 3, lifetime=60)
    asked = [point.local for point in seen.points if point.kind != "inbound"]
    assert len(asked) == len(set(asked)) > 15


def test_progress_is_told_in_seconds() -> None:
    told: list[tuple[int, int, str]] = []

    async def work() -> None:
        network = Edge(Nat(lifetime=300)).network(quick=True)
        network.progress = lambda done, total, note="": told.append((done, total, note))  # type: ignore[method-assign]
        await CHECK.probe(network, PROFILE)

    clock.run(work())
    assert told[0] == (0, 50, "seconds")
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert len(told) >= 45


# ---- what could make it a lie


def test_forwarded_ports_are_not_measured_with() -> None:
    """A rule for every third port: such a port needs no mapping, and would seem to live for ever."""
    rules = {("udp", port): port for port in range(40_000, 41_000, 3)}
    seen = through(0.1, 1, lifetime=20, forwarded=rules)
    assert seen.udp_s == (15, 20)
    assert seen.bare is not None
    assert seen.bare.reached > 5
    assert not {int(point.local.rpartition(":")[2]) for point in seen.points} & {port for _, port in rules}


def test_a_host_that_gets_everything_has_no_lifetime() -> None:
    seen = through(0.2, 1, exposed=True, filtering="endpoint-independent", lifetime=20)
    assert (seen.lets_in_all, seen.points) == (True, ())


@pytest.mark.parametrize(("alternate", "word"), [(False, "one address"), (True, "was contacted 30 s ago")])
def test_where_only_the_server_is_known_to_get_in_nothing_is_said(alternate: bool, word: str) -> None:
    memory = SharedMemory()
    memory.note_contact("198.51.100.11")
    memory.clock += 30
    seen, _ = look(lambda: Edge(Nat(translate=False, filtering=None), alternate=alternate), memory=memory)
    assert seen.lets_in_all is None
    assert word in seen.reasons["udp_s"]
    assert [finding.id for finding in CHECK.judge(seen, PROFILE)] == ["mapping-lifetime.undecided"]


def test_ports_that_sent_lately_are_left_alone() -> None:
    memory = SharedMemory()
    memory.note_sent(range(40_001, 40_011))
    seen, _ = look(lambda: Edge(Nat(lifetime=12)), memory=memory)
    assert min(int(point.local.rpartition(":")[2]) for point in seen.points) > 40_010
    assert memory.sent_from(40_015) == 0


def test_outages_leave_points_open_and_none_wrong() -> None:
    class Broken(Edge):
        def _later(self, work: Any, *values: Any) -> None:
            if asyncio.get_running_loop().time() % 12 > 4:
                super()._later(work, *values)

    for seed in range(3):
        seen, _ = look(lambda seed=seed: Broken(Nat(lifetime=33), Weather(seed=seed, loss=0.1)))
        assert not_wrong(seen.udp_s, 33)
        assert not_wrong(seen.udp_stream_s, 33)
        assert seen.inbound_refreshes in (True, None)
        unknown = [point for point in seen.points if point.alive is None]
        assert unknown
        assert all(point.reason for point in unknown)


def test_a_machine_that_slept_tells_nothing_of_that_time() -> None:
    """It sleeps for ten minutes after 22 s: to it, the mapping dies at 25 s; in truth it lives 60."""

    class Sleeper(Edge):
        slept = 0.0

        async def ask(self, make: Callable[[int], control.Request], timeout: float = 30.0) -> control.Reply:
            reply = await super().ask(make, timeout)
            if asyncio.get_running_loop().time() > 22 and not self.slept:
                self.slept = 600.0
                for life in self.nat._lives.values():
                    life.ends -= self.slept
            return msgspec.structs.replace(reply, at_ms=reply.at_ms + 1000 * self.slept) if isinstance(reply, control.Pong) else reply

    seen, _ = look(lambda: Sleeper(Nat(lifetime=60)), quick=True)
    assert seen.udp_s == (20, None)
    assert all("did it sleep" in point.reason for point in seen.points if point.kind == "packet" and point.idle_s > 20)


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_a_router_that_restarts_forgets_the_young_as_well(loss: float) -> None:
    """Whenever it does: what dies then has not died of its age, and nobody is told of a short lifetime or a keep-alive for it."""

    class Restarts(Edge):
        def __init__(self, at: float, seed: int) -> None:
            super().__init__(Nat(lifetime=300, per_destination_ports=bool(seed % 2), seed=seed), Weather(loss=loss, seed=seed))
            asyncio.get_running_loop().call_later(at, self.nat.forget)

    draw, told = random.Random(7), 0
    for seed in range(12):
        at = draw.choice([draw.uniform(0.5, 6), draw.uniform(6, 44)])
        seen, _ = look(lambda at=at, seed=seed: Restarts(at, seed), quick=True)
        for found in (seen.udp_s, seen.udp_stream_s, seen.sip_s):
            assert found[1] is None, (at, seen)
        assert seen.inbound_refreshes is None, (at, seen)
        ids = {finding.id for finding in CHECK.judge(seen, PROFILE)}
        assert ids <= {f"mapping-lifetime.{cause}" for cause in ("undecided", "long-enough", "settings")}, (at, seen)
        told += any("forgot everything at once" in finding.summary for finding in CHECK.judge(seen, PROFILE))
        if "mapping-lifetime.settings" not in ids:
            assert "keep-alive" not in CHECK.summarize(seen, CHECK.judge(seen, PROFILE))
    assert told >= 9


def test_a_server_that_goes_leaves_what_was_measured() -> None:
    class Goes(Edge):
        async def ask(self, make: Callable[[int], control.Request], timeout: float = 30.0) -> control.Reply:
            if asyncio.get_running_loop().time() > 17:
                self.lost = "the server closed the control channel"
            return await super().ask(make, timeout)

    seen, took = look(lambda: Goes(Nat(lifetime=60)))
    assert (seen.udp_s, seen.udp_stream_s) == ((15, None), (10, None))
    assert took < 25, "nobody waits for what can no longer be asked"
    assert any("lost in mid-run" in point.reason for point in seen.points)
    assert {finding.id for finding in CHECK.judge(seen, PROFILE)} == {"mapping-lifetime.undecided"}


def test_the_grid_ends_with_the_session() -> None:
    def edge() -> Edge:
        made = Edge(Nat(lifetime=300))
        made.server.limits = msgspec.structs.replace(made.server.limits, session_s=90, copies=4)
        made.session.limits = made.server.limits
        return made

    seen, _ = look(edge)
    assert (seen.grid_s[-1], seen.udp_s) == (60, (60, None))


def test_two_public_addresses() -> None:
    seen, _ = look(lambda: Edge(Nat(lifetime=20, udp_public="203.0.113.9")))
    assert (seen.udp_s, seen.udp_stream_s) == ((15, 20), (15, 20))


def test_no_udp_at_all() -> None:
    seen = through(blocks_udp=True)
    assert seen.reasons["udp_s"] == "no answer came over UDP: see nat-behavior"
    assert CHECK.judge(seen, PROFILE)[0].id == "mapping-lifetime.undecided"


def test_a_path_that_loses_nearly_everything_is_undecided() -> None:
    for seed in range(3):
        seen = through(0.7, seed, lifetime=20)
        assert not_wrong(seen.udp_s, 20)
        assert {finding.id for finding in CHECK.judge(seen, PROFILE)} <= {"mapping-lifetime.undecided", "mapping-lifetime.very-short"}


# ---- beside other checks


def test_nobody_waits_at_the_gate_for_a_check_that_takes_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that must contact the alternate address last goes on as soon as only the long one is left."""
    passed: list[float] = []

    async def parks(network: Any, profile: Profile) -> LifetimeObservation:
        await network.may_contact_alternate()
        passed.append(network.now())
        return LifetimeObservation()

    world = World(monkeypatch)
    profile = world.have(msgspec.structs.replace(CHECK, id="parks", probe=parks, lengthy=False), CHECK)
    report = world.run(Edge(Nat(lifetime=300)), profile=profile, quick=True)
    assert world.told.finished == ["parks", "mapping-lifetime"]
    assert passed[0] < 1 < 45 < world.took
    assert report.settings["quick"] is True
