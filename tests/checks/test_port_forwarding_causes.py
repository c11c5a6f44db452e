"""Causes of ports that are not reached: which evidence leaves which, and what the counters of this machine say. Pure."""

from typing import Any, Literal

import msgspec
import pytest

from edgecheck.checks import port_forwarding
from edgecheck.checks.port_forwarding.causes import CAUSES, fitting
from edgecheck.checks.port_forwarding.here import Rise, read
from edgecheck.checks.port_forwarding.observation import ForwardingObservation, Icmp, Path, PortRow
from edgecheck.model.router import PortMapping
from edgecheck.model.verdict import Verdict
from tests.checks.probing import PROFILE, Said, expecting, say

PUBLIC, HERE, OTHER, UPSTREAM = "203.0.113.1", "192.168.88.2", "192.168.88.77", "203.0.113.14"
NEAR = Path(
    owner_hop=1,
    router="192.168.88.1",
    cgnat=False,
    behind_owner=1,
    told_of_expiry=True,
    expiry_ttl=63,
    before_owner=(UPSTREAM,),
    canary_passed_on=False,
    canary_tcp="silent",
)
"""One router, that tells of expiry and drops what it does not know."""
FAR = Path(told_of_expiry=False)
"""Nothing could be told."""
OUTER = msgspec.structs.replace(NEAR, owner_hop=2, owner="192.168.1.1", behind_owner=2, cgnat=None)
"""Two routers, and the second has the public address."""
DOUBLE = msgspec.structs.replace(OUTER, double=True)
"""And the first names a private WAN address beside it."""
UNSEEN = msgspec.structs.replace(NEAR, owner_hop=None, cgnat=None, unseen_router="192.168.88.1")
REJECTS = msgspec.structs.replace(NEAR, canary=Icmp(icmp_type=3, icmp_code=13, offender=PUBLIC, ttl=63), canary_tcp="refused")


def icmp(kind: int, code: int, offender: str = PUBLIC, ttl: int = 63) -> Icmp:
    return Icmp(icmp_type=kind, icmp_code=code, offender=offender, ttl=ttl)


def row(state: Any = "blocked", transport: Literal["udp", "tcp"] = "udp", **facts: Any) -> PortRow:
    refused = {"answered_by": PUBLIC, "reason": "refused"} if state == "refused" else {}
    return PortRow(port=5060, transport=transport, purpose="SIP", required=True, state=state, copies=6, **{**refused, **facts})


def mapping(host: str) -> PortMapping:
    return PortMapping(transport="udp", external_port=5060, internal_host=host, internal_port=5060, description="phone")


NOTHING_HERE: dict[str, Any] = {"here": "nothing"}


