"""Runs the whole command in this process, and holds every ending to the same rules."""

import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from edgecheck.cli import invoke, status
from tests.net.live import TOKEN

PROFILE = """
name = "small"
title = "A small PBX of the tests"
source = "the tests"
confidence = "verified"
checks = ["port-forwarding", "rtp-range", "nat-behavior", "port-preservation", "sip-alg", "outbound", "host"]
rtp = [26000, 26199]
preservation_sample = 4
ports = [
  { ports = "25060", transport = "udp", purpose = "SIP", protocol = "sip" },
  { ports = "25060", transport = "tcp", purpose = "SIP", protocol = "sip" },
]
"""
_UNTIDY = re.compile(r"Traceback|never retrieved|was never awaited|Task was destroyed|Unclosed|Exception in")
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Said(NamedTuple):
    """All that a run wrote, and how it ended."""

    code: int
    out: str
    err: str
    report: dict[str, Any]

    @property
    def headline(self) -> str:
        return str(self.report["headline"])

    @property
    def verdicts(self) -> dict[str, str]:
        return {check["id"]: check["verdict"] for check in self.report["checks"]}

    def findings(self, check: str) -> list[dict[str, Any]]:
        return [finding for one in self.report["checks"] if one["id"] == check for finding in one["findings"]]


Run = Callable[..., Said]


def orderly(*written: str) -> None:
    """No traceback, no complaint of the event loop, no token, no control character."""
    whole = "\n".join(written)
    assert not _UNTIDY.search(whole), whole
    assert TOKEN not in whole
    assert not _UNSEEN.search(whole)


@pytest.fixture
def run(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """``run("HOST:PORT", more options)``."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("EDGECHECK_SERVER", raising=False)
    (tmp_path / "small.toml").write_text(PROFILE)

    def go(where: str, *options: str, token: str = TOKEN) -> Said:
        monkeypatch.setenv("EDGECHECK_TOKEN", token)
        json_file, junit_file = tmp_path / "report.json", tmp_path / "report.xml"
        reports = ["--json", str(json_file), "--junit", str(junit_file)]
        code = invoke(["run", "--server", where, "--profile", str(tmp_path / "small.toml"), "--pace", "0", *reports, *options])
        out, err = capfd.readouterr()
        orderly(out, err, json_file.read_text(), junit_file.read_text())
        assert len(out) < 10_000, "no peer's flood reaches a terminal"
        report = json.loads(json_file.read_text())
        assert code == {"pass": status.FINE, "warn": status.WARNED, "fail": status.FAILED}.get(report["verdict"], status.UNDECIDED)
        assert out.startswith(f"{report['verdict'].upper()}  {report['headline'][:20]}")
        return Said(code, out, err, report)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield go
    for number, handler in before.items():
        signal.signal(number, handler)
