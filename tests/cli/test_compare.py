"""``edgecheck compare``, ``baseline`` and ``run --baseline``: what is printed, and the exit status."""

import json as plain_json

import msgspec
import pytest

from edgecheck.cli import invoke
from edgecheck.model.comparison import Comparison
from edgecheck.report import json
from tests.reports import PROFILE, finding, report, result


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setattr("edgecheck.store.baselines.data_directory", lambda: tmp_path / "data")
    monkeypatch.setenv("NO_COLOR", "1")


def saved(folder, name, *, closed=False, verdict="pass"):
    observation = {
        "local_address": "192.168.1.20:40000",
        "mapped_address": "203.0.113.9:40000",
        "behind_nat": True,
        "mapping": "address-and-port-dependent" if closed else "endpoint-independent",
        "filtering": "address-and-port-dependent",
        "hairpinning": None,
        "classic_type": "symmetric" if closed else "port restricted cone",
    }
    file = folder / name
    given = report(result(finding("nat-behavior.mapping", verdict, "mapping"), observation=observation, id="unheard-of"), settings={"profile": msgspec.to_builtins(PROFILE)})
    file.write_bytes(json.render(given))
    return str(file)


def outcome(capsys, *arguments):
    code = invoke(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_unchanged_is_fine(tmp_path, capsys):
    one = saved(tmp_path, "a.json")
    code, out, err = outcome(capsys, "compare", one, one)
    assert (code, err) == (0, "")
    assert out.startswith("PASS  Unchanged: everything that both runs tested is as it was.\n")


def test_a_regression_is_a_failure(tmp_path, capsys):
    before, after = saved(tmp_path, "a.json"), saved(tmp_path, "b.json", verdict="fail")
    code, out, _ = outcome(capsys, "compare", before, after)
    assert code == 2
    assert "\nWorse\n" in out
    assert outcome(capsys, "compare", after, before)[0] == 0


def test_quiet_is_one_line(tmp_path, capsys):
    one = saved(tmp_path, "a.json")
    _, out, _ = outcome(capsys, "compare", one, one, "--quiet")
    assert out.count("\n") == 1


def test_json_reads_back(tmp_path, capsys):
    before, after = saved(tmp_path, "a.json"), saved(tmp_path, "b.json", verdict="fail")
    code, out, _ = outcome(capsys, "compare", before, after, "--json", "-")
    assert code == 2
    told = msgspec.json.decode(out, type=Comparison)
    assert told.schema == "edgecheck.comparison/1"
    assert plain_json.loads(out)["changes"][0]["kind"] == "worse"


def test_baselines_from_the_command_line(tmp_path, capsys):
    file = saved(tmp_path, "a.json")
    assert outcome(capsys, "baseline", "list")[1].startswith("No baseline yet.")
    assert outcome(capsys, "baseline", "save", "home", file)[0] == 0
    assert outcome(capsys, "baseline", "list")[1].startswith("home  2026-01-31T12:00:00Z  pass")
    assert outcome(capsys, "baseline", "show", "home")[1].startswith("PASS  ")
    assert outcome(capsys, "compare", "home", file)[0] == 0
    assert outcome(capsys, "baseline", "remove", "home") == (0, "Removed home.\n", "")
    code, _, err = outcome(capsys, "compare", "home", file)
    assert (code, err.count("\n")) == (64, 1)
    assert "There is no baseline 'home'" in err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "not whole JSON"),
        (b"[]", "names no schema"),
        (b'{"schema": "edgecheck.report/9"}', "reads 'edgecheck.report/1' only"),
        (b'{"schema": "edgecheck.report/1", "settings": ' + b"[" * 200_000, "nested too deeply"),
        (b'{"schema": "edgecheck.report/1"}', "damaged or edited by hand"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, capsys, content, words):
    bad = tmp_path / "bad.json"
    bad.write_bytes(content)
    good = saved(tmp_path, "good.json")
    for pair in ((str(bad), good), (good, str(bad))):
        code, out, err = outcome(capsys, "compare", *pair)
        assert (code, out, err.count("\n")) == (64, "", 1)
        assert words in err


def test_two_reports_cannot_both_come_from_stdin(capsys):
    code, _, err = outcome(capsys, "compare", "-", "-")
    assert (code, err) == (64, "Only one of the two reports can come from stdin.\n")


def test_a_baseline_that_is_not_there_is_said_before_the_run(capsys):
    code, out, err = outcome(capsys, "run", "--baseline", "nowhere")
    assert (code, out) == (64, "")
    assert "There is no baseline 'nowhere'" in err


def test_a_run_with_its_baseline(tmp_path, capsys):
    first = tmp_path / "first.json"
    assert outcome(capsys, "run", "nat-behavior", "--json", str(first))[0] == 0
    assert outcome(capsys, "baseline", "save", "home", str(first))[0] == 0
    code, out, _ = outcome(capsys, "run", "nat-behavior", "--baseline", "home")
    assert code == 0
    assert "Compared with " in out
    assert "PASS  Unchanged" in out
    hostile = plain_json.loads(first.read_bytes())
    hostile["client"]["gateway"] = "\x1b]0;owned\x07"
    first.write_text(plain_json.dumps(hostile))
    _, out, _ = outcome(capsys, "run", "nat-behavior", "--baseline", str(first))
    assert "\x1b" not in out
