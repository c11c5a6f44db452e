"""What follows from asking a service that holds a port: one row, from facts alone. Pure.

An answer proves that somebody was reached. That it was the service *here* is believed only where this machine's system saw the question
arrive; the same name or certificate at both ends is no proof, for the rule may lead to a twin. A different name is: then it is another's.
"""

from dataclasses import dataclass, field

import msgspec

from edgecheck.checks.port_forwarding.led_on import LED_ON
from edgecheck.checks.port_forwarding.observation import PACKETS, PortRow
from edgecheck.checks.port_forwarding.udp import unproved
from edgecheck.checks.port_forwarding.weather import Weather
from edgecheck.model.evidence import loss_is_excluded
from edgecheck.wire.control import InquiryRow, Transport

CONNECTIONS, MARKS = "table of connections", "counter of marked packets"
"""By what arrivals are seen, beside ``PACKETS``, which alone shows every one that there is."""
_ORDER = ("answered", "connected", "refused", "unreachable", "silent", "unsent")


@dataclass(frozen=True)
class Local:
    """What the service said when it was asked directly, on this machine."""

    reached: bool = False
    """It accepted the connection, or answered the datagram."""
    status: int | None = None
    software: str = ""
    certificate: str | None = None
    """SHA-256, hexadecimal."""

    def __str__(self) -> str:
        if not self.reached:
            return "nothing"
        words = [self.software or "no name"] if self.status is not None else ["no SIP"]
        words += [f"status {self.status}"] if self.status is not None else []
        return ", ".join([*words, *([f"certificate SHA-256 {self.certificate[:16]}..."] if self.certificate else [])])


@dataclass(frozen=True)
class Facts:
    """All that is known of one held port."""

    transport: Transport = "udp"
    speak: str = "sip"
    owner: str | None = None
    told: tuple[InquiryRow, ...] = ()
    """What the server heard, question by question."""
    local: Local = field(default_factory=Local)
    window: str | None = None
    """By what this machine sees arrivals; None: it could not, or saw none where none proves nothing."""
    seen: int = 0
    """Questions seen to arrive at this very port."""
    elsewhere: int | None = None
    """Another port of this machine at which they arrived."""
    delivered: bool | None = None
    """Whether this machine's system delivered the questions that arrived over UDP and stayed unanswered: see ``was_delivered``."""
    dropped: bool = False
    """This machine's own firewall was proved to drop them: see ``dropped``."""
    weather: Weather = field(default_factory=Weather)
    """In the rounds in which it was asked."""
    unused: str = ""
    """Why it was not asked at all."""

    @property
    def attempts(self) -> int:
        return sum(row.attempts for row in self.told)

    @property
    def controls(self) -> tuple[int, int]:
        """(arrived, sent) of what met the same: over UDP a question must come in, a connection takes a segment back as well."""
        return self.weather.inward if self.transport == "udp" else self.weather.both_ways

    @property
    def loss_is_excluded(self) -> bool:
        """Whether loss alone no longer explains that nothing came in, or no connection came about."""
        return loss_is_excluded(*self.controls, self.attempts)

    @property
    def best(self) -> InquiryRow | None:
        """The row that tells most."""
        return min(self.told, key=lambda row: (_ORDER.index(row.outcome), not row.said), default=None)


def conclude(row: PortRow, facts: Facts) -> PortRow:
    """The row with its state, by whom it was answered, and whether that was the service here."""
    replace = msgspec.structs.replace
    if facts.unused:
        return replace(row, state="undecided", reason=facts.unused, unused=True)
    row = replace(row, owner=facts.owner, asked=True, direct=str(facts.local))
    row = replace(row, copies=facts.attempts, arrived=facts.seen, seen_by=facts.window)
    best = facts.best
    if best is None or best.outcome == "unsent":
        return replace(row, state="undecided", reason=best.detail if best else "the server did not say what came of asking")
    if best.outcome in ("answered", "connected") or best.said:
        return _answered(row, facts, best)
    row = replace(row, here="dropped" if facts.dropped else None)
    if best.outcome in ("refused", "unreachable"):
        whose = "a reset from the probed address" if best.outcome == "refused" else best.detail
        return replace(row, state="refused", answered_by=whose, reason=best.detail or best.outcome)
    return _silent(row, facts)


