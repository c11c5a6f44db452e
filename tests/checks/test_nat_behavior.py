"""``nat-behavior``: what is said of an observation; and the check where the server is half dead, the path foul, the NAT odd, the run a later one.

The law over NAT and loss stands in ``tests/test_matrix.py``.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from edgecheck.checks import nat_behavior
from edgecheck.checks.nat_behavior import MAPPING_SOCKETS, NatObservation, Reach
from edgecheck.checks.nat_classify import Mapping, classic_type
from edgecheck.checks.unsolicited import FilterEvidence
from edgecheck.model.errors import RequestDeclined
from edgecheck.model.evidence import Answered, Exchange
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Verdict
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint
from tests.checks.probing import BREACH, PROFILE, Said, expecting, look, say
from tests.checks.truth import AD, APD, EI, TRUTH
from tests.fakes.edge import ALTERNATE, PRIMARY, Edge, Weather
from tests.fakes.memory import SharedMemory
from tests.fakes.nat import EIGHT, Nat

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


# ---- what is said


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


# ---- through odd edges


@pytest.mark.parametrize("loss", [0.0, 0.2])
@pytest.mark.parametrize("hairpinning", [True, False])
def test_hairpinning(hairpinning: bool, loss: float) -> None:
    for seed in range(8):
        nat = Nat(hairpinning=hairpinning, filtering="endpoint-independent")
        seen = look(nat_behavior, lambda nat=nat, seed=seed: Edge(nat, Weather(loss=loss, seed=seed)))
        assert seen.hairpinning in ((hairpinning,) if not loss else (hairpinning, None))
        assert (seen.hairpinning is None) == ("hairpinning" in seen.reasons)


def test_a_filter_on_the_hairpin_does_not_hide_it() -> None:
    """Both sockets send to each other, so each has contacted the other."""
    assert look(nat_behavior, lambda: Edge(Nat(hairpinning=True))).hairpinning is True


@pytest.mark.parametrize("hairpinning", [True, False])
def test_a_hairpin_that_was_lost_beside_its_controls_is_undecided(hairpinning: bool) -> None:
    class FirstHop(Edge):
        """This machine's own link is down while it sends to itself."""

        def from_client(self, port: int, data: bytes, to: Endpoint) -> None:
            if not 0.01 < asyncio.get_running_loop().time() < 0.3:
                super().from_client(port, data, to)

    seen = look(nat_behavior, lambda: FirstHop(Nat(hairpinning=hairpinning)))
    assert (seen.hairpinning, seen.mapping, seen.filtering) == (None, EI, APD)
    assert "too few control packets" in seen.reasons["hairpinning"]


def test_without_translation_there_is_nothing_to_hairpin() -> None:
    seen = look(nat_behavior, lambda: Edge(Nat(**EIGHT["firewall"])))
    assert seen.hairpinning is None
    assert "nothing is translated" in seen.reasons["hairpinning"]


@pytest.mark.parametrize("name", EIGHT)
def test_a_server_of_one_address_leaves_open_what_it_cannot_tell(name: str) -> None:
    mapping, filtering, _, behind = TRUTH[name]
    seen = look(nat_behavior, lambda: Edge(Nat(**EIGHT[name]), alternate=False))
    assert seen.behind_nat is behind
    assert seen.mapping == (mapping if mapping == APD or not behind else None)
    assert seen.filtering == (APD if filtering == APD else None)
    for field in ("mapping", "filtering"):
        assert (getattr(seen, field) is None) == ("one address" in seen.reasons.get(field, ""))


@pytest.mark.parametrize("name", EIGHT)
def test_a_dead_alternate_address_is_blamed_on_nobody(name: str) -> None:
    mapping, filtering, _, behind = TRUTH[name]
    seen = look(nat_behavior, lambda: Edge(Nat(**EIGHT[name]), alternate_dead=True))
    assert seen.mapping == (mapping if mapping == APD or not behind else None)
    assert seen.filtering == (APD if filtering == APD else None)
    assert filtering == APD or "alternate address did not answer" in seen.reasons["filtering"]


class Muffled(Edge):
    """Datagrams for which ``drops`` holds are lost: (``out`` or ``in``, the server's endpoint)."""

    drops: Callable[[str, Endpoint], bool]

    def _at_server(self, seen: Endpoint, data: bytes, to: Endpoint) -> None:
        if not self.drops("out", to):
            super()._at_server(seen, data, to)

    def _at_edge(self, source: Endpoint, destination: Endpoint, data: bytes) -> None:
        if not self.drops("in", source):
            super()._at_edge(source, destination, data)


