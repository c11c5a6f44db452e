"""``edgecheck-server reports``, and servers that keep none."""

import asyncio
import subprocess
import sys
import zlib

import msgspec
import pytest

from echo_server.control import shared
from echo_server.desk.store import Store
from edgecheck import sharing
from edgecheck.cli import invoke
from edgecheck.model.errors import RequestDeclined
from edgecheck.report import json
from tests.reports import PROFILE, finding, report, result
from tests.server_process import ANY_PORTS, ServerProcess


def saved(verdict):
    given = report(
        result(finding("x.y", verdict, "mapping", f"A {verdict}."), observation={"a": 1}),
        settings={"profile": msgspec.to_builtins(PROFILE)},
    )
    return shared.SharedReport(
        given.started_at, verdict, f"A {verdict}.", "192.168.1.1", "203.0.113.9", "203.0.113.9", zlib.compress(json.render(given))
    )


@pytest.fixture
def state(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'reports.sqlite'}")
    store.prepare()
    for verdict in ("pass", "fail"):
        store.keep(saved(verdict))
    store.close()
    return tmp_path


def run(state, *words):
    command = [sys.executable, "-m", "echo_server", "reports", *words, "--state-dir", str(state)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_listed_shown_compared_exported_removed(state):
    listed = run(state, "list").stdout.splitlines()
    assert [line.split()[0] for line in listed] == ["2", "1"]
    assert "203.0.113.9 through 192.168.1.1" in listed[0]
    assert run(state, "show", "1").stdout.startswith("PASS  ")
    assert "\nWorse\n" in run(state, "compare", "1", "2").stdout
    page = state / "one.html"
    assert run(state, "export", "1", str(page)).returncode == 0
    assert page.read_text().startswith("<!doctype html>")
    assert json.read(run(state, "export", "2").stdout.encode()).verdict == "fail"
    assert run(state, "remove", "1").stdout == "Removed 1.\n"
    gone = run(state, "show", "1")
    assert gone.returncode == 64
    assert gone.stderr.count("\n") == 1
    assert "There is no report 1" in gone.stderr


def test_a_store_that_is_not_there_is_one_sentence(tmp_path):
    done = run(tmp_path, "list")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (64, "", 1)
    assert "There is no store for reports" in done.stderr


def test_a_server_that_keeps_none_says_so(monkeypatch):
    server = ServerProcess("--address", "127.0.0.1", "--reports", "none", *ANY_PORTS, environment={"EDGECHECK_TOKEN": "a-token-of-tests"})
    try:
        with pytest.raises(RequestDeclined, match="keeps no reports"):
            asyncio.run(sharing.share(report(), server.target, None, None))
    finally:
        server.stop()


def test_a_store_that_cannot_be_opened_ends_the_start_with_one_sentence():
    command = [sys.executable, "-m", "echo_server", "--address", "127.0.0.1", "--token", "a-token-of-tests", *ANY_PORTS]
    done = subprocess.run([*command, "--reports", "sqlite:////nowhere/x.sqlite"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "--reports" in done.stderr.splitlines()[-1]


def test_run_and_share(capsys, monkeypatch, tmp_path):
    server = ServerProcess(
        "--address", "127.0.0.1", "--alternate", "127.0.0.2", *ANY_PORTS, environment={"EDGECHECK_TOKEN": "a-token-of-tests"}
    )
    try:
        assert invoke(["run", "nat-behavior", str(server.target), "--share", "--quiet"]) == 0
        assert capsys.readouterr().err == f"Shared with {server.target.authority} as report 1.\n"
        listed = run(server.state / "state", "list").stdout
        assert listed.startswith("1 ")
    finally:
        server.stop()
    assert invoke(["run", "--share"]) == 64
    assert "name one" in capsys.readouterr().err
