"""SDP as lines: whatever a body holds, its lines put together are the body."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgecheck.wire import sdp
from edgecheck.wire.sdp import Line

quick = settings(max_examples=200, deadline=None)


def test_lines_of_an_offer():
    body = b"v=0\r\no=- 1 1 IN IP4 10.0.0.2\r\ns=-\r\nc=IN IP4 10.0.0.2\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\n"
    lines = sdp.parse(body)
    assert [line.kind for line in lines] == ["v", "o", "s", "c", "t", "m", "a"]
    assert lines[1] == Line("o", "- 1 1 IN IP4 10.0.0.2", b"o=- 1 1 IN IP4 10.0.0.2\r\n")
    assert lines[5].value == "audio 40000 RTP/AVP 0 8"


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b"", ()),
        (b"v=0", (Line("v", "0", b"v=0"),)),
        (b"v=0\n", (Line("v", "0", b"v=0\n"),)),
        (b"v=0\r", (Line("v", "0\r", b"v=0\r"),)),
        (b"v=0\r\r\n", (Line("v", "0\r", b"v=0\r\r\n"),)),
        (b"v=\r\n", (Line("v", "", b"v=\r\n"),)),
        (b"\r\n\n", (Line("", "", b"\r\n"), Line("", "", b"\n"))),
        (b"v =0\r\n", (Line("", "v =0", b"v =0\r\n"),)),
        (b"=0\r\n", (Line("", "=0", b"=0\r\n"),)),
        (b"1=0\r\n", (Line("", "1=0", b"1=0\r\n"),)),
        ("é=0".encode(), (Line("", "é=0", "é=0".encode()),)),
        (b"a=x=y\n", (Line("a", "x=y", b"a=x=y\n"),)),
        (b"s=caf\xe9\r\n", (Line("s", "caf\\xe9", b"s=caf\xe9\r\n"),)),
        (b"v=0\nv=1\n", (Line("v", "0", b"v=0\n"), Line("v", "1", b"v=1\n"))),
    ],
)
def test_lines(body, lines):
    assert sdp.parse(body) == lines


@quick
@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b"v=", b"0", b"=", b"\xff", b" "]), max_size=30).map(b"".join),
    )
)
@example(b"\n" * 50)
def test_any_bytes_are_lines_and_nothing_is_lost(body):
    lines = sdp.parse(body)
    assert sdp.serialize(lines) == body
    assert sdp.parse(sdp.serialize(lines)) == lines
    for line in lines:
        assert line.raw
        assert b"\n" not in line.raw[:-1]
        assert len(line.kind) <= 1
        assert "\n" not in line.value
        line.value.encode()


@quick
@given(
    st.lists(
        st.tuples(
            st.sampled_from("vosctmabk"), st.text(st.characters(blacklist_characters="\r\n", blacklist_categories=("Cs",)), max_size=20)
        ),
        max_size=9,
    )
)
def test_lines_that_were_written_are_read(pairs):
    body = "".join(f"{kind}={value}\r\n" for kind, value in pairs).encode()
    assert [(line.kind, line.value) for line in sdp.parse(body)] == pairs
