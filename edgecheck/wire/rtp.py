"""RTP packets (RFC 3550 section 5.1): fixed header, contributing sources, one header extension, padding.

Also the packet by which an RTP port is tested: a real one (version 2, payload type 0, 20 ms of audio), since a middlebox that
inspects media would not let anything else pass, whose first payload bytes are a probe.
"""

import struct
from struct import Struct
from typing import NamedTuple

from edgecheck.wire.errors import Malformed, TooLong, Truncated

VERSION = 2
HEADER = 12
"""Bytes of the fixed header."""
PROBE_OFFSET = HEADER
"""Where the probe stands in a ``probe_packet``."""
MAX_CSRC = 15
"""CC has 4 bits."""
MAX_EXTENSION = 4 * 0xFFFF
"""Bytes: the extension's length field counts 32-bit words in 16 bits."""
PCMU = 0
"""Payload type of G.711 mu-law at 8 kHz (RFC 3551 table 4)."""
TONE = bytes.fromhex("1e0b0b1e9e8b8b9e") * 20
"""20 ms of 1 kHz at 0 dBm0 in mu-law, the *digital milliwatt* of ITU-T G.711 table 6: 160 bytes."""

_HEADER = Struct("!BBHII")
_EXTENSION = Struct("!HH")


class Packet(NamedTuple):
    """One RTP packet."""

    payload_type: int
    """0 to 127."""
    sequence: int
    """0 to 65535."""
    timestamp: int
    """Sampling clock, 32 bits."""
    ssrc: int
    """Synchronization source, 32 bits."""
    payload: bytes
    """Without the padding."""
    marker: bool = False
    csrc: tuple[int, ...] = ()
    """Contributing sources, at most 15."""
    extension: tuple[int, bytes] | None = None
    """(the 16 bits defined by the profile, whole 32-bit words)."""
    padding: int = 0
    """Bytes of padding after the payload, the count byte included; 0 = none, at most 255."""


def parse(data: bytes) -> Packet:
    """Read one packet. Raises ``Truncated`` where the header ends early, ``Malformed`` for another version or impossible padding."""
    if data and data[0] >> 6 != VERSION:
        raise Malformed(f"not RTP: version {data[0] >> 6}")
    if len(data) < HEADER:
        raise Truncated(f"an RTP header has {HEADER} bytes, these are {len(data)}")
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    count = first & 0x0F
    position = HEADER + 4 * count
    if len(data) < position:
        raise Truncated(f"{count} contributing sources end at byte {position}, the packet at {len(data)}")
    csrc = struct.unpack_from(f"!{count}I", data, HEADER)
    extension = None
    if first & 0x10:
        if len(data) < position + 4:
            raise Truncated("the packet ends in the head of its extension")
        profile, words = _EXTENSION.unpack_from(data, position)
        begin, position = position + 4, position + 4 + 4 * words
        if len(data) < position:
            raise Truncated(f"the header extension ends at byte {position}, the packet at {len(data)}")
        extension = (profile, data[begin:position])
    padding = 0
    if first & 0x20:
        room = len(data) - position
        padding = data[-1] if room else 0
        if not 0 < padding <= room:
            raise Malformed(f"padding of {padding} bytes, and only {room} after the header")
    return Packet(second & 0x7F, sequence, timestamp, ssrc, data[position : len(data) - padding], second >= 0x80, csrc, extension, padding)


def serialize(packet: Packet) -> bytes:
    """The bytes of a packet; padding is zeros and the count. Raises ``Malformed`` for a field out of its range, ``TooLong``."""
    payload_type, sequence, timestamp, ssrc, payload, marker, csrc, extension, padding = packet
    if not 0 <= payload_type <= 0x7F or not 0 <= padding <= 0xFF:
        raise Malformed("a payload type has 7 bits, a padding count 8")
    if len(csrc) > MAX_CSRC:
        raise TooLong(f"{len(csrc)} contributing sources; at most {MAX_CSRC}")
    first = VERSION << 6 | (0x20 if padding else 0) | (0x10 if extension is not None else 0) | len(csrc)
    try:
        head = _HEADER.pack(first, payload_type | (0x80 if marker else 0), sequence, timestamp, ssrc) + struct.pack(f"!{len(csrc)}I", *csrc)
        if extension is not None:
            profile, words = extension
            if len(words) % 4:
                raise Malformed(f"a header extension is whole 32-bit words, not {len(words)} bytes")
            if len(words) > MAX_EXTENSION:
                raise TooLong(f"a header extension of {len(words)} bytes; at most {MAX_EXTENSION}")
            head += _EXTENSION.pack(profile, len(words) // 4) + words
    except struct.error as error:
        raise Malformed(f"a field out of its range: {error}") from error
    return head + payload + (bytes(padding - 1) + bytes((padding,)) if padding else b"")


def probe_packet(probe: bytes, sequence: int, timestamp: int, ssrc: int) -> bytes:
    """20 ms of audio, 172 bytes, the first of which are a serialized probe. Raises ``Malformed``, ``TooLong``."""
    if len(probe) > len(TONE):
        raise TooLong(f"a probe of {len(probe)} bytes; at most {len(TONE)} are 20 ms of audio")
    return serialize(Packet(PCMU, sequence, timestamp, ssrc, probe + TONE[len(probe) :]))
