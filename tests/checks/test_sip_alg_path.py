"""The whole check through a path that reads SIP: the real client code, the real server's core, the laboratory's ALGs, loss and delay.

The law over all of it: silence and loss may leave something untold; what is told is true.
"""

import asyncio
import random
from collections.abc import Callable
from typing import NamedTuple

import pytest

from edgecheck.checks.sip_alg import CHECK, stream
from edgecheck.checks.sip_alg.observation import SipAlgObservation, SipProbe
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Finding, Verdict, worst
from tests.fakes import clock
from tests.fakes.edge import Weather
from tests.fakes.nat import EIGHT, Nat
from tests.fakes.sip_path import Deed, Reader, SipPath, does
from tests.lab import alg
from tests.lab.alg import Fate

PROFILE = Profile(name="test", title="", source="", confidence="verified", checks=())
OTHERS = {"TCP 5060", "TLS 5061", "UDP 5080", "TCP 5080"}
ALL = {"UDP 5060", *OTHERS}


class Run(NamedTuple):
    """What came of one run."""

    seen: SipAlgObservation
    findings: tuple[Finding, ...]
    seconds: float
    """Virtual ones."""

    @property
    def verdict(self) -> Verdict:
        return worst([finding.verdict for finding in self.findings])

    def finding(self, subject: str) -> Finding:
        (found,) = [finding for finding in self.findings if subject in finding.subject.split(", ")]
        return found

    def probe(self, method: str, transport: str = "udp", port: int = 5060) -> SipProbe:
        (found,) = [p for p in self.seen.probes if (p.transport, p.server_port, p.method) == (transport, port, method)]
        return found

    def changes(self, transport: str = "udp", port: int = 5060) -> set[tuple[str, str, str]]:
        return {(c.direction, c.where, c.action) for p in self.seen.probes if (p.transport, p.server_port) == (transport, port) for c in p.changes}


def go(path: SipPath) -> Run:
    async def work() -> tuple[SipAlgObservation, float]:
        seen = await CHECK.probe(path.network(), PROFILE)
        return seen, asyncio.get_running_loop().time()

    seen, seconds = clock.run(work())
    return Run(seen, CHECK.judge(seen, PROFILE), seconds)


def through(deed: Deed, **reader: frozenset[int] | frozenset[str]) -> Run:
    return go(SipPath(Reader(deed=deed, **reader)))  # type: ignore[arg-type]


def method(data: bytes) -> str:
    """Of a request; empty for all else."""
    return alg.method(data) if alg.is_sip(data) else ""


REQUEST, RESPONSE = "request", "response"
REWRITTEN, REMOVED, ADDED, REORDERED, REFORMATTED = "rewritten", "removed", "added", "reordered", "reformatted"
LENGTH = (REQUEST, "Content-Length", REWRITTEN)
NONE, HARMLESS, REWRITING, INCONSISTENT, DESTRUCTIVE = "none", "harmless", "rewriting", "inconsistent", "destructive"
Changes = set[tuple[str, str, str]]

