"""The facts of ``outbound``."""

from typing import Literal

import msgspec

from edgecheck.model.check import Observation
from edgecheck.wire.control import Transport

State = Literal["open", "blocked", "refused", "intercepted", "undecided", "not-offered"]
Side = Literal["machine", "network", "unknown"]
"""Whose doing a closed port is: this machine's own system's; something's between here and the server, proved; or that or the server's own
firewall's, which look the same."""


ISSUED_BY = "certificate issued by "
"""Of TLS, how ``answered_by`` begins where the certificate was not the server's."""


class OutboundTarget(msgspec.Struct, frozen=True, kw_only=True):
    """One port of the server, and whether it could be reached from here."""

    transport: Transport
    port: int
    state: State
    purpose: str = ""
    """What usually goes there: ``SIP``, ``RTP``..."""
    copies: int = 0
    """Datagrams sent; of TCP and TLS: connections tried."""
    answered: int = 0
    """Of them."""
    arrived: int | None = None
    """Datagrams that the server says came; None = no receipt, or it is a stream."""
    control: int = 0
    """Answers from a port that is open, in the same moments ..."""
    control_copies: int = 0
    """... to so many."""
    new_copies: int = 0
    """Of a silent UDP port: of them sent from new ports of this machine, each a new flow ..."""
    new_control: int = 0
    """... answers from open ports to questions from new ports, in the same moments ..."""
    new_control_copies: int = 0
    """... to so many."""
    reached_by_others: bool | None = None
    """Whether packets of others have reached this port of the server: its own side is open then. None = not known."""
    side: Side | None = None
    """Whose doing it is that the port is closed; None where it is not."""
    offender: str | None = None
    """Who refused, where that was told."""
    answered_by: str | None = None
    """First words of whoever answered in the server's place; of TLS, who issued the certificate that was shown."""
    plain_answered: bool | None = None
    """On SIP ports: whether a packet that is no SIP was answered. None = not tried."""
    reason: str = ""
    """Why the state is what it is, where it is not open."""

    @property
    def name(self) -> str:
        """``UDP 5060``."""
        return f"{self.transport.upper()} {self.port}"

    @property
    def certificate_issuer(self) -> str | None:
        """Who issued the certificate that was shown in place of the server's; None = none was."""
        shown = self.state == "intercepted" and (self.answered_by or "").startswith(ISSUED_BY)
        return (self.answered_by or "").removeprefix(ISSUED_BY) if shown else None


class OutboundObservation(Observation, frozen=True, kw_only=True):
    """Facts of ``outbound``; ``None`` = could not tell."""

    server: str
    session: bool
    """Whether there was a control session. Without one there are no receipts, and silence proves nothing."""
    targets: tuple[OutboundTarget, ...]
    captive_portal: str | None = None
    """What the web server said that answered on TCP 80 in the echo server's place (first line, and where it points to)."""
    dns_intercepted: bool | None = None
    """Whether a DNS question to the echo server, which answers none, was answered; None = not asked, or silence that proves nothing."""
    reasons: dict[str, str] = {}
    """Field -> why it is None."""
