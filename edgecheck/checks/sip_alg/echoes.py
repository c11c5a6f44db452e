"""An answer repeats Via, From, Call-ID and CSeq (RFC 3261 section 8.2.6.2). Where one does not, is it the server's doing, or a box's? Pure.

Another value in the place of ours is no server's doing, for no phone could use that server. What a server may do by itself proves nothing:

- it writes them anew: spaces, upper and lower case, a display name, angle brackets. Nothing is said of that;
- it leaves a header out, or adds a parameter to our Via, as some do: a hint;
- it does the same over TLS, where a box that has not opened the connection sees nothing: a hint as well.
"""

from collections.abc import Iterable

from edgecheck.checks.sip_alg.authorship import echo_differences
from edgecheck.checks.sip_alg.compare import Difference
from edgecheck.wire import sip
from edgecheck.wire.errors import WireError

Own = frozenset[tuple[str, str]]
"""``where`` and ``action`` of what this server's answers show over TLS, too."""


def sort(request: bytes, answer: bytes) -> tuple[Difference, ...]:
    """What is not repeated as it was, but for the way in which it is written."""
    return tuple(one for one in echo_differences(request, answer) if not _same_meaning(one))


def of_the_server(over_tls: Iterable[tuple[bytes, bytes]]) -> Own:
    """What it does by itself, from requests and answers: see ``Own``."""
    return frozenset((one.where, one.action) for request, answer in over_tls for one in sort(request, answer))


def proofs(request: bytes, answer: bytes, own: Own) -> tuple[Difference, ...]:
    """What only a box on the way does."""
    return tuple(one for one in sort(request, answer) if not _may_be_the_servers(one) and (one.where, one.action) not in own)


def odd(request: bytes, answer: bytes, own: Own) -> tuple[str, ...]:
    """What the server may have done itself, in words."""
    proved = proofs(request, answer, own)
    return tuple(_words(one, own) for one in sort(request, answer) if one not in proved)


def _words(one: Difference, own: Own) -> str:
    also = " (over TLS, too)" if (one.where, one.action) in own else ""
    if one.action == "removed":
        return f"{one.where} is missing{also}"
    added = set(sip.parameters(one.arrived)) - set(sip.parameters(one.sent)) - {"received"} if one.where == "Via" else set()
    if added and _may_be_the_servers(one):
        return f"Via has parameters that were not sent ({', '.join(sorted(added))}){also}"
    return f"{one.where} is another than was sent{also}"


def _may_be_the_servers(one: Difference) -> bool:
    return one.action == "removed" or (one.where == "Via" and one.action == "rewritten" and _only_more_parameters(one))


def _only_more_parameters(one: Difference) -> bool:
    ours, theirs = (sip.parameters(text) for text in (one.sent, one.arrived))
    return _sent_by(one.sent) == _sent_by(one.arrived) and all(theirs.get(name) == value for name, value in ours.items() if name != "rport")


def _same_meaning(one: Difference) -> bool:
    if one.where == "From":
        return sip.address_uri(one.sent) == sip.address_uri(one.arrived) and _tag(one.sent) == _tag(one.arrived)
    if one.where == "CSeq":
        return one.sent.upper().split() == one.arrived.upper().split()
    if one.where == "Via" and one.action == "rewritten":
        return _only_more_parameters(one) and not set(sip.parameters(one.arrived)) - set(sip.parameters(one.sent)) - {"received", "rport"}
    return False


def _tag(value: str) -> str | None:
    return sip.parameters(value).get("tag")


def _sent_by(via: str) -> object:
    """Version, transport, host and port, whatever the spaces and the case."""
    try:
        parts = sip.via_parts(via)
    except WireError:
        return via
    return parts.transport.upper(), parts.host.lower(), parts.port
