"""Whether the prober is let in where it has been contacted: what tells that it is shut out where it was let in nowhere before.

A NAT that lets in whoever was contacted, or anyone on a used port (address-dependent or endpoint-independent filtering, RFC 4787
section 5), or that remembers hosts, treats both addresses of the server alike: each is let in at a port that has contacted another port of
the same address. Where that holds for the primary address, and not for the alternate one, no filter of the NAT's keeps that out, and its
silence proves nothing anywhere. On other NATs (address-and-port-dependent filtering) nothing can be told so.

The packets come from the very sockets that send the rounds (``AX``, ``BX``): a guard may count each port of a sender's for itself. Beside
each goes a copy from the port that was contacted, which measures the loss.
"""

import msgspec

from edgecheck.checks.unsolicited import MOST_ROUNDS, SPACING_MS, Inbox, copies_at_once, margin, sender
from edgecheck.model.check import Network, UdpSocket
from edgecheck.model.errors import LocalFailure, RequestDeclined
from edgecheck.model.evidence import WRONG_BY_CHANCE, Answered, chance_at_worst
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint, parse_endpoint

_FEW = 2
KEPT_OUT = (
    "the server's primary address is let in at a port that has contacted another port of it, and its alternate address is not: something "
    "on the way shuts out whoever knocks at many ports (port scan protection), or keeps in what that address sends, so silence proves "
    "nothing"
)


async def lets_in_contacted(net: Network, *, briefly: bool = False) -> bool | None:
    """Whether the primary address is let in at a port that has contacted another port of it. None: could not tell.

    ``briefly``: with few packets, before that address knocks anywhere else, for later it may be shut out itself. Where they do not arrive
    each was a knock, so more come only afterwards.
    """
    if net.alternate is None or not all(net.service.probe_ports):
        return None
    try:
        socket = await net.open_udp()
    except LocalFailure:
        return None
    try:
        at = await net.proved(socket)
        how = (_FEW, 1) if briefly else (copies_at_once(net), MOST_ROUNDS)
        return await _is_let_in(net, socket, at, ("A1", "AX"), *how) if at is not None else None
    except RequestDeclined:
        return None
    finally:
        socket.close()


async def is_kept_out(net: Network) -> bool | None:
    """Whether the alternate address is not let in at a port that has contacted another port of it, where the primary one is.

    None: loss does not let it be told. Contacts the alternate address, and waits its turn for that.
    """
    if net.alternate is None:
        return None
    await net.may_contact_alternate()
    try:
        socket = await net.open_udp()
    except LocalFailure:
        return None
    try:
        outcome = (await net.stun(socket, net.alternate)).outcome
        if not isinstance(outcome, Answered) or outcome.mapped is None:
            return None  # whether it is alive at all is another question: ``alternate_answers``
        let_in = await _is_let_in(net, socket, parse_endpoint(outcome.mapped), ("B1", "BX"), copies_at_once(net), MOST_ROUNDS)
        return None if let_in is None else not let_in
    except RequestDeclined:  # among them: from an address that has not proved itself
        return None
    finally:
        socket.close()


async def _is_let_in(
    net: Network, socket: UdpSocket, at: Endpoint, senders: tuple[control.Sender, control.Sender], copies: int, rounds: int
) -> bool | None:
    """Whether the second of these senders reaches a port that has contacted the first. None: loss may explain its silence."""
    contacted, other = (sender(net, name) for name in senders)
    sent = arrived = 0
    for _ in range(rounds):
        series = net.new_series()
        inbox = Inbox(net, socket, series)
        request = control.Probe(
            id=0, series=series, address=at.host, ports=((at.port, at.port),), senders=senders, copies=copies, spacing_ms=SPACING_MS
        )
        reply = await net.ask(lambda id, request=request: msgspec.structs.replace(request, id=id))  # type: ignore[misc]
        if not isinstance(reply, control.Probed):
            return None
        if await net.until(lambda inbox=inbox: inbox.count(other) > 0, margin(net)):  # type: ignore[misc]
            return True
        if not reply.failed:
            sent, arrived = sent + copies, arrived + inbox.count(contacted)
        if chance_at_worst(arrived, sent, sent) < WRONG_BY_CHANCE:
            return False
    return None
