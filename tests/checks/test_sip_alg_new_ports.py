"""A firewall that drops all of a flow once it has had SIP: the control from SIP's own socket tells nothing, and new ports do."""

from collections.abc import Collection

import pytest

from tests.checks.sip_alg_paths import DESTRUCTIVE, OTHERS, Run, go, method
from tests.fakes.edge import Weather
from tests.fakes.sip_path import Deed, Reader, SipPath
from tests.lab import alg
from tests.lab.alg import Fate

ALL = ("OPTIONS", "REGISTER", "INVITE", "ACK", "BYE")


def sorts_flows(denied: Collection[str] = ALL, *, lets_first: bool = False) -> Deed:
    """``lets_first``: the message by which the flow is known passes, and nothing after it, either way."""
    dead: set[int] = set()

    def deed(direction: str, data: bytes, edge: alg.Edge) -> Fate:
        known = edge.private_port in dead
        if direction == "out" and method(data) in denied:
            dead.add(edge.private_port)
            return Fate((data,)) if lets_first and not known else Fate()
        return Fate() if known else Fate((data,))

    return deed


def row(run: Run, name: str) -> tuple[str, str]:
    (found,) = [one for one in run.seen.beside if one.method == f"{name} from new ports"]
    return found.request, found.response


def test_all_sip_is_dropped_with_its_flow() -> None:
    run = go(SipPath(Reader(deed=sorts_flows())))
    assert [row(run, name)[0] for name in ("OPTIONS", "REGISTER", "INVITE")] == ["lost"] * 3
    assert (run.seen.interference, run.finding("UDP 5060").id) == (DESTRUCTIVE, "sip-alg.destroyed")
    found = run.finding("UDP 5060")
    assert "no OPTIONS, REGISTER or INVITE arrives, while other packets of the same size pass" in found.summary
    assert any("12 of 12 non-SIP datagrams" in line and "each from a port of its own" in line for line in found.evidence)
    assert "all of its flow" in run.seen.located_reason
    assert {subject: run.finding(subject).id for subject in OTHERS} == dict.fromkeys(OTHERS, "sip-alg.none")


def test_calls_alone_are_dropped_with_their_flow() -> None:
    """One socket sends all methods: the others die with the INVITE, and must not be called dropped for it."""
    run = go(SipPath(Reader(deed=sorts_flows(["INVITE"]))))
    assert row(run, "INVITE")[0] == "lost"
    assert "no INVITE arrives" in run.finding("UDP 5060").summary
    assert not [one.method for one in run.seen.beside if one.method.endswith("new ports") and one.method.split()[0] != "INVITE"]


def test_the_first_message_passes_and_no_answer_to_it() -> None:
    run = go(SipPath(Reader(deed=sorts_flows(lets_first=True))))
    assert row(run, "OPTIONS") == ("unchanged", "lost")
    assert run.finding("UDP 5060").id == "sip-alg.destroyed"


def test_a_port_through_which_nothing_passes_is_still_no_alg() -> None:
    run = go(SipPath(blocked=frozenset({("udp", 5060)})))
    assert run.finding("UDP 5060").id == "sip-alg.undecided"
    assert run.seen.interference is None
    assert not [one for one in run.seen.beside if one.method.endswith("new ports")]


@pytest.mark.parametrize("seed", range(12))
def test_loss_makes_no_drop_of_it(seed: int) -> None:
    """So much is lost that one socket leaves much untold; of new ports too little arrives to accuse anybody."""
    run = go(SipPath(weather=Weather(loss=0.55, seed=seed)))
    assert run.seen.interference in (None, "none")
    assert "sip-alg.destroyed" not in {finding.id for finding in run.findings}
