"""``rtp-range``: what is said of an observation; and the check through NATs, losses, limits and outages."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from edgecheck.checks import rtp_range
from edgecheck.checks.rtp_range import RtpObservation
from edgecheck.checks.unsolicited import NO_CONTROL_FLOW
from edgecheck.model.check import Arrival
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Verdict
from edgecheck.wire import ports as port_ranges
from edgecheck.wire import probe
from edgecheck.wire.address import Endpoint
from tests.checks.probing import BREACH, PROFILE, Said, expecting, look, say
from tests.fakes.edge import ALTERNATE, PRIMARY, Edge, Weather
from tests.fakes.memory import SharedMemory
from tests.fakes.nat import EIGHT, Nat

WHOLE = ((10_000, 10_199),)
HOLES = [(10_005, 10_005), (10_020, 10_021), (10_064, 10_127)]
WIDE = msgspec.structs.replace(PROFILE, rtp=(10_000, 11_999))


def forwarded_range(low: int, high: int, holes: list[tuple[int, int]] | tuple[()] = ()) -> dict[tuple[str, int], int]:
    closed = set(port_ranges.expand(holes))
    return {("udp", port): port for port in range(low, high + 1) if port not in closed}


def judged(profile: Profile = PROFILE, **facts: Any) -> Said:
    """What is said where everything is open but for these facts."""
    given = {"range": (10_000, 10_199), "tested": 200, "inbound_open": 200, "outbound_open": 200, "sent": 400, **facts}
    return say(rtp_range.CHECK, RtpObservation(**given), profile)


# ---- what is said


def test_all_open() -> None:
    said = judged()
    assert (said.ids, said.verdict) == (["open"], Verdict.PASS)
    assert said.summary == "10000-10199 open both ways"
    assert said.finding("open").summary == "Of 200 RTP ports 200 receive from outside and 200 reach outside and are answered."


@pytest.mark.parametrize("expectation", BREACH)
def test_inbound_blocked_counts_as_the_profile_expects(expectation: str) -> None:
    said = judged(expecting(rtp_inbound=expectation), inbound_blocked=((10_100, 10_199),), inbound_open=100)
    finding = said.finding("inbound-blocked")
    assert (finding.verdict, finding.subject, said.verdict) == (BREACH[expectation], "UDP 10100-10199", BREACH[expectation])
    if expectation == "ignore":
        assert finding.summary == "RTP to 10100-10199 does not come in unasked, which this profile does not need."
        assert said.summary == (
            "10000-10099 open both ways; 10100-10199 get out and are answered; "
            "what comes unasked does not get in, which this profile does not need"
        )
        assert said.finding("open").summary == "Of 200 RTP ports 200 reach outside and are answered."
    else:
        assert finding.summary == "RTP to 10100-10199 never arrives from outside; 100 of 200 ports receive."
        assert said.summary == "10000-10099 open both ways; 10100-10199 never arrive"


def test_nothing_forwarded_where_nothing_need_be_names_what_is_fine() -> None:
    said = judged(expecting(rtp_inbound="ignore"), inbound_blocked=WHOLE, inbound_open=0)
    assert said.verdict is Verdict.PASS
    assert said.summary == ("10000-10199 get out and are answered; what comes unasked does not get in, which this profile does not need")
    assert "never" not in said.summary


def test_outbound_blocked() -> None:
    blocked = ((10_000, 10_009),)
    said = judged(outbound_blocked=blocked, outbound_open=190)
    assert set(said.ids) == {"outbound-blocked"}
    assert said.verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE)
    assert said.summary == "10010-10199 open both ways; 10000-10009 do not reach the server"


def test_return_blocked() -> None:
    said = judged(return_blocked=((10_007, 10_007),))
    assert (said.ids, said.verdict) == (["return-blocked"], Verdict.FAIL)
    assert said.finding("return-blocked").summary == "RTP from 10007 gets out, but the answers to it do not come back."
    assert said.summary == "10000-10006, 10008-10199 open both ways; 10007 gets no answer back"


@pytest.mark.parametrize("expectation", BREACH)
def test_remapped_counts_as_the_profile_expects(expectation: str) -> None:
    said = judged(expecting(preservation=expectation), remapped=WHOLE)
    finding = said.finding("remapped")
    assert finding.verdict is BREACH[expectation]
    assert said.verdict is BREACH[expectation]
    kept = expectation == "ignore"
    assert finding.summary == f"RTP from 10000-10199 leaves with another source port{', which this profile does not need kept' * kept}."
    assert said.summary == (
        f"10000-10199 open both ways; 10000-10199 leave with another number{', which this profile does not need kept' * kept}"
    )


def test_undecided_says_why_and_which_way() -> None:
    said = judged(undecided=WHOLE, inbound_undecided=WHOLE, inbound_open=0, reasons={"undecided": "the weather"})
    assert (said.ids, said.verdict) == (["undecided"], Verdict.INCONCLUSIVE)
    assert said.finding("undecided").summary == "RTP to 10000-10199 could not be told: the weather."
    assert said.summary == "whether 10000-10199 can be reached could not be told"
    assert any("not told: 200 ports" in sentence for sentence in said.finding("undecided").evidence)
    one = ((10_000, 10_000),)
    said = judged(undecided=one, outbound_undecided=one, outbound_open=199, reasons={"undecided": "the weather"})
    assert said.finding("undecided").summary == "RTP from 10000 could not be told: too much loss to tell."
    assert said.summary == "10001-10199 open both ways; whether 10000 gets out and back could not be told"
    unheard = judged(undecided=one, outbound_undecided=one, reasons={"outbound_open": "the server could not open all of the media ports"})
    assert unheard.findings[0].summary == "RTP from 10000 could not be told: the server could not open all of the media ports."


def test_undecided_of_an_older_report_is_no_pass() -> None:
    said = judged(undecided=WHOLE, inbound_open=0, reasons={"undecided": "the weather"})
    assert (said.ids, said.verdict) == (["undecided"], Verdict.INCONCLUSIVE)
    assert said.finding("undecided").summary == "RTP 10000-10199 could not be told: the weather."
    assert said.summary == "10000-10199 could not be told"


def test_inbound_undecided_is_no_lack_where_the_profile_needs_none() -> None:
    """A phone behind a loose NAT: what comes unasked may be owed to the last run. It is not asked for."""
    facts = {"undecided": WHOLE, "inbound_undecided": WHOLE, "inbound_open": 0, "reasons": {"undecided": "the weather"}}
    said = judged(expecting(rtp_inbound="ignore"), **facts)
    assert (said.ids, said.verdict) == (["undecided", "open"], Verdict.PASS)
    assert said.finding("undecided").verdict is Verdict.SKIPPED
    assert said.summary == ("10000-10199 get out and are answered; what comes unasked could not be told, nor does this profile need it")
    lost = judged(expecting(rtp_inbound="ignore"), **{**facts, "outbound_undecided": WHOLE, "outbound_open": 0})
    assert lost.verdict is Verdict.INCONCLUSIVE


def test_ports_in_use_are_told_from_ports_that_could_not_be_told() -> None:
    lost = ((10_050, 10_059),)
    said = judged(tested=199, busy=((10_000, 10_000),), undecided=((10_000, 10_000), *lost), inbound_undecided=lost)
    other, busy = said.findings
    assert (busy.verdict, busy.subject, busy.summary) == (Verdict.SKIPPED, "UDP 10000", "RTP 10000 was not tested: in use on this machine.")
    assert (other.subject, other.summary) == ("UDP 10050-10059", "RTP to 10050-10059 could not be told: too much loss to tell.")
    assert said.verdict is Verdict.INCONCLUSIVE
    assert (
        said.summary
        == "10001-10049, 10060-10199 open both ways; whether 10050-10059 can be reached could not be told; 10000 is in use here and was not tested"
    )


def test_one_direction_not_tested_is_said_and_not_called_open() -> None:
    said = judged(inbound_open=None, reasons={"inbound_open": "the server has one address only"})
    assert (said.ids, said.verdict) == (["not-tested"], Verdict.INCONCLUSIVE)
    assert said.finding("not-tested").summary == "Inbound RTP was not fully tested: the server has one address only."
    assert said.summary == "10000-10199 get out and are answered; inbound not tested"
    said = judged(outbound_open=None, reasons={"outbound_open": "the server offers no media ports"})
    assert (said.ids, said.verdict) == (["not-tested"], Verdict.INCONCLUSIVE)
    assert said.summary == "10000-10199 receive from outside; outbound not tested"
    blind = judged(inbound_open=None, outbound_open=None, tested=0, reasons={"inbound_open": "a", "outbound_open": "b"})
    assert blind.verdict is Verdict.INCONCLUSIVE
    assert "open both ways" not in blind.summary


def test_inbound_not_tested_is_no_lack_where_the_profile_needs_none() -> None:
    said = judged(expecting(rtp_inbound="ignore"), inbound_open=None, reasons={"inbound_open": "the server has one address only"})
    assert (said.ids, said.verdict) == (["not-tested", "open"], Verdict.PASS)
    assert said.finding("not-tested").verdict is Verdict.SKIPPED
    assert said.finding("open").summary == "Of 200 RTP ports 200 reach outside and are answered."


def test_a_limit_is_told_as_what_was_seen() -> None:
    said = judged(slowed_to=250)
    assert (said.ids, said.verdict) == (["throttled", "open"], Verdict.PASS)
    assert said.finding("throttled").summary.startswith("More packets were lost in faster rounds than at 250 a second: ")


def test_thousands_of_holes_make_no_endless_sentence() -> None:
    odd = tuple((port, port) for port in range(10_001, 10_200, 2))
    said = judged(inbound_blocked=odd, inbound_open=100)
    assert said.summary == "100 of 200 ports open both ways; 100 of 200 ports never arrive"
    finding = said.finding("inbound-blocked")
    assert max(map(len, (finding.summary, finding.subject, *finding.evidence))) < 250


# ---- through the matrix


@pytest.mark.parametrize("loss", [0.0, 0.05, 0.1])
@pytest.mark.parametrize("pace", [0, 1000])
def test_holes_are_found_and_none_invented(loss: float, pace: int) -> None:
    for seed in range(4):
        nat = Nat(per_destination_ports=True, forwarded=forwarded_range(10_000, 10_199, HOLES), seed=seed)
        seen = look(rtp_range, lambda nat=nat, seed=seed: Edge(nat, Weather(loss=loss, seed=seed)), pace=pace)
        blocked, unsure = set(port_ranges.expand(seen.inbound_blocked)), set(port_ranges.expand(seen.undecided))
        truth = set(port_ranges.expand(HOLES))
        assert blocked <= truth
        assert truth <= blocked | unsure
        assert not seen.outbound_blocked
        assert not seen.return_blocked
        assert seen.slowed_to is None
        if loss <= 0.05:
            assert (seen.inbound_blocked, seen.undecided) == (tuple(HOLES), ())
            assert (seen.inbound_open, seen.outbound_open) == (200 - len(truth), 200)


@pytest.mark.parametrize("name", EIGHT)
@pytest.mark.parametrize("rule", [True, False])
def test_every_nat_with_a_rule_and_without(name: str, rule: bool) -> None:
    nat = Nat(**EIGHT[name], forwarded=forwarded_range(10_000, 10_199) if rule else {})
    seen = look(rtp_range, lambda: Edge(nat, Weather(loss=0.1, seed=3)))
    opened = rule or name == "none"
    assert (seen.outbound_open, seen.outbound_blocked, seen.return_blocked) == (200, (), ())
    if rule and name == "full cone":
        # Lets anyone in on a port that was used, by whomever: there an arrival proves no rule.
        assert (seen.inbound_open, seen.inbound_blocked, seen.undecided) == (0, (), WHOLE)
        assert "lets anyone in on a port that was used" in seen.reasons["undecided"]
    else:
        assert (seen.inbound_open, seen.inbound_blocked, seen.undecided) == ((200, (), ()) if opened else (0, WHOLE, ()))


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.2])
def test_nothing_forwarded(loss: float) -> None:
    for seed in range(4):
        seen = look(rtp_range, lambda seed=seed: Edge(Nat(), Weather(loss=loss, seed=seed)))
        assert seen.inbound_blocked == WHOLE
        assert seen.inbound_open == 0
        assert not seen.outbound_blocked


@pytest.mark.parametrize("only", [10_000, 10_133])
def test_a_rule_for_one_port_alone_is_found_at_any_loss(only: int) -> None:
    for seed in range(4):
        nat = Nat(per_destination_ports=True, forwarded={("udp", only): only}, seed=seed)
        seen = look(rtp_range, lambda nat=nat, seed=seed: Edge(nat, Weather(loss=0.15, seed=seed)))
        assert only not in set(port_ranges.expand(seen.inbound_blocked)), seed
        assert seen.inbound_open == 1


@pytest.mark.parametrize("limit", [300, 500])
def test_a_throttling_router_is_not_a_blocking_one(limit: int) -> None:
    for seed in range(2):
        nat = Nat(per_destination_ports=True, forwarded=forwarded_range(10_000, 11_999), seed=seed)
        seen = look(rtp_range, lambda nat=nat, seed=seed: Edge(nat, Weather(seed=seed, rate_limit=limit)), WIDE, pace=1000)
        assert not seen.inbound_blocked
        assert not seen.outbound_blocked
        assert seen.slowed_to is not None
        assert seen.slowed_to < 1000


def test_few_descriptors_make_batches_and_the_same_result() -> None:
    nat = Nat(per_destination_ports=True, forwarded=forwarded_range(10_000, 10_199, HOLES))
    seen = look(rtp_range, lambda: Edge(nat, port_capacity=30))
    assert seen.inbound_blocked == tuple(HOLES)
    assert seen.outbound_open == 200


def test_a_port_in_use_here_is_said_to_be() -> None:
    def edge() -> Edge:
        made = Edge(Nat(per_destination_ports=True, forwarded=forwarded_range(10_000, 10_199)))
        made.taken |= {("udp", 10_003), ("udp", 10_004)}
        return made

    seen = look(rtp_range, edge)
    assert (seen.tested, seen.busy, seen.undecided) == (198, ((10_003, 10_004),), ((10_003, 10_004),))
    assert (seen.inbound_open, seen.outbound_open, seen.inbound_blocked) == (198, 198, ())


def test_a_server_with_few_media_ports_serves_a_range_above_it() -> None:
    nat = Nat(per_destination_ports=True, forwarded=forwarded_range(10_000, 10_199))
    seen = look(rtp_range, lambda: Edge(nat, media=(30_000, 30_049)))
    assert (seen.outbound_open, seen.outbound_blocked, seen.undecided) == (200, (), ())


def test_a_server_without_media_ports_tests_inbound_only() -> None:
    seen = look(rtp_range, lambda: Edge(Nat(), media=None))
    assert (seen.inbound_blocked, seen.outbound_open) == (WHOLE, None)
    assert seen.reasons["outbound_open"] == "the server offers no media ports"


def test_one_address_server_tests_outbound_only() -> None:
    seen = look(rtp_range, lambda: Edge(Nat(), alternate=False))
    assert (seen.inbound_open, seen.outbound_open) == (None, 200)
    assert "one address" in seen.reasons["inbound_open"]


def test_ports_with_another_number_outside_are_remapped() -> None:
    seen = look(rtp_range, lambda: Edge(Nat(allocation="random")))
    assert seen.remapped == WHOLE


# ---- runs in a row


def test_a_used_range_on_a_loose_nat_is_undecided() -> None:
    memory = SharedMemory()
    nat = Nat(filtering="endpoint-independent")
    assert look(rtp_range, lambda: Edge(nat), memory=memory).inbound_blocked == WHOLE
    memory.clock += 30
    second = look(rtp_range, lambda: Edge(nat), memory=memory)
    assert (second.inbound_open, second.undecided, second.inbound_blocked) == (0, WHOLE, ())
    assert "sent packets in the last ten minutes" in second.reasons["undecided"]


def test_a_range_is_undecided_where_the_router_remembers_the_prober() -> None:
    memory = SharedMemory()
    nat = Nat(remembers_hosts=True)
    assert look(rtp_range, lambda: Edge(nat), memory=memory).inbound_blocked == WHOLE
    memory.note_contact(ALTERNATE)
    nat.outbound("udp", 50_001, Endpoint(ALTERNATE, 3478))
    memory.clock += 30
    second = look(rtp_range, lambda: Edge(nat), memory=memory)
    assert (second.inbound_open, second.undecided, second.inbound_blocked) == (0, WHOLE, ())
    assert "contacted the alternate address" in second.reasons["undecided"]


@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize("control", [True, False])
def test_a_canary_that_stays_silent_by_bad_luck_vouches_for_nothing(control: bool, used: bool) -> None:
    """The ports of a loose NAT were used. What would show that it is loose is lost; only a control that came through makes that a filter."""

    class SilentCanaries(Edge):
        def _at_edge(self, source: Endpoint, destination: Endpoint, data: bytes) -> None:
            if not (destination.port > 40_000 and data.startswith(probe.MAGIC) and (source.host == ALTERNATE or not control)):
                super()._at_edge(source, destination, data)

    nat, memory = Nat(filtering="endpoint-independent"), SharedMemory()
    for port in range(10_000, 10_200):
        nat.outbound("udp", port, Endpoint("192.0.2.66", 4000))
    if used:
        memory.note_sent(range(10_000, 10_200))
    seen = look(rtp_range, lambda: SilentCanaries(nat), memory=memory)
    assert (seen.inbound_open, seen.undecided) == ((200, ()) if control else (0, WHOLE))
    assert control or "could not be told" in seen.reasons["undecided"]


def test_a_rule_on_a_strict_nat_is_open_in_every_run() -> None:
    memory = SharedMemory()
    nat = Nat(per_destination_ports=True, forwarded=forwarded_range(10_000, 10_199))
    for _ in range(4):
        seen = look(rtp_range, lambda: Edge(nat), memory=memory)
        assert (seen.inbound_open, seen.undecided) == (200, ())
        memory.note_contact(ALTERNATE)
        memory.clock += 30


# ---- silence without proof


class Muffled(Edge):
    """Drops UDP by a rule of its own: ``drops`` is told (way, source, destination), ``out`` or ``in``."""

    drops: Callable[[str, Endpoint, Endpoint], bool] = staticmethod(lambda way, source, to: False)

    def _at_server(self, seen: Endpoint, data: bytes, to: Endpoint) -> None:
        if not self.drops("out", seen, to):
            super()._at_server(seen, data, to)

    def _at_edge(self, source: Endpoint, destination: Endpoint, data: bytes) -> None:
        if not self.drops("in", source, destination):
            super()._at_edge(source, destination, data)


def muffled(drops: Callable[[str, Endpoint, Endpoint], bool], nat: Nat | None = None) -> Callable[[], Edge]:
    def edge() -> Edge:
        made = Muffled(nat or Nat(per_destination_ports=True, forwarded=forwarded_range(10_000, 10_199)))
        made.drops = drops  # type: ignore[method-assign]
        return made

    return edge


def down(since: float, until: float) -> Callable[[str, Endpoint, Endpoint], bool]:
    """No UDP passes in this time; the control channel does."""
    return lambda way, source, to: since <= asyncio.get_running_loop().time() < until


class Away(Muffled):
    """For a while no UDP passes; ``stalls``: the control channel waits for as long, as TCP does."""

    def __init__(self, since: float, seconds: float, stalls: bool) -> None:
        super().__init__(Nat(per_destination_ports=True, forwarded=forwarded_range(10_000, 10_199)))
        self.since, self.until, self.stalls = since, since + seconds, stalls
        self.drops = lambda way, source, to: self.away  # type: ignore[method-assign]

    @property
    def away(self) -> bool:
        return self.since <= asyncio.get_running_loop().time() < self.until

    async def ask(self, make: Any, timeout: float = 30.0) -> Any:
        if self.stalls and self.away:
            await asyncio.sleep(self.until - asyncio.get_running_loop().time())
        return await super().ask(make, timeout)


@pytest.mark.parametrize(
    ("stalls", "seconds"), [(False, 0.2), (False, 0.7), (False, 1.5), (False, 2.2), (False, 3.0), (True, 0.2), (True, 1.5), (True, 10.0)]
)
@pytest.mark.parametrize("since", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("pace", [0, 1000])
def test_an_outage_blocks_nothing(pace: int, seconds: float, since: float, stalls: bool) -> None:
    """A line that is away, or a router that punishes a flood of UDP: what is open is never called blocked."""
    seen = look(rtp_range, lambda: Away(since, seconds, stalls), pace=pace)
    assert (seen.inbound_blocked, seen.outbound_blocked, seen.return_blocked) == ((), (), ())


def test_udp_that_dies_after_inbound_for_good_is_not_blocked_outbound() -> None:
    """The router's protection against floods: its end is not ours to see."""
    dead = False

    def drops(way: str, source: Endpoint, to: Endpoint) -> bool:
        nonlocal dead
        dead |= way == "out" and 10_000 <= source.port < 10_200
        return dead

    seen = look(rtp_range, muffled(drops))
    assert (seen.inbound_open, seen.outbound_blocked, seen.return_blocked) == (200, (), ())
    assert (seen.undecided, seen.inbound_undecided, seen.outbound_undecided) == (WHOLE, (), WHOLE)


