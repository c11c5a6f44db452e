"""``rtp-range``: what is said of an observation."""

from typing import Any

import pytest

from edgecheck.checks import rtp_range
from edgecheck.checks.rtp_range import RtpObservation
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Verdict
from tests.checks.probing import BREACH, PROFILE, Said, expecting, say
from tests.checks.rtp_ground import WHOLE


def judged(profile: Profile = PROFILE, **facts: Any) -> Said:
    """What is said where everything is open but for these facts."""
    given = {"range": (10_000, 10_199), "tested": 200, "inbound_open": 200, "outbound_open": 200, "sent": 400, **facts}
    return say(rtp_range.CHECK, RtpObservation(**given), profile)


def test_all_open() -> None:
    said = judged()
    assert (said.ids, said.verdict) == (["open"], Verdict.PASS)
    assert said.summary == "10000-10199 open both ways"
    assert said.finding("open").summary == "Of 200 RTP ports 200 receive from outside and 200 reach outside and are answered."


@pytest.mark.parametrize("expectation", BREACH)
def test_inbound_blocked_counts_as_the_profile_expects(expectation: str) -> None:
    said = judged(expecting(rtp_inbound=expectation), inbound_blocked=((10_100, 10_199),), inbound_open=100)
    finding = said.finding("inbound-blocked")
    assert (finding.verdict, finding.subject, said.verdict) == (BREACH[expectation], "UDP 10100-10199", BREACH[expectation])
    if expectation == "ignore":
        assert finding.summary == "RTP to 10100-10199 does not come in unasked, which this profile does not need."
        assert said.summary == (
            "10000-10099 open both ways; 10100-10199 get out and are answered; "
            "what comes unasked does not get in, which this profile does not need"
        )
        assert said.finding("open").summary == "Of 200 RTP ports 200 reach outside and are answered."
    else:
        assert finding.summary == "RTP to 10100-10199 never arrives from outside; 100 of 200 ports receive."
        assert said.summary == "10000-10099 open both ways; 10100-10199 never arrive"


def test_nothing_forwarded_where_nothing_need_be_names_what_is_fine() -> None:
    said = judged(expecting(rtp_inbound="ignore"), inbound_blocked=WHOLE, inbound_open=0)
    assert said.verdict is Verdict.PASS
    assert said.summary == ("10000-10199 get out and are answered; what comes unasked does not get in, which this profile does not need")
    assert "never" not in said.summary


def test_outbound_blocked() -> None:
    blocked = ((10_000, 10_009),)
    said = judged(outbound_blocked=blocked, outbound_open=190)
    assert set(said.ids) == {"outbound-blocked"}
    assert said.verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE)
    assert said.summary == "10010-10199 open both ways; 10000-10009 do not reach the server"


def test_return_blocked() -> None:
    said = judged(return_blocked=((10_007, 10_007),))
    assert (said.ids, said.verdict) == (["return-blocked"], Verdict.FAIL)
    assert said.finding("return-blocked").summary == "RTP from 10007 gets out, but the answers to it do not come back."
    assert said.summary == "10000-10006, 10008-10199 open both ways; 10007 gets no answer back"


@pytest.mark.parametrize("expectation", BREACH)
def test_remapped_counts_as_the_profile_expects(expectation: str) -> None:
    said = judged(expecting(preservation=expectation), remapped=WHOLE)
    finding = said.finding("remapped")
    assert finding.verdict is BREACH[expectation]
    assert said.verdict is BREACH[expectation]
    kept = expectation == "ignore"
    assert finding.summary == f"RTP from 10000-10199 leaves with another source port{', which this profile does not need kept' * kept}."
    assert said.summary == (
        f"10000-10199 open both ways; 10000-10199 leave with another number{', which this profile does not need kept' * kept}"
    )


def test_undecided_says_why_and_which_way() -> None:
    said = judged(undecided=WHOLE, inbound_undecided=WHOLE, inbound_open=0, reasons={"undecided": "the weather"})
    assert (said.ids, said.verdict) == (["undecided"], Verdict.INCONCLUSIVE)
    assert said.finding("undecided").summary == "RTP to 10000-10199 could not be told: the weather."
    assert said.summary == "whether 10000-10199 can be reached could not be told"
    assert any("not told: 200 ports" in sentence for sentence in said.finding("undecided").evidence)
    one = ((10_000, 10_000),)
    said = judged(undecided=one, outbound_undecided=one, outbound_open=199, reasons={"undecided": "the weather"})
    assert said.finding("undecided").summary == "RTP from 10000 could not be told: too much loss to tell."
    assert said.summary == "10001-10199 open both ways; whether 10000 gets out and back could not be told"
    unheard = judged(undecided=one, outbound_undecided=one, reasons={"outbound_open": "the server could not open all of the media ports"})
    assert unheard.findings[0].summary == "RTP from 10000 could not be told: the server could not open all of the media ports."


