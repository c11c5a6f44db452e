"""WebSocket (RFC 6455) as far as a SIP client needs it (RFC 7118): the upgrade, and one SIP message in each message.

What a server may send beside that (ping, close, fragments) is read; extensions are never asked for.
"""

import base64
import hashlib
import re
from typing import NamedTuple

from edgecheck.wire.errors import Malformed, TooLong, Truncated

SUBPROTOCOL = "sip"
MAX_MESSAGE = 65_535
"""Bytes: no longer SIP message concerns us."""
MAX_HEAD = 16_384
"""Bytes of an HTTP answer's head."""
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: ([^\r\n]*))?\r\n")
TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


def upgrade_request(authority: str, path: str, key: bytes) -> bytes:
    """The HTTP request that asks for a WebSocket with the SIP subprotocol; ``key``: 16 random bytes."""
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: {authority}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(key).decode()}",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Protocol: {SUBPROTOCOL}",
        "",
        "",
    )
    return "\r\n".join(lines).encode()


class Upgraded(NamedTuple):
    """What a server answered to ``upgrade_request``."""

    status: int
    reason: str
    accepted: bool
    """101, with the right proof of the key."""
    subprotocol: str | None
    size: int
    """Bytes of the head: frames begin there."""


def parse_upgrade(data: bytes, key: bytes) -> Upgraded:
    """Read the head of the HTTP answer. Raises ``Truncated``, ``Malformed``, ``TooLong``."""
    if not b"HTTP/1."[: len(data)] == data[:7]:
        raise Malformed("not HTTP")
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > MAX_HEAD:
            raise TooLong(f"no end of the HTTP head within {MAX_HEAD} bytes")
        raise Truncated("the HTTP head has no end yet")
    status = _STATUS.match(data)
    if status is None:
        raise Malformed("no HTTP status line")
    fields: dict[str, str] = {}
    for line in data[status.end() : end].split(b"\r\n"):
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    proof = base64.b64encode(hashlib.sha1(base64.b64encode(key) + _GUID, usedforsecurity=False).digest()).decode()
    return Upgraded(
        status=int(status[1]),
        reason=(status[2] or b"").decode("latin-1"),
        accepted=status[1] == b"101" and fields.get("sec-websocket-accept") == proof,
        subprotocol=fields.get("sec-websocket-protocol"),
        size=end + 4,
    )


def serialize(kind: int, payload: bytes, mask: bytes) -> bytes:
    """One whole message as a client sends it: masked with these 4 bytes."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | kind, 0x80 | size))
    elif size <= 0xFFFF:
        head = bytes((0x80 | kind, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        raise TooLong(f"a message of {size} bytes")
    return head + mask + _masked(payload, mask)


def _masked(payload: bytes, mask: bytes) -> bytes:
    return bytes(byte ^ mask[index & 3] for index, byte in enumerate(payload))


class Framer:
    """Messages out of the stream behind the upgrade. ``feed`` as in ``wire.framing``: once broken, it raises."""

    def __init__(self) -> None:
        self._held = b""
        self._begun: tuple[int, bytes] | None = None
        """Kind and bytes of a message that comes in fragments."""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """(kind, payload) of every message completed by these bytes. Raises ``Malformed``, ``TooLong``."""
        self._held += data
        out: list[tuple[int, bytes]] = []
        while True:
            try:
                final, kind, payload, size = _frame(self._held)
            except Truncated:
                return out
            self._held = self._held[size:]
            if kind >= CLOSE:
                if not final:
                    raise Malformed("a control frame in fragments")
                out.append((kind, payload))
                continue
            if (kind == 0) == (self._begun is None):
                raise Malformed("a fragment that continues nothing, or a message inside another")
            kind, payload = (kind, payload) if self._begun is None else (self._begun[0], self._begun[1] + payload)
            if len(payload) > MAX_MESSAGE:
                raise TooLong(f"a message of {len(payload)} bytes")
            self._begun = None if final else (kind, payload)
            if final:
                out.append((kind, payload))


def _frame(data: bytes) -> tuple[bool, int, bytes, int]:
    """Final, kind, payload and size of the first frame. Raises ``Truncated``, ``Malformed``, ``TooLong``."""
    if len(data) < 2:
        raise Truncated("no frame yet")
    if data[0] & 0x70:
        raise Malformed("a frame of an extension that was not asked for")
    kind, size, start = data[0] & 0x0F, data[1] & 0x7F, 2
    if kind not in (0, TEXT, BINARY, CLOSE, PING, PONG):
        raise Malformed(f"a frame of kind {kind}")
    if size > 125:
        width = 2 if size == 126 else 8
        if len(data) < start + width:
            raise Truncated("no frame yet")
        size, start = int.from_bytes(data[start : start + width], "big"), start + width
    if size > MAX_MESSAGE:
        raise TooLong(f"a frame of {size} bytes")
    mask = b""
    if data[1] & 0x80:  # a server must not; it can be read all the same
        mask, start = data[start : start + 4], start + 4
    if len(data) < start + size:
        raise Truncated("no whole frame yet")
    payload = data[start : start + size]
    return bool(data[0] & 0x80), kind, _masked(payload, mask) if mask else payload, start + size
