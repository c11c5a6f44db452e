"""SIP: nothing is lost, nothing is repaired, and any bytes are a message or a WireError."""

import pytest

from edgecheck.wire import sip
from edgecheck.wire.errors import Malformed, TooLong, Truncated, WireError

REGISTER = (
    b"REGISTER sip:registrar.example.com SIP/2.0\r\n"
    b"v: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK1;rport\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.9\r\n"
    b"mAX-fORWARDS:70\r\n"
    b"From: <sip:alice@example.com>;tag=a1\r\n"
    b"To:\t<sip:alice@example.com>\r\n"
    b"CALL-id  : c1@10.0.0.2\r\n"
    b"CSeq: 1 REGISTER\r\n"
    b'Contact: "Alice, at home"\r\n'
    b"  <sip:alice@10.0.0.2:5060;ob>\r\n"
    b"\t;expires=300\r\n"
    b"Content-Length:   0004\r\n"
    b"\r\n"
    b"body"
)
RESPONSE = (
    b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK1;rport=1024;received=192.0.2.1\r\nCSeq: 1 REGISTER\r\nl: 0\r\n\r\n"
)


def with_headers(*lines: bytes, body: bytes = b"") -> bytes:
    return b"OPTIONS sip:a@example.com SIP/2.0\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


# --- What is kept ------------------------------------------------------------------------------------------------------------------


def test_request():
    message = sip.parse(REGISTER)
    assert message.is_request
    assert (message.method, message.uri, message.version) == ("REGISTER", "sip:registrar.example.com", "SIP/2.0")
    assert (message.status, message.reason) == (None, None)
    assert message.body == b"body"
    assert message.content_length == 4
    assert message.line_ending == b"\r\n"


def test_response():
    message = sip.parse(RESPONSE)
    assert not message.is_request
    assert (message.status, message.reason, message.version) == (200, "OK", "SIP/2.0")
    assert (message.method, message.uri) == (None, None)


@pytest.mark.parametrize(
    ("line", "reason"),
    [(b"SIP/2.0 486 Busy Here", "Busy Here"), (b"SIP/2.0 100 ", ""), (b"SIP/2.0 100", ""), (b"sip/2.0 200 = 2**3", "= 2**3")],
)
def test_reason(line, reason):
    assert sip.parse(line + b"\r\n\r\n").reason == reason


def test_every_header_keeps_its_bytes_its_name_and_its_place():
    headers = sip.parse(REGISTER).headers
    assert [header.name for header in headers] == ["v", "Via", "mAX-fORWARDS", "From", "To", "CALL-id", "CSeq", "Contact", "Content-Length"]
    assert headers[4] == ("To", "<sip:alice@example.com>", b"To:\t<sip:alice@example.com>\r\n")
    assert headers[5] == ("CALL-id", "c1@10.0.0.2", b"CALL-id  : c1@10.0.0.2\r\n")
    assert headers[7].value == '"Alice, at home" <sip:alice@10.0.0.2:5060;ob> ;expires=300'
    assert headers[7].raw == b'Contact: "Alice, at home"\r\n  <sip:alice@10.0.0.2:5060;ob>\r\n\t;expires=300\r\n'
    assert headers[8] == ("Content-Length", "0004", b"Content-Length:   0004\r\n")


def test_names_in_any_case_and_compact():
    message = sip.parse(REGISTER)
    assert message.get("Via") == message.get("V") == "SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK1;rport"
    assert message.all("via") == ("SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK1;rport", "SIP/2.0/UDP 192.0.2.9")
    assert message.get("i") == message.get("Call-ID") == "c1@10.0.0.2"
    assert message.get("Max-Forwards") == "70"
    assert (message.get("Route"), message.all("Route")) == (None, ())


@pytest.mark.parametrize(
    ("written", "rfc"),
    [
        ("v", "Via"),
        ("V", "Via"),
        ("call-id", "Call-ID"),
        ("l", "Content-Length"),
        ("CONTENT-LENGTH", "Content-Length"),
        ("cseq", "CSeq"),
        ("www-authenticate", "WWW-Authenticate"),
        ("o", "Event"),
        ("x", "Session-Expires"),
        ("mime-version", "MIME-Version"),
        ("X-CUSTOM-id", "X-Custom-Id"),
        ("z", "Z"),
    ],
)
def test_long_name(written, rfc):
    assert sip.long_name(written) == rfc


def test_lines_that_end_with_lf_alone_are_remembered():
    data = RESPONSE.replace(b"\r\n", b"\n")
    message = sip.parse(data)
    assert message.line_ending == b"\n"
    assert message.headers[0].raw.endswith(b"192.0.2.1\n")
    assert sip.serialize(message) == data


