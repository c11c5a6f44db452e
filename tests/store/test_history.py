"""The history: every run kept, whatever else is going on, and nothing that goes wrong stops a run."""

import datetime
import os
import signal
import sqlite3
import stat
import subprocess
import sys

import msgspec
import pytest

from edgecheck.model.errors import UsageError
from edgecheck.model.verdict import ClientFacts, Verdict
from edgecheck.store import history as module
from edgecheck.store.history import History, HistoryFailed, Place
from tests.reports import finding, nat, report, result

HOME = ClientFacts(gateway="192.168.1.1", public_address="203.0.113.9")
OFFICE = ClientFacts(gateway="10.0.0.1", public_address="203.0.113.77")


@pytest.fixture
def history(tmp_path):
    return History(tmp_path / "data" / "history.sqlite")


def run(day, verdict="pass", client=HOME):
    return report(
        result(finding("sip-alg.x", verdict, summary=f"day {day}")), nat(), client=client, started_at=f"2026-01-{day:02}T12:00:00Z"
    )


def test_kept_listed_and_read_back(history):
    first, second = run(1), run(2, "fail", OFFICE)
    assert [history.keep(first), history.keep(second)] == [1, 2]
    assert history.load(1) == first
    assert (history.load(0), history.load(-1)) == (second, first)
    told = history.entries(10)
    assert [(entry.id, entry.place, entry.verdict) for entry in told] == [
        (2, Place("10.0.0.1", "203.0.113.77"), Verdict.FAIL),
        (1, Place("192.168.1.1", "203.0.113.9"), Verdict.PASS),
    ]
    assert [entry.id for entry in history.entries(10, Place("10.0.0.1", "203.0.113.77"))] == [2]
    assert [entry.id for entry in history.entries(1)] == [2]


def test_how_a_place_went_over_time(history):
    for day, verdict in enumerate(("pass", "pass", "fail", "fail", "pass"), 1):
        history.keep(run(day, verdict))
    history.keep(run(6, "fail", OFFICE))
    told = [
        (each.verdict.value, each.runs, each.first[8:10], each.last[8:10])
        for each in history.stretches(Place("192.168.1.1", "203.0.113.9"))
        if each.check == "sip-alg"
    ]
    assert told == [("pass", 2, "01", "02"), ("fail", 2, "03", "04"), ("pass", 1, "05", "05")]


def test_the_oldest_go(history, monkeypatch):
    monkeypatch.setattr(module, "MOST_RUNS", 3)
    for day in range(1, 6):
        history.keep(run(day))
    assert [entry.id for entry in history.entries(10)] == [5, 4, 3]
    with sqlite3.connect(history.file) as database:
        assert database.execute("SELECT DISTINCT run FROM results ORDER BY run").fetchall() == [(3,), (4,), (5,)]


def at(history, *moments):
    """A run at each of these dates, in the order in which they were made; the dates of those that are left."""
    for moment in moments:
        history.keep(msgspec.structs.replace(run(1), started_at=f"{moment}T00:00:00Z"))
    return [entry.started_at[:10] for entry in reversed(history.entries(10_000))]


MONTHS = [f"{year}-{month:02}-01" for year in (2025, 2026) for month in range(1, 13)]


def test_old_runs_go(history):
    kept = at(history, *MONTHS)
    assert kept == [moment for moment in MONTHS if datetime.date.fromisoformat(moment) >= datetime.date(2026, 12, 1) - datetime.timedelta(400)]
    assert len(kept) == 14


@pytest.mark.parametrize("wrong", ["2099-01-01", "1970-01-01", "2027-06-01", "not a date"])
def test_a_clock_that_jumps_takes_no_run_away(wrong, history):
    """Once, for many runs, and to and fro at each start of a machine without a clock of its own."""
    week = [f"2026-03-{day:02}" for day in range(1, 8)]
    then = [f"2026-03-{day:02}" for day in range(8, 15)]
    assert at(history, *week, wrong) == [*week, wrong[:10]]
    assert at(history, *[wrong] * 30)[:7] == week
    assert at(history, *then)[:7] == week
    for day in then:
        at(history, wrong, day)
    assert at(history)[:7] == week


