"""Which socket is which: primary or alternate address, first or second STUN port, and the sockets kept for probes.

A socket is known by its listener name: ``A1 A2 B1 B2`` (the STUN ports), ``AX:PORT BX:PORT`` (kept for one session's probes; in requests
and accounts ``AX BX``), ``sip:PORT``, ``media:PORT``, ``reach:PORT`` (may a network reach it?).
The same name stands for the IPv4 and the IPv6 socket of that role: an address tells them apart.
"""

from edgecheck.wire.address import Endpoint
from edgecheck.wire.control import Service

STUN_ROLES = ("A1", "A2", "B1", "B2")
PROBE_ROLES = ("AX", "BX")


def senders(service: Service) -> dict[str, str]:
    """What a probe request may name as its sender -> the listener that sends. ``service``: as one session was told it."""
    addresses = "A" if service.alternate is None else "AB"
    probing = {role: f"{role}:{port}" for role, port in zip(PROBE_ROLES, service.probe_ports, strict=True)}
    named = {role: probing.get(role, role) for role in STUN_ROLES + PROBE_ROLES if role[0] in addresses}
    return named | {"SIP": f"sip:{service.sip_port}"}


def for_probes(listener: str) -> bool:
    """Whether it is one of the sockets kept for a session's probes."""
    return listener[:2] in PROBE_ROLES


def accounted(listener: str) -> str:
    """Its name in accounts: a session has one probe socket on each address, and knows its port."""
    return listener[:2] if for_probes(listener) else listener


def endpoint(service: Service, listener: str) -> Endpoint:
    """Address and port of a listener, as clients reach it. The listener must be one of this service."""
    role, colon, port = listener.partition(":")
    address = service.address if role[0] != "B" or service.alternate is None else service.alternate
    if colon:
        return Endpoint(address, int(port))
    return Endpoint(address, service.stun_ports[int(role[1]) - 1])


def changed(listener: str, address: bool, port: bool) -> str:
    """The STUN role that answers when CHANGE-REQUEST asks for the other address, the other port (RFC 5780 table 1)."""
    return ("B" if (listener[0] == "A") == address else "A") + ("2" if (listener[1] == "1") == port else "1")


def has_other_address(service: Service, listener: str) -> bool:
    """Whether CHANGE-REQUEST can be honored here, and so whether OTHER-ADDRESS may be told."""
    return service.alternate is not None and listener in STUN_ROLES
