"""What stands between here and the internet? NAT layers, carrier-grade NAT, the hops to the server.

Two walks with growing TTL: one to the server, one to this network's own public address. The box that owns the public address takes the
packet for itself, whatever its TTL; a box before it lets it expire. So the owner is the first hop that does *not* say "expired" of a
packet to the public address; where it says nothing at all, the walk to the server shows whether that hop speaks when packets do expire.

What that cannot tell: whether each hop before the owner translates, or only routes. Only an address of the shared range
100.64.0.0/10 (RFC 6598) among them, or nothing before the owner, decides.
"""

import ipaddress
from typing import Literal

import msgspec

from edgecheck.checks.hops import Expiry, expire
from edgecheck.model.check import Check, Network, Observation
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Finding, Verdict
from edgecheck.wire import probe
from edgecheck.wire.address import Endpoint

MOST_HOPS = 10
SILENT_HOPS = 3
OWN_COPIES = 5
_SHARED = ipaddress.ip_network("100.64.0.0/10")


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """One router on the way to the server."""

    hop: int
    address: str | None
    """None = it said nothing."""
    owns_public_address: bool = False


class OwnAddressStep(msgspec.Struct, frozen=True, kw_only=True):
    """A packet to the own public address that lived for so many hops."""

    hop: int
    outcome: Literal["expired", "refused", "arrived", "silent"]
    """``refused``: taken and answered by an ICMP error other than expiry. ``arrived``: it came back to this machine (hairpinned)."""
    offender: str | None = None


class TopologyObservation(Observation, frozen=True, kw_only=True):
    """Facts of ``topology``; ``None`` = could not tell, see ``reasons``."""

    source: str
    public_address: str
    nat_layers: int | None
    cgnat: bool | None
    hops: tuple[Hop, ...] = ()
    own_address: tuple[OwnAddressStep, ...] = ()
    owner_hop: int | None = None
    """The hop whose box owns the public address; 0 = this machine."""
    reasons: dict[str, str] = {}


async def probe_network(net: Network, profile: Profile) -> TopologyObservation:
    """Walk to the server, then to the own public address, then to the server's first hops again: are they still speaking?"""
    if net.source == net.observed:
        hops = await _walk_to_server(net) if net.sees_quotes else ()
        return TopologyObservation(
            source=net.source, public_address=net.observed, nat_layers=0, cgnat=False, hops=hops, owner_hop=0
        )
    if not net.sees_quotes:
        why = "this platform shows a program without privileges no ICMP errors"
        return TopologyObservation(
            source=net.source, public_address=net.observed, nat_layers=None, cgnat=None, reasons={"nat_layers": why, "cgnat": why}
        )
    hops = await _walk_to_server(net)
    steps = await _walk_to_own(net, hops)
    return interpret(net.source, net.observed, hops, steps)


async def _walk_to_server(net: Network) -> tuple[Hop, ...]:
    socket = await net.open_udp()
    try:
        hops: list[Hop] = []
        data = _packet(net, socket.local.port)
        for ttl in range(1, MOST_HOPS + 1):
            quote, answered = await expire(net, socket, net.primary, data, ttl)
            if answered or (quote is not None and not quote.expired):
                break
            hops.append(Hop(hop=ttl, address=quote.offender if quote else None))
            net.progress(ttl, MOST_HOPS, "hops")
            if len(hops) >= SILENT_HOPS and all(hop.address is None for hop in hops[-SILENT_HOPS:]):
                break
    finally:
        socket.close()
    return tuple(hops)


async def _walk_to_own(net: Network, hops: tuple[Hop, ...]) -> tuple[OwnAddressStep, ...]:
    """Ends at the first hop that does not let it expire."""
    socket = await net.open_udp()
    to = Endpoint(net.observed, socket.local.port)  # our own number: a packet that is let in for this machine is seen
    try:
        steps: list[OwnAddressStep] = []
        for ttl in range(1, len(hops) + 2):
            found = await expire(net, socket, to, _packet(net, socket.local.port), ttl, OWN_COPIES)
            steps.append(_step(ttl, found))
            if steps[-1].outcome != "expired":
                break
        if steps[-1].outcome == "silent":
            # Does that hop still speak of packets that expire? Asked in the same moments as it was silent.
            again = await expire(net, socket, net.primary, _packet(net, socket.local.port), steps[-1].hop, OWN_COPIES)
            if again.quote is None or not again.quote.expired:
                steps.append(OwnAddressStep(hop=steps[-1].hop, outcome="silent", offender=None))
    finally:
        socket.close()
    return tuple(steps)


def _step(ttl: int, found: Expiry) -> OwnAddressStep:
    if found.answered:
        return OwnAddressStep(hop=ttl, outcome="arrived")
    if found.quote is None:
        return OwnAddressStep(hop=ttl, outcome="silent")
    return OwnAddressStep(hop=ttl, outcome="expired" if found.quote.expired else "refused", offender=found.quote.offender)


def _packet(net: Network, port: int) -> bytes:
    # An echo of our own: where it does reach the server, it is answered and counted, and disturbs nobody.
    return probe.serialize(probe.Probe(probe.Kind.ECHO, net.session, net.new_series(), 0, port=port))