def test_line_ends_may_be_mixed():
    message = sip.parse(b"SIP/2.0 200 OK\nCSeq: 1 A\r\nTo: b\n\r\n")
    assert [header.raw for header in message.headers] == [b"CSeq: 1 A\r\n", b"To: b\n"]
    assert message.body == b""


def test_the_first_empty_line_ends_the_headers():
    assert sip.parse(b"SIP/2.0 200 OK\r\n\r\nTo: not a header\r\n\r\n").body == b"To: not a header\r\n\r\n"
    assert sip.parse(b"SIP/2.0 200 OK\n\nx").body == b"x"


def test_blank_lines_before_the_start_line_are_kept_beside_the_message():
    data = b"\r\n\r\n" + RESPONSE
    message = sip.parse(data)
    assert message.start_line == "SIP/2.0 200 OK"
    assert message.raw == data
    assert sip.parse(b"\r\n" * sip.MAX_BLANK_LINES + RESPONSE).status == 200
    with pytest.raises(Malformed):
        sip.parse(b"\r\n" * (sip.MAX_BLANK_LINES + 1) + RESPONSE)


def test_bytes_that_are_not_utf8_are_spelled():
    message = sip.parse(with_headers(b'From: "Andr\xe9" <sip:a@b>', 'To: "André" <sip:a@b>'.encode()))
    assert message.get("From") == '"Andr\\xe9" <sip:a@b>'
    assert message.get("To") == '"André" <sip:a@b>'
    assert message.headers[0].raw == b'From: "Andr\xe9" <sip:a@b>\r\n'


# --- What an ALG does stays a fact ----------------------------------------------------------------------------------------------------


def test_a_datagram_shorter_than_its_content_length():
    """The body was cut to its old length, or the address in it became shorter and nobody counted again."""
    data = with_headers(b"Content-Length: 10", body=b"12345678")
    message = sip.parse_datagram(data)
    assert (message.content_length, len(message.body), message.raw) == (10, 8, data)
    with pytest.raises(Truncated):
        sip.parse(data)


@pytest.mark.parametrize("parse", [sip.parse, sip.parse_datagram])
def test_bytes_beyond_the_content_length_stay_in_the_body(parse):
    message = parse(with_headers(b"Content-Length: 4", body=b"12345678"))
    assert (message.content_length, message.body) == (4, b"12345678")


@pytest.mark.parametrize(
    ("lines", "declared"),
    [
        ([], None),
        ([b"Content-Length: 3"], 3),
        ([b"l:3"], 3),
        ([b"Content-Length:    3  "], 3),
        ([b"Content-Length: 003"], 3),
        ([b"Content-Length: 3", b"l: 3"], 3),
        ([b"Content-Length: 3", b"l: 2"], None),
        ([b"Content-Length: -999"], None),
        ([b"Content-Length: +3"], None),
        ([b"Content-Length: 3, 3"], None),
        ([b"Content-Length:"], None),
        ([b"Content-Length: three"], None),
        ([b"Content-Length: \xd9\xa3"], None),  # a digit, but not one of ours
        ([b"Content-Length: 99999999999999999999999999"], None),
    ],
)
def test_content_length_is_what_is_declared(lines, declared):
    message = sip.parse(with_headers(*lines, body=b"xyz"))
    assert message.content_length == declared
    assert message.body == b"xyz"


def test_headers_that_should_stand_once_may_stand_twice():
    assert sip.parse(with_headers(b"CSeq: 1 A", b"CSeq: 2 B")).all("CSeq") == ("1 A", "2 B")


def test_folding_is_one_space_and_stays_in_the_raw_bytes():
    message = sip.parse(with_headers(b"Subject: one\r\n two\r\n\t three \r\n \r\n four", b"To:\r\n x"))
    assert message.all("s") == ("one two three four",)
    assert message.get("To") == "x"
    assert message.headers[1].raw == b"To:\r\n x\r\n"


# --- Bad bytes ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n\r\n",
        b"INVITE sip:a\r\n\r\n",
        b"INVITE  sip:a  SIP/2.0\r\n\r\n",
        b"INVITE sip:a; lr SIP/2.0\r\n\r\n",
        b"INVITE sip:a SIP/2.0 \r\n\r\n",
        b"INVITE sip:a HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"IN(VITE sip:a SIP/2.0\r\n\r\n",
        b" INVITE sip:a SIP/2.0\r\n\r\n",
        b"SIP/2.0 20 OK\r\n\r\n",
        b"SIP/2.0 4294967301 OK\r\n\r\n",
        b"SIP/2.0 099 OK\r\n\r\n",
        b"SIP/2.0  200 OK\r\n\r\n",
        b"SIP/x 200 OK\r\n\r\n",
        with_headers(b"no colon"),
        with_headers(b": no name"),
        with_headers(b"two words: x"),
        with_headers(b" folded: before any header"),
        with_headers(b"To: a\rb"),
        b"SIP/2.0 200 O\rK\r\n\r\n",
        b"\x16\x03\x01\x02\x00",  # TLS ClientHello
        b"\x00\x01\x00\x00" + bytes(16),  # STUN
        b"\x80" + bytes(20),  # RTP
        b"not sip at all\n",  # bad before its head has ended
    ],
)
@pytest.mark.parametrize("parse", [sip.parse, sip.parse_datagram])
def test_malformed(parse, data):
    with pytest.raises(Malformed):
        parse(data)


