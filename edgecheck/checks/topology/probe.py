"""Asking the router, and walking with growing TTL."""

import asyncio

import msgspec

from edgecheck.checks.hops import Expiry, controls, expire
from edgecheck.checks.topology.layers import interpret
from edgecheck.checks.topology.observation import Hop, OwnAddressStep, TopologyObservation
from edgecheck.checks.unsolicited import was_let_in
from edgecheck.model import draft
from edgecheck.model.check import Network, UdpSocket
from edgecheck.model.evidence import Answered
from edgecheck.model.profile import Profile
from edgecheck.model.router import RouterFacts
from edgecheck.wire import probe
from edgecheck.wire.address import Endpoint

MOST_HOPS = 10
SILENT_HOPS = 3
OWN_COPIES = 5
CONTROLS = 6
BESIDE = 3
"""Copies right before each control: where six of six controls are told of and none of eighteen copies, no loss is a likely reason."""
SOCKETS = 4
"""Ports from which the public address is asked for: a router with several lines spreads them."""


async def probe_network(net: Network, profile: Profile) -> TopologyObservation:
    """Ask the router, walk, and ask for the public address from several ports; the router's answers come meanwhile."""
    asking = asyncio.ensure_future(net.router())
    hops: tuple[Hop, ...] = ()
    steps: tuple[OwnAddressStep, ...] = ()
    seen: tuple[str, ...] = (net.observed,)
    gateways: tuple[str, ...] = ()
    draft.leave(lambda why: _so_far(net, why, hops, steps, seen, gateways))
    try:
        gateways = (await net.machine()).own_gateways
        if net.source == net.observed:
            hops = await _walk_to_server(net) if net.sees_quotes else ()
            return _observed(net, await asking, hops, (), (net.observed,), gateways)
        seen = await _public_addresses(net)
        hops = await _walk_to_server(net) if net.sees_quotes else ()
        steps = await _walk_to_own(net, hops) if net.sees_quotes else ()
        return _observed(net, await asking, hops, steps, seen, gateways)
    finally:
        asking.cancel()


async def walk(net: Network, *, ask: bool = False) -> TopologyObservation:
    """What the two walks show. For whoever needs the layers of NAT beside something else.

    ``ask``: where the first router does not own the public address, its own word is heard as well, as it is in ``topology``.
    """
    hops = await _walk_to_server(net) if net.sees_quotes else ()
    steps = await _walk_to_own(net, hops) if net.sees_quotes and net.source != net.observed else ()
    gateways = (await net.machine()).own_gateways
    seen = _observed(net, RouterFacts(reason="the router was not asked"), hops, steps, (net.observed,), gateways)
    if not ask or seen.owner_hop in (None, 0, 1):
        return seen
    return _observed(net, await net.router(), hops, steps, (net.observed,), gateways)


def _observed(
    net: Network,
    facts: RouterFacts,
    hops: tuple[Hop, ...],
    steps: tuple[OwnAddressStep, ...],
    seen: tuple[str, ...],
    gateways: tuple[str, ...],
) -> TopologyObservation:
    found = interpret(net.source, net.observed, hops, steps, facts, seen, gateways, sees_quotes=net.sees_quotes)
    return msgspec.structs.replace(found, let_in=was_let_in(net))


def _so_far(
    net: Network, why: str, hops: tuple[Hop, ...], steps: tuple[OwnAddressStep, ...], seen: tuple[str, ...], gateways: tuple[str, ...]
) -> TopologyObservation:
    """Before the router has spoken, which can take back what more than one NAT is told by."""
    found = _observed(net, RouterFacts(reason=why), hops, steps, seen, gateways)
    if found.owner_hop == 1 or net.source == net.observed:
        return found
    return msgspec.structs.replace(found, nat_layers=None, cgnat=None, reasons={"nat_layers": why, "cgnat": why, "router": why})


async def _public_addresses(net: Network) -> tuple[str, ...]:
    """The control channel's first."""
    sockets = [await net.open_udp() for _ in range(SOCKETS)]
    try:
        exchanges = await asyncio.gather(*(net.stun(socket, net.primary) for socket in sockets))
    finally:
        for socket in sockets:
            socket.close()
    outcomes = [exchange.outcome for exchange in exchanges]
    mapped = [outcome.mapped for outcome in outcomes if isinstance(outcome, Answered) and outcome.mapped is not None]
    return tuple(dict.fromkeys([net.observed, *(host.rpartition(":")[0].strip("[]") for host in sorted(mapped))]))


async def _walk_to_server(net: Network) -> tuple[Hop, ...]:
    hops: list[Hop] = []
    for ttl in range(1, MOST_HOPS + 1):
        socket = await net.open_udp()  # one for each TTL: what comes late is not taken for the next hop's word
        try:
            quote, answered = await expire(net, socket, net.primary, _packet(net, socket.local.port), ttl)
        finally:
            socket.close()
        if answered or (quote is not None and not quote.expired):
            break
        hops.append(Hop(hop=ttl, address=quote.offender if quote else None))
        net.progress(ttl, MOST_HOPS, "hops")
        if len(hops) >= SILENT_HOPS and all(hop.address is None for hop in hops[-SILENT_HOPS:]):
            break
    return tuple(hops)


async def _walk_to_own(net: Network, hops: tuple[Hop, ...]) -> tuple[OwnAddressStep, ...]:
    """Ends at the first hop that does not let it expire."""
    steps: list[OwnAddressStep] = []
    for ttl in range(1, len(hops) + 2):
        socket = await net.open_udp()
        try:
            steps.append(await _step_to_own(net, socket, ttl))
        finally:
            socket.close()
        if steps[-1].outcome != "expired":
            break
    return tuple(steps)


async def _step_to_own(net: Network, socket: UdpSocket, ttl: int) -> OwnAddressStep:
    own = Endpoint(net.observed, socket.local.port)  # our own number: a packet that is let in for this machine is seen
    data = _packet(net, socket.local.port)
    found = await expire(net, socket, own, data, ttl, OWN_COPIES)
    step = _step(ttl, found)
    if step.outcome not in ("silent", "refused"):
        return step
    # Does that hop treat the same packet to another address alike? Same port, same number of hops, in the same moments.
    other = Endpoint(net.primary.host, own.port)
    silent = step.outcome == "silent"
    enough, beside = (CONTROLS, own) if silent else (1, None)
    sent, expired = await controls(net, socket, other, data, ttl, enough=enough, beside=beside, copies=BESIDE)
    late = next((quote for quote in socket.quotes if quote.to == own and quote.offender is not None), None)
    if silent and late is not None:
        step = _step(ttl, Expiry(late, False))
    return msgspec.structs.replace(
        step,
        controls_sent=sent,
        controls_expired=expired,
        copies_beside=BESIDE * sent if silent else 0,
        told_by=next((quote.offender for quote in socket.quotes if quote.to == other and quote.expired), None),
    )


def _step(ttl: int, found: Expiry) -> OwnAddressStep:
    if found.answered:
        return OwnAddressStep(hop=ttl, outcome="arrived")
    if found.quote is None:
        return OwnAddressStep(hop=ttl, outcome="silent")
    return OwnAddressStep(hop=ttl, outcome="expired" if found.quote.expired else "refused", offender=found.quote.offender)


def _packet(net: Network, port: int) -> bytes:
    # An echo of our own: where it does reach the server, it is answered and counted, and disturbs nobody.
    return probe.serialize(probe.Probe(probe.Kind.ECHO, net.session, net.new_series(), 0, port=port))
