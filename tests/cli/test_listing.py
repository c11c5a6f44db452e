"""``checks`` and ``profiles``."""

import pytest

from edgecheck import profiles
from edgecheck.checks import ALL, DOCTOR
from edgecheck.cli import invoke


def test_every_check_with_its_question(capsys):
    assert invoke(["checks"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [check.id for check in (*ALL, *DOCTOR)]
    assert all(check.question in line for check, line in zip((*ALL, *DOCTOR), lines, strict=True))
    assert [line.split()[0] for line in lines if "edgecheck register" in line] == [check.id for check in DOCTOR]
    assert [line.split()[0] for line in lines if "run when named" in line] == [check.id for check in ALL if check.lengthy]


def test_every_profile_and_the_doubtful_ones_marked(capsys):
    assert invoke(["profiles"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(profiles.names())
    assert {line.split()[0] for line in lines if "(unverified)" in line} == {"grandstream", "yeastar"}


@pytest.mark.parametrize("name", profiles.names())
def test_one_profile_in_full(capsys, name):
    assert invoke(["profiles", name]) == 0
    out = capsys.readouterr().out
    profile = profiles.load(name)
    assert profile.title in out
    assert profile.source in out
    for need in profile.ports:
        assert f"  {need.transport} {need.ports}: {need.purpose}" in out
    for note in profile.notes:
        assert note in out


def test_a_profile_of_ones_own(capsys, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\ntitle = "Mine"\nsource = "me"\nconfidence = "vendor"\nchecks = ["sip-alg"]\n')
    assert invoke(["profiles", str(file)]) == 0
    assert "RTP range: none" in capsys.readouterr().out
