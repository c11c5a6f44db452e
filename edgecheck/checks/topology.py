"""What stands between here and the internet? The router in its own words, NAT layers, carrier-grade NAT, the hops to the server.

Two walks with growing TTL: one to the server, one to this network's own public address. The box that owns the public address takes the
packet for itself, whatever its TTL; a box before it lets it expire. So the owner is the first hop that does *not* say "expired" of a
packet to the public address; the same packet to the server, in the same moments, shows that this hop speaks when packets expire.

Meanwhile the default router is asked who it is and what WAN address it has. That is a claim: ``nat_layers`` weighs it against what was
measured.
"""

import asyncio

import msgspec

from edgecheck.checks.hops import Expiry, controls, expire
from edgecheck.checks.nat_layers import Hop, Layers, OwnAddressStep, addresses, is_private, is_shared, layers, neighbors
from edgecheck.model.check import Check, Network, Observation, UdpSocket
from edgecheck.model.evidence import Answered
from edgecheck.model.profile import Profile
from edgecheck.model.router import RouterClaims, RouterFacts
from edgecheck.model.verdict import Finding, Verdict
from edgecheck.wire import probe
from edgecheck.wire.address import Endpoint

MOST_HOPS = 10
SILENT_HOPS = 3
OWN_COPIES = 5
CONTROLS = 6
"""Six of six make random loss an unlikely reason for the silence beside them: see ``chance_of_silence``."""
SOCKETS = 4
"""Ports from which the public address is asked for: a router with several lines spreads them."""


class TopologyObservation(Observation, frozen=True, kw_only=True):
    """Facts of ``topology``; ``None`` = could not tell, see ``reasons``."""

    source: str
    public_address: str
    public_addresses: tuple[str, ...] = ()
    """All under which the server saw this network, over UDP from several ports and over the control channel."""
    nat_layers: int | None
    cgnat: bool | None
    router: RouterClaims | None = None
    """The default router's own words."""
    hops: tuple[Hop, ...] = ()
    own_address: tuple[OwnAddressStep, ...] = ()
    owner_hop: int | None = None
    """The hop whose box owns the public address; 0 = this machine."""
    other_gateways: tuple[str, ...] = ()
    """Other machines of this network that call themselves internet gateways."""
    other_routes: tuple[str, ...] = ()
    """This machine's other default routes."""
    reasons: dict[str, str] = {}


async def probe_network(net: Network, profile: Profile) -> TopologyObservation:
    """Ask the router, walk, and ask for the public address from several ports; the router's answers come meanwhile."""
    asking = asyncio.ensure_future(net.router())
    try:
        if net.source == net.observed:
            hops = await _walk_to_server(net) if net.sees_quotes else ()
            return _observed(net, await asking, hops, (), (net.observed,))
        seen = await _public_addresses(net)
        hops = await _walk_to_server(net) if net.sees_quotes else ()
        steps = await _walk_to_own(net, hops) if net.sees_quotes else ()
        return _observed(net, await asking, hops, steps, seen)
    finally:
        asking.cancel()


async def walk(net: Network) -> TopologyObservation:
    """What the two walks alone show; the router is not asked. For whoever needs the layers of NAT beside something else."""
    hops = await _walk_to_server(net) if net.sees_quotes else ()
    steps = await _walk_to_own(net, hops) if net.sees_quotes and net.source != net.observed else ()
    return _observed(net, RouterFacts(reason="the router was not asked"), hops, steps, (net.observed,))


def _observed(
    net: Network, facts: RouterFacts, hops: tuple[Hop, ...], steps: tuple[OwnAddressStep, ...], seen: tuple[str, ...]
) -> TopologyObservation:
    return interpret(net.source, net.observed, hops, steps, facts, seen, sees_quotes=net.sees_quotes)


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
    sent, expired = await controls(net, socket, other, data, ttl, enough=CONTROLS if silent else 1, beside=own if silent else None)
    late = next((quote for quote in socket.quotes if quote.to == own and quote.offender is not None), None)
    if silent and late is not None:
        step = _step(ttl, Expiry(late, False))
    return msgspec.structs.replace(step, controls_sent=sent, controls_expired=expired)


def _step(ttl: int, found: Expiry) -> OwnAddressStep:
    if found.answered:
        return OwnAddressStep(hop=ttl, outcome="arrived")
    if found.quote is None:
        return OwnAddressStep(hop=ttl, outcome="silent")
    return OwnAddressStep(hop=ttl, outcome="expired" if found.quote.expired else "refused", offender=found.quote.offender)