MUTATIONS: dict[str, tuple[str, str, Changes]] = {
    "R1": (INCONSISTENT, "inconsistent", {(REQUEST, "Via", REWRITTEN)}),
    "R2": (INCONSISTENT, "inconsistent", {(REQUEST, "Via", ADDED), (REQUEST, "Max-Forwards", REWRITTEN)}),
    "R3": (INCONSISTENT, "inconsistent", {(REQUEST, "Via", REWRITTEN)}),
    "R4": (INCONSISTENT, "inconsistent", {(REQUEST, "Via", REWRITTEN)}),
    "R4-filled": (REWRITING, "rewritten", {(REQUEST, "Via", REWRITTEN)}),
    "R5": (INCONSISTENT, "inconsistent", {(REQUEST, "Contact", REWRITTEN)}),
    "R5-port": (INCONSISTENT, "inconsistent", {(REQUEST, "Contact", REWRITTEN)}),
    "R5-parameters": (REWRITING, "rewritten", {(REQUEST, "Contact", REWRITTEN)}),
    "R6": (INCONSISTENT, "inconsistent", {(REQUEST, "Request-URI", REWRITTEN), (REQUEST, "From", REWRITTEN)}),
    "R7": (INCONSISTENT, "inconsistent", {(REQUEST, "Call-ID", REWRITTEN)}),
    "R8": (INCONSISTENT, "inconsistent", {(REQUEST, "From", REWRITTEN), (REQUEST, "CSeq", REWRITTEN)}),
    "R9": (REWRITING, "rewritten", {(REQUEST, "Record-Route", ADDED)}),
    "R9-hidden": (REWRITING, "rewritten", {(REQUEST, name, REMOVED) for name in ("User-Agent", "Supported", "Allow")}),
    "R10": (REWRITING, "rewritten", {(REQUEST, "sdp o=", REWRITTEN), (REQUEST, "sdp c=", REWRITTEN), LENGTH}),
    "R10-origin": (INCONSISTENT, "inconsistent", {(REQUEST, "sdp o=", REWRITTEN), LENGTH}),
    "R11": (REWRITING, "rewritten", {(REQUEST, "sdp m=", REWRITTEN)}),
    "R11-zero": (DESTRUCTIVE, "destroyed", {(REQUEST, "sdp m=", REWRITTEN), LENGTH}),
    "R12": (REWRITING, "rewritten", {(REQUEST, "sdp a=rtcp", REMOVED), (REQUEST, "sdp a=candidate", REMOVED), LENGTH}),
    "R13": (INCONSISTENT, "inconsistent", {(REQUEST, "sdp o=", REWRITTEN), (REQUEST, "sdp c=", REWRITTEN)}),
    "R13-padded": (HARMLESS, "harmless", {(REQUEST, "Content-Length", REFORMATTED)}),
    "R13-missing": (REWRITING, "rewritten", {(REQUEST, "Content-Length", REMOVED)}),
    "R13-cut": (DESTRUCTIVE, "destroyed", {(REQUEST, "body", REFORMATTED)}),
    "R14": (INCONSISTENT, "inconsistent", {(REQUEST, "Content-Type", REWRITTEN)}),
    "R15": (HARMLESS, "harmless", {(REQUEST, "Supported", REFORMATTED), (REQUEST, "Max-Forwards", REFORMATTED)}),
    "R15-order": (HARMLESS, "harmless", {(REQUEST, "CSeq", REORDERED)}),
    "R16": (DESTRUCTIVE, "destroyed", set()),
    "R16-all": (DESTRUCTIVE, "destroyed", set()),
    "R17": (HARMLESS, "only-sip-passes", set()),
    "R18": (NONE, "none", set()),  # fragments; our probes need none
    "R19": (REWRITING, "rewritten", {(REQUEST, "source port", REWRITTEN)}),
    "R21": (DESTRUCTIVE, "answered-by-other", set()),
    "R22": (NONE, "none", set()),  # TTL and DSCP do not reach this far
    "R23": (HARMLESS, "harmless", {(REQUEST, "retransmissions", ADDED)}),
    "R23-absorbed": (REWRITING, "rewritten", {(RESPONSE, "Status-Line", ADDED)}),
    "A1": (REWRITING, "rewritten", {(RESPONSE, "Via", REWRITTEN)}),
    "A2": (NONE, "none", set()),  # turns back what another mutation made public: nothing to turn here
    "A2-contact": (REWRITING, "rewritten", {(RESPONSE, "Contact", REWRITTEN)}),
    "A3": (REWRITING, "rewritten", {(RESPONSE, "sdp c=", REWRITTEN), (RESPONSE, "Content-Length", REWRITTEN)}),
    "A4": (REWRITING, "rewritten", {(RESPONSE, "Contact", REWRITTEN)}),
    "A5": (DESTRUCTIVE, "destroyed", {(RESPONSE, "Status-Line", REWRITTEN)}),
    "A5-busy": (DESTRUCTIVE, "answered-by-other", set()),
    "A6": (INCONSISTENT, "inconsistent", {(RESPONSE, "source port", REWRITTEN)}),
    "A7": (DESTRUCTIVE, "destroyed", set()),
    "A7-provisional": (REWRITING, "rewritten", {(RESPONSE, "Status-Line", REMOVED)}),
    "A8": (NONE, "none", set()),  # the server sends no requests of its own here
    "A9": (NONE, "none", set()),  # no answer's body holds our public address
    "A10": (DESTRUCTIVE, "destroyed", set()),
}
"""By the laboratory's ids: what one ALG on UDP 5060 leads to."""


