"""``rtp-range``: how far packets get from a port that is blocked on the way out. Never a hop that sees them called the one that does not."""

from dataclasses import replace

import msgspec
import pytest

from edgecheck.checks import rtp_range
from edgecheck.checks.rtp_range import RtpObservation
from edgecheck.checks.rtp_range.observation import Traced
from edgecheck.checks.rtp_range.outward import trace
from edgecheck.model.verdict import Verdict
from edgecheck.wire.address import Endpoint
from tests.checks.probing import PROFILE, Said, say
from tests.fakes import clock
from tests.fakes.hops import SERVER, HopSocket, HopWorld, Router

PORT, TO = 10_000, SERVER
HOME, PROVIDER, CORE = Router("192.168.88.1"), Router("203.0.113.14"), Router("203.0.113.30")


class Dropping(HopWorld):
    """``drops``: the hop that drops what comes from the port, as it leads it on; 0 = this machine."""

    def __init__(self, drops: int | None, *routers: Router, **weather: float) -> None:
        super().__init__(*(replace(router) for router in routers), **weather)  # type: ignore[arg-type]
        self.drops = drops

    async def open_udp(self, port: int = 0) -> HopSocket:
        made = await super().open_udp()
        return HopSocket(self, Endpoint(self.source, port)) if port else made

    def send(self, socket: HopSocket, data: bytes, to: Endpoint, ttl: int) -> None:
        if socket.local.port == PORT and self.drops is not None and ttl > self.drops:
            return
        super().send(socket, data, to, ttl)


def traced(world: Dropping) -> Traced | None:
    return clock.run(trace(world, PORT, TO))  # type: ignore[arg-type]


@pytest.mark.parametrize("linux", [False, True], ids=["tells all", "saves its errors"])
@pytest.mark.parametrize("drops", [0, 1, 2])
def test_the_hops_before_and_behind_are_named(drops: int, linux: bool) -> None:
    routers = [replace(one, errors_a_second=1.0) if linux else one for one in (HOME, PROVIDER, CORE)]
    seen = traced(Dropping(drops, *routers))
    assert seen is not None
    addresses = [None, HOME.address, PROVIDER.address, CORE.address]
    assert (seen.last_hop, seen.last_address) == (drops, addresses[drops])
    assert (seen.next_hop, seen.next_address) == (drops + 1, addresses[drops + 1])
    assert seen.controls_told > 0


def test_the_last_hop_before_the_server() -> None:
    """That the server has seen nothing is known by its own count; here it answers what comes from elsewhere."""
    seen = traced(Dropping(3, HOME, PROVIDER, CORE))
    assert seen is not None
    assert (seen.last_hop, seen.last_address, seen.next_hop, seen.next_address) == (3, CORE.address, 4, TO.host)
    assert traced(Dropping(3, *(replace(router, speaks=False) for router in (HOME, PROVIDER, CORE)))) is None


def test_who_refuses_is_named() -> None:
    class Refusing(Dropping):
        def send(self, socket: HopSocket, data: bytes, to: Endpoint, ttl: int) -> None:
            if socket.local.port == PORT and ttl > 1:
                self._error(socket, data, to, self.routers[0], 1, (3, 13), True)
            else:
                super().send(socket, data, to, ttl)

    seen = traced(Refusing(None, HOME, PROVIDER, CORE))
    assert seen is not None
    assert (seen.last_hop, seen.next_address, seen.refused_with) == (1, HOME.address, "ICMP 3/13")
    finding = judged(msgspec.structs.replace(seen, port=10_050)).finding("outbound-blocked")
    assert finding.summary.endswith("192.168.88.1 refuses them (ICMP 3/13).")


def test_a_hop_that_says_nothing_is_passed_over() -> None:
    seen = traced(Dropping(1, HOME, replace(PROVIDER, speaks=False), CORE))
    assert seen is not None
    assert (seen.last_hop, seen.next_hop, seen.next_address) == (1, 3, CORE.address)


def test_what_meets_silence_is_nowhere_dropped() -> None:
    silent = [replace(router, speaks=False) for router in (HOME, PROVIDER, CORE)]
    assert traced(Dropping(1, *silent)) is None
    assert traced(Dropping(1, HOME, replace(PROVIDER, speaks=False), replace(CORE, speaks=False), PROVIDER)) is None


@pytest.mark.parametrize("loss", [0.1, 0.2])
def test_loss_never_moves_the_place(loss: float) -> None:
    for seed in range(40):
        seen = traced(Dropping(2, HOME, PROVIDER, CORE, loss=loss, seed=seed))
        assert seen is None or (seen.last_hop <= 2 <= seen.next_hop - 1), (seed, seen)


def test_a_platform_without_quotes_says_nothing() -> None:
    world = Dropping(1, HOME, PROVIDER)
    world.sees_quotes = False
    assert traced(world) is None


# ---- what is said

ROW = Traced(port=10_050, last_hop=1, last_address=HOME.address, next_hop=2, next_address=PROVIDER.address, controls_sent=7, controls_told=7)


def judged(*rows: Traced, **facts: object) -> Said:
    blocked = ((10_000, 10_099),)
    given = {"range": (10_000, 10_199), "tested": 200, "inbound_open": 200, "outbound_open": 100, "sent": 500, "outbound_blocked": blocked}
    return say(rtp_range.CHECK, msgspec.convert({**given, "traced": rows, **facts}, RtpObservation, from_attributes=True), PROFILE)


def test_the_place_is_said_and_proved() -> None:
    said = judged(ROW, outbound_vouched=((10_000, 10_099),))
    finding = said.finding("outbound-blocked")
    assert finding.verdict is Verdict.FAIL
    assert finding.summary.endswith("Hop 1 (192.168.88.1) sees them and hop 2 (203.0.113.14) does not: one of them, or something between, drops them.")
    assert any("7 of 7 packets from another port" in line for line in finding.evidence)
    unvouched = judged(msgspec.structs.replace(ROW, last_hop=0, last_address=None, next_hop=1, next_address=HOME.address)).finding("outbound-blocked")
    assert unvouched.verdict is Verdict.INCONCLUSIVE
    assert unvouched.summary.endswith("Hop 1 (192.168.88.1) sees none of them: this machine, that hop or something between drops them.")


def test_two_places_are_not_said_as_one() -> None:
    other = msgspec.structs.replace(ROW, port=10_060, last_hop=2)
    finding = judged(ROW, other).finding("outbound-blocked")
    assert "drops them." not in finding.summary
    assert sum("from another port" in line for line in finding.evidence) == 2
