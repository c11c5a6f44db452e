"""The JSON Schema describes what is written, with the observation of every check."""

from edgecheck.checks import ALL, DOCTOR
from edgecheck.report import schema


def test_every_check_has_its_observation():
    definitions = schema.render()["$defs"]
    branches = {branch["if"]["properties"]["id"]["const"]: branch["then"] for branch in definitions["CheckResult"]["allOf"]}
    assert set(branches) == {check.id for check in (*ALL, *DOCTOR)}
    for check in ALL:
        reference = branches[check.id]["properties"]["observation"]["anyOf"][1]["$ref"]
        described = definitions[reference.rpartition("/")[2]]["properties"]
        assert set(described) == set(check.observation.__struct_fields__)


def test_every_reference_leads_somewhere():
    tree = schema.render()
    names = set(tree["$defs"])

    def references(node):
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    found = set(references(tree))
    assert found
    assert {reference.removeprefix("#/$defs/") for reference in found} <= names


def test_a_report_is_the_root():
    tree = schema.render()
    assert tree["$ref"] == "#/$defs/Report"
    assert tree["$defs"]["Report"]["properties"]["schema"] == {"const": "edgecheck.report/1"}
    assert tree["$defs"]["Verdict"]["enum"] == ["fail", "inconclusive", "pass", "skipped", "warn"]
