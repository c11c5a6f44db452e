"""How often each check takes for a fact what loss alone has made silent: reckoned over every outcome of its control, by its own rule.

The path is healthy and loses at random, one packet as another. What is reckoned is the chance that a measurement with so many such silences
calls one of them proved, looks after every round included. No run is drawn: the sums are exact.
"""

from collections.abc import Callable
from math import comb
from typing import Any, NamedTuple

import pytest

from edgecheck.checks.mapping_lifetime.flows import COPIES, MOST_ROUNDS, SILENCES, Burst
from edgecheck.checks.mapping_lifetime.watch import INSISTING_COPIES
from edgecheck.checks.nat_behavior.hairpin import HAIRPIN_COPIES
from edgecheck.checks.outbound import streams, udp
from edgecheck.checks.outbound.aims import Aim
from edgecheck.checks.outbound.streams import StreamTally
from edgecheck.checks.outbound.tally import UdpTally
from edgecheck.checks.outbound.udp import UdpResult
from edgecheck.checks.port_forwarding import live, paired, shut_out
from edgecheck.checks.port_forwarding.held import Facts
from edgecheck.checks.port_forwarding.tcp import DIAL_ATTEMPTS, DIAL_ROUNDS, Dials
from edgecheck.checks.port_forwarding.weather import ECHOES, Weather
from edgecheck.checks.sip_alg.knocking import GAUGES, KNOCKS
from edgecheck.checks.topology.layers import owner_hop
from edgecheck.checks.topology.observation import OwnAddressStep
from edgecheck.checks.topology.probe import BESIDE, CONTROLS
from edgecheck.model.evidence import WRONG_BY_CHANCE, loss_is_excluded
from edgecheck.wire import control

LOSSES = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
"""Each way."""
AIM = Aim("tcp", 5060, "SIP", "sip")
TCP_PORTS = 8


class Rule(NamedTuple):
    proved: Callable[[int, int, int], bool]
    """(controls that arrived, sent, copies that are all lost) -> whether the check calls the silence a fact."""
    rounds: int
    controls: int
    """In each round."""
    copies: int
    both_ways: bool
    """A copy needs an answer, and so does each control."""
    silences: int = 1
    """In one measurement."""


def of_port(arrived: int, sent: int, copies: int) -> bool:
    return StreamTally(AIM, 0, beside=copies, control=arrived, control_copies=sent, among=TCP_PORTS).silence_proved


def of_udp(arrived: int, sent: int, copies: int) -> bool:
    result = UdpResult([UdpTally(AIM, 0, copies=copies)], connected=arrived, connections=sent)
    return result.silence_proved(result.tallies[0])


def of_one_udp_port(arrived: int, sent: int, copies: int) -> bool:
    others = [UdpTally(AIM, number) for number in range(2, 13)]
    result = UdpResult([UdpTally(AIM, 0, copies=copies), UdpTally(AIM, 1, copies=sent, answered=arrived), *others])
    return result.silence_proved(result.tallies[0])


def of_flow(arrived: int, sent: int, copies: int) -> bool:
    return Burst(copies=sent, control=arrived).silence_proved


def of_box(arrived: int, sent: int, copies: int) -> bool:
    step = OwnAddressStep(hop=1, outcome="silent", controls_sent=sent, controls_expired=arrived, copies_beside=copies)
    return owner_hop("203.0.113.5", (), (step,))[0] == 1


def of_dials(arrived: int, sent: int, copies: int) -> bool:
    nothing: Any = None
    dials = Dials(nothing, 5)
    dials.weather = Weather(sent, sent, arrived)
    dials.told[5060] = [control.DialRow(port=5060, outcome="silent", attempts=copies, elapsed_ms=900.0)]
    return dials.silence_proved(5060)


def of_held(transport: control.Transport) -> Callable[[int, int, int], bool]:
    def proved(arrived: int, sent: int, copies: int) -> bool:
        row = control.InquiryRow(port=5060, outcome="silent", attempts=copies)
        return Facts(transport=transport, told=(row,), weather=Weather(sent, sent, arrived)).loss_is_excluded

    return proved


