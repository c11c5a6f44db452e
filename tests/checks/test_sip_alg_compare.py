"""Every mutation of the lists R1-R23 and A1-A10 that shows in the bytes of one message, each by the names that the contract gives."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecheck.checks.sip_alg.compare import Difference, compare
from tests.checks import sip_alg_samples as samples
from tests.checks.sip_alg_samples import INVITE, recount, swap

Mutate = Callable[[bytes], bytes]
Changes = set[tuple[str, str]]
REWRITTEN, REMOVED, ADDED, REORDERED, REFORMATTED = "rewritten", "removed", "added", "reordered", "reformatted"
LOCAL, PUBLIC = "192.168.88.2:40000", "203.0.113.1:20000"
HOST, WAN = "192.168.88.2", "203.0.113.1"


def line(data: bytes, start: str) -> str:
    """The first whole line that begins so, without its end."""
    found = re.search(rb"^" + re.escape(start.encode()) + rb"[^\r\n]*", data, re.MULTILINE)
    assert found, start
    return found[0].decode()


def edit_line(start: str, *pairs: tuple[str, str]) -> Mutate:
    """Change texts within one line."""
    return lambda data: swap(data, (line(data, start), swap(line(data, start).encode(), *pairs).decode()))


def drop_line(start: str) -> Mutate:
    return lambda data: swap(data, (f"{line(data, start)}\r\n", ""))


def insert_before(start: str, new: str) -> Mutate:
    return lambda data: swap(data, (line(data, start), f"{new}\r\n{line(data, start)}"))


def counted(*steps: Mutate) -> Mutate:
    """With Content-Length made right."""
    return lambda data: recount(then(*steps)(data))


def then(*steps: Mutate) -> Mutate:
    def apply(data: bytes) -> bytes:
        for step in steps:
            data = step(data)
        return data

    return apply


def move_line(start: str, before: str) -> Mutate:
    return lambda data: insert_before(before, line(data, start))(drop_line(start)(data))


LENGTH = ("Content-Length", REWRITTEN)
REQUEST_MUTATIONS: list[tuple[str, Mutate, Changes]] = [
    ("R1 Via sent-by", edit_line("Via:", (LOCAL, PUBLIC)), {("Via", REWRITTEN)}),
    ("R1 Via host only", edit_line("Via:", (HOST, WAN)), {("Via", REWRITTEN)}),
    (
        "R2 a Via on top, Max-Forwards less, names in another case, another order, padding",
        then(
            insert_before("Via:", "Via: SIP/2.0/UDP 203.0.113.1:5060;branch=z9hG4bKalg"),
            edit_line("Max-Forwards:", ("70", "69")),
            edit_line("Call-ID:", ("Call-ID", "CALL-ID")),
            edit_line("CSeq: ", ("CSeq: ", "CSeq:   ")),
            move_line("User-Agent:", "To:"),
        ),
        {("Via", ADDED), ("Max-Forwards", REWRITTEN), ("Call-ID", REFORMATTED), ("CSeq", REFORMATTED), ("User-Agent", REORDERED)},
    ),
    (
        "R2 a Via on top and ours rewritten",
        then(edit_line("Via:", (LOCAL, PUBLIC)), insert_before("Via:", "Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKalg")),
        {("Via", ADDED), ("Via", REWRITTEN)},
    ),
    ("R3 branch replaced", lambda data: re.sub(rb"branch=z9hG4bK[0-9a-z-]*", b"branch=7", data, count=1), {("Via", REWRITTEN)}),
    ("R4 rport removed", edit_line("Via:", (";rport", "")), {("Via", REWRITTEN)}),
    ("R4 rport filled in", edit_line("Via:", (";rport", ";rport=20000")), {("Via", REWRITTEN)}),
    ("R4 received inserted", edit_line("Via:", (";rport", ";rport;received=203.0.113.1")), {("Via", REWRITTEN)}),
    ("R5 Contact address", edit_line("Contact:", (LOCAL, PUBLIC)), {("Contact", REWRITTEN)}),
    ("R5 Contact port dropped", edit_line("Contact:", (LOCAL, HOST)), {("Contact", REWRITTEN)}),
    ("R5 Contact parameters lost", edit_line("Contact:", (";reg-id=1", "")), {("Contact", REWRITTEN)}),
    ("R5 Contact display name lost", edit_line("Contact:", ('"edgecheck" ', "")), {("Contact", REWRITTEN)}),
    ("R5 Contact removed", drop_line("Contact:"), {("Contact", REMOVED)}),
    ("R6 From host", edit_line("From:", (LOCAL, PUBLIC)), {("From", REWRITTEN)}),
    ("R6 To host", edit_line("To:", ("198.51.100.10:5060", WAN)), {("To", REWRITTEN)}),
    ("R6 Request-URI port", edit_line("INVITE ", (":5060", ":5999")), {("Request-URI", REWRITTEN)}),
    ("R7 Call-ID host", edit_line("Call-ID:", (HOST, WAN)), {("Call-ID", REWRITTEN)}),
    ("R8 CSeq", edit_line("CSeq:", ("1 INVITE", "101 INVITE")), {("CSeq", REWRITTEN)}),
    ("R8 From tag", edit_line("From:", (";tag=", ";tag=alg-")), {("From", REWRITTEN)}),
    ("R8 To tag", edit_line("To:", (":5060>", ":5060>;tag=1")), {("To", REWRITTEN)}),
    ("R8 method", lambda data: b"UPDATE" + data[6:], {("Method", REWRITTEN)}),
    ("R9 Record-Route inserted", insert_before("To:", "Record-Route: <sip:203.0.113.1;lr>"), {("Record-Route", ADDED)}),
    ("R9 Route inserted", insert_before("To:", "Route: <sip:203.0.113.1;lr>"), {("Route", ADDED)}),
    ("R9 User-Agent stripped", drop_line("User-Agent:"), {("User-Agent", REMOVED)}),
    ("R9 Supported token stripped", edit_line("k:", (", timer", "")), {("Supported", REMOVED)}),
    ("R9 Allow token added", edit_line("Allow:", (", BYE", ", BYE, REFER")), {("Allow", ADDED)}),
    ("R9 P-header stripped", drop_line("P-Preferred-Identity:"), {("P-Preferred-Identity", REMOVED)}),
    ("R9 Session-Expires changed", edit_line("Session-Expires:", ("1800", "90")), {("Session-Expires", REWRITTEN)}),
    ("R9 header of its own", insert_before("To:", "X-Alg: 1"), {("X-Alg", ADDED)}),
    ("R10 o= and c=", counted(edit_line("o=", (HOST, WAN)), edit_line("c=", (HOST, WAN))), {("sdp o=", REWRITTEN), ("sdp c=", REWRITTEN), LENGTH}),
    ("R10 o= only", counted(edit_line("o=", (HOST, WAN))), {("sdp o=", REWRITTEN), LENGTH}),
    ("R10 c= only", counted(edit_line("c=", (HOST, WAN))), {("sdp c=", REWRITTEN), LENGTH}),
    ("R10 a c= for the medium added", counted(insert_before("a=rtcp", f"c=IN IP4 {WAN}")), {("sdp c=", ADDED), LENGTH}),
    ("R11 m= port moved", edit_line("m=", ("10050", "10052")), {("sdp m=", REWRITTEN)}),
    ("R11 m= port 0", counted(edit_line("m=", ("10050", "0"))), {("sdp m=", REWRITTEN), LENGTH}),
    ("R11 codec removed", counted(edit_line("m=", (" 8 101", " 101")), drop_line("a=rtpmap:8")), {("sdp m=", REWRITTEN), ("sdp a=rtpmap", REMOVED), LENGTH}),
    ("R12 a=rtcp removed", counted(drop_line("a=rtcp")), {("sdp a=rtcp", REMOVED), LENGTH}),
    ("R12 a=candidate filtered", counted(drop_line("a=candidate")), {("sdp a=candidate", REMOVED), LENGTH}),
    ("R12 a=ptime dropped", counted(drop_line("a=ptime")), {("sdp a=ptime", REMOVED), LENGTH}),
    ("R12 a=sendrecv turned", edit_line("a=sendrecv", ("sendrecv", "recvonly")), {("sdp a=sendrecv", REMOVED), ("sdp a=recvonly", ADDED)}),
    ("R12 c= of the other family", counted(edit_line("c=", ("IP4", "IP6"), (HOST, "2001:db8::1"))), {("sdp c=", REWRITTEN), LENGTH}),
    ("R13 Content-Length wrong", edit_line("Content-Length:", ("Content-Length: ", "Content-Length: 1")), {LENGTH}),
    ("R13 Content-Length missing", drop_line("Content-Length:"), {("Content-Length", REMOVED)}),
    ("R13 Content-Length padded", edit_line("Content-Length:", (": ", ":   ")), {("Content-Length", REFORMATTED)}),
    ("R13 Content-Length with zeros", edit_line("Content-Length:", (": ", ": 000")), {("Content-Length", REFORMATTED)}),
    ("R13 Content-Length compact", edit_line("Content-Length:", ("Content-Length", "l")), {("Content-Length", REFORMATTED)}),
    ("R13 last characters lost", lambda data: data[:-4], {("sdp a=candidate", REWRITTEN)}),
    ("R13 last line end lost", lambda data: data[:-2], {("body", REFORMATTED)}),
    ("R13 trailing garbage", lambda data: data + b"garbage", {("sdp line", ADDED)}),
    ("R13 body lost", lambda data: data.split(b"\r\n\r\n")[0] + b"\r\n\r\n", {("body", REMOVED)}),
    ("R14 Content-Type changed", edit_line("Content-Type:", ("sdp", "octet-stream")), {("Content-Type", REWRITTEN)}),
    ("R14 Content-Type absent", drop_line("Content-Type:"), {("Content-Type", REMOVED)}),
    ("R14 multipart", lambda data: swap(data, ("v=0\r\n", "--a\r\nv=0\r\n")), {("sdp line", ADDED)}),
    ("R15 compact form expanded", edit_line("k:", ("k: ", "Supported: ")), {("Supported", REFORMATTED)}),
    ("R15 compact form used", edit_line("Via:", ("Via:", "v:")), {("Via", REFORMATTED)}),
    ("R15 name in another case", edit_line("Max-Forwards:", ("Max-Forwards", "max-forwards")), {("Max-Forwards", REFORMATTED)}),
    ("R15 folded", edit_line("Via:", (";rport", "\r\n ;rport")), {("Via", REFORMATTED)}),
    ("R15 white space", edit_line("Via:", ("UDP ", "UDP  ")), {("Via", REFORMATTED)}),
    ("R15 order", move_line("CSeq:", "Contact:"), {("CSeq", REORDERED)}),
    ("R15 list taken apart", edit_line("k:", (", timer", "\r\nk: timer")), {("Supported", REFORMATTED)}),
    ("R15 LF", lambda data: data.replace(b"\r\n", b"\n"), {("line endings", REFORMATTED)}),
    ("R15 LF in the headers", lambda data: data.split(b"\r\n\r\n")[0].replace(b"\r\n", b"\n") + b"\n\n" + data.split(b"\r\n\r\n")[1], {("line endings", REFORMATTED)}),
    ("R15 line ends before it", lambda data: b"\r\n" + data, {("message", REFORMATTED)}),
    ("canary: blind replacement of text", counted(lambda data: data.replace(HOST.encode(), WAN.encode())), {
        ("Via", REWRITTEN), ("Contact", REWRITTEN), ("From", REWRITTEN), ("P-Preferred-Identity", REWRITTEN), ("Call-ID", REWRITTEN), ("sdp o=", REWRITTEN),
        ("sdp s=", REWRITTEN), ("sdp c=", REWRITTEN), ("sdp a=rtcp", REWRITTEN), ("sdp a=candidate", REWRITTEN), LENGTH,
    }),
    ("no SIP any more", lambda data: b"\x16\x03\x01" + data, {("message", REWRITTEN)}),
]  # fmt: skip


@pytest.mark.parametrize(("mutate", "expected"), [row[1:] for row in REQUEST_MUTATIONS], ids=[row[0] for row in REQUEST_MUTATIONS])
def test_what_an_alg_does_to_an_invite(mutate: Mutate, expected: Changes) -> None:
    found = compare(INVITE, mutate(INVITE))
    assert {(difference.where, difference.action) for difference in found} == expected
    assert len(found) == len(expected), "told once each"


def test_a_stripped_authorization_is_told() -> None:
    (found,) = compare(samples.AUTHORIZED, drop_line("Authorization:")(samples.AUTHORIZED))
    assert (found.where, found.action, found.arrived) == ("Authorization", REMOVED, "")
    assert found.sent.startswith("Digest username=")


def test_a_changed_digest_uri_is_told() -> None:
    (found,) = compare(samples.AUTHORIZED, edit_line("Authorization:", ('uri="sip:198.51.100.10:5060"', 'uri="sip:203.0.113.1"'))(samples.AUTHORIZED))
    assert (found.where, found.action) == ("Authorization", REWRITTEN)


RESPONSE_MUTATIONS: list[tuple[str, str, Mutate, Changes]] = [
    ("A1 Via turned back", "200 INVITE", edit_line("Via:", ("received=203.0.113.1", f"received={HOST}"), ("rport=20000", "rport=40000")), {("Via", REWRITTEN)}),
    ("A1 a Via stripped", "200 INVITE", drop_line("Via:"), {("Via", REMOVED)}),
    ("A1 a Via left over", "200 INVITE", insert_before("Via:", "Via: SIP/2.0/UDP 203.0.113.1:5060;branch=z9hG4bKalg"), {("Via", ADDED)}),
    ("A2 Contact turned", "200 INVITE", edit_line("Contact:", ("198.51.100.10", HOST)), {("Contact", REWRITTEN)}),
    ("A2 From turned", "200 INVITE", edit_line("From:", (LOCAL, PUBLIC)), {("From", REWRITTEN)}),
    ("A2 To turned", "200 INVITE", edit_line("To:", ("198.51.100.10", HOST)), {("To", REWRITTEN)}),
    ("A3 c= of the answer", "200 INVITE", counted(edit_line("c=", ("198.51.100.10", WAN))), {("sdp c=", REWRITTEN), LENGTH}),
    ("A3 m= of the answer", "200 INVITE", lambda data: re.sub(rb"m=audio \d+", b"m=audio 40000", data), {("sdp m=", REWRITTEN)}),
    ("A4 expires lowered", "200 REGISTER", edit_line("Contact:", ("expires=3600", "expires=60")), {("Contact", REWRITTEN)}),
    ("A4 Expires added", "200 REGISTER", insert_before("CSeq:", "Expires: 60"), {("Expires", ADDED)}),
    ("A5 status altered", "200 INVITE", lambda data: swap(data, ("SIP/2.0 200 OK", "SIP/2.0 403 Forbidden")), {("Status-Line", REWRITTEN)}),
    ("A5 Server hidden", "200 INVITE", drop_line("Server:"), {("Server", REMOVED)}),
    ("A7 challenge stripped", "401", drop_line("WWW-Authenticate:"), {("WWW-Authenticate", REMOVED)}),
    ("A7 nonce altered", "401", lambda data: re.sub(rb'nonce="[0-9a-f]*"', b'nonce="0"', data), {("WWW-Authenticate", REWRITTEN)}),
    ("A9 a body turned blindly", "200 INVITE", counted(lambda data: data.replace(b"198.51.100.10", HOST.encode())), {
        ("To", REWRITTEN), ("Contact", REWRITTEN), ("sdp o=", REWRITTEN), ("sdp c=", REWRITTEN), ("sdp a=rtcp", REWRITTEN), LENGTH,
    }),
    ("X-Edgecheck stripped", "180", drop_line("X-Edgecheck:"), {("X-Edgecheck", REMOVED)}),
]  # fmt: skip


@pytest.mark.parametrize(("which", "mutate", "expected"), [row[1:] for row in RESPONSE_MUTATIONS], ids=[row[0] for row in RESPONSE_MUTATIONS])
def test_what_an_alg_does_to_an_answer(which: str, mutate: Mutate, expected: Changes) -> None:
    sent = samples.RESPONSES[which]
    assert {(difference.where, difference.action) for difference in compare(sent, mutate(sent))} == expected


def test_a_plain_text_body_is_a_body() -> None:
    """A9: a body that is no SDP, with lines that look like headers and like SDP."""
    head = b"MESSAGE sip:a@192.0.2.1 SIP/2.0\r\nContent-Type: text/plain\r\nContent-Length: 61\r\n\r\n"
    body = b"Contact: <sip:a@192.168.88.2:40000>\r\nv=0\r\n192.168.88.2:40000\r\n"
    assert {(d.where, d.action) for d in compare(head + body, head + body.replace(b"192.168.88.2", b"203.0.113.1"))} == {("body", REWRITTEN)}


def test_the_second_medium_is_compared_with_the_second() -> None:
    """R10: the second m= block missed; R11: an m= line dropped."""
    two = recount(INVITE + b"m=video 10060 RTP/AVP 96\r\nc=IN IP4 192.168.88.2\r\na=rtpmap:96 H264/90000\r\n")
    found = compare(two, swap(two, ("RTP/AVP 96\r\nc=IN IP4 192.168.88.2", "RTP/AVP 96\r\nc=IN IP4 203.0.113.99")))
    assert found == (Difference("sdp c=", REWRITTEN, "c=IN IP4 192.168.88.2", "c=IN IP4 203.0.113.99"),)
    gone = compare(two, recount(two[: two.index(b"m=video")]))
    assert {(d.where, d.action, d.sent) for d in gone if d.where.startswith("sdp")} == {("sdp m=", REMOVED, "m=video 10060 RTP/AVP 96")}


def test_merged_headers_are_one_change_of_form() -> None:
    """R15: duplicate headers merged."""
    twice = swap(INVITE, ("k: replaces, timer, outbound", "Route: <sip:a;lr>\r\nRoute: <sip:b;lr>"))
    assert {(d.where, d.action) for d in compare(twice, swap(twice, (">\r\nRoute: ", ">, ")))} == {("Route", REFORMATTED)}
    turned = swap(twice, ("<sip:a;lr>\r\nRoute: <sip:b;lr>", "<sip:b;lr>\r\nRoute: <sip:a;lr>"))
    assert {(d.where, d.action) for d in compare(twice, turned)} == {("Route", REORDERED)}


def test_before_and_after_are_the_texts_themselves() -> None:
    found = compare(INVITE, edit_line("c=", (HOST, WAN))(INVITE))
    assert found == (Difference("sdp c=", REWRITTEN, f"c=IN IP4 {HOST}", f"c=IN IP4 {WAN}"),)
    (via,) = compare(INVITE, edit_line("Via:", (LOCAL, PUBLIC))(INVITE))
    assert via.sent == line(INVITE, "Via:").removeprefix("Via: ")
    assert via.arrived == via.sent.replace(LOCAL, PUBLIC)


ALL = [*samples.REQUESTS.values(), *samples.RESPONSES.values()]


@pytest.mark.parametrize("message", ALL, ids=[*samples.REQUESTS, *samples.RESPONSES])
def test_a_message_is_equal_to_itself(message: bytes) -> None:
    assert compare(message, bytes(message)) == ()


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_are_compared(one: bytes, other: bytes) -> None:
    assert (compare(one, other) == ()) == (one == other)


@given(st.sampled_from(ALL), st.data())
def test_every_damage_is_seen(message: bytes, data: st.DataObject) -> None:
    """Cut out, put in, overwritten anywhere: no change to the bytes goes unseen, and none raises."""
    begin = data.draw(st.integers(0, len(message)))
    end = data.draw(st.integers(begin, min(len(message), begin + 40)))
    damaged = message[:begin] + data.draw(st.binary(max_size=20) | st.sampled_from([b"\r\n", b"\n", b" ", b",", b"v=", b"m=audio 0\r\n"])) + message[end:]
    assert (compare(message, damaged) == ()) == (message == damaged)


def test_a_flood_of_headers_takes_no_time_to_speak_of() -> None:
    """200 headers and thousands of SDP lines, all different: paired by place, no quadratic walk over the texts."""
    many = b"".join(b"Route: <sip:%d;lr>\r\n" % number for number in range(200))
    lines = b"".join(b"a=x:%d\r\n" % number for number in range(4000))
    before = swap(INVITE, ("Max-Forwards: 70\r\n", many.decode())) + lines
    after = before.replace(b";lr>", b";lr;x>").replace(b"a=x:", b"a=x:1")
    found = compare(before, after)
    assert sum(d.where == "Route" for d in found) == 200
    assert sum(d.where == "sdp a=x" for d in found) == 4000