def interpret(source: str, public: str, hops: tuple[Hop, ...], steps: tuple[OwnAddressStep, ...]) -> TopologyObservation:
    """From what the hops said to layers of NAT. Pure."""
    owner, reason = _owner(hops, steps)
    # The first hop alone proves nothing: some clouds and offices number their own networks from the shared range.
    shared = [hop for hop in hops if hop.hop > 1 and hop.address and ipaddress.ip_address(hop.address) in _SHARED]
    layers: int | None = None
    reasons: dict[str, str] = {}
    if owner == 1:
        layers = 1
    elif owner is None:
        reasons["nat_layers"] = reason
    elif shared and owner == 2:
        layers = 2
    else:
        reasons["nat_layers"] = (
            f"the first router lets packets to the public address pass on to hop {owner}: either two routers in a row translate "
            "(double NAT), or it hands them to another machine of this network (DMZ host)"
        )
    cgnat: bool | None = None
    if owner == 1:
        cgnat = False
    elif shared:
        cgnat = True
    else:
        reasons["cgnat"] = reasons["nat_layers"]
    return TopologyObservation(
        source=source,
        public_address=public,
        nat_layers=layers,
        cgnat=cgnat,
        hops=tuple(msgspec.structs.replace(hop, owns_public_address=hop.hop == owner) for hop in hops),
        own_address=steps,
        owner_hop=owner,
        reasons=reasons,
    )


def _owner(hops: tuple[Hop, ...], steps: tuple[OwnAddressStep, ...]) -> tuple[int | None, str]:
    if not steps:
        return None, "no packet to the own public address was sent"
    last = steps[-1]
    if last.outcome == "refused":
        return last.hop, ""
    if last.outcome == "arrived":
        # Let in and sent back to this machine: it lived one hop longer than the way to the box that owns the address.
        return (last.hop - 1 if last.hop > 1 else 1), ""
    if last.outcome == "expired":
        return None, "packets to the own public address expire as far as hops could be followed"
    speaks = any(hop.hop == last.hop and hop.address for hop in hops) and sum(step.hop == last.hop for step in steps) == 1
    if speaks:
        return last.hop, ""  # it says "expired" of packets to the server, and nothing of those to its own address: it took them
    return None, f"hop {last.hop} says nothing of expired packets, so its silence proves nothing"


def judge(seen: TopologyObservation, profile: Profile) -> tuple[Finding, ...]:
    """Carrier-grade NAT is a failure where ports must be forwarded: no rule of one's own reaches the outer box."""
    needs_forwarding = profile.expect.forwarding == "fail" and any(need.direction == "in" for need in profile.ports)
    evidence = _evidence(seen)

    def finding(cause: str, verdict: Verdict, summary: str, observed: str) -> Finding:
        return Finding(
            id=f"topology.{cause}",
            verdict=verdict,
            subject="path",
            summary=summary,
            observed=observed,
            evidence=evidence,
            reference="RFC 6598" if cause == "carrier-grade-nat" else "RFC 4787 section 2",
        )

    if seen.cgnat:
        text = f"The provider translates addresses too (carrier-grade NAT): {seen.public_address} is not this network's own address"
        if needs_forwarding:
            text += ", so no port can be forwarded from outside. Ask the provider for a public address"
        layers = f"{seen.nat_layers} layers of NAT" if seen.nat_layers else "at least two layers of NAT"
        return (finding("carrier-grade-nat", Verdict.FAIL if needs_forwarding else Verdict.WARN, f"{text}.", layers),)
    if seen.nat_layers == 0:
        return (finding("no-nat", Verdict.PASS, "No NAT: this machine has the public address itself.", "no NAT"),)
    if seen.nat_layers == 1:
        box = next((hop.address for hop in seen.hops if hop.owns_public_address and hop.address), None)
        name = f"{box}, " if box else ""
        return (finding("single-nat", Verdict.PASS, f"One NAT: {name}the first router, owns the public address.", "one layer of NAT"),)
    why = seen.reasons.get("nat_layers", "no reason noted")
    return (finding("undecided", Verdict.INCONCLUSIVE, f"How many routers translate could not be told: {why}.", "undecided"),)


def _evidence(seen: TopologyObservation) -> tuple[str, ...]:
    out = [f"this machine is {seen.source}, outside it is seen as {seen.public_address}"]
    out += [f"hop {hop.hop} on the way to the server: {hop.address or 'says nothing'}" for hop in seen.hops]
    words = {
        "expired": "expired at {}",
        "refused": "was taken and refused by {}",
        "arrived": "came back to this machine",
        "silent": "vanished without a word",
    }
    out += [
        f"a packet to {seen.public_address} that may live {step.hop} hops {words[step.outcome].format(step.offender or 'nobody')}"
        for step in seen.own_address
    ]
    return tuple(out)


def summarize(seen: TopologyObservation, findings: tuple[Finding, ...]) -> str:
    """``One NAT: 192.168.1.1, the first router, owns the public address``"""
    return findings[0].summary.rstrip(".")


CHECK = Check(
    id="topology",
    question="What stands between here and the internet?",
    observation=TopologyObservation,
    needs=frozenset(),
    probe=probe_network,
    judge=judge,
    summarize=summarize,
)
