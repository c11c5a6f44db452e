"""Idle TCP connections through an edge that forgets them, on a clock that jumps: what is told is never wrong."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from edgecheck.checks.mapping_lifetime import CHECK
from edgecheck.checks.mapping_lifetime.observation import LifetimeObservation
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Verdict
from edgecheck.wire import control
from tests.fakes import clock
from tests.fakes.edge import Edge, Weather
from tests.fakes.nat import Nat
from tests.fakes.tcp_path import ForgetfulEdge
from tests.test_matrix_lifetime import not_wrong

PROFILE = Profile(name="test", title="", source="", confidence="verified", checks=())


def look(edge: Callable[[], Edge], quick: bool = False) -> tuple[LifetimeObservation, float]:
    """The observation, and how many (virtual) seconds it took. UDP is forgotten soon, so that TCP alone decides how long."""

    async def work() -> tuple[LifetimeObservation, float]:
        network = edge().network(quick=quick)
        network.idle_tcp = True
        began = network.now()
        return await CHECK.probe(network, PROFILE), network.now() - began

    return clock.run(work())


def through(quick: bool = False, loss: float = 0.0, seed: int = 0, delay: float = 0.025, **edge: Any) -> LifetimeObservation:
    return look(lambda: ForgetfulEdge(Nat(lifetime=8), Weather(loss=loss, seed=seed, delay=delay), **edge), quick)[0]


def tcp_findings(seen: LifetimeObservation) -> list[tuple[str, Verdict]]:
    found = [finding for finding in CHECK.judge(seen, PROFILE) if finding.subject == "idle TCP connection"]
    return [(finding.id.removeprefix("mapping-lifetime."), finding.verdict) for finding in found]


def test_not_measured_where_it_is_not_asked_for() -> None:
    async def work() -> LifetimeObservation:
        return await CHECK.probe(ForgetfulEdge(Nat(lifetime=8)).network(), PROFILE)

    seen = clock.run(work())
    assert seen.tcp_s is None
    assert "--tcp" in seen.reasons["tcp_s"]
    assert tcp_findings(seen) == []


def test_connections_that_are_kept_outlive_the_measurement() -> None:
    seen, took = look(lambda: ForgetfulEdge(Nat(lifetime=8)))
    assert (seen.tcp_s, seen.udp_s) == ((180, None), (5, 10))
    assert 180 < took < 190
    assert tcp_findings(seen) == [("tcp-long-enough", Verdict.PASS)]
    assert "a TCP connection at least 180 s" in CHECK.summarize(seen, CHECK.judge(seen, PROFILE))


@pytest.mark.parametrize("outbound", ["revive", "reset", "drop"])
@pytest.mark.parametrize("inbound", ["drop", "reset"])
def test_a_forgotten_connection_is_told_whatever_shows_it(inbound: str, outbound: str) -> None:
    seen, took = look(lambda: ForgetfulEdge(Nat(lifetime=8), tcp_lifetime=40, inbound=inbound, outbound=outbound))
    assert seen.tcp_s is not None
    assert seen.tcp_s[0] == 35
    assert seen.tcp_s[1] in range(45, 52)
    assert took < 80, "two dead in a row end it"
    dead = [point for point in seen.points if point.kind == "tcp" and point.alive is False]
    word = {"reset": "a RST came in at the server's end"}.get(
        inbound, {"revive": "taken up again", "reset": "reset when this end sent", "drop": "also when this end sent"}[outbound]
    )
    assert dead
    assert all(word in point.ended for point in dead)
    assert tcp_findings(seen) == [("tcp-short", Verdict.WARN)]
    (finding,) = [one for one in CHECK.judge(seen, PROFILE) if one.id == "mapping-lifetime.tcp-short"]
    assert "every 23 s holds it" in finding.summary
    assert any(word in line and "dead" in line for line in finding.evidence)


def test_an_edge_that_resets_both_ends() -> None:
    seen = through(tcp_lifetime=18, closes=True)
    assert seen.tcp_s == (15, 20)
    assert any("by neither end" in point.ended for point in seen.points)


def test_a_quick_run_says_how_far_it_looked() -> None:
    seen, took = look(lambda: ForgetfulEdge(Nat(lifetime=8)), quick=True)
    assert (seen.tcp_s, took < 56) == ((45, None), True)
    assert tcp_findings(seen) == [("undecided", Verdict.SKIPPED)]


def test_no_lifetime_is_ever_told_wrong() -> None:
    draw = random.Random(5382)
    told = 0
    for seed in range(24):
        lifetime = draw.choice([draw.uniform(3, 60), draw.uniform(60, 200), 7440])
        seen = through(
            loss=draw.choice([0, 0.02, 0.05, 0.1, 0.2]),
            seed=seed,
            delay=draw.choice([0.002, 0.025, 0.1, 0.2]),
            tcp_lifetime=lifetime,
            inbound=draw.choice(["drop", "reset"]),
            outbound=draw.choice(["revive", "reset", "drop"]),
        )
        assert seen.tcp_s is not None
        assert not_wrong(seen.tcp_s, lifetime), (lifetime, seen.tcp_s, seen.points)
        told += seen.tcp_s[0] is not None
    assert told >= 22


def test_silence_on_a_bad_path_is_no_death() -> None:
    """Nothing is ever forgotten, and outages swallow everything for seconds at a time."""
    for seed in range(6):

        def edge(seed: int = seed) -> Edge:
            made = ForgetfulEdge(Nat(lifetime=8), Weather(loss=0.15, seed=seed))
            made.outages = [(at, at + 3 + seed) for at in range(4, 200, 11)]
            return made

        seen, _ = look(edge)
        assert seen.tcp_s is not None
        assert seen.tcp_s[1] is None, seen.points


@pytest.mark.parametrize(("how", "word"), [("drop", "silence proves nothing"), ("reset", "kept busy did not live on either")])
def test_a_router_that_is_restarted_is_no_lifetime(how: str, word: str) -> None:
    """It forgets the busy connections as well."""
    seen = through(restarts_at=50.0, inbound=how, outbound=how)
    assert seen.tcp_s == (45, None)
    later = [point.reason for point in seen.points if point.kind == "tcp" and point.idle_s > 45]
    assert len(later) == 5
    assert all(word in reason for reason in later)
    assert tcp_findings(seen) == [("undecided", Verdict.INCONCLUSIVE)]


def test_a_router_that_takes_up_again_what_its_inside_sends_is_restarted() -> None:
    """As Linux does: the busy connections live on by their own packets. The idle ones died of the restart all the same."""

    def edge() -> Edge:
        made = ForgetfulEdge(Nat(lifetime=300), restarts_at=50.0)
        asyncio.get_running_loop().call_later(50.0, made.nat.forget)
        return made

    seen, _ = look(edge)
    assert seen.tcp_s == (45, None), seen.points
    assert any("forgot everything at once" in point.reason for point in seen.points if point.kind == "tcp")
    assert tcp_findings(seen) == [("undecided", Verdict.INCONCLUSIVE)]


def test_an_older_server_is_named() -> None:
    def older() -> Edge:
        edge = ForgetfulEdge(Nat(lifetime=8))
        edge.service = msgspec.structs.replace(edge.service, capabilities=tuple(one for one in edge.service.capabilities if one != "push"))
        return edge

    seen, _ = look(older)
    assert seen.tcp_s == (None, None)
    assert "a newer edgecheck-server can" in seen.reasons["tcp_s"]


def test_a_server_that_goes_leaves_what_was_measured() -> None:
    class Goes(ForgetfulEdge):
        async def ask(self, make: Callable[[int], control.Request], timeout: float = 30.0) -> control.Reply:
            if asyncio.get_running_loop().time() > 17:
                self.lost = "the server closed the control channel"
            return await super().ask(make, timeout)

    seen, took = look(lambda: Goes(Nat(lifetime=60)))
    assert seen.tcp_s == (15, None)
    assert took < 30


def test_udp_that_is_blocked_leaves_tcp() -> None:
    seen, _ = look(lambda: ForgetfulEdge(Nat(blocks_udp=True), tcp_lifetime=18), quick=True)
    assert seen.udp_s == (None, None)
    assert seen.tcp_s is not None
    assert seen.tcp_s[0] == 15
    assert [finding.id for finding in CHECK.judge(seen, PROFILE)] == ["mapping-lifetime.undecided", "mapping-lifetime.tcp-short"]


def test_it_is_told_in_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int, str]] = []

    async def work() -> None:
        network = ForgetfulEdge(Nat(lifetime=8)).network(quick=True)
        network.idle_tcp = True
        network.progress = lambda done, total, note="": told.append((done, total, note))  # type: ignore[method-assign]
        await CHECK.probe(network, PROFILE)

    clock.run(work())
    assert told[0] == (0, 55, "seconds")
    assert len(told) >= 45
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
