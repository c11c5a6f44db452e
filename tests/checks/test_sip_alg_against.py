"""From one side: what an answer proves, what it hints at, and that a clean one is never taken for a clean path."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from edgecheck.against import parse_server
from edgecheck.checks.sip_alg import CHECK
from edgecheck.checks.sip_alg.against import Aim, message, probe_against
from edgecheck.checks.sip_alg.following import with_quotes
from edgecheck.checks.sip_alg.locate import Stage, locate
from edgecheck.checks.sip_alg.observation import HopTrial, Located, RoundTrip, SipAlgObservation, Taken, Tally
from edgecheck.checks.sip_alg.one_sided import Heard, Tried, read
from edgecheck.checks.sip_alg.taken import Nearer
from edgecheck.model.errors import UsageError
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Finding, Verdict, worst
from edgecheck.wire import sip
from edgecheck.wire.address import Endpoint
from tests.fakes import clock
from tests.fakes.edge import PRIMARY, Weather
from tests.fakes.sip_path import Deed, Reader, SipPath, does
from tests.lab import alg
from tests.lab.alg import Fate

PROFILE = Profile(name="test", title="", source="", confidence="verified", checks=())
AIM = Aim(host="pbx.example", address=PRIMARY, port=5060)


def ask(make: Callable[[], SipPath], aim: Aim = AIM) -> tuple[SipAlgObservation, dict[str, Finding]]:
    """The observation, and the findings by subject."""

    async def work() -> SipAlgObservation:
        return await probe_against(make().network(), aim)

    seen = clock.run(work())
    findings = CHECK.judge(seen, PROFILE)
    return seen, {subject: finding for finding in findings for subject in finding.subject.split(", ")}


def through(deed: Deed) -> tuple[SipAlgObservation, dict[str, Finding]]:
    return ask(lambda: SipPath(Reader(deed=deed)))


def test_a_clean_answer_is_no_pass() -> None:
    seen, findings = ask(SipPath)
    assert seen.interference is None
    assert {finding.id for finding in findings.values()} == {"sip-alg.no-trace"}
    assert set(findings) == {"UDP 5060", "TCP 5060", "TLS 5061"}
    assert findings["UDP 5060"].verdict is Verdict.INCONCLUSIVE
    assert "does not prove" in findings["UDP 5060"].summary
    assert all(one.received == "203.0.113.1" for one in seen.against.answers)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "where"), [("R1", "Via"), ("R2", "Via"), ("R3", "Via"), ("R7", "Call-ID"), ("R8", "CSeq"), ("A1", "Via")]
)
def test_what_an_answer_must_repeat_and_does_not_proves_an_alg(name: str, where: str) -> None:
    seen, findings = through(does(name))
    found = findings["UDP 5060"]
    assert found.verdict is Verdict.FAIL
    assert where in found.observed
    assert f"{where} came back otherwise" in found.summary
    assert any(f": {where} " in line and ", came back " in line for line in found.evidence)
    assert not any(", quoted " in line for line in found.evidence), "nobody quoted anything"
    assert seen.interference in ("rewriting", "inconsistent")
    assert findings["TCP 5060"].id == "sip-alg.no-trace"


@pytest.mark.parametrize("name", sorted(alg.MUTATIONS))
def test_no_mutation_makes_it_pass(name: str) -> None:
    _, findings = through(does(name))
    assert Verdict.PASS not in {finding.verdict for finding in findings.values()}


def test_whoever_answers_for_nobody_answers_for_all() -> None:
    """R21"""
    seen, findings = through(does("R21"))
    assert seen.against is not None
    assert (seen.against.nobody_answered, seen.against.nobody) == (True, "192.0.2.1:5060")
    assert findings["UDP 5060"].id == "sip-alg.answered-by-other"
    assert seen.interference == "destructive"


def test_an_alg_that_turns_all_back_is_seen_in_what_routers_quote() -> None:
    """The answer is clean; the second router has seen another Via and Contact."""
    sent = message("OPTIONS", AIM, "udp", Endpoint("192.168.88.2", 40_000))
    seen = judged(Nearer())[0]
    quoted = sent.replace(b"192.168.88.2:40000", b"203.0.113.1:40000")[:400]
    stages = (Stage(hop=1, address="192.168.88.1", text=sent[:400]), Stage(hop=2, address="203.0.113.14", text=quoted))
    located, reason = locate(sent, stages, None)
    assert located is not None
    assert [(one.hop, one.address, one.where) for one in located] == [(1, "192.168.88.1", ("Via", "Contact"))]
    told = with_quotes(seen, Endpoint(PRIMARY, 5060), sent, stages, located, reason)
    (finding,) = [one for one in CHECK.judge(told, PROFILE) if one.subject == "UDP 5060"]
    assert (finding.id, finding.verdict) == ("sip-alg.rewritten", Verdict.FAIL)
    assert finding.summary.startswith("Hop 1 (192.168.88.1) rewrites SIP on UDP 5060 (Via, Contact already changed in what routers quote")
    assert any("as hop 2 quotes it: Contact rewritten: sent '<sip:edgecheck@192.168.88.2:40000" in line for line in finding.evidence)
    assert (told.interference, told.located) == ("rewriting", located)


def quoted(*pairs: tuple[bytes, bytes] | None) -> tuple[SipAlgObservation, Finding]:
    """An OPTIONS whose answers are clean, as each router quotes it: the one text in the other's place. None: that one says nothing."""
    sent = message("OPTIONS", AIM, "udp", Endpoint("192.168.88.2", 40_000))
    stages = tuple(
        Stage(hop=hop, address=f"10.0.{hop}.1" if pair else None, text=sent.replace(*pair)[:400] if pair else b"")
        for hop, pair in enumerate(pairs, 1)
    )
    told = with_quotes(judged(Nearer())[0], Endpoint(PRIMARY, 5060), sent, stages, *locate(sent, stages, None))
    (finding,) = [one for one in CHECK.judge(told, PROFILE) if "UDP 5060" in one.subject]
    return told, finding


