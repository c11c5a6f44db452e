"""What the server remembers of who contacted its alternate address, and whom it tells."""

import pytest

from echo_server.sessions.contacts import KEEP_S, Contacts
from edgecheck.wire import control, stun
from edgecheck.wire.address import Endpoint
from tests.server.conftest import InMemory

HERE = "203.0.113.7"


def told(server: InMemory, host: str = HERE, now: float = 100.0) -> float | None:
    admitted = server.admit(Endpoint(host, 50_001), now)
    assert not isinstance(admitted, control.Refused), admitted.message
    return admitted[1].alternate_contacted_s


@pytest.mark.parametrize("way", ["datagram", "quick", "stream"])
@pytest.mark.parametrize(("listener", "expected"), [("A1", None), ("B1", 58.0), ("B2", 58.0)])
def test_only_the_alternate_address_counts(memory: type[InMemory], way: str, listener: str, expected: float | None) -> None:
    server = memory()
    source = Endpoint(HERE, 40_000)
    if way == "datagram":
        server.core.handle_datagram(listener, source, b"anything", 42.0)
    elif way == "stream":
        server.core.open_stream(listener, "tcp", source, 42.0)
    else:
        quick = server.core.quick(listener, 4)
        for now in (1.0, 42.0):
            assert quick(stun.binding_request(bytes(12)), (HERE, 40_000), now)
    assert told(server) == expected
    assert told(server, "203.0.113.8") is None


def test_a_probe_of_a_session_counts_for_the_next_one_and_not_for_itself(memory: type[InMemory]) -> None:
    server = memory()
    session, welcome = server.admit(now=1.0)  # type: ignore[misc]
    assert welcome.alternate_contacted_s is None
    server.core.handle_datagram("B1", Endpoint(HERE, 40_000), stun.binding_request(control.stun_transaction_id(session.name, 1, 1)), 2.0)
    assert told(server, now=12.0) == 10.0


def test_a_subscriber_of_ipv6_is_one_source() -> None:
    contacts = Contacts(b"k")
    contacts.note("2001:db8:1:2::3", 10.0)
    assert contacts.ago("2001:db8:1:2:ffff::9", 15.0) == 5.0
    assert contacts.ago("2001:db8:1:3::3", 15.0) is None


def test_it_is_forgotten_after_an_hour_and_nothing_stands_before_loopback() -> None:
    contacts = Contacts(b"k")
    for host in (HERE, "127.0.0.1"):
        contacts.note(host, 10.0)
    assert (contacts.ago(HERE, 10.0 + KEEP_S), contacts.ago(HERE, 11.0 + KEEP_S)) == (KEEP_S, None)
    assert contacts.ago("127.0.0.1", 11.0) is None


def test_a_flood_of_sources_drives_nothing_out() -> None:
    contacts = Contacts(b"k")
    contacts.note(HERE, 10.0)
    for number in range(100_000):
        contacts.note(f"198.{18 + (number >> 16)}.{number >> 8 & 255}.{number & 255}", 20.0)
    told = contacts.ago(HERE, 25.0)
    assert told is not None, "it may count as younger, never as not there"
    assert told <= 15.0
