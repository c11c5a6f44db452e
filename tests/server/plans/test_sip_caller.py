"""The server calls a phone that has registered, and nobody else."""

from typing import Any

import pytest

from echo_server.plans.sip_caller import Calling
from edgecheck.wire import control, probe, sip
from edgecheck.wire.address import Endpoint
from tests.server.conftest import InMemory
from tests.server.sip_phone import PEER, request

SERIES, REGISTER, OPTIONS, INVITE, CONTROL = 5, 1, 8, 9, 0
CONTACT = "<sip:me@192.168.1.2:5060;transport=udp;ob>"


class Registered:
    """A session with a phone that has registered over UDP."""

    def __init__(
        self, memory: type[InMemory], peer: Endpoint = PEER, proved: Endpoint = PEER, method: str = "REGISTER", contact: str = CONTACT
    ) -> None:
        self.server = memory()
        self.session = self.server.session(Endpoint(proved.host, 50_000))
        marker = control.sip_marker(self.session.name, SERIES, REGISTER)
        self.server.core.handle_datagram("sip:5060", peer, request(method, marker, Contact=contact), 1.0)

    def call(self, **changes: Any) -> Any:
        asked: dict[str, Any] = {
            "series": SERIES,
            "registered": REGISTER,
            "methods": ("OPTIONS", "INVITE"),
            "items": (OPTIONS, INVITE, CONTROL),
            "copies": 3,
        }
        return self.server.ask(self.session, control.Call, **(asked | changes))


def carried_out(calling: Calling) -> list[Any]:
    out = []
    for _, outbound in calling.steps():
        calling.left(outbound)
        out.append(outbound)
    return out


def test_it_calls_the_contact_at_the_place_that_the_register_came_from(memory: Any) -> None:
    phone = Registered(memory)
    calling = phone.call()
    out = carried_out(calling)
    assert {(one.sender, one.destination) for one in out} == {("sip:5060", PEER)}
    calls = [sip.parse(one.data) for one in out if not one.data.startswith(probe.MAGIC)]
    assert {(call.method, call.uri) for call in calls} == {
        ("OPTIONS", "sip:me@192.168.1.2:5060;transport=udp;ob"),
        ("INVITE", f"sip:me@{PEER}"),
    }
    assert all(call.content_length == len(call.body) for call in calls)
    assert calling.finish() == control.Called(id=7, sent=9, controls=3)


def test_beside_each_round_goes_a_probe_as_long_as_the_longest_request(memory: Any) -> None:
    out = carried_out(Registered(memory).call())
    rounds = [out[start : start + 3] for start in range(0, 9, 3)]
    for batch in rounds:
        (beside,) = [one.data for one in batch if one.data.startswith(probe.MAGIC)]
        assert len(beside) == max(len(one.data) for one in batch)
        assert probe.parse(beside).item == CONTROL


def test_what_left_is_in_the_mirror_and_what_the_system_refused_is_not(memory: Any) -> None:
    phone = Registered(memory)
    calling = phone.call(methods=("OPTIONS",), items=(OPTIONS, CONTROL), copies=2)
    for number, (_, outbound) in enumerate(calling.steps()):
        calling.refused(outbound) if number < 2 else calling.left(outbound)
    records = [record for record in phone.server.ask(phone.session, control.Mirror).records if record.direction == "sent"]
    calls = [record for record in records if record.data.startswith(b"OPTIONS")]
    assert [(record.transport, record.server_port, record.peer) for record in calls] == [("udp", 5060, str(PEER))]


def registered_over_tcp(memory: type[InMemory]) -> tuple[InMemory, Any, Any, list[bytes]]:
    server = memory()
    session = server.session(Endpoint(PEER.host, 50_000))
    talk = server.core.open_stream("sip:5060", "tcp", PEER, 1.0)
    written: list[bytes] = []
    talk.write = written.append
    talk.feed(request("REGISTER", control.sip_marker(session.name, SERIES, REGISTER), Contact="<sip:me@192.168.1.2:5060;transport=tcp>"), 1.0)
    return server, session, talk, written


