"""Whoever answers nearer than the server, in a row of routers: found where he is, and never found where he is not."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from edgecheck.checks.sip_alg.against import Aim, climb, message
from edgecheck.checks.sip_alg.judge_taken import hints, sooner
from edgecheck.checks.sip_alg.observation import HopTrial, Located, RoundTrip, Taken, Tally
from edgecheck.checks.sip_alg.taken import Nearer, name_of, place, weigh
from edgecheck.model.check import Arrival, Quote
from edgecheck.wire.address import Endpoint
from tests.fakes import clock
from tests.fakes.hops import HopSocket, HopWorld, Router
from tests.lab import alg

SIP = Endpoint("198.51.100.10", 5060)
AIM = Aim(host="pbx.example", address=SIP.host, port=5060)
ROUTERS = ("192.168.1.1", "100.64.0.1", "203.0.113.14", "192.0.2.254")


@dataclass
class World(HopWorld):
    """Routers, a SIP server behind them, and somebody who takes what goes to port 5060 before it."""

    taker: int = 0
    """At this hop; 0 = nobody does."""
    takes: str = "port"
    """``port``: whatever goes to 5060; ``sip``: SIP alone, all else goes on."""
    relays: bool = False
    """The answer is the server's own, from as far."""
    behind: bool = False
    """He sits behind the router's look at the TTL: a packet that expires there never comes to him."""
    short: int = 0
    """Packets to 5060 go another way, on which the server is so many hops away; 0 = they do not."""
    slow_icmp: float = 0.0
    """Seconds that a router thinks before it tells of an expired packet."""
    sip_sent: int = 0
    far: list[int] = field(default_factory=list)

    def __init__(self, *routers: Router, loss: float = 0.0, delay: float = 0.005, seed: int = 0, **more: object) -> None:
        super().__init__(*routers, loss=loss, delay=delay, seed=seed)
        for name, value in more.items():
            assert hasattr(type(self), name)
            setattr(self, name, value)
        self.far = []

    def send(self, socket: HopSocket, data: bytes, to: Endpoint, ttl: int) -> None:
        """As the base, but for what is told above."""
        way = self.routers[: self.short - 1] if self.short and to.port == SIP.port else self.routers
        for number, router in enumerate(way, 1):
            if self._lost():
                return
            taken = self.taker == number and to.port == SIP.port and (self.takes == "port" or alg.is_sip(data))
            if taken and (ttl > number or not self.behind):
                self._answer(socket, data, to, len(way) + 1 if self.relays else number)
                return
            if number == ttl:
                self._later(number + self.slow_icmp / self.delay, lambda router=router: self._tell(socket, data, to, router))  # type: ignore[misc]
                return
        self.far.append(ttl)
        if to.host != SIP.host:
            return
        if to.port == SIP.port:
            self._answer(socket, data, to, len(way) + 1)
        else:
            quote = Quote(at=self.now(), icmp_type=3, icmp_code=3, offender=to.host, to=to, data=data)
            self._later(len(way) + 1, lambda: socket.quotes.append(quote) if not self._lost() else None)

    def _tell(self, socket: HopSocket, data: bytes, to: Endpoint, router: Router) -> None:
        if router.speaks and router.may_speak(self.now()) and not self._lost():
            socket.quotes.append(Quote(at=self.now(), icmp_type=11, icmp_code=0, offender=router.address, to=to, data=data))

    def _answer(self, socket: HopSocket, data: bytes, to: Endpoint, hops: int) -> None:
        if alg.is_sip(data):
            answer = alg.response(data, "200 OK")
            self._later(hops, lambda: socket.inbox.append(Arrival(self.now(), to, answer)) if not self._lost() else None)


def asked(make: Callable[[], World], nearer: Nearer | None = None) -> Taken:
    async def work() -> Taken:
        seen = await climb(make(), AIM, SIP, nearer or Nearer())  # type: ignore[arg-type]
        assert seen is not None
        return seen

    return clock.run(work())


def routers(**more: object) -> tuple[Router, ...]:
    return tuple(Router(address, **more) for address in ROUTERS)  # type: ignore[arg-type]


def test_a_server_behind_its_routers_is_where_it_is() -> None:
    seen = asked(lambda: World(*routers()))
    assert (seen.hops, seen.taken, seen.suspected) == (5, False, False)


