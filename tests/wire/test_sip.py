"""SIP: nothing is lost, nothing is repaired, and any bytes are a message or a WireError."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgecheck.wire import sip
from edgecheck.wire.errors import Malformed, TooLong, Truncated, WireError

quick = settings(max_examples=200, deadline=None)

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


# --- Values ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "items"),
    [
        ("<sip:a@b>", ["<sip:a@b>"]),
        ("<sip:a@b>;expires=3, sip:c@d ,<sip:e>", ["<sip:a@b>;expires=3", "sip:c@d", "<sip:e>"]),
        ('"Bell, Alexander" <sip:a@b,c>, <sip:d>', ['"Bell, Alexander" <sip:a@b,c>', "<sip:d>"]),
        (r'"a \", b" <sip:a>, <sip:b>', [r'"a \", b" <sip:a>', "<sip:b>"]),
        ('"<" <sip:a>, <sip:b>', ['"<" <sip:a>', "<sip:b>"]),
        ('<sip:a?x=">, <sip:b>', ['<sip:a?x=">', "<sip:b>"]),
        ('"never closed <sip:a>, <sip:b>', ['"never closed <sip:a>, <sip:b>']),
        ("*", ["*"]),
        (", ,", []),
        ("", []),
    ],
)
def test_split_addresses(value, items):
    assert sip.split_addresses(value) == items


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("<sip:a@b;transport=tcp>;Tag=x;ob", {"tag": "x", "ob": ""}),
        ("sip:a@b;tag=x", {"tag": "x"}),
        ("SIP/2.0/UDP h;branch=z9hG4bK1;rport;received=192.0.2.1", {"branch": "z9hG4bK1", "rport": "", "received": "192.0.2.1"}),
        ("SIP / 2.0 / UDP h ; branch = z ; rport = 5 ", {"branch": "z", "rport": "5"}),
        ('<sip:a>;+sip.instance="<urn:uuid:1;2>";q=0.5', {"+sip.instance": "<urn:uuid:1;2>", "q": "0.5"}),
        (r'<sip:a>;x="a\"b"', {"x": 'a"b'}),
        ("<sip:a>;x=1;X=2", {"x": "1"}),
        ("<sip:a>;;;,;", {",": ""}),
        ("<sip:a>", {}),
    ],
)
def test_parameters(value, expected):
    assert sip.parameters(value) == expected


@pytest.mark.parametrize(
    ("value", "uri"),
    [
        ('"A" <sip:a@b;lr>;tag=1', "sip:a@b;lr"),
        ("sip:a@b;tag=1", "sip:a@b"),
        ("caller<sip:a@b>", "sip:a@b"),
        ('"x < y" <sip:a@b>', "sip:a@b"),
        (r'"x \" < y" <sip:a@b>', "sip:a@b"),
        ("< sip:a@b >", "sip:a@b"),
        ("<sip:a@b", "sip:a@b"),
        ("*", "*"),
    ],
)
def test_address_uri(value, uri):
    assert sip.address_uri(value) == uri


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("sip:alice@example.com", ("sip", "alice", "example.com", None, {}, "")),
        ("SIPS:example.com:5061", ("sips", None, "example.com", 5061, {}, "")),
        (
            "sip:a:secret@[2001:db8::1]:5060;transport=tcp;lr?to=x&y=z",
            ("sip", "a:secret", "2001:db8::1", 5060, {"transport": "tcp", "lr": ""}, "to=x&y=z"),
        ),
        ("sip:user;par=u%40example.net@example.com", ("sip", "user;par=u%40example.net", "example.com", None, {}, "")),
        ("sip:a?b@c", ("sip", "a?b", "c", None, {}, "")),
    ],
)
def test_uri_parts(uri, parts):
    assert sip.uri_parts(uri) == parts


@pytest.mark.parametrize(
    "uri", ["", "sip:", "tel:+1", "<sip:a@b>", "sip:a@b:99999", "sip:a@b:x", "sip:a@b c", "sip:a@2001:db8::1", "isbn:2983792873"]
)
def test_uri_parts_malformed(uri):
    with pytest.raises(Malformed):
        sip.uri_parts(uri)


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("SIP/2.0/UDP 192.0.2.1:5060;branch=z;rport", ("SIP/2.0", "UDP", "192.0.2.1", 5060, {"branch": "z", "rport": ""})),
        ("SIP/2.0/TLS phone.example.com", ("SIP/2.0", "TLS", "phone.example.com", None, {})),
        ("SIP  /   2.0 /UDP   192.0.2.2 : 5062 ;branch=3", ("SIP/2.0", "UDP", "192.0.2.2", 5062, {"branch": "3"})),
        ("SIP/2.0/TCP [2001:db8::9]:5061;received=[2001:db8::1]", ("SIP/2.0", "TCP", "2001:db8::9", 5061, {"received": "[2001:db8::1]"})),
    ],
)
def test_via_parts(value, parts):
    assert sip.via_parts(value) == parts


@pytest.mark.parametrize(
    "value", ["", "SIP/2.0/UDP", "SIP/2.0 192.0.2.1", "192.0.2.1:5060", "SIP/2.0/UDP a b", "SIP/2.0/UDP a:99999", "SIP/2.0/UDP ;branch=z"]
)
def test_via_parts_malformed(value):
    with pytest.raises(Malformed):
        sip.via_parts(value)


# --- Properties ----------------------------------------------------------------------------------------------------------------------

names = st.one_of(
    st.sampled_from(["Via", "v", "From", "To", "CALL-ID", "m", "Contact", "X-Probe"]),
    st.text("abcXYZ09-.!%*_+`'~", min_size=1, max_size=12),
).filter(lambda name: sip.long_name(name) != "Content-Length")
words = st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=("Cs",)), max_size=30)
start_lines = st.one_of(
    st.builds(
        "{} {} SIP/2.0".format,
        st.sampled_from(["INVITE", "OPTIONS", "x!%*_+`'~.-9"]),
        st.sampled_from(["sip:a@b", "sips:[::1]:5061;lr", "*", "é:ü"]),
    ),
    st.builds("SIP/2.0 {} {}".format, st.integers(100, 699), words),
)
bodies = st.one_of(st.binary(max_size=60), st.just(b"v=0\r\no=- 1 1 IN IP4 10.0.0.2\r\n\r\n"))
built = st.builds(sip.build, start_lines, st.lists(st.tuples(names, words), max_size=6), bodies)


@quick
@given(start_lines, st.lists(st.tuples(names, words), max_size=6), bodies)
def test_what_is_built_is_read_back(start, headers, body):
    message = sip.parse(sip.build(start, headers, body))
    assert message.start_line == start
    assert [(header.name, header.value) for header in message.headers[:-1]] == [(name, value.strip(" \t")) for name, value in headers]
    assert message.headers[-1] == ("Content-Length", str(len(body)), b"Content-Length: %d\r\n" % len(body))
    assert message.body == body
    assert message.content_length == len(body)


@quick
@given(built)
def test_every_proper_prefix_is_truncated(data):
    for size in range(len(data)):
        with pytest.raises(Truncated):
            sip.parse(data[:size])


def value_or_wire_error(data: bytes) -> None:
    """And every byte of a message has its place, and every question has an answer."""
    for parse in (sip.parse, sip.parse_datagram):
        try:
            message = parse(data)
        except WireError:
            continue
        assert sip.serialize(message) == message.raw == data
        assert parse(sip.serialize(message)) == message
        head = data[: len(data) - len(message.body)]
        assert head.rstrip(b"\r\n").endswith(b"".join(header.raw for header in message.headers).rstrip(b"\r\n"))
        assert head.endswith((b"\n\n", b"\n\r\n"))
        if message.is_request:
            assert message.method
            assert message.uri
            assert message.status is message.reason is None
        else:
            assert 100 <= message.status <= 999
            assert message.method is message.uri is None
            assert message.reason is not None
        assert message.version[:4].upper() == "SIP/"
        for header in message.headers:
            assert header.value in message.all(header.name)
            assert message.get(header.name) is not None
            header.value.encode()  # can stand in any report


@quick
@given(st.binary(max_size=200))
@example(b"\r\n" * 40)
@example(b"SIP/2.0 200 \r\n\r\n")
def test_any_bytes(data):
    value_or_wire_error(data)


@quick
@given(
    st.lists(
        st.sampled_from([b"\r\n", b"\n", b"\r", b" ", b":", b"l: 3", b"SIP/2.0 200 ", b"A b SIP/2.0", b"To: x", b"\xff", b"\0", b"v"]),
        max_size=25,
    )
)
def test_any_pieces_of_a_message(pieces):
    value_or_wire_error(b"".join(pieces))


@quick
@given(built, st.data())
def test_any_change_of_a_valid_message(wire, data):
    wire = bytearray(wire)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(wire)))
        wire[at : at + data.draw(st.integers(0, 3))] = data.draw(st.sampled_from([b"", b"\r\n", b"\n", b" ", b":", b"\0", b"\x80", b"9"]))
    value_or_wire_error(bytes(wire))


@quick
@given(st.one_of(st.text(max_size=60), st.text('ab12;,"<>\\=@:/?[] SIP.', max_size=60)))
def test_any_text_as_a_value(text):
    items = sip.split_addresses(text)
    assert all(item and item == item.strip() for item in items)
    assert all(name == name.lower() for name in sip.parameters(text))
    assert isinstance(sip.address_uri(text), str)
    for read, prefix in ((sip.uri_parts, "sip:"), (sip.via_parts, "SIP/2.0/UDP ")):
        for candidate in (text, prefix + text):
            try:
                parts = read(candidate)
            except WireError:
                continue
            assert parts.host
            assert parts.port is None or 0 <= parts.port <= 65535


@quick
@given(
    st.lists(
        st.text(st.characters(blacklist_characters='",<>\\', blacklist_categories=("Cs",)), min_size=1, max_size=10)
        .map(str.strip)
        .filter(bool),
        max_size=5,
    )
)
def test_split_addresses_takes_apart_what_was_joined(items):
    quoted = [f'"{item}, x" <sip:{item}>;y' for item in items]
    assert sip.split_addresses(", ".join(items)) == items
    assert sip.split_addresses(",".join(quoted)) == quoted