@pytest.mark.parametrize(
    ("facts", "path", "expected"),
    [
        # silent
        ({"passed_on": False, "punched": True, **NOTHING_HERE}, NEAR, ["no-rule"]),
        ({"passed_on": False, **NOTHING_HERE}, NEAR, ["no-rule", "provider-drops"]),
        ({"passed_on": False, "punched": True}, FAR, ["no-rule", "carrier-grade-nat"]),
        # the outer of two routers has seen this machine send: whose it is, that does not tell
        ({"passed_on": False, "punched": True, **NOTHING_HERE}, OUTER, ["no-rule", "carrier-grade-nat"]),
        ({"passed_on": False, "punched": True, **NOTHING_HERE}, DOUBLE, ["double-nat"]),
        ({"passed_on": False, **NOTHING_HERE}, DOUBLE, ["double-nat", "provider-drops"]),
        (NOTHING_HERE, DOUBLE, ["double-nat", "wrong-host", "filtered-behind", "provider-drops"]),
        # the outer one leads it on: it is the inner one's turn
        ({"passed_on": True, **NOTHING_HERE}, DOUBLE, ["no-rule", "wrong-host", "filtered-behind"]),
        ({"passed_on": False, "punched": True, **NOTHING_HERE}, msgspec.structs.replace(DOUBLE, let_in=True), ["no-rule"]),
        ({"passed_on": False, **NOTHING_HERE}, FAR, ["no-rule", "provider-drops", "carrier-grade-nat"]),
        ({"passed_on": True, **NOTHING_HERE}, NEAR, ["wrong-host", "filtered-behind"]),
        ({"passed_on": True}, NEAR, ["wrong-host", "filtered-behind", "host-firewall", "wrong-port"]),
        ({"passed_on": True, "here": "undropped"}, NEAR, ["wrong-host", "filtered-behind", "wrong-port"]),
        ({"passed_on": True, **NOTHING_HERE}, msgspec.structs.replace(NEAR, owner_hop=2, behind_owner=2), ["no-rule", "wrong-host", "filtered-behind"]),
        (NOTHING_HERE, NEAR, ["no-rule", "wrong-host", "filtered-behind", "provider-drops"]),
        ({"punched": True, **NOTHING_HERE}, NEAR, ["no-rule", "wrong-host", "filtered-behind"]),
        ({}, FAR, ["no-rule", "wrong-host", "filtered-behind", "provider-drops", "host-firewall", "wrong-port", "carrier-grade-nat"]),
        # whoever has the address leads other ports on to here
        ({}, msgspec.structs.replace(FAR, let_in=True), ["no-rule", "wrong-host", "filtered-behind", "provider-drops", "host-firewall", "wrong-port"]),
        ({"passed_on": True, **NOTHING_HERE}, Path(cgnat=True, owner_hop=2, behind_owner=2, let_in=True), ["no-rule", "wrong-host", "filtered-behind"]),
        # the default router counts itself as no hop: who is one hop away may be anybody
        ({"passed_on": False, "punched": True, **NOTHING_HERE}, UNSEEN, ["no-rule", "carrier-grade-nat"]),
        # here
        ({"here": "dropped", "passed_on": True}, NEAR, ["host-firewall"]),
        ({"here": "nobody-listens", "passed_on": True}, NEAR, ["no-listener"]),
        ({"here": "taken", "passed_on": True}, NEAR, ["wrong-port"]),
        ({"here": "reverse-path", "passed_on": True}, NEAR, ["reverse-path"]),
        ({"lands_on": 5061}, NEAR, ["wrong-port"]),
        # told late that there is no such machine
        ({"icmp": icmp(3, 1), "passed_on": True, **NOTHING_HERE}, NEAR, ["wrong-host"]),
        ({"icmp": icmp(3, 1), **NOTHING_HERE}, NEAR, ["wrong-host"]),
        # the carrier's NAT lets nothing through, whatever else is seen
        ({"passed_on": True}, Path(cgnat=True, owner_hop=2), ["carrier-grade-nat"]),
        # the router's word, and what it is worth
        ({"mapping": mapping(OTHER), "passed_on": True, **NOTHING_HERE}, NEAR, ["held-by-another"]),
        ({"mapping": mapping(OTHER), "passed_on": False, "punched": True, **NOTHING_HERE}, NEAR, ["no-rule"]),
        ({"mapping": mapping(HERE), "passed_on": True, **NOTHING_HERE}, NEAR, ["wrong-host", "filtered-behind"]),
        # which may have been forgotten, where nothing bears it out
        ({"mapping": mapping(OTHER), **NOTHING_HERE}, NEAR, ["held-by-another", "no-rule", "wrong-host", "filtered-behind", "provider-drops"]),
    ],
)
def test_silence(facts: dict[str, Any], path: Path, expected: list[str]) -> None:
    assert list(fitting(row(**facts), path, HERE, PUBLIC)) == expected


