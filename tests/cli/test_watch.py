"""``edgecheck watch`` as a process: it looks, tells, serves figures, and ends when told."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from edgecheck.cli import invoke
from edgecheck.cli.watch import seconds
from edgecheck.model.errors import UsageError
from tests.net import live
from tests.waiting import PATIENCE_S


@pytest.mark.parametrize(("text", "found"), [("90", 90), ("90s", 90), ("15m", 900), ("1h", 3600), ("1d", 86400), ("10", 10), ("1.5m", 90)])
def test_times(text, found):
    assert seconds(text) == found


@pytest.mark.parametrize("text", ["", "x", "-5", "9", "0", "1w", "1e9", "nan", "5"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(UsageError, match="--every"):
        seconds(text)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["watch"], "A server is needed"),
        (["watch", "edge://t@127.0.0.1", "--every", "soon"], "--every"),
        (["watch", "edge://t@127.0.0.1", "--metrics", "9595x"], "--metrics"),
        (["watch", "edge://t@127.0.0.1", "--webhook", "nowhere"], "--webhook"),
        (["watch", "edge://t@127.0.0.1", "sip-lag"], "did you mean sip-alg?"),
    ],
)
def test_bad_words_are_one_sentence(capsys, monkeypatch, arguments, words):
    monkeypatch.delenv("EDGECHECK_SERVER", raising=False)
    code = invoke(arguments)
    captured = capsys.readouterr()
    assert (code, captured.out, captured.err.count("\n")) == (64, "", 1)
    assert words in captured.err


@pytest.fixture
def server():
    with live.server() as running:
        yield running


def test_once_is_for_a_timer_of_ones_own(server, capsys, tmp_path):
    file = tmp_path / "edgecheck.prom"
    assert invoke(["watch", "nat-behavior", str(server.target), "--once", "--textfile", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"Looking once at 127\.\d+\.\d+\.\d+:\d+: nat-behavior\.", lines[0]), "no interval, and nothing to end"
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ  PASS  ", lines[1])
    assert 'edgecheck_verdict{verdict="pass"} 1.0' in file.read_text()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to end a program with")
def test_it_looks_serves_and_ends_when_told(server):
    command = [
        sys.executable,
        "-m",
        "edgecheck",
        "watch",
        "nat-behavior",
        str(server.target),
        "--every",
        "10",
        "--metrics",
        "127.0.0.1:0",
        "--no-history",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "NO_COLOR": "1"})
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        assert process.stdout.readline().startswith("Watching ")
        assert "  PASS  " in process.stdout.readline()
        where = process.stderr.readline().split()[-1]
        with urllib.request.urlopen(f"http://{where}", timeout=10) as answer:
            assert b'edgecheck_verdict{verdict="pass"} 1.0' in answer.read()
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0  # that of the last look
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk is played by /dev/full")
def test_a_log_on_a_full_disk_does_not_end_it(server):
    command = [sys.executable, "-m", "edgecheck", "watch", "port-preservation", str(server.target), "--once", "--no-history"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "could not be written: No space left on device" in done.stderr
    assert "itself failed" not in done.stderr
