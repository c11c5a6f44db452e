"""The law, over the whole matrix: the real check, the real network code and the real server's core, through every NAT, at every loss.

Loss may turn an answer into "could not tell", never into a wrong one. Seeds are fixed, the clock is virtual.
"""

import pytest

from edgecheck.checks import nat_behavior
from edgecheck.model.profile import Profile
from tests.fakes import clock
from tests.fakes.edge import Edge, Weather
from tests.fakes.nat import EIGHT, Nat

PROFILE = Profile(name="test", title="", source="", confidence="verified", checks=())
RUNS = 20

EI, AD, APD = "endpoint-independent", "address-dependent", "address-and-port-dependent"
TRUTH = {
    "none": (EI, EI, "open internet", False),
    "firewall": (EI, APD, "symmetric udp firewall", False),
    "full cone": (EI, EI, "full cone", True),
    "restricted cone": (EI, AD, "restricted cone", True),
    "restricted by host": (EI, AD, "restricted cone", True),
    "port restricted cone": (EI, APD, "port restricted cone", True),
    "port restricted, open input": (EI, APD, "port restricted cone", True),
    "symmetric": (APD, APD, "symmetric", True),
}


def observe(name: str, loss: float, seed: int) -> nat_behavior.NatObservation:
    async def work() -> nat_behavior.NatObservation:
        edge = Edge(Nat(**EIGHT[name], seed=seed), Weather(loss=loss, seed=seed))
        network = edge.network()
        network.gate.open()
        return await nat_behavior.probe_network(network, PROFILE)

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