def test_without_a_control_flow_silence_from_outside_is_undecided() -> None:
    seen = look(rtp_range, lambda: Edge(Nat(blocks_udp=True)))
    assert (seen.inbound_open, seen.inbound_blocked, seen.undecided) == (0, (), WHOLE)
    assert NO_CONTROL_FLOW in seen.reasons["undecided"]
    assert (seen.inbound_undecided, seen.outbound_undecided) == (WHOLE, ())


def test_blocked_stun_is_no_blocked_rtp() -> None:
    """Without the mapped address there is no control flow and no mapped canary; yet nothing is called blocked, and what got out did."""
    seen = look(rtp_range, muffled(lambda way, source, to: {3478, 3479} & {source.port, to.port} != set()))
    assert (seen.outbound_open, seen.inbound_blocked, seen.outbound_blocked, seen.return_blocked) == (200, (), (), ())
    assert (seen.inbound_open, seen.undecided) in ((200, ()), (0, WHOLE))


def test_a_wholly_silent_alternate_address_blames_nobody() -> None:
    seen = look(rtp_range, lambda: Edge(Nat(), alternate_dead=True))
    assert (seen.inbound_blocked, seen.undecided, seen.alternate_answers) == ((), WHOLE, False)


def test_several_public_addresses_leave_silence_undecided() -> None:
    seen = look(rtp_range, lambda: Edge(Nat(udp_public="203.0.113.9")))
    assert (seen.inbound_blocked, seen.undecided) == ((), WHOLE)
    assert "203.0.113.9" in seen.reasons["undecided"]


