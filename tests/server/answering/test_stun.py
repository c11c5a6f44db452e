"""The STUN responder against RFC 8489, 5780 and 3489, in memory."""

from typing import Any

import pytest

from edgecheck.wire import control, stun
from edgecheck.wire.address import Endpoint
from edgecheck.wire.stun import Attribute, Class, Message

SOURCE = Endpoint("203.0.113.7", 50001)
TRANSACTION = bytes(range(12))
PLAIN = stun.binding_request(TRANSACTION)
A, B = "198.51.100.10", "198.51.100.11"
ENDPOINTS = {"A1": Endpoint(A, 3478), "A2": Endpoint(A, 3479), "B1": Endpoint(B, 3478), "B2": Endpoint(B, 3479)}
CLASSIC = b"\x01\x02\x03\x04"


def answer(server: Any, listener: str, data: bytes, source: Endpoint = SOURCE) -> tuple[str, Endpoint, Message]:
    """(sender, destination, message) of the one answer."""
    (outbound,) = server.core.handle_datagram(listener, source, data, 1.0)
    return outbound.sender, outbound.destination, stun.parse(outbound.data)


@pytest.mark.parametrize("listener", ENDPOINTS)
def test_a_plain_request_is_answered_from_where_it_came_to(memory: Any, listener: str) -> None:
    sender, destination, message = answer(memory(), listener, PLAIN)
    assert (sender, destination) == (listener, SOURCE)
    assert (message.message_class, message.method, message.transaction_id) == (Class.SUCCESS, stun.BINDING, TRANSACTION)
    assert message.get(stun.XOR_MAPPED_ADDRESS) == message.get(stun.MAPPED_ADDRESS) == SOURCE
    assert message.get(stun.RESPONSE_ORIGIN) == ENDPOINTS[listener]
    other_role = {"A": "B", "B": "A"}[listener[0]] + {"1": "2", "2": "1"}[listener[1]]
    assert message.get(stun.OTHER_ADDRESS) == ENDPOINTS[other_role]
    assert [attribute.type for attribute in message.attributes] == [
        stun.XOR_MAPPED_ADDRESS,
        stun.MAPPED_ADDRESS,
        stun.RESPONSE_ORIGIN,
        stun.OTHER_ADDRESS,
        stun.SOFTWARE,
    ]


# RFC 5780 table 1, over all four sockets.
@pytest.mark.parametrize(
    ("listener", "address", "port", "sender"),
    [
        ("A1", False, True, "A2"),
        ("A1", True, False, "B1"),
        ("A1", True, True, "B2"),
        ("A2", False, True, "A1"),
        ("A2", True, False, "B2"),
        ("A2", True, True, "B1"),
        ("B1", True, True, "A2"),
        ("B2", True, False, "A2"),
        ("B2", False, True, "B1"),
    ],
)
def test_change_request_chooses_the_sender(memory: Any, listener: str, address: bool, port: bool, sender: str) -> None:
    request = stun.binding_request(TRANSACTION, stun.change_request(address, port))
    chosen, destination, message = answer(memory(), listener, request)
    assert (chosen, destination) == (sender, SOURCE)
    assert message.response_origin == ENDPOINTS[sender]


@pytest.mark.parametrize(("address", "port"), [(True, False), (False, True), (True, True)])
def test_one_address_refuses_change_request_and_tells_no_other_address(memory: Any, address: bool, port: bool) -> None:
    server = memory(alternate=False)
    sender, _, message = answer(server, "A1", stun.binding_request(TRANSACTION, stun.change_request(address, port)))
    assert sender == "A1"
    assert message.message_class is Class.ERROR
    assert message.error is not None
    assert message.error[0] == 420
    assert message.get(stun.UNKNOWN_ATTRIBUTES) == (stun.CHANGE_REQUEST,)
    assert answer(server, "A1", PLAIN)[2].other_address is None


@pytest.mark.parametrize("alternate", [True, False])
def test_change_request_without_flags_asks_for_nothing(memory: Any, alternate: bool) -> None:
    sender, _, message = answer(memory(alternate=alternate), "A1", stun.binding_request(TRANSACTION, stun.change_request(False, False)))
    assert (sender, message.message_class) == ("A1", Class.SUCCESS)


