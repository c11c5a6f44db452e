"""Plans of probes and of TCP connections, in memory."""

import itertools
from typing import Any

import pytest

from echo_server.plans.prober import Attempt, Dialing, Sending, order
from echo_server.sessions.limits import Bounds
from edgecheck.wire import control, ports, probe, rtp
from edgecheck.wire.address import Endpoint
from edgecheck.wire.probe import Kind, Probe
from tests.server.conftest import InMemory

HOST = InMemory.PEER.host


def plan(server: Any, session: Any, **fields: Any) -> Sending:
    asked: dict[str, Any] = {"series": 3, "address": HOST, "ports": ((5060, 5061),), "senders": ("B1",)}
    effect = server.ask(session, control.Probe, **(asked | fields))
    assert isinstance(effect, Sending), effect
    return effect


def carry_out(sending: Sending) -> list[tuple[float, Any]]:
    steps = list(sending.steps())
    for _, outbound in steps:
        sending.left(outbound)
    return steps


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100, 10001, 65535])
@pytest.mark.parametrize("seed", [0, 1, 99])
def test_every_port_has_its_turn_once(count: int, seed: int) -> None:
    assert sorted(order(count, seed)) == list(range(count))


def test_a_shuffled_order_takes_neighbors_far_apart() -> None:
    turns = list(order(10001, 5))
    assert turns == list(order(10001, 5))
    assert turns != list(order(10001, 6))
    for start in range(0, 10001 - 50, 50):  # a burst that eats 50 in a row
        eaten = sorted(turns[start : start + 50])
        assert min(later - earlier for earlier, later in itertools.pairwise(eaten)) > 10


@pytest.mark.parametrize("hops", [0, 7])
def test_probes_may_be_made_to_expire(memory: Any, hops: int) -> None:
    server = memory()
    assert {one.hops for _, one in carry_out(plan(server, server.session(), hops=hops))} == {hops}


@pytest.mark.parametrize("fields", [{"hops": -1}, {"hops": 256}])
def test_hops_outside_the_field_are_refused(memory: Any, fields: dict[str, int]) -> None:
    server = memory()
    session = server.session()
    for request in (control.Probe, control.Dial):
        asked: dict[str, Any] = {"series": 3, "address": HOST, "ports": ((5060, 5060),)}
        asked |= {"senders": ("B1",)} if request is control.Probe else {}
        declined = server.ask(session, request, **asked, **fields)
        assert declined.reason == "limit"


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        ({"source_port": 40000, "attempts": 1}, True),
        ({"source_port": 40000, "attempts": 2}, False),
        ({"source_port": 40000, "attempts": 1, "ports": ((5060, 5061),)}, False),
        ({"source_port": 22, "attempts": 1}, False),
    ],
)
def test_a_source_port_is_for_one_connection_and_no_services(memory: Any, fields: dict[str, Any], allowed: bool) -> None:
    server = memory()
    asked: dict[str, Any] = {"series": 3, "address": HOST, "ports": ((5060, 5060),)}
    assert isinstance(server.ask(server.session(), control.Dial, **(asked | fields)), Dialing) == allowed


def test_probes_say_what_they_are(memory: Any) -> None:
    server = memory()
    session = server.session()
    steps = carry_out(plan(server, session, senders=("A1", "AX", "BX")))
    assert [(one.sender, one.destination) for _, one in steps] == [
        (sender, Endpoint(HOST, port)) for port in (5060, 5061) for sender in ("A1", "AX:40001", "BX:40002")
    ]
    source_ports = {"A1": 3478, "AX:40001": 40001, "BX:40002": 40002}
    for _, one in steps:
        expected = Probe(Kind.PROBE, session.name, 3, one.destination.port, 0, source_ports[one.sender])
        assert probe.parse(one.data) == expected
        assert len(one.data) == probe.SIZE


