"""A report without the addresses and names of the people it came from, for a public ticket.

Each address becomes one word and stays that word all through (``public-1``, ``private-2``), so that the evidence can still be
followed: whether a Via header carries the address of this machine or the router's is what it is all about. Ports stay.

Addresses are found by their shape, and each that was found is then looked for in every other spelling (``192-168-1-20``, hexadecimal,
backwards as in the DNS, without a word's end). Names cannot be told by their shape: they are taken from where names stand, SIP URIs,
display names, digest headers, the facts about DNS and certificates, what was asked for; and then looked for everywhere, percent-encoded
too (short numbers: see ``extensions``). Messages that are kept in base64 are opened for it. What a person wrote freely (a profile's title,
a rule's description) may still give somebody away: read it once.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

import msgspec

from edgecheck.model.verdict import Report
from edgecheck.report.extensions import Extensions, found
from edgecheck.wire.networks import is_shared

_V4 = r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d|\.in-addr)"
_V6 = (
    r"(?<![\w:.])(?=[0-9A-Fa-f]*:)(?:[0-9A-Fa-f]{1,4}:){0,7}:?(?::[0-9A-Fa-f]{1,4}){0,7}:?"
    r"(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9A-Fa-f]{0,4})(?:%\w+)?(?![\w:]|\.\d)"
)
_ADDRESS = re.compile(f"{_V4}|{_V6}")
_MAC = re.compile(r"(?<![\w:-])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![\w:-])|(?<![\w.])(?:[0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}(?![\w.])")
_BASE64 = re.compile(r"base64:([A-Za-z0-9+/]+=*)")
_SIP_URI = re.compile(r"\bsips?:(?:([^\s@;?<>\"]+)@)?([^\s@:;?<>\"\]]+)", re.IGNORECASE)
_TELEPHONE = re.compile(r"\btel:(\+?[\d().-]{3,})", re.IGNORECASE)
_QUOTED_NAMES = re.compile(r"\b(?:username|realm|domain)=\"([^\"]+)\"", re.IGNORECASE)
_DISPLAY_NAME = re.compile(r"\"([^\"\r\n]{2,80})\"\s*<(?:sips?|tel):", re.IGNORECASE)
_IDENTITIES = (
    r"From|To|Contact|Reply-To|Referred-By|Refer-To|Diversion|History-Info|Remote-Party-ID"
    r"|P-(?:Asserted|Preferred)-Identity|P-Called-Party-ID"
)
_TOKENS_AS_NAME = re.compile(
    rf"(?:^|\\n|[\s'\"])(?:{_IDENTITIES}|f|t|m): ?([^<\"\r\n:;,]{{2,80}}?)\s*<(?:sips?|tel):", re.IGNORECASE | re.MULTILINE
)
"""A display name without quotes (RFC 3261 section 25.1)."""
_SERVICE = re.compile(r"(?:^|\s)(?:_[\w-]+\.)+([\w-]+(?:\.[\w-]+)+)")
_HOST_NAME = re.compile(r"(?=.{4,253}$)(?:[A-Za-z0-9](?:[\w-]{0,62})\.)+[A-Za-z][A-Za-z0-9-]{1,62}\.?")
_NAMING = frozenset(
    {
        "query",
        "host",
        "hostname",
        "names",
        "name",
        "target",
        "domain",
        "realm",
        "user",
        "username",
        "account",
        "auth_user",
        "server_name",
        "issuer",
        "subject",
        "registrar",
        "proxy",
        "replacement",
        "friendly_name",
        "serial_number",
        "description",
    }
)
"""Facts whose values are names, where they look like host names (or stand for people, as the last ones do)."""
_FREE = frozenset({"user", "username", "auth_user", "realm", "friendly_name", "serial_number", "description"})
"""Of them, those that are names whatever they look like."""
_USERS = frozenset({"user", "username", "auth_user"})
"""Of them, those that are names even where they are short numbers."""
_LONG_NUMBER = 6
"""Digits: a longer one in a name's place is a telephone number, a shorter one an extension, as which a port or a count would pass."""
_KEPT = {"127.0.0.1", "0.0.0.0", "::", "::1", "255.255.255.255"}
_WORDS = {"edgecheck", "localhost", "invalid", "anonymous", "echo", "user"}
"""Names that stand for nobody."""