def call_over(server: InMemory, session: Any, transport: str) -> Any:
    items = {"methods": ("OPTIONS", "INVITE"), "items": (OPTIONS, INVITE, CONTROL)}
    return server.ask(session, control.Call, series=SERIES, registered=REGISTER, transport=transport, **items)


def test_over_tcp_it_calls_on_the_connection_of_the_register(memory: Any) -> None:
    server, session, _, written = registered_over_tcp(memory)
    assert call_over(server, session, "tcp") == control.Called(id=7, sent=2, controls=0)
    calls = [sip.parse(data) for data in written]
    assert [(call.method, call.uri) for call in calls] == [
        ("OPTIONS", "sip:me@192.168.1.2:5060;transport=tcp"),
        ("INVITE", f"sip:me@{PEER};transport=tcp"),
    ]
    assert all((call.get("Via") or "").startswith("SIP/2.0/TCP ") and call.content_length == len(call.body) for call in calls)
    sent = [record for record in server.ask(session, control.Mirror).records if record.direction == "sent"]
    assert [record.data for record in sent[-2:]] == written
    assert {record.transport for record in sent} == {"tcp"}


def test_a_connection_that_is_gone_or_of_another_transport_is_not_called_on(memory: Any) -> None:
    server, session, talk, written = registered_over_tcp(memory)
    assert call_over(server, session, "udp").reason == "unavailable"
    assert call_over(server, session, "tls").reason == "unavailable"
    talk.write = None
    assert call_over(server, session, "tcp").reason == "unavailable"
    assert written == []


def test_a_connection_is_called_on_so_often_and_no_oftener(memory: Any) -> None:
    server, session, _, written = registered_over_tcp(memory)
    replies = [call_over(server, session, "tcp") for _ in range(40)]
    assert isinstance(replies[-1], control.Declined)
    assert len(written) == 2 * sum(isinstance(reply, control.Called) for reply in replies) <= 32


@pytest.mark.parametrize(
    ("phone", "reason"),
    [
        ({"peer": Endpoint("192.0.2.99", 5060)}, "unproved-address"),
        ({"method": "OPTIONS"}, "unavailable"),
        ({"contact": "*"}, "unavailable"),
        ({"contact": "<sip:me@host?Subject=x>"}, "unavailable"),
        ({"contact": "<sip:me@" + "h" * 90 + ">"}, "unavailable"),
    ],
)
def test_nobody_else_is_called(memory: Any, phone: dict[str, Any], reason: str) -> None:
    """A forged source above all: the place must have proved itself to be the session's."""
    declined = Registered(memory, **phone).call()
    assert isinstance(declined, control.Declined)
    assert declined.reason == reason


@pytest.mark.parametrize(
    "changes",
    [
        {"copies": 0},
        {"copies": 33},
        {"spacing_ms": -1},
        {"series": 70_000},
        {"items": (OPTIONS, INVITE, 70_000)},
        {"items": (OPTIONS,)},
        {"methods": ()},
        {"methods": ("INVITE", "INVITE")},
        {"registered": 2},
    ],
)
def test_limits_are_enforced(memory: Any, changes: dict[str, Any]) -> None:
    assert isinstance(Registered(memory).call(**changes), control.Declined)


def test_the_latest_register_counts(memory: Any) -> None:
    """A phone whose mapping has moved is called where it is now."""
    phone = Registered(memory)
    marker = control.sip_marker(phone.session.name, SERIES, REGISTER)
    moved = Endpoint(PEER.host, 6000)
    phone.server.core.handle_datagram("sip:5080", moved, request("REGISTER", marker, Contact=CONTACT), 2.0)
    assert {(one.sender, one.destination) for one in carried_out(phone.call())} == {("sip:5080", moved)}
