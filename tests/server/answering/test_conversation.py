"""Streams: STUN, SIP and probes over TCP, in memory."""

import itertools
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from echo_server.answering.conversation import STALLED_S
from edgecheck.wire import control, probe, sip, stun
from edgecheck.wire.address import Endpoint
from edgecheck.wire.probe import Kind, Probe
from tests.server.conftest import InMemory
from tests.server.sip_phone import SDP, request

PEER = Endpoint("203.0.113.7", 40000)


def binding(session: bytes, *attributes: stun.Attribute) -> bytes:
    return stun.binding_request(control.stun_transaction_id(session, 1, 2), *attributes)


def test_stun_over_tcp_is_answered_and_accounted_for(memory: Any) -> None:
    server = memory()
    session = server.session()
    talk = server.core.open_stream("A2", "tcp", PEER, 1.0)
    answer = stun.parse(talk.feed(binding(session.name), 1.0))
    assert (answer.mapped, answer.response_origin) == (PEER, Endpoint("198.51.100.10", 3479))
    (row,) = server.ask(session, control.Account, series=1).received
    assert (row.item, row.listener, row.source, row.answered) == (2, "A2/tcp", str(PEER), 1)


@pytest.mark.parametrize("attribute", [stun.change_request(True, True), stun.Attribute(stun.RESPONSE_PORT, 5)])
def test_a_stream_cannot_be_answered_from_elsewhere(memory: Any, attribute: stun.Attribute) -> None:
    server = memory()
    answer = stun.parse(server.core.open_stream("A1", "tcp", PEER, 1.0).feed(binding(b"nobodys!", attribute), 1.0))
    assert answer.error is not None
    assert (answer.error[0], answer.get(stun.UNKNOWN_ATTRIBUTES)) == (420, (attribute.type,))


@pytest.mark.parametrize(("transport", "listener"), [("tcp", "sip:5060"), ("tls", "sip:5061")])
def test_a_call_over_a_stream(memory: Any, transport: control.Transport, listener: str) -> None:
    server = memory()
    session = server.session()
    marker = control.sip_marker(session.name, 4, 8)
    talk = server.core.open_stream(listener, transport, PEER, 1.0)
    invite = request("INVITE", marker, body=SDP)
    answers = talk.feed(invite, 1.0)
    assert answers.count(b"SIP/2.0 ") == 3 + answers.count(b"Via: SIP/2.0 ")
    final = sip.parse(answers[answers.index(b"SIP/2.0 200") :])
    assert final.get("Contact") == f"<sip:mirror@198.51.100.10:{listener[4:]};transport={transport}>"
    records = server.ask(session, control.Mirror).records
    assert [(record.direction, record.transport, record.server_port) for record in records] == [
        ("received", transport, int(listener[4:])),
        *[("sent", transport, int(listener[4:]))] * 3,
    ]
    assert records[0].data == invite
    assert b"".join(record.data for record in records[1:]) == answers
    (row,) = server.ask(session, control.Account, series=4).received
    assert (row.item, row.listener, row.copies, row.answered) == (8, f"{listener}/tcp", 1, 1)


def test_a_keep_alive_is_answered(memory: Any) -> None:
    talk = memory().core.open_stream("sip:5060", "tcp", PEER, 1.0)
    assert talk.feed(b"\r\n\r\n", 1.0) == b"\r\n"  # RFC 5626 section 4.4.1


@pytest.mark.parametrize(("listener", "size"), [("A1", 28), ("sip:5060", 28), ("sip:5060", 600)])
def test_an_echo_comes_back_at_the_same_size(memory: Any, listener: str, size: int) -> None:
    server = memory()
    session = server.session()
    asked = Probe(Kind.ECHO, session.name, 6, 9)
    talk = server.core.open_stream(listener, "tcp", PEER, 1.0)
    answer = talk.feed(probe.serialize(asked, size), 1.0)
    assert (len(answer), probe.parse(answer)) == (size, asked._replace(kind=Kind.ECHOED))
    (row,) = server.ask(session, control.Account, series=6).received
    assert (row.listener, row.copies, row.answered) == (f"{listener}/tcp", 1, 1)


