"""What a machine says of itself, as far as it may be asked: what a check of it is told through ``Network.machine``."""

import ipaddress
from typing import Literal

import msgspec


class DefaultRoute(msgspec.Struct, frozen=True, kw_only=True):
    """One way to everywhere."""

    family: int
    """4 or 6."""
    interface: str
    gateway: str | None
    metric: int | None = None
    """The lowest wins; None = not told."""


class Firewall(msgspec.Struct, frozen=True, kw_only=True):
    """This machine's own packet filter."""

    name: str
    """``nftables``, ``iptables``, ``ufw``, ``firewalld``."""
    inbound: Literal["drops", "accepts"] | None
    """What becomes of a packet that no rule names; None = could not tell."""
    outbound: Literal["drops", "accepts"] | None = None
    """The same of a packet that leaves this machine."""


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """A program of this machine that has a port open on one of its addresses."""

    address: str
    """As it was bound: ``127.0.0.1``; ``0.0.0.0`` or ``::`` for every address of a family."""
    program: str
    """``asterisk (pid 812)``"""

    def hears(self, host: str) -> bool | None:
        """Whether it gets what comes to this address. None: ``::`` gets IPv4, too, unless the program has set IPV6_V6ONLY (RFC 3493
        section 5.3), which no table of sockets shows."""
        own, asked = (ipaddress.ip_address(text.partition("%")[0]) for text in (self.address, host))
        if not own.is_unspecified:
            return own == asked
        if own.version == asked.version:
            return True
        return None if own.version == 6 else False


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Facts; ``None`` = could not tell, see ``reasons``."""

    interface: str | None = None
    """To which the checks' source address belongs."""
    tunnel: bool | None = None
    """Whether that is a tunnel: a VPN."""
    default_routes: tuple[DefaultRoute, ...] | None = None
    bridges: tuple[str, ...] = ()
    """Of containers and virtual machines: ``docker0``."""
    container: bool | None = None
    """Whether this program runs in a container."""
    firewall: Firewall | None = None
    sip_helper_loaded: bool | None = None
    """Whether the kernel's SIP helper (Linux, nf_conntrack_sip) is there."""
    sip_helper_bound: bool | None = None
    """Whether it is set on any traffic: by itself, or by a rule."""
    conntrack: tuple[int, int] | None = None
    """Connections in the kernel's table, and how many it may hold."""
    descriptors: tuple[int, int] | None = None
    """Open files that this process may have, and may ask for; -1 = no limit."""
    udp_buffers: tuple[int, int] | None = None
    """Bytes of a UDP socket's receive buffer: by default, at most."""
    clock_synchronized: bool | None = None
    """Whether the system says that its clock follows a time server."""
    reasons: dict[str, str] = {}
    """Field -> why it is None."""

    @property
    def own_gateways(self) -> tuple[str, ...]:
        """Addresses of the default routers over the interface of the checks' source address."""
        routes = (route for route in self.default_routes or () if route.interface == self.interface)
        return tuple(route.gateway for route in routes if route.gateway)

    @property
    def gateways(self) -> tuple[str, ...]:
        """Addresses of the default routers."""
        return tuple(route.gateway for route in self.default_routes or () if route.gateway)