@pytest.mark.parametrize(
    ("facts", "path", "expected"),
    [
        # a machine behind the NAT and the box itself bear the same address: what expires at the box tells them apart
        ({"icmp": icmp(3, 3, ttl=62), "passed_on": True, "refused_by_box": False, **NOTHING_HERE}, NEAR, ["wrong-host"]),
        # that one refuses what its own rule leads on; or by its words it is a filter that refuses
        ({"icmp": icmp(3, 3), "passed_on": True, "refused_by_box": True, **NOTHING_HERE}, NEAR, ["filtered-behind"]),
        ({"icmp": icmp(3, 13, ttl=62), "passed_on": True, "refused_by_box": False, **NOTHING_HERE}, NEAR, ["wrong-host", "filtered-behind"]),
        ({"icmp": icmp(3, 3, ttl=120), "passed_on": True, **NOTHING_HERE}, NEAR, ["wrong-host", "filtered-behind"]),
        ({"icmp": icmp(3, 1), "passed_on": True, "refused_by_box": True, **NOTHING_HERE}, NEAR, ["wrong-host", "filtered-behind"]),
        # a router between may refuse in the words of a machine
        (
            {"icmp": icmp(3, 3, ttl=62), "passed_on": True, "refused_by_box": False, **NOTHING_HERE},
            OUTER,
            ["no-rule", "wrong-host", "filtered-behind"],
        ),
        ({"icmp": icmp(3, 3, ttl=61), "passed_on": True, "here": "led-on"}, NEAR, ["led-on-here"]),
        # a machine behind whose errors the router leaves under their own address
        ({"icmp": icmp(3, 3, OTHER, 62), "passed_on": True, "refused_by_box": False, **NOTHING_HERE}, NEAR, ["wrong-host"]),
        ({"icmp": icmp(3, 3), "passed_on": False, **NOTHING_HERE}, NEAR, ["router-refuses"]),
        ({"icmp": icmp(3, 13), "passed_on": False, **NOTHING_HERE}, REJECTS, ["no-rule"]),
        ({"icmp": icmp(3, 3), "passed_on": False, **NOTHING_HERE}, REJECTS, ["router-refuses"]),
        # without that, the canaries alone do not: everything may be led on to another machine (DMZ host)
        ({"icmp": icmp(3, 13), **NOTHING_HERE}, REJECTS, ["no-rule", "wrong-host", "filtered-behind"]),
        ({"icmp": icmp(3, 3), **NOTHING_HERE}, NEAR, ["wrong-host", "no-rule", "filtered-behind", "router-refuses"]),
        ({"icmp": icmp(3, 3), "passed_on": True, "refused_by_box": False}, NEAR, ["wrong-host", "host-firewall", "no-listener"]),
        # somebody else's address
        ({"icmp": icmp(3, 13, UPSTREAM), **NOTHING_HERE}, NEAR, ["provider-drops"]),
        ({"icmp": icmp(3, 13, UPSTREAM), **NOTHING_HERE}, msgspec.structs.replace(NEAR, told_of_expiry=False, before_owner=(), expiry_ttl=None), ["provider-drops", "no-rule"]),
        # one that was met nowhere before the box may be the box itself, under another of its addresses: as far off as that, it is
        ({"icmp": icmp(3, 13, "203.0.113.9", 60), **NOTHING_HERE}, NEAR, ["provider-drops", "no-rule"]),
        ({"icmp": icmp(3, 13, "203.0.113.9"), **NOTHING_HERE}, NEAR, ["router-refuses"]),
        ({"icmp": icmp(3, 13, "203.0.113.9"), **NOTHING_HERE}, msgspec.structs.replace(NEAR, canary=icmp(3, 13, "203.0.113.9")), ["no-rule"]),
        # resets
        ({"transport": "tcp", "passed_on": True, "refused_by_box": False, **NOTHING_HERE}, NEAR, ["wrong-host"]),
        ({"transport": "tcp", "passed_on": True, "refused_by_box": True, **NOTHING_HERE}, NEAR, ["filtered-behind"]),
        ({"transport": "tcp", "passed_on": True, **NOTHING_HERE}, NEAR, ["wrong-host", "filtered-behind"]),
        ({"transport": "tcp", **NOTHING_HERE}, NEAR, ["wrong-host", "no-rule", "filtered-behind", "router-refuses", "provider-drops"]),
        ({"transport": "tcp", "reset_before": True, **NOTHING_HERE}, NEAR, ["provider-drops"]),
        ({"transport": "tcp", "reset_before": False, **NOTHING_HERE}, NEAR, ["router-refuses", "provider-drops"]),
        ({"transport": "tcp", "reset_before": False, "punched": True, **NOTHING_HERE}, NEAR, ["router-refuses"]),
        ({"transport": "tcp", "reset_before": False, "punched": True, **NOTHING_HERE}, REJECTS, ["no-rule"]),
        ({"transport": "tcp", "here": "dropped"}, NEAR, ["host-firewall"]),
        ({"transport": "tcp", "here": "nobody-listens"}, NEAR, ["no-listener"]),
        # a router that saves its errors is silent about the next port, too
        ({"transport": "tcp", "icmp": icmp(3, 13), "passed_on": False, **NOTHING_HERE}, NEAR, ["no-rule", "router-refuses"]),
    ],
)
def test_refusal(facts: dict[str, Any], path: Path, expected: list[str]) -> None:
    assert list(fitting(row("refused", **facts), path, HERE, PUBLIC)) == expected


