"""STUN: Binding requests of RFC 8489 with the NAT behavior discovery of RFC 5780, and of classic RFC 3489 clients.

The answer goes to the request's source address always; the port may be another (RESPONSE-PORT), on the same host. Nothing is
ever sent to an address that a request names: RESPONSE-ADDRESS of RFC 3489 was a reflector, and is refused as unknown.
"""

from typing import NamedTuple

from echo_server import roles
from edgecheck import __version__
from edgecheck.wire import stun
from edgecheck.wire.address import Endpoint
from edgecheck.wire.control import Service
from edgecheck.wire.stun import Attribute, Class, Message

SOFTWARE = f"edgecheck {__version__}"
MESSAGE_INTEGRITY_SHA256 = 0x001C
PASSWORD_ALGORITHM = 0x001D
USERHASH = 0x001E
_ANSWER_TYPES = frozenset(
    {
        stun.MAPPED_ADDRESS,
        stun.SOURCE_ADDRESS,
        stun.CHANGED_ADDRESS,
        stun.ERROR_CODE,
        stun.UNKNOWN_ATTRIBUTES,
        stun.REFLECTED_FROM,
        stun.XOR_MAPPED_ADDRESS,
    }
)
_CREDENTIAL_TYPES = frozenset(
    {stun.USERNAME, stun.MESSAGE_INTEGRITY, stun.REALM, stun.NONCE, MESSAGE_INTEGRITY_SHA256, PASSWORD_ALGORITHM, USERHASH}
)
_UNDERSTOOD = frozenset({stun.CHANGE_REQUEST, stun.PADDING, stun.RESPONSE_PORT}) | _CREDENTIAL_TYPES | _ANSWER_TYPES
"""Below 0x8000 and not refused. Credentials are known to RFC 8489 and mean nothing to a server that asks nobody for any;
attributes that belong into answers are ignored where they make no sense (RFC 8489 section 6.3)."""


class Answer(NamedTuple):
    """One STUN answer and the role that sends it."""

    listener: str
    destination: Endpoint
    data: bytes


def respond(
    service: Service, listener: str, source: Endpoint, request: Message, *, size: int, fingerprint: bool, stream: bool
) -> Answer | None:
    """The answer to one message of ``size`` bytes that came to ``listener``; None for what is no Binding request.

    ``fingerprint``: the request carried one, so the answer does too. ``stream``: it came over TCP.
    """
    if request.message_class is not Class.REQUEST or request.method != stun.BINDING:
        return None
    change = request.get(stun.CHANGE_REQUEST)
    # RFC 5780 section 6.1 asks for 420 on any CHANGE-REQUEST where there is no alternate address. Classic clients (Vovida, stuntman)
    # put one with both flags clear into their plain test: that asks for nothing, and is answered, as coturn does.
    # A stream cannot be answered from elsewhere, so there it is refused too.
    refusable = change is not None and any(change) and (stream or not roles.has_other_address(service, listener))
    unknown = tuple(dict.fromkeys(a.type for a in request.attributes if a.type < 0x8000 and a.type not in _UNDERSTOOD))
    unknown += (stun.CHANGE_REQUEST,) if refusable else ()
    response_port = request.get(stun.RESPONSE_PORT)
    if stream and response_port is not None:
        unknown += (stun.RESPONSE_PORT,)
    if unknown:
        return _error(service, listener, source, request, (420, "Unknown Attribute"), unknown, fingerprint)
    padding = request.get(stun.PADDING)
    if response_port is not None and (padding is not None or response_port == 0):
        return _error(service, listener, source, request, (400, "Bad Request"), (), fingerprint)
    sender = roles.changed(listener, *change) if change is not None and any(change) else listener
    destination = source if response_port is None else Endpoint(source.host, response_port)
    attributes = _attributes(service, listener, sender, source, request)
    data = _serialize(Class.SUCCESS, request, attributes, fingerprint)
    if padding is not None:
        # RFC 5780 section 6.1 wants a PADDING of the link's MTU. Ours makes the answer as long as the request and no longer:
        # a client that wants fragments back sends fragments.
        room = max(0, (size - len(data) - 4) // 4 * 4)
        data = _serialize(Class.SUCCESS, request, (*attributes, Attribute(stun.PADDING, bytes(room))), fingerprint)
    return Answer(sender, destination, data)


def _attributes(service: Service, listener: str, sender: str, source: Endpoint, request: Message) -> tuple[Attribute, ...]:
    origin = roles.endpoint(service, sender)
    other = roles.endpoint(service, roles.changed(listener, True, True)) if roles.has_other_address(service, listener) else None
    if request.classic:
        pairs = [(stun.MAPPED_ADDRESS, source), (stun.SOURCE_ADDRESS, origin), (stun.CHANGED_ADDRESS, other)]
    else:
        pairs = [
            (stun.XOR_MAPPED_ADDRESS, source),
            (stun.MAPPED_ADDRESS, source),
            (stun.RESPONSE_ORIGIN, origin),
            (stun.OTHER_ADDRESS, other),
        ]
    return (*(Attribute(type, value) for type, value in pairs if value is not None), _software(request))


def _error(
    service: Service,
    listener: str,
    source: Endpoint,
    request: Message,
    error: tuple[int, str],
    unknown: tuple[int, ...],
    fingerprint: bool,
) -> Answer:
    code, reason = error
    attributes = [Attribute(stun.ERROR_CODE, (code, _padded(reason) if request.classic else reason))]
    if unknown:
        # RFC 3489 section 11.2.10: an odd list is made even by repeating one; RFC 8489 pads the attribute instead.
        listed = (*unknown, unknown[-1]) if request.classic and len(unknown) % 2 else unknown
        attributes.append(Attribute(stun.UNKNOWN_ATTRIBUTES, listed))
    return Answer(listener, source, _serialize(Class.ERROR, request, (*attributes, _software(request)), fingerprint))


def _software(request: Message) -> Attribute:
    return Attribute(stun.SOFTWARE, _padded(SOFTWARE) if request.classic else SOFTWARE)


def _padded(text: str) -> str:
    """RFC 3489 sections 11.2.9 and 11.2.11: no padding behind a text; the text itself has a multiple of 4 bytes. pystun3 relies on it."""
    return text + " " * (-len(text) % 4)


def _serialize(message_class: Class, request: Message, attributes: tuple[Attribute, ...], fingerprint: bool) -> bytes:
    data = stun.serialize(Message(message_class, stun.BINDING, request.transaction_id, request.cookie, attributes))
    return stun.with_fingerprint(data) if fingerprint else data
