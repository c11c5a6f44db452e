"""``nat-behavior`` where the server is half dead, the path foul, the NAT odd.

The law over NAT and loss stands in ``tests/test_matrix.py``.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from edgecheck.checks import nat_behavior
from edgecheck.checks.nat_behavior import hairpin
from edgecheck.checks.nat_behavior.probe import MAPPING_SOCKETS
from edgecheck.model.errors import RequestDeclined
from edgecheck.wire import control, probe
from edgecheck.wire.address import Endpoint
from tests.checks.probing import look, say
from tests.checks.truth import APD, EI, TRUTH
from tests.fakes.edge import ALTERNATE, Edge, Weather
from tests.fakes.nat import EIGHT, Nat


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


@pytest.mark.parametrize("name", ["full cone", "port restricted cone"])
def test_nobody_waits_for_the_hairpin_and_all_wait_for_the_filter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mapping towards other destinations is asked while hairpins are still under way; never before the filter is known."""
    monkeypatch.setattr(hairpin, "HAIRPIN_COPIES", 40)
    order: list[str] = []

    class Written(Edge):
        def from_client(self, port: int, data: bytes, to: Endpoint) -> None:
            if data.startswith(probe.MAGIC):
                order.append("hairpin")
            elif to.host == ALTERNATE or to.port == self.service.stun_ports[1]:
                order.append("elsewhere")
            super().from_client(port, data, to)

        async def ask(self, make: Callable[[int], control.Request], timeout: float = 30.0) -> control.Reply:
            reply = await super().ask(make, timeout)
            order.append("filter")
            return reply

    mapping, filtering, _, _ = TRUTH[name]
    seen = look(nat_behavior, lambda: Written(Nat(**EIGHT[name], hairpinning=False)))
    assert (seen.mapping, seen.filtering, seen.hairpinning) == (mapping, filtering, False)
    assert order.count("filter") == 1
    first, last = (order.index("elsewhere"), len(order) - 1 - order[::-1].index("elsewhere"))
    assert order.index("filter") < first
    assert order[last + 1 :].count("hairpin") > 0
    assert order.count("elsewhere") == 2 * MAPPING_SOCKETS, "one copy for each socket and destination"


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