@pytest.mark.parametrize(
    ("state", "facts", "expected"),
    [
        ("blocked", {"punched": True, **NOTHING_HERE}, ["no-rule"]),
        ("blocked", {"punched": True}, ["no-rule", "host-firewall"]),
        ("blocked", NOTHING_HERE, ["no-rule", "provider-drops"]),
        ("blocked", {}, ["no-rule", "provider-drops", "host-firewall"]),
        ("blocked", {"here": "dropped"}, ["host-firewall"]),
        ("refused", {"icmp": icmp(3, 13, UPSTREAM), **NOTHING_HERE}, ["provider-drops", "no-rule"]),
        ("refused", {"icmp": icmp(3, 13, "203.0.113.65"), **NOTHING_HERE}, ["no-rule", "provider-drops"]),
        ("refused", {"transport": "tcp"}, ["no-rule", "provider-drops", "host-firewall"]),
    ],
)
def test_without_translation(state: str, facts: dict[str, Any], expected: list[str]) -> None:
    path = Path(owner_hop=0, router="203.0.113.65", cgnat=False)
    assert list(fitting(row(state, **facts), path, "203.0.113.66", "203.0.113.66")) == expected


def test_less_evidence_never_leaves_out_a_cause_that_more_of_it_names() -> None:
    """The law behind the table: taking a piece of evidence away may add causes, and never changes one for another."""
    whole = [
        row(passed_on=False, punched=True, here="nothing"),
        row(passed_on=True, here="dropped"),
        row(passed_on=True, here="nothing", icmp=icmp(3, 1)),
        row("refused", passed_on=True, here="nothing", icmp=icmp(3, 3, ttl=62), refused_by_box=False),
        row("refused", passed_on=True, here="nothing", icmp=icmp(3, 3), refused_by_box=True),
        row("refused", "tcp", passed_on=True, here="nothing", refused_by_box=True),
        row("refused", passed_on=False, here="nothing", icmp=icmp(3, 13)),
        row("refused", "tcp", reset_before=False, punched=True, here="nothing"),
    ]
    for path in (NEAR, REJECTS):
        for one in whole:
            (cause,) = fitting(one, path, HERE, PUBLIC)
            for name in ("passed_on", "punched", "here", "refused_by_box"):
                poorer = msgspec.structs.replace(one, **{name: None})
                assert cause in fitting(poorer, path, HERE, PUBLIC), (cause, name, poorer)


# ---- what is said


def judged(*rows: PortRow, path: Path = NEAR, expectation: str = "fail") -> Said:
    seen = ForwardingObservation(ports=rows, probed_address=PUBLIC, prober="198.51.100.11", local_address=HERE, path=path)
    return say(port_forwarding.CHECK, seen, expecting(forwarding=expectation) if expectation != "fail" else PROFILE)