def redact(report: Report) -> Report:
    """The same report, with words in place of IP and MAC addresses, of host names and of SIP users."""
    plain = msgspec.to_builtins(report)
    texts = list(_strings(plain))
    names = {name for text in texts for name in _names(text)} | set(_asked(report))
    for facts in ({"account": report.settings.get("account")}, *(check.get("observation") for check in plain["checks"])):
        names |= set(_facts(facts))
    numbers = {each for text in texts for each in found(_opened(text))} | {name for name in names if name.isdigit()}
    names = {name for name in names | numbers if not _is_short_number(name)}
    names |= {parent for name in names if (parent := _parent(name))}
    addresses = {str(address) for text in texts for match in _ADDRESS.finditer(text) if (address := _parsed(match[0]))}
    return msgspec.convert(_Words(names, {each for each in numbers if _is_short_number(each)}, addresses).through(plain), Report)


class _Words:
    """One word for each address and name, in the order met."""

    def __init__(self, names: set[str], numbers: set[str], addresses: set[str]) -> None:
        self._given: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        # the longest first, so that a host's name goes before the domain that it ends in, with the labels before it
        ordered = sorted((name for name in names if len(name) > 1), key=lambda name: (-len(name), name))
        hosts = "|".join(("(?:[A-Za-z0-9-]+\\.)*" if "." in name else "") + _encoded(name) for name in ordered)
        self._names = re.compile(rf"(?:(?<![\w-])|(?<=%[0-9A-F]{{2}}))(?:{hosts})(?![\w-]|\.\w)", re.IGNORECASE) if hosts else None
        self._extensions = Extensions(numbers, lambda each: self._word("name", each))
        self._spelled = {spelling: address for address in sorted(addresses) if address not in _KEPT for spelling in _spellings(address)}
        other = "|".join(re.escape(spelling) for spelling in sorted(self._spelled, key=lambda each: (-len(each), each)))
        self._other = re.compile(rf"(?<!\d)(?<!\d\.)(?:{other})(?!\d)", re.IGNORECASE) if other else None

    def through(self, value: Any, field: str = "") -> Any:
        if isinstance(value, str):
            # A number where a user stands is one, whatever else it might be.
            return self._word("name", value) if field in _USERS and value.isdigit() else self._text(value)
        if isinstance(value, dict):
            return {self._text(key) if isinstance(key, str) else key: self.through(each, key) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.through(each) for each in value]
        return value

    def _text(self, text: str) -> str:
        text = _BASE64.sub(self._packed, text)
        text = self._extensions.through(text)
        text = _MAC.sub(lambda match: self._word("mac", re.sub("[:.-]", "", match[0].lower())), text)
        text = _ADDRESS.sub(self._address, text)
        if self._other:
            text = self._other.sub(lambda match: self._of_address(self._spelled[match[0].lower()]), text)
        return self._names.sub(lambda match: self._word("name", unquote(match[0]).lower()), text) if self._names else text

    def _packed(self, match: re.Match[str]) -> str:
        """A message that is no UTF-8: the same, redacted."""
        plain = _opened(match[0])
        if not plain:
            return "base64:(left out)"
        return "base64:" + base64.b64encode(self._text(plain).encode("utf-8", "surrogateescape")).decode()

    def _address(self, match: re.Match[str]) -> str:
        address = _parsed(match[0])
        return match[0] if address is None or str(address) in _KEPT else self._of_address(str(address))

    def _of_address(self, text: str) -> str:
        address = ipaddress.ip_address(text)
        documentation = address.is_private and not address.is_link_local and not _local(address)
        kind = "shared" if is_shared(text) else "public" if address.is_global or documentation else "private"
        return self._word(kind, text)

    def _word(self, kind: str, value: str) -> str:
        if value not in self._given:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._given[value] = f"{kind}-{self._counts[kind]}"
        return self._given[value]


_LOCAL = tuple(
    ipaddress.ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8", "fc00::/7")
)


