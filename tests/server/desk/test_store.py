"""The store of reports, on SQLite and on a real PostgreSQL: the same behavior."""

import os
import stat
import zlib
from collections.abc import Iterator

import pytest

from echo_server.control import shared
from echo_server.desk import store as module
from echo_server.desk.store import Store, StoreFailed
from edgecheck.report import json
from edgecheck.wire.errors import Malformed
from tests.reports import finding, nat, report, result
from tests.server import postgres


def packed(headline: str = "A headline.", verdict: str = "fail") -> bytes:
    return zlib.compress(json.render(report(nat(), result(finding("a.b", verdict)), headline=headline)))


def one(headline: str = "A headline.") -> shared.SharedReport:
    return shared.read(packed(headline), "203.0.113.9")


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres.running() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path) -> Iterator[Store]:
    made = Store(f"sqlite:///{tmp_path / 'reports.sqlite'}" if request.param == "sqlite" else request.getfixturevalue("database"))
    made.prepare()
    for row in made.rows(10_000):
        made.remove(row.id)
    yield made
    made.close()


def test_kept_listed_read_and_removed(store):
    first, second = store.keep(one("First.")), store.keep(one("Second."))
    assert second > first
    assert [(row.id, row.headline, row.verdict, row.source) for row in store.rows()] == [
        (second, "Second.", "fail", "203.0.113.9"),
        (first, "First.", "fail", "203.0.113.9"),
    ]
    assert store.packed(first) == packed("First.")
    assert store.remove(first)
    assert not store.remove(first)
    assert store.packed(first) is None
    assert [row.id for row in store.rows(most=1)] == [second]


def test_the_oldest_go(store, monkeypatch):
    monkeypatch.setattr(module, "MOST", 3)
    numbers = [store.keep(one(f"Number {index}.")) for index in range(5)]
    assert [row.id for row in store.rows()] == numbers[:1:-1]


def sized(size: int, headline: str) -> shared.SharedReport:
    """A report of so many bytes, packed."""
    return one(headline)._replace(packed=os.urandom(size))


def test_the_oldest_make_room_by_bytes_too(store):
    """However few there are: many large ones fill a disk as well as many small ones."""
    store.most_bytes = 10_000
    numbers = [store.keep(sized(size, f"{size}.")) for size in (4_000, 3_000, 3_000)]
    assert [row.id for row in store.rows()] == numbers[::-1]
    small = store.keep(sized(1, "small."))
    assert [row.id for row in store.rows()] == [small, *numbers[:0:-1]]
    large = store.keep(sized(10_000, "large."))
    assert [row.id for row in store.rows()] == [large]
    assert len(store.packed(large)) == 10_000
    # Flooding it with the largest there may be never holds more than the bound; the newest is always kept.
    for index in range(12):
        newest = store.keep(sized(2_500, f"{index}."))
        held = [len(store.packed(row.id)) for row in store.rows()]
        assert sum(held) <= 10_000
        assert store.rows()[0].id == newest
    assert held == [2_500] * 4



def test_two_programs_on_one_store(store, request):
    other = Store(store._engine.url.render_as_string(hide_password=False))
    other.prepare()
    number = other.keep(one("From the other."))
    other.close()
    assert store.packed(number) == packed("From the other.")


def test_what_peers_sent_is_data(store):
    hostile = "'); DROP TABLE edgecheck_reports; -- \x00 \ud800 <script>"
    plain = shared.read(zlib.compress(json.render(report(nat(), headline="x"))), "203.0.113.9")
    number = store.keep(plain._replace(headline=shared._short(hostile, 1000)))
    (row,) = [row for row in store.rows() if row.id == number]
    assert row.headline == "'); DROP TABLE edgecheck_reports; -- \ufffd ? <script>"


@pytest.mark.parametrize("number", [0, -1, 2**31, 10**30])
def test_a_number_that_no_report_has(store, number):
    assert store.packed(number) is None
    assert store.remove(number) is False


@pytest.mark.skipif(os.name == "nt", reason="Windows has no mode bits")
def test_a_file_is_its_owners_alone(tmp_path):
    file = tmp_path / "reports.sqlite"
    Store(f"sqlite:///{file}").prepare()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "Could not parse"),
        ("mysql://x@y/z", "cannot be used|driver"),
        ("sqlite:////nowhere/at/all/x.sqlite", "unable to open|No such file"),
        ("postgresql://user:swordfish@127.0.0.1:9/x", "refused|failed"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_sentence_without_the_password(url, words):
    with pytest.raises(StoreFailed, match=words) as raised:
        Store(url).prepare()
    assert "swordfish" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "does not end"),
        (b"no zlib", "cannot be unpacked"),
        (packed()[:-10], "does not end"),
        (packed() + b"more", "does not end"),
        (zlib.compress(b"{"), "no report"),
        (zlib.compress(b"[]"), "no report"),
        (zlib.compress(b'{"schema": "other/1", "started_at": "", "verdict": "", "headline": ""}'), "no report of edgecheck"),
        (zlib.compress(b"[" * 1_000_000), "no report"),
        (zlib.compress(bytes(20 << 20), 9), "more than 16 MB"),
    ],
)
def test_what_is_no_report_is_refused(data, words):
    with pytest.raises(Malformed, match=words):
        shared.read(data, "203.0.113.9")
