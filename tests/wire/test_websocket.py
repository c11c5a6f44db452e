"""WebSocket as a SIP client needs it, held against RFC 6455's own examples. aiohttp reads our frames in ``tests/net/phone/test_phone``."""

import random

import pytest

from edgecheck.wire import websocket
from edgecheck.wire.errors import Malformed, TooLong, Truncated

KEY = bytes.fromhex("74686520 73616d70 6c65206e 6f6e6365".replace(" ", ""))  # "the sample nonce", RFC 6455 section 1.3
UPGRADED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: sip\r\n\r\n"
)


def test_the_key_and_its_proof_are_those_of_the_rfc() -> None:
    assert b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" in websocket.upgrade_request("example.com", "/ws", KEY)
    answer = websocket.parse_upgrade(UPGRADED + b"\x81\x00", KEY)
    assert answer == (101, "Switching Protocols", True, "sip", len(UPGRADED))


def test_another_proof_is_no_websocket() -> None:
    assert not websocket.parse_upgrade(UPGRADED, b"\x00" * 16).accepted
    assert not websocket.parse_upgrade(b"HTTP/1.1 404 Not Found\r\n\r\n", KEY).accepted


def test_every_prefix_of_an_upgrade_is_truncated() -> None:
    for size in range(len(UPGRADED)):
        with pytest.raises(Truncated):
            websocket.parse_upgrade(UPGRADED[:size], KEY)


@pytest.mark.parametrize("data", [b"SIP/2.0 400 Bad Request\r\n\r\n", b"SSH-2.0-x", b"HTTP/1.1 abc\r\n\r\n"])
def test_what_is_no_http_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        websocket.parse_upgrade(data, KEY)


def test_an_endless_head_is_too_long() -> None:
    with pytest.raises(TooLong):
        websocket.parse_upgrade(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 4000, KEY)


def test_the_examples_of_the_rfc() -> None:
    """Section 5.7."""
    assert websocket.serialize(websocket.TEXT, b"Hello", bytes.fromhex("37fa213d")) == bytes.fromhex("818537fa213d7f9f4d5158")
    framer = websocket.Framer()
    assert framer.feed(bytes.fromhex("810548656c6c6f")) == [(websocket.TEXT, b"Hello")]
    assert framer.feed(bytes.fromhex("818537fa213d7f9f4d5158")) == [(websocket.TEXT, b"Hello")]
    assert framer.feed(bytes.fromhex("010348656c")) == []
    assert framer.feed(bytes.fromhex("80026c6f")) == [(websocket.TEXT, b"Hello")]
    assert framer.feed(bytes.fromhex("890548656c6c6f")) == [(websocket.PING, b"Hello")]


def test_how_the_stream_is_cut_makes_no_difference() -> None:
    stream = b"".join(websocket.serialize(websocket.TEXT, b"x" * size, b"abcd") for size in (3, 200, 0, 5))
    whole = websocket.Framer().feed(stream)
    framer = websocket.Framer()
    assert [message for byte in stream for message in framer.feed(bytes([byte]))] == whole
    assert len(whole) == 4


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\xc1\x00", Malformed),
        (b"\x83\x00", Malformed),
        (b"\x09\x00", Malformed),
        (b"\x80\x00", Malformed),
        (b"\x01\x00\x81\x00", Malformed),
        (b"\x81\x7f" + b"\xff" * 8, TooLong),
    ],
)
def test_what_breaks_the_rules(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        websocket.Framer().feed(data)


def test_fragments_cannot_fill_the_memory() -> None:
    framer = websocket.Framer()
    framer.feed(b"\x01\x7e\xff\xff" + b"x" * 65_535)
    with pytest.raises(TooLong):
        framer.feed(b"\x00\x01x")


@pytest.mark.parametrize("seed", range(50))
def test_any_bytes_are_messages_or_an_error(seed: int) -> None:
    chance = random.Random(seed)
    framer = websocket.Framer()
    try:
        for _ in range(20):
            for kind, payload in framer.feed(chance.randbytes(30)):
                assert kind in (websocket.TEXT, websocket.BINARY, websocket.CLOSE, websocket.PING, websocket.PONG)
                assert len(payload) <= websocket.MAX_MESSAGE
    except (Malformed, TooLong):
        pass
