"""The NAT's behavior by a foreign RFC 5780 server: one-sided, without receipts, so it must prove what it rests on.

RFC 5780's filtering test asks the server to answer from elsewhere (CHANGE-REQUEST). Silence has three explanations: the NAT filters, the
server does not do it, the packets were lost. So plain requests in the same moments measure the loss; and each kind of request is repeated
afterwards from the same socket, once that socket *has* contacted the place from which the answer must come: only if it arrives then, did
the first silence mean a filter. An answer from the address that was asked, whatever CHANGE-REQUEST said, shows a server that ignores it:
that never yields a verdict on the filter.
"""

import asyncio

import msgspec

from edgecheck.checks.nat_behavior.classify import (
    ADDRESS_AND_PORT_DEPENDENT,
    ADDRESS_DEPENDENT,
    ENDPOINT_INDEPENDENT,
    classic_type,
    classify_mapping,
    classify_pooling,
)
from edgecheck.checks.nat_behavior.observation import NatObservation, mapping_row
from edgecheck.checks.unsolicited import remembered
from edgecheck.model.check import Network, UdpSocket
from edgecheck.model.errors import ServerUnreachable
from edgecheck.model.evidence import Answered, Exchange, loss_is_excluded
from edgecheck.wire.address import Endpoint, parse_endpoint
from edgecheck.wire.errors import WireError

SILENCES = 3
"""Requests for each silence on which a verdict may rest, of ten copies each: at 40 % loss each way, all of them fail once in 600,000."""
CONTROLS = 30
CONTROL_SPACING_S = 0.047
"""As many plain requests as copies, which last as long: fewer leave so much loss possible that a fifth of it already decides nothing."""


async def probe_foreign(net: Network) -> NatObservation:
    """Mapping and filtering as seen through a server that is not ours. Raises ``ServerUnreachable`` when it never answers."""
    sockets = [await net.open_udp() for _ in range(2)]
    filter_socket = await net.open_udp()
    try:
        return await _probe(net, sockets, filter_socket)
    finally:
        for socket in (*sockets, filter_socket):
            socket.close()


async def _probe(net: Network, sockets: list[UdpSocket], filter_socket: UdpSocket) -> NatObservation:
    first = await asyncio.gather(*(net.stun(socket, net.primary) for socket in (*sockets, filter_socket)))
    rows = [row for row in map(mapping_row, first) if row is not None]
    if not rows:
        errors = [exchange.outcome.error for exchange in first if isinstance(exchange.outcome, Answered) and exchange.outcome.error]
        if errors:
            raise ServerUnreachable(f"{net.primary} answers STUN over UDP, but refuses Binding requests (error {errors[0]}).")
        raise ServerUnreachable(
            f"{net.primary} did not answer STUN over UDP: there is no STUN server there, or UDP is blocked on the way."
        )
    other = _other_address(first, net.primary)
    reasons: dict[str, str] = {}
    filtering, exchanges, more = None, list(first), list[Exchange]()
    if other is None:
        reasons["filtering"] = "the server names no alternate address (no OTHER-ADDRESS), so it cannot test filtering"
    elif first[-1].outcome and not isinstance(first[-1].outcome, Answered):
        reasons["filtering"] = "the filter socket got no answer"
    else:
        filtering, reason, more = await _filtering(net, filter_socket, sockets[0], other)
        exchanges += more
        if filtering is None:
            reasons["filtering"] = reason
    destinations = [Endpoint(net.primary.host, other.port), Endpoint(other.host, net.primary.port), other] if other else []
    for destination in destinations:
        exchanges += await asyncio.gather(*(net.stun(socket, destination) for socket in sockets))
    if other is not None:
        net.memory.note_contact(other.host)
    rows = [row for row in map(mapping_row, exchanges) if row is not None and row.local != str(filter_socket.local)]
    mapping, reason = classify_mapping(rows, net.primary.host, other.host if other else None)
    if mapping is None:
        reasons["mapping"] = reason
    behind_nat = any(row.mapped != row.local for row in rows)
    return NatObservation(
        local_address=rows[0].local if rows else None,
        mapped_address=rows[0].mapped if rows else None,
        behind_nat=behind_nat if rows else None,
        mapping=mapping,
        filtering=filtering,
        classic_type=classic_type(behind_nat, mapping, filtering),
        pooling=classify_pooling(rows, ()) if behind_nat else None,
        mappings=tuple(rows),
        filter_exchanges=tuple(more),
        unanswered=tuple(exchange for exchange in exchanges if not isinstance(exchange.outcome, Answered)),
        reasons=reasons,
    )


