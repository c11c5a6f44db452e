"""Messages out of a TCP or TLS stream: STUN by its length field, SIP by Content-Length.

The rules, the same for both:

- ``feed`` takes what one read returned, of any size, and returns the messages that are whole now, exact bytes each.
- How the stream was cut into reads makes no difference to the messages.
- A stream that breaks its own framing cannot be followed any further: there is no telling where the next message begins. What
  was whole before is returned first; then ``broken`` says why, and ``feed`` raises it from the next call on (at once when
  nothing was whole). ``remainder`` is what could not be read, for the record.
- A peer makes us hold at most one message of the largest size, and one read.
"""

from edgecheck.wire import sip, stun
from edgecheck.wire.errors import Malformed, TooLong, Truncated, WireError


class _Framer:
    """Holds what has come in and is not yet a whole message."""

    def __init__(self) -> None:
        self._held = b""
        self.broken: WireError | None = None
        """Why the stream cannot be followed any further; None as long as it can."""

    def feed(self, data: bytes) -> list[bytes]:
        """Messages completed by these bytes. Raises ``Malformed``, ``TooLong`` when the stream is broken."""
        if self.broken is None:
            self._held += data
        messages: list[bytes] = []
        while self.broken is None and self._held:
            try:
                size = self._measure(self._held)
            except Truncated:
                break
            except WireError as error:
                self.broken = error
                break
            messages.append(self._held[:size])
            self._held = self._held[size:]
        if self.broken is not None and not messages:
            raise self.broken
        return messages

    @property
    def pending(self) -> int:
        """Bytes of a message that is not whole yet."""
        return len(self._held)

    @property
    def remainder(self) -> bytes:
        """Those bytes; of a broken stream, what began with the fault."""
        return self._held

    def _measure(self, held: bytes) -> int:
        """Size of the message at the start of ``held``, all of which is there. Raises ``Truncated``, ``Malformed``, ``TooLong``."""
        raise NotImplementedError


class StunFramer(_Framer):
    """STUN over TCP (RFC 8489 section 6.2.2). Streams came with the magic cookie, so one without it is not STUN."""

    def _measure(self, held: bytes) -> int:
        cookie = held[4:8]
        if cookie != stun.COOKIE_BYTES[: len(cookie)]:
            raise Malformed("not STUN: no magic cookie")
        size = stun.message_size(held)
        if len(held) < size:
            raise Truncated(f"{len(held)} of {size} bytes")
        return size


class SipFramer(_Framer):
    """SIP over TCP or TLS (RFC 3261 section 18.3), where Content-Length is mandatory.

    Keep-alives between messages are items too: ``sip.PING``, and ``sip.PONG`` for a single CRLF. The two halves of a ping that
    come in separate reads are two items, since a pong must not wait for what may never follow.
    """

    def __init__(self) -> None:
        super().__init__()
        self._searched = 0
        self._size = 0

    def _measure(self, held: bytes) -> int:
        if held == b"\r":
            raise Truncated("part of a keep-alive")
        if held.startswith(sip.PONG):
            return len(sip.PING) if held.startswith(sip.PING) else len(sip.PONG)
        if not self._size:
            self._size = self._measure_head(held)
        if len(held) < self._size:
            raise Truncated(f"{len(held)} of {self._size} bytes")
        size, self._size, self._searched = self._size, 0, 0
        return size

    def _measure_head(self, held: bytes) -> int:
        try:
            _, end = sip.head_span(held, self._searched)
        except Truncated:
            if len(held) > sip.MAX_MESSAGE:
                raise TooLong(f"no end of the headers within {sip.MAX_MESSAGE} bytes") from None
            self._searched = len(held)
            raise
        declared = sip.parse_datagram(held[:end]).content_length
        if declared is None:
            raise Malformed("no single Content-Length says where this message ends")
        if end + declared > sip.MAX_MESSAGE:
            raise TooLong(f"a SIP message of {end + declared} bytes; at most {sip.MAX_MESSAGE}")
        return end + declared
