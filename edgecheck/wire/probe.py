"""The probe datagram: our own 28 bytes, bare or inside a real RTP packet.

Layout, network byte order (offset: size)::

    0: 4  magic ED 45 43 4B   the first two bits are 11, so it is neither STUN (00) nor RTP (10), nor SIP text
    4: 1  kind                ``Kind``
    5: 1  copy                0, 1, 2...: which copy of the same probe
    6: 2  series              chosen by the client; one question put on the wire
    8: 8  session             given by the server in ``Welcome``; unguessable off the path
   16: 2  item               what the series counts: mostly the port aimed at
   18: 2  port                the sender's own port as it knows it (server: the port it sends from)
   20: 8  cookie              ``CLAIMED``: to be returned over the control channel; else zero

Anything after byte 28 is padding: an answer is never longer than what it answers.
"""

from enum import IntEnum
from struct import Struct
from struct import error as StructError
from typing import NamedTuple

from edgecheck.wire.errors import Malformed, Truncated

MAGIC = b"\xedECK"
SIZE = 28
_LAYOUT = Struct("!4sBBH8sHH8s")


class Kind(IntEnum):
    """Who sends the probe, and what it wants."""

    CLAIM = 1
    """Client to server: is this address mine? Answered with ``CLAIMED``."""
    CLAIMED = 2
    """Server to client, to the claim's source: a cookie that proves, returned over the control channel, that we live there."""
    PROBE = 3
    """Server to client: sent because the control channel asked for it."""
    ECHO = 4
    """Client to server: send this back, same size. The non-SIP control datagram; the payload of an outbound RTP packet."""
    ECHOED = 5
    """Server to client: the answer to ``ECHO``."""
    HAIRPIN = 6
    """Client to its own mapped address (RFC 4787 section 6)."""


class Probe(NamedTuple):
    """One probe; see the module's layout."""

    kind: Kind
    session: bytes
    """8 bytes."""
    series: int
    """0 to 65535."""
    item: int
    """0 to 65535."""
    copy: int = 0
    """0 to 255."""
    port: int = 0
    """0 to 65535."""
    cookie: bytes = bytes(8)
    """8 bytes."""


def serialize(probe: Probe, size: int = SIZE) -> bytes:
    """The probe, padded with zeros to ``size`` bytes. Raises ``Malformed`` for a field out of its range."""
    kind, session, series, item, copy, port, cookie = probe
    # ``struct`` would cut or fill a name of another length, and the probe would be accounted to nobody.
    if len(session) != 8 or len(cookie) != 8:
        raise Malformed("a probe's session and cookie have 8 bytes each")
    try:
        return _LAYOUT.pack(MAGIC, kind, copy, series, session, item, port, cookie).ljust(size, b"\0")
    except StructError as error:
        raise Malformed(f"a probe's field is out of its range: {error}") from error


def parse(data: bytes, offset: int = 0) -> Probe:
    """Read a probe at ``offset`` (12 in an RTP packet without extensions). Raises ``Truncated``, ``Malformed``."""
    if len(data) - offset < SIZE:
        if MAGIC.startswith(data[offset : offset + 4]) or data[offset : offset + 4] == MAGIC:
            raise Truncated(f"a probe has {SIZE} bytes, these are {len(data) - offset}")
        raise Malformed("not a probe")
    magic, kind, copy, series, session, item, port, cookie = _LAYOUT.unpack_from(data, offset)
    if magic != MAGIC:
        raise Malformed("not a probe")
    try:
        return Probe(Kind(kind), session, series, item, copy, port, cookie)
    except ValueError as error:
        raise Malformed(f"probe kind {kind} is unknown") from error
