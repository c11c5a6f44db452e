"""A report that a client leaves here: unpacked within bounds, and looked at only as far as a list needs it."""

import zlib
from typing import NamedTuple

import msgspec

from edgecheck.wire.control import MOST_SHARED_JSON
from edgecheck.wire.errors import Malformed

_FAMILY = "edgecheck.report/"


class ReportsUnavailable(Exception):
    """The store could not be used; the words say why, and hold no password."""


class _Client(msgspec.Struct):
    gateway: str | None = None
    public_address: str | None = None


class _Head(msgspec.Struct):
    """What a report has in every version; msgspec passes over the rest."""

    schema: str
    started_at: str
    verdict: str
    headline: str
    client: _Client = msgspec.field(default_factory=_Client)


class SharedReport(NamedTuple):
    """One report and its line in a list."""

    started_at: str
    verdict: str
    headline: str
    gateway: str
    public_address: str
    source: str
    """IP address from which it came."""
    packed: bytes
    """zlib over JSON, as it came."""


def read(packed: bytes, source: str) -> SharedReport:
    """Look into a packed report. Raises ``Malformed``."""
    try:
        unpacking = zlib.decompressobj()
        text = unpacking.decompress(packed, MOST_SHARED_JSON + 1)
    except zlib.error:
        raise Malformed("a report that cannot be unpacked") from None
    if len(text) > MOST_SHARED_JSON or unpacking.unconsumed_tail:
        raise Malformed(f"a report of more than {MOST_SHARED_JSON >> 20} MB")
    if not unpacking.eof or unpacking.unused_data:
        raise Malformed("a report that does not end where it should")
    try:
        head = msgspec.json.decode(text, type=_Head)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise Malformed("what is no report") from None
    if not head.schema.startswith(_FAMILY):
        raise Malformed("what is no report of edgecheck")
    client = head.client
    return SharedReport(
        _short(head.started_at, 40), _short(head.verdict, 20), _short(head.headline, 1000), _short(client.gateway or "", 60),
        _short(client.public_address or "", 60), source, packed,
    )  # fmt: skip


def _short(text: str, most: int) -> str:
    """Bounded, and without what a database refuses."""
    return text[:most].replace("\0", "\ufffd").encode(errors="replace").decode()
