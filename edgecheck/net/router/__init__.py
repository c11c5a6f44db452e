"""Reads what the default router says of itself, through UPnP, NAT-PMP and PCP at once. Nothing is changed on it, and nobody else is asked.

``reading`` puts it together; ``routes`` finds the router, ``search`` its description; ``igd_client`` talks UPnP, ``port_control`` the rest.
"""

from edgecheck.net.router.reading import read_router

__all__ = ["read_router"]