@pytest.mark.parametrize("cause", sorted(CAUSES))
def test_every_cause_reads_as_a_sentence_alone_and_beside_others(cause: str) -> None:
    words = {"box": "the router", "here": HERE, "public": PUBLIC, "holder": OTHER, "lands": "its port 5070", "second": "192.168.1.1", "who": "FRITZ!OS", "translator": "another one"}
    assert CAUSES[cause].says.format(**words).endswith(".")
    for part in CAUSES[cause][1:]:
        assert not part.format(**words).endswith(".")


def test_the_router_beside_a_machine_on_a_providers_own_network_may_be_the_providers() -> None:
    lacking = row(passed_on=False, punched=True, here="nothing")
    assert list(fitting(lacking, msgspec.structs.replace(NEAR, cgnat=None), "100.64.7.2", PUBLIC)) == ["no-rule", "carrier-grade-nat"]


def test_two_routers_in_a_row_are_named_with_the_one_that_lacks_the_rule() -> None:
    (finding,) = judged(row(passed_on=False, punched=True, here="nothing"), path=DOUBLE).findings
    assert (finding.id, finding.observed) == ("port-forwarding.double-nat", "blocked: double-nat")
    assert f"the outer one, 192.168.1.1, which has {PUBLIC}, has no rule" in finding.summary
    assert "Both need one" in finding.summary


def test_a_second_router_that_nobody_names_is_told_of_where_the_rule_is_looked_for() -> None:
    (finding,) = judged(row(passed_on=False, punched=True, here="nothing"), path=OUTER).findings
    assert finding.observed == "blocked: no-rule or carrier-grade-nat"
    assert f"the router that has {PUBLIC} (192.168.1.1, hop 2) has no rule for it" in finding.summary
    assert "your own (double NAT), or the provider's (carrier-grade NAT)" in finding.summary


def test_carrier_grade_nat_leaves_open_whose_router_bears_such_an_address() -> None:
    (finding,) = judged(row(passed_on=False), path=Path(owner_hop=2, owner="100.64.0.1", router="192.168.88.1", cgnat=True)).findings
    assert finding.id == "port-forwarding.carrier-grade-nat"
    assert "unless 100.64.0.1 is a router of your own" in finding.summary


def test_one_cause_gives_the_finding_its_name() -> None:
    said = judged(row(passed_on=False, punched=True, here="nothing"))
    (finding,) = said.findings
    assert (finding.id, finding.verdict, finding.observed) == ("port-forwarding.no-rule", Verdict.FAIL, "blocked: no-rule")
    assert finding.summary == "UDP 5060 (SIP) does not arrive: the router (192.168.88.1) has no rule that lets it in."
    assert finding.remedies == ()
    assert said.summary == "UDP 5060 never arrives (no rule)"
    assert any("nothing beyond holds it up" in line for line in finding.evidence)


@pytest.mark.parametrize("reached", [{"state": "forwarded"}, {"state": "answered", "asked": True, "answered_here": True, "direct": "status 200", "owner": "asterisk (pid 7)"}])
@pytest.mark.parametrize(("missing", "other"), [("udp", "tcp"), ("tcp", "udp")])
def test_a_rule_for_the_other_transport_alone_is_said_to_be_one(missing: Any, other: Any, reached: dict[str, Any]) -> None:
    lacking = row(transport=missing, passed_on=False, punched=True, here="nothing")
    state = {"answered_by": "asterisk", **reached}
    said = judged(lacking, row(state.pop("state"), other, **state))
    assert said.finding("no-rule").summary.endswith(f"{other.upper()} 5060 arrives: the rule seems to be for {other.upper()} alone.")
    unsure = judged(row(transport=missing, passed_on=False, here="nothing"), row("forwarded", other)).finding("blocked")
    assert unsure.summary.endswith(f"{other.upper()} 5060 arrives: if there is a rule, it may be for {other.upper()} alone.")
    elsewhere = msgspec.structs.replace(row("forwarded", other), port=5061)
    assert "alone" not in judged(lacking, elsewhere).finding("no-rule").summary


