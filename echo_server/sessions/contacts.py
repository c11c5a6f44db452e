"""When something from a public address last reached this server's alternate address: what a client's edge may remember of it.

A client keeps such a record of its own, but not of others behind the same edge. Slots and no table: a flood of forged sources costs no
memory and drives nothing out. Sources that meet in one slot share its time: an answer may then count as doubtful, it never counts as sure.
"""

from array import array

from echo_server.sessions.limits import is_loopback, network

SLOTS = 1 << 16
_NEVER = float("-inf")
KEEP_S = 3600.0
"""Not told of after that: no filter known to us remembers so long."""


class Contacts:
    """One time for each slot. Which sources meet depends on ``key``, so nobody can aim at another's."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._at = array("d", [_NEVER]) * SLOTS

    def note(self, host: str, now: float) -> None:
        """A packet or a connection of this source has come to the alternate address."""
        self._at[self._slot(host)] = now

    def ago(self, host: str, now: float) -> float | None:
        """Seconds since; None: not in the last hour, or nothing stands between (loopback)."""
        passed = now - self._at[self._slot(host)]
        return None if is_loopback(host) or passed > KEEP_S else max(0.0, passed)

    def _slot(self, host: str) -> int:
        return hash((self._key, network(host))) & SLOTS - 1