def _other_address(exchanges: list[Exchange], primary: Endpoint) -> Endpoint | None:
    """A usable alternate: another address *and* another port, or RFC 5780's tests mean nothing."""
    for exchange in exchanges:
        if isinstance(exchange.outcome, Answered) and exchange.outcome.other_address:
            try:
                other = parse_endpoint(exchange.outcome.other_address)
            except WireError:
                continue
            if other.host != primary.host and other.port != primary.port and other.port != 0:
                return other
    return None


async def _filtering(net: Network, socket: UdpSocket, beside: UdpSocket, other: Endpoint) -> tuple[str | None, str, list[Exchange]]:
    """RFC 5780 section 4.4, each silence with its controls: loss in the same moments from ``beside``, the server's ability afterwards."""
    contacted = net.memory.contacted(other.host)
    from_other, loss = await _ask_often(net, socket, beside, change_address=True)
    told = [from_other]
    if loss:
        return None, loss, told
    if (fault := _ignored(from_other, other)) is not None:
        return None, fault, told
    if isinstance(from_other.outcome, Answered):
        if remembered(contacted):
            reason = "this machine contacted the alternate address lately, and a router that remembers hosts would let it in for that"
            return None, reason, told
        return ENDPOINT_INDEPENDENT, "", told
    second = Endpoint(net.primary.host, other.port)
    from_port, loss = await _ask_often(net, socket, beside, change_address=False)
    told.append(from_port)
    if loss:
        return None, loss, told
    if (fault := _ignored(from_port, second)) is not None:
        return None, fault, told
    # The controls: contact the places, then ask again. Only now may they be contacted.
    if not isinstance(from_port.outcome, Answered):
        told += [await net.stun(socket, second), control := await net.stun(socket, net.primary, change_port=True)]
        if not _from(control, second):
            return None, "the server does not answer CHANGE-REQUEST even where nothing could filter it, so its silence proves nothing", told
        return ADDRESS_AND_PORT_DEPENDENT, "", told
    told += [await net.stun(socket, other), control := await net.stun(socket, net.primary, change_address=True, change_port=True)]
    if not _from(control, other):
        return None, "the server does not answer from its other address even where nothing could filter it", told
    return ADDRESS_DEPENDENT, "", told


async def _ask_often(net: Network, socket: UdpSocket, beside: UdpSocket, *, change_address: bool) -> tuple[Exchange, str]:
    """The same question several times at once, told as one: an answer by which the server ignores it, else any answer, else silence.

    With it, why the silence proves nothing; empty when it does.
    """
    controls = [asyncio.create_task(_plain(net, beside, CONTROL_SPACING_S * number)) for number in range(CONTROLS)]
    try:
        asked = await asyncio.gather(
            *(net.stun(socket, net.primary, change_address=change_address, change_port=True) for _ in range(SILENCES))
        )
        told = min(asked, key=lambda one: 2 if not isinstance(one.outcome, Answered) else one.outcome.source != one.remote)
        if isinstance(told.outcome, Answered):
            return told, ""
        answered = sum(await asyncio.gather(*controls))
    finally:
        for control in controls:
            control.cancel()
    told = msgspec.structs.replace(told, copies=sum(one.copies for one in asked))
    if loss_is_excluded(answered, CONTROLS, told.copies):
        return told, ""
    return told, f"too much loss: {answered} of {CONTROLS} plain requests were answered in the same moments"


async def _plain(net: Network, socket: UdpSocket, after: float) -> bool:
    await net.sleep(after)
    return isinstance((await net.stun(socket, net.primary, copies=1)).outcome, Answered)


def _from(exchange: Exchange, expected: Endpoint) -> bool:
    return isinstance(exchange.outcome, Answered) and exchange.outcome.error is None and exchange.outcome.source == str(expected)


def _ignored(exchange: Exchange, expected: Endpoint) -> str | None:
    """Why an answer to CHANGE-REQUEST disqualifies the server; None when it is right, or silence."""
    outcome = exchange.outcome
    if not isinstance(outcome, Answered):
        return None
    if outcome.error is not None:
        return f"the server refuses CHANGE-REQUEST (error {outcome.error})"
    if outcome.source != str(expected):
        return f"the server ignores CHANGE-REQUEST: it answered from {outcome.source}, not from {expected}"
    return None
