"""The probe datagram: 28 bytes, each in its place."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgecheck.wire import probe, stun
from edgecheck.wire.errors import Malformed, Truncated, WireError
from edgecheck.wire.probe import Kind, Probe

quick = settings(max_examples=200, deadline=None)

GOLDEN = bytes.fromhex("ed45434b 02 03 0405 5365737369 6f6e2e 2710 0d96 0102030405060708")
GOLDEN_PROBE = Probe(Kind.CLAIMED, b"Session.", series=0x0405, item=10_000, copy=3, port=3478, cookie=bytes(range(1, 9)))


def test_every_field_has_its_place():
    assert len(GOLDEN) == probe.SIZE
    assert probe.parse(GOLDEN) == GOLDEN_PROBE
    assert probe.serialize(GOLDEN_PROBE) == GOLDEN


def test_padding_is_of_zeros_and_is_ignored():
    padded = probe.serialize(GOLDEN_PROBE, 172)
    assert padded == GOLDEN + bytes(144)
    assert probe.parse(padded) == probe.parse(GOLDEN + b"anything") == GOLDEN_PROBE


def test_a_probe_at_an_offset():
    assert probe.parse(bytes(12) + GOLDEN, 12) == GOLDEN_PROBE
    with pytest.raises(Truncated):
        probe.parse(bytes(12) + GOLDEN[:-1], 12)


@pytest.mark.parametrize("size", range(probe.SIZE))
def test_every_proper_prefix_is_truncated(size):
    with pytest.raises(Truncated):
        probe.parse(GOLDEN[:size])


@pytest.mark.parametrize(
    "data",
    [b"x", b"\xedECX", b"\xee" + GOLDEN[1:], GOLDEN[:4] + b"\0" + GOLDEN[5:], GOLDEN[:4] + b"\x07" + GOLDEN[5:], bytes(28), b"x" * 28],
)
def test_malformed(data):
    with pytest.raises(Malformed):
        probe.parse(data)


def test_it_is_neither_stun_nor_rtp_nor_sip():
    """RFC 7983: STUN begins with 0 to 3, RTP with 128 to 191; SIP with a letter."""
    assert probe.MAGIC[0] > 191
    assert not stun.is_stun(GOLDEN)


@pytest.mark.parametrize(
    "change",
    [
        {"series": 65536},
        {"item": -1},
        {"item": 65536},
        {"port": 65536},
        {"copy": 256},
        {"session": b"short"},
        {"session": bytes(9)},
        {"cookie": bytes(7)},
    ],
)
def test_a_field_out_of_its_range_is_refused(change):
    with pytest.raises(Malformed):
        probe.serialize(GOLDEN_PROBE._replace(**change))


eight = st.binary(min_size=8, max_size=8)
sixteen_bits = st.integers(0, 65535)
probes = st.builds(Probe, st.sampled_from(Kind), eight, sixteen_bits, sixteen_bits, st.integers(0, 255), sixteen_bits, eight)


@quick
@given(probes, st.integers(0, 200))
def test_round_trip(value, size):
    data = probe.serialize(value, size)
    assert len(data) == max(size, probe.SIZE)
    assert probe.parse(data) == value


@quick
@given(st.one_of(st.binary(max_size=60), st.binary(max_size=40).map(lambda rest: probe.MAGIC + rest)), st.integers(0, 20))
@example(b"", 12)
def test_any_bytes(data, offset):
    try:
        value = probe.parse(data, offset)
    except WireError:
        return
    assert probe.serialize(value) == data[offset : offset + probe.SIZE]
