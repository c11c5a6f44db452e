"""Asking the server. Order is everything here, because each packet changes what the next one meets:

1. fresh sockets contact A1 only: the mapped endpoints;
2. the filter is tested on one of them, from A2 and B1, beside control copies from A1. Nothing has been sent to B by then, nor to A2;
3. hairpinning, between two other sockets, in the same moments: it has nothing to do with A2 or B, so nobody waits for it;
4. after the filter, A2 and B1 are contacted: the mapping towards other destinations, and the proof that those who were silent were alive.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from edgecheck.checks.nat_behavior.classify import (
    ENDPOINT_INDEPENDENT,
    classic_type,
    classify_filtering,
    classify_mapping,
    classify_pooling,
)
from edgecheck.checks.nat_behavior.hairpin import exchange_hairpins, mapped_endpoints
from edgecheck.checks.nat_behavior.observation import Mapping, NatObservation, mapping_row
from edgecheck.checks.nat_behavior.reach import nothing_answered
from edgecheck.checks.unsolicited import FilterEvidence, filter_rounds, remembered
from edgecheck.model import draft
from edgecheck.model.check import Network, UdpSocket
from edgecheck.model.evidence import Answered, Exchange
from edgecheck.model.profile import Profile
from edgecheck.wire.address import Endpoint

MAPPING_SOCKETS = 3


async def probe_network(net: Network, profile: Profile) -> NatObservation:
    """Ask; see the module's order."""
    sockets = [await net.open_udp() for _ in range(MAPPING_SOCKETS)]
    filter_socket, hairpins = await net.open_udp(), [await net.open_udp(), await net.open_udp()]
    try:
        return await _probe(net, sockets, filter_socket, hairpins)
    finally:
        for socket in (*sockets, filter_socket, *hairpins):
            socket.close()


async def _probe(net: Network, sockets: list[UdpSocket], filter_socket: UdpSocket, hairpins: list[UdpSocket]) -> NatObservation:
    first, mapped_filter, hairpin = await asyncio.gather(
        asyncio.gather(*(net.stun(socket, net.primary) for socket in sockets)), net.proved(filter_socket), mapped_endpoints(net, hairpins)
    )
    rows = [row for row in map(mapping_row, first) if row is not None]
    if not rows:
        return await nothing_answered(net, tuple(first))
    not_translated = all(row.mapped == row.local for row in rows)
    seen: FilterEvidence | None = None
    hairpinning: tuple[bool | None, int] | None = None
    draft.leave(lambda why: _so_far(net, why, rows, seen, hairpinning, first))  # what they are by then

    async def between_two() -> None:
        nonlocal hairpinning
        if hairpin and not not_translated:
            hairpinning = await exchange_hairpins(net, hairpins, hairpin)

    async def filter_then_elsewhere() -> tuple[list[Exchange], list[Exchange]]:
        nonlocal seen
        if mapped_filter:
            seen = await filter_rounds(net, filter_socket, mapped_filter)
        # Where nothing is translated and the filter needs no control, the alternate address stays uncontacted: the next run is clean too.
        needs_alternate = not (not_translated and (seen is None or seen.other_address))
        second_port = Endpoint(net.primary.host, net.service.stun_ports[1])
        return await asyncio.gather(_ask_all(net, sockets, second_port), _ask_alternate(net, sockets, needs_alternate))

    (at_second, at_alternate), _ = await asyncio.gather(filter_then_elsewhere(), between_two())
    later = (*at_second, *at_alternate)
    rows += [row for row in map(mapping_row, later) if row is not None]
    if seen is not None:
        seen = msgspec.structs.replace(
            seen,
            same_address_answers=any(isinstance(exchange.outcome, Answered) for exchange in at_second),
            alternate_answers=any(isinstance(exchange.outcome, Answered) for exchange in at_alternate) if at_alternate else None,
        )
    observed = _observe(net, rows, seen, hairpinning, (*first, *later))
    clean = seen is not None and not remembered(seen.alternate_contacted_s)
    # What an uncontacted address met is worth remembering; that it was kept out, always.
    if net.alternate and observed.filtering and (clean or observed.filtering != ENDPOINT_INDEPENDENT):
        net.memory.note(f"filtering/{net.alternate.host}", observed.filtering)
    return observed


def _so_far(
    net: Network,
    why: str,
    rows: list[Mapping],
    seen: FilterEvidence | None,
    hairpinning: tuple[bool | None, int] | None,
    exchanges: Sequence[Exchange],
) -> NatObservation:
    """Before the other destinations were asked: what is None now might not have been."""
    found = _observe(net, rows, seen, hairpinning, tuple(exchanges))
    # Not translated towards one destination is not yet untranslated; and pooling takes as many sessions as there were to be.
    found = msgspec.structs.replace(
        found,
        behind_nat=found.behind_nat or None,
        mapping=None,
        classic_type=None,
        pooling=found.pooling if found.pooling == "arbitrary" else None,
    )
    untold = {name: why for name in ("behind_nat", "mapping", "filtering", "hairpinning") if getattr(found, name) is None}
    return msgspec.structs.replace(found, reasons={**found.reasons, **untold})


async def _ask_all(net: Network, sockets: list[UdpSocket], to: Endpoint) -> list[Exchange]:
    return list(await asyncio.gather(*(net.stun(socket, to) for socket in sockets)))


async def _ask_alternate(net: Network, sockets: list[UdpSocket], needed: bool) -> list[Exchange]:
    if net.alternate is None or not needed:
        return []
    await net.may_contact_alternate()
    return await _ask_all(net, sockets, net.alternate)


def _observe(
    net: Network,
    rows: list[Mapping],
    seen: FilterEvidence | None,
    hairpinning: tuple[bool | None, int] | None,
    exchanges: tuple[Exchange, ...],
) -> NatObservation:
    reasons: dict[str, str] = {}
    alternate = net.alternate.host if net.alternate else None
    behind_nat = any(row.mapped != row.local for row in rows)
    mapping, reason = classify_mapping(rows, net.primary.host, alternate)
    if mapping is None:
        reasons["mapping"] = reason
    filtering, reason = classify_filtering(seen)
    if filtering is None:
        reasons["filtering"] = reason
    if not behind_nat:
        reasons["hairpinning"] = "nothing is translated, so there is nothing to hairpin"
    elif hairpinning is None or hairpinning[0] is None:
        reasons["hairpinning"] = "too few control packets arrived to tell silence from loss"
    # The control channel too: TCP that leaves from another address than UDP is what signaling and media of one call meet.
    others = [*([seen.mapped] if seen else []), str(Endpoint(net.observed, 0))]
    return NatObservation(
        local_address=rows[0].local,
        mapped_address=rows[0].mapped,
        behind_nat=behind_nat,
        mapping=mapping,
        filtering=filtering,
        hairpinning=hairpinning[0] if hairpinning and behind_nat else None,
        classic_type=classic_type(behind_nat, mapping, filtering),
        pooling=classify_pooling(rows, others) if behind_nat else None,
        mappings=tuple(rows),
        filter_test=seen,
        hairpin_copies=hairpinning[1] if hairpinning else 0,
        unanswered=tuple(exchange for exchange in exchanges if not isinstance(exchange.outcome, Answered)),
        reasons=reasons,
    )