def test_a_fresh_port_is_opened_first_and_accounted_as_the_sessions_own(memory: Any) -> None:
    server = memory()
    session = server.session()
    sending = plan(server, session, senders=("AX", "BX"), fresh=7)
    assert sending.fresh == [("AX", 7), ("BX", 7)]
    sending.leave_from(["AX:50001", "BX:50002"])
    assert [(one.sender, probe.parse(one.data).port) for _, one in carry_out(sending)] == [("AX:50001", 50001), ("BX:50002", 50002)] * 2
    (account,) = server.core.handle_request(session, control.Account(id=1, series=3), 0.0)
    assert [(row.sender, row.copies) for row in account.message.sent] == [("AX", 1), ("BX", 1)]


def test_fresh_ports_are_bounded(memory: Any) -> None:
    server = memory()
    session = server.session()
    most = session.limits.fresh_ports
    for _ in range(2):  # a number that was named is no further one
        for number in range(1, most + 1):
            plan(server, session, senders=("BX",), fresh=number)
    assert server.ask(session, control.Probe, series=3, address=HOST, ports=((5060, 5060),), senders=("BX",), fresh=most + 1).reason == "limit"
    assert server.ask(session, control.Probe, series=3, address=HOST, ports=((5060, 5060),), senders=("AX",), fresh=1).reason == "limit"
    plan(server, server.session(peer=Endpoint(HOST, 50_001)), senders=("BX",), fresh=most + 1)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({"senders": ("B1",), "fresh": 1}, "malformed"), ({"senders": ("BX",), "fresh": -1}, "limit"), ({"senders": ("BX",), "fresh": 65536}, "limit")],
)
def test_fresh_ports_are_for_probes_alone(memory: Any, fields: dict[str, Any], reason: str) -> None:
    server = memory()
    session = server.session()
    assert server.ask(session, control.Probe, series=3, address=HOST, ports=((5060, 5060),), **fields).reason == reason
    assert not session.fresh


def test_a_probe_in_an_rtp_packet(memory: Any) -> None:
    server = memory()
    session = server.session()
    for _, one in carry_out(plan(server, session, dress="rtp", copies=2)):
        packet = rtp.parse(one.data)
        assert (len(one.data), packet.payload_type) == (172, rtp.PCMU)
        inner = probe.parse(one.data, rtp.PROBE_OFFSET)
        assert (inner.kind, inner.item) == (Kind.PROBE, one.destination.port)
        assert packet.sequence == inner.copy


def test_copies_are_spaced_and_ports_paced(memory: Any) -> None:
    server = memory()
    session = server.session()
    steps = carry_out(plan(server, session, ports=((6000, 6099),), senders=("B1", "B2"), copies=3, spacing_ms=40, pace=1000))
    assert len(steps) == 600
    times = [at for at, _ in steps]
    assert times == sorted(times)
    by_port: dict[int, list[float]] = {}
    for at, one in steps:
        if one.sender == "B1":
            by_port.setdefault(one.destination.port, []).append(at)
    for copies in by_port.values():
        assert [round(at - copies[0], 6) for at in copies] == [0, 0.04, 0.08]
    # 1000 datagrams a second in all, but for the last copies' tail
    assert max(by_port[6099]) == pytest.approx(99 * 6 / 1000 + 0.08)
    assert max(sum(start <= at < start + 0.2 for at in times) for start in (0.1, 0.2, 0.3)) <= 205


def test_the_servers_limit_bounds_the_pace(memory: Any) -> None:
    server = memory()
    session = server.session()
    limit = server.core.limits.pace
    for asked, expected in ((0, limit), (10 * limit, limit), (50, 50)):
        assert plan(server, session, pace=asked).pace == expected


def test_the_requests_of_one_session_share_its_pace(memory: Any) -> None:
    server = memory()
    session = server.session()
    waits = [session.reserve_probe(10.0) for _ in range(1000)]
    assert waits[-1] == pytest.approx(1000 / server.core.limits.pace)
    assert session.reserve_probe(20.0) == pytest.approx(1 / server.core.limits.pace)


