"""Which socket is which: primary or alternate address, first or second STUN port, and the sockets kept for probes.

A socket is known by its listener name: ``A1 A2 B1 B2`` (the STUN ports), ``AX BX`` (kept for probes), ``sip:PORT``,
``media:PORT``, ``reach:PORT`` (may a network reach it?).
The same name stands for the IPv4 and the IPv6 socket of that role: an address tells them apart.
"""

from edgecheck.wire.address import Endpoint
from edgecheck.wire.control import Service

STUN_ROLES = ("A1", "A2", "B1", "B2")
PROBE_ROLES = ("AX", "BX")


def listeners(service: Service) -> tuple[str, ...]:
    """The UDP sockets of this service, but for media."""
    addresses = "A" if service.alternate is None else "AB"
    stun = tuple(role for role in STUN_ROLES + PROBE_ROLES if role[0] in addresses)
    return (*stun, f"sip:{service.sip_port}", f"sip:{service.alternate_sip_port}")


def endpoint(service: Service, listener: str) -> Endpoint:
    """Address and port of a listener, as clients reach it. The listener must be one of this service."""
    role, colon, port = listener.partition(":")
    if colon:
        return Endpoint(service.address, int(port))
    address = service.address if role[0] == "A" or service.alternate is None else service.alternate
    if role[1] == "X":
        return Endpoint(address, service.probe_ports[0 if role[0] == "A" else 1])
    return Endpoint(address, service.stun_ports[int(role[1]) - 1])


def changed(listener: str, address: bool, port: bool) -> str:
    """The STUN role that answers when CHANGE-REQUEST asks for the other address, the other port (RFC 5780 table 1)."""
    return ("B" if (listener[0] == "A") == address else "A") + ("2" if (listener[1] == "1") == port else "1")


def has_other_address(service: Service, listener: str) -> bool:
    """Whether CHANGE-REQUEST can be honored here, and so whether OTHER-ADDRESS may be told."""
    return service.alternate is not None and listener in STUN_ROLES