def test_a_classic_client_gets_the_attributes_it_knows(memory: Any) -> None:
    sender, _, message = answer(memory(), "A1", stun.binding_request(TRANSACTION, stun.change_request(True, True), cookie=CLASSIC))
    assert sender == "B2"
    assert message.cookie == CLASSIC
    assert [attribute.type for attribute in message.attributes] == [
        stun.MAPPED_ADDRESS,
        stun.SOURCE_ADDRESS,
        stun.CHANGED_ADDRESS,
        stun.SOFTWARE,
    ]
    assert message.get(stun.MAPPED_ADDRESS) == SOURCE
    assert message.get(stun.SOURCE_ADDRESS) == ENDPOINTS["B2"]
    assert message.get(stun.CHANGED_ADDRESS) == ENDPOINTS["B2"]
    assert len(message.get(stun.SOFTWARE)) % 4 == 0  # RFC 3489 knows no padding behind a text


def test_response_address_of_rfc_3489_is_refused(memory: Any) -> None:
    victim = Attribute(stun.RESPONSE_ADDRESS, Endpoint("192.0.2.66", 53))
    sender, destination, message = answer(memory(), "A1", stun.binding_request(TRANSACTION, victim, cookie=CLASSIC))
    assert (sender, destination) == ("A1", SOURCE)
    assert message.error is not None
    assert message.error[0] == 420
    assert message.get(stun.UNKNOWN_ATTRIBUTES) == (stun.RESPONSE_ADDRESS, stun.RESPONSE_ADDRESS)  # made even by repeating
    assert len(message.error[1]) % 4 == 0


@pytest.mark.parametrize("value", [(6000).to_bytes(2, "big"), (6000).to_bytes(2, "big") + b"\0\0"])
def test_response_port_in_two_and_four_bytes(memory: Any, value: bytes) -> None:
    request = bytearray(stun.binding_request(TRANSACTION))
    request += stun.RESPONSE_PORT.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value.ljust(4, b"\0")
    request[3] = 8
    sender, destination, message = answer(memory(), "A2", bytes(request))
    assert (sender, destination) == ("A2", Endpoint(SOURCE.host, 6000))
    assert message.mapped == SOURCE


def test_response_port_and_padding_exclude_each_other(memory: Any) -> None:
    request = stun.binding_request(TRANSACTION, Attribute(stun.RESPONSE_PORT, 6000), Attribute(stun.PADDING, bytes(64)))
    _, destination, message = answer(memory(), "A1", request)
    assert destination == SOURCE
    assert message.error == (400, "Bad Request")


@pytest.mark.parametrize("size", [100, 1400, 3000])
def test_padding_is_answered_with_padding_and_never_with_more_than_came(memory: Any, size: int) -> None:
    request = stun.binding_request(TRANSACTION, Attribute(stun.PADDING, bytes(size)))
    (outbound,) = memory().core.handle_datagram("A1", SOURCE, request, 1.0)
    assert len(request) - 4 < len(outbound.data) <= len(request)
    assert stun.parse(outbound.data).get(stun.PADDING) is not None


def test_unknown_attributes_that_must_be_understood_are_listed_once(memory: Any) -> None:
    unknown = [Attribute(type, b"1234") for type in (0x7001, 0x0031, 0x7001, 0xC001)]
    _, _, message = answer(memory(), "A1", stun.binding_request(TRANSACTION, *unknown))
    assert message.error is not None
    assert message.error[0] == 420
    assert message.get(stun.UNKNOWN_ATTRIBUTES) == (0x7001, 0x0031)


def test_credentials_mean_nothing_to_a_server_that_asks_for_none(memory: Any) -> None:
    request = stun.binding_request(TRANSACTION, Attribute(stun.USERNAME, "me"), Attribute(stun.MESSAGE_INTEGRITY, bytes(20)))
    assert answer(memory(), "A1", request)[2].message_class is Class.SUCCESS


def test_a_fingerprint_is_answered_with_one_and_a_wrong_one_with_silence(memory: Any) -> None:
    server = memory()
    request = stun.with_fingerprint(PLAIN)
    (outbound,) = server.core.handle_datagram("A1", SOURCE, request, 1.0)
    assert stun.fingerprint_matches(outbound.data) is True
    assert server.core.handle_datagram("A1", SOURCE, request[:-1] + bytes([request[-1] ^ 1]), 1.0) == []
    assert server.core.counters["fingerprint"] == 1


