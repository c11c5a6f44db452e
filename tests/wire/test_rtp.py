"""RTP: the header of RFC 3550 to the byte, properties over any bytes, and aiortc as a second opinion."""

import pytest
from aiortc.rtp import RtpPacket
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgecheck.wire import probe, rtp
from edgecheck.wire.errors import Malformed, TooLong, Truncated, WireError
from edgecheck.wire.rtp import Packet

quick = settings(max_examples=200, deadline=None)

# Written out by hand after RFC 3550 section 5.1 and 5.3.1: V=2, P, X, CC=2, M, PT 96.
FULL = bytes.fromhex(
    "b2e01234 00015f90 cafebabe"  # fixed header
    "00000001 fffffffe"  # contributing sources
    "bede0002 10203040 50607080"  # extension: profile, 2 words
    "70617965"  # payload
    "00000004"  # padding
)
FULL_PACKET = Packet(
    payload_type=96,
    sequence=0x1234,
    timestamp=90_000,
    ssrc=0xCAFEBABE,
    payload=b"paye",
    marker=True,
    csrc=(1, 0xFFFFFFFE),
    extension=(0xBEDE, bytes.fromhex("1020304050607080")),
    padding=4,
)
HEAD_OF_FULL = 12 + 8 + 12
MINIMAL = bytes.fromhex("80000000 00000000 00000000")


def test_every_field_has_its_place():
    assert rtp.parse(FULL) == FULL_PACKET
    assert rtp.serialize(FULL_PACKET) == FULL
    assert rtp.parse(MINIMAL) == Packet(0, 0, 0, 0, b"")
    assert rtp.serialize(Packet(0, 0, 0, 0, b"")) == MINIMAL


def test_an_empty_extension_is_not_none():
    data = bytes.fromhex("90000000 00000000 00000000 abcd0000")
    assert rtp.parse(data).extension == (0xABCD, b"")
    assert rtp.serialize(rtp.parse(data)) == data


def test_padding_may_be_all_there_is():
    assert rtp.parse(b"\xa0" + MINIMAL[1:] + b"\0\0\3") == Packet(0, 0, 0, 0, b"", padding=3)


@pytest.mark.parametrize("size", range(HEAD_OF_FULL))
def test_a_header_that_ends_early_is_truncated(size):
    """Beyond the header a prefix is a shorter packet: RTP has no length field."""
    with pytest.raises(Truncated):
        rtp.parse(FULL[:size])


@pytest.mark.parametrize(
    "data",
    [
        b"\x00" * 12,  # version 0: STUN, or RTP's ancestor
        b"\x40" * 12,
        b"\xc0" * 12,
        b"\x00",
        b"\xed",  # our own probe
        b"REGISTER sip:a SIP/2.0",
        b"\xa0" + MINIMAL[1:],  # padding, and no byte to count it
        b"\xa0" + MINIMAL[1:] + b"\0",  # zero bytes of padding
        b"\xa0" + MINIMAL[1:] + b"xx\4",  # more padding than packet
        FULL[:HEAD_OF_FULL] + b"\xff",
    ],
)
def test_malformed(data):
    with pytest.raises(Malformed):
        rtp.parse(data)


@pytest.mark.parametrize(
    "change",
    [
        {"payload_type": 128},
        {"payload_type": -1},
        {"sequence": 65536},
        {"sequence": -1},
        {"timestamp": 2**32},
        {"ssrc": 2**32},
        {"ssrc": 1.5},
        {"csrc": (2**32,)},
        {"padding": 256},
        {"extension": (65536, b"")},
        {"extension": (0, b"abc")},
    ],
)
def test_a_field_out_of_its_range_is_refused(change):
    with pytest.raises(Malformed):
        rtp.serialize(FULL_PACKET._replace(**change))


@pytest.mark.parametrize("change", [{"csrc": (0,) * 16}, {"extension": (0, bytes(rtp.MAX_EXTENSION + 4))}])
def test_too_long(change):
    with pytest.raises(TooLong):
        rtp.serialize(FULL_PACKET._replace(**change))


# --- The packet that tests a port ------------------------------------------------------------------------------------------------


def test_the_tone_is_one_kilohertz():
    """Decoded by the rule of G.711, not by the table it was copied from: a sine of 8 samples at 0 dBm0, 3.17 dB under overload (8159)."""
    samples = []
    for byte in rtp.TONE:
        code = byte ^ 0xFF
        magnitude = (((code & 0x0F) * 2 + 33) << (code >> 4 & 7)) - 33
        samples.append(-magnitude if code & 0x80 else magnitude)
    assert len(samples) == 160
    assert samples[:8] * 20 == samples
    period = samples[:8]
    assert [-sample for sample in period[4:]] == period[:4]
    power = sum(sample * sample for sample in period) / 8
    assert 10**-0.3175 < power / (8159 * 8159 / 2) < 10**-0.3165


