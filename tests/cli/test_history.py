"""``edgecheck history``, and that a run ends with its report whatever becomes of the history."""

import contextlib
import sqlite3

import pytest

from edgecheck.cli import history, invoke, output
from edgecheck.store.history import History
from tests.reports import nat, report


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    for store in ("history", "baselines"):
        monkeypatch.setattr(f"edgecheck.store.{store}.data_directory", lambda: tmp_path / "data")
    monkeypatch.setenv("NO_COLOR", "1")
    return tmp_path / "data"


def outcome(capsys, *arguments):
    code = invoke(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_each_run_is_kept_unless_it_should_not(capsys, place):
    assert outcome(capsys, "history")[1].startswith("No run was kept yet")
    assert outcome(capsys, "run", "nat-behavior", "--no-history", "--quiet")[0] == 0
    assert not place.exists()
    assert outcome(capsys, "run", "nat-behavior", "--quiet")[0] == 0
    assert outcome(capsys, "run", "nat-behavior", "--quiet")[0] == 0
    _, listed, _ = outcome(capsys, "history")
    assert [line.split()[0] for line in listed.splitlines()] == ["@2", "@1"]
    code, shown, _ = outcome(capsys, "history", "show", "@1")
    assert (code, shown[:4]) == (0, "PASS")
    assert outcome(capsys, "explain", "@last", "--quiet")[:2] == (0, shown.splitlines()[0] + "\n")
    assert outcome(capsys, "settings", "@1", "--pbx", "asterisk")[1].startswith("Settings for Asterisk")
    assert outcome(capsys, "baseline", "save", "here", "@1")[0] == 0
    assert "2 times" in outcome(capsys, "history", "trends")[1]
    assert outcome(capsys, "compare", "@1", "@last", "--quiet")[1].startswith("PASS  Unchanged")
    assert outcome(capsys, "run", "nat-behavior", "--baseline", "@1", "--quiet")[0] == 0
    assert outcome(capsys, "history", "remove", "@1")[1] == "Removed 1 run.\n"
    assert outcome(capsys, "history", "remove", "all")[1] == "Removed 2 runs.\n"


def test_in_a_terminal_no_word_is_cut(capsys, place, monkeypatch):
    assert outcome(capsys, "run", "nat-behavior", "--quiet")[0] == 0
    (whole,) = outcome(capsys, "history")[1].splitlines()
    monkeypatch.setattr(history, "width", lambda stream: 80)
    for what in ("", "trends"):
        out = outcome(capsys, "history", *([what] if what else []))[1]
        assert max(map(len, out.splitlines())) <= 80
        assert what or " ".join(out.split()) == " ".join(whole.split())


def test_a_history_that_cannot_be_written_does_not_stop_the_run(capsys, place):
    place.write_text("in the way")
    code, out, err = outcome(capsys, "run", "nat-behavior", "--quiet")
    assert code == 0
    assert out.startswith("PASS")
    assert err.startswith("This run was not kept. The history in ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "12"), "is no run: give @NUMBER"),
        (("show", "@99"), "There is no run @99"),
        (("sohw",), "there are show, trends and remove"),
        (("remove",), "give @NUMBER as edgecheck history lists it, or all"),
    ],
)
def test_one_sentence_for_what_is_wrong(capsys, arguments, words):
    code, out, err = outcome(capsys, "history", *arguments)
    assert (code, out, err.count("\n")) == (64, "", 1)
    assert words in err


def test_a_history_that_somebody_edited_is_one_sentence(capsys, place):
    History().keep(report(nat()))
    with contextlib.closing(sqlite3.connect(place / "history.sqlite")) as database, database:
        database.execute("UPDATE runs SET verdict = 'evil', report = x'aaaaaaaa'")
    code, out, err = outcome(capsys, "history")
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert "could not be used" in err
    assert outcome(capsys, "history", "show", "@1") == (64, "", "Run @1 of the history was damaged.\n")


def test_ctrl_c_while_a_run_is_kept_takes_no_report_back(capsys, monkeypatch):
    def interrupted(self, report):
        raise KeyboardInterrupt

    monkeypatch.setattr("edgecheck.store.history.History.keep", interrupted)
    history.keep(report(nat()), True)
    assert capsys.readouterr().err == "This run was not kept: stopped.\n"


@pytest.mark.parametrize("trouble", [None, RuntimeError("a fault"), KeyboardInterrupt()])
def test_the_report_is_written_whatever_becomes_of_the_history(capsys, place, monkeypatch, trouble):
    def fails(self, report):
        raise trouble

    if trouble is not None:
        monkeypatch.setattr("edgecheck.store.history.History.keep", fails)
    with pytest.raises(RuntimeError) if isinstance(trouble, RuntimeError) else contextlib.nullcontext():
        assert history.keep_and_write(report(nat()), output.Output(), wanted=True) == 0
    told = capsys.readouterr().out
    assert told.startswith("PASS  ")
    assert ("Proof: edgecheck report @1 --format html -o report.html." in told) is (trouble is None)
