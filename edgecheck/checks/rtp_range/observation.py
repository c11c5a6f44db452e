"""What ``rtp-range`` saw: ranges of ports, by direction."""

import msgspec

from edgecheck.checks.port_forwarding.observation import ForwardingObservation
from edgecheck.model.check import Observation
from edgecheck.wire.ports import Ranges


class Traced(msgspec.Struct, frozen=True, kw_only=True):
    """How far packets get from a port that is blocked on the way out."""

    port: int
    last_hop: int
    """The last hop, from here, that told of them; 0 = none did."""
    last_address: str | None
    next_hop: int
    """The first that told of other packets to the same place, and not that these expired."""
    next_address: str
    refused_with: str | None = None
    """The ICMP error by which ``next_address`` refused these; None: silence."""
    controls_sent: int
    """Packets from another port, each right behind one of these, that could live as far as ``next_hop``. 0 where none were
    needed: that hop refused these, or it is the server, which has counted none."""
    controls_told: int
    """Those of them that it told of."""


class RtpObservation(Observation, frozen=True, kw_only=True):
    """Facts of ``rtp-range``."""

    range: tuple[int, int]
    tested: int
    """Ports that could be opened here."""
    inbound_open: int | None
    """None = not tried, see ``reasons``."""
    outbound_open: int | None
    """Packets arrived at the server, by its own account."""
    inbound_blocked: Ranges = ()
    inbound_moved: tuple[tuple[int, int, int], ...] = ()
    """Those of ``inbound_blocked`` that arrive at other ports of this machine: first, last, and where the first arrives."""
    outbound_blocked: Ranges = ()
    outbound_vouched: Ranges = ()
    """Those of ``outbound_blocked`` for which other clients have reached the server's port: its own side is open there."""
    return_blocked: Ranges = ()
    """Arrived at the server, which answered; not one of the answers came back."""
    remapped: Ranges = ()
    """Left with another source port."""
    undecided: Ranges = ()
    """In either direction, or in use here."""
    inbound_undecided: Ranges = ()
    outbound_undecided: Ranges = ()
    """On the way out, or back."""
    retried: int = 0
    """Probes sent beyond the first to each port, both ways."""
    sent: int = 0
    """Probes in all, both ways."""
    slowed_to: int | None = None
    """Probes a second that the path took, where it did not take the pace asked for."""
    busy: Ranges = ()
    """In use on this machine, or not to be had."""
    busy_with: dict[str, Ranges] = {}
    """Program -> those of ``busy`` that it holds, as far as the platform tells."""
    guides_sent: int = 0
    """Packets known to have a way through, in the rounds in which others stayed silent."""
    guides_arrived: int = 0
    alternate_answers: bool | None = None
    """Whether the alternate address answered when contacted afterwards; None = not needed, or not tried."""
    alternate_contacted_s: float | None = None
    examined: ForwardingObservation | None = None
    """What ``port-forwarding`` would have seen of a few of the ports blocked inward, for their cause; None = there were none, or none was
    wanted, or the server was lost before."""
    traced: tuple[Traced, ...] = ()
    """A few ports of ``outbound_blocked``, where it showed how far they get."""
    reasons: dict[str, str] = {}
    """Why something is None or undecided."""
