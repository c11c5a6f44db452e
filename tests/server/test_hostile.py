"""Whatever a peer sends: nothing raises, nothing grows, nobody else notices."""

import gc
import random
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_server.sessions.limits import Bounds
from edgecheck.wire import control, probe, rtp, stun
from edgecheck.wire.address import Endpoint
from edgecheck.wire.probe import Kind, Probe
from tests.server.conftest import InMemory
from tests.server.sip_phone import SDP, request

LISTENERS = ("A1", "A2", "B1", "B2", "AX:40001", "BX:40002", "sip:5060", "sip:5080", "media:10000")
STRANGER = Endpoint("192.0.2.77", 5060)
SESSION = bytes(8)


def samples(session: bytes) -> list[bytes]:
    """One of everything that is meant to come."""
    marker = control.sip_marker(session, 1, 2)
    return [
        stun.binding_request(
            control.stun_transaction_id(session, 1, 2), stun.change_request(True, True), stun.Attribute(stun.PADDING, bytes(40))
        ),
        stun.with_fingerprint(stun.binding_request(bytes(12), stun.Attribute(stun.RESPONSE_PORT, 9))),
        stun.binding_request(bytes(12), stun.change_request(True, False), cookie=b"old!"),
        probe.serialize(Probe(Kind.CLAIM, session, 1, 2)),
        probe.serialize(Probe(Kind.ECHO, session, 1, 2), 400),
        rtp.probe_packet(probe.serialize(Probe(Kind.ECHO, session, 1, 2)), 1, 2, 3),
        request("INVITE", marker, body=SDP),
        request("REGISTER", marker, Authorization="Digest x", Expires="60"),
        request("OPTIONS", marker),
    ]


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200), listener=st.sampled_from(LISTENERS))
def test_any_datagram(data: bytes, listener: str) -> None:
    server = InMemory()
    outbound = server.core.handle_datagram(listener, STRANGER, data, 1.0)
    assert sum(len(one.data) for one in outbound) <= max(200, len(data))
    assert server.faults == []


@settings(max_examples=400, deadline=None)
@given(
    which=st.integers(0, 8),
    edits=st.lists(st.tuples(st.integers(0, 700), st.integers(0, 3), st.binary(max_size=6)), max_size=6),
    listener=st.sampled_from(LISTENERS),
    session_named=st.booleans(),
    proved=st.booleans(),
)
def test_a_datagram_that_is_nearly_right(
    which: int, edits: list[tuple[int, int, bytes]], listener: str, session_named: bool, proved: bool
) -> None:
    server = InMemory()
    session = server.session()
    data = samples(session.name if session_named else b"nobodys!")[which]
    for at, removed, added in edits:
        data = data[:at] + added + data[at + removed :]
    source = InMemory.PEER if proved else STRANGER
    for outbound in server.core.handle_datagram(listener, source, data, 1.0):
        assert outbound.destination.host == source.host
        if not proved and listener.startswith("sip:") and not stun.is_stun(data):
            assert len(outbound.data) <= len(data)
    talk = server.core.open_stream(listener if listener[0] != "m" else "A1", "tcp", source, 1.0)
    talk.feed(data, 1.0)
    talk.end(1.0)
    assert server.faults == []


@settings(max_examples=200, deadline=None)
@given(chunks=st.lists(st.binary(max_size=80), max_size=8), listener=st.sampled_from(("A1", "sip:5060", "sip:5061")))
def test_any_stream(chunks: list[bytes], listener: str) -> None:
    server = InMemory()
    server.session()
    talk = server.core.open_stream(listener, "tcp", InMemory.PEER, 1.0)
    for chunk in chunks:
        talk.feed(chunk, 1.0)
    talk.end(1.0)
    assert server.faults == []


@pytest.mark.parametrize("kind", [control.Prove, control.Probe, control.Dial, control.OpenMedia, control.Account, control.Mirror])
def test_requests_with_wild_numbers_are_declined_or_answered(memory: Any, kind: Any) -> None:
    server = memory()
    session = server.session()
    wild = [-(2**63), -1, 0, 1, 65535, 65536, 2**31, 2**63 - 1]
    generator = random.Random(3)
    for _ in range(400):
        values: dict[str, Any] = {"id": generator.choice(wild)}
        for field in kind.__struct_fields__:
            if field in ("series", "copies", "spacing_ms", "pace", "shuffle", "attempts", "patience_ms", "after"):
                values[field] = generator.choice(wild)
            elif field == "ports":
                values[field] = tuple((generator.choice(wild), generator.choice(wild)) for _ in range(generator.randrange(3)))
            elif field == "address":
                values[field] = generator.choice([InMemory.PEER.host, "", "\x00", "999.1.1.1", "::1", "fe80::1%eth0", "x" * 1000])
            elif field == "cookie":
                values[field] = generator.choice(["", "zz", "00" * 8, "é" * 16, "0" * 10**5])
            elif field == "senders":
                values[field] = ("B1",)
        server.core.handle_request(session, kind(**values), 1.0)


