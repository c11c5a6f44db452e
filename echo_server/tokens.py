"""Secrets: the token that admits a client, and the cookies by which an address proves itself."""

import hmac
import secrets
from pathlib import Path

from edgecheck.wire.control import parse_hex

ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
"""Lower case, without 0 o 1 l i: a token is read over the telephone. 16 of 31 letters are 79 bits."""
GROUPS, GROUP = 4, 4
SHORTEST = 8
"""Characters of a token that somebody chose."""
COOKIE_SIZE = 8
COOKIE_LIFE_S = 60
"""A cookie is good for the rest of its minute and the next."""


def make_token() -> str:
    """A new token: four groups of four, ``k7v2-mzq4-9xwd-h3np``."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(GROUP)) for _ in range(GROUPS))


def is_token(text: str) -> bool:
    """Whether a text can be a token: it must be long enough and fit into ``edge://TOKEN@HOST``."""
    return len(text) >= SHORTEST and all("!" <= character <= "~" and character not in "@/" for character in text)


def kept_token(directory: Path, name: str = "token") -> tuple[str, bool]:
    """The token kept in the state directory, and whether it was made just now, for want of a good one. Raises ``OSError``."""
    file = directory / name
    try:
        token = file.read_bytes().decode("ascii", "replace").strip()
        if is_token(token):
            file.chmod(0o600)
            return token, False
    except FileNotFoundError:
        pass
    token = make_token()
    write_secret(file, f"{token}\n".encode())
    return token, True


def write_secret(file: Path, content: bytes) -> None:
    """Write a file that nobody else may read, not even while it is being written."""
    part = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    part.touch(mode=0o600, exist_ok=False)
    part.write_bytes(content)
    part.replace(file)


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
