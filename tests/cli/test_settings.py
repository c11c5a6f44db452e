"""``settings``: what a saved report calls for in a PBX; refused in one sentence where that is not known."""

import msgspec
import pytest

from edgecheck import profiles
from edgecheck.cli import invoke
from edgecheck.report import json as json_report
from tests.reports import finding, report, result


def saved(tmp_path, profile="asterisk"):
    """Behind a NAT; no check knows this observation whole, so it is kept as it is."""
    seen = {"local_address": "192.168.1.20:40000", "mapped_address": "203.0.113.9:40000", "behind_nat": True, "mapping": "endpoint-independent"}
    one = result(finding("nat-behavior.endpoint-independent", "pass", "mapping"), observation=seen)
    settings = {"profile": msgspec.to_builtins(profiles.load(profile))}
    file = tmp_path / "saved.json"
    file.write_bytes(json_report.render(report(one, settings=settings)))
    return str(file)


def test_the_profiles_pbx(tmp_path, capsys):
    assert invoke(["settings", saved(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Settings for Asterisk (pjsip), as this edge calls for them\n\n  pjsip.conf:\n")
    assert "\nexternal_media_address=203.0.113.9\n" in out


def test_another_pbx(tmp_path, capsys):
    assert invoke(["settings", saved(tmp_path), "--pbx", "freeswitch"]) == 0
    assert '<param name="rtp-start-port" value="10000"/>' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--pbx", "pigeon"], "there is no 'pigeon' here; there are asterisk, freepbx"), ([], "Profile generic-pbx names no PBX: add --pbx")],
)
def test_what_is_not_known_is_said(tmp_path, capsys, arguments, words):
    assert invoke(["settings", saved(tmp_path, "generic-pbx"), *arguments]) == 64
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
    assert len(captured.err.splitlines()) == 1


def test_they_come_back_with_a_report_judged_anew(tmp_path, capsys):
    invoke(["explain", saved(tmp_path)])
    assert "\nexternal_media_address=203.0.113.9\n" in capsys.readouterr().out
