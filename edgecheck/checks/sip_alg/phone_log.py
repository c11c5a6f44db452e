"""What is known of a phone that has registered for the test, and what the server said of it."""

from dataclasses import dataclass, field

from edgecheck.checks.sip_alg.log import ServerAccount
from edgecheck.checks.sip_alg.messages import Step
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint

CALLED = (Step.CALLED_OPTIONS, Step.CALLED_INVITE)
"""What the server sends."""


@dataclass(slots=True)
class Round:
    """One request for knocks, and what came of it."""

    series: int
    senders: tuple[control.Sender, ...]
    address: str
    ports: tuple[int, ...]
    left: bool
    """Whether the server says that all left."""


@dataclass(slots=True)
class Called:
    """What arrived of one request of the server's, and what was answered."""

    arrived: list[tuple[bytes, int]] = field(default_factory=list)
    """Bytes, and the local port they came to."""
    answers: list[bytes] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class PhoneLog:
    """All that this end knows of one such phone."""

    server: Endpoint
    series: int
    transport: control.Transport = "udp"
    listens: bool = False
    """Over TCP: it does nothing but listen at the port that its REGISTER names, and at one beside it."""
    local: Endpoint | None = None
    beside: Endpoint | None = None
    """The second port, which SIP never uses."""
    media: Endpoint | None = None
    media_beside: Endpoint | None = None
    public: Endpoint | None = None
    """Where the phone's packets come from, as the server sees them."""
    public_beside: Endpoint | None = None
    public_media: int | None = None
    """The media port as the INVITE named it when it arrived."""
    registered: bool = False
    in_call: bool = False
    called: dict[Step, Called] = field(default_factory=lambda: {step: Called() for step in CALLED})
    call_controls_sent: int = 0
    """Not SIP and as long: beside the server's requests; over TCP on connections of their own, which it returns."""
    call_controls_arrived: int = 0
    gauge_sent: int = 0
    """Datagrams that are no SIP, from a socket of their own, in the moments of the knocks ..."""
    gauge_returned: int = 0
    """... and how many the server returned."""
    answer_controls: dict[int, float] = field(default_factory=dict)
    before: Round | None = None
    after: Round | None = None
    knocked: dict[tuple[int, str, int, int], int] = field(default_factory=dict)
    """(series, sender, port aimed at, local port) -> datagrams that came."""
    problem: str = ""
    """Why no call, or no knock, could be tried."""
    account: ServerAccount | None = None
