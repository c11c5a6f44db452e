"""Which router it is: asked while the server is being reached, so that nobody waits for it afterwards."""

import asyncio
from typing import Any

import pytest

from edgecheck import runner
from edgecheck.model.check import Network, Observation
from edgecheck.model.profile import Profile
from edgecheck.model.router import RouterFacts
from edgecheck.model.verdict import Report
from tests.fakes.edge import Edge
from tests.fakes.nat import CLIENT, Nat
from tests.fakes.world import Session, World, check

CONNECT_S, CHECK_S = 0.2, 0.3


class Slow(Edge):
    """Its router takes so long to tell its name."""

    def __init__(self, thinks_s: float) -> None:
        super().__init__(Nat())
        self.thinks_s = thinks_s
        self.router = RouterFacts(gateway="192.168.88.1", protocol="upnp", protocols=("upnp",), model="Box")

    async def read_router(self) -> RouterFacts:
        self.router_asked += 1
        await asyncio.sleep(self.thinks_s)
        return self.router


async def takes_its_time(net: Network, profile: Profile) -> Observation:
    await net.sleep(CHECK_S)
    return Observation()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def run(world: World, edge: Edge, monkeypatch: pytest.MonkeyPatch, source_for: Any = None, **changes: Any) -> Report:
    meet = world.meet

    def with_delay(edge: Edge | Exception) -> None:
        meet(edge)
        opened = runner.ControlSession

        class Opening:
            @staticmethod
            async def open(*arguments: Any) -> Session:
                await asyncio.sleep(CONNECT_S)
                return await opened.open(*arguments)

        monkeypatch.setattr(runner, "ControlSession", Opening)
        if source_for is not None:
            monkeypatch.setattr(runner.foreign, "source_for", source_for)

    monkeypatch.setattr(world, "meet", with_delay)
    return world.run(edge, profile=world.have(check("one", takes_its_time)), **changes)


@pytest.mark.parametrize("thinks_s", [0.01, 0.45])
def test_a_router_that_answers_meanwhile_costs_nothing(thinks_s: float, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    edge = Slow(thinks_s)
    report = run(world, edge, monkeypatch)
    assert report.client.router is not None
    assert report.client.router.model == "Box"
    assert edge.router_asked == 1
    assert world.took == pytest.approx(CONNECT_S + CHECK_S)


def test_a_router_that_says_nothing_is_given_so_long_from_the_start(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    report = run(world, Slow(60.0), monkeypatch)
    assert report.client.router is None
    assert world.took == pytest.approx(max(0.6, CONNECT_S + CHECK_S))


def test_one_that_was_asked_from_another_address_is_asked_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The routes had it otherwise: what stands behind another interface is another router."""
    edge = Slow(0.1)
    report = run(world, edge, monkeypatch, lambda *_: "10.8.0.2")
    assert edge.router_asked == 2
    assert report.client.router is not None
    assert world.took == pytest.approx(CONNECT_S + CHECK_S)


def nowhere(destination: str) -> str:
    raise OSError("no route")


@pytest.mark.parametrize("source_for", [lambda *_: "8.8.8.8", lambda *_: "fd00::2", nowhere], ids=["public", "IPv6", "no route"])
def test_nobody_is_asked_ahead_where_that_would_be_no_router_of_ones_own(
    source_for: Any, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge = Slow(0.45)
    report = run(world, edge, monkeypatch, source_for)
    assert edge.router_asked == 1
    assert report.client.router is not None
    assert world.took == pytest.approx(CONNECT_S + 0.45), "asked when there is a session"


def test_the_source_asked_for_is_the_one_asked_from(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    edge = Slow(0.45)
    run(world, edge, monkeypatch, nowhere, source=CLIENT)
    assert edge.router_asked == 1
    assert world.took == pytest.approx(CONNECT_S + CHECK_S)
