"""Sets of ports as ranges."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecheck.wire import ports
from edgecheck.wire.errors import Malformed, WireError

quick = settings(max_examples=200, deadline=None)
numbers = st.integers(1, 65535)


@pytest.mark.parametrize(
    ("members", "ranges"),
    [
        ([], ()),
        ([5060], ((5060, 5060),)),
        ([3, 1, 2, 2], ((1, 3),)),
        ([10000, 10001, 10003], ((10000, 10001), (10003, 10003))),
        (range(1, 65536), ((1, 65535),)),
    ],
)
def test_compress(members, ranges):
    assert ports.compress(members) == ranges
    assert ports.count(ranges) == len(set(members))


@pytest.mark.parametrize(
    ("text", "ranges", "said"),
    [
        ("5060", ((5060, 5060),), "5060"),
        ("10000-20000", ((10000, 20000),), "10000-20000"),
        (" 5060 , 5080 - 5090 ", ((5060, 5060), (5080, 5090)), "5060, 5080-5090"),
        ("1-65535", ((1, 65535),), "1-65535"),
    ],
)
def test_parse(text, ranges, said):
    assert ports.parse(text) == ranges
    assert ports.text(ranges) == said


def test_nothing_is_said_in_words():
    assert ports.text(()) == "none"


@pytest.mark.parametrize("text", ["", ",", "5060,", "0", "65536", "20-10", "-5", "5-", "a", "1-2-3", "5_0", "+5", "٣", "1.5", "9" * 5000])
def test_parse_malformed(text):
    with pytest.raises(Malformed):
        ports.parse(text)


@pytest.mark.parametrize("ranges", [[[1]], [[1, 2, 3]], [[2, 1]], [[0, 1]], [[1, 65536]], [[]]])
def test_validate_refuses(ranges):
    with pytest.raises(Malformed):
        ports.validate(ranges)


def test_validate_within_bounds():
    assert ports.validate([[0, 5]], lowest=0) == ((0, 5),)
    with pytest.raises(Malformed):
        ports.validate([[10000, 20000]], 10000, 19999)


@quick
@given(st.sets(numbers, max_size=60))
def test_ranges_hold_exactly_the_ports(members):
    ranges = ports.compress(members)
    assert set(ports.expand(ranges)) == members
    assert ports.count(ranges) == len(members)
    assert all(low <= high for low, high in ranges)
    # disjoint, ascending, and not adjacent
    assert all(first[1] + 1 < second[0] for first, second in pairwise(ranges))
    assert ports.validate(ranges) == ranges
    if members:
        assert ports.parse(ports.text(ranges)) == ranges


@quick
@given(st.one_of(st.text(max_size=20), st.text("0123456789-, ", max_size=20)))
def test_any_text(text):
    try:
        ranges = ports.parse(text)
    except WireError:
        return
    assert ports.parse(ports.text(ranges)) == ranges
    assert all(1 <= low <= high <= 65535 for low, high in ranges)


@quick
@given(st.lists(st.lists(st.integers(-5, 70_000), max_size=3), max_size=5))
def test_any_ranges_of_a_peer(ranges):
    try:
        checked = ports.validate(ranges)
    except WireError:
        return
    assert checked == tuple(map(tuple, ranges))
    assert all(1 <= port <= 65535 for low, high in checked for port in (low, high))
