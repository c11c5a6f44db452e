"""Is a SIP ALG on the way? One question that gives the Linux kernel's away without an echo server.

nf_conntrack_sip sends the answer to a UDP request to the port that Via names, whatever RFC 3581 asked of the server. So a request
leaves one port and names another in its Via: a server that knows ``rport`` answers to where it came from, and if the answer arrives at
the port in Via all the same, a box on the way has taken it there.
"""

from collections.abc import Callable

from edgecheck.checks.registration.messages import Way
from edgecheck.model.errors import LocalFailure
from edgecheck.model.phone import Link, Phone, Target
from edgecheck.wire import sip
from edgecheck.wire.errors import WireError
from edgecheck.wire.networks import is_public
from edgecheck.wire.transaction import ClientTransaction

_PATIENCE_S = 2.0


def hides_nat(own: str, target: Target) -> bool:
    """Whether a NAT is likely to be on the way: a private address here, a public one there. Only over UDP is the question asked."""
    return target.transport == "udp" and is_public(own) is False and is_public(target.address) is True


async def diverted(phone: Phone, target: Target, request_for: Callable[[Way, str], bytes]) -> bool | None:
    """Whether the answer came to the port in Via though the server knows ``rport``; None: it did not come, or the server does not."""
    try:
        asking, named = await phone.open_link(target), await phone.open_link(target)
    except LocalFailure:
        return None
    try:
        branch = f"z9hG4bK{phone.token(8)}"
        request = request_for(Way("udp", named.local), branch)
        transaction = ClientTransaction(request, branch, "OPTIONS", reliable=False, timeout=_PATIENCE_S)
        asking.send(transaction.begin(phone.now()))
        while not transaction.over:
            if _knows_rport(asking, transaction) is not None:
                return False
            if (knows := _knows_rport(named, transaction)) is not None:
                return True if knows else None
            again = transaction.tick(phone.now())
            if again is not None:
                asking.send(again)
            due = transaction.due()
            heard = len(asking.inbox) + len(named.inbox)
            if due is not None and not transaction.over:
                await phone.until(lambda heard=heard: len(asking.inbox) + len(named.inbox) > heard, max(0.0, due - phone.now()))  # type: ignore[misc]
    finally:
        asking.close()
        named.close()
    return None


def _knows_rport(link: Link, transaction: ClientTransaction) -> bool | None:
    """Whether the answer that arrived here has its ``rport`` filled in; None: none arrived."""
    for arrival in link.inbox:
        try:
            message = sip.parse_datagram(arrival.data)
        except WireError:
            continue
        if transaction.owns(message):
            return bool(sip.via_parts(sip.split_addresses(message.get("Via") or "")[0]).parameters.get("rport"))
    return None