AS_SENT = (b"", b"")


def test_a_change_across_a_silent_router_is_proved_and_nobody_is_named() -> None:
    told, finding = quoted(AS_SENT, None, (b"192.168.88.2:40000", b"203.0.113.1:40000"))
    assert (told.located, told.interference) == (None, "rewriting")
    assert finding.id == "sip-alg.rewritten"
    assert finding.summary.startswith("Something on the path rewrites SIP on UDP 5060 (Via, Contact already changed in what routers quote")


def test_what_routers_quote_in_another_form_alone_does_no_harm() -> None:
    told, finding = quoted(AS_SENT, (b";rport;", b"; rport ;"))
    assert told.interference == "harmless"
    assert (finding.id, finding.verdict) == ("sip-alg.harmless", Verdict.WARN)
    assert finding.summary.startswith("Hop 1 (10.0.1.1) handles SIP on UDP 5060")


def test_what_came_back_is_not_laid_to_the_hop_that_was_seen_to_touch_the_request() -> None:
    seen = through(does("R7"))[0]
    sent = message("OPTIONS", AIM, "udp", Endpoint("192.168.88.2", 40_000))
    stages = (
        Stage(hop=1, address="192.168.88.1", text=sent[:400]),
        Stage(hop=2, address="203.0.113.14", text=sent.replace(b"UDP 192.168.88.2:", b"UDP 203.0.113.1:")[:400]),
    )
    told = with_quotes(seen, Endpoint(PRIMARY, 5060), sent, stages, *locate(sent, stages, None))
    (finding,) = [one for one in CHECK.judge(told, PROFILE) if one.subject == "UDP 5060"]
    assert finding.summary.startswith("Hop 1 (192.168.88.1) rewrites SIP on UDP 5060 (Via already changed in what routers quote")
    assert "; Call-ID came back otherwise than a server may return it, by it or another box)" in finding.summary


def test_quotes_that_show_no_change_prove_nothing() -> None:
    sent = message("OPTIONS", AIM, "udp", Endpoint("192.168.88.2", 40_000))
    stages = (Stage(hop=1, address="192.168.88.1", text=sent[:200]), Stage(hop=2, address=None))
    assert locate(sent, stages, None) == (None, "what happens beyond hop 1 was not seen")


def near(hops: int, router: str, beyond: str) -> Taken:
    """Proved to be taken there."""
    three = Tally(sent=3, expired=3)
    trials = (
        HopTrial(hops=hops, router=router, sip=Tally(sent=3, answered=3), beside=three),
        HopTrial(hops=hops + 1, router=beyond, beside=three),
    )
    return Taken(server_port=5060, hops=hops, taken=True, trials=trials)


def judged(nearer: Nearer, *, nobody_says: bytes = b"") -> tuple[SipAlgObservation, dict[str, Finding]]:
    """A clean answer over UDP, and what was learned of who gave it."""
    local, server = Endpoint("192.168.88.2", 40_000), Endpoint(PRIMARY, 5060)
    nobody = Tried(transport="udp", server=Endpoint("192.0.2.1", 5060), local=local)
    ways = [Tried(transport="udp", server=server, local=local)]
    for tried, says in ((ways[0], b"200 OK"), (nobody, nobody_says)):
        request = message("OPTIONS", AIM, "udp", local)
        tried.requests["OPTIONS"], tried.sent_at["OPTIONS"] = request, [0.0]
        if says:
            tried.answers["OPTIONS"] = [Heard(alg.response(request, says.decode()), tried.server, 0.001)]
    seen = read("sip:pbx.example", ways, nobody, nearer)
    return seen, {finding.subject: finding for finding in CHECK.judge(seen, PROFILE)}