def _local(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return any(address.version == network.version and address in network for network in _LOCAL)


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address; an IPv4 one where it is only written as IPv6 (``::ffff:192.0.2.1``), or with zeros before its numbers."""
    text = text.partition("%")[0]
    if "." in text and ":" not in text:
        text = ".".join(part.lstrip("0") or "0" for part in text.split("."))
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, ipaddress.IPv6Address) else address


def _spellings(address: str) -> Iterable[str]:
    """Other ways in which it may stand somewhere, in lower case."""
    yield address
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        yield parsed.exploded
        yield parsed.packed.hex()
        return
    parts = address.split(".")
    yield from (separator.join(parts) for separator in "-_")
    yield ".".join(reversed(parts))
    yield "-".join(reversed(parts))
    yield parsed.packed.hex()


def _parent(name: str) -> str:
    """The domain above a host, where that is not the top; empty for other names."""
    above = name.rstrip(".").partition(".")[2]
    return above if "." in above and _HOST_NAME.fullmatch(name) else ""


def _facts(value: Any, field: str = "") -> Iterable[str]:
    """Names in a check's facts, by the names of the fields that they stand in."""
    if isinstance(value, dict):
        if isinstance(value.get("where"), str):  # a header that changed: its value stands apart from its name
            for each in (value.get("sent"), value.get("arrived")):
                yield from _names(f"{value['where']}: {each}")
        for key, each in value.items():
            yield from _facts(each, key)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _facts(each, field)
    elif isinstance(value, str) and field in _NAMING:
        plain = value.strip().rstrip(".").removeprefix("*.")
        service = _SERVICE.fullmatch(plain)
        name = service[1] if service else plain
        free = (field in _FREE and 2 < len(name) <= 64 and not name.isdigit()) or (field in _USERS and name.isdigit())
        if (free or _HOST_NAME.fullmatch(name)) and name.lower() not in _WORDS and not _is_address(name):
            yield name


def _opened(text: str) -> str:
    """What stands in base64, where all of it is that; else the text itself. Empty where it cannot be opened."""
    if not text.startswith("base64:"):
        return text
    try:
        return base64.b64decode(text.removeprefix("base64:"), validate=True).decode("utf-8", "surrogateescape")
    except binascii.Error:
        return ""


def _encoded(name: str) -> str:
    """A pattern for a name in which any character may be percent-encoded (RFC 3986 section 2.1)."""
    return "".join(
        f"(?:{re.escape(letter)}|{'|'.join(_percent(each) for each in sorted({letter.lower(), letter.upper()}))})" for letter in name
    )


def _percent(letter: str) -> str:
    return "".join(f"%{byte:02X}" for byte in letter.encode("utf-8", "surrogateescape"))


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _strings(key)
            yield from _strings(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _strings(each)


def _names(text: str) -> Iterable[str]:
    """Users and hosts of SIP URIs, telephone numbers, and what digest headers and service records name."""
    text = _opened(text)
    named = [name for match in _SIP_URI.finditer(text) for name in match.groups() if name]
    named = [name.partition(":")[0] for name in named]  # a user's password, a host's port
    for pattern in (_QUOTED_NAMES, _DISPLAY_NAME, _TOKENS_AS_NAME, _TELEPHONE, _SERVICE):
        named += [match[1] for match in pattern.finditer(text)]
    named = [unquote(name).strip(" .,;") for name in named]
    yield from (name for name in named if name.lower() not in _WORDS and not _is_address(name) and not _is_short_number(name))


def _is_short_number(name: str) -> bool:
    return name.isdigit() and len(name) < _LONG_NUMBER


def _asked(report: Report) -> Iterable[str]:
    """Names on the command line: the server, the account."""
    for field in ("target", "account", "user", "domain", "proxy", "auth_user"):
        value = report.settings.get(field)
        for word in re.split(r"[\s@:;/]+", value) if isinstance(value, str) else ():
            if (
                len(word) > 2
                and not _is_address(word)
                and not _is_short_number(word)
                and word.lower() not in {"sip", "sips", "edge", *_WORDS}
            ):
                yield word


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
