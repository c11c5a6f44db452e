"""Foreign STUN servers, honest and not, behind every NAT and loss: what is told is true, the rest is not told, with the reason."""

import asyncio

import pytest

from edgecheck.checks import nat_behavior
from edgecheck.checks.nat_behavior import NatObservation, foreign
from edgecheck.model.errors import ServerUnreachable
from edgecheck.wire.address import Endpoint
from tests.checks.probing import say
from tests.checks.truth import TRUTH
from tests.fakes import clock
from tests.fakes.edge import ALTERNATE, PRIMARY, Weather
from tests.fakes.memory import SharedMemory
from tests.fakes.nat import EIGHT, Nat
from tests.fakes.stun_server import Answering, ForeignEdge, Place, honest, stub, success
from tests.lab import stub_stun


def ask(edge: ForeignEdge, memory: SharedMemory | None = None) -> NatObservation:
    seen = clock.run(foreign.probe_foreign(edge.stun_only(memory)))
    say(nat_behavior.CHECK, seen)
    for name in ("mapping", "filtering"):
        assert (getattr(seen, name) is None) == (name in seen.reasons), seen
    return seen


def told(seen: NatObservation) -> tuple[str | None, str | None, str | None, bool | None]:
    return seen.mapping, seen.filtering, seen.classic_type, seen.behind_nat


@pytest.mark.parametrize("name", EIGHT)
@pytest.mark.parametrize("loss", [0.0, 0.1, 0.2, 0.35])
def test_an_honest_server_gives_the_truth_at_any_loss(name: str, loss: float) -> None:
    truth, decided, runs = TRUTH[name], 0, 8
    for seed in range(runs):
        seen = ask(ForeignEdge(Nat(**EIGHT[name], seed=seed), honest, Weather(loss=loss, seed=seed)))
        for value, right in zip(told(seen), truth, strict=True):
            assert value in (right, None), (seed, seen)
        decided += told(seen) == truth
    assert decided >= {0.0: runs, 0.1: runs, 0.2: runs - 1, 0.35: 0}[loss]


# ---- servers that cannot test the filter


def refuses_only_the_address(request: bytes, source: Place, here: Place) -> list[tuple[Place, bytes]]:
    """Obeys the change of port, and ignores the change of address."""
    address, port = stub_stun.change(request) or (False, False)
    other = (ALTERNATE, 3479)
    origin = (here[0], 3479 if port and not address else here[1])
    return [(origin, success(request, source, origin, other))]


def answers_twice(request: bytes, source: Place, here: Place) -> list[tuple[Place, bytes]]:
    """From where it was asked, and then from where it should: what a broken load balancer does."""
    return [*stub("ignores")(request, source, here), *honest(request, source, here)]


def with_alternate(other: Place | None) -> Answering:
    """Honors nothing, and names this alternate address."""
    return lambda request, source, here: [(here, success(request, source, here, other))]


UNFIT: dict[str, tuple[Answering, str]] = {
    **{kind: (stub(kind), "CHANGE-REQUEST") for kind in ("ignores", "refuses", "garbage")},
    "ignores the address": (refuses_only_the_address, "ignores CHANGE-REQUEST"),
    "answers twice": (answers_twice, "ignores CHANGE-REQUEST"),
    "lies": (stub("lies"), "ignores CHANGE-REQUEST"),
    "plain": (stub("plain"), "no OTHER-ADDRESS"),
    "same-address": (stub("same-address"), "no alternate address"),
    "names itself": (with_alternate((PRIMARY, 3478)), "no alternate address"),
    "same port": (with_alternate((ALTERNATE, 3478)), "no alternate address"),
    "port zero": (with_alternate((ALTERNATE, 0)), "no alternate address"),
}
LYING_HOSTS = {"lies": {PRIMARY}, "dead-alternate": {PRIMARY}}


@pytest.mark.parametrize("kind", UNFIT)
@pytest.mark.parametrize("name", EIGHT)
def test_a_server_that_does_not_change_never_yields_a_verdict_on_the_filter(kind: str, name: str) -> None:
    answering, reason = UNFIT[kind]
    for loss in (0.0, 0.15):
        edge = ForeignEdge(Nat(**EIGHT[name]), answering, Weather(loss=loss, seed=5))
        edge.hosts = LYING_HOSTS.get(kind, edge.hosts)
        seen = ask(edge)
        assert seen.filtering is None
        assert reason in seen.reasons["filtering"]
        mapping, _, classic, behind = TRUTH[name]
        assert seen.mapping in (mapping, None)
        assert seen.classic_type == ("symmetric" if seen.mapping not in ("endpoint-independent", None) else None)
        assert seen.behind_nat is behind
        assert classic not in ("open internet", "full cone") or seen.classic_type is None


