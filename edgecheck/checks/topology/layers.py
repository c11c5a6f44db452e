"""From what the hops said, and what the router says of itself, to layers of NAT. Pure.

Two kinds of evidence, of unequal weight. *Measured*: which hop lets packets to the own public address expire, and which takes them.
*Claimed*: the router's own word about its WAN address (UPnP, NAT-PMP), which may be a lie, another line's address, or one it learned by
STUN. A claim decides nothing alone. Where a measured address corroborates it, it decides between two explanations that both fit what was
measured; and it takes a measured verdict back where the two contradict each other and the measurement has a second explanation.
"""

from typing import NamedTuple

import msgspec

from edgecheck.checks.topology.observation import Hop, OwnAddressStep, TopologyObservation
from edgecheck.model.evidence import loss_is_excluded
from edgecheck.model.router import RouterClaims, RouterFacts
from edgecheck.wire.networks import is_private, is_shared, neighbors

_NUMBERED = "is itself an address of the range kept for providers' NAT"
_WHOSE = (
    "either this machine stands on the provider's own network, behind carrier-grade NAT, or this network numbers itself so (a cloud, an "
    "office) and the router that has the public address is its own. Whoever runs that router tells which"
)


class Layers(NamedTuple):
    """The conclusion. ``None`` = could not tell, and ``reasons`` says why, by field."""

    nat_layers: int | None
    cgnat: bool | None
    owner_hop: int | None
    reasons: dict[str, str]


def interpret(
    source: str,
    public: str,
    hops: tuple[Hop, ...],
    steps: tuple[OwnAddressStep, ...],
    facts: RouterFacts | None = None,
    seen: tuple[str, ...] = (),
    gateways: tuple[str, ...] = (),
    *,
    sees_quotes: bool = True,
) -> TopologyObservation:
    """The observation, from all that was seen; ``gateways``: this machine's default routers. Pure."""
    facts = facts or RouterFacts(reason="the router was not asked")
    hops = _named(hops, steps, public)
    unseen = unseen_router(hops, gateways)
    if source == public:
        found = Layers(0, False, 0, {})
    elif sees_quotes:
        found = layers(public, hops, steps, facts.told, seen, unseen, source)
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
        unseen_router=unseen,
        other_gateways=facts.other_gateways,
        other_routes=facts.other_routes,
        reasons=reasons if facts.told else {**reasons, "router": facts.reason},
    )


def layers(
    public: str,
    hops: tuple[Hop, ...],
    steps: tuple[OwnAddressStep, ...],
    router: RouterClaims | None = None,
    seen: tuple[str, ...] = (),
    unseen: str | None = None,
    source: str = "",
) -> Layers:
    """What stands between, as far as it can be told; ``seen``: all public addresses of this network, where it has several; ``unseen``: as
    ``unseen_router`` tells; ``source``: this machine's own address."""
    owner, reason = owner_hop(public, hops, steps)
    if owner is None:
        why = reason + _by_its_word(public, router)
        return Layers(None, None, None, {"nat_layers": why, "cgnat": why})
    if unseen is not None and owner == 1:
        why = (
            f"the default router {unseen} counts itself as no hop: the first that shows is {hops[0].address}, and which of the two owns "
            "the public address, or whether both translate, does not show"
        ) + _by_its_word(public, router)
        return Layers(None, None, None, {"nat_layers": why, "cgnat": why})
    # A network that is itself numbered from the shared range: a cloud's or an office's, or the provider's own line without a router.
    numbered = bool(source) and is_shared(source)
    if owner == 1:
        return Layers(1, None, 1, {"cgnat": f"{source} {_NUMBERED}: {_WHOSE}"}) if numbered else Layers(1, False, 1, {})
    if numbered:
        why = f"the first router lets packets to the public address pass on to hop {owner}, and {source} {_NUMBERED}: {_WHOSE}"
        return Layers(None, None, owner, {"nat_layers": why, "cgnat": why})
    # The first hop alone proves nothing: some clouds and offices number their own networks from the shared range.
    shared = next((hop for hop in hops if hop.hop > 1 and hop.address and is_shared(hop.address)), None)
    claimed = addresses(router)
    passes = f"the first router lets packets to the public address pass on to hop {owner}"
    owned = sorted(claimed & {public, *seen})
    if shared is not None and owned:
        why = (
            f"{passes}, and hop {shared.hop} is {shared.address}, of the range kept for providers' NAT; but the router says that "
            f"{owned[0]} is its own WAN address. Either the provider translates and the router's word is wrong (or learned by STUN), or "
            "the router hands packets to another machine of this network (DMZ host) and the provider merely numbers its routers so"
        )
        return Layers(None, None, owner, {"nat_layers": why, "cgnat": why})
    if shared is not None:
        sure = owner == 2 and unseen is None
        reasons = {} if sure else {"nat_layers": f"{passes}: which of the boxes between translate cannot be seen"}
        return Layers(2 if sure else None, True, owner, reasons)
    second = next((hop.address for hop in hops if hop.hop == 2), None)
    if owner == 2 and unseen is None and second is not None and any(neighbors(claim, second) for claim in claimed):
        why = f"hop 2 ({second}) owns the public address: it may be a second router of this network or the provider's NAT"
        return Layers(2, None, 2, {"cgnat": why})
    why = (
        f"{passes}: either two routers in a row translate (double NAT), or the first only routes, or it hands them to another machine of "
        "this network (DMZ host)"
    )
    why += _by_its_word(public, router)
    return Layers(None, None, owner, {"nat_layers": why, "cgnat": why})


