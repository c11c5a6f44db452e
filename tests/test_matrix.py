"""The law, over the whole matrix: the real checks, the real network code and the real server's core, through every NAT, at every loss.

Loss may turn an answer into "could not tell", never into a wrong one; nor may an earlier run, nor the order of the checks. Seeds are
fixed, the clock is virtual. What each check does beyond that stands in ``tests/checks``.
"""

import random
from typing import Any

import pytest

from edgecheck.checks import nat_behavior, port_forwarding, port_preservation, rtp_range
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Report
from edgecheck.wire import ports as port_ranges
from tests.checks.truth import TRUTH
from tests.fakes import clock
from tests.fakes.edge import Edge, Weather
from tests.fakes.nat import EIGHT, Nat
from tests.fakes.world import World

PROFILE = Profile(name="test", title="", source="", confidence="verified", checks=())
RUNS = 20


def observe(name: str, loss: float, seed: int) -> nat_behavior.NatObservation:
    async def work() -> nat_behavior.NatObservation:
        edge = Edge(Nat(**EIGHT[name], seed=seed), Weather(loss=loss, seed=seed))
        network = edge.network()
        network.gate.open()
        return await nat_behavior.CHECK.probe(network, PROFILE)

    return clock.run(work())


@pytest.mark.parametrize("name", EIGHT)
@pytest.mark.parametrize("loss", [0.0, 0.05, 0.1, 0.2, 0.3])
def test_nat_behavior_is_never_wrong(name: str, loss: float) -> None:
    mapping, filtering, classic, behind = TRUTH[name]
    decided = 0
    for seed in range(RUNS):
        seen = observe(name, loss, seed)
        assert seen.mapping in (mapping, None), seen
        assert seen.filtering in (filtering, None), seen
        assert seen.classic_type in (classic, None), seen
        assert seen.behind_nat in (behind, None), seen
        assert not seen.hairpinning, seen
        decided += (seen.mapping, seen.filtering) == (mapping, filtering)
        for field in ("mapping", "filtering"):
            assert (getattr(seen, field) is None) == (field in seen.reasons), seen
    # "Could not tell" must not become the easy way out: at 10 % loss every run decides, at 20 % nearly every one.
    assert decided >= {0.0: RUNS, 0.05: RUNS, 0.1: RUNS, 0.2: RUNS - 2, 0.3: RUNS // 2}[loss]


# ---- all checks together: one after the other, in any order, run after run

TOGETHER = (port_forwarding.CHECK, rtp_range.CHECK, nat_behavior.CHECK, port_preservation.CHECK)
"""Those that could disturb one another, in the order of ``edgecheck.checks``."""
RULES: dict[tuple[str, int], int] = {("udp", 5060): 5060, ("tcp", 5060): 5060, **{("udp", port): port for port in range(10_000, 10_050)}}
UNDECIDED = None


def answers(report: Report) -> dict[str, Any]:
    """What a run said of the edge; None where it could not tell."""
    seen = {result.id: result.observation or {} for result in report.checks}
    nat, rtp = seen["nat-behavior"], seen["rtp-range"]
    told = {field: nat[field] for field in ("mapping", "filtering", "classic_type", "behind_nat")}
    told["allocation"] = seen["port-preservation"]["allocation"]
    for row in seen["port-forwarding"]["ports"]:
        told[f"{row['transport']} {row['port']}"] = {"undecided": UNDECIDED}.get(row["state"], row["state"])
    opened, blocked = rtp["inbound_open"], port_ranges.count(rtp["inbound_blocked"])
    told["rtp"] = {(True, False): "forwarded", (False, True): "blocked", (True, True): "holes"}.get((opened > 0, blocked > 0))
    told["every rtp port"] = True if opened + blocked == 50 else UNDECIDED
    told["rtp out"] = "blocked" if rtp["outbound_blocked"] or rtp["return_blocked"] else {50: "open"}.get(rtp["outbound_open"])
    return told


def truth(name: str, rules: bool) -> dict[str, Any]:
    mapping, filtering, classic, behind = TRUTH[name]
    way = "forwarded" if rules or name == "none" else "blocked"
    return {
        "mapping": mapping,
        "filtering": filtering,
        "classic_type": classic,
        "behind_nat": behind,
        "allocation": "random" if name == "symmetric" else "preserved",
        "udp 5060": way,
        "tcp 5060": way,
        "rtp": way,
        "every rtp port": True,
        "rtp out": "open",
    }


def wrong(told: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    """What was said and is not so."""
    assert told.keys() == right.keys()
    return {field: said for field, said in told.items() if said not in (right[field], UNDECIDED)}


def untold(told: dict[str, Any]) -> set[str]:
    return {field for field, said in told.items() if said is UNDECIDED}


ARRIVALS = {"udp 5060", "tcp 5060", "rtp", "every rtp port"}
"""What may be explained by something else than a rule, once ports were used or the prober contacted."""


@pytest.mark.parametrize("rules", [True, False])
@pytest.mark.parametrize("name", EIGHT)
def test_the_order_of_the_checks_makes_no_answer_wrong(name: str, rules: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(f"{name} {rules}")
    world = World(monkeypatch)
    for number in range(5):
        order = list(TOGETHER)
        if number:
            dice.shuffle(order)
        world.memory = type(world.memory)()
        nat = Nat(**EIGHT[name], forwarded=dict(RULES) if rules else {})
        report = world.run(Edge(nat, Weather(loss=0.05, seed=number)), profile=world.have(*order))
        told = answers(report)
        assert wrong(told, truth(name, rules)) == {}, [check.id for check in order]
        # On a NAT that lets anyone in on a used port no arrival proves a rule; every other one gives the same answers in any order.
        assert untold(told) <= (ARRIVALS if name == "full cone" else set()), [check.id for check in order]


@pytest.mark.parametrize("rules", [True, False])
@pytest.mark.parametrize("name", EIGHT)
def test_run_after_run_says_the_same_or_why_not(name: str, rules: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch)
    nat = Nat(**EIGHT[name], forwarded=dict(RULES) if rules else {})
    for number in range(4):
        edge = Edge(nat, Weather(loss=0.05, seed=number))
        edge._next_port += 100 * number  # the system does not hand out the same free ports again at once
        told = answers(world.run(edge, profile=world.have(*TOGETHER)))
        assert wrong(told, truth(name, rules)) == {}, f"run {number + 1}"
        forgiven = set[str]()
        if name == "full cone":
            forgiven = ARRIVALS
        elif name == "restricted by host" and number:
            forgiven = ARRIVALS | {"filtering", "classic_type"}
        assert untold(told) <= forgiven, f"run {number + 1}"
        world.memory.clock += 45
