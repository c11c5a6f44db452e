"""What is said of the routers in between, and of the machine's own ways out. Pure."""

from edgecheck.checks.topology.layers import addresses
from edgecheck.checks.topology.observation import TopologyObservation
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Finding, Verdict
from edgecheck.wire.networks import is_private, is_shared, neighbors

LED_ON = ", and ports are led on"
"""Carrier-grade NAT is no reason then why others are not."""


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
        count = f"{seen.nat_layers} layers of NAT" if seen.nat_layers else "at least two layers of NAT"
        if seen.let_in:
            text += ", though ports are led on from there to here"
            count += LED_ON
        elif needs_forwarding:
            text += ", so a rule in the router here alone lets nothing in from outside. Ask the provider for a public address"
        fails = needs_forwarding and not seen.let_in
        finding("carrier-grade-nat", Verdict.FAIL if fails else Verdict.WARN, f"{text}{_unless_ones_own(seen)}.", count)
    elif seen.nat_layers == 0:
        finding("no-nat", Verdict.PASS, "No NAT: this machine has the public address itself.", "no NAT")
    elif seen.nat_layers == 1 and seen.cgnat is None and not seen.let_in:
        text = f"One NAT, and whether it is this network's own or the provider's could not be told: {seen.reasons.get('cgnat', '')}"
        finding("undecided", Verdict.INCONCLUSIVE, f"{text}.", "one layer of NAT")
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


def _unless_ones_own(seen: TopologyObservation) -> str:
    """Nothing but the range of its address tells that a router is the provider's, and nobody is kept from using that range."""
    shared = next((hop.address for hop in seen.hops if hop.hop > 1 and hop.address and is_shared(hop.address)), "it")
    needs = "" if seen.let_in else ", and that one needs the rule"
    return f"; unless {shared} is a router of your own (some sites number theirs so): then this is double NAT{needs}"


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
                + (f", of {step.copies_beside} beside them to {seen.public_address} none" if step.copies_beside else "")
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
