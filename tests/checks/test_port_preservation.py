"""``port-preservation``: what is said of an observation, the allocation rule, the sample; and the check through NATs and losses."""

from itertools import pairwise
from typing import Any, Literal

import msgspec
import pytest

from edgecheck.checks import port_preservation
from edgecheck.checks.port_preservation.allocation import allocation
from edgecheck.checks.port_preservation.observation import PortRow, PreservationObservation
from edgecheck.checks.port_preservation.sample import rtp_sample, signaling_ports
from edgecheck.model.profile import PortNeed, Profile
from edgecheck.model.verdict import Verdict
from edgecheck.wire.address import Endpoint
from tests.checks.probing import BREACH, PROFILE, Said, expecting, look, say
from tests.fakes.edge import Edge, Weather
from tests.fakes.memory import SharedMemory
from tests.fakes.nat import EIGHT, Nat

SIGNALING = {("udp", 5060), ("tcp", 5060), ("tcp", 5061)}


def row(transport: Literal["udp", "tcp"], local: int, mapped: int | None, reason: str = "") -> PortRow:
    return PortRow(transport=transport, local=local, mapped=mapped, signaling=(transport, local) in SIGNALING, reason=reason)


def observed(ports: list[PortRow], rule: str | None = "preserved") -> PreservationObservation:
    told = [one for one in ports if one.mapped is not None]
    return PreservationObservation(
        tested=len(told),
        preserved=sum(one.mapped == one.local for one in told),
        ports=tuple(ports),
        allocation=rule,
        parity_kept=None,
        remote="198.51.100.10:3478",
    )


def judged(ports: list[PortRow], rule: str | None = "preserved", profile: Profile = PROFILE) -> Said:
    return say(port_preservation.CHECK, observed(ports, rule), profile)


TCP = [row("tcp", 5060, 5060), row("tcp", 5061, 5061)]
UDP = [row("udp", 5060, 5060), *(row("udp", port, port) for port in range(10_000, 10_032))]
NO_UDP = [msgspec.structs.replace(one, mapped=None, reason="none of 10 copies reached the server") for one in UDP]
NO_TCP = [msgspec.structs.replace(one, mapped=None, reason="Could not connect to 198.51.100.10:3478: no answer in time.") for one in TCP]
MOVED_UDP = [msgspec.structs.replace(one, mapped=40_000 + number) for number, one in enumerate(UDP)]
MOVED_TCP = [msgspec.structs.replace(one, mapped=50_000 + number) for number, one in enumerate(TCP)]


# ---- what is said


def test_all_kept() -> None:
    said = judged([*UDP, *TCP])
    assert (said.ids, said.verdict) == (["preserved"], Verdict.PASS)
    assert said.summary == "35 of 35 ports keep their number"
    assert said.findings[0].summary == "35 of 35 ports keep their number outside."
    assert "UDP 5060 was seen by 198.51.100.10:3478 as 5060" in said.findings[0].evidence
    no_signaling = judged(UDP[1:])
    assert no_signaling.findings[0].evidence == ("32 ports asked 198.51.100.10:3478, each was seen with its own number",)


@pytest.mark.parametrize("expectation", BREACH)
def test_all_moved_counts_as_the_profile_expects(expectation: str) -> None:
    said = judged([*MOVED_UDP, *MOVED_TCP], "random", expecting(preservation=expectation))
    finding = said.finding("remapped")
    assert (said.ids, said.verdict, finding.subject) == (["remapped"], BREACH[expectation], "TCP, UDP")
    if expectation == "ignore":
        assert finding.summary == (
            "35 of 35 TCP and UDP ports leave with another number (allocation: random); this profile does not need them kept."
        )
        assert said.summary == (
            "35 ports get out and are answered; 35 of them leave with another number (allocation: random), "
            "which this profile does not need kept"
        )
    else:
        assert finding.summary == (
            "35 of 35 TCP and UDP ports leave with another number (allocation: random): "
            "what the PBX announces is not what the provider sees."
        )
        assert said.summary == "0 of 35 ports keep their number (allocation: random)"
    assert "5060 as 40000" in finding.observed
    assert len(finding.evidence) == 32


