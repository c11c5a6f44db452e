"""STUN: properties over any message and any bytes, and aioice as a second opinion."""

import aioice.stun
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgecheck.wire import stun
from edgecheck.wire.address import Endpoint
from edgecheck.wire.errors import Malformed, Truncated, WireError
from edgecheck.wire.stun import Attribute, Class, Message
from tests.wire.test_stun import TRANSACTION

quick = settings(max_examples=200, deadline=None)

ports = st.integers(0, 65535)
hosts = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).filter(lambda address: address.ipv4_mapped is None).map(str),
)
endpoints = st.builds(Endpoint, hosts, ports)
texts = st.text(max_size=40)
ADDRESS_TYPES = [
    type
    for type, form in stun.ATTRIBUTES.items()
    if form.name.startswith("XOR-") or form.name.endswith(("ADDRESS", "ORIGIN", "FROM", "SERVER"))
]
attributes = st.one_of(
    st.builds(Attribute, st.sampled_from(ADDRESS_TYPES), endpoints),
    st.builds(Attribute, st.just(stun.CHANGE_REQUEST), st.tuples(st.booleans(), st.booleans())),
    st.builds(Attribute, st.sampled_from([stun.USERNAME, stun.REALM, stun.SOFTWARE]), texts),
    st.builds(Attribute, st.just(stun.ERROR_CODE), st.tuples(st.integers(0, 799), texts)),
    st.builds(Attribute, st.just(stun.UNKNOWN_ATTRIBUTES), st.lists(ports, max_size=9).map(tuple)),
    st.builds(Attribute, st.just(stun.RESPONSE_PORT), ports),
    st.builds(Attribute, st.just(stun.FINGERPRINT), st.integers(0, 2**32 - 1)),
    st.builds(Attribute, st.sampled_from([stun.NONCE, stun.PADDING, stun.MESSAGE_INTEGRITY]), st.binary(max_size=40)),
    st.builds(Attribute, ports.filter(lambda type: type not in stun.ATTRIBUTES), st.binary(max_size=40)),
)
messages = st.builds(
    Message,
    st.sampled_from(Class),
    st.integers(0, 0xFFF),
    st.binary(min_size=12, max_size=12),
    st.one_of(st.just(stun.COOKIE_BYTES), st.binary(min_size=4, max_size=4)),
    st.lists(attributes, max_size=6).map(tuple),
)


def test_the_strategies_cover_the_whole_table():
    others = {stun.CHANGE_REQUEST, stun.USERNAME, stun.REALM, stun.SOFTWARE, stun.ERROR_CODE, stun.UNKNOWN_ATTRIBUTES}
    others |= {stun.RESPONSE_PORT, stun.FINGERPRINT, stun.NONCE, stun.PADDING, stun.MESSAGE_INTEGRITY}
    assert others | set(ADDRESS_TYPES) == set(stun.ATTRIBUTES)


@quick
@given(messages)
def test_round_trip(message):
    data = stun.serialize(message)
    assert stun.parse(data) == message
    assert stun.is_stun(data)
    assert stun.message_size(data) == len(data)


@quick
@given(messages)
def test_every_proper_prefix_is_truncated_and_trailing_data_malformed(message):
    data = stun.serialize(message)
    for size in range(len(data)):
        with pytest.raises(Truncated):
            stun.parse(data[:size])
        assert not stun.is_stun(data[:size])
    with pytest.raises(Malformed):
        stun.parse(data + b"\0")


@quick
@given(messages)
def test_fingerprint_round_trip(message):
    data = stun.with_fingerprint(stun.serialize(message))
    assert stun.fingerprint_matches(data) is True
    parsed = stun.parse(data)
    assert parsed.attributes[:-1] == message.attributes
    assert parsed.attributes[-1].type == stun.FINGERPRINT


