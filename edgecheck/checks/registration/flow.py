"""Keeping a flow open as outbound wants it (RFC 5626 section 4.4), and seeing whether the registrar answers."""

import contextlib

from edgecheck.model.phone import Link, Phone
from edgecheck.wire import sip, stun
from edgecheck.wire.errors import WireError

PATIENCE_S = 10.0
"""Section 4.4.1: a ping over TCP that is not answered in this time means a dead flow."""
_UDP_S, _STREAM_S = 24.0, 95.0
"""The shorter end of what section 4.4 recommends where no Flow-Timer says otherwise."""
_SHARE = 0.8
"""Of the Flow-Timer: the shorter end, as well."""
_GAPS_S = (0.5, 1.0, 2.0)
"""Between copies of a STUN request (RFC 8489 section 6.2.1), the last one from then on."""
_MOST_COPIES = 7


class KeepAlive:
    """Pings of one flow: CRLF CRLF over TCP and what runs on it, a STUN Binding request over UDP."""

    def __init__(self, phone: Phone, link: Link, flow_timer_s: int | None) -> None:
        self._phone, self._link = phone, link
        self._udp = link.transport == "udp"
        usual = _UDP_S if self._udp else _STREAM_S
        self.interval_s = _SHARE * flow_timer_s if flow_timer_s else usual
        self._transaction = b""
        self._open = False
        """Whether a ping waits for its answer."""
        self._tries = 0
        self._next = phone.now()
        self.sent = 0
        """Pings, with their copies."""
        self.answers = 0
        self.began = phone.now()

    def due(self) -> float:
        """When ``tick`` is to be called next."""
        return self._next

    def tick(self) -> None:
        """Send what is due."""
        now = self._phone.now()
        if now < self._next:
            return
        if not self._open:
            self._open, self._tries = True, 0
            self._transaction = bytes.fromhex(self._phone.token(12))
        self._link.send(stun.binding_request(self._transaction) if self._udp else sip.PING)
        self.sent += 1
        again = self._udp and self._tries < _MOST_COPIES - 1
        self._next = now + (_GAPS_S[min(self._tries, len(_GAPS_S) - 1)] if again else self.interval_s)
        self._open = again or not self._udp
        self._tries += 1

    def heard(self, data: bytes) -> bool:
        """Whether this is an answer to a ping."""
        if not self.sent:
            return False
        if self._udp:
            with contextlib.suppress(WireError):
                ours = stun.is_stun(data) and stun.parse(data).transaction_id == self._transaction
                if ours:
                    self._answered()
                return ours
            return False
        if data != sip.PONG:
            return False
        self._answered()
        return True

    def _answered(self) -> None:
        if self._open or not self.answers:
            self._next = self._phone.now() + self.interval_s
        self._open = False
        self.answers += 1

    @property
    def told(self) -> bool:
        """Whether the first ping was answered, or had all its time."""
        return self.answers > 0 or self._phone.now() - self.began >= PATIENCE_S
