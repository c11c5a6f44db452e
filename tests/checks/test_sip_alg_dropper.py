"""Where a request is dropped: between the last router that tells of it and the next that tells of all else; and never by loss."""

import pytest

from edgecheck.checks.sip_alg.dropper import PAIRS, place_drop
from edgecheck.checks.sip_alg.observation import HopTrial, Located, Tally
from edgecheck.checks.sip_alg.taken import Climb
from edgecheck.wire.address import Endpoint
from tests.fakes import clock
from tests.fakes.hops import HopSocket, HopWorld, Router
from tests.lab import alg
from tests.lab.sip_samples import request

SERVER = Endpoint("198.51.100.10", 5060)
ROUTERS = ("192.168.1.1", "100.64.0.1", "203.0.113.14")


class World(HopWorld):
    """SIP that gets past so many hops is gone."""

    passes = 9

    def send(self, socket: HopSocket, data: bytes, to: Endpoint, ttl: int) -> None:
        if alg.is_sip(data) and ttl > self.passes:
            return
        super().send(socket, data, to, ttl)


def looked(passes: int, *, loss: float = 0.0, seed: int = 0, errors_a_second: float | None = None) -> tuple[int, HopTrial, str | None]:
    """The last hop that told of a request, the trial of the next, and that last router."""

    async def work() -> tuple[int, HopTrial, str | None]:
        world = World(*(Router(address, errors_a_second=errors_a_second) for address in ROUTERS), loss=loss, seed=seed)
        world.passes = passes
        socket = await world.open_udp()

        def make(number: int) -> tuple[bytes, bytes]:
            token = f"z9hG4bKtoken{number:04}x".encode()
            return request("OPTIONS", "192.168.1.2", 40_000, SERVER.host).replace(b"z9hG4bKabc", token), token

        climbing = Climb(world, socket, SERVER, make, lambda data: data.startswith(b"SIP/2.0 "))  # type: ignore[arg-type]
        taken = await climbing.run(())
        last = max((trial.hops for trial in taken.trials if trial.sip.expired), default=0)
        await climbing.compare(last + 1, PAIRS)
        return last, climbing.trial(last + 1), climbing.trial(last).router

    return clock.run(work())


@pytest.mark.parametrize("passes", [0, 1, 2])
def test_a_drop_is_bounded_by_the_last_router_that_tells_of_it(passes: int) -> None:
    last, there, near = looked(passes)
    located, reason = place_drop(last, near if last else "this machine", there)
    assert reason == ""
    address = ROUTERS[passes - 1] if passes else "this machine"
    assert located == (Located(hop=passes, address=address, where=("message",), up_to_hop=passes + 1, up_to_address=ROUTERS[passes]),)


def test_a_router_that_tells_of_one_packet_a_second_is_waited_for() -> None:
    last, there, near = looked(1, errors_a_second=1.0)
    located, _ = place_drop(last, near, there)
    assert located is not None
    assert (located[0].hop, located[0].up_to_hop) == (1, 2)


@pytest.mark.parametrize("seed", range(20))
def test_loss_is_no_drop(seed: int) -> None:
    last, there, near = looked(9, loss=0.3, seed=seed)
    located, reason = place_drop(last, near, there)
    assert located is None
    assert reason


@pytest.mark.parametrize(
    "there",
    [
        HopTrial(hops=2, sip=Tally(sent=12), same=Tally(sent=12)),  # a router that says nothing
        HopTrial(hops=2, router="b", sip=Tally(sent=12), same=Tally(sent=12, expired=6)),
        HopTrial(hops=2, router="b", sip=Tally(sent=12, expired=1), same=Tally(sent=12, expired=12)),
        HopTrial(hops=2, router="b", sip=Tally(sent=12, answered=1), same=Tally(sent=12, expired=12)),
        HopTrial(hops=2, sip=Tally(sent=12), same=Tally(sent=12, answered=12)),
    ],
)
def test_what_is_too_little_names_nobody(there: HopTrial) -> None:
    located, reason = place_drop(1, "a", there)
    assert located is None
    assert reason
