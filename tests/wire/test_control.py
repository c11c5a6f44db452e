"""Control messages and the proof of the token."""

import json
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecheck.wire import control
from edgecheck.wire.errors import Malformed, TooLong, WireError

quick = settings(max_examples=200, deadline=None)

NONCE = "00" * control.NONCE_SIZE
ONE_OF_EACH = (
    control.Hello(protocol=1, version="0.1", nonce=NONCE),
    control.Authenticate(protocol=1, version="0.1", nonce=NONCE, certificate="aa" * 32, proof="bb" * 32),
    control.Welcome(
        session="0102030405060708",
        certificate="aa" * 32,
        proof="bb" * 32,
        intercepted=False,
        observed="192.0.2.1:4711",
        service=control.Service(address="198.51.100.1", alternate="198.51.100.2", media=(10000, 20000), capabilities=("media",)),
    ),
    control.Refused(reason="unknown-token", message="no"),
    control.Prove(id=1, cookie="0102030405060708", address="192.0.2.1"),
    control.Proved(id=1, addresses=("192.0.2.1",)),
    control.Probe(id=2, series=3, address="192.0.2.1", ports=((5060, 5061),), senders=("B1", "A1")),
    control.Probed(id=2, sent=4),
    control.Dial(id=3, series=4, address="192.0.2.1", ports=((5060, 5060),)),
    control.Dialed(id=3, rows=(control.DialRow(port=5060, outcome="refused", attempts=2, elapsed_ms=1.5),)),
    control.Inquire(id=3, series=4, address="192.0.2.1", ports=((5060, 5060),), transport="tls"),
    control.Inquired(
        id=3,
        rows=(
            control.InquiryRow(
                port=5060,
                outcome="answered",
                attempts=1,
                sources=("198.51.100.2:40000",),
                status=200,
                software="a PBX",
                certificate=control.Certificate(subject="CN=a", issuer="CN=b", sha256="aa" * 32),
            ),
        ),
    ),
    control.Push(id=3, series=4, items=(1, 2)),
    control.Pushed(id=3, rows=(control.PushRow(item=1, state="sent"), control.PushRow(item=2, state="reset"))),
    control.OpenMedia(id=4, ports=((10000, 10010),)),
    control.MediaOpened(id=4, ports=()),
    control.CloseMedia(id=5),
    control.Account(id=6, series=3),
    control.Accounted(
        id=6,
        series=3,
        sent=(control.SentRow(sender="B1", ports=((5060, 5060),), copies=2),),
        received=(control.ReceivedRow(item=1, listener="A1", source="192.0.2.1:5060", copies=1, answered=1, first_ms=0.5),),
        media=control.MediaRow(
            received=((1, 2),), remapped=((1, "192.0.2.1:9"),), remapped_ports=((1, 1),), sources=("192.0.2.1",), answered=2
        ),
        errors=(control.ErrorRow(port=5060, sender="B1", icmp_type=3, icmp_code=3, offender="192.0.2.1"),),
    ),
    control.Mirror(id=7),
    control.Mirrored(
        id=7,
        records=(
            control.MirrorRecord(
                at_ms=1.0, direction="received", transport="udp", server_port=5060, peer="192.0.2.1:5060", data=bytes(range(256))
            ),
        ),
    ),
    control.Call(id=8, series=3, registered=2, methods=("OPTIONS", "INVITE"), items=(8, 9, 0)),
    control.Called(id=8, sent=3, controls=1),
    control.Share(id=30, report=b"\x78\x9c"),
    control.Shared(id=30, number=12),
    control.Ping(id=8),
    control.Pong(id=8, at_ms=12.5),
    control.Declined(id=9, reason="limit", message="too many"),
)


def test_each_kind_of_message_is_tried():
    assert {type(message) for message in ONE_OF_EACH} == set(get_args(control.Message))


@pytest.mark.parametrize("message", ONE_OF_EACH, ids=lambda message: type(message).__name__)
def test_round_trip(message):
    text = control.serialize(message)
    assert control.parse(text) == message
    assert control.parse(text.encode()) == message


@pytest.mark.parametrize("message", ONE_OF_EACH, ids=lambda message: type(message).__name__)
def test_every_proper_prefix_is_malformed(message):
    """A frame of a WebSocket is whole or is not there: a message cut short is a broken one."""
    text = control.serialize(message)
    for size in range(len(text)):
        with pytest.raises(Malformed):
            control.parse(text[:size])
    with pytest.raises(Malformed):
        control.parse(text + "x")


