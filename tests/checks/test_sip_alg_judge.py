"""Findings from facts alone, as when a saved report is judged anew."""

import msgspec
import pytest

from edgecheck.checks.sip_alg import CHECK
from edgecheck.checks.sip_alg.observation import (
    Change,
    Channel,
    Harm,
    Level,
    Located,
    MessageFacts,
    SipAlgObservation,
    SipProbe,
    State,
)
from edgecheck.model.profile import Expectation, Profile
from edgecheck.model.verdict import Finding, Verdict, worst

PROFILE = Profile(name="test", title="", source="", confidence="verified", checks=())
LENIENT = msgspec.structs.replace(PROFILE, expect=Expectation(alg="warn"))
CHANNELS = (("udp", 5060), ("tcp", 5060), ("tls", 5061), ("udp", 5080), ("tcp", 5080))


def channel(transport: str, port: int, **facts: object) -> Channel:
    plain = {"local": "192.168.88.2:40000", "server_saw": ("203.0.113.1:20000",), "control_sent": 8, "control_arrived": 8, "control_returned": 8}
    return Channel(transport=transport, server_port=port, **{**plain, **facts})  # type: ignore[arg-type]


def probe(
    method: str, level: Level | None = "none", request: State = "unchanged", response: State = "unchanged", channel: int = 0, **facts: object
) -> SipProbe:
    transport, port = CHANNELS[channel]
    row = MessageFacts(
        name=method, request=request, response=response, copies_sent=1, copies_arrived=1, answers_sent=1, answers_arrived=1
    )
    facts = {"messages": (row,), **facts}
    return SipProbe(
        transport=transport, server_port=port, method=method, request=request, response=response, interference=level, **facts  # type: ignore[arg-type]
    )


def observed(*probes: SipProbe, channels: tuple[Channel, ...] | None = None, **facts: object) -> SipAlgObservation:
    """These probes, and clean ones on every channel that none of them is about."""
    told = {(one.transport, one.server_port) for one in probes}
    clean = tuple(probe(method, channel=number) for number, one in enumerate(CHANNELS) if one not in told for method in ("OPTIONS", "REGISTER", "INVITE"))
    return SipAlgObservation(probes=(*probes, *clean), channels=channels or tuple(channel(*one) for one in CHANNELS), **facts)  # type: ignore[arg-type]


def judged(seen: SipAlgObservation, profile: Profile = PROFILE) -> tuple[Finding, ...]:
    again = msgspec.json.decode(msgspec.json.encode(seen), type=SipAlgObservation)
    assert again == seen, "what is saved is what is judged"
    return CHECK.judge(again, profile)


VIA = Change(direction="request", where="Via", action="rewritten", sent="a", arrived="b", message="INVITE")
LINE = Change(direction="request", where="sdp c=", action="rewritten", sent="c=IN IP4 192.168.88.2", arrived="c=IN IP4 203.0.113.1", message="INVITE")
HARM = Harm(level="inconsistent", direction="request", text="Via hides the NAT from the server, but c= still names 192.168.88.2")


def test_a_clean_path_is_one_finding() -> None:
    (found,) = judged(observed(interference="none"))
    assert (found.id, found.verdict) == ("sip-alg.none", Verdict.PASS)
    assert found.subject == "UDP 5060, TCP 5060, TLS 5061, UDP 5080, TCP 5080"
    assert len(found.evidence) == len(CHANNELS)


@pytest.mark.parametrize(("profile", "verdict"), [(PROFILE, Verdict.FAIL), (LENIENT, Verdict.WARN)])
def test_consistent_rewriting_is_judged_as_the_profile_says(profile: Profile, verdict: Verdict) -> None:
    findings = judged(observed(probe("INVITE", "rewriting", "rewritten", changes=(VIA, LINE))), profile)
    assert [(found.id, found.verdict) for found in findings] == [("sip-alg.rewritten", verdict), ("sip-alg.none", Verdict.PASS)]
    assert findings[0].subject == "UDP 5060"
    assert "Via and SDP c= in requests" in findings[0].summary
    assert "TCP 5060, TLS 5061, UDP 5080 and TCP 5080 passed untouched" in findings[0].summary