def test_several_causes_are_all_named_with_what_would_tell_them_apart() -> None:
    said = judged(row(passed_on=False, here="nothing"), row(passed_on=False, here="nothing", punched=True, transport="tcp"))
    first, second = said.findings
    assert (first.id, first.observed) == ("port-forwarding.blocked", "blocked: no-rule or provider-drops")
    assert "has no rule for it, or the provider" in first.summary
    assert first.remedies[0].startswith("To tell which of the 2 causes it is: look for the rule")
    assert "ask the provider" in first.remedies[0]
    assert second.id == "port-forwarding.no-rule"
    assert said.summary == "UDP 5060 never arrives (no rule or provider drops); TCP 5060 never arrives (no rule)"


def test_the_device_that_holds_the_port_is_named() -> None:
    (finding,) = judged(row(passed_on=True, here="nothing", mapping=mapping(OTHER))).findings
    assert finding.id == "port-forwarding.held-by-another"
    assert f"{OTHER} (phone)" in finding.summary


def test_a_device_that_is_gone_holds_nothing() -> None:
    """Its mapping is left, and may be of this very machine under another address."""
    gone = Icmp(icmp_type=3, icmp_code=1, offender=PUBLIC)
    (finding,) = judged(row(passed_on=True, here="nothing", icmp=gone, mapping=mapping(OTHER))).findings
    assert (finding.id, finding.observed) == ("port-forwarding.wrong-host", "blocked: wrong-host")
    assert any(OTHER in line for line in finding.evidence)


def test_a_device_that_holds_the_port_and_answers_is_named() -> None:
    facts = {"state": "answered", "answered_by": "another PBX", "passed_on": True, "here": "nothing"}
    (finding,) = judged(row(**facts, mapping=mapping(OTHER))).findings
    assert finding.id == "port-forwarding.held-by-another"
    assert f"it holds this port in the router, {OTHER} (phone)" in finding.summary
    assert judged(row(**facts)).ids == ["wrong-host"]


def test_a_profile_that_needs_no_forwarding_is_told_no_cause() -> None:
    (finding,) = judged(row(passed_on=False, here="nothing"), expectation="ignore").findings
    assert (finding.id, finding.verdict, finding.remedies) == ("port-forwarding.blocked", Verdict.PASS, ())


# ---- this machine's counters

QUIET = (Rise(0, 0), Rise(0, 0))


@pytest.mark.parametrize(
    ("burst", "quiet", "kept", "expected"),
    [
        (Rise(24, 0), QUIET, 1.0, "dropped"),
        (Rise(0, 24), QUIET, 1.0, "nobody-listens"),
        (Rise(0, 0), QUIET, 1.0, "nothing"),
        (Rise(2, 1), (Rise(1, 2), Rise(3, 0)), 1.0, "nothing"),
        (Rise(26, 1), (Rise(2, 0), Rise(1, 1)), 1.0, "dropped"),
        (Rise(17, 0), QUIET, 0.9, "dropped"),
        # half a burst is nothing clear; neither is a whole one where it was not quiet
        (Rise(12, 0), QUIET, 1.0, None),
        (Rise(24, 0), (Rise(20, 0), Rise(25, 0)), 1.0, None),
        (Rise(24, 0), (Rise(0, 0), Rise(9, 0)), 1.0, None),
        (Rise(24, 24), QUIET, 1.0, None),
        (Rise(0, 0, 24), QUIET, 1.0, "led-on"),
        (Rise(24, 0, reverse_path=24), QUIET, 1.0, "reverse-path"),
        (Rise(24, 0, reverse_path=3), QUIET, 1.0, "dropped"),
        (Rise(0, 0, 24), (Rise(0, 0, 9), Rise(0, 0, 0)), 1.0, None),
        (Rise(0, 0), (Rise(0, 0), Rise(0, 30)), 1.0, None),
        # with most of it lost on the way, a little noise is as much as the burst, and next to none of it is no proof of none
        (Rise(3, 0), QUIET, 0.1, None),
        (Rise(0, 0), QUIET, 0.5, None),
    ],
)
def test_a_burst_against_the_quiet(burst: Rise, quiet: tuple[Rise, ...], kept: float, expected: str | None) -> None:
    assert read(24, burst, quiet, kept) == expected


