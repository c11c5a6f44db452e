"""The requests that the doctor sends, and its answers to what reaches it."""

from typing import NamedTuple

from edgecheck.model.account import Account, Place, SipTransport
from edgecheck.wire import sip
from edgecheck.wire.address import Endpoint

USER_AGENT = "edgecheck"
ALLOW = "OPTIONS, INVITE, ACK, BYE, CANCEL, NOTIFY, MESSAGE"


class Way(NamedTuple):
    """What a request must know of the link that carries it."""

    transport: SipTransport
    local: Endpoint


class Names(NamedTuple):
    """What stays the same through a run."""

    call_id: str
    from_tag: str
    instance: str
    """``urn:uuid:...``: finds our binding among the others."""


def contact_uri(account: Account, way: Way) -> str:
    """Where we would be called: this machine's own address, as a phone without STUN writes it."""
    # RFC 7118 section 5.2: whoever cannot be connected to writes a name that resolves to nothing.
    where = f"{_label(way)}.invalid" if way.transport in ("ws", "wss") else str(way.local)
    scheme = "sips" if account.registrar.secure else "sip"
    return f"{scheme}:{account.user}@{where}" + ("" if way.transport == "udp" or scheme == "sips" else f";transport={_over(way.transport)}")


def register(
    account: Account,
    names: Names,
    way: Way,
    *,
    uri: str,
    branch: str,
    cseq: int,
    contact: str | None,
    expires: int,
    extensions: tuple[str, ...],
    credentials: tuple[tuple[str, str], ...] = (),
) -> bytes:
    """A REGISTER; without ``contact`` it asks for the bindings and changes none (RFC 3261 section 10.2.3). Raises ``WireError``."""
    headers = [
        ("Via", via(way, branch)),
        ("Max-Forwards", "70"),
        *_route(account),
        ("From", f"<{account.aor}>;tag={names.from_tag}"),
        ("To", f"<{account.aor}>"),
        ("Call-ID", names.call_id),
        ("CSeq", f"{cseq} REGISTER"),
    ]
    if contact is not None:
        flow = f';reg-id=1;+sip.instance="<{names.instance}>"' if "outbound" in extensions else f';+sip.instance="<{names.instance}>"'
        headers += [("Contact", f"<{contact}>{flow};expires={expires}"), ("Expires", str(expires))]
    if extensions:
        headers.append(("Supported", ", ".join(extensions)))
    headers += [("User-Agent", USER_AGENT), ("Allow", ALLOW), *credentials]
    return sip.build(f"REGISTER {uri} SIP/2.0", headers)


def options(
    account: Account,
    names: Names,
    way: Way,
    *,
    uri: str,
    branch: str,
    cseq: int,
    to: str = "",
    route: tuple[str, ...] = (),
    credentials: tuple[tuple[str, str], ...] = (),
) -> bytes:
    """An OPTIONS to ``uri``: to the own address of record it comes back to us where bindings are reached. Raises ``WireError``."""
    headers = [
        ("Via", via(way, branch)),
        ("Max-Forwards", "20"),
        *(("Route", value) for value in route),
        ("From", f"<{account.aor}>;tag={names.from_tag}"),
        ("To", f"<{to or uri}>"),
        ("Call-ID", f"{names.call_id}-reach"),
        ("CSeq", f"{cseq} OPTIONS"),
        ("Contact", f"<{contact_uri(account, way)}>"),
        ("Accept", "application/sdp"),
        ("User-Agent", USER_AGENT),
        *credentials,
    ]
    return sip.build(f"OPTIONS {uri} SIP/2.0", headers)


def via(way: Way, branch: str) -> str:
    """Our Via, asking for the source address and port (RFC 3581)."""
    where = f"{_label(way)}.invalid" if way.transport in ("ws", "wss") else str(way.local)
    return f"SIP/2.0/{way.transport.upper()} {where};branch={branch};rport"


def answer(request: sip.Message, tag: str) -> bytes | None:
    """What a phone that must not take calls says; None where nothing is to be said. Raises ``WireError``."""
    if request.method == "ACK":
        return None
    # 480 and not 486 or 603: whoever calls goes on trying the other phones of this account.
    start = "SIP/2.0 480 Temporarily Unavailable" if request.method == "INVITE" else "SIP/2.0 200 OK"
    to = request.get("To") or ""
    if "tag" not in sip.parameters(to):
        to = f"{to};tag={tag}"
    headers = [("Via", value) for value in request.all("Via")]
    headers += [("Record-Route", value) for value in request.all("Record-Route")]
    headers += [("From", request.get("From") or ""), ("To", to)]
    headers += [(name, request.get(name) or "") for name in ("Call-ID", "CSeq")]
    return sip.build(start, [*headers, ("Allow", ALLOW), ("User-Agent", USER_AGENT)])


def request_uri(place: Place) -> str:
    """The Request-URI of a REGISTER: the domain, no user (RFC 3261 section 10.2)."""
    return f"{'sips' if place.secure else 'sip'}:{place.authority}"


def _route(account: Account) -> list[tuple[str, str]]:
    return [] if account.proxy is None else [("Route", f"<{account.proxy.uri};lr>")]


def _over(transport: SipTransport) -> str:
    return "ws" if transport == "wss" else transport


def _label(way: Way) -> str:
    return f"p{way.local.port}"
