"""Facts of ``transport``."""

from typing import Literal

import msgspec

from edgecheck.model.account import SipTransport
from edgecheck.model.check import Observation
from edgecheck.model.evidence import loss_is_excluded
from edgecheck.model.phone import Target

State = Literal[
    "answered",
    "answered-elsewhere",
    "silent",
    "connected-silent",
    "refused",
    "unreachable",
    "reset",
    "closed",
    "tls-on-plain",
    "plain-on-tls",
    "tls-failed",
    "not-websocket",
    "not-sip",
    "no-usable-answer",
    "not-tried",
]
"""What was seen at one target.

``answered``: a SIP answer, of any status. ``answered-elsewhere``: one that came from another address or port. ``silent``: nothing came
back (over TCP: no connection). ``connected-silent``: a connection, and then nothing. ``refused``: ICMP port unreachable, or a reset
instead of a connection. ``unreachable``: another ICMP error, or no route. ``reset``, ``closed``: the connection ended before an answer.
``tls-on-plain``: TLS is spoken at a plain port. ``plain-on-tls``: plain SIP at a TLS port. ``not-sip``: something else answered.
``no-usable-answer``: SIP came back, and no final answer to what was asked: provisional ones alone, or none that can be read.
``not-tried``: this machine could not, see ``words``.
"""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One target and what was seen there."""

    transport: SipTransport
    host: str
    address: str
    port: int
    because: str
    """Which step led here; of an attempt beside the targets, what it is to tell."""
    state: State
    words: str = ""
    """What the system or the peer said, in words."""
    status: int | None = None
    """SIP status of the first answer."""
    reason: str = ""
    software: str | None = None
    """``Server`` or ``User-Agent`` of the answer."""
    sent: int = 0
    """OPTIONS requests, retransmissions not counted."""
    answers: int = 0
    rtt_ms: float | None = None
    """Median round trip of those answered."""
    answered_from: str | None = None
    """``ip:port``, where it is not the one that was asked."""
    seen_as: str | None = None
    """``ip:port`` from which the server says it saw us: ``received`` and ``rport`` of the Via; None: it does not say."""
    rport_ignored: bool | None = None
    """Whether an answer went to the port in the Via instead of the one the request came from (RFC 3581); None: not tested."""
    again: int = 0
    """How often it was asked again, in vain, beside the usual port of the same server ..."""
    usual_answers: int = 0
    """... and how often that answered."""

    @property
    def silence_proved(self) -> bool:
        """Whether loss no longer explains it."""
        return loss_is_excluded(self.usual_answers, self.again, self.again)

    @property
    def target(self) -> Target:
        return Target(transport=self.transport, host=self.host, address=self.address, port=self.port, because=self.because)

    @property
    def works(self) -> bool:
        return self.state == "answered"


class TransportObservation(Observation, frozen=True, kw_only=True):
    """Facts of ``transport``; ``None`` = could not tell."""

    attempts: tuple[Attempt, ...]
    """One for each target, in the order in which a phone tries them."""
    beside: tuple[Attempt, ...] = ()
    """Attempts that no phone would make, to tell why a target does not answer: TCP where UDP is silent, the usual port."""
    flow: str | None = None
    """``TLS 203.0.113.5:5061``: the first target that answered, leaving out those that answer 503; None: none did."""
    public_address: str | None = None
    """``ip:port`` from which the server saw us; None: no server said."""
    own_address: str | None = None
    """This network's own public address, as ``dns`` had it from the STUN server that was named, where a NAT stands between; None: not
    known."""