def test_a_rule_that_could_not_be_told_is_not_named() -> None:
    said = judged([row("udp", 5060, 1024)], None)
    assert said.summary == "0 of 1 ports keep their number (too few to tell the rule)"


@pytest.mark.parametrize("expectation", BREACH)
def test_one_port_moved_alone(expectation: str) -> None:
    said = judged([row("udp", 5060, 1024), *UDP[1:], *TCP], profile=expecting(preservation=expectation))
    finding = said.finding("one-port-remapped")
    assert (said.ids, finding.verdict, finding.subject) == (["one-port-remapped"], BREACH[expectation], "UDP 5060")
    assert finding.summary.startswith("UDP 5060 leaves as 1024 while the NAT keeps the others")
    assert ("another device" in finding.summary) is (expectation != "ignore")
    assert ("does not need it kept" in finding.summary) is (expectation == "ignore")
    assert finding.evidence == ("UDP 5060 was seen by 198.51.100.10:3478 as 1024", "34 of 35 ports keep their number")
    if expectation == "ignore":
        assert said.summary == (
            "35 ports get out and are answered; 1 of them leaves with another number (UDP ports keep theirs), "
            "which this profile does not need kept"
        )
    else:
        assert said.summary == "34 of 35 ports keep their number"


def test_a_transport_that_moves_altogether_is_the_nats_doing_not_another_devices() -> None:
    said = judged([*UDP, *MOVED_TCP])
    finding = said.finding("remapped")
    assert (said.ids, finding.subject) == (["remapped"], "TCP")
    assert finding.summary.startswith("2 of 2 TCP ports leave with another number (UDP ports keep theirs): ")
    assert judged([*UDP, TCP[0], MOVED_TCP[1]]).ids == ["one-port-remapped"]


def test_what_could_not_be_told_comes_before_what_is_fine() -> None:
    said = judged([*NO_UDP, *TCP])
    assert (said.ids, said.verdict) == (["preserved", "undecided"], Verdict.INCONCLUSIVE)
    finding = said.finding("undecided")
    assert finding.subject == "UDP"
    assert finding.summary == "UDP could not be told, none of 33 ports got an answer: none of 10 copies reached the server."
    assert finding.evidence[0] == "UDP 5060: none of 10 copies reached the server"
    assert said.finding("preserved").summary == "2 of 2 TCP ports keep their number outside."
    assert said.summary == "UDP could not be told, none of 33 ports got an answer; 2 of 2 TCP ports keep their number"


def test_a_breach_comes_before_what_could_not_be_told() -> None:
    said = judged([*MOVED_UDP, *NO_TCP], "random")
    assert said.verdict is Verdict.INCONCLUSIVE
    assert said.summary == "0 of 33 UDP ports keep their number (allocation: random); TCP could not be told, none of 2 ports got an answer"


def test_no_answer_at_all() -> None:
    said = judged([*NO_UDP, *NO_TCP], None)
    assert (said.ids, said.verdict) == (["undecided", "undecided"], Verdict.INCONCLUSIVE)
    assert said.summary == ("UDP could not be told, none of 33 ports got an answer; TCP could not be told, none of 2 ports got an answer")


def test_a_signaling_port_that_could_not_be_told_is_named_alone() -> None:
    silent = row("udp", 5060, None, "none of 10 copies reached the server")
    said = judged([silent, *UDP[1:], *TCP])
    finding = said.finding("undecided")
    assert (said.verdict, finding.subject) == (Verdict.INCONCLUSIVE, "UDP 5060")
    assert finding.summary == "UDP 5060 could not be told: none of 10 copies reached the server."
    assert said.summary == "UDP 5060 could not be told; 34 of 34 ports keep their number"


