"""This machine's default routes, and which of them leads on from a local address."""

import contextlib
from typing import Any, NamedTuple

import netifaces


class Route(NamedTuple):
    """A default route of IPv4."""

    gateway: str
    interface: str

    def __str__(self) -> str:
        return f"{self.gateway} ({self.interface})"


def default_routes() -> tuple[Route, ...]:
    """As the system lists them, its preferred one first; empty where they cannot be read."""
    with contextlib.suppress(OSError, ValueError, KeyError, IndexError):
        rows: Any = netifaces.gateways().get(netifaces.AF_INET, [])
        ordered = sorted(rows, key=lambda row: not row[2])
        return tuple(dict.fromkeys(Route(str(row[0]), str(row[1])) for row in ordered))
    return ()


def interface_of(source: str) -> str | None:
    """The interface that holds this local address."""
    with contextlib.suppress(OSError, ValueError):
        for name in netifaces.interfaces():
            rows = netifaces.ifaddresses(name).get(netifaces.AF_INET, ())
            if any(row.get("addr") == source for row in rows):
                return str(name)
    return None


def route_of(routes: tuple[Route, ...], interface: str | None) -> Route | None:
    """The default route over the interface of the source address: another one's router is not on this path."""
    return next((route for route in routes if route.interface == interface), None)
