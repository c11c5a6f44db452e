"""Which echo server, and the token that proves that we may use it."""

import os
from pathlib import Path

from edgecheck.model.errors import UsageError
from edgecheck.wire.address import Target, parse_authority, parse_target
from edgecheck.wire.errors import Malformed

_SCHEME = "edge:"
_LONGEST_TOKEN = 4096


def is_target(word: str) -> bool:
    """Whether a word of the command line means a server and not a check."""
    return word.startswith(_SCHEME)


def target_of(word: str | None, server: str | None, token: str | None, token_file: str | None) -> Target | None:
    """The target of the command line, else of the environment, else None. Raises ``UsageError``, which never holds the token."""
    if token is not None and token_file is not None:
        raise UsageError("--token and --token-file contradict each other: give one.")
    if word is not None and server is not None:
        raise UsageError("Two servers were named, by edge:// and by --server: give one.")
    named = word if word is not None else server
    named = named if named is not None else os.environ.get("EDGECHECK_SERVER") or None
    if named is None:
        if token is not None or token_file is not None:
            raise UsageError("A token was given but no server: add edge://HOST[:PORT] or --server HOST[:PORT].")
        return None
    try:
        target = parse_target(named) if is_target(named) else parse_authority(named)
    except Malformed as error:
        # parse_authority's message repeats its input, and somebody may have written TOKEN@HOST there
        words = "--server takes HOST or HOST:PORT" if "@" in named and not is_target(named) else str(error)
        raise UsageError(f"{words[:1].upper()}{words[1:]}.") from None
    given = token if token is not None else _read(token_file) if token_file is not None else None
    if given is not None and target.token and given != target.token:
        raise UsageError("Two different tokens were given, in edge:// and by option: give one.")
    secret = target.token or given or ("" if given is not None else os.environ.get("EDGECHECK_TOKEN", ""))
    return target._replace(token=secret.strip())


def _read(file: str) -> str:
    try:
        with Path(file).open("rb") as stream:
            data = stream.read(_LONGEST_TOKEN + 1)
        text = data.decode().strip()
    except UnicodeDecodeError:
        raise UsageError(f"Token file {file}: not text.") from None
    except OSError as error:
        raise UsageError(f"Token file {file}: cannot be read ({error.strerror or error}).") from None
    if not text or len(data) > _LONGEST_TOKEN or len(text.split()) != 1:
        raise UsageError(f"Token file {file}: it should hold the token and nothing else.")
    return text