@pytest.mark.parametrize("message_class", [Class.INDICATION, Class.SUCCESS, Class.ERROR])
def test_what_is_no_request_is_not_answered(memory: Any, message_class: Class) -> None:
    assert memory().core.handle_datagram("A1", SOURCE, stun.serialize(Message(message_class, stun.BINDING, TRANSACTION)), 1.0) == []


def test_another_method_is_not_answered(memory: Any) -> None:
    allocate = stun.serialize(Message(Class.REQUEST, 3, TRANSACTION))
    assert memory().core.handle_datagram("A1", SOURCE, allocate, 1.0) == []


def test_ipv6(memory: Any) -> None:
    source = Endpoint("2001:db8:9::7", 50001)
    sender, destination, message = answer(memory(), "A1", stun.binding_request(TRANSACTION, stun.change_request(True, True)), source)
    assert (sender, destination) == ("B2", source)
    assert message.get(stun.XOR_MAPPED_ADDRESS) == source
    assert message.response_origin == Endpoint("2001:db8::11", 3479)


def test_a_sip_port_and_a_probe_socket_answer_without_offering_another_address(memory: Any) -> None:
    server = memory()
    for listener, port in (("sip:5060", 5060), ("AX:40001", 40001)):
        sender, _, message = answer(server, listener, PLAIN)
        assert (sender, message.response_origin, message.other_address) == (listener, Endpoint(A, port), None)


def test_a_transaction_of_a_session_is_accounted_for(memory: Any) -> None:
    server = memory()
    session = server.session()
    request = stun.binding_request(control.stun_transaction_id(session.name, 3, 5060), stun.change_request(True, False))
    for now in (2.0, 2.5):
        server.core.handle_datagram("A1", SOURCE, request, now)
    accounted = server.ask(session, control.Account, series=3)
    assert accounted.received == (
        control.ReceivedRow(item=5060, listener="A1", source="203.0.113.7:50001", copies=2, answered=2, first_ms=2000.0),
    )
    assert server.ask(session, control.Account, series=4).received == ()


def test_an_answer_that_could_not_be_sent_is_taken_back(memory: Any) -> None:
    server = memory()
    session = server.session()
    (outbound,) = server.core.handle_datagram("A1", SOURCE, stun.binding_request(control.stun_transaction_id(session.name, 3, 1)), 1.0)
    outbound.take_back()
    (row,) = server.ask(session, control.Account, series=3).received
    assert (row.copies, row.answered) == (1, 0)


def test_the_quick_way_answers_as_the_other_one(memory: Any) -> None:
    server = memory()
    quick = server.core.quick("A1", 4)
    for number in range(3):
        request = stun.binding_request(number.to_bytes(12, "big"))
        (outbound,) = server.core.handle_datagram("A1", SOURCE, request, 1.0)
        assert quick(request, tuple(SOURCE), 1.0) == outbound.data


def test_the_quick_way_leaves_to_the_other_one_what_it_must_not_take(memory: Any) -> None:
    server = memory()
    quick = server.core.quick("A1", 4)
    session = server.session()
    of_session = stun.binding_request(control.stun_transaction_id(session.name, 1, 1))
    for request in (of_session, PLAIN + b"\0", stun.binding_request(TRANSACTION, cookie=CLASSIC), b"", PLAIN[:19]):
        assert quick(request, tuple(SOURCE), 1.0) is None
    assert server.core.quick("A1", 6)(PLAIN, ("2001:db8::1", 1), 1.0) is None


@pytest.mark.parametrize("way", ["quick", "general"])
def test_a_stranger_gets_so_many_answers_a_second_and_a_proved_source_all(memory: Any, way: str) -> None:
    server = memory()
    rate = server.core.limits.source_rate
    quick = server.core.quick("A1", 4)

    def answered(host: str, now: float) -> int:
        if way == "quick":
            return sum(bool(quick(PLAIN, (host, 1000), now)) for _ in range(rate + 50))
        return sum(len(server.core.handle_datagram("A1", Endpoint(host, 1000), PLAIN, now)) for _ in range(rate + 50))

    assert answered("203.0.113.7", 10.0) == rate
    assert answered("203.0.113.7", 10.9) == 0
    assert answered("203.0.113.7", 11.0) == rate
    assert answered("127.0.0.1", 11.0) == rate + 50
    session = server.session(Endpoint("203.0.113.7", 50000))
    assert answered("203.0.113.7", 11.5) == rate + 50
    server.core.end_session(session)
    assert answered("203.0.113.7", 12.0) == rate