@pytest.mark.parametrize("name", alg.MUTATIONS)
def test_every_mutation_of_the_laboratory(name: str) -> None:
    level, cause, changes = MUTATIONS[name]
    run = through(does(name))
    assert run.seen.interference == level
    assert run.changes() == changes
    assert run.finding("UDP 5060").id == f"sip-alg.{cause}"
    for subject in OTHERS:
        assert run.finding(subject).id == "sip-alg.none"
    if level != NONE:
        assert run.verdict in (Verdict.FAIL, Verdict.WARN)
        assert run.finding("UDP 5060").evidence
    if level not in (NONE, HARMLESS):
        assert "TCP 5060, TLS 5061, UDP 5080 and TCP 5080 passed untouched" in run.finding("UDP 5060").summary


def test_the_table_knows_every_mutation() -> None:
    assert MUTATIONS.keys() == alg.MUTATIONS.keys()


def replace_all(direction: str, data: bytes, edge: alg.Edge) -> Fate:
    """An ALG that does it well: every address out, every address back, lengths right."""
    if not alg.is_sip(data):
        return Fate((data,))
    return Fate((alg.recount((alg.to_public if direction == "out" else alg.to_private)(data, edge)),))


def test_a_consistent_alg_is_rewriting_and_no_worse() -> None:
    run = through(replace_all)
    assert run.seen.interference == REWRITING
    invite = run.probe("INVITE")
    assert (invite.request, invite.response) == ("rewritten", "rewritten")
    places = {"Via", "Contact", "From", "Call-ID", "P-Preferred-Identity", "Content-Length", "sdp o=", "sdp s=", "sdp c=", "sdp a=rtcp", "sdp a=candidate"}
    assert {change.where for change in invite.changes if change.direction == REQUEST} == places
    via = next(change for change in invite.changes if change.where == "Via")
    local, public = run.seen.channels[0].local, run.seen.channels[0].server_saw[0]
    assert local is not None
    assert local in via.sent
    assert via.arrived == via.sent.replace(local, public)
    assert "Via hides the NAT" in run.finding("UDP 5060").summary


def test_the_proof_is_in_the_observation() -> None:
    invite = through(does("R10")).probe("INVITE")
    (proof,) = [proof for proof in invite.proofs if proof.direction == REQUEST]
    assert proof.sent.startswith("INVITE sip:")
    assert "c=IN IP4 192.168.88.2\r\n" in proof.sent
    assert "c=IN IP4 203.0.113.1\r\n" in proof.arrived


def test_a_message_that_is_no_text_any_more_is_kept_in_base64() -> None:
    def spoil(direction: str, data: bytes, edge: alg.Edge) -> Fate:
        return Fate((data + b"\xff\xfe",) if direction == "out" and method(data) == "INVITE" else (data,))

    (proof,) = [proof for proof in through(spoil).probe("INVITE").proofs if proof.direction == REQUEST]
    assert proof.arrived.startswith("base64:")


def test_another_source_address_for_sip_is_told() -> None:
    """R20"""

    def second_wan(direction: str, data: bytes, edge: alg.Edge) -> Fate:
        return Fate((data,), kind="address" if alg.is_sip(data) and direction == "out" else "")

    run = through(second_wan)
    assert run.changes() == {(REQUEST, "source address", REWRITTEN)}
    assert run.seen.channels[0].server_saw[0].startswith("203.0.113.9:")
    assert run.seen.channels[0].control_saw[0].startswith("203.0.113.1:")


def test_absorbed_retransmissions_are_told() -> None:
    """R23: each request goes on once, however often it comes; here no answer gets back, so that it comes often."""
    passed: set[bytes] = set()

    def once(direction: str, data: bytes, edge: alg.Edge) -> Fate:
        if not alg.is_sip(data):
            return Fate((data,))
        if direction == "in" or data in passed:
            return Fate()
        passed.add(data)
        return Fate((data,))

    run = through(once)
    assert (REQUEST, "retransmissions", REMOVED) in run.changes()
    assert run.probe("INVITE").request == "unchanged", "the bytes are"