def _packet(net: Network, port: int) -> bytes:
    # An echo of our own: where it does reach the server, it is answered and counted, and disturbs nobody.
    return probe.serialize(probe.Probe(probe.Kind.ECHO, net.session, net.new_series(), 0, port=port))


def interpret(
    source: str,
    public: str,
    hops: tuple[Hop, ...],
    steps: tuple[OwnAddressStep, ...],
    facts: RouterFacts | None = None,
    seen: tuple[str, ...] = (),
    *,
    sees_quotes: bool = True,
) -> TopologyObservation:
    """The observation, from all that was seen. Pure."""
    facts = facts or RouterFacts(reason="the router was not asked")
    if source == public:
        found = Layers(0, False, 0, {})
    elif sees_quotes:
        found = layers(public, hops, steps, facts.told, seen)
    else:
        why = "this platform shows a program without privileges no ICMP errors, so nothing was measured"
        found = Layers(None, None, None, {"nat_layers": why, "cgnat": why})
    nat_layers, cgnat, owner, reasons = found
    return TopologyObservation(
        source=source,
        public_address=public,
        public_addresses=seen or (public,),
        nat_layers=nat_layers,
        cgnat=cgnat,
        router=facts.told,
        hops=tuple(msgspec.structs.replace(hop, owns_public_address=hop.hop == owner) for hop in hops),
        own_address=steps,
        owner_hop=owner,
        other_gateways=facts.other_gateways,
        other_routes=facts.other_routes,
        reasons=reasons if facts.told else {**reasons, "router": facts.reason},
    )


def judge(seen: TopologyObservation, profile: Profile) -> tuple[Finding, ...]:
    """Carrier-grade NAT is a failure where ports must be forwarded: no rule of one's own reaches the outer box."""
    needs_forwarding = profile.expect.forwarding == "fail" and any(need.direction == "in" for need in profile.ports)
    evidence = _evidence(seen)
    public = seen.public_address
    findings: list[Finding] = []

    def finding(cause: str, verdict: Verdict, summary: str, observed: str, subject: str = "path") -> None:
        findings.append(
            Finding(
                id=f"topology.{cause}",
                verdict=verdict,
                subject=subject,
                summary=summary,
                observed=observed,
                evidence=evidence,
                reference="RFC 6598" if cause == "carrier-grade-nat" else "RFC 4787 section 2",
            )
        )

    if seen.cgnat:
        text = f"The provider translates addresses too (carrier-grade NAT): {public} is not this network's own address"
        if needs_forwarding:
            text += ", so no port can be forwarded from outside. Ask the provider for a public address"
        count = f"{seen.nat_layers} layers of NAT" if seen.nat_layers else "at least two layers of NAT"
        finding("carrier-grade-nat", Verdict.FAIL if needs_forwarding else Verdict.WARN, f"{text}.", count)
    elif seen.nat_layers == 0:
        finding("no-nat", Verdict.PASS, "No NAT: this machine has the public address itself.", "no NAT")
    elif seen.nat_layers == 1:
        name = _router_name(seen)
        finding("single-nat", Verdict.PASS, f"One NAT: {name}the first router, owns the public address.", "one layer of NAT")
    elif seen.nat_layers == 2:
        first, second = (next((hop.address for hop in seen.hops if hop.hop == number), None) for number in (1, 2))
        text = (
            f"Two routers in a row (double NAT): {first or 'the first one'} has the private WAN address {_wan(seen)}, and {second} behind "
            f"it owns {public}. A port must be forwarded on both; or make one of them a bridge. If {second} is the provider's, only the "
            "provider can"
        )
        finding("double-nat", Verdict.WARN, f"{text}.", "two layers of NAT")
    else:
        why = seen.reasons.get("nat_layers", "no reason noted")
        finding("undecided", Verdict.INCONCLUSIVE, f"How many routers translate could not be told: {why}.", "undecided")

    differs = _wan_differs(seen)
    if differs:
        verdict = Verdict.WARN if seen.nat_layers else Verdict.INCONCLUSIVE
        finding("wan-address-differs", verdict, differs, f"WAN address {_wan(seen)} by the router's word, {public} from outside", "router")
    if len(seen.public_addresses) > 1:
        text = (
            f"This network is seen under several public addresses ({', '.join(seen.public_addresses)}): it has several lines, or the "
            "provider translates from a pool, or a proxy takes the control channel. Signaling and media may leave by different ones, and "
            "calls then lose their audio. The router's page on its WAN lines tells which; pin the PBX to one of them"
        )
        finding("several-addresses", Verdict.WARN, f"{text}.", ", ".join(seen.public_addresses), "public address")
    if seen.other_routes:
        text = (
            f"This machine has other default routes ({', '.join(seen.other_routes)}): what is told here holds for the way from "
            f"{seen.source}. Give --source to check another, and bind the PBX to the address that it is to use"
        )
        finding("several-routes", Verdict.WARN, f"{text}.", ", ".join(seen.other_routes), "this machine")
    return tuple(findings)


