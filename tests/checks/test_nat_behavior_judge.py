"""``nat-behavior``: what is said of an observation."""

from typing import Any

import msgspec
import pytest

from edgecheck.checks import nat_behavior
from edgecheck.checks.nat_behavior.classify import classic_type
from edgecheck.checks.nat_behavior.observation import Mapping, NatObservation, Reach
from edgecheck.checks.unsolicited import FilterEvidence
from edgecheck.model.evidence import Answered, Exchange
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Verdict
from tests.checks.probing import BREACH, PROFILE, Said, expecting, say
from tests.checks.truth import AD, APD, EI
from tests.fakes.edge import ALTERNATE, PRIMARY

LOCAL, MAPPED = "192.168.88.2:40001", "203.0.113.1:40001"
SEEN = tuple(Mapping(local=LOCAL, remote=remote, mapped=MAPPED) for remote in (f"{PRIMARY}:3478", f"{PRIMARY}:3479", f"{ALTERNATE}:3478"))
TEST = FilterEvidence(
    local="192.168.88.2:40004",
    mapped="203.0.113.1:40004",
    copies=6,
    control=6,
    same_address=0,
    other_address=0,
    same_address_answers=True,
    alternate_answers=True,
)


def judged(profile: Profile = PROFILE, **facts: Any) -> Said:
    """What is said of an ordinary NAT but for these facts."""
    given = {
        "local_address": LOCAL,
        "mapped_address": MAPPED,
        "behind_nat": True,
        "mapping": EI,
        "filtering": APD,
        "mappings": SEEN,
        "filter_test": TEST,
        **facts,
    }
    given.setdefault("classic_type", classic_type(given["behind_nat"], given["mapping"], given["filtering"]))
    return say(nat_behavior.CHECK, NatObservation(**given), profile)


def test_an_ordinary_nat() -> None:
    said = judged()
    assert (said.ids, said.verdict) == (["endpoint-independent", "filtering"], Verdict.PASS)
    assert said.summary == 'endpoint-independent mapping, address-and-port-dependent filtering ("port restricted cone")'
    assert said.finding("endpoint-independent").evidence[0] == f"{LOCAL} was seen by {PRIMARY}:3478 as {MAPPED}"


def test_no_nat() -> None:
    own = tuple(msgspec.structs.replace(row, mapped=LOCAL) for row in SEEN)
    said = judged(behind_nat=False, mapped_address=LOCAL, mappings=own, filtering=EI)
    assert (said.ids, said.verdict) == (["no-nat", "filtering"], Verdict.PASS)
    assert said.summary == 'no NAT, endpoint-independent filtering ("open internet")'


@pytest.mark.parametrize("expectation", BREACH)
@pytest.mark.parametrize(("mapping", "depends"), [(AD, "destination's address ("), (APD, "destination's address and port (")])
def test_an_endpoint_dependent_mapping_counts_as_the_profile_expects(expectation: str, mapping: str, depends: str) -> None:
    said = judged(expecting(mapping=expectation), mapping=mapping)
    finding = said.finding("endpoint-dependent-mapping")
    assert (finding.verdict, said.verdict, finding.observed) == (BREACH[expectation], BREACH[expectation], mapping)
    assert depends in finding.summary
    assert ("audio may be one-way" in finding.summary) is (expectation != "ignore")
    assert ("this profile does not need it" in finding.summary) is (expectation == "ignore")
    assert said.summary == f'{mapping} mapping, {APD} filtering ("symmetric")'


def test_an_undecided_mapping() -> None:
    said = judged(mapping=None, reasons={"mapping": "sockets disagree"})
    assert (said.ids, said.verdict) == (["undecided", "filtering"], Verdict.INCONCLUSIVE)
    assert said.finding("undecided").summary == "How the NAT maps could not be told: sockets disagree."
    assert said.summary == "the mapping could not be told, address-and-port-dependent filtering"


@pytest.mark.parametrize(
    ("filtering", "words"),
    [
        (EI, "anyone may send to a port that has been used"),
        (AD, "only addresses that were contacted may send in"),
        (APD, "only the address and port that was contacted may send in"),
    ],
)
def test_the_filter_is_a_fact_whatever_it_is(filtering: str, words: str) -> None:
    finding = judged(filtering=filtering).finding("filtering")
    assert (finding.verdict, finding.observed) == (Verdict.PASS, filtering)
    assert words in finding.summary