@pytest.mark.parametrize(
    "data",
    [b"", b"\r", b"\r\n\r\n", b"INV", b"INVITE sip:a", b"SIP/2.0 200 OK\r\n", b"SIP/2.0 200 OK\r\nTo: a\r\n", b"SIP/2.0 200 OK\r\n\r"],
)
@pytest.mark.parametrize("parse", [sip.parse, sip.parse_datagram])
def test_no_end_of_the_head_is_truncated(parse, data):
    with pytest.raises(Truncated):
        parse(data)


def test_limits():
    assert len(sip.parse(with_headers(*[b"a:"] * sip.MAX_HEADERS)).headers) == sip.MAX_HEADERS
    with pytest.raises(TooLong):
        sip.parse(with_headers(*[b"a:"] * (sip.MAX_HEADERS + 1)))
    head = len(with_headers())
    assert sip.parse(with_headers(body=bytes(sip.MAX_MESSAGE - head))).content_length is None
    with pytest.raises(TooLong):
        sip.parse(with_headers(body=bytes(sip.MAX_MESSAGE - head + 1)))


@pytest.mark.parametrize("filler", [b" ", b"\t", b"\r\n ", b"a", b";", b'"', b"<", b"\\", b",", b"=", b"@", b":"])
def test_long_runs_of_one_thing_are_read(filler):
    """Were any of this quadratic in its length, this test would take minutes."""
    run = filler * (60_000 // len(filler))
    message = sip.parse(with_headers(b"Via: SIP/2.0/UDP a" + run + b"b"))
    value = message.headers[0].value
    assert value.startswith("SIP/2.0/UDP a")
    sip.split_addresses(value)
    sip.parameters(value)
    sip.address_uri(value)
    for text in (value, "SIP" + value[15:], "sip:" + value[13:]):
        for read in (sip.via_parts, sip.uri_parts):
            try:
                read(text)
            except WireError:
                pass


# --- build ---------------------------------------------------------------------------------------------------------------------------


def test_build_adds_content_length_last():
    assert sip.build("OPTIONS sip:a SIP/2.0", [("Via", "x"), ("To", "y")], b"body") == (
        b"OPTIONS sip:a SIP/2.0\r\nVia: x\r\nTo: y\r\nContent-Length: 4\r\n\r\nbody"
    )


@pytest.mark.parametrize("name", ["Content-Length", "content-length", "l"])
def test_build_leaves_a_content_length_of_the_caller_alone(name):
    assert sip.build("SIP/2.0 200 OK", [(name, "9"), ("To", "y")]) == f"SIP/2.0 200 OK\r\n{name}: 9\r\nTo: y\r\n\r\n".encode()


def test_build_can_fold():
    message = sip.parse(sip.build("SIP/2.0 200 OK", [("Subject", "one\r\n two")]))
    assert message.get("Subject") == "one two"


@pytest.mark.parametrize(
    ("start", "name", "value"),
    [
        ("SIP/2.0 200 OK", "To", "a\r\nEvil: b"),
        ("SIP/2.0 200 OK", "To", "a\nEvil: b"),
        ("SIP/2.0 200 OK", "To", "a\rb"),
        ("SIP/2.0 200 OK", "To", "a\r b"),
        ("SIP/2.0 200 OK", "To", "a\r\n"),
        ("SIP/2.0 200 OK", "To", "\ud800"),
        ("SIP/2.0 200 OK", "T o", "a"),
        ("SIP/2.0 200 OK", "", "a"),
        ("SIP/2.0 200 OK", "Tö", "a"),
        ("SIP/2.0 200 OK\r\nEvil: b", "To", "a"),
        ("SIP/2.0 OK", "To", "a"),
        ("INVITE sip:a b SIP/2.0", "To", "a"),
    ],
)
def test_build_refuses_what_would_not_be_read_back(start, name, value):
    with pytest.raises(Malformed):
        sip.build(start, [(name, value)])


def test_build_too_long():
    with pytest.raises(TooLong):
        sip.build("SIP/2.0 200 OK", [], bytes(sip.MAX_MESSAGE))