def muffled(drops: Callable[[str, Endpoint], bool], nat: Nat | None = None) -> Callable[[], Edge]:
    def edge() -> Edge:
        made = Muffled(nat or Nat())
        made.drops = drops
        return made

    return edge


@pytest.mark.parametrize("name", ["port restricted cone", "restricted cone", "full cone"])
def test_a_dead_second_port_is_no_filter(name: str) -> None:
    """A firewall in front of the server lets 3479 through for nobody."""
    seen = look(nat_behavior, muffled(lambda way, server: server.port == 3479, Nat(**EIGHT[name])))
    assert seen.filtering in (TRUTH[name][1], None)
    if name != "full cone":
        assert "second port did not answer" in seen.reasons["filtering"]


def test_udp_blocked_on_the_way_out() -> None:
    seen = look(nat_behavior, lambda: Edge(Nat(blocks_udp=True)))
    assert (seen.udp_blocked, seen.classic_type, seen.mapped_address, seen.behind_nat) == (True, "udp blocked", None, True)
    assert {row.arrived for row in seen.reach} == {0}


def test_udp_blocked_on_the_way_back() -> None:
    seen = look(nat_behavior, muffled(lambda way, server: way == "in"))
    assert (seen.udp_blocked, seen.classic_type) == (True, "udp blocked")
    assert all(row.arrived for row in seen.reach)
    assert say(nat_behavior.CHECK, seen).findings[0].observed == "blocked on the way back"


def test_one_open_port_is_no_blocked_udp() -> None:
    """STUN's ports are shut, 5060 is not."""
    seen = look(nat_behavior, muffled(lambda way, server: server.port in (3478, 3479)))
    assert (seen.udp_blocked, seen.classic_type, seen.mapping, seen.filtering) == (None, None, None, None)
    assert seen.reasons["mapping"] == "no STUN answer came"


@pytest.mark.parametrize("since", [0.0, 1.8])
def test_without_receipts_nothing_is_called_blocked(since: float) -> None:
    """None at all, or none for what was asked last."""

    class NoAccount(Edge):
        async def ask(self, make: Any, timeout: float = 30.0) -> Any:
            if isinstance(make(1), control.Account) and asyncio.get_running_loop().time() >= since:
                raise RequestDeclined("unavailable", "no")
            return await super().ask(make, timeout)

    seen = look(nat_behavior, lambda: NoAccount(Nat(blocks_udp=True)))
    assert (seen.udp_blocked, seen.classic_type) == (None, None)
    assert {row.arrived for row in seen.reach} == {None}


@pytest.mark.parametrize(("loss", "seeds"), [(0.5, range(20)), (0.7, range(395, 405)), (0.8, range(120, 190))])
def test_foul_weather_is_never_blocked_udp(loss: float, seeds: range) -> None:
    """Among them some in which copies arrive and no answer comes back: so would it look, too, if answers were shut out."""
    for seed in seeds:
        seen = look(nat_behavior, lambda seed=seed: Edge(Nat(), Weather(loss=loss, seed=seed)))
        assert seen.udp_blocked is None, seed
        assert seen.mapping in (EI, None)
        assert seen.filtering in (APD, None)


@pytest.mark.parametrize("name", EIGHT)
@pytest.mark.parametrize("since", [0.0, 0.03, 0.1, 0.2, 0.3, 0.6])
@pytest.mark.parametrize("seconds", [0.1, 0.6, 2.5])
def test_an_outage_is_no_property_of_the_nat(name: str, since: float, seconds: float) -> None:
    def away(way: str, server: Endpoint) -> bool:
        return since <= asyncio.get_running_loop().time() < since + seconds

    mapping, filtering, classic, behind = TRUTH[name]
    seen = look(nat_behavior, muffled(away, Nat(**EIGHT[name])))
    assert seen.mapping in (mapping, None)
    assert seen.filtering in (filtering, None)
    assert seen.classic_type in (classic, None)
    assert seen.behind_nat in (behind, None)
    assert not seen.hairpinning
    assert seen.udp_blocked is None


def test_several_public_addresses() -> None:
    class Pool(Nat):
        """Each local port leaves from one of two addresses."""

        def outbound(self, transport: str, port: int, remote: Endpoint) -> Endpoint | None:
            seen = super().outbound(transport, port, remote)
            return Endpoint("203.0.113.9", seen.port) if seen and transport == "udp" and port % 2 else seen

    seen = look(nat_behavior, lambda: Edge(Pool()))
    assert (seen.mapping, seen.pooling) == (EI, "arbitrary")
    finding = say(nat_behavior.CHECK, seen).finding("pooling")
    assert finding.observed == "203.0.113.1, 203.0.113.9"