def test_a_contact_with_a_wrong_port_is_inconsistent() -> None:
    """R5: the address is right and the port is not."""

    def wrong_port(direction: str, data: bytes, edge: alg.Edge) -> Fate:
        if direction == "in" or not alg.is_sip(data):
            return Fate((data,))
        here = f"{edge.private}:{edge.private_port}".encode()
        return Fate((alg.edit(data, "Contact", lambda text: text.replace(here, f"{edge.public}:5062".encode())),))

    run = through(wrong_port)
    assert run.seen.interference == INCONSISTENT
    assert any("Contact names port 5062, but the server saw port" in harm.text for harm in run.probe("OPTIONS").harms)


def test_markers_eaten_wholly_do_not_make_a_drop_of_it() -> None:
    """A back-to-back agent that invents every identifier: the message did arrive, and is known by its CSeq."""

    def reinvent(direction: str, data: bytes, edge: alg.Edge) -> Fate:
        return Fate((data.replace(b"ec50", b"xx50"),) if direction == "out" and alg.is_sip(data) else (data,))

    assert {probe.request for probe in through(reinvent).seen.probes if probe.server_port == 5060 and probe.transport == "udp"} == {"rewritten"}


# --- lost, answered by another, undecided: what rests on what --------------------------------------------------------------------


def test_a_drop_rests_on_the_control() -> None:
    invite = through(does("R16")).probe("INVITE")
    assert (invite.request, invite.response, invite.interference) == ("lost", "undecided", DESTRUCTIVE)
    assert "none of 12 arrived, while" in invite.reason
    assert through(does("R16")).probe("OPTIONS").request == "unchanged"


def test_a_swallowed_answer_rests_on_what_the_server_says_it_sent() -> None:
    register = through(does("A7")).probe("REGISTER")
    assert (register.request, register.response) == ("unchanged", "lost")


def test_an_answer_in_the_servers_place() -> None:
    run = through(does("R21"))
    for name in ("OPTIONS", "REGISTER", "INVITE"):
        assert (run.probe(name).request, run.probe(name).response) == ("answered-by-other", "answered-by-other")
    proof = run.probe("OPTIONS").proofs[0]
    assert (proof.sent, "edge-alg" in proof.arrived) == ("", True)


def test_a_second_final_answer_beside_the_servers_is_anothers() -> None:
    """A7: an early final answer, while the request goes on to the server all the same."""

    def busy(direction: str, data: bytes, edge: alg.Edge) -> Fate:
        if direction == "out" and method(data) == "INVITE":
            return Fate((data,), (alg.response(data, "486 Busy Here"),))
        return Fate((data,))

    invite = through(busy).probe("INVITE")
    assert (invite.request, invite.response) == ("unchanged", "answered-by-other")


def test_a_signature_stripped_is_no_other_hand() -> None:
    def strip(direction: str, data: bytes, edge: alg.Edge) -> Fate:
        return Fate((alg.edit(data, "X-Edgecheck", lambda text: b"") if direction == "in" and alg.is_sip(data) else data,))

    run = through(strip)
    assert run.changes() == {(RESPONSE, "X-Edgecheck", REMOVED)}
    assert {probe.response for probe in run.seen.probes if (probe.transport, probe.server_port) == ("udp", 5060)} == {"rewritten"}


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_a_drop_takes_the_stream_with_it(transport: str) -> None:
    """R16 over TCP: copies are connections; those of the control pass."""
    port = 5061 if transport == "tls" else 5060
    run = through(does("R16"), transports=frozenset({transport}), ports=frozenset({port}))
    invite = run.probe("INVITE", transport, port)
    assert (invite.request, invite.interference) == ("lost", DESTRUCTIVE)
    assert invite.messages[0].copies_sent == stream.MORE_CONNECTIONS + 1
    assert run.finding("UDP 5060").id == "sip-alg.none"


def test_rewriting_over_tcp_is_seen_in_the_stream() -> None:
    run = through(replace_all, transports=frozenset({"tcp"}))
    assert run.probe("INVITE", "tcp").interference == REWRITING
    # It takes each segment for a message, and so gets one wrong that comes in two.
    assert run.finding("TCP 5060").id == "sip-alg.inconsistent"
    assert run.finding("UDP 5060").id == "sip-alg.none"


