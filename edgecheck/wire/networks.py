"""What kind of network an IP address is of: the internet, or one that is numbered locally."""

import ipaddress

_SHARED = ipaddress.ip_network("100.64.0.0/10")
"""Kept for providers' NAT (RFC 6598)."""
_PRIVATE = tuple(ipaddress.ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
"""RFC 1918."""
_LOCAL = (
    *_PRIVATE,
    _SHARED,
    *(ipaddress.ip_network(text) for text in ("169.254.0.0/16", "127.0.0.0/8", "fc00::/7", "fe80::/10", "::1/128")),
)
"""With them link-local addresses, loopback and RFC 4193's."""


def is_public(host: str) -> bool | None:
    """Whether this address is one of the internet; None for what is no address.

    The documentation ranges count as public: they are used as such wherever they are used.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return not any(address.version == network.version and address in network for network in _LOCAL)


def is_private(address: str) -> bool:
    """RFC 1918. Raises ``ValueError`` for what is no address, as the others below."""
    return any(ipaddress.ip_address(address) in network for network in _PRIVATE)


def is_shared(address: str) -> bool:
    """RFC 6598."""
    return ipaddress.ip_address(address) in _SHARED


def neighbors(one: str, other: str) -> bool:
    """Whether these are two private addresses of one /24: what the two ends of a link between two routers mostly are."""
    return one != other and is_private(one) and ipaddress.ip_address(other) in ipaddress.ip_network(f"{one}/24", strict=False)