RULES = {
    "outbound, TCP": Rule(
        of_port, streams.ROUNDS, streams.CONNECTIONS * streams.WITNESSES, streams.CONNECTIONS, both_ways=True, silences=TCP_PORTS
    ),
    "outbound, no UDP at all": Rule(of_udp, udp.MOST_ROUNDS, udp.COPIES * udp.WITNESSES, udp.COPIES, both_ways=True),
    "outbound, one UDP port": Rule(of_one_udp_port, udp.MOST_ROUNDS, 12 * udp.COPIES, udp.COPIES, both_ways=True, silences=13),
    "mapping-lifetime": Rule(of_flow, MOST_ROUNDS, COPIES, COPIES, both_ways=False, silences=SILENCES),
    "mapping-lifetime, watched": Rule(of_flow, MOST_ROUNDS, INSISTING_COPIES, INSISTING_COPIES, both_ways=False, silences=SILENCES),
    "nat-behavior, hairpin": Rule(loss_is_excluded, 1, HAIRPIN_COPIES, 2 * HAIRPIN_COPIES, both_ways=True),
    "topology": Rule(of_box, 1, CONTROLS, BESIDE * CONTROLS, both_ways=True, silences=2),
    "port-forwarding, TCP": Rule(of_dials, DIAL_ROUNDS, ECHOES, DIAL_ATTEMPTS, both_ways=True, silences=5),
    "port-forwarding, held, UDP": Rule(of_held("udp"), live.ROUNDS, ECHOES, live.ATTEMPTS, both_ways=False),
    "port-forwarding, held, TCP": Rule(of_held("tcp"), live.ROUNDS, ECHOES, live.ATTEMPTS, both_ways=True),
    "port-forwarding, shut out": Rule(loss_is_excluded, 1, ECHOES, shut_out.COPIES, both_ways=True),
    "sip-alg, nothing opened": Rule(loss_is_excluded, 1, GAUGES, KNOCKS, both_ways=False),
}


def chance_of_wrong(rule: Rule, lost: float) -> float:
    """That a silence which loss made is called a fact after one of the rounds."""
    outcomes, wrong = {0: 1.0}, 0.0
    for number in range(1, rule.rounds + 1):
        after: dict[int, float] = {}
        for before, chance in outcomes.items():
            for more in range(rule.controls + 1):
                ways = comb(rule.controls, more) * (1 - lost) ** more * lost ** (rule.controls - more)
                after[before + more] = after.get(before + more, 0.0) + chance * ways
        proved = {arrived for arrived in after if rule.proved(arrived, number * rule.controls, number * rule.copies)}
        wrong += sum(after[arrived] for arrived in proved) * lost ** (number * rule.copies)
        outcomes = {arrived: chance for arrived, chance in after.items() if arrived not in proved}
    return wrong


@pytest.mark.parametrize("name", RULES)
def test_loss_is_hardly_ever_taken_for_a_fact(name: str) -> None:
    rule = RULES[name]
    for loss in LOSSES:
        lost = 1 - (1 - loss) ** 2 if rule.both_ways else loss
        assert rule.silences * chance_of_wrong(rule, lost) < WRONG_BY_CHANCE, f"at {loss:.0%}"


@pytest.mark.parametrize("name", RULES)
def test_a_path_that_loses_nothing_is_decided_in_one_round(name: str) -> None:
    rule = RULES[name]
    few = name == "mapping-lifetime, watched"
    assert rule.proved(rule.controls, rule.controls, rule.copies) is not few
    assert not few or rule.proved(3 * rule.controls, 3 * rule.controls, 3 * rule.copies)


@pytest.mark.parametrize("ports", [1, 2, 6, 12])
def test_a_box_that_is_silent_by_chance_is_hardly_ever_taken_for_one_that_keeps_a_port(ports: int) -> None:
    """Each train with a control that was told of has lost its probe. A look after each of the slow ones; fast ones are looked at twice."""
    for loss in LOSSES:
        lost, wrong = 1 - (1 - loss) ** 2, 0.0
        for looks in ((paired.FAST.trains, 2 * paired.FAST.trains), range(1, paired.SLOW.trains + 1)):
            outcomes, before = {0: 1.0}, 0
            for trains in looks:
                after: dict[int, float] = {}
                for told, chance in outcomes.items():
                    for more in range(trains - before + 1):
                        # Lost with the probe, or told of beside a lost probe: either way nothing was told of the probe.
                        ways = comb(trains - before, more) * (1 - lost) ** more * lost ** (trains - before - more)
                        after[told + more] = after.get(told + more, 0.0) + chance * ways * lost ** (trains - before)
                before = trains
                wrong += sum(chance for told, chance in after.items() if paired.enough(trains, told, ports))
                outcomes = {told: chance for told, chance in after.items() if not paired.enough(trains, told, ports)}
        assert ports * wrong < WRONG_BY_CHANCE, f"at {loss:.0%}"
    assert paired.enough(paired.FAST.trains, paired.FAST.trains, ports)
