"""Ports to send from that no router can know: a connection table keeps what it let through for minutes, rule or no rule.

A router that has once let a packet in from one address and port goes on letting those in (RFC 4787 section 4.3: two minutes and more;
Linux: 30 or 120 seconds over UDP), even when the rule is gone that let the first one in. What is to show the rules must come from a port of
its own.
"""

import errno
import os
import socket
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

RESTS_S = 900.0
"""How long a port is not used again towards the same host. What a connection table keeps longer than this it keeps of TCP connections that
nobody has ended, and these are."""
MOST = 16_384
"""So many are remembered; the oldest make room."""
_TRIES = 64


class SourcePorts:
    """Draws ports of the system's choice, none of them twice towards the same host while it rests."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._used: OrderedDict[tuple[str, int, int, str, int], float] = OrderedDict()

    def draw(self, make: Callable[[], socket.socket], toward: str = "", avoid: range = range(0)) -> socket.socket:
        """A socket of ``make``'s, which binds one to port 0. ``toward``: whom it is to reach; empty: anyone. Raises ``OSError``."""
        rejected: list[socket.socket] = []  # open for so long, or the system might offer the same port again
        now = self._clock()
        try:
            for _ in range(_TRIES):
                made = make()
                name = made.getsockname()
                key = (toward, int(made.family), int(made.type), name[0], name[1])
                used = self._used.get(key)
                if name[1] not in avoid and (used is None or now - used >= RESTS_S):
                    self._note(key, now)
                    return made
                rejected.append(made)
        finally:
            for made in rejected:
                made.close()
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))

    def _note(self, key: tuple[str, int, int, str, int], now: float) -> None:
        self._used[key] = now
        self._used.move_to_end(key)
        if len(self._used) > MOST:
            self._used.popitem(last=False)
