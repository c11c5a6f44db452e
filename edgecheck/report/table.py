"""The findings as comma-separated values (RFC 4180), for a spreadsheet: a row a finding."""

import csv
import io

from edgecheck.model.verdict import Report
from edgecheck.report.text import safe

COLUMNS = (
    "started_at",
    "public_address",
    "check",
    "id",
    "verdict",
    "subject",
    "summary",
    "expected",
    "observed",
    "evidence",
    "remedies",
    "reference",
)
_FORMULA = ("=", "+", "-", "@")
"""A cell that begins so would be carried out by a spreadsheet; what a network peer sent must not be."""


def render(report: Report) -> str:
    """One line of column names, then one line a finding; lines end in CRLF."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    public = report.client.public_address or ""
    for result in report.checks:
        for finding in result.findings:
            row = (
                report.started_at, public, result.id, finding.id, finding.verdict.value, finding.subject, finding.summary,
                finding.expected, finding.observed, " | ".join(finding.evidence), " | ".join(finding.remedies), finding.reference,
            )  # fmt: skip
            writer.writerow([_cell(value) for value in row])
    return out.getvalue()


def _cell(value: str) -> str:
    value = safe(value)
    return f"'{value}" if value.startswith(_FORMULA) else value