def test_what_left_is_accounted_for_and_what_was_refused_is_not(memory: Any) -> None:
    server = memory()
    session = server.session()
    sending = plan(server, session, ports=((6000, 6003),), senders=("B1", "BX"), copies=2)
    for number, (_, one) in enumerate(sending.steps()):
        if one.destination.port == 6001 and one.sender == "BX:40002" and number > 8:
            sending.refused(one)
        else:
            sending.left(one)
    assert sending.finish() == control.Probed(id=7, sent=15, failed=1)
    assert server.ask(session, control.Account, series=3).sent == (
        control.SentRow(sender="B1", ports=((6000, 6003),), copies=2),
        control.SentRow(sender="BX", ports=((6001, 6001),), copies=1),
        control.SentRow(sender="BX", ports=((6000, 6000), (6002, 6003)), copies=2),
    )


def test_a_series_may_be_probed_again_beyond_its_first_ports(memory: Any) -> None:
    server = memory()
    session = server.session()
    first = plan(server, session, ports=((6000, 6001),))
    carry_out(plan(server, session, ports=((5000, 5000), (7000, 7000))))
    carry_out(first)  # which was planned before the table grew
    (row,) = server.ask(session, control.Account, series=3).sent
    assert row == control.SentRow(sender="B1", ports=((5000, 5000), (6000, 6001), (7000, 7000)), copies=1)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"address": "192.0.2.1"}, "unproved-address"),
        ({"address": "127.0.0.1"}, "unproved-address"),
        ({"address": "nonsense"}, "malformed"),
        ({"ports": ()}, "malformed"),
        ({"ports": ((0, 10),)}, "malformed"),
        ({"ports": ((10, 5),)}, "malformed"),
        ({"ports": ((1, 70000),)}, "malformed"),
        ({"ports": ((1, 65535), (1, 65535))}, "limit"),
        ({"senders": ()}, "malformed"),
        ({"senders": ("B1", "B1")}, "malformed"),
        ({"copies": 0}, "limit"),
        ({"copies": 33}, "limit"),
        ({"spacing_ms": -1}, "limit"),
        ({"spacing_ms": 10**9}, "limit"),
        ({"series": -1}, "limit"),
        ({"series": 65536}, "limit"),
        ({"ports": ((1, 65535),), "copies": 32}, "limit"),
    ],
)
def test_a_probe_request_that_is_declined(memory: Any, fields: dict[str, Any], reason: str) -> None:
    server = memory()
    asked: dict[str, Any] = {"series": 3, "address": HOST, "ports": ((5060, 5061),), "senders": ("B1",)}
    declined = server.ask(server.session(), control.Probe, **(asked | fields))
    assert isinstance(declined, control.Declined)
    assert (declined.id, declined.reason) == (7, reason)
    assert declined.message


@pytest.mark.parametrize("sender", ["B1", "B2", "BX"])
def test_one_address_has_no_sender_at_another(memory: Any, sender: control.Sender) -> None:
    server = memory(alternate=False)
    declined = server.ask(server.session(), control.Probe, series=3, address=HOST, ports=((1, 1),), senders=("A1", sender))
    assert declined.reason == "unavailable"


def test_accounts_that_are_full_decline_and_do_not_grow(memory: Any) -> None:
    server = memory(bounds=Bounds(session_bytes=8 << 20))
    session = server.session()
    replies = [
        server.ask(session, control.Probe, series=series, address=HOST, ports=((1, 65535),), senders=("A1", "A2", "AX", "B1", "B2", "BX"))
        for series in range(20)
    ]
    declined = [reply for reply in replies if isinstance(reply, control.Declined)]
    assert {reply.reason for reply in declined} == {"limit"}
    assert len(declined) >= 8


# --- Dialing ------------------------------------------------------------------------------------------------------------