def test_silent_ports_of_the_sample_matter_when_they_are_many() -> None:
    few = judged([*UDP[:-8], *NO_UDP[-8:], *TCP])
    assert (few.ids, few.verdict, few.summary) == (["preserved"], Verdict.PASS, "27 of 27 ports keep their number")
    many = judged([*UDP[:-9], *NO_UDP[-9:], *TCP])
    assert many.verdict is Verdict.INCONCLUSIVE
    assert many.finding("undecided").subject == "UDP 10023-10031"
    assert many.summary == "9 of 33 UDP ports could not be told; 26 of 26 ports keep their number"


def test_a_profile_without_such_ports_is_not_asked() -> None:
    bare = msgspec.structs.replace(PROFILE, ports=(), rtp=None)
    assert port_preservation.CHECK.unfit(bare) == "the profile names no SIP port and no RTP range"
    assert not port_preservation.CHECK.unfit(PROFILE)
    assert not port_preservation.CHECK.unfit(msgspec.structs.replace(PROFILE, ports=()))


# ---- the allocation rule

FRESH = range(40_001, 40_013)


def fresh(*mapped: int) -> list[PortRow]:
    return [PortRow(transport="udp", local=local, mapped=to) for local, to in zip(FRESH, mapped, strict=False)]


def test_the_rule_is_unknown_without_answers() -> None:
    assert allocation([], []) is None


@pytest.mark.parametrize(("moved", "rule"), [(0, "preserved"), (1, "preserved"), (4, "preserved"), (5, None)])
def test_the_odd_one_out_is_no_rule(moved: int, rule: str | None) -> None:
    assert allocation([*MOVED_UDP[:moved], *UDP[moved:]], []) == rule


def test_one_of_few_is_no_odd_one_out() -> None:
    assert allocation([MOVED_UDP[0], *UDP[1:4]], []) is None
    assert allocation([*UDP[:4]], []) == "preserved"


def test_sequential_though_others_on_the_network_allocate_too() -> None:
    assert allocation(MOVED_UDP, fresh(*range(2000, 2012))) == "sequential"
    assert allocation(MOVED_UDP, fresh(*range(2012, 2000, -1))) == "sequential"
    assert allocation(MOVED_UDP, fresh(*range(2000, 2096, 8))) == "sequential"
    assert allocation(MOVED_UDP, fresh(*range(2001, 2109, 9))) == "random"
    two_jumps = [2000, 2001, 9000, 9001, 9002, 9003, 9004, 100, 101, 102, 103, 104]
    assert allocation(MOVED_UDP, fresh(*two_jumps)) == "sequential"
    assert allocation(MOVED_UDP, fresh(*two_jumps[:8], 7000, 7001, 7002, 7003)) == "random"


def test_parity_needs_twelve_that_keep_it() -> None:
    def kept(local: int, number: int) -> int:
        return 20_000 + 500 * (number * 7 % 50) + local % 2

    both = [PortRow(transport="udp", local=port, mapped=kept(port, number)) for number, port in enumerate(range(10_000, 10_032))]
    new = fresh(*(kept(local, number) for number, local in enumerate(FRESH)))
    assert allocation(both, new) == "parity"
    assert allocation(both[:5], new[:6]) is None, "eleven keep it once in two thousand by chance"
    assert allocation(both[:6], new[:6]) == "parity"
    odd = [*both[:-1], msgspec.structs.replace(both[-1], mapped=(both[-1].mapped or 0) + 1)]
    assert allocation(odd, new) == "random"


def test_few_new_mappings_tell_no_rule() -> None:
    assert allocation(MOVED_UDP, fresh(2000, 2001, 2002, 2003, 2004)) is None
    assert allocation(MOVED_UDP, fresh(2000, 2001, 2002, 2003, 2004, 2005)) == "sequential"


def test_udp_decides_on_the_rule_where_it_was_tested() -> None:
    assert allocation([*UDP, *MOVED_TCP], []) == "preserved"
    assert allocation(TCP, []) == "preserved"


