"""The user-space NAT is what its options say (this needs no laboratory)."""

import itertools

import pytest

from tests.lab.ip import End
from tests.lab.user_nat import AD, APD, BY_HOST, EI, Nat, NatOptions

UDP = 17
INSIDE = End(bytes([192, 168, 88, 2]), 40000)
A1, A2 = End(bytes([198, 51, 100, 10]), 3478), End(bytes([198, 51, 100, 10]), 3479)
B1 = End(bytes([198, 51, 100, 11]), 3478)
_SEEN = {EI: 1, AD: 2, APD: 3}
_ADMITTED = {EI: [True, True, True], AD: [True, True, False], APD: [True, False, False]}


@pytest.mark.parametrize(("mapping", "filtering"), list(itertools.product(_SEEN, _ADMITTED)))
def test_every_mapping_with_every_filtering(mapping: str, filtering: str) -> None:
    nat = Nat(NatOptions(mapping=mapping, filtering=filtering))
    outside = nat.outbound(UDP, INSIDE, A1, 0.0)
    assert [nat.inbound(UDP, outside, remote, 1.0) == INSIDE for remote in (A1, A2, B1)] == _ADMITTED[filtering]
    assert len({outside, nat.outbound(UDP, INSIDE, A2, 2.0), nat.outbound(UDP, INSIDE, B1, 2.0)}) == _SEEN[mapping]


def test_a_filter_by_host_knows_what_other_ports_contacted() -> None:
    nat = Nat(NatOptions(filtering=BY_HOST))
    outside = nat.outbound(UDP, INSIDE, A1, 0.0)
    assert nat.inbound(UDP, outside, B1, 0.0) is None
    nat.outbound(UDP, INSIDE._replace(port=50000), B1, 0.0)
    assert nat.inbound(UDP, outside, B1, 0.0) == INSIDE


def ports(allocation: str) -> list[int]:
    nat = Nat(NatOptions(allocation=allocation, ports=(20000, 20999)))
    return [nat.outbound(UDP, INSIDE._replace(port=port), A1, 0.0).port for port in range(30001, 30033)]


def test_allocation() -> None:
    assert ports("preserved") == list(range(30001, 30033))
    assert ports("sequential") == list(range(20000, 20032))
    assert [port % 2 for port in ports("parity")] == [1, 0] * 16
    drawn = ports("random")
    assert len(set(drawn)) == 32
    assert drawn != sorted(drawn)
    assert {port % 2 for port in drawn} == {0, 1}


def test_a_taken_port_is_not_taken_again() -> None:
    nat = Nat(NatOptions())
    other = End(bytes([192, 168, 88, 3]), INSIDE.port)
    assert nat.outbound(UDP, INSIDE, A1, 0.0).port == INSIDE.port
    assert nat.outbound(UDP, other, A1, 0.0).port == 20000


def test_what_is_held_back_refreshes_nothing() -> None:
    """An inbound packet that the filter holds back must not keep the mapping alive; one let in does, unless told otherwise."""
    nat = Nat(NatOptions(lifetime_s=30))
    outside = nat.outbound(UDP, INSIDE, A1, 0.0)
    assert nat.inbound(UDP, outside, B1, 25.0) is None
    assert nat.inbound(UDP, outside, A1, 31.0) is None
    outside = nat.outbound(UDP, INSIDE, A1, 100.0)
    assert nat.inbound(UDP, outside, A1, 125.0) == INSIDE
    assert nat.inbound(UDP, outside, A1, 150.0) == INSIDE
    stubborn = Nat(NatOptions(lifetime_s=30, inbound_refreshes=False))
    outside = stubborn.outbound(UDP, INSIDE, A1, 0.0)
    assert stubborn.inbound(UDP, outside, A1, 25.0) == INSIDE
    assert stubborn.inbound(UDP, outside, A1, 31.0) is None


def test_a_static_rule_is_answered_from_where_it_was_asked() -> None:
    nat = Nat(NatOptions(allocation="random", forwards=(("udp", 5060, 5060, "192.168.88.2"),)))
    outside = End(bytes([203, 0, 113, 1]), 5060)
    assert nat.inbound(UDP, outside, B1, 0.0) == End(INSIDE.host, 5060)
    assert nat.outbound(UDP, End(INSIDE.host, 5060), B1, 0.0) == outside
    assert nat.outbound(UDP, End(INSIDE.host, 5060), A1, 0.0) != outside
    assert nat.inbound(UDP, outside._replace(port=5061), B1, 0.0) is None


def test_pooling() -> None:
    pool = ("203.0.113.1", "203.0.113.4")
    loose = Nat(NatOptions(outside=pool, paired=False))
    assert len({loose.outbound(UDP, INSIDE._replace(port=port), A1, 0.0).host for port in range(1000, 1008)}) == 2
    paired = Nat(NatOptions(outside=pool))
    assert len({paired.outbound(UDP, INSIDE._replace(port=port), A1, 0.0).host for port in range(1000, 1008)}) == 1
