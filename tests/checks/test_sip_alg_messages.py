"""The probes: plausible, tempting, and known again in whatever state they turn up."""

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecheck.checks.sip_alg import messages
from edgecheck.checks.sip_alg.messages import FLOW_OF, FLOWS, Caller, Step, item, recognize, split_item
from edgecheck.wire import control, sdp, sip
from edgecheck.wire.address import Endpoint
from tests.checks import sip_alg_samples as samples
from tests.checks.sip_alg_samples import CALLER, LOCAL, REQUESTS, SERVER, SESSION, swap

STEPS = {
    "OPTIONS": Step.OPTIONS,
    "REGISTER": Step.REGISTER,
    "AUTHORIZED": Step.AUTHORIZED,
    "INVITE": Step.INVITE,
    "ACK": Step.ACK,
    "BYE": Step.BYE,
}
QUOTED = 520
"""What Linux routers quote of a datagram in an ICMP error."""


def test_the_short_invite_is_quoted_with_its_sdp() -> None:
    """With the longest addresses; and a little longer still, where an ALG has written longer ones."""
    long = Caller(
        transport="udp",
        local=Endpoint("192.168.100.200", 54_321),
        server=Endpoint("198.51.100.100", 15_060),
        session=SESSION,
        series=0xFFFF,
        channel=7,
        media_port=30_000,
    )
    made = messages.short_invite(long)
    message = sip.parse(made.data)
    assert made.data.index(b"m=audio") < QUOTED - 20
    assert (message.content_length, [line.kind for line in sdp.parse(message.body)]) == (len(message.body), list("vosctma"))
    assert recognize(made.data, SESSION, 0xFFFF) == made.item
    assert {"Via", "Contact", "To", "From", "Call-ID", "CSeq", "Max-Forwards"} <= {header.name for header in message.headers}, "section 8.1.1"


@pytest.mark.parametrize("name", REQUESTS)
def test_via_and_contact_come_first_and_tell_the_truth(name: str) -> None:
    message = sip.parse(REQUESTS[name])
    assert [header.name for header in message.headers[:2]] == ["Via", "Contact"]
    via = sip.via_parts(message.headers[0].value)
    assert (via.host, via.port, via.parameters["rport"]) == (LOCAL.host, LOCAL.port, "")
    contact = sip.uri_parts(sip.address_uri(message.headers[1].value))
    assert (contact.host, contact.port) == (LOCAL.host, LOCAL.port)
    assert len(message.start_line) + sum(len(header.raw) for header in message.headers[:2]) < QUOTED


@pytest.mark.parametrize("name", REQUESTS)
def test_a_probe_is_an_ordinary_message(name: str) -> None:
    data = REQUESTS[name]
    message = sip.parse(data)
    assert len(data) < 1300, "some boxes drop SIP above that, and it is no phone's fault"
    assert message.content_length == len(message.body)
    assert not any(re.search(rb"\r\n[ \t]", header.raw) for header in message.headers), "nothing is folded"
    for required in ("Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards"):
        assert len(message.all(required)) == 1, required
    assert sip.via_parts(message.all("Via")[0]).parameters["branch"].startswith("z9hG4bK")


def test_the_offer_is_what_a_phone_offers() -> None:
    message = sip.parse(samples.INVITE)
    lines = sdp.parse(message.body)
    assert message.get("Content-Type") == "application/sdp"
    assert "".join(line.kind for line in lines) == "vosctm" + "a" * 8
    values = {line.kind: line.value for line in lines[:6]}
    assert values["c"] == f"IN IP4 {LOCAL.host}"
    assert values["o"].endswith(values["c"])
    assert values["m"].startswith("audio 10050 RTP/AVP 0 8")
    attributes = [line.value for line in lines if line.kind == "a"]
    assert f"rtcp:10051 IN IP4 {LOCAL.host}" in attributes
    assert any(value.startswith("candidate:") and f" {LOCAL.host} 10050 " in value for value in attributes)


def test_ipv6_stands_in_brackets_where_it_must() -> None:
    caller = Caller(transport="tls", local=Endpoint("2001:db8::2", 40000), server=Endpoint("2001:db8::10", 5061), session=SESSION, series=1, channel=2)
    message = sip.parse(messages.invite(caller).data)
    via = sip.via_parts(message.all("Via")[0])
    assert (via.transport, via.host, via.port) == ("TLS", "2001:db8::2", 40000)
    assert message.uri is not None
    assert sip.uri_parts(message.uri).host == "2001:db8::10"
    assert b"c=IN IP6 2001:db8::2\r\n" in message.body
    assert (message.get("Call-ID") or "").endswith("@[2001:db8::2]")


