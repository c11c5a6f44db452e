"""What the server says is believed only as far as it can be true."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgecheck.net.control import plausible
from edgecheck.wire import control
from edgecheck.wire.errors import Malformed, WireError

WHOLE = ((1, 65_535),)


def accounted(**fields: Any) -> control.Accounted:
    return control.Accounted(id=1, series=1, **fields)


def media(**fields: Any) -> control.Accounted:
    row = {"received": (), "remapped": (), "remapped_ports": (), "sources": (), "answered": 0} | fields
    return accounted(media=control.MediaRow(**row))


def received(source: str) -> control.Accounted:
    return accounted(received=(control.ReceivedRow(item=1, listener="A1", source=source, copies=1, answered=1, first_ms=0.0),))


def error(port: int) -> control.Accounted:
    return accounted(errors=(control.ErrorRow(port=port, sender="BX", icmp_type=3, icmp_code=3, offender="192.0.2.1"),))


def dialed(port: int) -> control.Dialed:
    return control.Dialed(id=1, rows=(control.DialRow(port=port, outcome="silent", attempts=4, elapsed_ms=900.0),))


def sent(*ranges: tuple[int, int]) -> control.Accounted:
    return accounted(sent=(control.SentRow(sender="BX", ports=ranges, copies=1),))


@pytest.mark.parametrize(
    "reply",
    [
        control.Pong(id=1, at_ms=0.0),
        control.MediaOpened(id=1, ports=()),
        control.MediaOpened(id=1, ports=WHOLE),
        sent(*WHOLE),
        received("192.0.2.1:5060"),
        received("[2001:db8::1]:5060"),
        error(5060),
        dialed(65_535),
        media(received=WHOLE, remapped=((5060, "192.0.2.1:1024"),), remapped_ports=((5060, 5060),)),
        accounted(reached_by_others=WHOLE),
    ],
)
def test_what_can_be_is_believed(reply: control.Reply) -> None:
    plausible.check_reply(reply)


@pytest.mark.parametrize(
    "reply",
    [
        control.MediaOpened(id=1, ports=((1, 10**12),)),
        control.MediaOpened(id=1, ports=((20, 10),)),
        control.MediaOpened(id=1, ports=((-1, 10),)),
        control.MediaOpened(id=1, ports=WHOLE * 2),
        control.MediaOpened(id=1, ports=((7, 7),) * 100_000),
        sent((0, 65_536)),
        received("somewhere"),
        received("192.0.2.1:99999"),
        error(-1),
        dialed(65_536),
        media(received=((1, 10**12),)),
        media(remapped_ports=((1, 10**12),)),
        media(remapped=((10**12, "192.0.2.1:1"),)),
        accounted(reached_by_others=((1, 10**12),)),
    ],
)
def test_what_cannot_be_is_not(reply: control.Reply) -> None:
    with pytest.raises(Malformed):
        plausible.check_reply(reply)


def test_limits() -> None:
    plausible.check_limits(control.Limits())
    for name in msgspec.structs.asdict(control.Limits()):
        with pytest.raises(Malformed, match=name):
            plausible.check_limits(control.Limits(**{name: -1}))
    plausible.check_limits(control.Limits(media_ports=0))  # a server short of descriptors
    with pytest.raises(Malformed, match="pace"):
        plausible.check_limits(control.Limits(pace=0))


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('{"type":"weather"}', True),
        ('{"type":"weather","id":7,"x":[1,2]}', True),
        ('{"type":"pong"}', False),
        ('{"type":5}', False),
        ("{}", False),
        ("[]", False),
        ("noise", False),
        ("", False),
        ("[" * 100_000, False),
        (b"\xff\xfe", False),
    ],
)
def test_what_only_a_newer_server_says(text: str | bytes, answer: bool) -> None:
    assert plausible.unknown(text) is answer


LEAVES = st.none() | st.booleans() | st.integers(-(10**13), 10**13) | st.sampled_from(["", "192.0.2.1:5060", "BX", "silent"])
ROWS = st.lists(LEAVES, max_size=3) | st.dictionaries(st.sampled_from(["ports", "port", "received", "source"]), LEAVES, max_size=3)
VALUES = LEAVES | st.lists(ROWS, max_size=3) | ROWS
FIELDS = ["id", "series", "ports", "rows", "sent", "received", "media", "errors"]
TAGS = sorted(str(tag) for tag in plausible._TAGS)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tag=st.sampled_from(TAGS), fields=st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4))
def test_whatever_a_server_says_is_a_value_or_a_wire_error(tag: str, fields: dict[str, Any]) -> None:
    text = json.dumps({"type": tag, **fields})
    try:
        message = control.parse(text)
        plausible.check_reply(message)
    except WireError:
        plausible.unknown(text)
