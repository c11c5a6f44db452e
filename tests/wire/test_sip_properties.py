"""SIP, for any bytes: a message that keeps them or a WireError, and every question has an answer."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgecheck.wire import sip
from edgecheck.wire.errors import Truncated, WireError

quick = settings(max_examples=200, deadline=None)


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