def test_a_reply_is_no_request(memory: Any) -> None:
    server = memory()
    session = server.session()
    for message in (control.Pong(id=1, at_ms=0.0), server.core.greet(), control.Proved(id=1, addresses=())):
        (effect,) = server.core.handle_request(session, message, 1.0)
        assert effect.message.reason == "malformed"


def flood(server: InMemory, count: int) -> None:
    """Different sources, sessions, items: all that could make a table grow."""
    generator = random.Random(1)
    session = server.session()
    data = samples(session.name)
    quick = server.core.quick("A1", 4)
    for number in range(count):
        source = Endpoint(f"192.0.{generator.randrange(256)}.{generator.randrange(256)}", generator.randrange(1, 65536))
        quick(stun.binding_request(number.to_bytes(12, "big")), (source.host, source.port), float(number // 1000))
        sample = data[number % len(data)].replace(b"\0\x01\0\x02", generator.randbytes(4))
        server.core.handle_datagram(LISTENERS[number % len(LISTENERS)], source, sample, float(number // 1000))
        if number % 50 == 0:
            server.core.open_stream("sip:5060", "tcp", source, 1.0).feed(b"INVITE " + generator.randbytes(50), 1.0)
    server.core.end_session(session)


def test_a_flood_leaves_no_memory_behind() -> None:
    server = InMemory(bounds=Bounds(session_bytes=1 << 20))
    flood(server, 3000)
    tracemalloc.start()
    try:
        flood(server, 3000)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        flood(server, 3000)
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert after - before < 50_000
    assert server.faults == []


def test_a_session_that_fills_its_accounts_disturbs_no_other(memory: Any) -> None:
    server = memory(bounds=Bounds(session_bytes=200_000, total_bytes=600_000))
    greedy, modest = server.session(), server.session(Endpoint("203.0.113.8", 1))
    for item in range(3000):
        server.core.handle_datagram(
            "A1", InMemory.PEER, stun.binding_request(control.stun_transaction_id(greedy.name, item % 7, item)), 1.0
        )
    assert greedy.ledger.dropped > 2000
    server.core.handle_datagram("A1", Endpoint("203.0.113.8", 2), stun.binding_request(control.stun_transaction_id(modest.name, 1, 1)), 1.0)
    assert len(server.ask(modest, control.Account, series=1).received) == 1


def test_memory_of_all_sessions_is_bounded_and_given_back(memory: Any) -> None:
    server = memory(bounds=Bounds(session_bytes=400_000, total_bytes=500_000))
    for _ in range(3):
        sessions = [server.session(Endpoint(f"203.0.113.{number}", 1)) for number in range(3)]
        kept = 0
        for session in sessions:
            for item in range(1000):
                server.core.handle_datagram(
                    "A1", InMemory.PEER, stun.binding_request(control.stun_transaction_id(session.name, 1, item)), 1.0
                )
            kept += len(server.ask(session, control.Account, series=1).received)
        assert kept == 1000
        for session in sessions:
            server.core.end_session(session)


def test_the_account_of_one_series_fits_into_one_message(memory: Any) -> None:
    server = memory(bounds=Bounds(session_bytes=1 << 26))
    session = server.session(Endpoint("2001:db8:1234:5678:9abc:def0:1234:5678", 1))
    for number in range(60_000):
        source = Endpoint("2001:db8:1234:5678:9abc:def0:1234:5678", 60000 - number % 7)
        data = probe.serialize(Probe(Kind.ECHO, session.name, 1, number))
        server.core.handle_datagram("sip:5060", source, data, 123456.789)
    accounted = server.ask(session, control.Account, series=1)
    assert len(accounted.received) == server.core.bounds.rows
    assert len(control.serialize(accounted)) <= control.MAX_MESSAGE
