"""``edgecheck report``: every form, from a saved report."""

import csv
import io
from xml.etree import ElementTree

import msgspec
import pytest

from edgecheck.cli import invoke
from edgecheck.report import json
from tests.reports import PROFILE, nat, report


@pytest.fixture
def saved(tmp_path):
    file = tmp_path / "report.json"
    file.write_bytes(json.render(report(msgspec.structs.replace(nat(), id="unheard-of"), settings={"profile": msgspec.to_builtins(PROFILE)})))
    return str(file)


def outcome(capsys, *arguments):
    code = invoke(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize(
    ("form", "right"),
    [
        ("markdown", lambda text: text.startswith("# PASS: ")),
        ("text", lambda text: text.startswith("PASS: ")),
        ("junit", lambda text: ElementTree.fromstring(text).tag == "testsuites"),
        ("csv", lambda text: next(csv.DictReader(io.StringIO(text)))["check"] == "unheard-of"),
        ("json", lambda text: json.read(text.encode()).checks[0].id == "unheard-of"),
    ],
)
def test_every_form(saved, capsys, tmp_path, form, right):
    code, out, err = outcome(capsys, "report", saved, "--format", form)
    assert (code, err) == (0, "")
    assert right(out)
    file = tmp_path / "out"
    assert outcome(capsys, "report", saved, "--format", form, "-o", str(file)) == (0, "", "")
    assert right(file.read_bytes().decode())


def test_redacted_and_tried(saved, capsys):
    _, out, _ = outcome(capsys, "report", saved, "--redact", "--tried", "Rebooted.", "--tried", "Swapped the cable.")
    assert "192.168.1.20" not in out
    assert "- Rebooted." in out
    assert "- Swapped the cable." in out


def test_an_unknown_form_names_those_that_are(saved, capsys):
    code, _, err = outcome(capsys, "report", saved, "--format", "docx")
    assert (code, err.count("\n")) == (64, 1)
    assert "markdown, text" in err
