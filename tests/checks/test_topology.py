"""What the hops and the router say, and what follows: pure, for every mixture of words, silence and lies; and the check through the world
in memory."""

import itertools

import msgspec
import pytest

from edgecheck.checks import topology
from edgecheck.checks.topology.layers import interpret
from edgecheck.checks.topology.observation import Hop, Outcome, OwnAddressStep, TopologyObservation
from edgecheck.model.profile import PortNeed, Profile
from edgecheck.model.router import RouterFacts, WanClaim
from edgecheck.model.verdict import Verdict
from tests.checks.probing import Said, look, say
from tests.fakes import clock
from tests.fakes.edge import Edge
from tests.fakes.nat import CLIENT, PUBLIC, Nat

HOME, CARRIER, SECOND, CORE = "192.168.88.1", "100.64.0.1", "192.168.1.1", "203.0.113.14"
AT_CARRIER, AT_SECOND, ELSEWHERE = "100.64.0.2", "192.168.1.2", "192.0.2.77"
PBX = Profile(
    name="t", title="", source="", confidence="verified", checks=(), ports=(PortNeed(ports="5060", transport="udp", purpose="SIP"),)
)
PHONE = msgspec.structs.replace(PBX, ports=())


def hops(*addresses: str | None) -> tuple[Hop, ...]:
    return tuple(Hop(hop=number, address=address) for number, address in enumerate(addresses, 1))


def steps(*outcomes: Outcome, controls: tuple[int, int] | None = None) -> tuple[OwnAddressStep, ...]:
    """The last one with its controls (sent, expired): all that are sent expire, unless told otherwise."""
    made = [OwnAddressStep(hop=number, outcome=outcome) for number, outcome in enumerate(outcomes, 1)]
    usual = {"refused": (1, 1), "silent": (6, 6)}
    sent, expired = controls or usual.get(made[-1].outcome, (0, 0))
    beside = 3 * sent if made[-1].outcome == "silent" else 0
    made[-1] = msgspec.structs.replace(made[-1], controls_sent=sent, controls_expired=expired, copies_beside=beside)
    return tuple(made)


def router(*claims: str | None) -> RouterFacts:
    return RouterFacts(
        gateway=HOME,
        protocol="upnp",
        protocols=("upnp",),
        manufacturer="Maker",
        model="Box",
        wan_address=next((claim for claim in claims if claim and claim != "0.0.0.0"), None),
        claims=tuple(WanClaim(protocol="upnp", address=claim, line="WANIPConnection:1", status="Connected") for claim in claims),
        mappings_complete=True,
    )


SILENT_ROUTER = RouterFacts(gateway=HOME, reason="the router 192.168.88.1 told nothing")


def seen(path: tuple[Hop, ...], own: tuple[OwnAddressStep, ...], told: RouterFacts = SILENT_ROUTER, **more: object) -> TopologyObservation:
    return interpret(CLIENT, PUBLIC, path, own, told, **more)  # type: ignore[arg-type]


def said(observed: TopologyObservation, profile: Profile = PBX) -> Said:
    return say(topology.CHECK, observed, profile)