def test_time_that_passes_while_the_clock_is_wrong_counts(history):
    shifted = [moment.replace("2026", "2092").replace("2025", "2091") for moment in MONTHS]
    assert at(history, "2025-06-01", *shifted)[0] == shifted[-14]


def test_removed(history):
    for day in (1, 2, 3):
        history.keep(run(day))
    assert history.remove(2) == 1
    assert history.remove(2) == 0
    assert history.remove(None) == 2
    assert history.entries(10) == []
    assert history.keep(run(4)) == 4  # a number is never given twice


def test_nothing_kept_yet(history):
    assert history.entries(10) == []
    assert not history.file.exists()
    with pytest.raises(UsageError, match="no run @0"):
        history.load(0)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no mode bits")
def test_only_its_owner_may_read_it(history):
    history.keep(run(1))
    assert stat.S_IMODE(history.file.stat().st_mode) == 0o600


KEEPER = """
import sys, msgspec
from pathlib import Path
from edgecheck.report import json
from edgecheck.store.history import History
history, report = History(Path(sys.argv[1])), json.read(Path(sys.argv[2]).read_bytes())
print("ready", flush=True)
for _ in range(int(sys.argv[3])):
    print(history.keep(report), flush=True)
"""


def keeper(history, tmp_path, times):
    from edgecheck.report import json

    saved = tmp_path / "report.json"
    saved.write_bytes(json.render(run(1)))
    return subprocess.Popen([sys.executable, "-c", KEEPER, str(history.file), str(saved), str(times)], stdout=subprocess.PIPE)


def test_two_runs_that_end_at_once_are_both_kept(history, tmp_path):
    both = [keeper(history, tmp_path, 20) for _ in range(2)]
    for process in both:
        process.communicate(timeout=60)
    assert [process.returncode for process in both] == [0, 0]
    assert len(history.entries(100)) == 40


def test_a_kill_at_any_moment_leaves_whole_runs(history, tmp_path):
    process = keeper(history, tmp_path, 100_000)
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(4)][-1] == b"3\n"
    process.send_signal(signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
    process.wait(10)
    entries = history.entries(100_000)
    with sqlite3.connect(history.file) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("SELECT run, count(*) FROM results GROUP BY run HAVING count(*) != 2").fetchall() == []
    assert history.load(entries[0].id) == run(1)
    history.keep(run(2))


def test_a_file_locked_by_another_is_left_alone(history, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    history.keep(run(1))
    other = sqlite3.connect(history.file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(HistoryFailed, match="locked"):
        history.keep(run(2))
    other.close()
    assert history.keep(run(2)) == 2


def test_what_is_no_history_is_left_alone(tmp_path):
    file = tmp_path / "history.sqlite"
    file.write_bytes(b"something else altogether" * 100)
    with pytest.raises(HistoryFailed, match="not a database"):
        History(file).keep(run(1))
    assert file.read_bytes().startswith(b"something else")


def test_a_newer_one_is_left_alone(history):
    history.keep(run(1))
    with sqlite3.connect(history.file) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(HistoryFailed, match="newer edgecheck"):
        history.keep(run(2))


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(HistoryFailed, match="could not be used"):
        History(tmp_path / "data" / "history.sqlite").keep(run(1))


def test_a_full_disk_is_said_and_leaves_what_was_there(history):
    history.keep(run(1))
    with sqlite3.connect(history.file) as database:
        (pages,) = database.execute("PRAGMA page_count").fetchone()
    full = History(history.file)
    whole = full._prepare

    def no_more_pages(database):
        whole(database)
        database.execute(f"PRAGMA max_page_count = {pages}")

    full._prepare = no_more_pages
    until_full = [full] * 200
    with pytest.raises(HistoryFailed, match="full"):
        _ = [each.keep(run(2)) for each in until_full]
    assert history.load(1) == run(1)
