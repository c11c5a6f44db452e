"""``rtp-range``: why ports are not reached. What is said of each stretch; and through edges that honor how far packets may live."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecheck.checks import rtp_range
from edgecheck.checks.port_forwarding.observation import Canaries, ForwardingObservation, Path, PortRow
from edgecheck.checks.rtp_range import RtpObservation
from edgecheck.checks.rtp_range.stretches import MOST_EXAMINED, Stretch, representatives, shape, stretches, text
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Verdict
from edgecheck.wire import ports as port_ranges
from edgecheck.wire.ports import Ranges
from tests.checks.probing import PROFILE, Said, expecting, look, say
from tests.checks.rtp_ground import WHOLE, forwarded_range
from tests.checks.test_port_forwarding_causes import HERE, NEAR, OTHER, PUBLIC, icmp, mapping
from tests.fakes.edge import ALTERNATE, Edge, Weather
from tests.fakes.expiring import ExpiringEdge, Stranger
from tests.fakes.nat import EIGHT, Nat

RULED_OUT: dict[str, Any] = {"passed_on": False, "punched": True, "here": "nothing"}
"""Evidence that leaves no cause but that there is no rule."""
LED_AWAY: dict[str, Any] = {"passed_on": True, "here": "nothing", "icmp": icmp(3, 3), "refused_by_box": False}


# ---- which ports belong together


def test_ports_without_a_gap_are_a_stretch_and_every_other_port_is_one() -> None:
    odd = tuple((port, port) for port in range(10_001, 10_020, 2))
    assert stretches(((10_000, 10_005), (10_010, 10_010))) == [Stretch(10_000, 10_005), Stretch(10_010, 10_010)]
    assert stretches(odd) == [Stretch(10_001, 10_019, 2)]
    assert stretches(odd[:3]) == [Stretch(port, port) for port in (10_001, 10_003, 10_005)], "three are no pattern"
    assert stretches((*odd, (10_030, 10_040))) == [Stretch(10_001, 10_019, 2), Stretch(10_030, 10_040)]
    assert text(stretches((*odd, (10_030, 10_040)))) == "10030-10040, 10001-10019 (odd ports)"


@given(st.sets(st.integers(10_000, 10_060), min_size=1))
def test_stretches_hold_every_blocked_port_once(blocked: set[int]) -> None:
    found = stretches(port_ranges.compress(blocked))
    assert sorted(port for stretch in found for port in stretch.members) == sorted(blocked)
    chosen = representatives(found)
    assert blocked.issuperset(chosen)
    assert len(chosen) == len(set(chosen)) <= MOST_EXAMINED
    assert len(chosen) >= min(MOST_EXAMINED, len(found))


def test_the_middle_and_the_ends_stand_for_a_stretch() -> None:
    assert representatives([Stretch(10_100, 20_000)]) == [10_100, 15_050, 20_000]
    assert representatives([Stretch(10_000, 10_000)]) == [10_000]
    many = [Stretch(10_000 + 100 * number, 10_000 + 100 * number + number) for number in range(20)]
    assert representatives(many) == [stretch.low + (number + 1) // 2 for number, stretch in enumerate(many)][-MOST_EXAMINED:]


@pytest.mark.parametrize(
    ("stretch", "silent", "words"),
    [
        (Stretch(10_100, 10_199), (), "the rule ends at 10099"),
        (Stretch(10_000, 10_009), (), "the rule begins at 10010"),
        (Stretch(10_050, 10_059), (), "the rule leaves out 10050-10059"),
        (Stretch(10_001, 10_199, 2), (), "the rule lets in even ports alone"),
        (Stretch(10_000, 10_198, 2), (), "the rule lets in odd ports alone"),
        (Stretch(10_000, 10_199), (), ""),
        # what stands beside it is not known to be open
        (Stretch(10_100, 10_199), (10_099,), ""),
        (Stretch(10_000, 10_009), (10_010,), ""),
        (Stretch(10_050, 10_059), (10_060,), ""),
        (Stretch(10_001, 10_199, 2), (10_100,), ""),
    ],
)
def test_the_shape_of_the_rule(stretch: Stretch, silent: tuple[int, ...], words: str) -> None:
    opened = set(range(10_000, 10_200)).difference(stretch.members, silent)
    assert shape(stretch, (10_000, 10_199), opened) == words


# ---- what is said


def row(port: int, state: Any = "blocked", **facts: Any) -> PortRow:
    refused = {"answered_by": PUBLIC, "reason": "refused"} if state == "refused" else {}
    return PortRow(port=port, transport="udp", purpose="RTP", required=True, state=state, copies=6, **{**refused, **facts})


def judged(blocked: Ranges, *rows: PortRow, path: Path = NEAR, profile: Profile = PROFILE, **facts: Any) -> Said:
    examined = ForwardingObservation(ports=rows, probed_address=PUBLIC, prober=ALTERNATE, local_address=HERE, path=path, udp=Canaries())
    given = {"range": (10_000, 10_199), "tested": 200, "outbound_open": 200, "sent": 600, "inbound_open": 200 - port_ranges.count(blocked)}
    return say(rtp_range.CHECK, RtpObservation(**{**given, "inbound_blocked": blocked, "examined": examined, **facts}), profile)


def test_a_rule_that_ends_early_is_said_in_plain_words() -> None:
    said = judged(((10_100, 10_199),), *(row(port, **RULED_OUT) for port in (10_100, 10_150, 10_199)))
    finding = said.finding("inbound-blocked")
    assert finding.summary == (
        "RTP to 10100-10199 does not arrive: the router (192.168.88.1) has no rule that lets it in; the rule ends at 10099; "
        "100 of 200 ports receive."
    )
    assert (finding.verdict, finding.subject, finding.observed) == (Verdict.FAIL, "UDP 10100-10199", "10100-10199: no-rule")
    assert said.summary == "10000-10099 open both ways; 10100-10199 never arrive (no rule; the rule ends at 10099)"
    assert any("10100, 10150, 10199" in line for line in finding.evidence)


def test_every_other_port_missing_is_one_stretch_and_one_finding() -> None:
    odd = tuple((port, port) for port in range(10_001, 10_200, 2))
    finding = judged(odd, row(10_001, **RULED_OUT), row(10_101, **RULED_OUT), row(10_199, **RULED_OUT)).finding("inbound-blocked")
    assert finding.subject == "UDP 10001-10199 (odd ports)"
    assert "the rule lets in even ports alone" in finding.summary


def test_stretches_with_causes_of_their_own_are_findings_of_their_own() -> None:
    blocked = ((10_020, 10_039), (10_100, 10_199))
    led_away = [row(port, "refused", **LED_AWAY) for port in (10_020, 10_030, 10_039)]
    said = judged(blocked, *led_away, row(10_150, **RULED_OUT), row(10_199, **RULED_OUT))
    assert [(finding.subject, finding.observed) for finding in said.findings] == [
        ("UDP 10020-10039", "10020-10039: wrong-host"),
        ("UDP 10100-10199", "10100-10199: no-rule"),
    ]
    assert f"another machine than this one ({HERE})" in said.findings[0].summary
    assert "the rule ends at" not in said.findings[0].summary


def test_a_stretch_of_two_causes_is_not_given_one() -> None:
    said = judged(((10_100, 10_199),), row(10_100, "refused", **LED_AWAY), row(10_150, **RULED_OUT), row(10_199, **RULED_OUT))
    finding = said.finding("inbound-blocked")
    assert finding.observed == "10100-10199: wrong-host or no-rule"
    assert "not for one cause throughout; of the ports examined 10100: wrong host; 10150, 10199: no rule" in finding.summary
    assert "the rule ends" not in finding.summary


def test_where_several_causes_fit_all_are_told_with_what_tells_them_apart() -> None:
    finding = judged(((10_100, 10_199),), row(10_150, passed_on=False, here="nothing")).finding("inbound-blocked")
    assert finding.observed == "10100-10199: no-rule or provider-drops"
    assert "(as if the rule ends at 10099)" in finding.summary
    assert finding.remedies[0].startswith("To tell which of the 2 causes it is: ")


def test_answers_that_do_not_come_back_are_no_missing_rule_alone() -> None:
    blocked = ((10_100, 10_199),)
    said = judged(blocked, row(10_150, passed_on=False, here="nothing"), return_blocked=blocked)
    assert "which a missing rule alone does not explain" in said.finding("inbound-blocked").summary


def test_a_stretch_that_nobody_examined_has_no_cause() -> None:
    said = judged(((10_010, 10_010), (10_100, 10_199)), row(10_150, **RULED_OUT))
    assert [finding.observed for finding in said.findings] == ["10100-10199: no-rule", "10010"]
    assert said.findings[1].summary == (
        "RTP to 10010 never arrives from outside; 99 of 200 ports receive. "
        "Its cause was not looked for: only the longest stretches are examined, 5 ports at most."
    )
    assert "10010 never arrives (cause not looked for)" in said.summary


def test_open_ports_of_the_same_address_leave_out_carrier_grade_nat() -> None:
    far = Path(owner_hop=None, router="192.168.88.1")
    unsure = {"here": "nothing"}
    alone = judged(WHOLE, row(10_100, **unsure), path=far).finding("inbound-blocked")
    assert "carrier-grade-nat" in alone.observed
    beside = judged(((10_100, 10_199),), row(10_150, **unsure), path=far).finding("inbound-blocked")
    assert "carrier-grade-nat" not in beside.observed
    assert "no-rule" in beside.observed
    certain = judged(WHOLE, row(10_100, **unsure), path=Path(cgnat=True)).finding("inbound-blocked")
    assert certain.observed == "10000-10199: carrier-grade-nat"


def test_a_rule_for_the_wrong_transport() -> None:
    over_tcp = PortRow(port=10_100, transport="tcp", purpose="RTP", required=False, state="forwarded", copies=6, arrived=1)
    finding = judged(WHOLE, row(10_100, **RULED_OUT), over_tcp).finding("inbound-blocked")
    assert "over TCP it is let in, so the rule seems to be for TCP alone" in finding.summary
    assert any(line.startswith("TCP 10100: ") for line in finding.evidence)


def test_another_device_that_holds_the_port_is_named() -> None:
    finding = judged(WHOLE, row(10_100, mapping=mapping(OTHER), passed_on=True, here="nothing")).finding("inbound-blocked")
    assert f"another device holds this port in the router, {OTHER} (phone)" in finding.summary


def test_a_profile_that_needs_nothing_unasked_is_told_no_cause() -> None:
    finding = judged(WHOLE, row(10_100, **RULED_OUT), profile=expecting(rtp_inbound="ignore")).finding("inbound-blocked")
    assert (finding.verdict, finding.observed) == (Verdict.PASS, "10000-10199")


# ---- through edges with hops

PORT_RESTRICTED = EIGHT["port restricted cone"]
HALF = forwarded_range(10_000, 10_099)
UPPER = ((10_100, 10_199),)


def told(edge: Callable[[], Edge], pace: int = 1000) -> dict[str, str]:
    """Ports -> the causes told of them."""
    seen = look(rtp_range, edge, pace=pace)
    findings = say(rtp_range.CHECK, seen).findings
    out = {}
    for finding in findings:
        if finding.id == "rtp-range.inbound-blocked":
            ports, _, fits = finding.observed.partition(": ")
            out[ports] = fits
    return out


def to_stranger(low: int, high: int, kind: Stranger) -> dict[tuple[str, int], Stranger]:
    return {("udp", port): kind for port in range(low, high + 1)}


def test_a_rule_that_ends_early() -> None:
    assert told(lambda: ExpiringEdge(Nat(**PORT_RESTRICTED, forwarded=HALF))) == {"10100-10199": "no-rule"}


def test_who_asks_for_speed_is_told_what_a_moment_tells() -> None:
    """Look-alikes that take seconds to leave out are told, too."""
    found = told(lambda: ExpiringEdge(Nat(**PORT_RESTRICTED, forwarded=HALF)), pace=0)
    assert found == {"10100-10199": "no-rule or wrong-host or filtered-behind or provider-drops"}


@pytest.mark.parametrize(("kind", "causes"), [("silent", "wrong-host or filtered-behind"), ("refuses", "wrong-host")])
def test_a_part_that_leads_to_another_machine(kind: Stranger, causes: str) -> None:
    rules = to_stranger(10_100, 10_149, kind)
    found = told(lambda: ExpiringEdge(Nat(**PORT_RESTRICTED, forwarded={**HALF, **forwarded_range(10_150, 10_199)}), rules=rules))
    assert found == {"10100-10149": causes}


def test_the_provider_that_drops_is_never_left_out() -> None:
    shut = frozenset(range(10_100, 10_200))
    found = told(lambda: ExpiringEdge(Nat(**PORT_RESTRICTED, forwarded=forwarded_range(10_000, 10_199)), provider_drops=shut))
    assert set(found) == {"10100-10199"}
    assert "provider-drops" in found["10100-10199"]


def test_a_router_that_rejects_and_one_that_drops_lack_the_same_rule() -> None:
    assert told(lambda: ExpiringEdge(Nat(**PORT_RESTRICTED, forwarded=HALF), rejects=True)) == {"10100-10199": "no-rule"}


@pytest.mark.parametrize("loss", [0.05, 0.1, 0.2])
def test_loss_takes_certainty_and_makes_no_wrong_cause(loss: float) -> None:
    for seed in range(3):
        found = told(lambda seed=seed: ExpiringEdge(Nat(**PORT_RESTRICTED, forwarded=HALF), Weather(loss=loss, seed=seed), seed=seed))
        assert all("no-rule" in fits for fits in found.values()), (seed, found)


def test_several_stretches_each_have_their_cause() -> None:
    rules = to_stranger(10_040, 10_059, "refuses")
    ruled = {**forwarded_range(10_000, 10_039), **forwarded_range(10_060, 10_099)}
    found = told(lambda: ExpiringEdge(Nat(**PORT_RESTRICTED, forwarded=ruled), rules=rules))
    assert found == {"10040-10059": "wrong-host", "10100-10199": "no-rule"}


def test_a_port_that_arrives_when_asked_once_more_was_not_blocked() -> None:
    """An edge that lets in nothing unasked for a while, and then does: no verdict stands on what it did before."""

    class Late(ExpiringEdge):
        def _come_in(self, one: Any) -> None:
            # RTP is held back; the smaller probes of the examination are not.
            if not (len(one.data) >= 172 and one.destination.port in range(10_100, 10_200)):
                super()._come_in(one)

    seen: RtpObservation = look(rtp_range, lambda: Late(Nat(**PORT_RESTRICTED, forwarded=forwarded_range(10_000, 10_199))), pace=1000)
    assert (seen.inbound_blocked, seen.inbound_undecided, seen.inbound_open) == ((), UPPER, 100)
    assert "did when it was asked once more" in seen.reasons["undecided"]


def test_nothing_is_examined_where_every_port_arrives_or_nobody_wants_to_know() -> None:
    assert look(rtp_range, lambda: ExpiringEdge(Nat(**PORT_RESTRICTED, forwarded=forwarded_range(10_000, 10_199)))).examined is None
    lenient = msgspec.structs.replace(PROFILE, expect=expecting(rtp_inbound="ignore").expect)
    assert look(rtp_range, lambda: ExpiringEdge(Nat(**PORT_RESTRICTED)), lenient).examined is None


def test_the_examined_ports_get_out_and_back_afterwards() -> None:
    seen = look(rtp_range, lambda: ExpiringEdge(Nat(**PORT_RESTRICTED, forwarded=HALF)), pace=1000)
    assert (seen.outbound_open, seen.outbound_blocked, seen.return_blocked, seen.busy) == (200, (), (), ())
