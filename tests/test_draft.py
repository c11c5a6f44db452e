"""A draft: what a check leaves is judged by what stands whatever the rest would have shown, and nothing else of it is told."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from edgecheck.course import reported
from edgecheck.model import draft
from edgecheck.model.check import Check, Network, Observation
from edgecheck.model.errors import ControlLost
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Finding, Verdict
from tests.checks.probing import PROFILE
from tests.fakes import clock
from tests.test_cut_short import Trial


class Seen(Observation, frozen=True, kw_only=True):
    known: tuple[int, ...] = ()
    reason: str = ""


def _judge(seen: Seen, profile: Profile) -> tuple[Finding, ...]:
    told = (("proved", Verdict.WARN), ("absent", Verdict.FAIL), ("whole", Verdict.PASS))
    return tuple(Finding(id=f"one.{cause}", verdict=verdict, subject="one", summary=f"{cause.capitalize()}.") for cause, verdict in told)


def _one(probe: Callable[[Network, Profile], Coroutine[Any, Any, Seen]]) -> Check:
    fields: dict[str, Any] = {
        "question": "?",
        "needs": frozenset(),
        "summarize": lambda seen, found: "all of it",
        "stands": frozenset({"proved"}),
    }
    return Check(id="one", observation=Seen, probe=probe, judge=_judge, **fields)


def test_what_stands_is_told_and_nothing_else() -> None:
    async def probe(net: Any, profile: Profile) -> Seen:
        known: list[int] = []
        draft.leave(lambda why: Seen(known=tuple(known), reason=why))

        async def more() -> None:
            known.append(1)
            draft.leave(lambda why: Seen(known=(*known, 2), reason=why))  # a task of the check's leaves it for the check

        await asyncio.gather(more())
        raise ControlLost("The server was lost: it went.")

    result = clock.run(reported(Trial(_one(probe), PROFILE, None))).checks[0]
    assert result.observation == {"known": (1, 2), "reason": "the server was lost: it went"}
    assert [(finding.id, finding.verdict) for finding in result.findings] == [
        ("one.proved", Verdict.WARN),
        ("one.cut-short", Verdict.INCONCLUSIVE),
    ]
    assert (result.verdict, result.cut_short) == (Verdict.INCONCLUSIVE, "the server was lost: it went")
    assert result.summary == "Proved; the rest could not be finished: the server was lost: it went"


def test_a_draft_that_fails_is_a_fault_of_ours() -> None:
    async def probe(net: Any, profile: Profile) -> Seen:
        def broken(why: str) -> Seen:
            raise KeyError("a bug")

        draft.leave(broken)
        raise ControlLost("Gone.")

    result = clock.run(reported(Trial(_one(probe), PROFILE, None))).checks[0]
    assert (result.verdict, "KeyError" in (result.fault or "")) == (Verdict.INCONCLUSIVE, True)


def test_outside_of_a_run_nothing_is_left() -> None:
    draft.leave(lambda why: Seen())
    with draft.keep() as place:
        assert place.draft is None
