"""The cookies by which an address proves itself: what was sent to it comes back from it."""

import hmac

from edgecheck.wire.control import parse_hex

COOKIE_SIZE = 8
COOKIE_LIFE_S = 60
"""A cookie is good for the rest of its minute and the next."""


class Cookies:
    """``CLAIMED`` cookies: a MAC over session, address and minute, so that claims cost no memory."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, session: bytes, host: str, now: float) -> bytes:
        """The cookie for a claim from this address now."""
        return self._mac(session, host, int(now // COOKIE_LIFE_S))

    def proves(self, session: bytes, host: str, cookie: str, now: float) -> bool:
        """Whether the cookie (hexadecimal) was sent to this address lately; compared in constant time. Raises ``Malformed``."""
        claimed = parse_hex(cookie, COOKIE_SIZE)
        minute = int(now // COOKIE_LIFE_S)
        return any(hmac.compare_digest(self._mac(session, host, then), claimed) for then in (minute, minute - 1))

    def _mac(self, session: bytes, host: str, minute: int) -> bytes:
        return hmac.digest(self._key, session + minute.to_bytes(8, "big", signed=True) + host.encode(), "sha256")[:COOKIE_SIZE]
