"""Which of the Contacts in a 200 is ours, and what it says (RFC 3261 section 10.2.4, RFC 5626, RFC 5627). Pure."""

import urllib.parse
from typing import NamedTuple

from edgecheck.checks.registration.dialogue import seconds
from edgecheck.checks.registration.observation import Binding
from edgecheck.wire import sip
from edgecheck.wire.address import parse_host
from edgecheck.wire.errors import Malformed, WireError

_MOST = 50
"""Bindings kept: an account has a handful."""


class Listing(NamedTuple):
    """What a 200 lists."""

    bindings: tuple[Binding, ...]
    own: Binding | None
    gruu: str | None

    def granted(self, header: int | None) -> int | None:
        """Seconds that ours was given: its own parameter, else the answer's Expires header (section 10.2.4)."""
        if self.own is not None and self.own.expires_s is not None:
            return self.own.expires_s
        return header


def read_listing(answer: sip.Message, sent: str | None, instance: str | None, before: Listing | None = None) -> Listing:
    """The bindings of a 200; ours is the one with our URI, else with our instance, else the only one that was not there before.

    A registrar that rewrote our Contact may have kept nothing else of it: so the last resort.
    """
    raw = [item for line in answer.all("Contact") for item in sip.split_addresses(line)][:_MOST]
    raw = [item for item in raw if item != "*"]
    index = _own(raw, sent, instance, before) if sent is not None else None
    bindings = tuple(
        Binding(
            contact=sip.address_uri(item)[:200],
            expires_s=seconds(sip.parameters(item).get("expires")),
            own=number == index,
        )
        for number, item in enumerate(raw)
    )
    own = bindings[index] if index is not None else None
    given = sip.parameters(raw[index]) if index is not None else {}
    return Listing(bindings, own, given.get("pub-gruu") or None)


def _own(raw: list[str], sent: str, instance: str | None, before: Listing | None) -> int | None:
    for number, item in enumerate(raw):
        if same_uri(sip.address_uri(item), sent):
            return number
    for number, item in enumerate(raw):
        if instance is not None and sip.parameters(item).get("+sip.instance", "").strip("<>").lower() == instance.lower():
            return number
    known = {binding.contact for binding in before.bindings} if before else set()
    new = [number for number, item in enumerate(raw) if sip.address_uri(item) not in known]
    return new[0] if before is not None and len(new) == 1 else None


def same_uri(one: str, other: str) -> bool:
    """Whether both lead to the same place: scheme, user, host, port and transport; other parameters are the registrar's to add."""
    try:
        a, b = sip.uri_parts(one), sip.uri_parts(other)
    except WireError:
        return one == other
    users = [urllib.parse.unquote(each.user or "") for each in (a, b)]  # section 19.1.4: an escape is the character that it stands for
    same_transport = a.parameters.get("transport", "udp").lower() == b.parameters.get("transport", "udp").lower()
    return users[0] == users[1] and (a.scheme, _host(a), a.port) == (b.scheme, _host(b), b.port) and same_transport


def _host(uri: sip.Uri) -> str:
    """Of an IPv6 address its one canonical spelling; names in lower case."""
    try:
        return parse_host(uri.host)
    except Malformed:
        return uri.host.lower()