MEASURED = [
    (hops(HOME, CORE), steps("refused"), 1, False, "single-nat"),
    (hops(HOME, CORE), steps("silent"), 1, False, "single-nat"),  # it speaks of others' packets, and took its own
    (hops(None, CORE), steps("refused", controls=(1, 0)), None, None, "undecided"),  # never says "expired": it may refuse anything
    (hops(HOME, CARRIER, CORE), steps("expired", "refused"), 2, True, "carrier-grade-nat"),
    (hops(HOME, CARRIER, CORE), steps("expired", "silent"), 2, True, "carrier-grade-nat"),
    (hops(HOME, CARRIER, None, CORE), steps("expired", "expired", "refused"), None, True, "carrier-grade-nat"),
    (hops(HOME, CORE), steps("expired", "arrived"), 1, False, "single-nat"),  # DMZ host: let in, back to this machine
    (hops(HOME, CARRIER, CORE), steps("expired", "expired", "expired", "arrived"), 2, True, "carrier-grade-nat"),  # and so twice
    (hops(HOME, SECOND, CORE), steps("expired", "refused"), None, None, "undecided"),  # double NAT, or another machine's DMZ, or routed
    (hops(HOME, CORE), steps("expired", "silent"), None, None, "undecided"),
    (hops(HOME, CORE), steps("expired", "expired"), None, None, "undecided"),
    (hops(HOME, CORE), steps("expired", "expired", "arrived"), None, None, "undecided"),  # as many hops as no box explains
    (hops(CARRIER, CORE), steps("refused"), 1, False, "single-nat"),  # a cloud that numbers itself from the shared range
    (hops(None, CORE), steps("silent", controls=(1, 0)), None, None, "undecided"),  # a router that never speaks
    (hops(HOME, CORE), steps("silent", controls=(1, 0)), None, None, "undecided"),  # a firewall that drops this port, whoever owns what
    (hops(HOME, CORE), steps("refused", controls=(1, 0)), None, None, "undecided"),  # ... that rejects it
    (hops(HOME, CORE), steps("silent", controls=(4, 3)), None, None, "undecided"),  # tired of telling, or loss
    (hops(HOME, CORE), steps("silent", controls=(5, 5)), None, None, "undecided"),  # too few to rule out loss
    ((), (), None, None, "undecided"),
]


@pytest.mark.parametrize(("path", "own", "layers", "cgnat", "cause"), MEASURED)
def test_measured(path: tuple[Hop, ...], own: tuple[OwnAddressStep, ...], layers: int | None, cgnat: bool | None, cause: str) -> None:
    observed = seen(path, own)
    assert (observed.nat_layers, observed.cgnat, observed.router) == (layers, cgnat, None)
    assert ("nat_layers" in observed.reasons, "cgnat" in observed.reasons) == (layers is None, cgnat is None)
    assert observed.reasons["router"] == SILENT_ROUTER.reason
    assert said(observed).ids == [cause]


AT_HOME = (hops(HOME, CORE), steps("refused"))
BEHIND_CARRIER = (hops(HOME, CARRIER, CORE), steps("expired", "refused"))
BEHIND_SECOND = (hops(HOME, SECOND, CORE), steps("expired", "refused"))
BEYOND = (hops(HOME, CORE), steps("expired", "refused"))
UNKNOWN = (hops(None, None, None), steps("silent", controls=(1, 0)))
Walk = tuple[tuple[Hop, ...], tuple[OwnAddressStep, ...]]


