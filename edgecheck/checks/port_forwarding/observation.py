"""What ``port-forwarding`` saw: one row a port, and what the same packets met on ports that no rule names."""

from typing import Literal

import msgspec

from edgecheck.model.check import Observation
from edgecheck.model.machine import Holder
from edgecheck.model.profile import PortNeed, Profile
from edgecheck.model.router import PortMapping
from edgecheck.wire import ports as port_ranges

PACKETS = "packet socket"
"""Of ``seen_by``: it shows every arrival that there is."""
State = Literal["forwarded", "blocked", "refused", "answered", "undecided"]


class Icmp(msgspec.Struct, frozen=True, kw_only=True):
    """An ICMP error that reached the server."""

    icmp_type: int
    icmp_code: int
    offender: str
    """Who sent it, as the server saw it: behind a NAT every machine bears the public address."""
    ttl: int | None = None
    """Its TTL on arrival."""

    def __str__(self) -> str:
        return f"ICMP {self.icmp_type}/{self.icmp_code} from {self.offender}" + (f", TTL {self.ttl}" if self.ttl else "")


class PortRow(msgspec.Struct, frozen=True, kw_only=True):
    """One port and what became of unsolicited packets to it."""

    port: int
    transport: Literal["udp", "tcp"]
    purpose: str
    required: bool
    state: State
    answered_by: str | None = None
    """``refused``: who refused. ``answered``: what spoke there."""
    copies: int = 0
    """Probes or connection attempts that left the server for this port."""
    arrived: int = 0
    reason: str = ""
    """Why it is ``undecided``; details of a refusal."""
    unbound: str | None = None
    """Why nothing of this test could listen there (``port-in-use``, ``permission``...); None: this test did listen."""
    owner: str | None = None
    """The program of this machine that holds the port; None: nobody does, or it cannot be told."""
    asked: bool = False
    """The service that holds the port was asked instead of borrowing the port."""
    unused: bool = False
    """Nobody holds it, and this user may not open it: not tested."""
    answered_here: bool | None = None
    """``answered``: whether it was this machine's service; False: another's. None: could not tell."""
    direct: str | None = None
    """What the service said when asked directly on this machine; None: not asked."""
    seen_by: str | None = None
    """By what this machine's system showed whether the questions arrived; None: by nothing."""
    icmp: Icmp | None = None
    """The ICMP error with which it was refused, or that came seconds later."""
    passed_on: bool | None = None
    """Whether the box with the public address leads it on to some machine: a probe that expires there is told of. None = could not tell."""
    here: Literal["dropped", "reverse-path", "nobody-listens", "led-on", "taken", "undropped", "nothing"] | None = None
    """What this machine's own counters say of a burst to the port: dropped by its firewall, or by its check of senders; found no listener;
    led on to somebody else (a container); taken by another program; never came. ``undropped``: none of the first four, and another program
    may have taken it."""
    punched: bool | None = None
    """Whether it arrived once the first router, and nothing beyond it, had seen this machine send from the port. Then nothing beyond holds
    it up. None = not tried, or no arrival (which proves nothing)."""
    reset_before: bool | None = None
    """TCP, reset although the connection may live no farther than the box with the public address: whether it is for certain a box before
    that which resets. None = not so, or not tried."""
    answered_before: bool | None = None
    """TCP, answered although the connection may live no farther than the box with the public address: whether it is for certain a box
    before that which answers. None = not so, or not tried."""
    refused_by_box: bool | None = None
    """``refused``, though the box with the public address leads it on: whether the refusal came from as far off as that box, by its TTL.
    False: from right behind it. None = not so, or could not tell."""
    lands_on: int | None = None
    """The other port of this machine at which what was sent to this one arrived: whoever led it there changed the port. None = not so, or
    it could not be seen."""
    mapping: PortMapping | None = None
    """What the router lists for this port through UPnP: a claim."""
    listens_elsewhere: tuple[Holder, ...] = ()
    """``forwarded``, to a port that nobody here held: programs of this machine that have the same port open on other addresses, where what
    was forwarded is not heard. Empty = none, or it could not be told."""
    unheard: bool | None = None
    """Beside ``listens_elsewhere``: whether this machine itself, asking at ``local_address`` after the test, was refused: nobody listens
    there. None = not asked, or this platform shows no refusal."""


