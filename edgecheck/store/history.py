"""Every run, kept in one SQLite file: what a place was like last week.

A place is a network, recognized by its gateway and its public address. SQLite's own journal makes a run that is killed while it
writes, or two that end at once, harmless; whoever finds the file locked for longer than ``PATIENCE_S`` leaves it alone. Nothing here
may stop a run from ending with its report: all that goes wrong is a ``HistoryFailed``, one sentence.
"""

import contextlib
import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from edgecheck.model.errors import EdgecheckError, UsageError
from edgecheck.model.verdict import Report, Verdict
from edgecheck.report import json
from edgecheck.store.places import data_directory

PATIENCE_S = 2.0
"""Longest wait for another process that writes."""
MOST_RUNS = 2000
"""Kept at most, over all places; the oldest go first. With ten kilobytes a run, twenty megabytes."""
KEEP_DAYS = 400
"""Older runs go: last year's figures, and a month to compare them with."""
LONGEST_PAUSE_DAYS = 62
"""Between two runs in a row. A longer one, forward or back, may be a clock that jumped: nothing is taken to have grown older by it."""
_VERSION = 1
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  started_at TEXT NOT NULL,
  gateway TEXT NOT NULL,
  public_address TEXT NOT NULL,
  verdict TEXT NOT NULL,
  headline TEXT NOT NULL,
  report BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS results (
  run INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  check_id TEXT NOT NULL,
  verdict TEXT NOT NULL,
  summary TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS results_of_run ON results(run);
PRAGMA user_version = {_VERSION};
"""
_TOO_OLD = """
WITH steps AS (SELECT id, julianday(started_at) - lag(julianday(started_at)) OVER (ORDER BY id) AS step FROM runs),
     times AS (SELECT id, sum(CASE WHEN abs(step) <= ? THEN step ELSE 0 END) OVER (ORDER BY id) AS time FROM steps)
DELETE FROM runs WHERE id IN (SELECT id FROM times WHERE time < (SELECT time FROM times ORDER BY id DESC LIMIT 1) - ?)
"""
"""By the time that passed from run to run, not by what the clock says now: it may be wrong by years, once or at each start."""


class HistoryFailed(EdgecheckError):
    """The history could not be read or written; the words say why."""


class Place(NamedTuple):
    """A network."""

    gateway: str
    """Address of the default gateway; empty where there was none."""
    public_address: str
    """As the server saw it; empty where no session was had."""

    def __str__(self) -> str:
        return f"{self.public_address or 'public address unknown'} through {self.gateway or 'no gateway'}"


class Entry(NamedTuple):
    """One run, in brief."""

    id: int
    started_at: str
    place: Place
    verdict: Verdict
    headline: str


class Stretch(NamedTuple):
    """Runs in a row in which a check had one verdict."""

    check: str
    verdict: Verdict
    runs: int
    first: str
    """When it began: ``started_at`` of the first of them."""
    last: str
    summary: str
    """Of the last of them."""


def place_of(report: Report) -> Place:
    """The network that this report is of."""
    return Place(report.client.gateway or "", report.client.public_address or "")


class History:
    """The file. Each call opens and closes it: nothing is held while a run measures."""

    def __init__(self, file: Path | None = None) -> None:
        self.file = file or data_directory() / "history.sqlite"

    def keep(self, report: Report) -> int:
        """Keep this run, and let go of those that are too old; its number. Raises ``HistoryFailed``."""
        place = place_of(report)
        with self._open(create=True) as database:
            cursor = database.execute(
                "INSERT INTO runs (started_at, gateway, public_address, verdict, headline, report) VALUES (?, ?, ?, ?, ?, ?)",
                (report.started_at, *place, report.verdict.value, report.headline, zlib.compress(json.render(report), 6)),
            )
            number = cursor.lastrowid or 0
            rows = [(number, result.id, result.verdict.value, result.summary) for result in report.checks]
            database.executemany("INSERT INTO results VALUES (?, ?, ?, ?)", rows)
            database.execute("DELETE FROM runs WHERE id <= ? - ?", (number, MOST_RUNS))
            database.execute(_TOO_OLD, (LONGEST_PAUSE_DAYS, KEEP_DAYS))
        return number

    def entries(self, most: int, place: Place | None = None) -> list[Entry]:
        """The newest, newest first. Raises ``HistoryFailed``."""
        where, given = ("WHERE gateway = ? AND public_address = ?", tuple(place)) if place else ("", ())
        with self._open() as database:
            rows = database.execute(
                f"SELECT id, started_at, gateway, public_address, verdict, headline FROM runs {where} ORDER BY id DESC LIMIT ?",  # noqa: S608
                (*given, most),
            ).fetchall()
            return [Entry(row[0], row[1], Place(row[2], row[3]), Verdict(row[4]), row[5]) for row in rows]

    def load(self, number: int) -> Report:
        """One run's report; 0 is the newest, -1 the one before it. Raises ``UsageError``, ``HistoryFailed``."""
        query, given = ("SELECT report FROM runs WHERE id = ?", number)
        if number <= 0:
            query, given = ("SELECT report FROM runs ORDER BY id DESC LIMIT 1 OFFSET ?", -number)
        with self._open() as database:
            row = database.execute(query, (given,)).fetchone()
        if row is None:
            raise UsageError(f"There is no run @{number} in the history: edgecheck history lists what there is.")
        # a bound on what is unpacked: the file may have been tampered with
        try:
            return json.read(zlib.decompressobj().decompress(row[0], json.MAX_SIZE + 1))
        except (zlib.error, TypeError):
            raise UsageError(f"Run @{number} of the history was damaged.") from None
        except UsageError as error:
            raise UsageError(f"Run @{number}: {error}") from None

    def stretches(self, place: Place) -> list[Stretch]:
        """For each check of this place, its verdicts in order of time, equal ones in a row as one. Raises ``HistoryFailed``."""
        with self._open() as database:
            rows = database.execute(
                "SELECT check_id, results.verdict, started_at, summary FROM results JOIN runs ON run = runs.id "
                "WHERE gateway = ? AND public_address = ? ORDER BY check_id, runs.id",
                tuple(place),
            ).fetchall()
            return list(_stretches(rows))

    def remove(self, number: int | None) -> int:
        """Forget one run, or all of them (None); how many went. Raises ``HistoryFailed``."""
        with self._open() as database:
            if number is None:
                return database.execute("DELETE FROM runs").rowcount
            return database.execute("DELETE FROM runs WHERE id = ?", (number,)).rowcount

    @contextlib.contextmanager
    def _open(self, create: bool = False) -> Iterator[sqlite3.Connection]:
        try:
            if create:
                self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                if not self.file.exists():
                    self.file.touch(mode=0o600)
            elif not self.file.exists():
                with contextlib.closing(sqlite3.connect(":memory:")) as empty:
                    empty.executescript(_SCHEMA)
                    yield empty
                return
            with contextlib.closing(sqlite3.connect(self.file, timeout=PATIENCE_S)) as database:
                self._prepare(database)
                with database:
                    yield database
        except (OSError, sqlite3.Error, zlib.error, ValueError) as error:
            raise HistoryFailed(f"The history in {self.file} could not be used: {getattr(error, 'strerror', None) or error}.") from None

    def _prepare(self, database: sqlite3.Connection) -> None:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise HistoryFailed(f"The history in {self.file} was written by a newer edgecheck; this version leaves it alone.")
        if version < _VERSION:
            database.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
        database.execute("PRAGMA foreign_keys = ON")


def _stretches(rows: Sequence[tuple[str, str, str, str]]) -> Iterator[Stretch]:
    current: Stretch | None = None
    for check, verdict, at, summary in rows:
        if current is not None and (check, verdict) == (current.check, current.verdict.value):
            current = current._replace(runs=current.runs + 1, last=at, summary=summary)
            continue
        if current is not None:
            yield current
        current = Stretch(check, Verdict(verdict), 1, at, at, summary)
    if current is not None:
        yield current
