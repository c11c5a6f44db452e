"""``explain``: a finding's page; a saved report judged anew, or refused in one sentence."""

import io
import json

import msgspec
import pytest

from edgecheck.checks.port_preservation import PortRow, PreservationObservation
from edgecheck.cli import invoke
from edgecheck.report import json as json_report
from tests.reports import PROFILE, finding, report, result

REMAPPED = PreservationObservation(
    tested=1,
    preserved=0,
    ports=tuple(PortRow(transport="udp", local=5060 + number, mapped=30_000 + 977 * number, signaling=True) for number in range(12)),
    allocation="random",
    parity_kept=False,
    remote="198.51.100.10:3478",
)
SETTINGS = {"profile": msgspec.to_builtins(PROFILE), "checks": ["port-preservation"]}


def saved(tmp_path, settings=SETTINGS, observation=REMAPPED):
    """A report whose findings were tampered with: the observation says otherwise."""
    one = result(
        finding("port-preservation.preserved", "pass", "ports", "All is well, believe me."),
        observation=msgspec.to_builtins(observation),
    )
    file = tmp_path / "saved.json"
    file.write_bytes(json_report.render(report(one, settings=settings)))
    return file


def test_a_page(capsys):
    assert invoke(["explain", "port-forwarding.blocked"]) == 0
    assert capsys.readouterr().out.startswith("port-forwarding.blocked: The port is not reached, and several causes fit\n")


def test_on_a_terminal_a_page_fits_and_names_the_makes(capsys, monkeypatch):
    assert invoke(["explain", "sip-alg.rewritten"]) == 0
    whole = capsys.readouterr().out
    monkeypatch.setattr("edgecheck.cli.explain.is_terminal", lambda stream: True)
    assert invoke(["explain", "sip-alg.rewritten"]) == 0
    folded = capsys.readouterr().out
    assert len(folded.splitlines()) < 30 < 100 < len(whole.splitlines())
    assert "Netgear" in folded
    assert 'tick "Disable SIP ALG"' in whole
    assert 'tick "Disable SIP ALG"' not in folded
    assert "edgecheck explain sip-alg.rewritten --for NAME" in folded
    assert invoke(["explain", "sip-alg.rewritten", "--all"]) == 0
    assert capsys.readouterr().out == whole


@pytest.mark.parametrize(
    ("page", "make", "there", "elsewhere"),
    [
        ("sip-alg.rewritten", "NETGEAR", 'tick "Disable SIP ALG"', "MikroTik"),
        ("registration.wrong-credentials", "freepbx", "Authentication Outbound", "3CX"),
        ("port-forwarding.no-rule", "fritz", "Port Sharing", "MikroTik"),
    ],
)
def test_a_page_for_one_make(capsys, page, make, there, elsewhere):
    assert invoke(["explain", page, "--for", make]) == 0
    told = capsys.readouterr().out
    assert there in told
    assert elsewhere not in told
    assert "What to do" in told


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("sip-alg.rewritten", "--for", "nosuch"), "The page sip-alg.rewritten says nothing of 'nosuch': there are ASUS; "),
        (("control.refused", "--for", "asterisk"), "The page control.refused says nothing of 'asterisk': it has no table by make."),
        (("r.json", "--all"), "--for and --all belong to the page of a finding"),
    ],
)
def test_a_make_that_is_not_there_is_said(capsys, words, sentence):
    assert invoke(["explain", *words]) == 64
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(sentence)


def test_a_saved_report_is_judged_by_its_facts(tmp_path, capsys):
    assert invoke(["explain", str(saved(tmp_path))]) == 1
    out = capsys.readouterr().out
    assert out.startswith("WARN  ")
    assert "believe me" not in out


def test_a_saved_report_becomes_another_form(tmp_path, capfdbinary):
    assert invoke(["explain", str(saved(tmp_path)), "--json", "-"]) == 1
    tree = json.loads(capfdbinary.readouterr().out)
    assert tree["checks"][0]["findings"][0]["id"] == "port-preservation.remapped"
    assert tree["started_at"] == "2026-01-31T12:00:00Z"


def test_a_report_on_stdin(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(saved(tmp_path).read_bytes())))
    assert invoke(["explain", "-"]) == 1
    assert capsys.readouterr().out.startswith("WARN  ")


@pytest.mark.parametrize("content", [b"", b"{}", b"not json", b'{"schema": "edgecheck.report/9"}', b"\x00" * 100, b"[" * 200_000])
def test_what_is_no_report_is_refused_in_one_sentence(tmp_path, capsys, content):
    file = tmp_path / "x.json"
    file.write_bytes(content)
    assert invoke(["explain", str(file)]) == 64
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"{file}: This ")
    assert len(captured.err.splitlines()) == 1


@pytest.mark.parametrize("settings", [{}, {"profile": 7}, {"profile": {"name": "x"}}])
def test_a_report_without_its_profile_is_refused(tmp_path, capsys, settings):
    assert invoke(["explain", str(saved(tmp_path, settings))]) == 64
    assert "damaged or edited by hand" in capsys.readouterr().err


def test_an_observation_of_another_shape_is_refused(tmp_path, capsys):
    file = saved(tmp_path)
    tree = json.loads(file.read_text())
    tree["checks"][0]["observation"]["ports"] = "none"
    file.write_text(json.dumps(tree))
    assert invoke(["explain", str(file)]) == 64
    assert "damaged or edited by hand" in capsys.readouterr().err


def test_a_report_of_a_check_that_this_version_lacks(tmp_path, capsys):
    file = tmp_path / "r.json"
    unknown = result(finding("future.thing", "warn", "x", "A thing of the future."), observation={"a": 1})
    file.write_bytes(json_report.render(report(unknown, settings=SETTINGS)))
    assert invoke(["explain", str(file)]) == 1
    assert "thing of the future" in capsys.readouterr().out
