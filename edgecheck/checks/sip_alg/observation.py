"""The facts of ``sip-alg``: what was sent, what arrived, in both directions, for every channel and method."""

from typing import Literal

import msgspec

from edgecheck.checks.sip_alg.compare import Action
from edgecheck.model.check import Observation
from edgecheck.wire import control

Level = Literal["none", "harmless", "rewriting", "inconsistent", "destructive"]
LEVELS: tuple[Level, ...] = ("none", "harmless", "rewriting", "inconsistent", "destructive")
"""Gravest last."""
State = Literal["unchanged", "rewritten", "lost", "answered-by-other", "undecided"]
NOT_LOCATED = "which hop does it was not looked for"


Direction = Literal["request", "response"]
NEW_PORTS = "from new ports"
"""Ends a method of which each request was sent from a port of its own."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was changed on the way; told once for each method, with the first message that shows it."""

    direction: Direction | None
    """On which way; None: it cannot be told. An answer that repeats something else than was asked shows without the server's account only
    that one of the two was changed."""
    where: str
    """A header in its RFC spelling, ``Request-URI``, ``Status-Line``, ``sdp c=``, ``sdp a=rtcp``; or of the transport: ``source
    address``, ``source port``, ``retransmissions``; or ``line endings``, ``body``, ``message``."""
    action: Action
    sent: str
    arrived: str
    message: str = ""
    """``INVITE``, ``200 to INVITE``."""


class Harm(msgspec.Struct, frozen=True, kw_only=True):
    """What a change does to a call."""

    level: Level
    direction: Direction
    text: str
    """A clause: ``the Contact names 203.0.113.1:5062, but the server saw 203.0.113.1:1024``."""
    where: str = ""
    """What was changed, that does it: as in ``Change``. Empty: not one thing alone."""


class MessageFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a flow."""

    name: str
    """``INVITE``, ``REGISTER with Authorization``."""
    request: State
    response: State | None
    """None where none is due: to an ACK; to what did not arrive."""
    copies_sent: int
    copies_arrived: int | None
    """By the server's account; None = no account."""
    answers_sent: int | None
    """Copies of responses that left the server, by its account."""
    answers_arrived: int


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it left beside the same message as it arrived, whole."""

    direction: Direction
    message: str
    sent: str
    """Text with its CRLF; ``base64:...`` where it is no UTF-8. Empty: the other end sent no such message."""
    arrived: str


class SipProbe(msgspec.Struct, frozen=True, kw_only=True):
    """One method on one channel."""

    transport: control.Transport
    server_port: int
    method: str
    """``OPTIONS``; ``REGISTER`` with its challenge, its answer and its removal; ``INVITE`` with its ACK and BYE."""
    request: State
    response: State
    changes: tuple[Change, ...] = ()
    interference: Level | None = None
    """Of this method here; None = could not tell."""
    harms: tuple[Harm, ...] = ()
    reason: str = ""
    """Why it is undecided; or on what ``lost`` and ``answered-by-other`` rest."""
    messages: tuple[MessageFacts, ...] = ()
    proofs: tuple[Proof, ...] = ()

    @property
    def stolen(self) -> bool:
        """Whether something was answered by another than the server."""
        return "answered-by-other" in (self.request, self.response)

    @property
    def lost_first(self) -> bool:
        """Whether the method's own request is lost, and not what would follow."""
        return bool(self.messages) and self.messages[0].request == "lost"

    @property
    def answered_beside(self) -> bool:
        """Whether another than the server said something, be it no more than 100 Trying."""
        return self.stolen or any((one.where, one.action) == ("Status-Line", "added") for one in self.changes)


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """One transport to one port of the server."""

    transport: control.Transport
    server_port: int
    local: str | None = None
    """``ip:port`` of the socket (of a stream: the first one)."""
    server_saw: tuple[str, ...] = ()
    """Where SIP came from, as the server saw it."""
    control_saw: tuple[str, ...] = ()
    """Where the non-SIP control came from."""
    control_size: int = 0
    """Bytes: as many as the INVITE has (of a stream: sent at once)."""
    control_sent: int = 0
    control_arrived: int | None = None
    """By the server's account; None = no account."""
    control_answered: int | None = None
    """Copies that the server returned."""
    control_returned: int = 0
    """Copies that came back."""
    non_sip_dropped: bool | None = None
    """SIP passes and nothing else does: keep-alives and STUN on this port are dropped. None = could not tell."""
    offered: bool = True
    """Whether the server has it."""
    not_tested: str | None = None
    """Why nothing could be tried here, or (from one side) not to the end; None = it was."""
    silent: bool = False
    """Nothing at all came back, the control no more than SIP: blocked, not an ALG."""
    errors: tuple[str, ...] = ()
    """What the system reported, in words."""
    certificate: str | None = None
    """SHA-256 of the certificate that was shown, where it is TLS."""
    certificate_proved: str | None = None
    """SHA-256 of the server's own certificate, as it proved on the control channel; None where it is not TLS, or not known."""
    certificate_issuer: str | None = None
    """Who issued the one that was shown, in words, where it is not the server's own."""

    @property
    def name(self) -> str:
        """``UDP 5060``."""
        return f"{self.transport.upper()} {self.server_port}"

    @property
    def certificate_replaced(self) -> bool:
        """Whether what was shown is not what the server proved to be its own."""
        return bool(self.certificate) and self.certificate_proved not in (None, self.certificate)


