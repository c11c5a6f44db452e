"""``mapping-lifetime``: what points prove, the keep-alive that follows, and how lifetimes are judged."""

from typing import Any

import msgspec
import pytest

from edgecheck.checks.mapping_lifetime import CHECK
from edgecheck.checks.mapping_lifetime.bounds import bounds, keepalive, observe, refreshed_from_outside
from edgecheck.checks.mapping_lifetime.observation import BareTest, IdlePoint, LifetimeObservation
from edgecheck.diagnosis import diagnose
from edgecheck.judging import judged
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Verdict

PROFILE = Profile(name="test", title="", source="", confidence="verified", checks=())


def point(kind: Any, idle: int, alive: bool | None, at_most: float | None = None, reason: str = "") -> IdlePoint:
    return IdlePoint(
        kind=kind,
        idle_s=idle,
        at_most_s=idle + 0.5 if at_most is None else at_most,
        alive=alive,
        copies=8,
        arrived=8 if alive else 0,
        control=8 if alive is not None else 1,
        local="192.168.88.2:40000",
        mapped="203.0.113.1:40000",
        reason=reason or ("" if alive is not None else "1 of 8 control copies arrived: silence proves nothing"),
    )


def row(kind: Any, alive: str = "", dead: str = "", unknown: str = "") -> list[IdlePoint]:
    """``row("packet", alive="5 10", dead="15")``"""
    told = ((alive, True), (dead, False), (unknown, None))
    return sorted((point(kind, int(idle), state) for idles, state in told for idle in idles.split()), key=lambda each: each.idle_s)


def seen(*points: IdlePoint) -> LifetimeObservation:
    return observe(LifetimeObservation(sender="198.51.100.10:3478", lets_in_all=False), points)


# ---- bounds


@pytest.mark.parametrize(
    ("alive", "dead", "unknown", "expected"),
    [
        ("5 10 15 20 25", "30 35", "", (25, 30)),
        ("5 10 15", "", "", (15, None)),
        ("", "5 10", "", (0, 5)),
        ("5 10", "30 35", "15 20 25", (10, 30)),
        ("5", "", "10 15", (5, None)),
        ("", "30", "5 10", (0, 30)),
    ],
)
def test_bounds_are_what_is_proved(alive: str, dead: str, unknown: str, expected: tuple[int, int | None]) -> None:
    assert bounds(row("packet", alive, dead, unknown)) == (expected, "")


def test_a_flow_that_outlives_a_younger_dead_one_proves_nothing() -> None:
    found, reason = bounds(row("packet", alive="5 10 30", dead="20 25"))
    assert found == (None, None)
    assert "idle for 30 s was still known while one idle for 20 s was not" in reason


def test_without_an_answer_the_reason_is_the_points_own() -> None:
    assert bounds(row("packet", unknown="5 10")) == ((None, None), "1 of 8 control copies arrived: silence proves nothing")
    assert bounds([]) == ((None, None), "no flow was left idle")


def test_copies_that_came_late_prove_no_less_than_they_do() -> None:
    """A mapping that lives 32 s is alive at 30 and dead when copies drag on until 33.2: its bound is 34, not 30."""
    assert bounds([point("packet", 25, True), point("packet", 30, False, at_most=33.2)])[0] == (25, 34)
    assert bounds([point("packet", 30, False, at_most=31.0)])[0] == (0, 30)


# ---- refresh from outside

SILENT = row("packet", alive="5 10 15 20 25", dead="30 35")


@pytest.mark.parametrize(
    ("inbound", "expected"),
    [
        (row("inbound", alive="3 6 9 12 30"), True),
        (row("inbound", alive="3 6 9 12 29"), None),
        (row("inbound", alive="3 6 9 12 24 27", dead="30"), False),
        (row("inbound", dead="3"), None),
        (row("inbound", alive="3", unknown="6 9 12 15 18 21 24 27", dead="30"), None),
        (row("inbound", unknown="3 6 9"), None),
        ([], None),
    ],
)
def test_refresh_is_told_against_the_silent_twins(inbound: list[IdlePoint], expected: bool | None) -> None:
    told, reason = refreshed_from_outside([*SILENT, *inbound])
    assert told is expected
    assert bool(reason) == (expected is None)


def test_refresh_cannot_be_told_where_the_silent_twin_never_dies() -> None:
    points = [*row("packet", alive="5 45"), *row("inbound", alive="3 45")]
    assert refreshed_from_outside(points) == (None, "the silent mapping outlived the measurement")


def test_a_shorter_life_of_streams_is_allowed_for() -> None:
    """Packets from outside may have made a stream of it: what that lives counts too."""
    points = [*SILENT, *row("stream", alive="", dead="5 10"), *row("inbound", alive="3 6", dead="9")]
    assert refreshed_from_outside(points)[0] is None


# ---- the keep-alive


@pytest.mark.parametrize(
    ("lower", "expected"),
    [(0, None), (5, 4), (10, 8), (15, 12), (20, 15), (25, 16), (30, 20), (45, 30), (60, 40), (90, 60), (120, 80), (180, 120), (600, 120)],
)
def test_the_keepalive_leaves_a_margin(lower: int, expected: int | None) -> None:
    assert keepalive((lower, None), (lower, None)) == expected


