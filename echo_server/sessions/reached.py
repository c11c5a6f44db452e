"""Which of our UDP ports have been reached, by whom: so that a firewall in front of *this* server is not blamed on a client's edge.

A client whose packets do not arrive here cannot know on which side they were dropped. If other sessions' packets to the same port have
arrived, this side is open.
"""

import ipaddress

from edgecheck.wire import ports


class Reached:
    """For each port and address family the first session that reached it, and whether somebody else did too. One for UDP, one for TCP."""

    def __init__(self) -> None:
        self._first: dict[tuple[int, int], int] = {}
        self._others: set[tuple[int, int]] = set()

    def note(self, family: int, port: int, session: int) -> None:
        """A packet of this session (its number) arrived at this port."""
        if self._first.setdefault((family, port), session) != session:
            self._others.add((family, port))

    def note_stranger(self, family: int, port: int, host: str) -> None:
        """A packet of nobody's came from the internet. Whoever scans it does this side the favor of showing that it is open."""
        # Not from addresses of the server's own network: those need not have crossed the firewall in front of it.
        if (family, port) not in self._others and ipaddress.ip_address(host).is_global:
            self._others.add((family, port))
            self._first.setdefault((family, port), 0)

    def by_others(self, family: int, session: int) -> ports.Ranges:
        """Ports that a session other than this one has reached since the server started."""
        return ports.compress(
            port for (of, port), first in self._first.items() if of == family and (first != session or (of, port) in self._others)
        )
