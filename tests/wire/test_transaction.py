"""The client transaction of RFC 3261 section 17.1.2: its timers, and which answers belong to it."""

import pytest

from edgecheck.wire import sip
from edgecheck.wire.transaction import ClientTransaction

BRANCH = "z9hG4bKabc"
REQUEST = b"REGISTER sip:example.com SIP/2.0\r\n\r\n"


def answer(status: int, branch: str = BRANCH, method: str = "REGISTER") -> sip.Message:
    return sip.parse_datagram(
        sip.build(f"SIP/2.0 {status} X", [("Via", f"SIP/2.0/UDP 192.0.2.1;branch={branch};rport=5060"), ("CSeq", f"7 {method}")])
    )


def sent_at(transaction: ClientTransaction, until: float, now: float = 0.0) -> list[float]:
    """When copies leave, asked exactly when it says that it is due."""
    assert transaction.begin(now) == REQUEST
    times = [now]
    while (due := transaction.due()) is not None and due <= until:
        if transaction.tick(due) is not None:
            times.append(due)
    return times


def test_timer_e_doubles_up_to_t2_and_timer_f_ends_it() -> None:
    transaction = ClientTransaction(REQUEST, BRANCH, "REGISTER", reliable=False)
    assert sent_at(transaction, 100) == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert transaction.state == "terminated"
    assert transaction.copies == 11
    assert transaction.due() is None


def test_a_reliable_transport_sends_once() -> None:
    transaction = ClientTransaction(REQUEST, BRANCH, "REGISTER", reliable=True)
    assert sent_at(transaction, 100) == [0]
    assert transaction.state == "terminated"


def test_after_a_provisional_answer_copies_are_t2_apart_and_the_end_stays() -> None:
    transaction = ClientTransaction(REQUEST, BRANCH, "REGISTER", reliable=False)
    transaction.begin(0)
    assert transaction.receive(answer(100), 0.2)
    assert (transaction.state, transaction.provisional, transaction.due()) == ("proceeding", 100, 4.2)
    assert transaction.tick(4.2) == REQUEST
    assert transaction.due() == pytest.approx(8.2)
    assert transaction.tick(32.0) is None
    assert transaction.over


def test_a_final_answer_stops_the_copies_and_its_own_copies_are_absorbed() -> None:
    transaction = ClientTransaction(REQUEST, BRANCH, "REGISTER", reliable=False)
    transaction.begin(0)
    assert transaction.receive(answer(401), 0.1)
    assert transaction.over
    assert transaction.state == "completed"
    assert transaction.receive(answer(200), 0.2)
    assert transaction.final is not None
    assert transaction.final.status == 401
    assert transaction.due() == pytest.approx(5.1), "timer K"
    transaction.tick(5.1)
    assert transaction.state == "terminated"


@pytest.mark.parametrize(
    "other",
    [answer(200, branch="z9hG4bKother"), answer(200, method="OPTIONS"), sip.parse_datagram(b"SIP/2.0 200 OK\r\n\r\n"), sip.parse_datagram(REQUEST)],
)
def test_what_belongs_elsewhere_is_left_alone(other: sip.Message) -> None:
    transaction = ClientTransaction(REQUEST, BRANCH, "REGISTER", reliable=False)
    transaction.begin(0)
    assert not transaction.receive(other, 0.1)
    assert transaction.state == "trying"