def _router_name(seen: TopologyObservation) -> str:
    """``Maker Model at 192.168.1.1, ``, as much of it as is known."""
    box = next((hop.address for hop in seen.hops if hop.owns_public_address and hop.address), None)
    known = seen.router if seen.router is not None and seen.owner_hop == 1 else None
    model = " ".join(filter(None, (known.manufacturer, known.model))) if known else ""
    where = box or (known.gateway if known else None)
    return f"{model} at {where}, " if model and where else f"{where}, " if where else ""


def _wan(seen: TopologyObservation) -> str:
    return (seen.router.wan_address if seen.router else None) or "unknown"


def _wan_differs(seen: TopologyObservation) -> str:
    """What is to be said of a claimed WAN address that nobody outside sees; empty when there is none, or when a second NAT explains it."""
    claimed = addresses(seen.router)
    if not claimed or claimed & set(seen.public_addresses) or seen.nat_layers == 0:
        return ""
    if seen.cgnat and all(is_shared(claim) or is_private(claim) for claim in claimed):
        return ""
    if seen.nat_layers == 2 and any(hop.hop == 2 and hop.address and neighbors(_wan(seen), hop.address) for hop in seen.hops):
        return ""
    says = f"The router says that its WAN address is {' or '.join(sorted(claimed))}"
    wrong = "its word is wrong, or of another of its lines (its WAN status page tells)"
    if seen.nat_layers == 1:
        return (
            f"{says}, but measured by TTL it owns {seen.public_address}: {wrong}, and programs that ask it by UPnP or NAT-PMP get an "
            "address at which nobody reaches them."
        )
    if seen.cgnat:
        return f"{says}, but the provider's NAT stands behind it and owns {seen.public_address}: {wrong}."
    return (
        f"{says}, but from outside this network is {seen.public_address}: a second NAT stands behind it, or {wrong}. If that page shows "
        "the address that is said here, it is a second NAT."
    )


def _evidence(seen: TopologyObservation) -> tuple[str, ...]:
    out = [f"this machine is {seen.source}, outside it is seen as {', '.join(seen.public_addresses)}"]
    if seen.router is not None:
        name = " ".join(filter(None, (seen.router.manufacturer, seen.router.model, seen.router.model_number))) or "a router without a name"
        out.append(f"the default router {seen.router.gateway} answers {', '.join(seen.router.protocols)}: {name}")
        for claim in seen.router.claims:
            line = " ".join(filter(None, (claim.protocol, claim.line, claim.status)))
            out.append(f"the router says ({line}): WAN address {claim.address or 'none'}")
    out += [f"{address} calls itself an internet gateway too" for address in seen.other_gateways]
    out += [f"another default route of this machine: {route}" for route in seen.other_routes]
    out += [f"hop {hop.hop} on the way to the server: {hop.address or 'says nothing'}" for hop in seen.hops]
    words = {
        "expired": "expired at {}",
        "refused": "was taken and refused by {}",
        "arrived": "came back to this machine",
        "silent": "vanished without a word",
    }
    for step in seen.own_address:
        out.append(
            f"a packet to {seen.public_address} that may live {step.hop} hops {words[step.outcome].format(step.offender or 'nobody')}"
        )
        if step.controls_sent:
            out.append(
                f"of {step.controls_sent} such packets to the server, same port, in the same moments, {step.controls_expired} expired there"
            )
    return tuple(out)


def summarize(seen: TopologyObservation, findings: tuple[Finding, ...]) -> str:
    """``One NAT: Maker Model at 192.168.1.1, the first router, owns the public address; the router names another WAN address``"""
    asides = {
        "topology.wan-address-differs": f"the router names another WAN address ({_wan(seen)})",
        "topology.several-addresses": f"several public addresses ({', '.join(seen.public_addresses)})",
        "topology.several-routes": "this machine has several default routes",
    }
    return "; ".join([findings[0].summary.rstrip("."), *(asides[finding.id] for finding in findings[1:])])


CHECK = Check(
    id="topology",
    question="What stands between here and the internet?",
    observation=TopologyObservation,
    needs=frozenset(),
    probe=probe_network,
    judge=judge,
    summarize=summarize,
)