def dialing(server: Any, session: Any, **fields: Any) -> Any:
    return server.ask(session, control.Dial, **({"series": 4, "address": HOST, "ports": ((5060, 5061),)} | fields))


def test_the_best_attempt_is_told(memory: Any) -> None:
    server = memory()
    session = server.session()
    plan = dialing(server, session, ports=((5060, 5064),))
    assert isinstance(plan, Dialing)
    assert (plan.local, plan.ports) == ("B", (5060, 5061, 5062, 5063, 5064))
    outcomes = {
        5060: ("silent", "connected", "proved", "refused"),
        5061: ("silent", "refused", "connected"),
        5062: ("silent", "unreachable", "refused"),
        5063: ("unsent", "silent"),
        5064: (),
    }
    for port, ended in outcomes.items():
        for number, outcome in enumerate(ended):
            plan.left(port)
            plan.ended(port, Attempt(outcome, 10.0 + number, f"attempt {number}"))
    rows = {row.port: row for row in plan.finish().rows}
    assert {port: row.outcome for port, row in rows.items()} == {
        5060: "proved",
        5061: "connected",
        5062: "refused",
        5063: "silent",
        5064: "unsent",
    }
    assert (rows[5060].attempts, rows[5060].elapsed_ms, rows[5060].detail) == (4, 12.0, "attempt 2")
    sent = server.ask(session, control.Account, series=4).sent
    assert [(row.sender, row.ports, row.copies) for row in sent] == [
        ("B/tcp", ((5063, 5063),), 2),
        ("B/tcp", ((5061, 5062),), 3),
        ("B/tcp", ((5060, 5060),), 4),
    ]


def test_only_our_own_probe_sent_back_as_an_echo_proves(memory: Any) -> None:
    server = memory()
    session = server.session()
    plan = dialing(server, session)
    greeting = plan.greeting(5060, 2, 40123)
    assert probe.parse(greeting) == Probe(Kind.PROBE, session.name, 4, 5060, 2, 40123)
    echo = probe.serialize(probe.parse(greeting)._replace(kind=Kind.ECHO))
    assert plan.proves(5060, echo)
    for other in (greeting, echo[:27], b"SSH-2.0-OpenSSH", b"", probe.serialize(probe.parse(echo)._replace(item=5061))):
        assert not plan.proves(5060, other)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"address": "192.0.2.1"}, "unproved-address"),
        ({"attempts": 0}, "limit"),
        ({"ports": ((1, 100),)}, "limit"),  # 4 attempts each
        ({"patience_ms": 0}, "limit"),
        ({"patience_ms": 10**6}, "limit"),
        ({"ports": ((70000, 70001),)}, "malformed"),
    ],
)
def test_a_dial_request_that_is_declined(memory: Any, fields: dict[str, Any], reason: str) -> None:
    server = memory()
    assert dialing(server, server.session(), **fields).reason == reason


def test_dialing_from_b_needs_two_addresses(memory: Any) -> None:
    server = memory(alternate=False)
    session = server.session()
    assert dialing(server, session).reason == "unavailable"
    assert isinstance(dialing(server, session, sender="A"), Dialing)


def test_ports_told_as_ranges_and_one_by_one_are_the_same_ports(memory: Any) -> None:
    server = memory()
    session = server.session()
    one = [step.destination.port for _, step in plan(server, session, ports=((7000, 7009),)).steps()]
    other = [step.destination.port for _, step in plan(server, session, ports=tuple((port, port) for port in range(7000, 7010))).steps()]
    assert one == other == list(ports.expand(((7000, 7009),)))


def test_probes_leave_from_the_sip_port_where_that_is_asked(memory: Any) -> None:
    server = memory()
    session = server.session()
    sending = server.ask(session, control.Probe, series=1, address=session.peer.host, ports=((5062, 5062),), senders=("SIP", "A1"))
    assert [outbound.sender for _, outbound in sending.steps()] == [f"sip:{server.service.sip_port}", "A1"]