# ---- blocked on the way out, and back


def test_udp_blocked_on_the_way_out() -> None:
    seen = look(rtp_range, lambda: Edge(Nat(blocks_udp=True)))
    assert seen.outbound_blocked == WHOLE
    assert seen.outbound_open == 0


@pytest.mark.parametrize("blocked", [((10_000, 10_063),), WHOLE])
def test_ports_that_do_not_get_out(blocked: tuple[tuple[int, int], ...]) -> None:
    shut = set(port_ranges.expand(blocked))
    seen = look(rtp_range, muffled(lambda way, source, to: way == "out" and source.port in shut))
    assert (seen.outbound_blocked, seen.outbound_open) == (blocked, 200 - len(shut))
    assert (seen.return_blocked, seen.inbound_blocked, seen.undecided) == ((), (), ())


@pytest.mark.parametrize("blocked", [((10_030, 10_030),), ((10_000, 10_063),), WHOLE])
def test_answers_that_do_not_come_back(blocked: tuple[tuple[int, int], ...]) -> None:
    """A stateless rule lets RTP out, and what it lets in depends on the source."""
    shut = set(port_ranges.expand(blocked))
    seen = look(rtp_range, muffled(lambda way, source, to: way == "in" and source.host == PRIMARY and to.port in shut))
    assert (seen.return_blocked, seen.outbound_open, seen.outbound_blocked) == (blocked, 200, ())
    assert (seen.inbound_open, seen.undecided) == (200, ())


@pytest.mark.parametrize("only", [10_000, 10_133])
def test_one_port_alone_that_gets_out_is_never_called_blocked(only: int) -> None:
    for seed in range(4):

        def edge(seed: int = seed) -> Edge:
            made = muffled(lambda way, source, to: way == "out" and 10_000 <= source.port < 10_200 and source.port != only)()
            made.weather = Weather(loss=0.15, seed=seed)
            return made

        seen = look(rtp_range, edge)
        assert only not in set(port_ranges.expand(seen.outbound_blocked)), seed
        assert seen.outbound_open == 1


def test_a_stranger_in_the_inbox_opens_nothing() -> None:
    """Datagrams of another session, from anyone, on every port."""

    class Noisy(Edge):
        async def open_ports(self, ports: Any, accept: Any) -> Any:
            batch = await super().open_ports(ports, accept)
            for port in ports:
                for data in (b"", b"x" * 172, b"\x80" + bytes(171), bytes(12) + probe.MAGIC + bytes(200)):
                    batch.receive(port, Arrival(0.0, Endpoint("192.0.2.66", 4000), data))
            return batch

    seen = look(rtp_range, lambda: Noisy(Nat()))
    assert (seen.inbound_open, seen.inbound_blocked) == (0, WHOLE)
