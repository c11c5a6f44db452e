"""Where the figures of the page come from: a check's facts."""

from collections.abc import Mapping
from typing import Any

from edgecheck.model.verdict import Report


def facts(report: Report, check: str) -> Mapping[str, Any]:
    """The observation of this check; empty where there is none."""
    for result in report.checks:
        if result.id == check and isinstance(result.observation, Mapping):
            return result.observation
    return {}
