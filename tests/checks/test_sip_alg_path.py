"""The whole check through a path that reads SIP: the real client code, the real server's core, the laboratory's ALGs, loss and delay.

The law over all of it: silence and loss may leave something untold; what is told is true.
"""

import pytest

from edgecheck.model.verdict import Verdict
from tests.checks.sip_alg_paths import (
    HARMLESS,
    INCONSISTENT,
    MUTATIONS,
    NONE,
    OTHERS,
    REMOVED,
    REQUEST,
    REWRITING,
    REWRITTEN,
    method,
    replace_all,
    through,
)
from tests.fakes.sip_path import does
from tests.lab import alg
from tests.lab.alg import Fate


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