@pytest.mark.parametrize(
    ("walk", "claims", "layers", "cgnat", "causes"),
    [
        (AT_HOME, (PUBLIC,), 1, False, ["single-nat"]),
        (AT_HOME, (None,), 1, False, ["single-nat"]),
        (AT_HOME, ("0.0.0.0",), 1, False, ["single-nat"]),  # it says that it has none: no claim
        (AT_HOME, (ELSEWHERE,), 1, False, ["single-nat", "wan-address-differs"]),
        (AT_HOME, (AT_CARRIER,), 1, False, ["single-nat", "wan-address-differs"]),  # a lie makes no carrier-grade NAT
        (AT_HOME, (AT_SECOND,), 1, False, ["single-nat", "wan-address-differs"]),  # nor a double NAT
        (AT_HOME, (ELSEWHERE, PUBLIC), 1, False, ["single-nat"]),  # two lines, one of them this one
        (BEHIND_CARRIER, (AT_CARRIER,), 2, True, ["carrier-grade-nat"]),
        (BEHIND_CARRIER, ("10.1.2.3",), 2, True, ["carrier-grade-nat"]),
        (BEHIND_CARRIER, ("0.0.0.0",), 2, True, ["carrier-grade-nat"]),
        (BEHIND_CARRIER, (ELSEWHERE,), 2, True, ["carrier-grade-nat", "wan-address-differs"]),
        (BEHIND_CARRIER, (PUBLIC,), None, None, ["undecided"]),  # by STUN, or a DMZ host and a provider that numbers itself so
        (BEHIND_SECOND, (AT_SECOND,), 2, None, ["double-nat"]),
        (BEHIND_SECOND, (PUBLIC,), None, None, ["undecided"]),
        (BEHIND_SECOND, ("10.1.2.3",), None, None, ["undecided", "wan-address-differs"]),  # no measured address corroborates it
        (BEHIND_SECOND, ("192.168.88.9",), None, None, ["undecided", "wan-address-differs"]),
        (BEHIND_SECOND, (SECOND,), None, None, ["undecided", "wan-address-differs"]),  # it cannot have the next hop's address
        (BEYOND, (AT_SECOND,), None, None, ["undecided", "wan-address-differs"]),
        (BEYOND, (AT_CARRIER,), None, None, ["undecided", "wan-address-differs"]),
        (UNKNOWN, (AT_CARRIER,), None, None, ["undecided", "wan-address-differs"]),
        (UNKNOWN, (AT_SECOND,), None, None, ["undecided", "wan-address-differs"]),
        (UNKNOWN, (PUBLIC,), None, None, ["undecided"]),  # it may have learned that by STUN
    ],
)
def test_the_routers_word_beside_what_was_measured(
    walk: Walk, claims: tuple[str | None, ...], layers: int | None, cgnat: bool | None, causes: list[str]
) -> None:
    observed = seen(*walk, router(*claims))
    assert (observed.nat_layers, observed.cgnat) == (layers, cgnat)
    found = said(observed)
    assert found.ids == causes
    if "wan-address-differs" in causes:
        finding = found.finding("wan-address-differs")
        assert finding.verdict is (Verdict.WARN if layers else Verdict.INCONCLUSIVE)
        assert PUBLIC in finding.summary
        assert next(claim for claim in claims if claim) in finding.summary
        assert "status page" in finding.summary, "what would tell them apart"


ANY_CLAIM = (None, "0.0.0.0", PUBLIC, ELSEWHERE, AT_CARRIER, AT_SECOND, "10.1.2.3", "192.168.88.9")


@pytest.mark.parametrize("claims", list(itertools.combinations_with_replacement(ANY_CLAIM, 2)), ids=str)
def test_no_claim_whatever_overturns_a_measurement(claims: tuple[str | None, str | None]) -> None:
    """It may take one back; it never makes the contrary of what was measured, and it asserts nothing where nothing was measured."""
    for path, own, layers, cgnat, _ in MEASURED:
        observed = seen(path, own, router(*claims))
        if layers is not None or cgnat is not None:
            assert observed.nat_layers in (layers, None)
            assert observed.cgnat in (cgnat, None)
        else:
            assert observed.cgnat is None
            assert observed.nat_layers is None or (path == BEHIND_SECOND[0] and observed.nat_layers == 2)


def test_carrier_grade_nat_fails_where_ports_must_be_forwarded() -> None:
    observed = seen(*BEHIND_CARRIER)
    assert said(observed, PBX).verdict is Verdict.FAIL
    assert said(observed, PHONE).verdict is Verdict.WARN


def test_carrier_grade_nat_that_leads_ports_on_is_no_failure() -> None:
    observed = msgspec.structs.replace(seen(*BEHIND_CARRIER), let_in=True)
    (finding,) = said(observed, PBX).findings
    assert (finding.id, finding.verdict) == ("topology.carrier-grade-nat", Verdict.WARN)
    assert f"though ports are led on from there to here; unless {CARRIER} is a router of your own" in finding.summary


def test_who_numbers_his_own_network_from_the_providers_range_is_told_of_it() -> None:
    """A company's second router may have such an address: only its owner knows."""
    summary = said(seen(*BEHIND_CARRIER), PBX).finding("carrier-grade-nat").summary
    assert f"unless {CARRIER} is a router of your own" in summary
    assert "then this is double NAT, and that one needs the rule" in summary


