"""``port-forwarding``: what is said of an observation."""

from typing import Any, Literal

import msgspec
import pytest

from edgecheck.checks import port_forwarding
from edgecheck.checks.port_forwarding import Canaries, ForwardingObservation, PortRow, inbound
from edgecheck.model.profile import PortNeed, Profile
from edgecheck.model.verdict import Verdict
from tests.checks.probing import BREACH, PROFILE, Said, expecting, say


def row(transport: Literal["udp", "tcp"], port: int, state: Any, **facts: Any) -> PortRow:
    given = {"purpose": "SIP", "required": True, "copies": 6, "arrived": 6 * (state == "forwarded"), **facts}
    return PortRow(transport=transport, port=port, state=state, **given)


def judged(*rows: PortRow, profile: Profile = PROFILE, **facts: Any) -> Said:
    observed = ForwardingObservation(ports=rows, probed_address="203.0.113.1", prober="198.51.100.11", **facts)
    return say(port_forwarding.CHECK, observed, profile)


@pytest.mark.parametrize("expectation", BREACH)
def test_forwarded(expectation: str) -> None:
    said = judged(row("udp", 5060, "forwarded"), row("tcp", 5061, "forwarded"), profile=expecting(forwarding=expectation))
    assert (said.ids, said.verdict) == (["forwarded", "forwarded"], Verdict.PASS)
    assert said.findings[0].summary == "UDP 5060 (SIP) arrives: unsolicited packets reach this machine."
    assert said.summary == "UDP 5060, TCP 5061 arrive"
    assert said.findings[0].evidence[0] == "UDP 5060: 6 probes from 198.51.100.11 to 203.0.113.1:5060, 6 arrived"
    assert said.findings[1].evidence[0].endswith("one answered with the nonce")


@pytest.mark.parametrize("expectation", BREACH)
def test_blocked_counts_as_the_profile_expects(expectation: str) -> None:
    said = judged(row("udp", 5060, "blocked"), row("tcp", 5060, "forwarded"), profile=expecting(forwarding=expectation))
    finding = said.finding("blocked")
    assert (finding.verdict, said.verdict) == (BREACH[expectation], BREACH[expectation])
    if expectation == "ignore":
        assert finding.summary == "UDP 5060 (SIP) does not come in unasked, which this profile does not need."
        assert said.summary == "TCP 5060 arrives; UDP 5060 does not come in unasked, which this profile does not need"
    else:
        assert finding.summary == "UDP 5060 (SIP) never arrives: nothing unsolicited gets in there."
        assert said.summary == "TCP 5060 arrives; UDP 5060 never arrives"


@pytest.mark.parametrize("expectation", BREACH)
def test_refused_names_who_refused(expectation: str) -> None:
    facts = {"answered_by": "203.0.113.1", "reason": "ICMP 3/3 from 203.0.113.1, TTL 63"}
    said = judged(row("udp", 5060, "refused", **facts), profile=expecting(forwarding=expectation))
    finding = said.finding("refused")
    assert finding.verdict is BREACH[expectation]
    assert "is refused by 203.0.113.1" in finding.summary
    assert ("does not need" in finding.summary) is (expectation == "ignore")
    assert "ICMP 3/3 from 203.0.113.1, TTL 63" in finding.evidence[0]
    assert said.summary == "UDP 5060 is refused" + ", which this profile does not need" * (expectation == "ignore")


def test_an_optional_port_is_worth_a_warning_at_most() -> None:
    assert judged(row("tcp", 5061, "blocked", required=False)).verdict is Verdict.WARN
    both = judged(row("tcp", 5060, "blocked"), row("tcp", 5061, "blocked", required=False))
    assert [(finding.subject, finding.verdict) for finding in both.findings] == [("TCP 5060", Verdict.FAIL), ("TCP 5061", Verdict.WARN)]
    assert both.summary == "TCP 5060, TCP 5061 never arrive"
    apart = judged(row("tcp", 5060, "refused", answered_by="203.0.113.1"), row("tcp", 5061, "blocked", required=False), row("udp", 5060, "forwarded"))
    assert apart.summary == "UDP 5060 arrives; TCP 5060 is refused; optional: TCP 5061 never arrives", "what is needed comes first"


