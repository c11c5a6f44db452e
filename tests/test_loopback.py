"""The whole product on this machine: real sockets, the real server, every check; in this process, and as the command that a person types."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgecheck import judging, profiles, runner
from edgecheck.cli import status
from edgecheck.cli.run import event_loop
from edgecheck.model.verdict import CheckResult, Report, Verdict
from edgecheck.report import json as json_report
from edgecheck.report import schema
from edgecheck.wire.address import Target
from tests.json_schema import conforms
from tests.net import live
from tests.net.command import PROFILE, orderly
from tests.net.live import ALTERNATE, ANOTHER, HERE, PRIMARY, TOKEN
from tests.server_process import ServerProcess
from tests.waiting import wait_until

ORDINARY = {"port-forwarding", "rtp-range", "nat-behavior", "port-preservation", "sip-alg", "outbound", "host"}


class Told:
    """Keeps what a run tells."""

    def __init__(self) -> None:
        self.finished: list[str] = []
        self.counted: dict[str, int] = {}

    def check_started(self, id: str, question: str) -> None: ...

    def progress(self, id: str, done: int, total: int, note: str) -> None:
        assert 0 <= done <= total
        self.counted[id] = max(done, self.counted.get(id, 0))

    def check_finished(self, result: CheckResult) -> None:
        self.finished.append(result.id)

    def notice(self, text: str) -> None: ...


@pytest.fixture(autouse=True)
def _no_memory_of_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("EDGECHECK_SERVER", raising=False)
    monkeypatch.delenv("EDGECHECK_TOKEN", raising=False)
    (tmp_path / "small.toml").write_text(PROFILE)


def carry_out(target: Target, profile: str, show: Told, **more: Any) -> Report:
    settings = runner.Settings(target=target, profile=profiles.load(profile), pace=0, **more)
    with asyncio.Runner(loop_factory=event_loop) as loop:
        return loop.run(runner.run(settings, show))


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with live.server() as running:
        yield running


def test_a_whole_run(server: ServerProcess, tmp_path: Path) -> None:
    told = Told()
    report = carry_out(server.target, str(tmp_path / "small.toml"), told, source=HERE)
    assert {result.id: result.verdict for result in report.checks} == dict.fromkeys(ORDINARY, Verdict.PASS), report
    assert (report.verdict, report.notes) == (Verdict.PASS, ())
    assert set(told.finished) == ORDINARY
    assert told.counted["rtp-range"] > 0
    assert report.server is not None
    assert (report.server.address, report.server.alternate, report.client.source) == (PRIMARY, ALTERNATE, HERE)
    seen = {result.id: result.observation or {} for result in report.checks}
    assert [row["state"] for row in seen["port-forwarding"]["ports"]] == ["forwarded", "forwarded"]
    assert (seen["rtp-range"]["inbound_open"], seen["rtp-range"]["outbound_open"], seen["rtp-range"]["tested"]) == (200, 200, 200)
    nat = seen["nat-behavior"]
    assert (nat["behind_nat"], nat["mapping"], nat["filtering"]) == (False, "endpoint-independent", "endpoint-independent")
    assert nat["classic_type"] == "open internet"
    assert seen["port-preservation"]["preserved"] == seen["port-preservation"]["tested"] > 0
    assert seen["sip-alg"]["interference"] == "none"
    assert {probe["transport"] for probe in seen["sip-alg"]["probes"]} == {"udp", "tcp", "tls"}
    data = json_report.render(report)
    assert TOKEN not in data.decode()
    assert json_report.render(judging.rejudge(json_report.read(data))) == data


def test_two_runs_side_by_side_do_not_disturb_each_other(server: ServerProcess, tmp_path: Path) -> None:
    """Two sessions, two sources: each sees its own world."""

    async def both() -> list[Report]:
        return await asyncio.gather(
            *(
                runner.run(runner.Settings(target=server.target, profile=profiles.load(str(tmp_path / "small.toml")), source=source, pace=0), Told())
                for source in (HERE, ANOTHER)
            )
        )

    with asyncio.Runner(loop_factory=event_loop) as loop:
        reports = loop.run(both())
    for report in reports:
        assert {result.id: result.verdict for result in report.checks} == dict.fromkeys(ORDINARY, Verdict.PASS), report


def test_a_server_with_one_address_over_ipv6(tmp_path: Path) -> None:
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"this machine has no ::1: {error}")
    # Both ends on one address: the client's ports are others than the server's.
    with live.server("--address=::1", "--media-ports=27000-27999") as running:
        report = carry_out(running.target, str(tmp_path / "small.toml"), Told())
    results = {result.id: result for result in report.checks}
    assert report.server is not None
    assert (report.server.address, report.server.alternate) == ("::1", None)
    assert results["port-forwarding"].verdict is Verdict.SKIPPED
    assert (results["rtp-range"].observation or {})["outbound_open"] == 200
    assert (results["rtp-range"].observation or {})["inbound_open"] is None
    assert results["sip-alg"].verdict is Verdict.PASS
    assert results["port-preservation"].verdict is Verdict.PASS
    assert all(finding.verdict not in (Verdict.FAIL, Verdict.WARN) for result in report.checks for finding in result.findings)
    assert any("one address only" in note for note in report.notes)


def test_a_server_that_is_killed_leaves_what_was_measured(tmp_path: Path) -> None:
    """By its process id, in the middle of the RTP range's way out: the way in stands, and so does the check before."""
    with live.server() as running:

        class Killing(Told):
            def progress(self, id: str, done: int, total: int, note: str) -> None:
                super().progress(id, done, total, note)
                if id == "rtp-range" and done > total * 5 // 8:
                    os.kill(running.process.pid, signal.SIGKILL)

        settings = runner.Settings(target=running.target, profile=profiles.load(str(tmp_path / "small.toml")), pace=400, source=HERE)
        with asyncio.Runner(loop_factory=event_loop) as loop:
            report = loop.run(runner.run(settings, Killing()))
    results = {result.id: result for result in report.checks}
    assert [finding.id for finding in results["control"].findings] == ["control.lost"]
    assert results["port-forwarding"].verdict is Verdict.PASS
    rtp = results["rtp-range"]
    assert (rtp.verdict, [finding.id for finding in rtp.findings]) == (Verdict.INCONCLUSIVE, ["rtp-range.cut-short"])
    assert (rtp.cut_short or "").startswith("the server was lost in mid-run")
    assert (rtp.observation or {})["inbound_open"] == 200
    assert rtp.summary.startswith("200 of 200 ports receive from outside")
    assert {results[id].verdict for id in ("nat-behavior", "port-preservation", "sip-alg", "outbound", "host")} == {Verdict.SKIPPED}
    assert report.verdict is Verdict.INCONCLUSIVE
    conforms(json.loads(json_report.render(report)), schema.render())
    assert json_report.render(judging.rejudge(report)) == json_report.render(report)