def test_a_length_that_promises_more_than_comes_stalls_the_stream_and_is_seen() -> None:
    """R13 over TCP: the server waits for the rest; what it holds is in its account all the same, and whole."""
    run = through(does("R13"), transports=frozenset({"tcp"}))
    assert run.probe("INVITE", "tcp").interference == INCONSISTENT
    assert (REQUEST, "sdp c=", REWRITTEN) in run.changes("tcp")


def test_the_beginning_of_a_message_proves_nothing() -> None:
    """A stream whose second half is still on its way: not cut short, not rewritten, not told at all."""

    def half(direction: str, data: bytes, edge: alg.Edge) -> Fate:
        return Fate((data[:700],) if direction == "out" and method(data) == "INVITE" else (data,))

    invite = through(half, transports=frozenset({"tcp"})).probe("INVITE", "tcp")
    assert invite.changes == ()
    assert invite.harms == ()
    assert invite.request == "lost"  # thirteen connections, none brought the whole message; those of the control did


def test_a_blocked_port_is_no_alg() -> None:
    run = go(SipPath(blocked=frozenset({("udp", 5060), ("tcp", 5060), ("tls", 5061)})))
    assert run.seen.interference is None
    assert {run.finding(subject).id for subject in ("UDP 5060", "TCP 5060", "TLS 5061")} == {"sip-alg.undecided"}
    assert "no ALG's doing" in run.finding("UDP 5060").summary
    assert run.finding("UDP 5080").id == "sip-alg.none"
    assert run.verdict is Verdict.INCONCLUSIVE
    assert {probe.request for probe in run.seen.probes if probe.server_port in (5060, 5061)} == {"undecided"}


def test_what_the_server_lacks_is_not_tested() -> None:
    run = go(SipPath(capabilities=("sip-udp",)))
    assert run.seen.interference == NONE
    assert run.finding("TLS 5061").verdict is Verdict.SKIPPED
    assert run.verdict is Verdict.PASS
    nothing = go(SipPath(capabilities=()))
    assert (nothing.seen.interference, nothing.verdict) == (None, Verdict.SKIPPED)


def lose_control(path: SipPath) -> SipPath:
    path.lost = "the connection ended"
    return path


def test_without_the_servers_account_clean_answers_prove_nothing() -> None:
    run = go(lose_control(SipPath()))
    assert run.seen.interference is None
    assert {(probe.request, probe.response) for probe in run.seen.probes} == {("undecided", "undecided")}
    (found,) = run.findings
    assert found.id == "sip-alg.undecided"
    assert "the connection ended" in found.summary


def test_without_the_servers_account_an_answer_that_repeats_something_else_proves_an_alg() -> None:
    """R7 and R8: Via, From, Call-ID and CSeq of an answer are the request's (RFC 3261 section 8.2.6.2)."""
    run = go(lose_control(SipPath(Reader(deed=does("R7")))))
    options = run.probe("OPTIONS")
    assert (options.request, options.response) == ("undecided", "rewritten")
    assert {(change.direction, change.where) for change in options.changes} == {(RESPONSE, "Call-ID")}
    assert run.finding("UDP 5060").verdict is Verdict.FAIL


def test_without_the_servers_account_a_private_received_from_a_public_server_proves_an_alg() -> None:
    """A1"""
    run = go(lose_control(SipPath(Reader(deed=does("A1")))))
    assert run.changes() == {(RESPONSE, "Via", REWRITTEN)}
    assert run.finding("TCP 5060").id == "sip-alg.undecided"


# --- paths that let SIP alone must never be blamed ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EIGHT)
def test_no_nat_is_an_alg(name: str) -> None:
    run = go(SipPath(nat=Nat(**EIGHT[name])))
    assert run.seen.interference == NONE
    assert run.verdict is Verdict.PASS
    assert {run.finding(subject).id for subject in ALL} == {"sip-alg.none"}


def test_a_clean_path_takes_a_handful_of_round_trips_and_packets() -> None:
    path = SipPath(weather=Weather(delay=0.025))
    run = go(path)
    assert run.seconds < 0.5
    assert path.sent_datagrams <= 75