def test_a_digest_answer_is_right() -> None:
    """RFC 2617 section 3.2.2, computed here by hand."""
    challenge = 'Digest realm="edgecheck", nonce="abc", algorithm=MD5, qop="auth"'
    told = dict(re.findall(r'(\w+)="?([^",]+)"?', messages.authorization(challenge, "me", "REGISTER", "sip:x")))

    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    secret, request = md5(f"me:edgecheck:{messages.PASSWORD}"), md5("REGISTER:sip:x")
    assert told["response"] == md5(f"{secret}:abc:{told['nc']}:{told['cnonce']}:auth:{request}")
    assert told["uri"] == "sip:x"


@pytest.mark.parametrize("challenge", ["", "Digest", 'Digest realm="a"', "Basic realm=x", 'Digest nonce="\\"", algorithm=ROT13, qop="auth-int"'])
def test_a_challenge_that_nobody_can_read_is_answered_all_the_same(challenge: str) -> None:
    assert messages.authorization(challenge, "me", "REGISTER", "sip:x").startswith("Digest username=")


@given(st.integers(0, 7), st.integers(0, messages.MOST_ATTEMPTS - 1), st.sampled_from(Step))
def test_an_item_says_who_it_is(channel: int, attempt: int, step: Step) -> None:
    number = item(channel, attempt, step)
    assert 0 <= number <= 0xFFFF
    assert split_item(number) == (channel, attempt, step)


@pytest.mark.parametrize("name", REQUESTS)
def test_a_message_is_known_again(name: str) -> None:
    assert recognize(REQUESTS[name], SESSION, 3) == item(0, 0, STEPS[name])
    assert recognize(REQUESTS[name], SESSION, 4) is None, "another series"
    assert recognize(REQUESTS[name], bytes(8), 3) is None, "another session"


@pytest.mark.parametrize("name", REQUESTS)
def test_it_is_known_by_what_an_alg_left_of_it(name: str) -> None:
    """Every marker but one eaten, in turn; CSeq altered, so that it says nothing."""
    data = REQUESTS[name]
    flow = FLOWS[FLOW_OF[STEPS[name]]]
    markers = list(control.SIP_MARKER.finditer(data))
    assert len({match[0] for match in markers}) >= 1
    for kept in markers:
        eaten = bytearray(data)
        for match in markers:
            if match.start() != kept.start():
                eaten[match.start() : match.end()] = b"x" * len(match[0])
        found = recognize(bytes(eaten), SESSION, 3)
        assert found is not None
        assert Step(split_item(found)[2]) is STEPS[name], "CSeq settles which step of the flow it is"
        altered = re.sub(rb"CSeq: [0-9]+", b"CSeq: 77", bytes(eaten))
        found = recognize(altered, SESSION, 3)
        assert found is not None
        assert Step(split_item(found)[2]) in flow


@pytest.mark.parametrize("name", samples.RESPONSES)
def test_an_answer_is_known_by_what_it_answers(name: str) -> None:
    steps = {"401": Step.REGISTER, "200 REGISTER": Step.AUTHORIZED, "100": Step.INVITE, "180": Step.INVITE, "200 INVITE": Step.INVITE}
    assert recognize(samples.RESPONSES[name], SESSION, 3) == item(0, 0, steps[name])


@given(st.binary(max_size=300))
def test_any_bytes_are_recognized_or_not(data: bytes) -> None:
    assert recognize(data, SESSION, 3) is None


def test_the_dialog_goes_where_the_answer_says() -> None:
    """RFC 3261 section 12.1.2: remote target, To tag, and the route set reversed."""
    answer = swap(samples.ANSWERED, ("Call-ID:", "Record-Route: <sip:one;lr>, <sip:two;lr>\r\nCall-ID:"))
    bye = sip.parse(messages.within_dialog(CALLER, Step.BYE, answer).data)
    told = sip.parse(answer)
    assert bye.uri == sip.address_uri(told.get("Contact") or "")
    assert bye.get("To") == told.get("To")
    assert bye.all("Route") == ("<sip:two;lr>", "<sip:one;lr>")
    assert bye.get("CSeq") == "2 BYE"


@given(st.binary(max_size=200))
def test_an_answer_that_is_none_still_gets_its_ack(answer: bytes) -> None:
    ack = sip.parse(messages.within_dialog(CALLER, Step.ACK, answer).data)
    assert ack.method == "ACK"
    assert ack.uri is not None
    assert str(SERVER) in ack.uri