SHARED_SOURCE = "100.64.7.2"


@pytest.mark.parametrize(
    ("path", "own", "layers"),
    [
        (hops(CARRIER, CORE), steps("refused"), 1),  # a modem without a router at the provider's, or a cloud
        (hops(CARRIER, "100.64.9.1", CORE), steps("expired", "refused"), None),
        (hops(HOME, CARRIER, CORE), steps("expired", "silent"), None),
    ],
)
def test_a_machine_that_is_itself_numbered_from_the_providers_range(
    path: tuple[Hop, ...], own: tuple[OwnAddressStep, ...], layers: int | None
) -> None:
    """Neither carrier-grade NAT nor its absence can be told by that range then."""
    observed = interpret(SHARED_SOURCE, PUBLIC, path, own, SILENT_ROUTER)
    assert (observed.nat_layers, observed.cgnat) == (layers, None)
    assert "provider's own network" in observed.reasons["cgnat"]
    assert "numbers itself so" in observed.reasons["cgnat"]
    found = said(observed)
    assert (found.ids, found.verdict) == (["undecided"], Verdict.INCONCLUSIVE)
    assert "numbers itself so" in found.findings[0].summary
    led_on = say(topology.CHECK, msgspec.structs.replace(observed, let_in=True), PBX)
    assert led_on.ids == (["single-nat"] if layers else ["undecided"])


def test_double_nat_names_both_boxes() -> None:
    finding = said(seen(*BEHIND_SECOND, router(AT_SECOND))).finding("double-nat")
    assert finding.verdict is Verdict.WARN
    assert all(address in finding.summary for address in (HOME, SECOND, AT_SECOND, PUBLIC))


def test_the_box_is_named_by_maker_and_model() -> None:
    assert "Maker Box at 192.168.88.1" in said(seen(*AT_HOME, router(PUBLIC))).finding("single-nat").summary


def test_where_nothing_can_be_measured_a_claim_stays_a_claim() -> None:
    observed = seen((), (), router(AT_CARRIER), sees_quotes=False)
    assert (observed.nat_layers, observed.cgnat) == (None, None)
    found = said(observed)
    assert found.ids == ["undecided", "wan-address-differs"]
    assert found.verdict is Verdict.INCONCLUSIVE


def test_several_public_addresses() -> None:
    found = said(seen(*AT_HOME, router(PUBLIC), seen=(PUBLIC, ELSEWHERE)))
    assert found.ids == ["single-nat", "several-addresses"]
    assert found.finding("several-addresses").verdict is Verdict.WARN


def test_the_address_of_the_other_line_differs_from_nothing() -> None:
    assert said(seen(*AT_HOME, router(ELSEWHERE), seen=(PUBLIC, ELSEWHERE))).ids == ["single-nat", "several-addresses"]


def test_who_speaks_in_the_name_of_the_public_address_has_it() -> None:
    """A router that leads the packet on to another machine of this network, before a provider that numbers its routers from 100.64."""
    first, second = steps("expired", "refused")
    led_on = (msgspec.structs.replace(first, offender=PUBLIC), second)
    observed = seen(hops(HOME, CARRIER, CORE), led_on)
    assert (observed.nat_layers, observed.cgnat, observed.owner_hop) == (1, False, 1)
    assert seen(hops(HOME, CARRIER, CORE), (first, second)).cgnat is True


@pytest.mark.parametrize(
    ("first", "gateways", "layers", "unseen"),
    [
        (HOME, (HOME,), 1, None),
        (HOME, (), 1, None),  # no default router is known: nothing is held against the hop
        ("192.168.88.3", (HOME,), 1, None),  # a pair of routers that share an address
        (CARRIER, (HOME,), None, HOME),  # the provider's NAT, behind a router that counts itself as no hop
        (CORE, (HOME,), None, HOME),
    ],
)
def test_a_default_router_that_is_no_hop(first: str, gateways: tuple[str, ...], layers: int | None, unseen: str | None) -> None:
    observed = seen(hops(first, "198.51.100.1"), steps("refused"), gateways=gateways)
    assert (observed.nat_layers, observed.unseen_router) == (layers, unseen)
    assert observed.cgnat is (None if unseen else False)
    assert say(topology.CHECK, observed, PBX).ids == (["undecided"] if unseen else ["single-nat"])