@pytest.mark.parametrize("relays", [False, True])
@pytest.mark.parametrize("takes", ["port", "sip"])
def test_whoever_takes_sip_at_the_first_hop_is_found(takes: str, relays: bool) -> None:
    seen = asked(lambda: World(*routers(), taker=1, takes=takes, relays=relays))
    assert (seen.hops, seen.taken) == (1, True)
    assert place(seen, [ROUTERS[0]]) == Located(hop=1, address=ROUTERS[0], where=("answer",))


def test_further_on_it_takes_packets_of_the_same_ports_to_prove_it() -> None:
    proved = asked(lambda: World(*routers(), taker=2, takes="sip"))
    assert (proved.hops, proved.taken) == (2, True)
    doubtful = asked(lambda: World(*routers(), taker=2, takes="port"))
    assert (doubtful.hops, doubtful.taken, doubtful.suspected) == (2, None, True)
    assert "could not be seen" in doubtful.reason
    found = place(proved, [ROUTERS[0]])
    assert found is not None
    assert (found.hop, found.address, found.up_to_hop, found.up_to_address) == (1, ROUTERS[0], 2, ROUTERS[1])
    assert name_of(found) == f"hop 1 ({ROUTERS[0]}), hop 2 ({ROUTERS[1]}) or a box between them"


def test_behind_the_first_routers_look_at_the_ttl_it_is_bounded_all_the_same() -> None:
    seen = asked(lambda: World(*routers(), taker=1, takes="sip", behind=True))
    found = place(seen, [ROUTERS[0]])
    assert found is not None
    assert (seen.taken, found.hop, found.up_to_hop) == (True, 1, 2)


def test_another_way_for_the_sip_port_is_no_box() -> None:
    """A VPN for SIP alone: the server is two hops away there."""
    seen = asked(lambda: World(*routers(), short=2))
    assert (seen.hops, seen.taken, seen.suspected) == (2, None, True)
    (hint,) = hints(Nearer(taken=seen))
    assert "another way" in hint
    assert "takes SIP" in hint


@pytest.mark.parametrize("count", [0, 1])
def test_a_server_on_this_machine_or_behind_one_router_is_no_box(count: int) -> None:
    seen = asked(lambda: World(*routers()[:count]))
    assert (seen.hops, seen.taken) == (count + 1, False)


def test_the_last_box_before_a_server_may_be_its_own() -> None:
    """It answers for the server by right: nobody is seen between the two."""
    seen = asked(lambda: World(*routers(), taker=4, takes="sip"))
    assert (seen.hops, seen.taken, seen.suspected) == (4, None, True)


def test_routers_that_say_nothing_prove_nothing() -> None:
    seen = asked(lambda: World(*routers(speaks=False), taker=1))
    assert (seen.taken, seen.suspected) == (None, False)
    assert place(seen) is None, "the first of them may set the TTL anew"


def test_routers_that_tell_of_one_packet_a_second_are_waited_for() -> None:
    def make() -> World:
        return World(*(Router(address, errors_a_second=1.0, tokens=1.0) for address in ROUTERS), taker=1)

    assert asked(make).taken is True


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("taker", [0, 1])
def test_loss_never_makes_a_box(seed: int, taker: int) -> None:
    seen = asked(lambda: World(*routers(), loss=0.25, seed=seed, taker=taker))
    assert seen.taken in ((False, None) if taker == 0 else (True, None))
    if seen.taken:
        assert seen.hops is not None
        assert seen.hops <= 4


@pytest.mark.parametrize("slow", [0.0, 0.15])
def test_routers_that_answer_icmp_slowly_are_no_sign(slow: float) -> None:
    nearer = Nearer()
    nearer.taken = asked(lambda: World(*routers(), slow_icmp=slow, delay=0.02), nearer)
    assert nearer.taken.taken is not True
    nearer.round_trips += (RoundTrip(of="TCP 5060", by="server", samples=3, least_ms=100.0),)
    assert hints(nearer) == ()
    hop = [trip for trip in nearer.round_trips if trip.by == "hop"]
    assert all(trip.least_ms >= slow * 1000 for trip in hop)


def test_nobody_at_the_server_hears_of_requests_that_expire() -> None:
    made: list[World] = []

    def make() -> World:
        made.append(World(*routers()))
        return made[-1]

    asked(make)
    assert all(ttl > len(ROUTERS) for ttl in made[0].far)
    assert len(made[0].far) <= 2 + 3 * 5 + 2 * 3