def test_a_probe_packet_is_20_ms_of_audio_with_a_probe_in_front():
    question = probe.Probe(probe.Kind.ECHO, b"sessions", 7, 10_000, port=10_000)
    packet = rtp.probe_packet(probe.serialize(question), 5, 160, 0x01020304)
    assert len(packet) == 172
    assert packet[:12] == bytes.fromhex("80000005 000000a0 01020304")
    assert probe.parse(packet, rtp.PROBE_OFFSET) == question
    parsed = rtp.parse(packet)
    assert parsed.payload_type == rtp.PCMU
    assert parsed.payload[probe.SIZE :] == rtp.TONE[probe.SIZE :]


def test_a_probe_longer_than_the_audio_is_refused():
    assert len(rtp.probe_packet(bytes(160), 0, 0, 0)) == 172
    with pytest.raises(TooLong):
        rtp.probe_packet(bytes(161), 0, 0, 0)


# --- Properties ------------------------------------------------------------------------------------------------------------------

words32 = st.integers(0, 2**32 - 1)
packets = st.builds(
    Packet,
    payload_type=st.integers(0, 127),
    sequence=st.integers(0, 65535),
    timestamp=words32,
    ssrc=words32,
    payload=st.binary(max_size=40),
    marker=st.booleans(),
    csrc=st.lists(words32, max_size=15).map(tuple),
    extension=st.none() | st.tuples(st.integers(0, 65535), st.lists(st.binary(min_size=4, max_size=4), max_size=4).map(b"".join)),
    padding=st.integers(0, 255),
)


@quick
@given(packets)
def test_round_trip(packet):
    assert rtp.parse(rtp.serialize(packet)) == packet


@quick
@given(packets)
def test_every_prefix_of_the_header_is_truncated(packet):
    head = 12 + 4 * len(packet.csrc) + (0 if packet.extension is None else 4 + len(packet.extension[1]))
    data = rtp.serialize(packet)
    assert len(data) == head + len(packet.payload) + packet.padding
    for size in range(head):
        with pytest.raises(Truncated):
            rtp.parse(data[:size])


@quick
@given(packets.map(lambda packet: packet._replace(padding=0)), st.binary(min_size=1, max_size=9))
def test_trailing_data_is_payload(packet, more):
    assert rtp.parse(rtp.serialize(packet) + more) == packet._replace(payload=packet.payload + more)


def value_or_wire_error(data: bytes) -> None:
    try:
        packet = rtp.parse(data)
    except WireError:
        return
    again = rtp.serialize(packet)
    assert rtp.parse(again) == packet
    # Byte for byte the same, except that padding may have held anything.
    assert len(again) == len(data)
    body = len(data) - packet.padding
    assert again[:body] == data[:body]


@quick
@given(st.binary(max_size=100))
@example(b"")
def test_any_bytes(data):
    value_or_wire_error(data)


@quick
@given(st.integers(0x80, 0xBF), st.binary(max_size=100))
def test_any_bytes_of_version_2(first, rest):
    value_or_wire_error(bytes((first,)) + rest)


# --- aiortc as an oracle ------------------------------------------------------------------------------------------------------------


@quick
@given(packets)
def test_aiortc_reads_what_we_write(packet):
    if packet.extension is not None:
        # aiortc looks into the extension; one of a profile that it does not know it leaves alone.
        packet = packet._replace(extension=(0x1234, packet.extension[1]))
    theirs = RtpPacket.parse(rtp.serialize(packet))
    assert (theirs.payload_type, theirs.sequence_number, theirs.timestamp, theirs.ssrc) == packet[:4]
    assert theirs.payload == packet.payload
    assert (bool(theirs.marker), tuple(theirs.csrc), theirs.padding_size) == (packet.marker, packet.csrc, packet.padding)


@quick
@given(packets)
def test_we_read_what_aiortc_writes(packet):
    theirs = RtpPacket(packet.payload_type, int(packet.marker), packet.sequence, packet.timestamp, packet.ssrc, packet.payload)
    theirs.csrc = list(packet.csrc)
    theirs.padding_size = packet.padding
    assert rtp.parse(theirs.serialize()) == packet._replace(extension=None)
    value_or_wire_error(theirs.serialize())
