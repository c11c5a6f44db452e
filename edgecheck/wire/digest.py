"""Digest authentication as SIP uses it (RFC 3261 section 22, RFC 7616, RFC 8760, and RFC 2617 for those who never moved on).

Challenges are read from header values that a stranger wrote: whatever is there comes out as text, and what cannot be
answered is told apart from what can. Nothing here is secret by itself, but ``Answer.value`` proves a password to whoever can
guess it, so ``masked`` exists for everything that is shown or stored.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_HASHES = {"md5": "md5", "sha-256": "sha256", "sha-512-256": "sha512_256"}
_SESSION = "-sess"
_MOST_CHALLENGES = 16
"""A server names a handful of algorithms; a thousand challenges are an attack on whoever lists them."""
_MOST_VALUE = 4096
"""Bytes of one value that is repeated in the answer: it must fit into a datagram with everything else."""
_ITEM = re.compile(
    r'[\s,]*(?P<name>[A-Za-z0-9.!%*_+`\'~/-]+)(?:\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)(?:"|$)|(?P<bare>[^\s,"]*)))?', re.DOTALL
)
_RESPONSE = re.compile(r'(?<![\w-])((?:response|rspauth)\s*=\s*)("?)[0-9A-Za-z+/=]*("?)', re.IGNORECASE)


class Challenge(NamedTuple):
    """One challenge of a WWW-Authenticate or Proxy-Authenticate header."""

    scheme: str
    """``Digest`` as written; others are kept to be named, not to be answered."""
    realm: str
    nonce: str
    algorithm: str | None
    """As written; None: not written, which means MD5."""
    qop: tuple[str, ...]
    """Lower case, as offered; empty: none, the way of RFC 2069."""
    opaque: str | None = None
    stale: bool = False
    """The nonce was too old, the password was not refused (RFC 7616 section 3.3)."""
    userhash: bool = False
    charset: str | None = None
    proxy: bool = False
    """From Proxy-Authenticate: answered in Proxy-Authorization."""

    @property
    def name(self) -> str:
        """The algorithm in the RFC's spelling: ``SHA-256-sess``."""
        base, session = _algorithm(self.algorithm)
        return base.upper() + (_SESSION if session else "")

    @property
    def problem(self) -> str | None:
        """Why this cannot be answered; None when it can."""
        if self.scheme.lower() != "digest":
            return f"scheme {self.scheme}"
        if not supported(self.algorithm):
            return f"algorithm {self.algorithm}"
        if not self.nonce:
            return "no nonce"
        if any(len((value or "").encode()) > _MOST_VALUE for value in (self.realm, self.nonce, self.opaque)):
            return f"a value of more than {_MOST_VALUE} bytes"
        if self.qop and not {"auth", "auth-int"} & set(self.qop):
            return f"qop {', '.join(self.qop)}"
        return None


class Answer(NamedTuple):
    """Credentials for one request."""

    header: str
    """``Authorization`` or ``Proxy-Authorization``."""
    value: str
    expected_proof: str | None
    """What a server that knows the password too puts into ``rspauth`` for an empty body; None without qop."""


def supported(algorithm: str | None) -> bool:
    """Whether this machine can compute it (SHA-512-256 depends on its OpenSSL)."""
    base, _ = _algorithm(algorithm)
    try:
        _hash(base, b"")
    except (KeyError, ValueError):
        return False
    return True


def parse_challenges(values: Sequence[str], *, proxy: bool = False) -> tuple[Challenge, ...]:
    """Every challenge of these header values, in order; several in one value are told apart. Never raises."""
    out: list[Challenge] = []
    for value in values:
        for scheme, given in _schemes(value):
            if len(out) == _MOST_CHALLENGES:
                return tuple(out)
            out.append(
                Challenge(
                    scheme=scheme,
                    realm=given.get("realm", ""),
                    nonce=given.get("nonce", ""),
                    algorithm=given.get("algorithm"),
                    qop=tuple(word for word in re.split(r"[\s,]+", given.get("qop", "").lower()) if word),
                    opaque=given.get("opaque"),
                    stale=given.get("stale", "").lower() == "true",
                    userhash=given.get("userhash", "").lower() == "true",
                    charset=given.get("charset"),
                    proxy=proxy,
                )
            )
    return tuple(out)


def choose(challenges: Sequence[Challenge]) -> Challenge | None:
    """The topmost that can be answered: the server lists its best first (RFC 8760 section 2.4)."""
    return next((challenge for challenge in challenges if challenge.problem is None), None)


def parse_parameters(value: str) -> dict[str, str]:
    """``name=value`` items of Authentication-Info, Authorization (its scheme is left out): names in lower case, quotes removed."""
    out: dict[str, str] = {}
    for name, text in _items(value):
        if text is not None:
            out.setdefault(name.lower(), text)
    return out