def test_sip_that_is_taken_on_the_way_names_the_hop_and_both_causes() -> None:
    trips = (
        RoundTrip(of="SIP on UDP 5060", by="sip", samples=3, least_ms=0.4),
        RoundTrip(of="TCP 5060", by="server", samples=3, least_ms=41.0),
    )
    seen, findings = judged(Nearer(taken=near(1, "192.168.88.1", "203.0.113.14"), round_trips=trips, gateways=("192.168.88.1",)))
    found = findings["UDP 5060"]
    assert (found.id, found.verdict) == ("sip-alg.taken-on-the-way", Verdict.FAIL)
    assert found.summary.startswith("Hop 1 (192.168.88.1) takes SIP on UDP 5060")
    assert "answers in the server's place, or it hands SIP on" in found.summary
    assert "within 0.4 ms" in found.summary
    assert any("to live for 1 hop (expired at 192.168.88.1): 3 SIP requests to port 5060: 3 answered" in line for line in found.evidence)
    assert (seen.located, seen.interference) == ((Located(hop=1, address="192.168.88.1", where=("answer",)),), "rewriting")


def test_a_soon_answer_alone_is_a_hint_with_all_that_fits() -> None:
    trips = (
        RoundTrip(of="SIP on UDP 5060", by="sip", samples=3, least_ms=0.4),
        RoundTrip(of="TCP 5060", by="server", samples=3, least_ms=41.0),
    )
    seen, findings = judged(Nearer(taken=Taken(server_port=5060, hops=5, taken=False), round_trips=trips))
    found = findings["UDP 5060"]
    assert (found.id, found.verdict) == ("sip-alg.hint", Verdict.INCONCLUSIVE)
    assert "lets SIP overtake all else" in found.summary
    assert "TCP 5060: answered within 41 ms at the soonest, of 3" in found.evidence
    assert (seen.located, seen.interference) == (None, None)


def test_whoever_answers_for_nobody_is_located_by_that() -> None:
    there = msgspec.structs.replace(near(1, "192.168.88.1", "203.0.113.14"), taken=None, suspected=True, reason="x")
    seen, findings = judged(Nearer(taken=there, nobody=there), nobody_says=b"200 OK")
    assert findings["UDP 5060"].id == "sip-alg.answered-by-other"
    assert findings["UDP 5060"].summary.startswith("Hop 1 (192.168.88.1) answers SIP for everybody")
    assert len(findings) == 1, "what is said already is not said again as a hint"
    assert seen.located == (Located(hop=1, address="192.168.88.1", where=("answer",)),)


def test_whoever_takes_sip_for_the_server_is_not_said_to_answer_for_nobody() -> None:
    """Another box may: its own distance could not be told."""
    unknown = Taken(server_port=5060, reason="no request that was sent to expire on the way was answered")
    seen, findings = judged(Nearer(taken=near(1, "192.168.88.1", "203.0.113.14"), nobody=unknown), nobody_says=b"200 OK")
    assert findings["UDP 5060"].summary.startswith("Something on the path answers SIP for everybody")
    assert (seen.located, seen.located_reason) == (None, unknown.reason)


def no_received(direction: str, data: bytes, edge: alg.Edge) -> Fate:
    """As the Linux ALG before a server that stamps only what differs: Via is public there, and private again here."""
    if direction == "out" or not alg.is_sip(data):
        return Fate((data,))
    return Fate((alg.edit(data, "Via", lambda text: text.replace(b";received=203.0.113.1", b"")),))


def test_a_missing_received_is_a_hint_with_two_causes() -> None:
    seen, findings = through(no_received)
    found = findings["UDP 5060"]
    assert (found.id, found.verdict) == ("sip-alg.hint", Verdict.INCONCLUSIVE)
    assert "TCP 5060, TLS 5061" in found.summary
    assert "or this server tells on some ports only" in found.summary
    assert seen.interference is None


def test_answers_from_another_port_have_two_causes() -> None:
    """A6"""
    _, findings = through(does("A6"))
    assert (findings["UDP 5060"].id, findings["UDP 5060"].verdict) == ("sip-alg.hint", Verdict.INCONCLUSIVE)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"errors": ["Could not connect to 198.51.100.10:5061/tls: the connection was refused."]}, "TLS 5061 is refused: nobody listens there, or"),
        ({"not_tested": "No socket could be opened."}, "TLS 5061 could not be tried: No socket could be opened."),
        ({}, "TLS 5061 told nothing (no answer): nobody listens there, it is blocked, or packets are dropped."),
        (
            {"local": Endpoint("192.168.88.2", 40_000), "errors": ["Could not keep the connection: the connection was reset."]},
            "TLS 5061 opens and tells nothing when SIP is sent (Could not keep the connection: the connection was reset): the server speaks no SIP",
        ),
    ],
)
def test_what_said_nothing_is_told_with_what_fits_alone(more: dict[str, Any], words: str) -> None:
    one = Tried(transport="tls", server=Endpoint(PRIMARY, 5061), **more)
    nobody = Tried(transport="udp", server=Endpoint("192.0.2.1", 5060))
    (found,) = CHECK.judge(read("sip:pbx.example", [one], nobody, Nearer()), PROFILE)
    assert found.summary.startswith(words)


