"""Findings as comma-separated values."""

import csv
import io

from edgecheck.report import table
from tests.reports import finding, report, result


def rows(*findings):
    return list(csv.DictReader(io.StringIO(table.render(report(result(*findings))))))


def test_a_row_a_finding_reads_back():
    first = finding("a.b", "fail", 'UDP "5060", TCP', "One, two.", evidence=("x", "y"), remedies=("do",))
    second = finding("a.c", "pass")
    told = rows(first, second)
    assert tuple(told[0]) == table.COLUMNS
    assert [row["id"] for row in told] == ["a.b", "a.c"]
    assert (told[0]["subject"], told[0]["evidence"]) == ('UDP "5060", TCP', "x | y")


def test_a_spreadsheet_carries_nothing_out():
    for start in "=+-@":
        (row,) = rows(finding("a.b", "fail", f"{start}cmd|' /C calc'!A0"))
        assert row["subject"].startswith("'" + start)
    (row,) = rows(finding("a.b", "fail", "a\x00b\nc"))
    assert row["subject"] == "a\\x00b c"