def test_a_claim_is_answered_with_its_cookie(memory: Any) -> None:
    server = memory()
    session = server.session()
    other = Endpoint("203.0.113.8", 1)
    talk = server.core.open_stream("A1", "tcp", other, 1.0)
    claimed = probe.parse(talk.feed(probe.serialize(Probe(Kind.CLAIM, session.name, 6, 9)), 1.0))
    proved = server.ask(session, control.Prove, cookie=claimed.cookie.hex(), address=other.host)
    assert proved.addresses == (PEER.host, other.host)


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, 2500), max_size=12))
@example(cuts=[338])  # within the magic of a probe behind a whole message
def test_how_a_stream_is_cut_makes_no_difference(cuts: list[int]) -> None:
    server = InMemory()
    session = server.session()
    marker = control.sip_marker(session.name, 4, 8)
    echo = Probe(Kind.ECHO, session.name, 6, 9)
    body = b"a=" + probe.MAGIC + b"\r\n"  # the magic inside a message is no probe
    whole = b"".join(
        (
            request("OPTIONS", marker),
            probe.serialize(echo, 300),
            request("INVITE", marker, body=SDP + body),
            request("ACK", marker),
            probe.serialize(echo._replace(item=10), 28),
            probe.serialize(echo._replace(item=11), 400),
            request("BYE", marker),
        )
    )
    expected = server.core.open_stream("sip:5060", "tcp", PEER, 1.0).feed(whole, 1.0)
    assert expected.count(b"SIP/2.0 200 OK") == 3
    assert expected.count(probe.MAGIC) == 3
    talk = server.core.open_stream("sip:5060", "tcp", PEER, 1.0)
    edges = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})
    answer = b"".join(talk.feed(whole[start:end], 1.0) for start, end in itertools.pairwise(edges))
    assert answer == expected
    assert server.faults == []


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        request("OPTIONS", CSeq="1 OPTIONS").replace(b"Content-Length: 0\r\n", b""),
        b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 99999999\r\n\r\n",
    ],
)
def test_a_stream_that_cannot_be_followed_is_recorded_and_closed(memory: Any, garbage: bytes) -> None:
    server = memory()
    session = server.session()
    talk = server.core.open_stream("sip:5060", "tcp", PEER, 1.0)
    before = request("OPTIONS")
    answer = talk.feed(before + garbage, 1.0)
    assert answer.startswith(b"SIP/2.0 200 OK")
    assert talk.over
    assert talk.feed(before, 1.0) == b""
    talk.end(1.0)
    received = [record.data for record in server.ask(session, control.Mirror).records if record.direction == "received"]
    assert received == [before, garbage]


def test_what_never_became_a_message_is_recorded_when_the_stream_ends(memory: Any) -> None:
    server = memory()
    session = server.session()
    part = request("INVITE", control.sip_marker(session.name, 1, 1), body=SDP)[:-5]
    talk = server.core.open_stream("sip:5060", "tcp", Endpoint("192.0.2.1", 1), 1.0)
    assert talk.feed(part, 1.0) == b""
    assert server.ask(session, control.Mirror).records == ()
    talk.end(1.5)
    talk.end(1.5)
    assert [record.data for record in server.ask(session, control.Mirror).records] == [part]


def test_a_stalled_stream_is_told_before_it_ends_and_a_segment_that_comes_late_is_not_held_against_it(memory: Any) -> None:
    server = memory()
    session = server.session()
    whole = request("INVITE", control.sip_marker(session.name, 1, 1), body=SDP)
    talk = server.core.open_stream("sip:5060", "tcp", Endpoint("192.0.2.1", 1), 1.0)
    talk.feed(whole[:-5], 1.0)
    assert server.ask(session, control.Mirror, now=1.0 + STALLED_S / 2).records == ()
    stalled = server.ask(session, control.Mirror, now=1.1 + STALLED_S).records
    assert [record.data for record in stalled] == [whole[:-5]]
    assert server.ask(session, control.Mirror, now=1.2 + STALLED_S).records == stalled
    talk.feed(whole[-5:], 3.0)
    assert [record.data for record in server.ask(session, control.Mirror).records][:2] == [whole[:-5], whole]


def test_a_stalled_stream_of_another_session_is_not_told(memory: Any) -> None:
    server = memory()
    mine, other = server.session(), server.session(Endpoint("192.0.2.9", 1))
    talk = server.core.open_stream("sip:5060", "tcp", Endpoint("192.0.2.1", 1), 1.0)
    talk.feed(request("INVITE", control.sip_marker(mine.name, 1, 1), body=SDP)[:-5], 1.0)
    assert server.ask(other, control.Mirror, now=9.0).records == ()
    assert len(server.ask(mine, control.Mirror, now=9.0).records) == 1


def test_a_connection_without_messages_is_closed_soon_and_one_of_a_session_lives_with_it(memory: Any) -> None:
    server = memory()
    session = server.session()
    talk = server.core.open_stream("A1", "tcp", PEER, 10.0)
    assert talk.deadline() == 10.0 + server.core.bounds.stream_idle_s
    talk.feed(binding(session.name), 12.0)
    assert talk.deadline() == session.deadline()
    server.core.end_session(session)
    assert talk.deadline() == 12.0 + server.core.bounds.stream_idle_s


def test_bytes_that_complete_nothing_do_not_keep_a_connection_alive(memory: Any) -> None:
    server = memory()
    talk = server.core.open_stream("sip:5060", "tcp", PEER, 10.0)
    for second in range(10):
        talk.feed(b"O"[: second == 0] or b"P", 10.0 + second)
    assert talk.deadline() == 10.0 + server.core.bounds.stream_idle_s


def test_a_stranger_who_asks_too_much_is_read_more_slowly(memory: Any) -> None:
    server = memory()
    stranger = Endpoint("192.0.2.77", 1)
    talk = server.core.open_stream("A1", "tcp", stranger, 1.0)
    talk.feed(binding(b"nobodys!") * server.core.limits.source_rate, 1.0)
    assert not talk.throttled
    talk.feed(binding(b"nobodys!"), 1.0)
    assert talk.throttled
    talk.feed(b"", 2.0)
    assert not talk.throttled