def _named(hops: tuple[Hop, ...], steps: tuple[OwnAddressStep, ...], public: str) -> tuple[Hop, ...]:
    """The hops; one whose word was lost on the walk by who spoke at the same distance on the other."""
    speakers = {step.hop: step.offender if step.outcome == "expired" and step.offender != public else step.told_by for step in steps}
    return tuple(msgspec.structs.replace(hop, address=hop.address or speakers.get(hop.hop)) for hop in hops)


def unseen_router(hops: tuple[Hop, ...], gateways: tuple[str, ...]) -> str | None:
    """The default router, where it is none of the hops: one that leaves the TTL alone. The first hop is then whoever stands behind it.

    A router that speaks under another address of the same network (VRRP: a shared one and its own) is taken for it.
    """
    first = next((hop.address for hop in hops if hop.hop == 1), None)
    if first is None or not gateways or any(hop.address in gateways for hop in hops):
        return None
    return None if any(neighbors(gateway, first) for gateway in gateways) else gateways[0]


def owner_hop(public: str, hops: tuple[Hop, ...], steps: tuple[OwnAddressStep, ...]) -> tuple[int | None, str]:
    """The hop whose box takes packets to the public address for itself, or None and why."""
    if not steps:
        return None, "no packet to the own public address was sent"
    spoken = next((step.hop for step in steps if step.outcome == "expired" and step.offender == public), None)
    if spoken is not None:
        return spoken, ""  # it led the packet on by a rule (to a DMZ host), and says so in the name of the public address: it translates it
    last = steps[-1]
    sent, expired = last.controls_sent, last.controls_expired
    if last.outcome == "refused":
        if not expired:
            return None, f"hop {last.hop} lets no packet to the server's same port expire: it may be a firewall that refuses all of them"
        return last.hop, ""
    if last.outcome == "arrived":
        # Let in and sent back to this machine: as many hops there as back, the owner's counted twice.
        if last.hop == 1 or last.hop % 2 == 0:
            return max(1, last.hop // 2), ""
        return None, f"a packet to the own public address came back after {last.hop} hops, which fits no box on the way"
    if last.outcome == "expired":
        return None, "packets to the own public address expire as far as hops could be followed"
    if loss_is_excluded(expired, sent, last.copies_beside):
        return last.hop, ""  # it says "expired" of the same packets to the server, and nothing of these: it took them
    told = f"of {expired} of {sent}" if expired else "of no"
    return None, f"hop {last.hop} tells {told} expired packets, so its silence proves nothing"


def addresses(router: RouterClaims | None) -> frozenset[str]:
    """The WAN addresses that the router claims, less those that are none (0.0.0.0)."""
    claims = router.claims if router is not None else ()
    return frozenset(claim.address for claim in claims if claim.address is not None and claim.address != "0.0.0.0")


def _by_its_word(public: str, router: RouterClaims | None) -> str:
    """What the router says of it, told as what it is."""
    claimed = sorted(addresses(router))
    if not claimed:
        return ""
    if public in claimed:
        return f". The router says that {public} is its own WAN address, which speaks for one NAT; but it may have learned it by STUN"
    first = claimed[0]
    says = f". The router says that its WAN address is {first}"
    if is_shared(first):
        return f"{says}, of the range kept for providers' NAT: if that is true, the provider translates"
    if is_private(first):
        return f"{says}, a private one: if that is true, a second NAT stands behind it"
    return f"{says}, which is not {public}"