# ---- what is asked


@pytest.mark.parametrize("rtp", [(10_000, 20_000), (9000, 10_999), (10_001, 20_000), (30_000, 30_099)])
def test_the_sample_has_the_ends_and_both_parities(rtp: tuple[int, int]) -> None:
    sample = rtp_sample(msgspec.structs.replace(PROFILE, rtp=rtp))
    assert len(sample) == 32
    assert (sample[0], sample[-1]) == rtp
    assert 12 <= sum(port % 2 for port in sample) <= 20
    gaps = [later - earlier for earlier, later in pairwise(sample)]
    assert max(gaps) - min(gaps) <= 4, "spread evenly"


@pytest.mark.parametrize(("rtp", "wanted"), [((10_000, 10_003), 32), ((10_000, 10_003), 0), ((10_000, 10_000), 1), ((10_000, 10_099), 100)])
def test_all_of_a_small_range(rtp: tuple[int, int], wanted: int) -> None:
    assert rtp_sample(msgspec.structs.replace(PROFILE, rtp=rtp, preservation_sample=wanted)) == list(range(rtp[0], rtp[1] + 1))


@pytest.mark.parametrize("wanted", range(1, 12))
def test_a_sample_stays_within_the_range(wanted: int) -> None:
    sample = rtp_sample(msgspec.structs.replace(PROFILE, rtp=(10_000, 10_019), preservation_sample=wanted))
    assert set(sample) <= set(range(10_000, 10_020))
    assert wanted - 2 <= len(sample) <= wanted


def test_no_range_no_sample() -> None:
    assert rtp_sample(msgspec.structs.replace(PROFILE, rtp=None)) == []


def test_signaling_ports_of_both_directions_once_each() -> None:
    ports = (
        PortNeed(ports="5060-5061", transport="udp", purpose="SIP", protocol="sip"),
        PortNeed(ports="5061", transport="udp", purpose="trunk", protocol="sip", direction="out"),
        PortNeed(ports="5061", transport="tcp", purpose="SIP over TLS", protocol="sips"),
        PortNeed(ports="443", transport="tcp", purpose="web", protocol="web"),
    )
    assert signaling_ports(msgspec.structs.replace(PROFILE, ports=ports)) == [("udp", 5060), ("udp", 5061), ("tcp", 5061)]


# ---- through the matrix


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.25])
@pytest.mark.parametrize("rule", ["preserved", "sequential", "random", "parity"])
def test_allocation_rule(rule: str, loss: float) -> None:
    for seed in range(8):
        nat = Nat(allocation=rule, seed=seed)  # type: ignore[arg-type]
        seen = look(port_preservation, lambda nat=nat, seed=seed: Edge(nat, Weather(loss=loss, seed=seed)))
        assert seen.allocation in (rule, None), seen
        assert seen.preserved == (seen.tested if rule == "preserved" else 0)
        if loss <= 0.1:
            assert seen.allocation == rule
        if rule in ("preserved", "parity"):
            assert seen.parity_kept


@pytest.mark.parametrize("name", EIGHT)
def test_every_nat(name: str) -> None:
    for seed in range(3):
        seen = look(port_preservation, lambda seed=seed: Edge(Nat(**EIGHT[name], seed=seed), Weather(loss=0.1, seed=seed)))
        assert seen.allocation == ("random" if name == "symmetric" else "preserved")


def test_one_taken_port_is_told_from_a_nat_that_moves_all() -> None:
    class Taken(Nat):
        def _allocate(self, transport: str, port: int, remote: Any) -> int:
            return 1024 if (transport, port) == ("udp", 5060) else port

    seen = look(port_preservation, lambda: Edge(Taken()))
    assert seen.allocation == "preserved"
    assert [finding.id for finding in port_preservation.CHECK.judge(seen, PROFILE)] == ["port-preservation.one-port-remapped"]


