"""What the default router says of itself: claims, not measurements. A router may lie, be misconfigured, or mean another of its lines."""

from typing import Literal

import msgspec

Protocol = Literal["upnp", "nat-pmp", "pcp"]


class PortMapping(msgspec.Struct, frozen=True, kw_only=True):
    """One rule that the router lists through UPnP."""

    transport: Literal["udp", "tcp"]
    external_port: int
    """0 = every port that no other rule names (UPnP's wildcard)."""
    internal_host: str
    """Address of the machine that it leads to."""
    internal_port: int
    description: str = ""
    enabled: bool = True
    lease_s: int = 0
    """Seconds until it ends; 0 = it stays."""
    remote_host: str = ""
    """Only packets from this address; empty = from anywhere."""


class WanClaim(msgspec.Struct, frozen=True, kw_only=True):
    """What one protocol, asked for one of the router's lines, said of the WAN side."""

    protocol: Protocol
    address: str | None
    """Canonical text; ``0.0.0.0`` is kept as it came. None: none was told."""
    line: str = ""
    """UPnP: the service asked (``WANIPConnection:1``)."""
    status: str = ""
    """UPnP: ``Connected``, ``Disconnected``... in the router's words."""


class RouterName(msgspec.Struct, frozen=True, kw_only=True):
    """Which router it is, in its own words."""

    gateway: str | None = None
    """The default route's next hop; nothing else was asked."""
    protocol: Protocol | None = None
    """The most telling protocol that it answered: ``upnp`` before ``nat-pmp`` before ``pcp``."""
    protocols: tuple[Protocol, ...] = ()
    """All that it answered."""
    manufacturer: str | None = None
    model: str | None = None
    """``modelName``."""
    model_number: str | None = None
    firmware: str | None = None
    """What the description says of the firmware, else the ``SERVER`` header of the UPnP program."""
    wan_address: str | None = None
    """The first usable address that it claims (a line that says ``Connected`` first). A claim: never a verdict on its own."""


class RouterClaims(RouterName, frozen=True, kw_only=True):
    """All that the default router says of itself."""

    claims: tuple[WanClaim, ...] = ()
    mappings: tuple[PortMapping, ...] = ()
    """What UPnP lists. Rules made by hand on the router's own pages are mostly not among them: that a rule is missing here proves
    nothing; that one is here is a strong hint."""
    mappings_complete: bool = False
    """The list was read to the end that the router named. It is still only what UPnP lists."""
    reason: str = ""
    """Why nothing is known, or why what is known is not whole; empty when it is."""


class RouterFacts(RouterClaims, frozen=True, kw_only=True):
    """The router's claims, and what was found beside them. ``protocol`` is None when it answered nothing; then ``reason`` says why."""

    other_gateways: tuple[str, ...] = ()
    """Other machines of this network that call themselves internet gateways (heard by multicast, not asked anything)."""
    other_routes: tuple[str, ...] = ()
    """This machine's other default routes: ``192.168.2.1 (wlan0)``."""

    @property
    def told(self) -> RouterClaims | None:
        """The router's own words alone; None when it answered nothing."""
        if self.protocol is None:
            return None
        return RouterClaims(**{name: getattr(self, name) for name in RouterClaims.__struct_fields__})

    @property
    def which(self) -> RouterName | None:
        """Which router it is; None when it answered nothing."""
        if self.protocol is None:
            return None
        return RouterName(**{name: getattr(self, name) for name in RouterName.__struct_fields__})