def test_the_mirror_is_encoded_so_that_no_alg_recognizes_it():
    record = control.MirrorRecord(
        at_ms=0, direction="sent", transport="tcp", server_port=5060, peer="192.0.2.1:1", data=b"Contact: <sip:a@10.0.0.2>\r\n"
    )
    text = control.serialize(control.Mirrored(id=1, records=(record,)))
    assert "Contact" not in text
    assert "10.0.0.2" not in text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        "hello",
        '{"type":"nobody"}',
        '{"type":"ping"}',
        '{"type":"ping","id":"1"}',
        '{"type":"ping","id":1.5}',
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"type":"refused","reason":"mood","message":""}',
        '{"type":"mirrored","id":1,"records":[{"data":"!"}]}',
        b"\xff\xfe",
        '{"type":"ping","id":1}{}',
        "\ud800",
        '{"type":"prove","id":1,"cookie":"\\ud800","address":""}',
    ],
)
def test_malformed(text):
    with pytest.raises(Malformed):
        control.parse(text)


def test_too_long():
    with pytest.raises(TooLong):
        control.parse(" " * (control.MAX_MESSAGE + 1))


def test_a_later_version_may_add_fields():
    assert control.parse('{"type":"ping","id":1,"mood":"good"}') == control.Ping(id=1)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@quick
@given(st.sampled_from(ONE_OF_EACH), st.data())
def test_any_value_in_any_field(message, data):
    fields = json.loads(control.serialize(message))
    fields[data.draw(st.sampled_from(sorted(fields)))] = data.draw(json_values)
    value_or_wire_error(json.dumps(fields))


def value_or_wire_error(text: str | bytes) -> None:
    try:
        message = control.parse(text)
    except WireError:
        return
    assert control.parse(control.serialize(message)) == message


@quick
@given(st.one_of(st.binary(max_size=60), st.text(max_size=60)))
def test_any_bytes(data):
    value_or_wire_error(data)


# --- The proof -----------------------------------------------------------------------------------------------------------------------


def test_the_proof_covers_everything_it_should():
    arguments = {"token": "t", "side": "client", "server_nonce": "00", "client_nonce": "11", "certificate": "aa"}
    proof = control.proof(**arguments)
    assert control.proves(**arguments, claimed=proof)
    for name, other in (("token", "u"), ("side", "server"), ("server_nonce", "01"), ("client_nonce", "10"), ("certificate", "ab")):
        assert not control.proves(**{**arguments, name: other}, claimed=proof)


def test_the_proof_is_hmac_sha_256():
    """Computed with: printf 'edgecheck\\n1\\nclient\\n00\\n11\\naa' | openssl dgst -sha256 -hmac t"""
    assert control.proof("t", "client", "00", "11", "aa") == "1b43281c631ff635e321ddcd8045cb41c6d090a3306729a99b0f2572a7c7b46e"


@pytest.mark.parametrize("claimed", ["", "x", "é", "0" * 63, "A" * 64])
def test_a_claim_that_is_no_proof_is_simply_wrong(claimed):
    assert control.proves("t", "client", "00", "11", "aa", claimed) is False


def test_a_token_that_is_not_utf8_is_as_good_as_any():
    token = b"caf\xe9".decode(errors="surrogateescape")
    assert control.proves(token, "client", "00", "11", "aa", control.proof(token, "client", "00", "11", "aa"))


def test_fields_cannot_be_shifted_into_each_other():
    assert control.proof("t", "client", "0011", "", "aa") != control.proof("t", "client", "00", "11", "aa")


def test_fingerprint():
    """FIPS 180-2 appendix B.1: SHA-256 of abc."""
    assert control.fingerprint(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


# --- Names ---------------------------------------------------------------------------------------------------------------------------


def test_names_of_a_session():
    session = bytes.fromhex("0102030405060708")
    assert control.stun_transaction_id(session, 0x0A0B, 0x0C0D) == bytes.fromhex("0102030405060708 0a0b 0c0d")
    marker = control.sip_marker(session, 0x0A0B, 0x0C0D)
    match = control.SIP_MARKER.search(b"Call-ID: x" + marker.encode() + b"@10.0.0.2")
    assert match.groups() == (b"0102030405060708", b"0a0b", b"0c0d")


@pytest.mark.parametrize("text", ["", "0", "010", "0102", "010203 ", "0A0b0c", "zzzzzz", "01020\n", "0102٠3"])
def test_hexadecimal_of_the_wrong_form(text):
    with pytest.raises(Malformed):
        control.parse_hex(text, 3)


@quick
@given(st.binary(max_size=20))
def test_hexadecimal_round_trip(data):
    assert control.parse_hex(data.hex(), len(data)) == data


def test_every_field_is_serializable_by_name():
    """The protocol is documented from the code: a message is an object with its type."""
    for message in ONE_OF_EACH:
        assert msgspec.to_builtins(message)["type"] == json.loads(control.serialize(message))["type"]