def test_silence_is_undecided_and_a_way_that_answered_is_named() -> None:
    everything = frozenset({("udp", 5060), ("tcp", 5060), ("tls", 5061)})
    _, findings = ask(lambda: SipPath(blocked=everything))
    assert {finding.id for finding in findings.values()} == {"sip-alg.undecided"}
    assert all(finding.remedies[0].startswith("Ask a SIP server that is known to answer") for finding in findings.values())
    _, findings = ask(lambda: SipPath(blocked=everything - {("tls", 5061)}))
    assert findings["UDP 5060"].verdict is Verdict.SKIPPED
    assert "TLS 5061 answered" in findings["UDP 5060"].summary
    assert findings["TLS 5061"].id == "sip-alg.no-trace"


@pytest.mark.parametrize("seed", range(20))
def test_loss_is_never_an_alg(seed: int) -> None:
    _, findings = ask(lambda: SipPath(weather=Weather(loss=0.5, seed=seed)))
    assert worst([finding.verdict for finding in findings.values()]) is Verdict.INCONCLUSIVE
    assert {finding.id for finding in findings.values()} <= {"sip-alg.no-trace", "sip-alg.undecided", "sip-alg.not-tested"}


def test_few_messages_are_sent_to_a_server_that_is_not_ours() -> None:
    path = SipPath(blocked=frozenset({("udp", 5060)}))

    async def work() -> None:
        await probe_against(path.network(), AIM)

    clock.run(work())
    assert path.sent_datagrams <= 2 * 2 * 4  # two messages, to the server and to nobody, four copies each


def test_nothing_is_registered() -> None:
    register = sip.parse(message("REGISTER", AIM, "udp", Endpoint("192.168.1.2", 5062)))
    assert (register.get("Expires"), register.get("Authorization")) == ("0", None)
    assert register.uri == "sip:pbx.example"


def test_a_saved_observation_is_judged_alike() -> None:
    seen, findings = through(does("A1"))
    again = msgspec.json.decode(msgspec.json.encode(seen), type=SipAlgObservation)
    assert CHECK.judge(again, PROFILE) == CHECK.judge(seen, PROFILE)
    assert "received was turned back to 192.168.88.2" in findings["UDP 5060"].summary
    assert "while on TCP 5060 it saw 203.0.113.1" in findings["UDP 5060"].summary


def test_a_private_received_where_nothing_tells_of_a_nat_is_a_hint_with_both_causes() -> None:
    """A PBX in the router, a server at this site or behind a VPN has a public address and sees private ones."""
    only_udp = frozenset({("tcp", 5060), ("tls", 5061)})
    seen, findings = ask(lambda: SipPath(Reader(deed=does("A1")), blocked=only_udp))
    found = findings["UDP 5060"]
    assert (found.id, found.verdict) == ("sip-alg.hint", Verdict.INCONCLUSIVE)
    assert "rewrites Via" in found.summary
    assert "no NAT stands between" in found.summary
    assert seen.interference is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sip:pbx.example", ("pbx.example", 5060, None)),
        ("sip:198.51.100.10:5080", ("198.51.100.10", 5080, None)),
        ("sip:[2001:db8::1]:5070;transport=TCP", ("2001:db8::1", 5070, "tcp")),
        ("sips:pbx.example", ("pbx.example", 5061, "tls")),
        ("sip:pbx.example;transport=tls", ("pbx.example", 5061, "tls")),
    ],
)
def test_servers_are_read(text: str, expected: tuple[str, int, str | None]) -> None:
    assert parse_server(text) == expected


@pytest.mark.parametrize("text", ["pbx.example", "sip:", "sip:a b", "sip:pbx.example;transport=sctp", "http://pbx.example", "sip:x\r\ny"])
def test_what_is_no_server_is_said_in_one_sentence(text: str) -> None:
    with pytest.raises(UsageError, match="--against"):
        parse_server(text)


def test_the_transport_asked_for_comes_first() -> None:
    aim = Aim(host="x", address=PRIMARY, port=5071, transport="tls")
    assert aim.ways() == (("tls", 5071), ("udp", 5060), ("tcp", 5060))