@pytest.mark.parametrize("kind", ["silent-change", "dead-alternate"])
@pytest.mark.parametrize("name", EIGHT)
def test_a_silence_that_the_server_owes_is_not_blamed_on_the_nat(kind: str, name: str) -> None:
    """It answers no CHANGE-REQUEST, or its alternate address is dead: silence, and after contact silence again."""
    edge = ForeignEdge(Nat(**EIGHT[name]), stub(kind))
    edge.hosts = LYING_HOSTS.get(kind, edge.hosts)
    seen = ask(edge)
    if kind == "dead-alternate" and TRUTH[name][1] == "address-and-port-dependent":
        # It does change the port; and that was silent first and came after contact: that much is proved.
        assert seen.filtering == "address-and-port-dependent"
    else:
        assert seen.filtering is None
        assert "even where nothing could filter it" in seen.reasons["filtering"]


@pytest.mark.parametrize("name", EIGHT)
def test_noise_before_the_answer_is_skipped(name: str) -> None:
    def noisy(request: bytes, source: Place, here: Place) -> list[tuple[Place, bytes]]:
        """As the laboratory's ``garbage``, but with an honest answer at the end."""
        return [*stub("garbage")(request, source, here)[:3], *honest(request, source, here)]

    assert told(ask(ForeignEdge(Nat(**EIGHT[name]), noisy))) == TRUTH[name]


# ---- no server


def test_silence_is_no_verdict() -> None:
    with pytest.raises(ServerUnreachable, match="did not answer STUN over UDP"):
        ask(ForeignEdge(Nat(), lambda request, source, here: []))
    with pytest.raises(ServerUnreachable, match="did not answer"):
        ask(ForeignEdge(Nat(blocks_udp=True), honest))


def test_an_error_is_said_to_be_one() -> None:
    def unauthorized(request: bytes, source: Place, here: Place) -> list[tuple[Place, bytes]]:
        return [(here, stub_stun.message(0x0111, request[4:20], stub_stun.attribute(9, b"\0\0\4\x01Unauthorized")))]

    with pytest.raises(ServerUnreachable, match="error 401"):
        ask(ForeignEdge(Nat(), unauthorized))


def test_an_answer_from_elsewhere_than_asked_is_no_mapping() -> None:
    def astray(request: bytes, source: Place, here: Place) -> list[tuple[Place, bytes]]:
        return [((here[0], 3479), success(request, source, here, None))]

    with pytest.raises(ServerUnreachable):
        ask(ForeignEdge(Nat(filtering="endpoint-independent"), astray))


# ---- order, memory, outages


def test_the_alternate_address_is_contacted_only_after_the_filter_test() -> None:
    edge = ForeignEdge(Nat(), honest)
    ask(edge)
    alternate = [position for position, to in enumerate(edge.asked) if to.host == ALTERNATE]
    second = [position for position, to in enumerate(edge.asked) if to == Endpoint(PRIMARY, 3479)]
    requests = 3 + 3 * 10
    assert min(alternate) > min(second) > requests


@pytest.mark.parametrize("name", EIGHT)
def test_ten_runs_in_a_row_never_contradict_each_other(name: str) -> None:
    memory, nat = SharedMemory(), Nat(**EIGHT[name])
    for number in range(10):
        edge = ForeignEdge(nat, honest)
        edge._next_port += 100 * number
        seen = ask(edge, memory)
        mapping, filtering, classic, behind = TRUTH[name]
        assert (seen.mapping, seen.behind_nat) == (mapping, behind)
        if number == 0 or (filtering != "endpoint-independent" and name != "restricted by host"):
            assert (seen.filtering, seen.classic_type) == (filtering, classic)
        else:
            assert seen.filtering is None
            assert "contacted the alternate address lately" in seen.reasons["filtering"]
        memory.clock += 30


@pytest.mark.parametrize("since", [0.0, 0.06, 0.1, 0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("name", ["full cone", "restricted cone", "none"])
def test_an_outage_is_no_filter(name: str, since: float) -> None:
    """UDP is away for some seconds in the middle of the test."""

    class Away(ForeignEdge):
        def _at_server(self, seen: Endpoint, data: bytes, to: Endpoint) -> None:
            if not since <= asyncio.get_running_loop().time() < since + 2.5:
                super()._at_server(seen, data, to)

    try:
        seen = ask(Away(Nat(**EIGHT[name]), honest))
    except ServerUnreachable:
        assert since == 0.0
        return
    assert seen.filtering in (TRUTH[name][1], None)
    assert seen.mapping in (TRUTH[name][0], None)


# ---- what it shows for it


def test_every_claim_on_the_filter_shows_the_requests_it_rests_on() -> None:
    for name, expected in (("full cone", 1), ("restricted cone", 4), ("port restricted cone", 4)):
        seen = ask(ForeignEdge(Nat(**EIGHT[name]), honest))
        evidence = say(nat_behavior.CHECK, seen).finding("filtering").evidence
        assert len(evidence) == expected
        assert evidence[0].startswith("STUN Binding CHANGE-REQUEST ip port from ")
        silent = f"to {PRIMARY}:3478: no answer to 30 copies"
        assert evidence[0].endswith(f"answered from {ALTERNATE}:3479" if name == "full cone" else silent)
    refused = say(nat_behavior.CHECK, ask(ForeignEdge(Nat(), stub("refuses")))).finding("filtering-undecided")
    assert refused.evidence[0].endswith(f"to {PRIMARY}:3478: error 420 from {PRIMARY}:3478")