# ---- somebody else answers


@pytest.mark.parametrize(
    ("facts", "path", "expected"),
    [
        ({"passed_on": True, **NOTHING_HERE}, NEAR, ["wrong-host"]),
        ({"passed_on": True}, NEAR, []),  # another service of this machine, or a container's, as far as it shows
        ({"passed_on": True, "lands_on": 22}, NEAR, ["wrong-port"]),
        ({"passed_on": True, "here": "led-on"}, NEAR, []),
        ({"passed_on": False}, NEAR, ["router-answers", "answered-before"]),
        ({"passed_on": False, "answered_before": False}, NEAR, ["router-answers"]),
        ({"passed_on": False, "answered_before": True}, NEAR, ["answered-before"]),
        ({"passed_on": False, "answered_before": False}, OUTER, ["router-answers"]),
        ({"passed_on": False, "answered_before": False}, msgspec.structs.replace(NEAR, cgnat=True), []),
        ({"passed_on": False, "answered_before": False, "arrived": 1}, NEAR, []),
        # a program here holds the port, and it was seen that it is not this one that answers
        ({"passed_on": False, "answered_before": False, "asked": True, "answered_here": False}, NEAR, ["router-answers"]),
        ({"passed_on": True, "asked": True, "answered_here": False}, NEAR, ["wrong-host"]),
        ({"passed_on": True, "asked": True, "answered_here": None}, NEAR, []),
        ({"asked": True, "answered_here": False}, NEAR, []),
        ({"passed_on": False, "answered_before": False, "asked": True, "answered_here": True}, NEAR, []),
        ({}, NEAR, []),
        ({"passed_on": True}, FAR, []),  # a second router between may be the one that answers
        ({"passed_on": True, "arrived": 1, **NOTHING_HERE}, NEAR, []),  # it came here as well: something between answers, too
        ({"passed_on": True, "unbound": "port-in-use", **NOTHING_HERE}, NEAR, []),
        ({"passed_on": True, **NOTHING_HERE}, msgspec.structs.replace(NEAR, cgnat=True), []),
    ],
)
def test_who_answers_behind_the_router(facts: dict[str, Any], path: Path, expected: list[str]) -> None:
    assert list(fitting(row("answered", "tcp", answered_by="another PBX", **facts), path, HERE, PUBLIC)) == expected


def test_another_machine_that_answers_is_a_rule_to_the_wrong_host() -> None:
    (finding,) = judged(row("answered", "tcp", answered_by="another PBX", passed_on=True, here="nothing")).findings
    assert (finding.id, finding.verdict) == ("port-forwarding.wrong-host", Verdict.FAIL)
    assert finding.summary == "TCP 5060 (SIP) is answered by another machine than this one (another PBX): the router leads it there."
    (finding,) = judged(row("answered", "tcp", answered_by="another PBX")).findings
    assert (finding.id, finding.verdict) == ("port-forwarding.answered", Verdict.INCONCLUSIVE)


def test_the_router_that_answers_itself_is_no_rule_to_the_wrong_host() -> None:
    facts = {"answered_by": "FRITZ!OS (status 200)", "passed_on": False}
    (finding,) = judged(row("answered", "tcp", answered_before=False, **facts)).findings
    assert (finding.id, finding.verdict, finding.observed) == ("port-forwarding.router-answers", Verdict.FAIL, "answered: router-answers")
    assert finding.summary.startswith("TCP 5060 (SIP) does not reach this machine: the router (192.168.88.1) answers there itself, as FRITZ!OS")
    assert any("accepted there, and not one hop before" in line for line in finding.evidence)
    held = {"asked": True, "answered_here": False, "owner": "asterisk (pid 7)", "direct": "status 200", "reason": "nothing arrived here"}
    (finding,) = judged(row("answered", "udp", **facts, **held)).findings
    assert (finding.id, finding.observed) == ("port-forwarding.answered", "answered: router-answers or answered-before")
    assert "FRITZ!OS" in finding.summary
    assert finding.remedies[0].startswith("To tell which of the 2 causes it is: ")


