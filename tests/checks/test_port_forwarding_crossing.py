"""Causes through routers that tell of expired packets now and then, late, or so many a second, and a path that loses: never a wrong one."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from edgecheck.checks import port_forwarding
from edgecheck.checks.port_forwarding.judge import causes
from edgecheck.wire.address import Endpoint
from tests.checks.probing import SIP, look
from tests.fakes.edge import Weather
from tests.fakes.expiring import ExpiringEdge, Thrift
from tests.fakes.nat import Nat
from tests.fakes.services import Service

PORT_RESTRICTED: dict[str, Any] = {"per_destination_ports": True}
WALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "no rule": ("no-rule", {}),
    "no rule, and it rejects": ("no-rule", {"rejects": True}),
    "another machine, silent": ("wrong-host", {"rules": dict.fromkeys(SIP, "silent")}),
    "another machine, refusing": ("wrong-host", {"rules": dict.fromkeys(SIP, "refuses")}),
    "another machine, absent": ("wrong-host", {"rules": dict.fromkeys(SIP, "absent")}),
    "the provider drops": ("provider-drops", {"provider_drops": frozenset({5060, 5061})}),
}
"""The true cause, and the edge."""
THRIFT: dict[str, Callable[[], Thrift]] = {
    "tells all": Thrift,
    "linux": lambda: Thrift(6, 1),
    "linux, ten a second": lambda: Thrift(6, 10),
    "seven a second": lambda: Thrift(1, 7),
    "for all peers": lambda: Thrift(6, 1, per_peer=False),
    "three a second for all": lambda: Thrift(3, 3, per_peer=False),
    "half of them": lambda: Thrift(silence=0.5),
    "one in ten": lambda: Thrift(silence=0.9),
    "late": lambda: Thrift(late_s=0.4),
    "very late": lambda: Thrift(late_s=2.0),
    "never": lambda: Thrift(0, 0),
}


def told(edge: Callable[[], ExpiringEdge]) -> dict[str, tuple[str, ...]]:
    """Port -> the causes that fit."""
    seen = look(port_forwarding, edge)
    assert seen.path is not None
    return {f"{row.transport} {row.port}": causes(seen, row) for row in seen.ports if row.state != "undecided"}


@pytest.mark.parametrize("thrift", THRIFT)
@pytest.mark.parametrize("wall", WALLS)
def test_never_a_wrong_cause(wall: str, thrift: str) -> None:
    truth, facts = WALLS[wall]
    for seed, loss in enumerate((0.0, 0.1)):
        random.seed(seed)
        weather = Weather(loss=loss, seed=seed)
        edge = ExpiringEdge(Nat(**PORT_RESTRICTED), weather, box=THRIFT[thrift](), seed=seed, **facts)
        found = told(lambda edge=edge: edge)  # type: ignore[misc]
        assert all(truth in each for each in found.values()), (seed, found)


@pytest.mark.parametrize("thrift", ["tells all", "linux", "linux, ten a second", "for all peers", "late"])
def test_without_a_rule_on_a_quiet_router_the_cause_is_told_alone(thrift: str) -> None:
    found = told(lambda: ExpiringEdge(Nat(**PORT_RESTRICTED), box=THRIFT[thrift]()))
    assert set(found.values()) == {("no-rule",)}, found


@pytest.mark.parametrize("wall", WALLS)
def test_a_router_that_tells_of_no_expired_tcp(wall: str) -> None:
    """What it says of UDP proves nothing about TCP: there its silence leaves open whether there is a rule."""
    truth, facts = WALLS[wall]
    for seed, loss in enumerate((0.0, 0.1)):
        random.seed(seed)
        edge = ExpiringEdge(Nat(**PORT_RESTRICTED), Weather(loss=loss, seed=seed), tells_of_tcp=False, seed=seed, **facts)
        found = told(lambda edge=edge: edge)  # type: ignore[misc]
        assert all(truth in each for each in found.values()), (seed, found)
        if wall in ("no rule", "another machine, silent") and not loss:
            assert {"no-rule", "wrong-host"} <= set(found["tcp 5060"]), found
            assert found["udp 5060"] == (("no-rule",) if wall == "no rule" else ("wrong-host", "filtered-behind"))


class Guarded(ExpiringEdge):
    """It lets in one new connection a second; UDP as ever."""

    _next = 0.0

    def _meets(self, transport: str, source: Endpoint, port: int, hops: int) -> Any:
        now = asyncio.get_running_loop().time()
        if transport == "tcp":
            if now < self._next:
                return None
            self._next = now + 1.0
        return super()._meets(transport, source, port, hops)


def test_a_guard_against_floods_blocks_nothing() -> None:
    """One port is reached in a burst, the other's attempts are all over the limit; one by one both are reached."""
    seen = look(port_forwarding, lambda: Guarded(Nat(**PORT_RESTRICTED, forwarded=dict(SIP))))
    assert {(row.transport, row.port): row.state for row in seen.ports} == dict.fromkeys(SIP, "forwarded")
    one_missing = {key: port for key, port in SIP.items() if key != ("tcp", 5061)}
    seen = look(port_forwarding, lambda: Guarded(Nat(**PORT_RESTRICTED, forwarded=one_missing)))
    states = {(row.transport, row.port): row.state for row in seen.ports}
    assert states["tcp", 5060] in ("forwarded", "undecided"), "the other's attempt may have been the one that was let in"
    assert states["tcp", 5061] in ("blocked", "undecided")


@pytest.mark.parametrize("silence", [0.5, 0.9, 1.0])
def test_a_router_within_is_not_taken_for_the_box(silence: float) -> None:
    """Both bear the public address. Where the box is silent, a machine right behind it is as far as the router within."""
    for seed in range(6):
        random.seed(seed)
        edge = ExpiringEdge(Nat(**PORT_RESTRICTED), box=Thrift(silence=silence), inner=[Thrift()], rules=dict.fromkeys(SIP, "silent"), seed=seed)
        found = told(lambda edge=edge: edge)  # type: ignore[misc]
        assert all("wrong-host" in each for each in found.values()), (seed, found)


@pytest.mark.parametrize("nat", [{"remembers_hosts": True}, {"filtering": "address-dependent"}, {"filtering": "endpoint-independent"}])
def test_what_the_contacted_address_may_is_no_rule(nat: dict[str, Any]) -> None:
    """The trains come from it; expired, they prove no rule for strangers."""
    found = told(lambda: ExpiringEdge(Nat(**nat)))
    assert found
    assert all("no-rule" in each for each in found.values()), found


@pytest.mark.parametrize(("rules", "expected"), [({}, ["router-answers", "answered-before"]), ({("udp", 5060): "silent"}, ["wrong-host"])])
def test_who_is_silent_to_a_probe_and_answers_sip_is_asked(rules: dict[tuple[str, int], Any], expected: list[str]) -> None:
    """The router's own telephony, or the PBX of another machine to which its rule leads."""

    def edge() -> ExpiringEdge:
        made = ExpiringEdge(Nat(**PORT_RESTRICTED), rules=rules)
        made.computer.elsewhere["udp", 5060] = Service("FRITZ!OS")
        return made

    seen = look(port_forwarding, edge)
    (one,) = [row for row in seen.ports if (row.transport, row.port) == ("udp", 5060)]
    assert (one.state, one.answered_by) == ("answered", "FRITZ!OS (status 200)")
    assert list(causes(seen, one)) == expected
    silent = look(port_forwarding, lambda: ExpiringEdge(Nat(**PORT_RESTRICTED), rules=rules))
    assert {row.state for row in silent.ports} == {"blocked"}