def was_delivered(arrived: int, undelivered: int) -> bool | None:
    """Whether a firewall of this machine let through so many copies of a question, when so many packets in all were not delivered.

    It drops all copies of one datagram or none, and others' dropped packets only add to the count: half of them is far from all.
    """
    if 2 * undelivered <= arrived:
        return True
    return False if undelivered >= arrived else None


def _answered(row: PortRow, facts: Facts, best: InquiryRow) -> PortRow:
    here, reason = _whose(facts, best)
    return msgspec.structs.replace(row, state="answered", answered_by=name(best), answered_here=here, reason=reason)


def _whose(facts: Facts, best: InquiryRow) -> tuple[bool | None, str]:
    """Whether the service here answered, and why not, or why that cannot be told."""
    if facts.seen:
        return True, ""
    if facts.elsewhere is not None:
        return None, f"what comes to this port arrives at port {facts.elsewhere} of this machine"
    other = _difference(facts.local, best)
    if facts.window == PACKETS:
        return False, "nothing of what was answered arrived at this machine" + (f", and {other}" if other else "")
    if other:
        return False, other
    if facts.window == CONNECTIONS and facts.owner == LED_ON:
        return None, "what is led on stands in no table of this machine's connections: run as an administrator"
    if facts.window == CONNECTIONS:
        return None, (
            "no such connection appeared in this machine's table of connections: another host is reached, "
            "or the router puts its own address in the sender's place"
        )
    same = "the same name" if best.software and best.software == facts.local.software else "something"
    same = "the same certificate" if best.certificate and best.certificate.sha256 == facts.local.certificate else same
    return None, (
        f"{same} answers outside and here, but that it is this machine that is reached could not be seen: "
        "run as an administrator, or with the service stopped"
    )


def _difference(local: Local, best: InquiryRow) -> str:
    """What tells the service here from the one that answered; empty where nothing does."""
    if local.certificate and best.certificate and local.certificate != best.certificate.sha256:
        return f"its certificate is another than that of the service here (SHA-256 {local.certificate[:16]}...)"
    if local.software and best.software and local.software != best.software:
        return f"the service here calls itself {local.software}"
    return ""


def name(best: InquiryRow) -> str:
    """Who answered, in one line: ``Asterisk PBX 20.5 (status 200)``."""
    if best.status is not None:
        told = f"{best.software or 'a SIP service without a name'} (status {best.status})"
    else:
        told = best.said or "a service that said nothing"
    if best.certificate is not None:
        subject, issuer = best.certificate.subject or "no subject", best.certificate.issuer or "no issuer"
        told += f"; certificate {subject}, issued by {'itself' if issuer == subject else issuer}, SHA-256 {best.certificate.sha256[:16]}..."
    return told


def _silent(row: PortRow, facts: Facts) -> PortRow:
    replace = msgspec.structs.replace
    holder = facts.owner or "the program that holds it"
    lost = unproved(*facts.controls)
    if facts.dropped:
        return replace(row, state="blocked", reason="")
    if facts.transport != "udp":
        if facts.seen:
            reason = "it arrives at this machine, and no answer gets back: look at this machine's own firewall, and at its routes"
            return replace(row, state="undecided", reason=reason)
        if facts.local.reached and facts.loss_is_excluded:
            return replace(row, state="blocked", reason="")
        return replace(
            row, state="undecided", reason=lost if facts.local.reached else f"{holder} accepts no connection from this machine either"
        )
    if facts.seen:
        if facts.delivered:
            return replace(row, state="forwarded", reason=f"{holder} gave no answer, which over UDP it need not")
        if facts.delivered is False:
            reason = "it arrives at this machine, but as much as that was not delivered then: look at this machine's own firewall"
        else:
            reason = f"it arrives at this machine; whether its own firewall lets it through to {holder} could not be seen"
        return replace(row, state="undecided", reason=reason)
    if facts.elsewhere is not None:
        return replace(row, state="undecided", reason=f"what comes to this port arrives at port {facts.elsewhere} of this machine")
    if facts.window == PACKETS and facts.loss_is_excluded:
        return replace(row, state="blocked", reason="")
    if facts.window == PACKETS:
        return replace(row, state="undecided", reason=lost)
    known = f"though it answers when asked directly ({facts.local.software or facts.local.status})" if facts.local.status else "as UDP may"
    return replace(
        row,
        state="undecided",
        reason=f"{holder} did not answer a question from outside, {known}; whether it arrived could not be seen: run as an administrator, "
        "or with the service stopped",
    )
