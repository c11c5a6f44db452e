"""Lost, answered by another, undecided: what each rests on. Through the whole check, over a path that reads SIP."""

import pytest

from edgecheck.checks.sip_alg import stream
from edgecheck.model.verdict import Verdict
from tests.checks.sip_alg_paths import (
    DESTRUCTIVE,
    INCONSISTENT,
    NONE,
    REMOVED,
    REQUEST,
    RESPONSE,
    REWRITING,
    REWRITTEN,
    go,
    method,
    replace_all,
    through,
)
from tests.fakes.sip_path import Reader, SipPath, does
from tests.lab import alg
from tests.lab.alg import Fate


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
    """R7 changes the request, and the server repeats faithfully what came to it (RFC 3261 section 8.2.6.2): that was no answer rewritten."""
    run = go(lose_control(SipPath(Reader(deed=does("R7")))))
    options = run.probe("OPTIONS")
    assert (options.request, options.response) == ("undecided", "undecided")
    assert {(change.direction, change.where) for change in options.changes} == {(None, "Call-ID")}
    found = run.finding("UDP 5060")
    assert found.verdict is Verdict.FAIL
    assert any(line.startswith("request or response, 200 to OPTIONS: Call-ID rewritten") for line in found.evidence)


def test_without_the_servers_account_a_private_received_from_a_public_server_proves_an_alg() -> None:
    """A1"""
    run = go(lose_control(SipPath(Reader(deed=does("A1")))))
    assert run.changes() == {(RESPONSE, "Via", REWRITTEN)}
    assert run.finding("TCP 5060").id == "sip-alg.undecided"
