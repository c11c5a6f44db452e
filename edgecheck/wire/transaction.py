"""The client's side of a SIP transaction that is no INVITE (RFC 3261 section 17.1.2), without socket or clock.

``begin`` says what to send; ``due`` says when to ask ``tick`` again, and ``tick`` says what to send then; ``receive`` takes whatever
came and says whether it belongs here. Times are seconds on the caller's clock.
"""

from typing import Literal

from edgecheck.wire import sip
from edgecheck.wire.errors import WireError

T1 = 0.5
"""Estimate of the round trip (RFC 3261 section 17.1.1.1)."""
T2 = 4.0
"""Longest gap between two copies of a request."""
T4 = 5.0
"""How long copies of an answer may still be on their way."""
TIMEOUT = 64 * T1
"""Timer F: no final answer by then is none at all."""

State = Literal["trying", "proceeding", "completed", "terminated"]


class ClientTransaction:
    """One request on its way to one final answer."""

    def __init__(self, request: bytes, branch: str, method: str, *, reliable: bool, timeout: float = TIMEOUT) -> None:
        self.request = request
        self.branch = branch
        self.method = method
        self.reliable = reliable
        """TCP, TLS: the transport repeats what is lost."""
        self.timeout = timeout
        self.state: State = "trying"
        self.copies = 0
        """Copies sent."""
        self.provisional: int | None = None
        """The latest 1xx."""
        self.provisionals = 0
        """How many came."""
        self.final: sip.Message | None = None
        self._interval = T1
        self._next: float | None = None
        self._ends: float | None = None

    @property
    def over(self) -> bool:
        """Nothing more is to be sent or expected: it is answered, or its time is up."""
        return self.final is not None or self.state == "terminated"

    def begin(self, now: float) -> bytes:
        """What to send, now."""
        self.copies = 1
        self._next = None if self.reliable else now + T1
        self._ends = now + self.timeout
        return self.request

    def due(self) -> float | None:
        """When ``tick`` is to be called next; None: never again."""
        if self.state == "terminated":
            return None
        return min((at for at in (self._next, self._ends) if at is not None), default=None)

    def tick(self, now: float) -> bytes | None:
        """What to send now, if anything (timer E); ends the transaction when its time is up (timers F and K)."""
        if self._ends is not None and now >= self._ends:
            self.state, self._next = "terminated", None
            return None
        if self._next is None or now < self._next:
            return None
        # Once the server has said that it works on it, the copies only guard against a lost final answer.
        self._interval = T2 if self.state == "proceeding" else min(2 * self._interval, T2)
        self._next = now + self._interval
        self.copies += 1
        return self.request

    def receive(self, message: sip.Message, now: float) -> bool:
        """Whether this answer is one to our request (section 17.1.3); a first final one is kept in ``final``."""
        if not self.owns(message):
            return False
        status = message.status or 0
        if self.state in ("completed", "terminated"):
            return True  # a copy
        if status < 200:
            self.state, self.provisional = "proceeding", status
            self.provisionals += 1
            if self._next is not None:
                self._next = now + T2
            return True
        self.final, self._next = message, None
        self.state = "terminated" if self.reliable else "completed"
        self._ends = None if self.reliable else now + T4
        return True

    def owns(self, message: sip.Message) -> bool:
        """Same branch in the topmost Via, same method in CSeq. Nothing else counts, not even where it came from."""
        if message.is_request:
            return False
        try:
            via = sip.via_parts(sip.split_addresses(message.get("Via") or "")[0])
        except (WireError, IndexError):
            return False
        return via.parameters.get("branch", "") == self.branch and method_of(message) == self.method


def method_of(message: sip.Message) -> str:
    """The method that CSeq names; empty when there is none."""
    words = (message.get("CSeq") or "").split()
    return words[1] if len(words) == 2 else ""