def test_another_program_that_answers_is_not_this_test() -> None:
    said = judged(row("tcp", 5060, "answered", answered_by="SSH-2.0-OpenSSH"))
    assert (said.ids, said.verdict) == (["answered"], Verdict.INCONCLUSIVE)
    assert said.finding("answered").summary == "TCP 5060 (SIP) is answered by something else than this test (SSH-2.0-OpenSSH)."
    assert said.summary == "TCP 5060 is answered by something else"


def test_undecided_says_why() -> None:
    said = judged(row("udp", 5060, "undecided", reason="the weather."))
    assert (said.ids, said.verdict, said.summary) == (["undecided"], Verdict.INCONCLUSIVE, "UDP 5060 could not be told")
    assert said.finding("undecided").summary == "UDP 5060 (SIP) could not be told: the weather."


def test_ports_are_told_together_only_when_the_same_is_true_of_them() -> None:
    said = judged(
        row("tcp", 5060, "refused", answered_by="203.0.113.1"),
        row("tcp", 5061, "refused", answered_by="203.0.113.1"),
        row("tcp", 5062, "refused", answered_by="203.0.113.7"),
        row("tcp", 5063, "undecided", reason="held"),
        row("tcp", 5064, "undecided", reason="lost"),
        row("udp", 5065, "blocked"),
        row("udp", 5066, "blocked"),
        row("tcp", 5067, "answered", answered_by="nginx"),
        row("tcp", 5068, "answered", answered_by="SSH-2.0"),
    )
    told = [finding.subject for finding in said.findings]
    assert told == ["TCP 5060-5061", "TCP 5062", "TCP 5063", "TCP 5064", "UDP 5065-5066", "TCP 5067", "TCP 5068"]
    assert "203.0.113.7" in said.findings[1].summary
    assert "SSH-2.0" in said.findings[-1].summary
    for finding in said.findings:
        assert any(sentence.startswith(finding.subject.split("-")[0]) for sentence in finding.evidence)


def test_evidence_holds_the_controls() -> None:
    canaries = Canaries(bare=3, bare_reached=1, mapped_reached=False, control_sent=30, control_arrived=29)
    said = judged(row("udp", 5060, "blocked"), udp=canaries, alternate_contacted_s=30.4, alternate_answers=True, alternate_connects=False)
    assert said.findings[0].evidence[1:] == (
        "control from the contacted address: 29 of 30 arrived",
        "ports that no rule should name: 1 of 3 were reached from 198.51.100.11",
        "a used port was not reached from 198.51.100.11",
        "198.51.100.11 had been contacted from here 30 s before",
        "contacted afterwards over UDP, 198.51.100.11 answered",
        "contacted afterwards over TCP, 198.51.100.11 did not answer",
    )


def test_many_ports_make_no_endless_row() -> None:
    said = judged(*(row("tcp", port, "blocked") for port in range(5060, 5092)))
    assert said.summary == "TCP 5060, TCP 5061, TCP 5062, TCP 5063, TCP 5064, TCP 5065 ... never arrive"
    assert said.findings[0].subject == "TCP 5060-5091"


def test_a_profile_without_inbound_ports_is_not_asked() -> None:
    ports = (
        PortNeed(ports="5060", transport="udp", purpose="SIP", protocol="sip", direction="out"),
        PortNeed(ports="10000-10999", transport="udp", purpose="media", protocol="rtp"),
    )
    out = msgspec.structs.replace(PROFILE, ports=ports)
    assert (inbound(out), port_forwarding.CHECK.unfit(out)) == ([], "the profile needs no port forwarded")
    assert [port for _, port in inbound(PROFILE)] == [5060, 5060, 5061]
    assert not port_forwarding.CHECK.unfit(PROFILE)
