"""The runner over the whole world in memory: the order of the checks, what is not tried, reports read back."""

import time
from typing import Any

import msgspec
import pytest

from edgecheck import judging, profiles, runner
from edgecheck.model.check import Network, Observation
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Verdict
from edgecheck.report import json
from edgecheck.wire.address import Target
from tests.fakes.edge import ALTERNATE, Edge, Weather
from tests.fakes.memory import SharedMemory
from tests.fakes.nat import EIGHT, Nat
from tests.fakes.world import PROFILE, TOKEN, Watched, World, as_written, by_id, check, passes


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


# ---- order


@pytest.mark.parametrize("name", EIGHT)
@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_nobody_contacts_the_alternate_address_before_all_who_need_it_uncontacted_are_through(name: str, loss: float, world: World) -> None:
    edge = Watched(Nat(**EIGHT[name]), Weather(loss=loss, seed=1))
    report = world.run(edge)
    assert edge.contacts or name == "none", "some check contacts it, else this shows nothing"
    assert len(edge.unsolicited) >= 3, "forwarding, the RTP range and the filter test ask it to send"
    assert max(edge.unsolicited) < min(edge.contacts, default=float("inf"))
    assert world.told.started == [check.id for check in runner.Settings.plan(world.settings()) if check.id in world.told.started]
    assert set(world.told.finished) == {check.id for check in world.settings().plan()} == set(by_id(report))


def test_checks_run_in_their_order_whatever_the_order_asked_for(world: World) -> None:
    ids = ["nat-behavior", "rtp-range", "port-forwarding"]
    report = world.run(Edge(Nat()), checks=tuple(ids))
    assert world.told.started == ["port-forwarding", "rtp-range", "nat-behavior"]
    assert [result.id for result in report.checks] == world.told.started
    assert report.settings["checks"] == world.told.started


def test_only_those_asked_for(world: World) -> None:
    report = world.run(Edge(Nat()), checks=("port-preservation",))
    assert set(by_id(report)) == {"port-preservation"} == set(world.told.started)


def test_whoever_waits_at_the_gate_lets_the_next_go_first(world: World) -> None:
    steps: list[str] = []

    async def contacts(net: Network, profile: Profile) -> Observation:
        steps.append("first begins")
        await net.may_contact_alternate()
        steps.append("first contacts")
        return Observation()

    async def listens(net: Network, profile: Profile) -> Observation:
        steps.append("second begins")
        await net.sleep(5)
        steps.append("second ends")
        return Observation()

    profile = world.have(check("first", contacts), check("second", listens), check("third", contacts))
    report = world.run(Edge(Nat()), profile=profile)
    assert steps == ["first begins", "second begins", "second ends", "first begins", "first contacts", "first contacts"]
    assert report.verdict is Verdict.PASS
    assert world.memory.contacted(ALTERNATE) is not None


def test_nobody_waits_for_a_check_that_takes_minutes(world: World) -> None:
    """It runs last, and the gate opens before it."""
    steps: list[str] = []

    async def contacts(net: Network, profile: Profile) -> Observation:
        await net.may_contact_alternate()
        steps.append("contacts")
        return Observation()

    async def long(net: Network, profile: Profile) -> Observation:
        await net.sleep(300)
        steps.append("is through")
        return Observation()

    profile = world.have(check("first", contacts), check("long", long, lengthy=True))
    assert world.run(Edge(Nat()), profile=profile).verdict is Verdict.PASS
    assert steps == ["contacts", "is through"]


# ---- not tried


def test_what_the_server_cannot_do_is_skipped_with_the_reason(world: World) -> None:
    profile = world.have(check("one", passes, needs=frozenset({"dial", "sip-tls"})), check("two", passes))
    report = world.run(Edge(Nat()), profile=profile)
    assert (report.verdict, by_id(report)["one"].verdict) == (Verdict.PASS, Verdict.SKIPPED)
    assert "the server offers no sip-tls" in by_id(report)["one"].findings[0].summary
    assert world.told.started == ["two"]