def test_ports_that_the_prober_has_just_met_keep_their_number() -> None:
    """A router that takes unsolicited packets for itself moves a mapping only towards that remote, which is not asked here."""
    nat = Nat(per_destination_ports=True, takes_for_itself=True)
    for port in (5060, *range(10_000, 10_200)):
        nat.inbound("udp", Endpoint("198.51.100.11", 33_002), port)
    assert look(port_preservation, lambda: Edge(nat)).allocation == "preserved"


def test_ten_runs_in_a_row_say_the_same() -> None:
    for rule in ("preserved", "sequential", "random", "parity"):
        nat, memory = Nat(allocation=rule), SharedMemory()  # type: ignore[arg-type]
        told = set()
        for number in range(10):

            def edge(number: int = number, nat: Nat = nat) -> Edge:
                made = Edge(nat)
                made._next_port += 100 * number  # the system does not hand out the same free ports again at once
                return made

            told.add(look(port_preservation, edge, memory=memory).allocation)
            memory.clock += 30
        assert told == {rule}


def test_udp_blocked_is_said_and_tcp_judged() -> None:
    seen = look(port_preservation, lambda: Edge(Nat(blocks_udp=True)))
    assert (seen.tested, seen.preserved, seen.allocation) == (2, 2, "preserved")
    assert say(port_preservation.CHECK, seen).summary == (
        "UDP could not be told, none of 33 ports got an answer; 2 of 2 TCP ports keep their number"
    )


def test_a_port_in_use_is_told_with_the_reason() -> None:
    def edge() -> Edge:
        made = Edge(Nat())
        made.taken.add(("udp", 5060))
        return made

    seen = look(port_preservation, edge)
    assert (seen.ports[0].local, seen.ports[0].mapped, seen.ports[0].in_use) == (5060, None, True)
    assert "another program" in seen.ports[0].reason
    assert say(port_preservation.CHECK, seen).summary == "34 of 34 ports keep their number; UDP 5060 is in use here and was not asked"


def in_use(one: PortRow, owner: str | None = "kamailio (pid 7)") -> PortRow:
    return msgspec.structs.replace(one, mapped=None, reason="another program on this machine holds it", in_use=True, owner=owner)


def test_ports_that_the_running_pbx_holds_are_no_trouble() -> None:
    said = judged([in_use(UDP[0]), *UDP[1:], *map(in_use, TCP)])
    assert (said.ids, said.verdict) == (["preserved", "in-use"], Verdict.PASS)
    assert said.summary == "32 of 32 ports keep their number; UDP 5060 and TCP 5060-5061 are in use here and were not asked"
    finding = said.finding("in-use")
    assert (finding.verdict, finding.subject) == (Verdict.SKIPPED, "UDP 5060 and TCP 5060-5061")
    assert finding.summary == "UDP 5060 and TCP 5060-5061 were not asked: in use on this machine by kamailio (pid 7)."


def test_a_port_in_use_hides_nothing_of_the_others() -> None:
    said = judged([in_use(UDP[0], None), *MOVED_UDP[1:], *NO_TCP], "random")
    assert (said.ids, said.verdict) == (["remapped", "undecided", "in-use"], Verdict.INCONCLUSIVE)
    assert said.finding("in-use").summary == "UDP 5060 was not asked: in use on this machine."


def test_where_all_ports_are_in_use_nothing_is_claimed() -> None:
    said = judged([in_use(UDP[0]), *map(in_use, TCP)], None)
    assert (said.ids, said.verdict) == (["in-use"], Verdict.SKIPPED)
    assert said.summary == "UDP 5060 and TCP 5060-5061 are in use here and were not asked"


@pytest.mark.parametrize("loss", [0.5, 0.7])
def test_heavy_loss_moves_no_port(loss: float) -> None:
    for seed in range(5):
        seen = look(port_preservation, lambda seed=seed: Edge(Nat(), Weather(loss=loss, seed=seed)))
        assert seen.preserved == seen.tested
        assert all(one.reason for one in seen.ports if one.mapped is None)