def test_the_shorter_of_both_lifetimes_counts() -> None:
    assert keepalive((25, 30), (90, 120)) == 16
    assert keepalive((90, 120), (25, 30)) == 16
    assert keepalive((25, 30), (None, None)) == 16
    assert keepalive((None, None), (90, 120)) is None, "a single exchange mostly lives shorter"


# ---- the verdict


@pytest.mark.parametrize(
    ("alive", "dead", "verdict", "cause"),
    [
        ("", "5 10", Verdict.FAIL, "very-short"),
        ("5 10 15", "20 25", Verdict.FAIL, "very-short"),
        ("5 10 15 20", "25 30", Verdict.WARN, "short"),
        ("5 25", "30 35", Verdict.WARN, "short"),
        ("5 35", "45 60", Verdict.WARN, "short"),
        ("5 45", "60 90", Verdict.PASS, "long-enough"),
        ("5 45", "", Verdict.PASS, "long-enough"),
        ("5 180", "", Verdict.PASS, "long-enough"),
        ("15", "25 30", Verdict.INCONCLUSIVE, "undecided"),
        ("35", "60", Verdict.INCONCLUSIVE, "undecided"),
        ("30", "", Verdict.INCONCLUSIVE, "undecided"),
    ],
)
def test_verdicts(alive: str, dead: str, verdict: Verdict, cause: str) -> None:
    findings = CHECK.judge(seen(*row("packet", alive, dead), *row("stream", alive, dead)), PROFILE)
    findings = tuple(finding for finding in findings if finding.id != "mapping-lifetime.settings")
    assert [(finding.id, finding.verdict) for finding in findings] == [(f"mapping-lifetime.{cause}", verdict)] * 2
    assert {finding.subject for finding in findings} == {"idle UDP mapping", "mapping of a stream"}
    for finding in findings:
        assert len(finding.evidence) == len(alive.split()) + len(dead.split())


def test_linux_is_a_warning_with_the_keepalive_that_helps() -> None:
    observation = seen(*SILENT, *row("stream", alive="5 90", dead="120 150"), *row("inbound", alive="3 6 9 36"))
    packet, stream, settings = CHECK.judge(observation, PROFILE)
    assert settings.id == "mapping-lifetime.settings"
    for word in ("keepalive_interval 16", "qualify_frequency=16", "natping_interval 16", "refuse less than 60 s"):
        assert word in settings.summary
    assert packet.summary == "An idle UDP mapping lives 25 to 30 s: a keep-alive every 30 s comes too late; every 16 s holds it."
    assert stream.summary.endswith("lives 90 to 120 s: a keep-alive every 30 s holds it (RFC 4787 asks for 120 s).")
    assert "a twin that only received, 4 times, was still known 36 s after it had last sent" in packet.evidence
    assert CHECK.summarize(observation, (packet, stream, settings)) == (
        "an idle UDP mapping lives 25 to 30 s, that of a stream 90 to 120 s: set keep-alives (qualify_frequency, keepalive_interval) to 16 s"
    )
    result = judged(CHECK, observation, PROFILE, 1.0)
    (told,), headline, advice = diagnose((result,), PROFILE, None)
    assert headline == "Calls should work, with a reservation: the idle UDP mapping is forgotten after 25 to 30 s, so a keep-alive is needed every 16 s."
    assert advice == ("Set the NAT keep-alive of phones and trunks behind this edge to 16 s (Asterisk: qualify_frequency=16).",)
    assert told.findings[0].remedies[0] == advice[0]


def test_a_mapping_that_nothing_holds_says_so() -> None:
    observation = seen(*row("packet", dead="5 10"), *row("stream", alive="5", dead="10 15"))
    assert observation.recommended_keepalive_s is None
    _, headline, _ = diagnose((judged(CHECK, observation, PROFILE, 1.0),), PROFILE, None)
    assert headline == "Phones and trunks that register may be unreachable between keep-alives: the idle UDP mapping is forgotten after less than 5 s."
    assert "less than 5 s" in CHECK.judge(observation, PROFILE)[0].summary
    assert CHECK.summarize(observation, ()).endswith("no keep-alive is frequent enough")


def test_where_all_get_in_there_is_nothing_to_measure() -> None:
    observation = LifetimeObservation(lets_in_all=True, bare=BareTest(sockets=21, reached=21, copies=8, control=8), sender="198.51.100.10:3478")
    (finding,) = CHECK.judge(observation, PROFILE)
    assert (finding.id, finding.verdict) == ("mapping-lifetime.not-applicable", Verdict.PASS)
    assert finding.evidence == ("21 of 21 sockets that had sent nothing were reached from 198.51.100.10:3478",)


def test_an_empty_observation_is_undecided() -> None:
    (finding,) = CHECK.judge(LifetimeObservation(), PROFILE)
    assert (finding.id, finding.verdict) == ("mapping-lifetime.undecided", Verdict.INCONCLUSIVE)


def test_an_observation_is_judged_the_same_when_it_was_saved() -> None:
    observation = seen(*SILENT, *row("stream", alive="5 180"), *row("inbound", alive="3 6", unknown="9"))
    again = msgspec.json.decode(msgspec.json.encode(observation), type=LifetimeObservation)
    assert again == observation
    assert CHECK.judge(again, PROFILE) == CHECK.judge(observation, PROFILE)