def test_a_server_with_one_address(world: World) -> None:
    report = world.run(Edge(Nat(), alternate=False))
    assert any("one address only" in note for note in report.notes)
    assert report.server is not None
    assert report.server.alternate is None
    assert all(finding.verdict is not Verdict.FAIL for result in report.checks for finding in result.findings)
    assert any("address" in finding.summary for result in report.checks for finding in result.findings if finding.verdict is Verdict.SKIPPED)


def test_what_the_profile_does_not_ask_is_skipped_with_the_reason(world: World) -> None:
    report = world.run(Edge(Nat()), profile=msgspec.structs.replace(PROFILE, rtp=None), checks=("rtp-range", "nat-behavior"))
    assert by_id(report)["rtp-range"].summary == "not tested: the profile names no RTP range"
    assert by_id(report)["nat-behavior"].verdict is not Verdict.SKIPPED


def test_nothing_tried_at_all_is_not_fine(world: World) -> None:
    profile = world.have(check("one", passes, needs=frozenset({"miracles"})))
    report = world.run(Edge(Nat()), profile=profile)
    assert report.verdict is Verdict.SKIPPED


# ---- reports read back


@pytest.mark.parametrize("name", EIGHT)
def test_a_saved_report_judged_anew_says_the_same(name: str, world: World) -> None:
    """``kept`` compares the whole reports; here they come from rough weather, and from ports with and without rules."""
    for seed in range(3):
        nat = Nat(**EIGHT[name], seed=seed, forwarded={("udp", 5060): 5060} if seed else {})
        world.memory = SharedMemory()
        report = world.run(Edge(nat, Weather(loss=0.15 * seed, seed=seed)))
        again = judging.rejudge(json.read(json.render(report)))
        for before, after in zip(as_written(report)["checks"], as_written(again)["checks"], strict=True):
            assert before == after


def test_judging_anew_twice_adds_nothing(world: World) -> None:
    report = world.run(Edge(Nat()))
    once = judging.rejudge(report)
    assert as_written(judging.rejudge(once)) == as_written(once) == as_written(report)


# ---- settings


def test_settings_never_tell_the_token() -> None:
    for target in (Target("echo.example.net", 8443, TOKEN), Target("2001:db8::1", 8443, TOKEN)):
        settings = runner.Settings(target=target, profile=PROFILE, source="192.0.2.7", family=4, pace=0, timeout=3.0)
        told = settings.told()
        assert TOKEN not in repr(told) + repr(settings) + msgspec.json.encode(told).decode()
        assert told["target"] == target.authority
        assert msgspec.convert(told["profile"], Profile) == PROFILE
        assert (told["source"], told["family"], told["pace"], told["timeout"]) == ("192.0.2.7", 4, 0, 3.0)


@pytest.mark.parametrize(("pace", "rate"), [(None, runner.DEFAULT_PACE), (0, 0), (50, 50)])
def test_pace(pace: int | None, rate: int) -> None:
    settings = runner.Settings(target=Target("h"), profile=PROFILE, pace=pace)
    assert (settings.rate(), settings.told()["pace"]) == (rate, rate)


def test_a_run_takes_no_longer_than_it_says(world: World) -> None:
    began = time.monotonic()
    report = world.run(Edge(Nat()), checks=("nat-behavior",))
    assert 0 <= report.duration_s <= time.monotonic() - began + 0.001
    assert report.started_at.endswith("Z")


@pytest.mark.parametrize(
    ("more", "least", "most"),
    [
        ({}, 25, 40),
        ({"pace": 200}, 105, 120),
        ({"pace": 0}, 5, 20),
        ({"checks": ("nat-behavior",)}, 1, 1),
        ({"checks": ("mapping-lifetime",)}, 180, 200),
        ({"checks": ("mapping-lifetime",), "quick": True}, 50, 60),
    ],
)
def test_how_long_a_run_takes_is_told_before_it(more: dict[str, Any], least: int, most: int) -> None:
    settings = runner.Settings(target=Target("h"), profile=profiles.load("asterisk"), **more)
    assert least <= settings.expected_s() <= most