class FirstOfBurst(Weather):
    """A path that lets the first few datagrams of each burst through, and drops the others: the worst that an order can meet."""

    def __init__(self, most: int, window: float, loss: float, seed: int) -> None:
        super().__init__(loss=loss, seed=seed)
        self.most, self.window, self.begin, self.count = most, window, -1.0, 0

    def drops(self, now: float) -> bool:
        if now - self.begin >= self.window:
            self.begin, self.count = now, 0
        self.count += 1
        return self.count > self.most or super().drops(now)


def weathers(count: int) -> list[Callable[[], SipPath]]:
    """Clean paths in foul weather: loss, outages, rate limits, burst limits, jitter that reorders, duplication."""

    def lossy(loss: float, seed: int) -> Callable[[], SipPath]:
        return lambda: SipPath(weather=Weather(loss=loss, seed=seed))

    def outage(seed: int) -> Callable[[], SipPath]:
        def make() -> SipPath:
            draw, path = random.Random(seed), SipPath(weather=Weather(loss=0.02, seed=seed))
            begin = draw.uniform(0, 0.4)
            path.outages = [(begin, begin + draw.choice([0.1, 0.5, 1, 2, 3]))]
            return path

        return make

    def limited(rate: float) -> Callable[[], SipPath]:
        return lambda: SipPath(weather=Weather(rate_limit=rate))

    def bursts(most: int, window: float) -> Callable[[], SipPath]:
        return lambda: SipPath(weather=FirstOfBurst(most, window, 0.02, most))

    def jittery(seed: int) -> Callable[[], SipPath]:
        def make() -> SipPath:
            draw, path = random.Random(seed), SipPath(weather=Weather(loss=0.05, seed=seed))
            path.jitter = lambda now: draw.uniform(0, 0.3)
            return path

        return make

    def doubling(seed: int, share: float) -> Callable[[], SipPath]:
        def make() -> SipPath:
            draw = random.Random(seed)
            deed: Deed = lambda direction, data, edge: Fate((data, data) if draw.random() < share else (data,))  # noqa: E731
            return SipPath(Reader(deed=deed), Weather(loss=0.05, seed=seed))

        return make

    seeds = range(count)
    return [
        *(lossy(loss, seed) for loss in (0.05, 0.1, 0.2, 0.3, 0.5) for seed in seeds),
        *(outage(seed) for seed in range(3 * count)),
        *(limited(rate) for rate in (10, 16, 20, 50, 100, 200)),
        *(bursts(most, window) for most in range(1, 12) for window in (0.001, 0.02, 0.06)),
        *(jittery(seed) for seed in seeds),
        *(doubling(seed, share) for share in (0.2, 1.0) for seed in seeds),
    ]


def test_foul_weather_is_never_an_alg() -> None:
    decided = 0
    for make in weathers(8):
        run = go(make())
        assert run.seen.interference in (NONE, None)
        assert {probe.request for probe in run.seen.probes} <= {"unchanged", "undecided"}
        assert {probe.response for probe in run.seen.probes} <= {"unchanged", "undecided"}
        assert not any(probe.changes for probe in run.seen.probes)
        assert run.verdict in (Verdict.PASS, Verdict.INCONCLUSIVE)
        decided += run.seen.interference == NONE
    assert decided > len(weathers(8)) // 2, "could not tell must not become the easy way out"


@pytest.mark.parametrize("loss", [0.05, 0.1, 0.2, 0.3])
@pytest.mark.parametrize("name", ["R1", "R10", "R16", "R21", "A1", "A7", "A10"])
def test_loss_makes_an_alg_untold_at_most(name: str, loss: float) -> None:
    """Never a pass for UDP 5060, never a worse deed than was done, and on the other channels never any."""
    level = MUTATIONS[name][0]
    told = 0
    for seed in range(6):
        run = go(SipPath(Reader(deed=does(name)), Weather(loss=loss, seed=seed)))
        assert run.seen.interference in (level, None)
        assert run.finding("UDP 5060").id in (f"sip-alg.{MUTATIONS[name][1]}", "sip-alg.undecided")
        assert {run.finding(subject).id for subject in OTHERS} <= {"sip-alg.none", "sip-alg.undecided"}
        told += run.seen.interference == level
    assert told >= (6 if loss <= 0.1 else 4)
