"""Where a REGISTER goes: what the checks before this one have found, and where redirections lead."""

from edgecheck.checks.registration.dialogue import Redirected
from edgecheck.model.account import Place, SipTransport
from edgecheck.model.phone import Phone, Target
from edgecheck.wire import sip

MOST_TARGETS = 3


def targets_of(phone: Phone) -> list[Target]:
    """Where to go, in order: what answered the ``transport`` check first, then the rest of what ``dns`` found."""
    found = list(phone.targets)
    place = phone.account.next_hop
    if not found and place.numeric:
        transport: SipTransport = place.transport or ("tls" if place.secure else "udp")
        port = place.port or (5061 if transport in ("tls", "wss") else 5060)
        found = [Target(transport=transport, host=place.host, address=place.host, port=port, because="written in the address")]
    if phone.flow is not None:
        found = [phone.flow, *(target for target in found if target != phone.flow)]
    return found[:MOST_TARGETS]


async def follow(phone: Phone, step: Redirected, come_from: Target) -> list[Target]:
    """The targets that redirections lead to."""
    out: list[Target] = []
    for uri in step.uris:
        parts = sip.uri_parts(uri)
        if phone.account.registrar.secure and parts.scheme != "sips":
            continue  # TLS on every hop was asked for (RFC 3261 section 26.2.2)
        named = parts.parameters.get("transport", "").lower()
        transport: SipTransport = come_from.transport
        for known in ("udp", "tcp", "tls", "ws", "wss"):
            if named == known:
                transport = known
        if parts.scheme == "sips" and transport in ("udp", "tcp"):
            transport = "tls"
        place = Place(host=parts.host, port=parts.port, transport=transport)
        addresses = (parts.host,) if place.numeric else (await phone.look_up(parts.host)).addresses
        port = parts.port or (5061 if transport in ("tls", "wss") else 5060)
        out += [
            Target(transport=transport, host=parts.host, address=address, port=port, because=f"redirected by {come_from.endpoint}")
            for address in addresses[:2]
        ]
    return out[:MOST_TARGETS]