@pytest.mark.parametrize(("level", "cause"), [("inconsistent", "inconsistent"), ("destructive", "destroyed")])
def test_what_breaks_fails_whatever_the_profile_says(level: Level, cause: str) -> None:
    seen = observed(probe("INVITE", level, "rewritten", changes=(LINE,), harms=(msgspec.structs.replace(HARM, level=level),)))
    for profile in (PROFILE, LENIENT):
        found = judged(seen, profile)[0]
        assert (found.id, found.verdict) == (f"sip-alg.{cause}", Verdict.FAIL)
        assert HARM.text in found.summary


def test_only_the_form_touched_is_worth_a_warning() -> None:
    form = Change(direction="request", where="CSeq", action="reordered", sent="line 5", arrived="line 9", message="INVITE")
    found = judged(observed(probe("INVITE", "harmless", "rewritten", changes=(form,))))[0]
    assert (found.id, found.verdict) == ("sip-alg.harmless", Verdict.WARN)


def test_copies_that_are_absorbed_have_two_causes() -> None:
    """SIP's are alike; what else is sent is not."""
    fewer = Change(direction="request", where="retransmissions", action="removed", sent="9 copies", arrived="1 copies", message="INVITE")
    found = judged(observed(probe("INVITE", "harmless", "unchanged", changes=(fewer,))))[0]
    assert "either an ALG that repeats requests at a pace of its own, or a filter of packets that are the same" in found.summary


def test_the_evidence_is_the_line_before_and_after() -> None:
    found = judged(observed(probe("INVITE", "rewriting", "rewritten", changes=(LINE,))))[0]
    assert "request, INVITE: sdp c= rewritten: sent 'c=IN IP4 192.168.88.2', arrived 'c=IN IP4 203.0.113.1'" in found.evidence


def test_findings_go_by_channel_and_not_by_header() -> None:
    seen = observed(
        probe("OPTIONS", "rewriting", "rewritten", changes=(VIA,)),
        probe("INVITE", "rewriting", "rewritten", changes=(VIA, LINE)),
        probe("INVITE", "rewriting", "rewritten", changes=(VIA,), channel=1),
    )
    assert [found.subject for found in judged(seen)] == ["UDP 5060", "TCP 5060", "TLS 5061, UDP 5080, TCP 5080"]


def test_the_hop_is_named_where_it_was_found() -> None:
    seen = observed(
        probe("INVITE", "rewriting", "rewritten", changes=(VIA,)),
        probe("INVITE", "rewriting", "rewritten", changes=(VIA,), channel=1),
        located=(Located(hop=1, address="192.168.88.1", where=("Via",)),),
    )
    first, second, _ = judged(seen)
    assert first.summary.startswith("Hop 1 (192.168.88.1) rewrites SIP on UDP 5060")
    assert second.summary.startswith("Something on the path rewrites SIP on TCP 5060"), "that one was not followed"


REFUSED = Change(direction="response", where="Status-Line", action="rewritten", sent="SIP/2.0 200 OK", arrived="SIP/2.0 403 Forbidden", message="200 to INVITE")
REFUSAL = Harm(level="destructive", direction="response", text="the answer 200 became 403", where="Status-Line")
HOME = Located(hop=1, address="192.168.88.1", where=("Via",), message="INVITE")


def test_a_sentence_of_an_alg_can_be_read_to_its_end() -> None:
    """The gravest effect stands in it; every other one, and which direction each change is of, in the evidence."""
    harms = tuple(
        Harm(level="rewriting", direction="request", text=text, where="Via")
        for text in ("no keep-alives come", "a=rtcp was left alone: RTCP gets lost", "ICE gives up: no match", "the phone goes dark")
    )
    places = ("Via", "Contact", "From", "sdp o=", "sdp c=")
    changes = [Change(direction=way, where=where, action="rewritten", sent="a", arrived="b") for way in ("request", "response") for where in places]
    row = msgspec.structs.replace(probe("INVITE", "rewriting", "rewritten", changes=tuple(changes)), harms=harms)
    (found, _) = judged(observed(row, located=(HOME,)))
    assert "(Via; by it or another box: Contact, From, SDP o= and SDP c=): no keep-alives come (3 more in the evidence); TCP 5060" in found.summary
    assert len(found.summary) < 300
    assert [line for line in found.evidence if line.startswith("request: ")] == [f"request: {harm.text}" for harm in harms]
    assert "Via in requests" in found.observed
    assert "in responses" in found.observed