def test_the_filters_evidence_is_what_was_sent_and_what_arrived() -> None:
    recalled = msgspec.structs.replace(TEST, other_address=5, alternate_contacted_s=29.6, recalled=EI, recalled_s=61.0)
    assert judged(filtering=EI, filter_test=recalled).finding("filtering").evidence == (
        "192.168.88.2:40004 (outside 203.0.113.1:40004) had contacted one address and port only; "
        "the server then sent 6 copies from each sender",
        "from the contacted address and port 6 of 6 arrived (control)",
        "from another port of that address 0 of 6 arrived",
        "from the alternate address 5 of 6 arrived",
        "the alternate address had been contacted from here 30 s before",
        "61 s ago, with the alternate address uncontacted, the filtering was endpoint-independent",
        "contacted afterwards, the alternate address answered",
    )
    one = msgspec.structs.replace(TEST, other_address=None, alternate_answers=None)
    assert not any("alternate" in sentence for sentence in judged(filter_test=one).finding("filtering").evidence)
    dead = msgspec.structs.replace(TEST, alternate_answers=False)
    assert "did not answer" in judged(filter_test=dead).finding("filtering").evidence[-1]


def test_a_foreign_servers_evidence_is_its_exchanges() -> None:
    exchange = Exchange(
        question="STUN Binding CHANGE-REQUEST ip port",
        local=LOCAL,
        remote="192.0.2.1:3478",
        copies=1,
        outcome=Answered(source="192.0.2.2:3479", mapped=MAPPED, rtt_ms=1.0),
    )
    evidence = judged(filtering=EI, filter_test=None, filter_exchanges=(exchange,)).finding("filtering").evidence
    assert evidence == (f"STUN Binding CHANGE-REQUEST ip port from {LOCAL} to 192.0.2.1:3478: answered from 192.0.2.2:3479",)


def test_an_undecided_filter() -> None:
    said = judged(filtering=None, reasons={"filtering": "too much loss"})
    assert (said.ids, said.verdict) == (["endpoint-independent", "filtering-undecided"], Verdict.INCONCLUSIVE)
    assert said.finding("filtering-undecided").summary == "Whom the edge lets in could not be told: too much loss."
    assert said.summary == "endpoint-independent mapping, the filtering could not be told"
    symmetric = judged(mapping=APD, filtering=None)
    assert symmetric.summary == 'address-and-port-dependent mapping, the filtering could not be told ("symmetric")'


def test_several_public_addresses_are_shown() -> None:
    elsewhere = msgspec.structs.replace(TEST, mapped="203.0.113.9:40004")
    said = judged(pooling="arbitrary", filter_test=elsewhere)
    finding = said.finding("pooling")
    assert (finding.verdict, said.verdict, finding.observed) == (Verdict.WARN, Verdict.WARN, "203.0.113.1, 203.0.113.9")
    assert "192.168.88.2:40004 was seen as 203.0.113.9:40004" in finding.evidence
    assert judged(pooling="paired").ids == ["endpoint-independent", "filtering"]


# ---- nothing answered


def blocked(*reach: Reach, udp_blocked: bool | None = True) -> Said:
    return say(nat_behavior.CHECK, NatObservation(local_address=LOCAL, reach=reach, udp_blocked=udp_blocked))


def test_udp_that_never_arrives_is_blamed_on_the_edge_only_where_others_arrive() -> None:
    lost = [Reach(port=port, copies=8, arrived=0, answered=False, reached_by_others=True) for port in (3478, 5060)]
    said = blocked(*lost)
    assert (said.ids, said.verdict) == (["udp-blocked"], Verdict.FAIL)
    assert said.summary.startswith("UDP does not leave this network")
    assert said.findings[0].evidence[0] == "8 copies to UDP port 3478 of the server: 0 arrived there, no answer came back"
    unknown = blocked(*(msgspec.structs.replace(row, reached_by_others=False) for row in lost))
    assert (unknown.ids, unknown.verdict) == (["udp-blocked"], Verdict.INCONCLUSIVE)
    assert "UDP 3478, 5060 is open there" in unknown.summary


def test_udp_whose_answers_do_not_come_back() -> None:
    said = blocked(Reach(port=3478, copies=8, arrived=8, answered=False, reached_by_others=False))
    assert (said.ids, said.verdict) == (["udp-blocked"], Verdict.FAIL)
    assert said.summary == "UDP leaves this network, but no answer to it gets back in."
    assert said.findings[0].observed == "blocked on the way back"


def test_silence_without_an_account_is_undecided() -> None:
    said = blocked(Reach(port=3478, copies=8, arrived=None, answered=False), udp_blocked=None)
    assert (said.ids, said.verdict) == (["undecided"], Verdict.INCONCLUSIVE)
    assert said.summary == "No STUN answer came, and it could not be told where the packets were lost."
    assert said.findings[0].evidence == ("8 copies to UDP port 3478 of the server: no receipt, no answer came back",)
