"""What is said of a run that did not come to its end: that, and no cause and no cure of something else."""

from edgecheck import profiles
from edgecheck.diagnosis.advice import advise
from edgecheck.diagnosis.facts import Facts
from edgecheck.diagnosis.headline import headline
from edgecheck.doctor import PROFILE as ACCOUNT
from edgecheck.model.verdict import CheckResult
from tests.reports import finding, nat, result

PROFILE = profiles.load("generic-pbx")


def cut(id: str, why: str = "interrupted") -> CheckResult:
    told = finding(f"{id}.cut-short", "inconclusive", id, f"could not be finished: {why}")
    return result(told, cut_short=why)


def said(*results: CheckResult, profile=PROFILE) -> tuple[str, tuple[str, ...]]:
    facts = Facts(list(results), profile, None)
    return headline(facts), advise(facts)


def test_interrupted() -> None:
    first, steps = said(nat(), cut("rtp-range"))
    assert first == "The run was not finished (interrupted): rtp-range could not be told; nothing is known to be wrong."
    assert steps == ("Run it again and let it finish; where --timeout was given, with a longer one.",)


def test_what_was_undecided_anyway_comes_first() -> None:
    lost = result(finding("port-forwarding.undecided", "inconclusive", "TCP 5061", "TCP 5061 could not be told: too much loss."))
    first, steps = said(lost, cut("rtp-range"))
    assert first == "Nothing is known to be wrong, but port-forwarding and rtp-range could not be told: TCP 5061 could not be told: too much loss."
    assert not any("--timeout" in step for step in steps)


def test_a_failure_stays_the_first_thing_said() -> None:
    first, steps = said(result(finding("rtp-range.return-blocked", "fail", "UDP 10000", "RTP from 10000 gets no answers.")), cut("sip-alg"))
    assert "not finished" not in first
    assert steps[-1].startswith("Run it again and let it finish")


def test_a_server_that_was_lost_is_the_one_thing_to_see_to() -> None:
    gone = result(finding("control.lost", "inconclusive", "echo.example.net", "The server was lost."))
    first, steps = said(gone, cut("rtp-range", "the server was lost in mid-run"), cut("nat-behavior", "the server was lost in mid-run"))
    assert first == "The server was lost."
    assert len(steps) == 1
    assert steps[0].startswith("See that edgecheck-server still runs there")


def test_an_account() -> None:
    first, _ = said(cut("registration", "the time allowed (3 s) was over"), profile=ACCOUNT)
    assert first == "Whether the account registers could not be told: the run was not finished (the time allowed (3 s) was over)."