def test_a_hop_is_named_for_what_was_seen_of_it_and_for_nothing_else() -> None:
    found, _ = judged(observed(probe("INVITE", "rewriting", "rewritten", changes=(VIA, LINE)), located=(HOME,)))
    assert found.summary.startswith("Hop 1 (192.168.88.1) rewrites SIP on UDP 5060 (Via in requests; by it or another box: SDP c= in requests)")


def test_a_hop_that_rewrites_is_not_blamed_for_answers_that_another_may_spoil() -> None:
    seen = observed(probe("INVITE", "destructive", "rewritten", "rewritten", changes=(VIA, REFUSED), harms=(REFUSAL,)), located=(HOME,))
    found, _ = judged(seen)
    assert found.summary.startswith("Something on the path destroys SIP on UDP 5060: the answer 200 became 403; ")
    assert found.summary.endswith(" At hop 1 (192.168.88.1) was seen: Via in requests.")
    assert CHECK.summarize(seen, judged(seen)).startswith("something destroys SIP (the answer 200 became 403) on UDP 5060")


@pytest.mark.parametrize(("where", "who"), [("Via", "Hop 1 (192.168.88.1) rewrites"), ("sdp c=", "Something on the path rewrites")])
def test_who_gets_it_wrong_is_who_changed_what_is_wrong(where: str, who: str) -> None:
    harm = Harm(level="inconsistent", direction="request", text=f"{where} names 100.64.0.2", where=where)
    found, _ = judged(observed(probe("INVITE", "inconsistent", "rewritten", changes=(VIA, LINE), harms=(harm,)), located=(HOME,)))
    assert found.id == "sip-alg.inconsistent"
    assert found.summary.startswith(who)


@pytest.mark.parametrize(("back", "who"), [((), "Hop 1"), ((msgspec.structs.replace(VIA, direction="response"),), "Something on the path")])
def test_an_answer_repeats_what_the_request_said_unless_it_was_changed_too(back: tuple[Change, ...], who: str) -> None:
    harm = Harm(level="inconsistent", direction="response", text="the answer comes back with another Via branch", where="Via")
    found, _ = judged(observed(probe("INVITE", "inconsistent", "rewritten", changes=(VIA, *back), harms=(harm,)), located=(HOME,)))
    assert found.summary.startswith(who)


def test_a_drop_is_the_hops_doing_for_the_request_that_was_followed() -> None:
    rows = [probe(method, "destructive", "lost", "undecided", reason=f"{method}: none of 12 arrived") for method in ("OPTIONS", "INVITE")]
    there = Located(hop=1, address="192.168.88.1", where=("message",), message="OPTIONS", up_to_hop=2, up_to_address="203.0.113.14")
    rows = [msgspec.structs.replace(row, messages=(msgspec.structs.replace(row.messages[0], request="lost"),)) for row in rows]
    found, _ = judged(observed(*rows, located=(there,)))
    assert found.summary.startswith("Hop 1 (192.168.88.1), hop 2 (203.0.113.14) or a box between them destroys SIP on UDP 5060: no OPTIONS arrives")
    assert "; by it or another box: no INVITE arrives" in found.summary


def test_a_drop_says_what_no_longer_works() -> None:
    seen = observed(probe("INVITE", "destructive", "lost", "undecided", reason="INVITE: none of 12 arrived"), probe("OPTIONS"))
    found = judged(seen)[0]
    assert found.id == "sip-alg.destroyed"
    assert "no INVITE arrives" in found.summary
    assert "calls cannot be made" in found.summary