def test_the_majority_of_the_sockets_decides() -> None:
    class Unstable(Nat):
        """Odd local ports get a mapping for each destination, even ones the same for all."""

        def outbound(self, transport: str, port: int, remote: Endpoint) -> Endpoint | None:
            self.mapping = APD if port % 2 else EI  # type: ignore[assignment]
            self.allocation = "random" if port % 2 else "preserved"
            return super().outbound(transport, port, remote)

    seen = look(nat_behavior, lambda: Edge(Unstable()))
    assert MAPPING_SOCKETS == 3
    assert seen.mapping == APD, "two of the three sockets have odd ports"


def test_an_answer_from_elsewhere_than_asked_is_no_mapping() -> None:
    exchange = Exchange(
        question="STUN Binding",
        local=LOCAL,
        remote=f"{PRIMARY}:3478",
        copies=1,
        outcome=Answered(source=f"{PRIMARY}:3479", mapped=MAPPED, rtt_ms=1.0),
    )
    assert nat_behavior.mapping_row(exchange) is None
    right = msgspec.structs.replace(exchange, outcome=Answered(source=f"{PRIMARY}:3478", mapped=MAPPED, rtt_ms=1.0))
    assert nat_behavior.mapping_row(right) == SEEN[0]
    empty = msgspec.structs.replace(exchange, outcome=Answered(source=f"{PRIMARY}:3478", mapped=None, rtt_ms=1.0, error=401))
    assert nat_behavior.mapping_row(empty) is None


# ---- runs in a row


@pytest.mark.parametrize("gap", [20, 50, 100])
@pytest.mark.parametrize("loss", [0.0, 0.1])
@pytest.mark.parametrize("name", EIGHT)
def test_ten_runs_in_a_row_say_the_same(name: str, loss: float, gap: int) -> None:
    """From the same ports, remembering and remembered. Only where a router remembers hosts may a later run not tell, and it says why."""
    memory, nat = SharedMemory(), Nat(**EIGHT[name])
    for number in range(10):
        seen = look(nat_behavior, lambda number=number: Edge(nat, Weather(loss=loss, seed=number)), memory=memory)
        told = (seen.mapping, seen.filtering, seen.classic_type, seen.behind_nat)
        if name == "restricted by host" and number and seen.filtering is None:
            assert "remembers hosts" in seen.reasons["filtering"]
            assert told == (EI, None, None, True)
        else:
            assert told == TRUTH[name], f"run {number + 1}"
        memory.clock += gap


def test_a_contact_by_another_program_of_ours_is_reckoned_with() -> None:
    """A first run that found the alternate address contacted has nothing to recall: it says so."""
    memory = SharedMemory()
    memory.note_contact(ALTERNATE)
    memory.clock += 30
    nat = Nat(remembers_hosts=True)
    nat.outbound("udp", 50_001, Endpoint(ALTERNATE, 3478))
    seen = look(nat_behavior, lambda: Edge(nat), memory=memory)
    assert seen.filtering is None
    assert "30 s ago" in seen.reasons["filtering"]


def test_the_alternate_address_is_left_alone_where_nothing_is_translated() -> None:
    """The next run finds it uncontacted, and needs no memory."""
    memory = SharedMemory()
    look(nat_behavior, lambda: Edge(Nat(**EIGHT["none"])), memory=memory)
    assert memory.contacted(ALTERNATE) is None
    look(nat_behavior, lambda: Edge(Nat(**EIGHT["firewall"])), memory=memory)
    assert memory.contacted(ALTERNATE) == 0


def test_the_alternate_address_is_contacted_last() -> None:
    sent: list[Endpoint] = []

    class Watched(Edge):
        def from_client(self, port: int, data: bytes, to: Endpoint) -> None:
            sent.append(to)
            super().from_client(port, data, to)

    look(nat_behavior, lambda: Watched(Nat()))
    second, alternate = Endpoint(PRIMARY, 3479), Endpoint(ALTERNATE, 3478)
    first = min(sent.index(second), sent.index(alternate))
    assert set(sent[first:]) == {second, alternate}, "once they are contacted, nothing is left to be asked of anybody else"
    assert Endpoint(PRIMARY, 3478) in sent[:first]
