"""The patterns by which scenarios are judged let nothing through that they should not (this needs no laboratory)."""

from typing import Any

import pytest

from tests.lab.expectation import At, Between, Each, Includes, NearlyAll, differences, one_of, or_undecided, rows

TABLE = [{"port": 1, "state": "open"}, {"port": 2, "state": "closed"}]


@pytest.mark.parametrize(
    ("expected", "seen", "met"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {"b": 2}, False),
        ({"a": None}, {}, False),
        ({"a": 1}, None, False),
        ([[1, 2]], [[1, 2]], True),
        ([], [[1, 2]], False),
        (((1, 2),), [[1, 2]], True),
        (True, 1, False),
        (0, False, False),
        (one_of("a", {"b": 1}), {"b": 1}, True),
        (one_of("a", "b"), "c", False),
        (or_undecided("a"), None, True),
        (At("192.0.2.1"), "192.0.2.1:5060", True),
        (At("192.0.2.1"), "192.0.2.10:5060", False),
        (At("2001:db8::1"), "[2001:db8::1]:5060", True),
        (At("192.0.2.1"), None, False),
        (Between(1, 2), 2, True),
        (Between(1, 2), None, False),
        (Each({"port": Between(1, 2)}), TABLE, True),
        (Each({"state": "open"}), TABLE, False),
        (Each({}), [], False),
        (Each({}, 3), TABLE, False),
        (rows(({"port": 1}, {"state": "open"})), TABLE, True),
        (rows(({"port": 2}, {"state": "open"})), TABLE, False),
        (rows(({"port": 3}, {"state": "open"})), TABLE, False),
        (Includes([{"port": 2}]), TABLE, True),
        (Includes([{"port": 3}]), TABLE, False),
        (Includes([], never=[{"state": "closed"}]), TABLE, False),
        (NearlyAll(1, 10), [[1, 8]], True),
        (NearlyAll(1, 10), [[1, 7]], False),
        (NearlyAll(1, 10), [[1, 11]], False),
    ],
)
def test_patterns(expected: Any, seen: Any, met: bool) -> None:
    assert (list(differences(expected, seen)) == []) is met


def test_the_path_is_told() -> None:
    (line,) = differences({"ports": rows(({"port": 2}, {"state": "open"}))}, {"ports": TABLE}, "port-forwarding")
    assert line == 'port-forwarding.ports[2].state: expected "open", observed "closed"'
