"""The report's JSON Schema, made from the code: ``python -m edgecheck.report.schema > docs/report.schema.json``."""

import json
import sys
from typing import Any

import msgspec

from edgecheck.checks import ALL, DOCTOR
from edgecheck.model.verdict import SCHEMA, CheckResult, Report

_REFERENCE = "#/$defs/{name}"


def render() -> dict[str, Any]:
    """JSON Schema (2020-12) of a report, with the observation of every check."""
    observations = [check.observation for check in (*ALL, *DOCTOR)]
    (report, _, *shapes), definitions = msgspec.json.schema_components(
        [Report, CheckResult, *observations], ref_template=_REFERENCE
    )
    definitions["Report"]["properties"]["schema"] = {"const": SCHEMA}
    # msgspec leaves fields with a default out of `required`; a report that edgecheck writes always holds them all
    for definition in definitions.values():
        if "properties" in definition:
            definition["required"] = sorted(definition["properties"])
    definitions["CheckResult"]["allOf"] = [
        {
            "if": {"properties": {"id": {"const": check.id}}},
            "then": {"properties": {"observation": {"anyOf": [{"type": "null"}, shape]}}},
        }
        for check, shape in zip((*ALL, *DOCTOR), shapes, strict=True)
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A report of edgecheck ({SCHEMA})",
        **report,
        "$defs": dict(sorted(definitions.items())),
    }


def text() -> str:
    """The schema as it stands in ``docs/report.schema.json``."""
    return json.dumps(render(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
