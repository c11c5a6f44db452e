"""What ``topology`` observes: the hops, what became of packets to the own public address, the router's own words."""

from typing import Literal

import msgspec

from edgecheck.model.check import Observation
from edgecheck.model.router import RouterClaims


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """One router on the way to the server."""

    hop: int
    address: str | None
    """None = it said nothing."""
    owns_public_address: bool = False


Outcome = Literal["expired", "refused", "arrived", "silent"]
"""``refused``: taken and answered by an ICMP error other than expiry. ``arrived``: it came back (the own packet: hairpinned)."""


class OwnAddressStep(msgspec.Struct, frozen=True, kw_only=True):
    """A packet to the own public address that lived for so many hops."""

    hop: int
    outcome: Outcome
    offender: str | None = None
    controls_sent: int = 0
    """The same packet to the server, same port, same number of hops, in the same moments: a firewall that treats both alike owns neither,
    and a router that is tired of telling of expired packets (ICMP rate limit) tells of none."""
    controls_expired: int = 0
    copies_beside: int = 0
    """Packets to the own address right before those: of none of them anybody told."""
    told_by: str | None = None
    """Who told of the controls."""


class TopologyObservation(Observation, frozen=True, kw_only=True):
    """Facts of ``topology``; ``None`` = could not tell, see ``reasons``."""

    source: str
    public_address: str
    public_addresses: tuple[str, ...] = ()
    """All under which the server saw this network, over UDP from several ports and over the control channel."""
    nat_layers: int | None
    cgnat: bool | None
    router: RouterClaims | None = None
    """The default router's own words."""
    hops: tuple[Hop, ...] = ()
    own_address: tuple[OwnAddressStep, ...] = ()
    owner_hop: int | None = None
    """The hop whose box owns the public address; 0 = this machine."""
    let_in: bool = False
    """An earlier check of this session has seen a port reached from the server's never-contacted address."""
    unseen_router: str | None = None
    """The default router, where it counts itself as no hop; None = it is the first hop, or that could not be told."""
    other_gateways: tuple[str, ...] = ()
    """Other machines of this network that call themselves internet gateways."""
    other_routes: tuple[str, ...] = ()
    """This machine's other default routes."""
    reasons: dict[str, str] = {}
