"""This network's public address, as a STUN server sees it (RFC 8489): is the PBX's name that address?"""

import secrets

from edgecheck.model.errors import LocalFailure
from edgecheck.model.phone import Phone
from edgecheck.wire import stun
from edgecheck.wire.address import Endpoint, parse_endpoint
from edgecheck.wire.errors import WireError

_SENDS_AFTER_S = (0.0, 0.1, 0.3, 0.7, 1.0)
"""When the request is sent, seconds: five copies, so that a lost one costs nothing (RFC 8489 section 6.2.1 has the same idea)."""
_LAST_WAIT_S = 1.0


async def public_address(phone: Phone) -> tuple[str | None, bool | None]:
    """The IP address from which the STUN server named by the account sees this machine, and whether it is another than the machine's own.

    (None, None): none was named, or it said nothing.
    """
    if phone.account.stun is None:
        return None, None
    server = parse_endpoint(phone.account.stun)
    try:
        socket = await phone.open_udp(server)
    except LocalFailure:
        return None, None
    transaction = secrets.token_bytes(12)
    try:
        request = stun.binding_request(transaction)
        began = phone.now()
        for after in (*_SENDS_AFTER_S, None):
            until = began + (_SENDS_AFTER_S[-1] + _LAST_WAIT_S if after is None else after)
            if await phone.until(lambda: any(_mapped(each.data, transaction) for each in socket.inbox), max(0.0, until - phone.now())):
                break
            if after is not None:
                socket.send(request, server)
        found = [mapped for each in socket.inbox if each.source == server and (mapped := _mapped(each.data, transaction))]
        return (found[0].host, found[0].host != socket.local.host) if found else (None, None)
    finally:
        socket.close()


def _mapped(data: bytes, transaction: bytes) -> Endpoint | None:
    """The mapped address in the success response to this request; None for anything else."""
    try:
        message = stun.parse(data)
    except WireError:
        return None
    fits = message.message_class is stun.Class.SUCCESS and message.transaction_id == transaction
    return message.mapped if fits else None
