"""Rates and memory, with the clock in hand."""

import pytest

from echo_server.sessions.limits import Allowance, Bounds, Pool, SourceRate, is_loopback, network, within
from echo_server.sockets.streams import Gate
from edgecheck.wire.control import Limits


def test_so_many_a_second_and_source() -> None:
    rate = SourceRate(3, b"key")
    assert [rate.allows("192.0.2.1", 5.0 + tenth / 10) for tenth in range(5)] == [True, True, True, False, False]
    assert rate.allows("192.0.2.2", 5.5)
    assert rate.allows("192.0.2.1", 6.0)


def test_loopback_is_exempt() -> None:
    rate = SourceRate(1, b"key")
    assert all(rate.allows(host, 5.0) for host in ("127.0.0.1", "127.9.9.9", "::1") for _ in range(10))
    assert not is_loopback("128.0.0.1")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:0:ffff::1", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("2001:db8::1:2:3:4:5", "2001:db8::2:2:3:4:5", False),
    ],
)
def test_what_counts_as_one_source(one: str, other: str, same: bool) -> None:
    assert (network(one) == network(other)) is same


def test_a_flood_of_sources_costs_no_memory() -> None:
    rate = SourceRate(1, b"key")
    size = len(rate._counts)
    for number in range(200_000):
        rate.allows(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 5.0)
    assert len(rate._counts) == size


def test_which_sources_meet_depends_on_the_key() -> None:
    def meets(key: bytes) -> set[int]:
        rate = SourceRate(1, key)
        rate.allows("192.0.2.1", 5.0)
        return {number for number in range(20_000) if not rate.allows(f"10.0.{number >> 8}.{number & 255}", 5.0)}

    assert meets(b"one") != meets(b"other")


def test_an_allowance_is_bounded_by_its_own_size_and_by_the_pool() -> None:
    pool = Pool(100)
    first, second = Allowance(80, pool), Allowance(80, pool)
    assert [first.take(50), first.take(40), second.take(60), second.take(50)] == [True, False, False, True]
    assert pool.free == 0
    first.give_back()
    assert pool.free == 50
    assert not first.take(1)
    assert second.take(30)


def test_media_sockets_are_limited_to_what_the_machine_has() -> None:
    assert within(Limits(media_ports=100), 40).media_ports == 40
    assert within(Limits(media_ports=100), 4000).media_ports == 100
    assert within(Limits(media_ports=100), -5).media_ports == 0


def test_the_gate_counts_connections_in_all_and_by_source() -> None:
    gate = Gate(Bounds(streams=4, streams_per_source=2))
    assert [gate.enter("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert gate.enter("192.0.2.2")
    assert gate.enter("127.0.0.1")
    assert not gate.enter("192.0.2.3")
    gate.leave("192.0.2.1")
    assert gate.enter("192.0.2.1")
    assert gate.refused == 2


def test_loopback_may_fill_the_gate() -> None:
    gate = Gate(Bounds(streams=5, streams_per_source=2))
    assert [gate.enter("127.0.0.1") for _ in range(6)] == [True] * 5 + [False]
