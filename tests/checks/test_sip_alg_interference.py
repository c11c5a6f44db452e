"""How bad is a change: levels and their reasons, on real probes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecheck.checks.sip_alg import interference
from edgecheck.checks.sip_alg.compare import compare
from edgecheck.checks.sip_alg.observation import Harm
from edgecheck.wire.address import Endpoint
from tests.checks import sip_alg_samples as samples
from tests.checks.sip_alg_samples import ANSWERED, AUTHORIZED, CHALLENGED, INVITE, LOCAL, PUBLIC, REGISTER, REGISTERED, recount, swap

HERE, THERE = str(LOCAL), str(PUBLIC)
HEADERS = ((f"UDP {HERE}", f"UDP {THERE}"), (f"@{HERE};transport", f"@{THERE};transport"))
SDP = ((f"3847 1 IN IP4 {LOCAL.host}", f"3847 1 IN IP4 {PUBLIC.host}"), (f"c=IN IP4 {LOCAL.host}", f"c=IN IP4 {PUBLIC.host}"))


def request(arrived: bytes, sent: bytes = INVITE, seen: Endpoint = PUBLIC) -> tuple[str, list[str]]:
    """The level of a request that arrived so, and the texts of that level."""
    differences = compare(sent, arrived)
    harms = interference.request_harms(sent, arrived, differences, LOCAL, seen)
    return summed(interference.base_level(differences), harms)


def response(arrived: bytes, sent: bytes = ANSWERED, asked: bytes = INVITE) -> tuple[str, list[str]]:
    differences = compare(sent, arrived)
    return summed(interference.base_level(differences), interference.response_harms(asked, sent, arrived, differences))


def summed(base: str, harms: tuple[Harm, ...]) -> tuple[str, list[str]]:
    level = interference.gravest([base, *(harm.level for harm in harms)])  # type: ignore[list-item]
    return level, [harm.text for harm in harms if harm.level == level]


def test_a_message_as_it_was_sent_is_no_interference() -> None:
    assert request(INVITE) == ("none", [])
    assert response(ANSWERED) == ("none", [])


def test_everything_that_routing_reads_rewritten_is_consistent() -> None:
    """What the Linux ALG does; its leftovers are told, and are not what routing reads."""
    level, texts = request(recount(swap(INVITE, *HEADERS, *SDP)))
    assert level == "rewriting"
    assert [text.partition(":")[0] for text in texts] == [
        "Via hides the NAT from the server",
        f"a=rtcp was left with {LOCAL.host}",
        f"a=candidate was left with {LOCAL.host}",
    ]


def test_headers_rewritten_and_sdp_left_is_not() -> None:
    level, texts = request(swap(INVITE, *HEADERS))
    assert (level, texts) == ("inconsistent", [f"Via hides the NAT from the server, but c= still names {LOCAL.host}"])


def test_via_rewritten_and_contact_left_is_not() -> None:
    level, texts = request(recount(swap(INVITE, HEADERS[0], *SDP)))
    assert (level, texts) == ("inconsistent", [f"Via hides the NAT from the server, but Contact still names {LOCAL.host}"])


def test_a_via_that_names_neither_end_hides_no_nat() -> None:
    """A proxy's own, behind a further NAT: the server sees that it is not where the request comes from."""
    level, texts = request(swap(INVITE, (f"UDP {HERE}", "UDP 100.64.0.2:20000")))
    assert (level, texts) == ("inconsistent", [f"Via names 100.64.0.2:20000, but the server saw {PUBLIC}"])


def test_without_rport_the_answer_finds_back_where_the_port_is_right() -> None:
    """The server adds received, and takes the port from Via (RFC 3261 section 18.2.2)."""
    assert request(swap(INVITE, (";rport", "")), seen=Endpoint(PUBLIC.host, LOCAL.port))[0] == "rewriting"


def test_without_a_nat_nothing_is_hidden() -> None:
    """The same addresses on both sides: whoever rewrites there, rewrites wrongly."""
    assert request(swap(INVITE, (f"UDP {HERE}", "UDP 203.0.113.99:5060")), seen=LOCAL)[0] == "inconsistent"


@pytest.mark.parametrize(
    ("pairs", "text"),
    [
        ([(f"UDP {HERE}", "UDP 100.64.0.2:20000")], f"Via names 100.64.0.2:20000, but the server saw {PUBLIC}"),
        ([(f"@{HERE};transport", "@100.64.0.2:20000;transport")], f"Contact names 100.64.0.2:20000, but the server saw {PUBLIC}"),
        ([(f"@{HERE};transport", f"@{PUBLIC.host}:5062;transport")], "Contact names port 5062, but the server saw port 20000"),
        ([(f"@{HERE};transport", f"@{PUBLIC.host};transport")], "Contact names port 5060, but the server saw port 20000"),
        ([(";rport", "")], f"rport is gone and Via names port {LOCAL.port}: answers go there instead of to port {PUBLIC.port}"),
        ([(f"c=IN IP4 {LOCAL.host}", "c=IN IP4 100.64.0.2")], f"c= names 100.64.0.2, but the server saw {PUBLIC.host}: audio is steered there"),
        ([("m=audio 10050", "m=audio 10051")], "the m= line has the odd port 10051: RTP takes the even one (RFC 3550 section 11)"),
        ([("CSeq: 1 INVITE\r\n", "")], "CSeq is gone: answers cannot be matched"),
        ([("Content-Type: application/sdp", "Content-Type: text/plain")], "Content-Type was altered: the body is not taken for what it is"),
    ],
)
def test_what_is_wrong_is_named(pairs: list[tuple[str, str]], text: str) -> None:
    level, texts = request(recount(swap(INVITE, *pairs)))
    assert level == "inconsistent"
    assert text in texts


