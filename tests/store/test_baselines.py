"""Baselines: kept under a name, and nothing else is touched by a name."""

import os
import stat

import pytest

from edgecheck.model.errors import UsageError
from edgecheck.store import baselines
from tests.reports import nat, report

ONE = report(nat(), headline="As it was.")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setattr("edgecheck.store.baselines.data_directory", lambda: tmp_path / "data")
    return tmp_path / "data"


def test_kept_listed_read_and_removed():
    file = baselines.save("before-swap", ONE)
    baselines.save("a.1", ONE)
    assert baselines.load("before-swap") == ONE
    assert [(kept.name, kept.report) for kept in baselines.listed()] == [("a.1", ONE), ("before-swap", ONE)]
    baselines.remove("before-swap")
    assert not file.exists()
    assert [kept.name for kept in baselines.listed()] == ["a.1"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no mode bits")
def test_only_its_owner_may_read_it():
    assert stat.S_IMODE(baselines.save("x", ONE).stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\\b", "-x", "x.json", "x.", "a" * 65, "a b", "con:", "é"])
def test_a_name_is_never_a_path(name, place):
    for act in (lambda: baselines.save(name, ONE), lambda: baselines.load(name), lambda: baselines.remove(name)):
        with pytest.raises(UsageError, match="cannot be a baseline's name"):
            act()
    assert not place.exists()


def test_a_name_that_is_not_there_says_what_is():
    with pytest.raises(UsageError, match=r"There is none yet: edgecheck baseline save home REPORT.json"):
        baselines.load("home")
    baselines.save("office", ONE)
    with pytest.raises(UsageError, match=r"There is no baseline 'home'. There are: office."):
        baselines.load("home")
    with pytest.raises(UsageError, match="no baseline 'home' to remove"):
        baselines.remove("home")


def test_a_damaged_one_is_listed_with_its_trouble(place):
    baselines.save("good", ONE)
    (place / "baselines" / "bad.json").write_text("{")
    told = {kept.name: kept.trouble for kept in baselines.listed()}
    assert told["good"] == ""
    assert "not whole JSON" in told["bad"]


def test_a_place_that_cannot_be_written(place):
    place.write_text("a file where the folder should be")
    with pytest.raises(UsageError, match="The baseline x could not be kept"):
        baselines.save("x", ONE)