def test_six_of_six_controls_beside_six_copies_are_too_few() -> None:
    few = msgspec.structs.replace(steps("silent")[0], copies_beside=6)
    assert seen(hops(HOME, CORE), (few,)).nat_layers is None
    assert seen(hops(HOME, CORE), steps("silent")).nat_layers == 1


def test_a_word_that_was_lost_on_one_walk_is_had_from_the_other() -> None:
    """The default router is no hop, and whoever is the first one was not heard on the way to the server: not so beside the own address."""
    silent = msgspec.structs.replace(steps("silent")[0], told_by=SECOND)
    found = seen(hops(None, CORE), (silent,), gateways=(HOME,))
    assert (found.nat_layers, found.unseen_router, found.hops[0].address) == (None, HOME, SECOND)
    assert seen(hops(None, CORE), (msgspec.structs.replace(silent, told_by=HOME),), gateways=(HOME,)).nat_layers == 1


def test_several_default_routes() -> None:
    told = msgspec.structs.replace(router(PUBLIC), other_routes=("10.0.0.1 (wlan0)",), other_gateways=("192.168.88.9",))
    observed = seen(*AT_HOME, told)
    found = said(observed)
    assert found.ids == ["single-nat", "several-routes"]
    assert "10.0.0.1 (wlan0)" in found.finding("several-routes").summary
    assert any("192.168.88.9" in line for line in found.findings[0].evidence)


def test_no_nat_needs_no_router() -> None:
    observed = interpret(PUBLIC, PUBLIC, (), ())
    assert (observed.nat_layers, observed.cgnat, observed.owner_hop) == (0, False, 0)
    assert said(observed).ids == ["no-nat"]


def test_a_saved_report_is_judged_anew() -> None:
    observed = seen(*BEHIND_SECOND, router(AT_SECOND))
    again = msgspec.convert(msgspec.json.decode(msgspec.json.encode(observed)), TopologyObservation)
    assert said(again).findings == said(observed).findings


# ------------------------------------------------------------------------------------------------------- through the world in memory


def told_by(router_facts: RouterFacts, nat: Nat | None = None) -> TopologyObservation:
    def edge() -> Edge:
        made = Edge(nat or Nat())
        made.router = router_facts
        return made

    observed = look(topology, edge)
    assert isinstance(observed, TopologyObservation)
    return observed


def test_without_icmp_errors_nothing_is_concluded_and_the_router_is_told() -> None:
    observed = told_by(router(AT_CARRIER))
    assert (observed.nat_layers, observed.cgnat, observed.public_addresses) == (None, None, (PUBLIC,))
    assert observed.router is not None
    assert (observed.router.manufacturer, observed.router.model, observed.router.wan_address) == ("Maker", "Box", AT_CARRIER)


def test_a_silent_router_is_null_with_the_reason() -> None:
    observed = told_by(SILENT_ROUTER)
    assert observed.router is None
    assert observed.reasons["router"] == SILENT_ROUTER.reason


def test_the_router_is_asked_once_and_not_without_a_nat() -> None:
    async def work(edge: Edge) -> tuple[RouterFacts, RouterFacts, int]:
        network = edge.network()
        return await network.router(), await network.router(), edge.router_asked

    behind = Edge(Nat())
    first, second, asked = clock.run(work(behind))
    assert first is second
    assert asked == 1
    open_internet, _, asked = clock.run(work(Edge(Nat(translate=False))))
    assert (open_internet.protocol, asked) == (None, 0)
    assert open_internet.reason
