"""A report without the addresses and names of the people it came from, for a public ticket.

Each address becomes one word and stays that word all through (``public-1``, ``private-2``), so that the evidence can still be
followed: whether a Via header carries the address of this machine or the router's is what it is all about. Ports stay.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from edgecheck.model.verdict import Report

_V4 = r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)"
_V6 = r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:){0,7}:?(?::[0-9A-Fa-f]{1,4}){0,7}:?[0-9A-Fa-f]{0,4}(?:(?:\d{1,3}\.){3}\d{1,3})?(?:%\w+)?(?![\w:])"
_ADDRESS = re.compile(f"{_V4}|{_V6}")
_MAC = re.compile(r"(?<![\w:-])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![\w:-])")
_SIP_URI = re.compile(r"\bsips?:(?:([^\s@;?<>\"]+)@)?([^\s@:;?<>\"\]]+)", re.IGNORECASE)
_QUOTED_NAMES = re.compile(r"\b(?:username|realm)=\"([^\"]+)\"", re.IGNORECASE)
_SHARED = ipaddress.ip_network("100.64.0.0/10")
_KEPT = {"127.0.0.1", "0.0.0.0", "::", "::1", "255.255.255.255"}
_WORDS = {"edgecheck", "localhost", "invalid", "anonymous", "echo", "user"}
"""Names that stand for nobody."""


def redact(report: Report) -> Report:
    """The same report, with words in place of IP and MAC addresses, of host names and of SIP users."""
    plain = msgspec.to_builtins(report)
    names = {name for text in _strings(plain) for name in _names(text)} | set(_asked(report))
    return msgspec.convert(_Words(names).through(plain), Report)


class _Words:
    """One word for each address and name, in the order met."""

    def __init__(self, names: set[str]) -> None:
        self._given: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        # the longest first, so that a host's name goes before the domain that it ends in
        ordered = sorted((name for name in names if len(name) > 1), key=lambda name: (-len(name), name))
        self._names = (
            re.compile("|".join(rf"(?<![\w.-]){re.escape(name)}(?![\w-]|\.\w)" for name in ordered), re.IGNORECASE) if ordered else None
        )

    def through(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return {self._text(key) if isinstance(key, str) else key: self.through(each) for key, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.through(each) for each in value]
        return value

    def _text(self, text: str) -> str:
        text = _MAC.sub(lambda match: self._word("mac", match[0].lower()), text)
        text = _ADDRESS.sub(self._address, text)
        return self._names.sub(lambda match: self._word("name", match[0].lower()), text) if self._names else text

    def _address(self, match: re.Match[str]) -> str:
        try:
            address = ipaddress.ip_address(match[0].partition("%")[0])
        except ValueError:
            return match[0]
        if str(address) in _KEPT:
            return match[0]
        shared = address.version == 4 and address in _SHARED
        documentation = address.is_private and not address.is_link_local and not _local(address)
        kind = "shared" if shared else "public" if address.is_global or documentation else "private"
        return self._word(kind, str(address))

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
    """Users and hosts of SIP URIs, and what digest headers name."""
    found = [name for match in _SIP_URI.finditer(text) for name in match.groups() if name]
    found += [match[1] for match in _QUOTED_NAMES.finditer(text)]
    return (name for name in found if name.lower() not in _WORDS and not _is_address(name) and not name.isdigit())


def _asked(report: Report) -> Iterable[str]:
    """Names on the command line: the server, the account."""
    for field in ("target", "account", "user", "domain", "proxy", "auth_user"):
        value = report.settings.get(field)
        for word in re.split(r"[\s@:;/]+", value) if isinstance(value, str) else ():
            if len(word) > 2 and not _is_address(word) and not word.isdigit() and word.lower() not in {"sip", "sips", "edge", *_WORDS}:
                yield word


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
