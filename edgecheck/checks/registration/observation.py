"""What was asked, what was answered, and what the answers said: facts only."""

from typing import Literal

import msgspec

from edgecheck.model.account import SipTransport
from edgecheck.model.check import Delivery, Observation

Purpose = Literal["fetch", "register", "remove", "reach"]
"""``reach`` is an OPTIONS to the own address of record: does it come back to us?"""
Trouble = Literal[
    "silent", "late", "provisional-only", "refused", "reset", "closed", "no-route", "timeout", "icmp", "tls", "tls-silent", "not-sip",
    "mismatched", "local",
]  # fmt: skip
"""``late``: a final answer came, after the request had been given up."""
Ending = Literal[
    "registered",
    "challenged",
    "no-password",
    "unsupported-digest",
    "no-challenge",
    "credentials-refused",
    "stale-again",
    "refused",
    "redirects",
    "unanswered",
    "untrusted",
    "no-target",
    "cut-short",
]


class Challenged(msgspec.Struct, frozen=True, kw_only=True):
    """One challenge of an answer."""

    realm: str
    algorithm: str
    """In the RFC's spelling; ``MD5`` where none was written."""
    qop: tuple[str, ...]
    stale: bool
    proxy: bool
    problem: str | None
    """Why it cannot be answered; None when it can."""
    nonce: str
    """The first characters: enough to see whether it changed."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One request and what came of it."""

    purpose: Purpose
    target: str
    """``ip:port``."""
    transport: SipTransport
    status: int | None
    """Of the final answer; None: there was none."""
    reason: str | None
    elapsed_s: float
    copies: int = 1
    """Copies sent."""
    credentials: bool = False
    """Whether it carried an answer to a challenge."""
    trouble: Trouble | None = None
    """Why there is no final answer."""
    words: str = ""
    """The trouble as the system or the peer put it."""
    answered_from: str | None = None
    """``ip:port``, where it is not the target."""
    received: str | None = None
    """``received`` of our Via in the answer: the address that the server saw."""
    rport: int | None = None
    """The source port that the server saw."""
    provisional: int | None = None
    provisionals: int = 0
    """How many provisional answers came."""
    warning: str | None = None
    server: str | None = None
    """What the answer's Server or User-Agent header says."""
    retry_after_s: int | None = None
    min_expires_s: int | None = None
    requires: tuple[str, ...] = ()
    """Of Require or Unsupported in the answer."""
    redirect_to: tuple[str, ...] = ()
    challenges: tuple[Challenged, ...] = ()
    algorithm: str | None = None
    """Of the credentials sent."""
    delivery: Delivery | None = None
    """Over TCP and what runs on it: whether the request arrived at the other system, at the end of the attempt; None: cannot be told."""
    uri: str | None = None
    """Request-URI of a ``reach``."""
    route: tuple[str, ...] = ()
    """Its Route headers."""
    altered: tuple[str, ...] = ()
    """What came back otherwise than it was sent: ``Call-ID: sent "..", came back ".."``."""


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """A Contact that the registrar lists."""

    contact: str
    expires_s: int | None
    own: bool = False


class Inbound(msgspec.Struct, frozen=True, kw_only=True):
    """A request that reached us through the registration."""

    method: str
    source: str
    after_s: float
    """Seconds after the 200."""
    own: bool = False
    """The OPTIONS that we had sent to our own address."""


class ServiceHop(msgspec.Struct, frozen=True, kw_only=True):
    """Where requests go that follow the Service-Route."""

    uri: str
    """Its first one."""
    loose: bool
    """Whether that carries ``lr``."""
    target: str | None
    """``UDP 192.0.2.1:5060``; None: it leads to no address."""
    same: bool = False
    """Whether that is where we have registered."""
    words: str = ""
    """Why it could not be asked."""
    untold: bool = False
    """Whether its name could not be looked up: no DNS server told anything."""


class RegistrationObservation(Observation, frozen=True, kw_only=True):
    """From the first REGISTER to the removal of our binding."""

    aor: str
    auth_user: str
    """User name of the digest."""
    ending: Ending
    """How far it came."""
    attempts: tuple[Attempt, ...] = ()
    local: str | None = None
    """``ip:port`` that the requests left from."""
    seen_as: str | None = None
    """``ip:port`` that the server saw (received and rport); None: it does not say."""
    contact_sent: str | None = None
    contact_seen: str | None = None
    """Our Contact as the registrar lists it; None: not in the answer, or not registered."""
    requested_expires_s: int | None = None
    granted_expires_s: int | None = None
    bindings: tuple[Binding, ...] | None = None
    """As listed with ours (or, where nothing was registered, as fetched); None: never listed."""
    distrust: str = ""
    """Why no credentials were given to whoever showed a certificate: ``does not name example.com``."""
    displaced: tuple[str, ...] = ()
    """Contacts that were listed before ours, and neither with it nor after it."""
    password_edged: bool = False
    """Whether the password that was given begins or ends with a blank; nothing else is told of it."""
    path: tuple[str, ...] = ()
    service_route: tuple[str, ...] = ()
    outbound: bool = False
    """The registrar keeps the flow (RFC 5626: Require: outbound)."""
    flow_timer_s: int | None = None
    gruu: str | None = None
    """``pub-gruu`` of our binding: reaches this very device."""
    offered: tuple[str, ...] = ()
    """Option tags of Supported in the REGISTER that was taken."""
    service_hop: ServiceHop | None = None
    """None: the 200 names no Service-Route."""
    keepalive_answered: bool | None = None
    """Whether the registrar answers the keep-alive of RFC 5626 on our flow; None: it does not keep the flow, so none was sent."""
    keepalive_copies: int = 0
    server_proved: bool | None = None
    """Whether the server proved that it knows the password (rspauth); None: it did not say."""
    inbound: tuple[Inbound, ...] = ()
    waited_s: float = 0.0
    """How long requests from outside were waited for."""
    removed: bool | None = None
    """Whether our binding is gone; None: there was none, or it could not be told."""
    answer_diverted: bool | None = None
    """Whether an answer was taken to the port in Via instead of the one that asked (a SIP ALG's work); None: not asked, no answer."""
    other_transports: tuple[str, ...] = ()
    """Asked when nothing answered on the way that was configured: ``TCP 192.0.2.1:5060`` answers a REGISTER there."""
    options_answered: int | None = None
    """How many OPTIONS were answered where REGISTER met silence; None: not asked."""
    options_copies: int = 0
    """Copies that it took."""
    options_asked: int = 0
    """How many were to be asked."""
    options_clean: int = 0
    """On how many of their connections TCP lost nothing."""
    options_connected: int = 0
    """For how many of them a connection was made, over TCP and what runs on it."""
    options_retransmitted: int = 0
    """Segments that TCP sent again on these connections."""
    pinged_arrived: int = 0
    """Of what ``transport`` sent to the same place, what was answered (over TCP, the connection counts as well)."""
    pinged_sent: int = 0
    """Copies that this took."""
