"""JSON: what is written reads back; what is not a report of this version is refused in one sentence."""

import json as standard

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecheck.model.errors import UsageError
from edgecheck.report import json
from tests.reports import alg, nat, report, rtp, skipped

REPORT = report(rtp(((12000, 20000),)), nat(), alg("UDP 5060"), skipped("port-forwarding", "why"), advice=("Do.",), notes=("Note.",))


def refusal(data: bytes) -> str:
    with pytest.raises(UsageError) as caught:
        json.read(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_report_reads_back():
    assert json.read(json.render(REPORT)) == REPORT


def test_the_form_that_the_contract_promises():
    tree = standard.loads(json.render(REPORT))
    assert tree["schema"] == "edgecheck.report/1"
    assert set(tree) >= {"schema", "tool", "started_at", "duration_s", "settings", "server", "client", "verdict", "checks"}
    assert set(tree["tool"]) == {"version", "protocol"}
    assert set(tree["server"]) >= {"address", "alternate", "version", "capabilities", "limits"}
    assert set(tree["client"]) >= {"source", "interfaces", "gateway", "platform"}
    check = tree["checks"][0]
    assert set(check) >= {"id", "verdict", "summary", "duration_s", "observation", "findings"}
    assert set(check["findings"][0]) == {
        "id", "verdict", "subject", "summary", "expected", "observed", "evidence", "remedies", "reference"
    }  # fmt: skip
    assert tree["verdict"] == "fail"


def test_every_proper_prefix_is_refused():
    data = json.render(REPORT).rstrip()
    for cut in (0, 1, 2, len(data) // 3, len(data) // 2, len(data) - 2, len(data) - 1):
        refusal(data[:cut])


@given(st.binary(max_size=200))
def test_any_bytes_are_a_report_or_one_sentence(data):
    refusal(data)


def test_another_version_is_named():
    told = refusal(json.render(REPORT).replace(b"edgecheck.report/1", b"edgecheck.report/2"))
    assert "'edgecheck.report/2'" in told
    assert "'edgecheck.report/1' only" in told


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not whole JSON"),
        (b"{}", "names no schema"),
        (b"[1, 2]", "names no schema"),
        (b'{"schema": 7}', "names no schema"),
        (b'{"schema": "openapi/3"}', "JSON of another kind ('openapi/3')"),
        (b'{"schema": "edgecheck.report/1"}', "damaged or edited by hand"),
        (b'{"schema": "\xff"}', "not whole JSON"),
        (b"[" * 100_000, "names no schema"),
        (b'{"schema": "edgecheck.report/1", "x": ' + b'{"x":' * 100_000, "too deeply"),
    ],
)
def test_what_is_not_a_report(data, words):
    assert words in refusal(data)


def test_a_wrong_verdict_is_refused_with_its_place():
    told = refusal(json.render(REPORT).replace(b'"verdict": "inconclusive"', b'"verdict": "pass"').replace(b'"verdict": "skipped"', b'"verdict": "great"'))
    assert "great" in told
    assert "$.checks[3]" in told


def test_deep_nesting_inside_an_observation_is_refused():
    deep = b'"observation": ' + b'{"x":' * 50_000 + b"1" + b"}" * 50_000
    data = json.render(report(skipped("sip-alg", "x"))).replace(b'"observation": null', deep)
    assert "too deeply" in refusal(data)


def test_what_is_larger_than_a_report_can_be_is_refused_unread(monkeypatch):
    monkeypatch.setattr(json, "MAX_SIZE", 1 << 20)
    assert refusal(b" " * ((1 << 20) + 1)).startswith("This file has 1 MB")


def test_a_field_that_a_later_version_adds_is_no_error():
    tree = standard.loads(json.render(REPORT))
    tree["weather"] = "fine"
    assert json.read(standard.dumps(tree).encode()) == REPORT
