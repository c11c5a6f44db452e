"""Where reports go: whole files or none, stdout alone, and an exit status that never hides a failure."""

import json
import os
from pathlib import Path

import pytest

from edgecheck.cli import output
from edgecheck.cli.output import Output, colored, width
from edgecheck.model.errors import UsageError
from edgecheck.model.verdict import PbxSettings, SettingsPart
from tests.reports import alg, finding, preserved, report, result, skipped

GOOD, BAD = report(preserved()), report(alg("UDP 5060"))


class Terminal:
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("verdict", "code"), [("pass", 0), ("warn", 1), ("fail", 2), ("inconclusive", 3), ("skipped", 3)]
)
def test_exit_status(verdict, code, capsys):
    assert Output().write(report(result(finding("sip-alg.x", verdict)))) == code
    assert capsys.readouterr().out.startswith(verdict.upper())


def test_json_on_stdout_is_alone_there(capfdbinary):
    assert Output(json="-").write(BAD) == 2
    assert json.loads(capfdbinary.readouterr().out)["verdict"] == "fail"


def test_junit_on_stdout_is_alone_there(capfdbinary):
    Output(junit="-").write(BAD)
    assert capfdbinary.readouterr().out.startswith(b"<?xml")


def test_files_beside_the_text(tmp_path, capsys):
    assert Output(json=str(tmp_path / "r.json"), junit=str(tmp_path / "r.xml")).write(BAD) == 2
    assert json.loads((tmp_path / "r.json").read_text())["schema"] == "edgecheck.report/1"
    assert (tmp_path / "r.xml").read_text().startswith("<?xml")
    assert capsys.readouterr().out.startswith("FAIL  ")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["r.json", "r.xml"]


def test_the_last_line_names_the_proof_that_there_is(tmp_path, capsys, monkeypatch):
    page, data = str(tmp_path / "r.html"), str(tmp_path / "r.json")

    def proof(**asked):
        Output(**asked).write(BAD)
        return capsys.readouterr().out.splitlines()[-1].partition(" Proof: ")[2].partition(". More: ")[0]

    assert proof() == "--html report.html"
    assert proof(offers="--json report.json") == "--json report.json"
    assert proof(html=page) == page
    assert proof(json=data, html=page) == page
    assert proof(json=data) == data
    monkeypatch.setattr(output, "put", lambda name, data: not name.endswith(".html"))  # no room for it
    assert proof(json=data, html=page) == data
    assert proof(html=page) == "--html report.html"


@pytest.mark.parametrize(("terminal", "name", "printed"), [(False, "@12", True), (True, "@12", False), (True, "", True)])
def test_settings_are_named_on_a_terminal_and_whole_in_a_file(capsys, monkeypatch, terminal, name, printed):
    settings = PbxSettings(pbx="asterisk", title="Asterisk", parts=(SettingsPart(where="pjsip.conf", text="rtp_symmetric=yes\n"),))
    profile = {"profile": {"name": "asterisk", "pbx": "asterisk"}}
    monkeypatch.setattr(output, "is_terminal", lambda stream: terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    Output().write(report(alg("UDP 5060"), settings=profile, settings_for_pbx=(settings,)), name)
    told = capsys.readouterr().out
    assert ("rtp_symmetric=yes" in told) is printed
    assert ("edgecheck settings @12" in told) is not printed


def test_quiet_is_one_line(capsys):
    Output(quiet=True).write(BAD)
    assert capsys.readouterr().out == "FAIL  A headline.\n"


@pytest.mark.parametrize(("base", "code"), [(GOOD, 3), (BAD, 2), (report(skipped("sip-alg", "x")), 3)])
def test_a_report_that_cannot_be_written_is_not_a_success(tmp_path, capsys, monkeypatch, base, code):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(output, "replace", full)
    assert Output(json=str(tmp_path / "r.json")).write(base) == code
    captured = capsys.readouterr()
    assert captured.err == f"Could not write {tmp_path / 'r.json'}: No space left on device.\n"
    assert "A headline." in captured.out, "the run still ends with its report"


def test_an_old_report_is_replaced_whole(tmp_path):
    file = tmp_path / "r.json"
    file.write_text("x" * 1_000_000)
    output.put(str(file), b"{}")
    assert file.read_bytes() == b"{}"


def test_a_failed_write_leaves_the_old_report(tmp_path, monkeypatch, capsys):
    file = tmp_path / "r.json"
    file.write_text("old")

    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "replace", fail)
    assert not output.put(str(file), b"new")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.skipif(os.name != "posix", reason="devices and permission bits of POSIX")
def test_a_device_is_written_to_and_not_replaced():
    assert output.put("/dev/null", b"x")
    assert not Path("/dev/null").is_file()


@pytest.mark.skipif(os.name != "posix", reason="devices and permission bits of POSIX")
def test_a_report_has_ordinary_permissions(tmp_path):
    before = os.umask(0o027)
    try:
        output.put(str(tmp_path / "r.json"), b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "r.json").stat().st_mode & 0o777 == 0o640


def test_what_could_not_be_written_is_said_before_the_run(tmp_path):
    for wrong in (Output(json="-", junit="-"), Output(json="a", junit="a"), Output(json=str(tmp_path)), Output(json=str(tmp_path / "no" / "r.json"))):
        with pytest.raises(UsageError):
            wrong.check()
    Output(json=str(tmp_path / "r.json"), junit="-").check()


@pytest.mark.parametrize(("variable", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_color_is_for_terminals_that_want_it(monkeypatch, variable, value):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert colored(Terminal(), False)
    assert not colored(Terminal(), True)
    assert not colored(object(), False)
    monkeypatch.setenv(variable, value)
    assert not colored(Terminal(), False)


def test_what_is_no_terminal_is_never_wrapped():
    assert width(object()) == 0
    assert width(Terminal()) > 0