class Canaries(msgspec.Struct, frozen=True, kw_only=True):
    """What the same packets met on ports that no rule names."""

    bare: int = 0
    """Canaries that had sent nothing."""
    bare_reached: int = 0
    """How many of them an unsolicited packet reached."""
    mapped_reached: bool | None = None
    """Whether one got through to a port that had contacted the primary address only; None = no such canary, or loss may explain it."""
    control_sent: int = 0
    control_arrived: int = 0
    """Copies from the contacted address and port to the mapped canary: the path's loss in the same moments."""
    several_addresses: str | None = None
    """The public address from which UDP leaves, where it is not the one that was probed."""

    @property
    def exposed(self) -> bool:
        """Whether everything is let in, used or not. One port in three may have been another program's a minute ago."""
        return 0 < self.bare == self.bare_reached

    @property
    def kept_out(self) -> bool:
        """Whether some canary's silence says that arrivals need a rule."""
        return self.mapped_reached is False or self.bare_reached < self.bare


class Path(msgspec.Struct, frozen=True, kw_only=True):
    """What stands between, looked at only where a port was not reached."""

    owner_hop: int | None = None
    """The hop, from here, whose box owns the public address; 0 = this machine."""
    router: str | None = None
    """Address of the first hop."""
    owner: str | None = None
    """The address under which the box with the public address shows itself to this machine, where that is not the first hop."""
    double: bool = False
    """The first router has a private WAN address by its own word, beside the one that the second showed: both translate (double NAT)."""
    cgnat: bool | None = None
    unseen_router: str | None = None
    """The default router, where it counts itself as no hop."""
    behind_owner: int | None = None
    """Hops from the box with the public address to this machine, counted from the server's side; 1 = it stands next to us."""
    told_of_expiry: bool = False
    """Whether that box told the server of packets that expired at it, for a port that is open: only then does its silence mean anything."""
    expiry_ttl: int | None = None
    """TTL on arrival of what it told of expiry: whatever else it makes arrives with the same."""
    before_owner: tuple[str, ...] = ()
    """Who told the server of packets that expired before they reached that box."""
    let_in: bool = False
    """Another port of this address was reached: whoever has it leads ports on to here."""
    canary: Icmp | None = None
    """How it refuses UDP ports that no rule names; None: not at all."""
    canary_passed_on: bool | None = None
    """Whether it leads those on, too."""
    canary_tcp: str = ""
    """How a connection to a TCP port that no rule names ends there (as in ``DialRow.outcome``); empty = not tried."""

    @property
    def nearby(self) -> bool:
        """Whether the box with the public address is for certain the router beside this machine."""
        return self.unseen_router is None and 1 in (self.owner_hop, self.behind_owner)


class ForwardingObservation(Observation, frozen=True, kw_only=True):
    """Facts of ``port-forwarding``."""

    ports: tuple[PortRow, ...]
    probed_address: str
    """The public address whose ports were probed."""
    prober: str
    """The never-contacted address that sent."""
    udp: Canaries = Canaries()
    tcp: Canaries = Canaries()
    local_address: str = ""
    """Where the ports were opened."""
    path: Path | None = None
    """None: every port was reached, or nothing could be asked."""
    alternate_contacted_s: float | None = None
    alternate_answers: bool | None = None
    """Whether the alternate address reached us over UDP when contacted afterwards; None = not needed, or not tried."""
    alternate_connects: bool | None = None
    """The same over TCP."""


def inbound(profile: Profile) -> list[tuple[PortNeed, int]]:
    """Every port that must be forwarded, with the need it stands for; the RTP range is a check of its own."""
    needs = [need for need in profile.ports if need.direction == "in" and need.protocol != "rtp"]
    return [(need, port) for need in needs for port in port_ranges.expand(port_ranges.parse(need.ports))]