def test_undecided_of_an_older_report_is_no_pass() -> None:
    said = judged(undecided=WHOLE, inbound_open=0, reasons={"undecided": "the weather"})
    assert (said.ids, said.verdict) == (["undecided"], Verdict.INCONCLUSIVE)
    assert said.finding("undecided").summary == "RTP 10000-10199 could not be told: the weather."
    assert said.summary == "10000-10199 could not be told"


def test_inbound_undecided_is_no_lack_where_the_profile_needs_none() -> None:
    """A phone behind a loose NAT: what comes unasked may be owed to the last run. It is not asked for."""
    facts = {"undecided": WHOLE, "inbound_undecided": WHOLE, "inbound_open": 0, "reasons": {"undecided": "the weather"}}
    said = judged(expecting(rtp_inbound="ignore"), **facts)
    assert (said.ids, said.verdict) == (["undecided", "open"], Verdict.PASS)
    assert said.finding("undecided").verdict is Verdict.SKIPPED
    assert said.summary == ("10000-10199 get out and are answered; what comes unasked could not be told, nor does this profile need it")
    lost = judged(expecting(rtp_inbound="ignore"), **{**facts, "outbound_undecided": WHOLE, "outbound_open": 0})
    assert lost.verdict is Verdict.INCONCLUSIVE


def test_ports_in_use_are_told_from_ports_that_could_not_be_told() -> None:
    lost = ((10_050, 10_059),)
    said = judged(tested=199, busy=((10_000, 10_000),), undecided=((10_000, 10_000), *lost), inbound_undecided=lost)
    other, busy = said.findings
    assert (busy.verdict, busy.subject, busy.summary) == (Verdict.SKIPPED, "UDP 10000", "RTP 10000 was not tested: in use on this machine.")
    assert (other.subject, other.summary) == ("UDP 10050-10059", "RTP to 10050-10059 could not be told: too much loss to tell.")
    assert said.verdict is Verdict.INCONCLUSIVE
    assert (
        said.summary
        == "10001-10049, 10060-10199 open both ways; whether 10050-10059 can be reached could not be told; 10000 is in use here and was not tested"
    )


def test_one_direction_not_tested_is_said_and_not_called_open() -> None:
    said = judged(inbound_open=None, reasons={"inbound_open": "the server has one address only"})
    assert (said.ids, said.verdict) == (["not-tested"], Verdict.INCONCLUSIVE)
    assert said.finding("not-tested").summary == "Inbound RTP was not fully tested: the server has one address only."
    assert said.summary == "10000-10199 get out and are answered; inbound not tested"
    said = judged(outbound_open=None, reasons={"outbound_open": "the server offers no media ports"})
    assert (said.ids, said.verdict) == (["not-tested"], Verdict.INCONCLUSIVE)
    assert said.summary == "10000-10199 receive from outside; outbound not tested"
    blind = judged(inbound_open=None, outbound_open=None, tested=0, reasons={"inbound_open": "a", "outbound_open": "b"})
    assert blind.verdict is Verdict.INCONCLUSIVE
    assert "open both ways" not in blind.summary


def test_inbound_not_tested_is_no_lack_where_the_profile_needs_none() -> None:
    said = judged(expecting(rtp_inbound="ignore"), inbound_open=None, reasons={"inbound_open": "the server has one address only"})
    assert (said.ids, said.verdict) == (["not-tested", "open"], Verdict.PASS)
    assert said.finding("not-tested").verdict is Verdict.SKIPPED
    assert said.finding("open").summary == "Of 200 RTP ports 200 reach outside and are answered."


def test_a_limit_is_told_as_what_was_seen() -> None:
    said = judged(slowed_to=250)
    assert (said.ids, said.verdict) == (["throttled", "open"], Verdict.PASS)
    assert said.finding("throttled").summary.startswith("More packets were lost in faster rounds than at 250 a second: ")


def test_thousands_of_holes_make_no_endless_sentence() -> None:
    odd = tuple((port, port) for port in range(10_001, 10_200, 2))
    said = judged(inbound_blocked=odd, inbound_open=100)
    assert said.summary == "100 of 200 ports open both ways; 100 of 200 ports never arrive"
    finding = said.finding("inbound-blocked")
    assert max(map(len, (finding.summary, finding.subject, *finding.evidence))) < 250
