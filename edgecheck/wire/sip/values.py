"""The values of SIP headers: lists, parameters, URIs, Via.

They are read from text that a stranger wrote: what can be told is told.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from edgecheck.wire.errors import Malformed

_SHELTER, _OF_MEANING = re.compile('["<>]'), re.compile(r'[\\"<>;,]')
"""What can keep a separator from separating; whatever matters where one does."""
_SENT_BY = re.compile(r"(?P<host>\[[^\[\]\s]+\]|[^\s:;,\[\]]+)(?:\s*:\s*(?P<port>[0-9]{1,5}))?", re.ASCII)
_SENT_PROTOCOL = re.compile(
    r"(?P<name>[^\s/;]+)\s*/\s*(?P<version>[^\s/;]+)\s*/\s*(?P<transport>[^\s/;]+)\s+(?P<sent_by>[^\s;].*)", re.DOTALL
)


def split_addresses(value: str) -> list[str]:
    """The items of a comma list (Contact, Via, Route); commas in quotes and in ``<>`` do not separate. Empty items are left out."""
    return [item for item in (part.strip() for part in _split(value, ",")) if item]


def parameters(value: str) -> dict[str, str]:
    """The header's own parameters: ``;tag=1`` behind a name-addr, ``;branch=..;rport`` of a Via. Those inside ``<>`` are the URI's.

    Names in lower case, quotes removed from values, ``""`` for a parameter without a value; of duplicates the first.
    """
    return _parameters(_split(value, ";")[1:])


def address_uri(value: str) -> str:
    """The URI of a name-addr or addr-spec (From, To, Contact): ``"A" <sip:a@b;lr>;tag=1`` -> ``sip:a@b;lr``."""
    quoted = False
    position = 0
    while position < len(value):
        character = value[position]
        if quoted and character == "\\":
            position += 1
        elif character == '"':
            quoted = not quoted
        elif character == "<" and not quoted:
            return value[position + 1 :].partition(">")[0].strip()
        position += 1
    return _split(value, ";")[0].strip()


class Uri(NamedTuple):
    """A SIP or SIPS URI (RFC 3261 section 19.1)."""

    scheme: str
    """``sip`` or ``sips``."""
    user: str | None
    """As written, escapes and password included."""
    host: str
    """Name or IP address as written, without brackets."""
    port: int | None
    """None: not written."""
    parameters: dict[str, str]
    headers: str
    """What stands behind ``?``."""


def uri_parts(uri: str) -> Uri:
    """Read a SIP URI. Raises ``Malformed``, also for another scheme."""
    scheme, colon, rest = uri.strip().partition(":")
    if not colon or scheme.lower() not in ("sip", "sips"):
        raise Malformed(f"{uri[:80]!r} is not a SIP URI")
    # An @ stands unescaped only behind the user, and the user may hold ; and ? (RFC 4475 section 3.1.1.9).
    user, at, rest = rest.rpartition("@")
    rest, _, headers = rest.partition("?")
    address, *texts = rest.split(";")
    host, port = _sent_by(address)
    return Uri(scheme.lower(), user if at else None, host, port, _parameters(texts), headers)


class Via(NamedTuple):
    """One Via value (RFC 3261 section 20.42)."""

    protocol: str
    """``SIP/2.0``."""
    transport: str
    """``UDP``, ``TCP``, ``TLS``..., as written."""
    host: str
    """Of *sent-by*, as written, without brackets."""
    port: int | None
    """Of *sent-by*; None: not written."""
    parameters: dict[str, str]
    """``branch``, ``rport``, ``received``..."""


def via_parts(value: str) -> Via:
    """Read one Via value (of a list, one item). Raises ``Malformed``."""
    match = _SENT_PROTOCOL.fullmatch(_split(value, ";")[0].strip())
    if match is None:
        raise Malformed(f"{value[:80]!r} is not a Via")
    host, port = _sent_by(match["sent_by"])
    return Via(f"{match['name']}/{match['version']}", match["transport"], host, port, parameters(value))


def _sent_by(text: str) -> tuple[str, int | None]:
    match = _SENT_BY.fullmatch(text.strip())
    if match is None or int(match["port"] or 0) > 65535:
        raise Malformed(f"{text[:80]!r} is not host or host:port")
    return match["host"].strip("[]"), int(match["port"]) if match["port"] else None


def _parameters(texts: Sequence[str]) -> dict[str, str]:
    out: dict[str, str] = {}
    for text in texts:
        name, _, value = (part.strip() for part in text.partition("="))
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL)
        if name:
            out.setdefault(name.lower(), value)
    return out


def _split(value: str, separator: str) -> list[str]:
    """Cut at separators (``;`` or ``,``) that are neither in quotes nor in angle brackets; what is left open lasts to the end."""
    if not _SHELTER.search(value):
        return value.split(separator)
    out: list[str] = []
    begin = position = 0
    quoted = bracketed = False
    while found := _OF_MEANING.search(value, position):
        character, position = found[0], found.end()
        if quoted and character == "\\":
            position += 1
        elif character == '"' and not bracketed:
            quoted = not quoted
        elif character in "<>" and not quoted:
            bracketed = character == "<"
        elif character == separator and not quoted and not bracketed:
            out.append(value[begin : position - 1])
            begin = position
    out.append(value[begin:])
    return out