def value_or_wire_error(data: bytes) -> None:
    """And a value can be asked for everything, and written again."""
    stun.is_stun(data)
    stun.fingerprint_matches(data)
    try:
        message = stun.parse(data)
    except WireError:
        return
    assert stun.parse(stun.serialize(message)) == message
    assert message.mapped is None or message.mapped.family in (4, 6)
    assert (message.error is None) == (message.get(stun.ERROR_CODE) is None)
    assert message.classic == (data[4:8] != stun.COOKIE_BYTES)
    assert all(type < 0x8000 for type in message.not_understood)


@quick
@given(st.binary(max_size=80))
@example(b"")
@example(bytes(20))
def test_any_bytes(data):
    value_or_wire_error(data)


@quick
@given(st.binary(max_size=120), st.booleans(), st.integers(0, 0x3FFF))
def test_any_attributes_behind_a_right_header(body, new, number):
    value_or_wire_error(
        number.to_bytes(2, "big") + len(body).to_bytes(2, "big") + (stun.COOKIE_BYTES if new else b"1234") + TRANSACTION + body
    )


@quick
@given(messages, st.data())
def test_any_change_of_a_valid_message(message, data):
    """Reaches far deeper into the parser than random bytes do."""
    wire = bytearray(stun.serialize(message))
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    value_or_wire_error(bytes(wire))


# --- aioice as an oracle ------------------------------------------------------------------------------------------------------------

SHARED_ADDRESSES = {
    name: type for type, (name, *_) in stun.ATTRIBUTES.items() if name in aioice.stun.ATTRIBUTES_BY_NAME and type in ADDRESS_TYPES
}
SHARED_TEXTS = {"USERNAME": stun.USERNAME, "REALM": stun.REALM, "SOFTWARE": stun.SOFTWARE}
shared = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(SHARED_ADDRESSES, endpoints),
        **dict.fromkeys(SHARED_TEXTS, texts),
        "ERROR-CODE": st.tuples(st.integers(300, 699), texts),
        "NONCE": st.binary(max_size=40),
        "CHANGE-REQUEST": st.tuples(st.booleans(), st.booleans()),
    },
)
TYPES = {form.name: type for type, form in stun.ATTRIBUTES.items()}
CLASSES = {
    Class.REQUEST: aioice.stun.Class.REQUEST,
    Class.INDICATION: aioice.stun.Class.INDICATION,
    Class.SUCCESS: aioice.stun.Class.RESPONSE,
    Class.ERROR: aioice.stun.Class.ERROR,
}


def as_theirs(name, value):
    """aioice has addresses as plain tuples and CHANGE-REQUEST as a number."""
    if name == "CHANGE-REQUEST":
        return 4 * value[0] + 2 * value[1]
    return tuple(value) if name in SHARED_ADDRESSES else value


def test_the_oracle_shares_what_matters():
    assert {"MAPPED-ADDRESS", "XOR-MAPPED-ADDRESS", "SOURCE-ADDRESS", "CHANGED-ADDRESS", "OTHER-ADDRESS", "RESPONSE-ORIGIN"} == set(
        SHARED_ADDRESSES
    )


@quick
@given(shared, st.sampled_from(Class), st.sampled_from(aioice.stun.Method), st.binary(min_size=12, max_size=12))
def test_we_write_what_aioice_writes_and_read_what_it_reads(values, message_class, method, transaction_id):
    theirs = aioice.stun.Message(
        method, CLASSES[message_class], transaction_id, {name: as_theirs(name, value) for name, value in values.items()}
    )
    theirs.add_fingerprint()
    ours = Message(message_class, method, transaction_id, attributes=tuple(Attribute(TYPES[name], value) for name, value in values.items()))
    wire = bytes(theirs)
    assert stun.with_fingerprint(stun.serialize(ours)) == wire
    assert stun.parse(wire).attributes[:-1] == ours.attributes
    read = aioice.stun.parse_message(stun.with_fingerprint(stun.serialize(ours)))
    assert (read.message_class, read.message_method, read.transaction_id) == (CLASSES[message_class], method, transaction_id)
    assert {name: read.attributes[name] for name in values} == {name: as_theirs(name, value) for name, value in values.items()}