# ---- the command


def start(*arguments: str, folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "edgecheck", "run", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={key: value for key, value in os.environ.items() if not key.startswith("EDGECHECK_")} | {"XDG_STATE_HOME": str(folder)},
    )


def test_the_command_with_no_server_at_hand(tmp_path: Path) -> None:
    """The README's first command, with the report on stdout: every check for real, and it conforms to the schema."""
    process = start("--json", "-", folder=tmp_path)
    out, err = process.communicate(timeout=120)
    orderly(out, err)
    report = json.loads(out)
    told = {check["id"]: (check["verdict"], check["summary"]) for check in report["checks"]}
    assert set(told) == ORDINARY
    assert report["settings"]["local_only"] is True
    assert "only this machine is checked" in err
    conforms(report, schema.render())
    read = json_report.read(out.encode())
    assert json_report.render(read) == out.encode()
    assert json_report.render(judging.rejudge(read)) == out.encode()
    # A port of this machine may be held by a program of its own: then that is said, and nothing else may stand in the way.
    assert "fail" not in {verdict for verdict, _ in told.values()}, told
    assert not any(check["fault"] for check in report["checks"])
    assert process.returncode == {"pass": status.FINE, "warn": status.WARNED}.get(report["verdict"], status.UNDECIDED)
    for check in report["checks"]:
        for finding in check["findings"]:
            held = any(words in finding["summary"] for words in ("another program", "in use on this machine", "could not open"))
            few = finding["id"] == "host.descriptors"  # where this machine allows so few that it is true
            assert finding["verdict"] in ("pass", "skipped") or held or few, finding
    assert told["nat-behavior"][0] == told["sip-alg"][0] == "pass"
    (rtp,) = [check["observation"] for check in report["checks"] if check["id"] == "rtp-range"]
    busy = sum(high - low + 1 for low, high in rtp["busy"])
    assert (rtp["inbound_open"], rtp["outbound_open"], rtp["tested"] + busy) == (rtp["tested"], rtp["tested"], 10_001)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_reports_what_it_knows(number: signal.Signals, server: ServerProcess, tmp_path: Path) -> None:
    """Interrupted while it paces through the RTP range: the check before it stands, and nothing is left behind."""
    (tmp_path / "token").write_text(TOKEN)
    profile = tmp_path / "wide.toml"
    profile.write_text(PROFILE.replace("26199", "29999"))
    where = ["--server", server.target.authority, "--token-file", str(tmp_path / "token"), "--source", HERE]
    process = start("--json", str(tmp_path / "report.json"), "--profile", str(profile), "--pace", "200", *where, folder=tmp_path)
    bound(26_100)  # the range's ends are witnesses of port-forwarding before
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    orderly(out, err)
    assert process.returncode == status.UNDECIDED, (out, err)
    report = json.loads((tmp_path / "report.json").read_text())
    verdicts = {check["id"]: check["verdict"] for check in report["checks"]}
    assert verdicts["port-forwarding"] == "pass"
    assert verdicts["rtp-range"] == "inconclusive"
    assert verdicts["sip-alg"] == "skipped"
    assert report["notes"] == ["Not finished: interrupted."]
    assert out.startswith("INCONCLUSIVE  ")


def bound(port: int) -> None:
    """Wait until the client holds this UDP port: the system's own table says when."""
    wanted = f"{int.from_bytes(socket.inet_aton(HERE), sys.byteorder):08X}:{port:04X}"
    wait_until(lambda: wanted in Path("/proc/net/udp").read_text(), f"somebody at port {port}", 60)


# ---- the schema


@pytest.mark.parametrize(
    "damage",
    [
        lambda report: report.pop("verdict"),
        lambda report: report.update(verdict="good"),
        lambda report: report.update(schema="edgecheck.report/2"),
        lambda report: report["checks"][0].update(findings=[{}]),
        lambda report: report["checks"][0]["observation"].update(behind_nat="no"),
        lambda report: report.update(duration_s="1"),
    ],
)
def test_the_schema_refuses_what_is_no_report(damage: Any, server: ServerProcess, tmp_path: Path) -> None:
    """Else conforming to it would mean nothing."""
    report = carry_out(server.target, str(tmp_path / "small.toml"), Told(), source=HERE, checks=("nat-behavior",))
    value = json.loads(json_report.render(report))
    conforms(value, schema.render())
    damage(value)
    with pytest.raises(AssertionError):
        conforms(value, schema.render())
