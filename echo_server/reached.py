"""Which of our UDP ports have been reached, by whom: so that a firewall in front of *this* server is not blamed on a client's edge.

A client whose packets do not arrive here cannot know on which side they were dropped. If other sessions' packets to the same port have
arrived, this side is open.
"""

from edgecheck.wire import ports


class Reached:
    """For each port and address family the first session that reached it, and whether another one did too."""

    def __init__(self) -> None:
        self._first: dict[tuple[int, int], int] = {}
        self._others: set[tuple[int, int]] = set()

    def note(self, family: int, port: int, session: int) -> None:
        """A packet of this session (its number) arrived at this port."""
        if self._first.setdefault((family, port), session) != session:
            self._others.add((family, port))

    def by_others(self, family: int, session: int) -> ports.Ranges:
        """Ports that a session other than this one has reached since the server started."""
        return ports.compress(
            port for (of, port), first in self._first.items() if of == family and (first != session or (of, port) in self._others)
        )