class Knocks(msgspec.Struct, frozen=True, kw_only=True):
    """Small datagrams that are no SIP, from one socket of the server's to one public port, unasked."""

    when: Literal["before", "after", "beside"]
    """``before`` any SIP; ``after`` it, with the registration or the call up; ``beside``: then too, to a port that SIP never used."""
    sender: control.Sender
    aimed_at: str
    """``ip:port``"""
    sent: int
    arrived: int


class Pinhole(msgspec.Struct, frozen=True, kw_only=True):
    """Does SIP open a port to others than the server's SIP port?"""

    transport: control.Transport
    server_port: int
    opened_by: Literal["REGISTER", "INVITE"]
    """``REGISTER``: the port it was sent from; ``INVITE``: the media port that its SDP names."""
    opened: bool | None
    """None = could not tell: ``reason``."""
    local: str
    """``ip:port`` that was listened at."""
    from_address: bool | None = None
    """Opened, and the server's other address gets in as well; None = not known."""
    knocks: tuple[Knocks, ...] = ()
    reason: str = ""


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """Datagrams of one size on UDP, whatever they hold: INVITEs and non-SIP alike."""

    server_port: int
    bytes: int
    sent: int
    arrived: int | None
    """By the server's account."""
    answered: int | None
    """Non-SIP of that size that the server returned."""
    returned: int
    """Of these, how many came back."""
    small_sent: int
    """Short non-SIP from the same socket in the same rounds."""
    small_returned: int
    passes: bool | None
    """None = could not tell."""
    lost_on_way: Literal["out", "back"] | None = None
    """Where ``passes`` is False: towards the server, or back from it."""


class ViaPort(msgspec.Struct, frozen=True, kw_only=True):
    """An OPTIONS whose Via names another port of this machine than it is sent from."""

    server_port: int
    sent_from: str
    via: str
    answered: int | None
    """Answers that left the server, for the place that the request came from."""
    at_source: int
    """Answers that came to the port it was sent from."""
    at_via: int
    """Answers that came to the port that Via names, and that nobody but a reader of SIP can know of."""


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """Datagrams of one kind that live for one number of hops."""

    sent: int = 0
    answered: int = 0
    """By the server's address, or in its name; of what is no SIP also its refusals."""
    expired: int = 0
    """Told of by the router at which the hops ran out."""


