"""Secrets that are kept: the token that admits a client, and how a file is written that nobody else may read."""

import secrets
from pathlib import Path

ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
"""Lower case, without 0 o 1 l i: a token is read over the telephone. 16 of 31 letters are 79 bits."""
GROUPS, GROUP = 4, 4
SHORTEST = 8
"""Characters of a token that somebody chose."""


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