TRIPS = [
    # SIP, the server's own, whether it is told
    ((0.4, 3), (41.0, 3), True),
    ((0.4, 3), (4.0, 3), False),  # on one's own network a busy machine is as late
    ((30.0, 3), (41.0, 3), False),
    ((0.4, 1), (41.0, 3), False),  # one sample
    ((0.4, 3), (41.0, 1), False),
    ((50.0, 3), (41.0, 3), False),
]


@pytest.mark.parametrize(("sip", "server", "told"), TRIPS)
def test_a_time_is_told_only_where_it_is_clear(sip: tuple[float, int], server: tuple[float, int], told: bool) -> None:
    trips = (
        RoundTrip(of="SIP on UDP 5060", by="sip", samples=sip[1], least_ms=sip[0]),
        RoundTrip(of="TCP 5060", by="server", samples=server[1], least_ms=server[0]),
        RoundTrip(of="hop 1 (192.168.1.1)", by="hop", samples=3, least_ms=900.0),
    )
    assert (sooner(trips) is not None) is told
    found = hints(Nearer(taken=Taken(server_port=5060, hops=5, taken=False), round_trips=trips))
    assert bool(found) is told
    assert all("overtake" in hint and "slower in everything else" in hint for hint in found), "all that fits is named"


def row(hops: int, *, router: str | None = None, sip: Tally | None = None, same: Tally | None = None, beside: Tally | None = None) -> HopTrial:
    return HopTrial(hops=hops, router=router, sip=sip or Tally(), same=same or Tally(), beside=beside or Tally())


ANSWERED, EXPIRED = Tally(sent=3, answered=3), Tally(sent=3, expired=3)


@pytest.mark.parametrize(
    ("trials", "taken"),
    [
        ([row(1, router="a", sip=ANSWERED, same=EXPIRED), row(2, router="b", same=EXPIRED)], True),
        ([row(1, router="a", sip=ANSWERED, beside=EXPIRED), row(2, router="b", beside=EXPIRED)], True),
        ([row(1, router="a", sip=ANSWERED, beside=EXPIRED), row(2, router="a", beside=EXPIRED)], None),  # one router that hands on to itself
        ([row(1, router="a", sip=ANSWERED, beside=EXPIRED), row(2, beside=Tally(sent=3, answered=3))], None),
        ([row(1, router="a", sip=Tally(sent=3, answered=1), same=EXPIRED), row(2, router="b", same=EXPIRED)], None),
        ([row(1, router="a", sip=ANSWERED, same=Tally(sent=3, expired=1)), row(2, router="b", same=EXPIRED)], None),
        ([row(1, sip=ANSWERED, same=ANSWERED), row(2)], False),
        ([row(1, router="a", sip=ANSWERED, same=EXPIRED, beside=ANSWERED), row(2, router="b", same=EXPIRED)], False),
        ([row(1, router="a", sip=EXPIRED)], None),
        ([], None),
    ],
)
def test_what_the_trials_prove(trials: list[HopTrial], taken: bool | None) -> None:
    assert weigh(SIP, trials).taken is taken


def test_a_default_router_that_is_no_hop_is_named() -> None:
    seen = weigh(SIP, [row(1, router="203.0.113.14", sip=ANSWERED, beside=EXPIRED), row(2, router="b", beside=EXPIRED)])
    found = place(seen, ["192.168.1.1"])
    assert found is not None
    assert name_of(found) == (
        "this machine itself, the default router 192.168.1.1 (which does not count itself as a hop) or hop 1 (203.0.113.14)"
    )


def test_each_request_is_known_by_itself() -> None:
    """Or a late answer to one would be taken for a soon one to another."""
    local = Endpoint("192.168.1.2", 40_000)
    assert len({message("OPTIONS", AIM, "udp", local) for _ in range(20)}) == 20


def test_behind_a_router_that_sets_the_ttl_anew_whoever_answers_may_be_anywhere() -> None:
    """What lives for two hops lives for 64 from the first router on, and expires nowhere."""
    expires, answered = Tally(sent=2, expired=2), Tally(sent=5, answered=5)
    seen = Taken(server_port=5060, hops=2, trials=(HopTrial(hops=1, router="192.168.88.1", sip=expires), HopTrial(hops=2, sip=answered)))
    assert place(seen, ("192.168.88.1",)) is None
