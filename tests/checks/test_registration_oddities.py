"""Answers that come late, twice, or to nothing that was asked: no oddity misleads, and none is waited for longer than it deserves."""

import random
from collections.abc import Iterable

import pytest

from edgecheck.wire import sip
from edgecheck.wire.address import Endpoint
from tests.checks.doctoring import SERVER, at, visit
from tests.fakes.peers import Reply
from tests.fakes.phone import PhoneWorld
from tests.fakes.registrar import Registrar
from tests.fakes.sip_peers import over_udp, response


def test_a_server_whose_answers_never_fit_is_not_asked_eleven_times() -> None:
    def another_branch(data: bytes, source: Endpoint) -> Iterable[bytes]:
        yield response(data.replace(b"z9hG4bK", b"z9hG4bX"), source)

    seen = visit(PhoneWorld().udp_at(SERVER, over_udp(another_branch)))
    assert seen.verdicts == {"answer-mismatched": "fail"}
    assert seen.seen.attempts[0].copies == 5


@pytest.mark.parametrize("wrong", range(1, 5))
def test_one_fitting_answer_among_those_that_do_not_fit_is_enough(wrong: int) -> None:
    """Somebody else's answers beside our own."""
    server, count = Registrar(), [0]

    def peer(data: bytes, source: Endpoint) -> Iterable[Reply]:
        count[0] += 1
        if count[0] <= wrong:
            yield Reply(response(data.replace(b"z9hG4bK", b"z9hG4bX"), source))
        else:
            yield from map(Reply, server(data, source))

    assert visit(PhoneWorld().udp_at(SERVER, peer)).verdicts["registered"] == "pass"


def test_what_a_200_lists_as_ended_is_gone() -> None:
    """Some answer a removal with the Contact that they removed, and expires=0."""

    def with_its_end(message: sip.Message, source: Endpoint) -> bytes | None:
        if message.get("Expires") == "0" and message.get("Authorization"):
            return response(message.raw, source, 200, "OK", ("Contact", message.get("Contact") or ""))
        return None

    seen = visit(at(Registrar(override=with_its_end)))
    assert "binding-left" not in seen.verdicts
    assert seen.seen.removed is True


def test_a_phone_that_came_meanwhile_is_not_taken_for_ours() -> None:
    """It is new in the list when our binding is removed."""
    server = Registrar()

    def another_comes(message: sip.Message, source: Endpoint) -> bytes | None:
        if message.get("Expires") == "0":
            server.others.append("<sip:alice@192.168.7.7:5060>;expires=900")
        return None

    server.override = another_comes
    seen = visit(at(server))
    assert "binding-left" not in seen.verdicts
    assert seen.seen.removed is True


def test_finals_that_differ_in_their_to_tag_are_copies() -> None:
    server = Registrar()

    def forked(data: bytes, source: Endpoint) -> Iterable[Reply]:
        for answer in server(data, source):
            for number, tag in enumerate((b";tag=peer", b";tag=other", b";tag=third")):
                yield Reply(answer.replace(b";tag=peer", tag), delay=number * 0.4)

    verdicts = visit(PhoneWorld().udp_at(SERVER, forked)).verdicts
    assert verdicts["registered"] == "pass"
    assert set(verdicts.values()) <= {"pass", "skipped"}


@pytest.mark.parametrize(("pinged", "controls"), [(None, 7), ((0, 4), 3), ((5, 5), 3)])
def test_every_control_is_a_call_of_its_own(pinged: tuple[int, int] | None, controls: int) -> None:
    """And they are few where the line was measured before."""
    asked: list[sip.Message] = []

    def mute(data: bytes, source: Endpoint) -> Iterable[Reply]:
        asked.append(sip.parse_datagram(data))
        return ()

    visit(PhoneWorld().udp_at(SERVER, mute), pinged=pinged)
    assert len({each.get("Call-ID") for each in asked if each.method == "OPTIONS"}) == controls


@pytest.mark.parametrize("seed", range(30))
def test_what_only_loss_made_late_accuses_no_slow_server(seed: int) -> None:
    """A line that loses nearly everything: only the eleventh copy may arrive, and its answer after the end of all patience."""
    chance, server = random.Random(seed), Registrar()

    def lossy(data: bytes, source: Endpoint) -> Iterable[Reply]:
        if chance.random() < 0.15:
            for answer in server(data, source):
                yield Reply(answer, delay=0.9)

    assert visit(PhoneWorld().udp_at(SERVER, lossy)).verdicts.get("answered-too-late") != "fail"