def test_an_answer_from_another_hand() -> None:
    seen = observed(probe("INVITE", "destructive", "answered-by-other", "answered-by-other", reason="INVITE: answered with 'SIP/2.0 486 Busy Here'"))
    found = judged(seen)[0]
    assert (found.id, found.verdict) == ("sip-alg.answered-by-other", Verdict.FAIL)
    assert "486" in found.observed


def test_what_could_not_be_told_is_told_once_for_the_same_reason() -> None:
    silent = tuple(channel(*one, silent=one[0] == "udp") for one in CHANNELS)
    untold = [probe(method, None, "undecided", "undecided", channel=number) for number in (0, 3) for method in ("OPTIONS", "INVITE")]
    findings = judged(observed(*untold, channels=silent))
    assert [(found.id, found.subject) for found in findings] == [
        ("sip-alg.undecided", "UDP 5060, UDP 5080"),
        ("sip-alg.none", "TCP 5060, TLS 5061, TCP 5080"),
    ]
    assert worst([found.verdict for found in findings]) is Verdict.INCONCLUSIVE
    assert "no ALG's doing" in findings[0].summary


def test_the_servers_silence_is_the_reason_where_it_is() -> None:
    untold = [probe("INVITE", None, "undecided", "undecided", channel=number) for number in range(5)]
    (found,) = judged(observed(*untold, mirror="the server's account of SIP could not be had (gone)"))
    assert found.id == "sip-alg.undecided"
    assert "(gone)" in found.summary


def test_what_was_not_tried_is_listed() -> None:
    channels = tuple(channel(*one, not_tested="the server does not offer it" if one[0] == "tls" else None) for one in CHANNELS)
    seen = observed(channels=channels)
    seen = msgspec.structs.replace(seen, probes=tuple(one for one in seen.probes if one.transport != "tls"))
    findings = judged(seen)
    assert [(found.id, found.verdict, found.subject) for found in findings[1:]] == [("sip-alg.not-tested", Verdict.SKIPPED, "TLS 5061")]


def test_keep_alives_that_are_dropped_are_a_warning_of_their_own() -> None:
    channels = tuple(channel(*one, non_sip_dropped=one == CHANNELS[0], control_arrived=0 if one == CHANNELS[0] else 8) for one in CHANNELS)
    found = judged(observed(channels=channels, interference="harmless"))[0]
    assert (found.id, found.subject, found.verdict) == ("sip-alg.only-sip-passes", "UDP 5060", Verdict.WARN)


def test_nothing_at_all_is_skipped() -> None:
    (found,) = CHECK.judge(SipAlgObservation(), PROFILE)
    assert found.verdict is Verdict.SKIPPED


def test_every_claim_has_its_evidence() -> None:
    for level in ("none", "harmless", "rewriting", "inconsistent", "destructive"):
        for found in judged(observed(probe("INVITE", level, "rewritten" if level != "none" else "unchanged", changes=(VIA,) if level != "none" else ()))):  # type: ignore[arg-type]
            assert found.evidence, found.id
            assert found.expected


def test_the_summary_is_one_sentence() -> None:
    def told(seen: SipAlgObservation) -> str:
        return CHECK.summarize(seen, CHECK.judge(seen, PROFILE))

    assert told(observed()) == "SIP passes untouched on UDP 5060, TCP 5060, TLS 5061, UDP 5080 and TCP 5080"
    rewriting = observed(
        probe("INVITE", "rewriting", "rewritten", changes=(VIA, LINE)), located=(Located(hop=1, address="192.168.88.1", where=("Via",)),)
    )
    assert told(rewriting) == "hop 1 (192.168.88.1) rewrites Via (by it or another box: SDP c=) on UDP 5060; TCP 5060, TLS 5061, UDP 5080 and TCP 5080 pass untouched"
    lost = observed(probe("INVITE", "destructive", "lost", "undecided"))
    assert told(lost).startswith("something drops INVITE on UDP 5060; TCP 5060")