class HopTrial(msgspec.Struct, frozen=True, kw_only=True):
    """Datagrams to the SIP server that can get no further than so many hops."""

    hops: int
    router: str | None = None
    """Who told that they expired; None = nobody did."""
    sip: Tally = Tally()
    """Requests."""
    same: Tally = Tally()
    """STUN Binding requests from the same socket to the same port: no SIP, on the same way."""
    beside: Tally = Tally()
    """Datagrams from the same socket to other ports of the same address."""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """Is SIP answered by somebody nearer than the server? By requests that cannot get far enough to reach it."""

    server_port: int
    hops: int | None = None
    """The fewest hops for which a request has to live to be answered; None = none was, of those tried."""
    taken: bool | None = None
    """True: such a request was answered, and the way to the server goes on from there. False: what is no SIP gets as far, so the server is
    there. None = could not tell."""
    suspected: bool = False
    """It looks so, and something else would look the same."""
    reason: str = ""
    """Why it could not be told."""
    trials: tuple[HopTrial, ...] = ()


class RoundTrip(msgspec.Struct, frozen=True, kw_only=True):
    """How soon something was answered, at the soonest."""

    of: str
    """``SIP on UDP 5060``, ``TCP 5060``, ``hop 2 (192.0.2.1)``."""
    by: Literal["sip", "server", "hop"]
    """``server``: what the server itself answers besides SIP over UDP."""
    samples: int
    least_ms: float


class ForeignAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer of a server that is not ours."""

    transport: control.Transport
    server_port: int
    method: str
    status: str
    """Its first line."""
    source: str
    server: str | None
    """What it calls itself: Server or User-Agent."""
    received: str | None
    """Of Via, as it came back."""
    rport: str | None
    after_ms: float


class Against(msgspec.Struct, frozen=True, kw_only=True):
    """The one-sided test."""

    target: str
    server: str
    """IP address."""
    answers: tuple[ForeignAnswer, ...]
    hints: tuple[str, ...]
    """What fits an ALG and something else as well."""
    nobody_answered: bool | None
    """Whether an address answered that nobody has; None = not tried."""
    nobody: str
    """That address, ``ip:port``."""
    nobody_said: str


class Located(msgspec.Struct, frozen=True, kw_only=True):
    """A hop that changed the probe, or answered it."""

    hop: int
    """0 = this machine."""
    address: str | None
    where: tuple[str, ...]
    """Headers, lines of SDP; ``answer``: it answers in the server's place; ``message``: it drops the request."""
    message: str = ""
    """The request that was followed: what becomes of others was not."""
    before_server: bool = False
    """The next hop is the server itself: this one may be its own edge."""
    up_to_hop: int | None = None
    """It is this hop, or one up to that one, or a box between them that does not show itself; None = it is ``hop``."""
    up_to_address: str | None = None
    or_unseen: bool = False
    """Nothing that was written is known for this hop's own: a box right behind it that does not show itself fits as well."""
    hidden: str | None = None
    """A router known to stand between them that does not count itself as a hop: the default router; None = none is known."""


class SipAlgObservation(Observation, frozen=True, kw_only=True):
    """Does something on the path touch SIP?"""

    interference: Level | None = None
    """The gravest seen; ``none``: seen to be left alone on UDP to the SIP port and on all that pass anything; None = could not tell."""
    probes: tuple[SipProbe, ...] = ()
    located: tuple[Located, ...] | None = None
    located_reason: str = NOT_LOCATED
    channels: tuple[Channel, ...] = ()
    mirror: str | None = None
    """Why the server's account of SIP is missing or not whole; None = it is whole."""
    incoming: tuple[SipProbe, ...] = ()
    """What the server sends to the phone that has registered: ``method`` is ``incoming OPTIONS``, ``incoming INVITE``; ``request`` is
    the server's as it arrived here, ``response`` the phone's answer as it arrived there."""
    incoming_reason: str = ""
    """Why there is none."""
    pinholes: tuple[Pinhole, ...] = ()
    beside: tuple[SipProbe, ...] = ()
    """INVITEs of another shape, by ``method``: ``INVITE of 1400 bytes``, ``INVITE of 1900 bytes``, ``INVITE in two segments`` (TCP)."""
    sizes: tuple[Size, ...] = ()
    via_port: ViaPort | None = None
    """None = not tried."""
    taken: tuple[Taken, ...] = ()
    """One for each place that was asked by requests that cannot get far; empty: none was."""
    round_trips: tuple[RoundTrip, ...] = ()
    against: Against | None = None
    """What a server that is not ours answered (``edgecheck alg --against``); None = the echo server was asked."""