def test_rport_may_go_where_via_is_true() -> None:
    assert request(recount(swap(INVITE, *HEADERS, *SDP, (";rport", ""))))[0] == "rewriting"


def test_an_altered_authorization_does_not_fit() -> None:
    level, texts = request(swap(AUTHORIZED, ('uri="sip:198.51.100.10:5060"', 'uri="sip:203.0.113.1"')), sent=AUTHORIZED)
    assert (level, texts) == ("inconsistent", ["Authorization was altered: its response no longer fits"])


@pytest.mark.parametrize(
    ("arrived", "level"),
    [
        (INVITE[:-40], "destructive"),
        (INVITE[:-2], "destructive"),
        (swap(INVITE, ("m=audio 10050", "m=audio 0")), "destructive"),
        (recount(INVITE[: INVITE.index(b"m=audio")]), "destructive"),
        (recount(swap(INVITE, (f"c=IN IP4 {LOCAL.host}\r\n", ""))), "destructive"),
        (b"\x16\x03\x01" + INVITE, "destructive"),
        (swap(INVITE, ("Content-Length: ", "Content-Length: 1")), "inconsistent"),
        (INVITE + b"left over", "inconsistent"),
        (swap(INVITE, ("Content-Length: ", "Content-Length:    ")), "harmless"),
        (INVITE.replace(b"\r\n", b"\n"), "inconsistent"),  # the body became shorter, its length was not made right
        (recount(swap(INVITE, ("a=ptime:20\r\n", ""))), "rewriting"),
    ],
)
def test_levels(arrived: bytes, level: str) -> None:
    assert request(arrived)[0] == level


@pytest.mark.parametrize(
    ("pairs", "text"),
    [
        ([(f"@{LOCAL.host}\r\nCSeq", "@203.0.113.1\r\nCSeq")], "the answer comes back with another Call-ID: the phone does not know it"),
        ([("CSeq: 1 ", "CSeq: 2 ")], "the answer comes back with another CSeq: the phone does not know it"),
        ([("branch=z9hG4bK", "branch=z9hG4bKa")], "the answer comes back with another Via branch: the phone does not know it"),
    ],
)
def test_an_answer_that_the_phone_does_not_know(pairs: list[tuple[str, str]], text: str) -> None:
    level, texts = response(swap(ANSWERED, *pairs))
    assert level == "inconsistent"
    assert text in texts


def test_an_answer_of_another_status_is_destroyed() -> None:
    level, texts = response(swap(ANSWERED, ("SIP/2.0 200 OK", "SIP/2.0 403 Forbidden")))
    assert (level, texts) == ("destructive", ["the answer 200 became 403"])
    assert response(swap(ANSWERED, ("200 OK", "200 Fine")))[0] == "rewriting"


def test_a_shortened_registration_is_told() -> None:
    level, texts = response(swap(REGISTERED, ("expires=3600", "expires=60")), REGISTERED, AUTHORIZED)
    assert level == "rewriting"
    assert texts == ["Contact expires is lowered from 3600 s to 60 s: phones register that much more often"]


def test_a_registration_that_lists_somebody_else_is_inconsistent() -> None:
    """The request was made public on its way; the answer was not turned back."""
    public = samples.answers(swap(AUTHORIZED, (f"@{HERE};transport", f"@{THERE};transport")))[0]
    level, texts = response(public, public, AUTHORIZED)
    assert (level, texts) == ("inconsistent", [f"the answer lists {THERE} as registered, not the phone's own {HERE}"])


def test_a_challenge_stripped_or_altered_locks_phones_out() -> None:
    assert response(swap(CHALLENGED, ('realm="edgecheck"', 'realm="router"')), CHALLENGED, REGISTER)[0] == "inconsistent"


@given(st.sampled_from([INVITE, AUTHORIZED, ANSWERED, REGISTERED]), st.data())
def test_any_damage_is_weighed(message: bytes, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(message)))
    damaged = message[:begin] + data.draw(st.binary(max_size=30)) + message[data.draw(st.integers(begin, min(len(message), begin + 30))) :]
    differences = compare(message, damaged)
    levels = [
        interference.base_level(differences),
        *(harm.level for harm in interference.request_harms(message, damaged, differences, LOCAL, PUBLIC)),
        *(harm.level for harm in interference.response_harms(INVITE, message, damaged, differences)),
    ]
    assert (interference.gravest(levels[:1]) == "none") == (message == damaged)


@pytest.mark.parametrize(
    ("host", "private"),
    [("192.168.1.1", True), ("10.9.8.7", True), ("100.64.0.2", True), ("fd00::1", True), ("not an address", True), ("203.0.113.1", False), ("2001:db8::1", False)],
)
def test_private_addresses(host: str, private: bool) -> None:
    assert interference.is_private(host) is private