def test_a_device_that_is_gone_holds_no_other_port_either() -> None:
    absent = row(passed_on=True, icmp=icmp(3, 1), mapping=mapping(OTHER), here="nothing")
    silent = msgspec.structs.replace(absent, transport="tcp", icmp=None)
    assert [finding.observed for finding in judged(absent, silent).findings] == ["blocked: wrong-host"] * 2
    assert [finding.observed for finding in judged(silent).findings] == ["blocked: held-by-another"]


def test_a_router_within_lacks_the_rule_where_the_outer_one_leads_on() -> None:
    (finding,) = judged(row(passed_on=True, here="nothing"), path=OUTER).findings
    assert finding.observed == "blocked: no-rule or wrong-host or filtered-behind"
    assert f"a router (192.168.88.1) behind the one that has {PUBLIC} has no rule for it" in finding.summary


# ---- with the PBX running


@pytest.mark.parametrize(
    ("state", "transport", "facts", "path", "expected"),
    [
        # a packet socket saw nothing come: no firewall of this machine had a word
        ("blocked", "udp", {"passed_on": False}, NEAR, ["no-rule", "provider-drops"]),
        ("blocked", "udp", {"passed_on": True}, NEAR, ["wrong-host", "filtered-behind"]),
        ("blocked", "tcp", {"passed_on": False}, NEAR, ["no-rule", "provider-drops"]),
        ("blocked", "tcp", {"passed_on": True}, NEAR, ["wrong-host", "filtered-behind", "host-firewall"]),
        # how it was refused stands in words alone: a router that rejects whatever it does not know is not told from one that keeps the port
        ("refused", "udp", {"passed_on": False}, REJECTS, ["no-rule", "router-refuses", "provider-drops"]),
        ("refused", "tcp", {"passed_on": False}, REJECTS, ["no-rule", "router-refuses", "provider-drops"]),
        ("refused", "udp", {"passed_on": True}, NEAR, ["wrong-host", "filtered-behind", "host-firewall", "no-listener"]),
        # a packet socket saw nothing come: neither a firewall here nor a port of this machine has refused it
        ("refused", "udp", {"passed_on": True, "seen_by": "packet socket"}, NEAR, ["wrong-host", "filtered-behind"]),
        ("refused", "tcp", {"passed_on": True, "seen_by": "packet socket"}, NEAR, ["wrong-host", "filtered-behind"]),
        ("blocked", "tcp", {"passed_on": True, "seen_by": "packet socket"}, NEAR, ["wrong-host", "filtered-behind"]),
        ("blocked", "tcp", {"passed_on": True, "seen_by": "table of connections"}, NEAR, ["wrong-host", "filtered-behind", "host-firewall"]),
        (
            "refused",
            "tcp",
            {},
            FAR,
            ["wrong-host", "no-rule", "router-refuses", "provider-drops", "filtered-behind", "host-firewall", "no-listener", "carrier-grade-nat"],
        ),
    ],
)
def test_a_port_in_use_has_its_causes_too(state: str, transport: Any, facts: dict[str, Any], path: Path, expected: list[str]) -> None:
    one = row(state, transport, unbound="port-in-use", asked=True, owner="kamailio (pid 7)", direct="status 200", **facts)
    assert list(fitting(one, path, HERE, PUBLIC)) == expected
    (finding,) = judged(one, path=path).findings
    assert finding.observed == f"{state}: {' or '.join(expected)}"
    assert finding.remedies, "what would tell them apart"
    assert any("kamailio (pid 7)" in line for line in finding.evidence)