def response(
    *,
    algorithm: str | None,
    username: str,
    realm: str,
    password: str,
    method: str,
    uri: str,
    nonce: str,
    qop: str | None = None,
    nc: str = "",
    cnonce: str = "",
    body: bytes = b"",
) -> str:
    """The ``response`` value. An empty method gives ``rspauth`` (RFC 7616 section 3.5). Raises ``KeyError`` for an unknown algorithm."""
    base, session = _algorithm(algorithm)
    secret = _hash(base, f"{username}:{realm}:{password}".encode())
    if session:
        secret = _hash(base, f"{secret}:{nonce}:{cnonce}".encode())
    what = f"{method}:{uri}"
    if qop == "auth-int":
        what += f":{_hash(base, body)}"
    asked = _hash(base, what.encode())
    middle = f"{nonce}:{nc}:{cnonce}:{qop}" if qop else nonce
    return _hash(base, f"{secret}:{middle}:{asked}".encode())


def answer(
    challenge: Challenge,
    *,
    username: str,
    password: str,
    method: str,
    uri: str,
    cnonce: str,
    count: int = 1,
    body: bytes = b"",
) -> Answer:
    """Credentials for a request to ``uri``; ``count`` is how often this nonce has been used, this time included.

    ``auth`` is taken before ``auth-int``: bodies are rewritten on the way by what means well. Raises ``ValueError`` when the challenge
    cannot be answered.
    """
    if challenge.problem is not None:
        raise ValueError(f"this challenge cannot be answered: {challenge.problem}")
    base, session = _algorithm(challenge.algorithm)
    qop = None if not challenge.qop else "auth" if "auth" in challenge.qop else "auth-int"
    nc = f"{count:08x}"

    def respond(method: str, body: bytes) -> str:
        return response(
            algorithm=challenge.algorithm,
            username=username,
            realm=challenge.realm,
            password=password,
            method=method,
            uri=uri,
            nonce=challenge.nonce,
            qop=qop,
            nc=nc,
            cnonce=cnonce,
            body=body,
        )

    made = respond(method, body)
    proof = respond("", b"") if qop else None
    shown = _hash(base, f"{username}:{challenge.realm}".encode()) if challenge.userhash else username
    parts = [f"username={_quote(shown)}", f"realm={_quote(challenge.realm)}", f"nonce={_quote(challenge.nonce)}", f"uri={_quote(uri)}"]
    parts.append(f'response="{made}"')
    if challenge.algorithm is not None:
        parts.append(f"algorithm={challenge.algorithm}")
    if qop or session:
        parts.append(f"cnonce={_quote(cnonce)}")
    if qop:
        parts += [f"qop={qop}", f"nc={nc}"]
    if challenge.opaque is not None:
        parts.append(f"opaque={_quote(challenge.opaque)}")
    if challenge.userhash:
        parts.append("userhash=true")
    return Answer("Proxy-Authorization" if challenge.proxy else "Authorization", "Digest " + ", ".join(parts), proof)


def masked(text: str) -> str:
    """The same text with every ``response`` and ``rspauth`` value replaced: whoever has one can try passwords at leisure."""
    return _RESPONSE.sub(r"\1\2(masked)\3", text)


def _algorithm(name: str | None) -> tuple[str, bool]:
    lower = (name or "MD5").lower()
    return lower.removesuffix(_SESSION), lower.endswith(_SESSION)


def _hash(base: str, data: bytes) -> str:
    return hashlib.new(_HASHES[base], data, usedforsecurity=False).hexdigest()


def _quote(text: str) -> str:
    # A line end or a NUL from a hostile challenge must not start a header of its own.
    return '"' + re.sub(r"[\x00-\x1f\x7f]", " ", text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _items(value: str) -> Iterator[tuple[str, str | None]]:
    position = 0
    while position < len(value):
        found = _ITEM.match(value, position)
        if found is None:
            position += 1  # a stray character; what follows it may still make sense
            continue
        position = found.end()
        quoted, bare = found["quoted"], found["bare"]
        yield found["name"], re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL) if quoted is not None else bare


def _schemes(value: str) -> Iterator[tuple[str, dict[str, str]]]:
    """A word without ``=`` is a scheme and begins a challenge; the pairs behind it are its own."""
    scheme: str | None = None
    given: dict[str, str] = {}
    for name, text in _items(value):
        if text is not None:
            given.setdefault(name.lower(), text)
            continue
        if scheme is not None:
            yield scheme, given
        scheme, given = name, {}
    if scheme is not None:
        yield scheme, given
