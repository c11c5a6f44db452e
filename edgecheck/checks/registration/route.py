"""The way out that a registrar names (Service-Route, RFC 3608), and what a request that goes there looks like. Pure."""

from edgecheck.model.account import Account, Place, SipTransport, encrypted
from edgecheck.wire import sip
from edgecheck.wire.errors import WireError


def items(values: tuple[str, ...]) -> tuple[str, ...]:
    """The single values of header lines, in order."""
    return tuple(item.strip() for value in values for item in sip.split_addresses(value) if item.strip())


def is_loose(value: str) -> bool:
    """Whether it carries ``lr`` (RFC 3261 section 19.1.1), as RFC 3608 section 5 demands of a Service-Route."""
    try:
        return "lr" in sip.uri_parts(sip.address_uri(value)).parameters
    except WireError:
        return False


def place_of(value: str, over: SipTransport) -> Place | None:
    """Where a request with this topmost Route is sent; None: it is no SIP address.

    Where the URI names no transport, a phone keeps the one that it has registered over, and never gives encryption up.
    """
    try:
        parts = sip.uri_parts(sip.address_uri(value))
    except WireError:
        return None
    named = parts.parameters.get("transport", "").lower()
    transport = next((known for known in ("udp", "tcp", "tls", "ws", "wss") if known == named), over)
    if parts.scheme == "sips" or encrypted(over):
        transport = {"udp": "tls", "tcp": "tls", "ws": "wss"}.get(transport, transport)  # type: ignore[assignment]
    return Place(host=parts.host, port=parts.port, transport=transport, secure=parts.scheme == "sips")


def preloaded(account: Account, service_route: tuple[str, ...]) -> tuple[str, ...]:
    """The Route set of a new request: the outbound proxy, where one is set and the Service-Route does not begin with it, then that."""
    route = items(service_route)
    if account.proxy is None:
        return route
    first = place_of(route[0], "udp") if route else None
    if first is not None and (first.host.lower(), first.port or 5060) == (account.proxy.host.lower(), account.proxy.port or 5060):
        return route
    return (f"<{account.proxy.uri};lr>", *route)


def addressed(uri: str, route: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """Request-URI and Route headers of a request to ``uri`` (RFC 3261 section 12.2.1.1): a strict router's own URI comes first."""
    if not route or is_loose(route[0]):
        return uri, route
    return sip.address_uri(route[0]), (*route[1:], f"<{uri}>")
