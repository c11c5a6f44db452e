"""The walks through routers that drop, filter, tire and lose: never a wrong layer; and decided wherever it can be."""

from dataclasses import replace

import pytest

from edgecheck.checks import topology
from edgecheck.checks.topology import TopologyObservation
from tests.checks.probing import PROFILE
from tests.fakes import clock
from tests.fakes.hops import HopWorld, Router

HOME, CARRIER, CORE = Router("192.168.88.1"), Router("100.64.0.1"), Router("203.0.113.14")
OWNER, TAKER = replace(HOME, owns=True), replace(HOME, owns=True, takes="drop")
CARRIER_OWNER, CARRIER_TAKER = replace(CARRIER, owns=True), replace(CARRIER, owns=True, takes="drop")
LINUX = {"errors_a_second": 1.0}
Truth = tuple[int, bool]


def walk(world: HopWorld) -> TopologyObservation:
    return clock.run(topology.CHECK.probe(world, PROFILE))  # type: ignore[arg-type]


def fresh(*routers: Router) -> tuple[Router, ...]:
    """Routers keep what their rate limit has left: each world has its own."""
    return tuple(replace(router) for router in routers)


DECIDED = {
    "refuses": ((OWNER, CORE), (1, False)),
    "drops": ((TAKER, CORE), (1, False)),
    "carrier refuses": ((HOME, CARRIER_OWNER, CORE), (2, True)),
    "carrier drops": ((HOME, CARRIER_TAKER, CORE), (2, True)),
    "drops, few errors a second": ((replace(TAKER, **LINUX), CORE), (1, False)),
    "drops, no errors left": ((replace(TAKER, **LINUX, tokens=1.0), CORE), (1, False)),
    "carrier drops, few errors a second": ((replace(HOME, **LINUX), replace(CARRIER_TAKER, **LINUX), CORE), (2, True)),
}
UNDECIDED = {
    "says nothing of expired packets": ((replace(TAKER, speaks=False), CORE), (1, False)),
    "a firewall drops high ports first": ((replace(HOME, filters="drop"), CARRIER_OWNER, CORE), (2, True)),
    "a firewall refuses high ports first": ((replace(HOME, filters="refuse"), CARRIER_OWNER, CORE), (2, True)),
    "no errors left, and few a second": ((replace(HOME, errors_a_second=0.1, tokens=1.0), CARRIER_OWNER, CORE), (2, True)),
}


@pytest.mark.parametrize("name", DECIDED)
def test_decided(name: str) -> None:
    routers, truth = DECIDED[name]
    seen = walk(HopWorld(*fresh(*routers)))
    assert (seen.nat_layers, seen.cgnat) == truth


@pytest.mark.parametrize("name", UNDECIDED)
def test_undecided(name: str) -> None:
    routers, _ = UNDECIDED[name]
    seen = walk(HopWorld(*fresh(*routers)))
    assert (seen.nat_layers, seen.cgnat) == (None, None)
    assert seen.reasons["cgnat"]


@pytest.mark.parametrize("loss", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("name", [*DECIDED, *UNDECIDED])
def test_no_loss_makes_a_wrong_layer(name: str, loss: float) -> None:
    routers, (layers, cgnat) = {**DECIDED, **UNDECIDED}[name]
    for seed in range(30):
        seen = walk(HopWorld(*fresh(*routers), loss=loss, seed=seed))
        assert seen.nat_layers in (layers, None), f"seed {seed}: {seen}"
        assert seen.cgnat in (cgnat, None), f"seed {seed}: {seen}"


@pytest.mark.parametrize("name", [*DECIDED, *UNDECIDED])
def test_tired_routers_make_no_wrong_layer(name: str) -> None:
    """Whatever another check left of their rate limit, at whatever moment."""
    routers, (layers, cgnat) = {**DECIDED, **UNDECIDED}[name]
    for seed in range(30):
        tired = tuple(replace(router, errors_a_second=1.0, tokens=seed / 10) for router in routers)
        seen = walk(HopWorld(*tired, seed=seed))
        assert seen.nat_layers in (layers, None), f"seed {seed}: {seen}"
        assert seen.cgnat in (cgnat, None), f"seed {seed}: {seen}"


@pytest.mark.parametrize("name", [*DECIDED, *UNDECIDED])
def test_late_errors_make_no_wrong_layer(name: str) -> None:
    """A queue holds some back until the next hop is asked: an "expired" of the one is no word of the other."""
    routers, (layers, cgnat) = {**DECIDED, **UNDECIDED}[name]
    for seed in range(30):
        seen = walk(HopWorld(*fresh(*routers), late=0.4, seed=seed))
        assert seen.nat_layers in (layers, None), f"seed {seed}: {seen}"
        assert seen.cgnat in (cgnat, None), f"seed {seed}: {seen}"
        assert seen.owner_hop in (layers, None), f"seed {seed}: {seen}"
