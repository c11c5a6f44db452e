"""Framers: the same messages however the stream was cut, nothing held without bound, and a broken stream says so."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecheck.wire import sip, stun
from edgecheck.wire.errors import Malformed, TooLong, WireError
from edgecheck.wire.framing import SipFramer, StunFramer

quick = settings(max_examples=200, deadline=None)

STUN_MESSAGES = (
    stun.binding_request(b"twelve bytes"),
    stun.binding_request(b"another one!", stun.change_request(True, False)),
    stun.binding_request(b"with padding", stun.Attribute(stun.SOFTWARE, "odd")),
    stun.binding_request(b"a long one..", stun.Attribute(stun.PADDING, bytes(1500))),
)
SIP_MESSAGES = (
    sip.build("OPTIONS sip:a@b SIP/2.0", [("Via", "SIP/2.0/TCP h;branch=z9hG4bK1")]),
    sip.build("INVITE sip:a@b SIP/2.0", [("Contact", "<sip:a@10.0.0.2>")], b"v=0\r\n\r\nc=IN IP4 10.0.0.2\r\n"),
    sip.build("SIP/2.0 200 OK", [("l", "3")], b"\r\n\r"),
    b"SIP/2.0 100 Trying\nl:2\n\n\n\n",
)


def feed_all(framer, pieces):
    """Messages of all pieces together, and what stopped the stream."""
    out = []
    for piece in (*pieces, b""):
        try:
            out += framer.feed(piece)
        except WireError as error:
            return out, error
    return out, None


def cut(stream, sizes):
    pieces, at = [], 0
    for size in sizes:
        pieces.append(stream[at : at + size])
        at += size
    return [*pieces, stream[at:]]


cuts = st.lists(st.integers(0, 400), max_size=12)
cases = [(StunFramer, STUN_MESSAGES), (SipFramer, SIP_MESSAGES)]
both = pytest.mark.parametrize(("framer", "messages"), cases, ids=["stun", "sip"])


@both
def test_whole_messages(framer, messages):
    assert framer().feed(b"".join(messages)) == list(messages)


@both
def test_byte_by_byte(framer, messages):
    whole, one = framer(), framer()
    stream = b"".join(messages)
    assert feed_all(one, [stream[i : i + 1] for i in range(len(stream))]) == (whole.feed(stream), None)
    assert one.pending == whole.pending == 0


@both
@quick
@given(data=st.data())
def test_any_cut_of_any_messages(framer, messages, data):
    chosen = data.draw(st.lists(st.sampled_from(messages), max_size=5))
    stream = b"".join(chosen)
    assert feed_all(framer(), cut(stream, data.draw(cuts))) == (chosen, None)


@both
def test_a_message_comes_out_with_its_last_byte_and_not_before(framer, messages):
    for message in messages:
        one = framer()
        for size, byte in enumerate(message[:-1], 1):
            assert one.feed(bytes((byte,))) == []
            assert one.pending == size
        assert one.remainder == message[:-1]
        assert one.feed(message[-1:]) == [message]
        assert one.pending == 0


@both
def test_the_start_of_the_next_message_is_held(framer, messages):
    one = framer()
    assert one.feed(messages[0] + messages[1][:9]) == [messages[0]]
    assert one.pending == 9
    assert one.feed(messages[1][9:]) == [messages[1]]


@both
def test_no_bytes_are_no_message(framer, messages):
    assert framer().feed(b"") == []


@both
def test_a_broken_stream_gives_what_was_whole_and_then_says_why(framer, messages):
    one = framer()
    garbage = b"\xff\xfe garbage\r\n\r\n"
    assert one.feed(messages[0] + garbage) == [messages[0]]
    assert isinstance(one.broken, Malformed)
    assert one.remainder == garbage
    for piece in (b"", messages[1]):
        with pytest.raises(Malformed):
            one.feed(piece)
    assert one.remainder == garbage  # nothing more is held of a stream that cannot be followed


@both
@quick
@given(data=st.data())
def test_any_bytes(framer, messages, data):
    """A fault is the same fault, at the same place, however the stream was cut."""
    pieces = st.sampled_from([*messages, b"SIP/2.0 200 OK\r\n", b"l: 1\r\n", b"\n\n", b"x", b"\0\1\0\4", stun.COOKIE_BYTES, b"\r\n"])
    stream = b"".join(data.draw(st.lists(st.one_of(pieces, st.binary(max_size=9)), max_size=6)))
    whole, one = framer(), framer()
    found, error = feed_all(whole, [stream])
    found_again, error_again = feed_all(one, [stream[i : i + 1] for i in range(len(stream))])
    assert b"".join(found) == b"".join(found_again)
    assert [item for item in found if item.strip()] == [item for item in found_again if item.strip()]
    assert type(error) is type(error_again)
    assert stream.startswith(b"".join(found) + one.remainder)
    if error is None:
        assert b"".join(found) + whole.remainder == stream
        assert one.remainder == whole.remainder
    for message in found:
        if message.strip():
            if framer is SipFramer:
                assert sip.parse(message).content_length is not None
            else:
                # A framer knows where a STUN message ends, not whether its attributes are right.
                assert stun.message_size(message) == len(message)


# --- STUN ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stream",
    [
        b"\x40\x00\x00\x04" + bytes(4),  # ChannelData
        b"\x00\x01\x00\x00" + bytes(16),  # no cookie: there is no classic STUN over TCP
        b"\x00\x01\x00\x00\x22",  # one byte of a wrong cookie is enough
        b"\x00\x01\x00\x03" + stun.COOKIE_BYTES,
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00\x01",
    ],
)
def test_streams_that_are_not_stun(stream):
    with pytest.raises(Malformed):
        StunFramer().feed(stream)


def test_the_largest_stun_message_is_all_that_is_ever_held():
    framer = StunFramer()
    head = b"\x00\x01\xff\xfc" + stun.COOKIE_BYTES + bytes(12)
    assert framer.feed(head + bytes(stun.MAX_BODY - 1)) == []
    assert [len(message) for message in framer.feed(b"\0")] == [stun.HEADER + stun.MAX_BODY]


# --- SIP -----------------------------------------------------------------------------------------------------------------------------


def test_keep_alives_are_items():
    framer = SipFramer()
    assert framer.feed(sip.PING + SIP_MESSAGES[0] + sip.PING + sip.PONG) == [sip.PING, SIP_MESSAGES[0], sip.PING, sip.PONG]
    assert framer.feed(sip.PONG) == [sip.PONG]
    assert framer.feed(sip.PING + sip.PING) == [sip.PING, sip.PING]


def test_half_a_line_end_is_waited_for():
    framer = SipFramer()
    assert framer.feed(b"\r") == []
    assert framer.feed(b"\n") == [sip.PONG]
    # A ping that is cut is two items wherever it was cut: how a stream was cut must not show.
    assert framer.feed(b"\r\n\r") == [sip.PONG]
    assert framer.feed(b"\n") == [sip.PONG]


@pytest.mark.parametrize(
    "head",
    [
        b"OPTIONS sip:a SIP/2.0\r\nTo: b\r\n\r\n",  # no Content-Length: on a stream nobody can tell where it ends
        b"OPTIONS sip:a SIP/2.0\r\nContent-Length: -1\r\n\r\n",
        b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 1\r\nl: 2\r\n\r\n",
        b"OPTIONS sip:a SIP/2.0\r\nno colon\r\n\r\n",
        b"OPTIONS  sip:a  SIP/2.0\r\n",
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00",
        b"\r\n\x80",
        b"\n" * (sip.MAX_BLANK_LINES + 1),
    ],
)
def test_streams_that_are_not_sip(head):
    framer = SipFramer()
    messages, error = feed_all(framer, [head])
    assert [message for message in messages if message != sip.PONG] == []
    assert isinstance(error, Malformed)


def test_a_peer_cannot_make_us_hold_more_than_a_message():
    with pytest.raises(TooLong):
        SipFramer().feed(b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 65535\r\n\r\n")
    framer = SipFramer()
    start = b"OPTIONS sip:a SIP/2.0\r\nX: "
    assert framer.feed(start + b"a" * (sip.MAX_MESSAGE - len(start))) == []
    with pytest.raises(TooLong):
        framer.feed(b"a")
    with pytest.raises(TooLong):
        SipFramer().feed(b"A" * (sip.MAX_MESSAGE + 1))


def test_a_long_message_in_single_bytes_is_still_read():
    """Were the search for the end of the head begun anew with every byte, this would take minutes."""
    message = sip.build("MESSAGE sip:a@b SIP/2.0", [("Subject", "x\r\n " * 8000)], b"y" * 20_000)
    framer = SipFramer()
    messages, error = feed_all(framer, [message[i : i + 1] for i in range(len(message))])
    assert (messages, error) == ([message], None)
