"""What may happen while the checks run, with the real server: a box between, a server that goes, a port that is taken."""

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from edgecheck import profiles, runner
from edgecheck.cli import status
from edgecheck.cli.run import event_loop
from edgecheck.model.verdict import CheckResult, Verdict
from edgecheck.net.control import session
from edgecheck.report import json as json_report
from edgecheck.wire import control
from tests.net import live
from tests.net.command import PROFILE, Run, Said, orderly
from tests.net.live import HERE, PRIMARY, TOKEN
from tests.net.peers import Peers, certificate, passes_on, service, welcomes
from tests.server_process import ServerProcess

CHECKS = {"port-forwarding", "rtp-range", "nat-behavior", "port-preservation", "sip-alg", "outbound", "host"}
FINE = dict.fromkeys(CHECKS, "pass")


# ---- a box between


def test_nothing_between(server: ServerProcess, run: Run) -> None:
    said = run(server.target.authority, "--source", HERE)
    assert said.verdicts == FINE, said.out


def test_a_box_that_opens_tls_is_named_and_the_run_goes_on(server: ServerProcess, peers: Peers, run: Run) -> None:
    context, _ = certificate("echo.example.net", "Corp Proxy CA\x1b[31m")
    port = peers.tcp(passes_on(server.target.host, server.target.port, tls=True), context, PRIMARY)
    said = run(f"{PRIMARY}:{port}", "--source", HERE)
    assert said.code == status.FAILED
    assert said.verdicts == {"control": "fail"} | FINE
    (found,) = said.findings("control")
    assert found["id"] == "control.intercepted"
    for words in (said.headline, found["summary"], said.err):
        assert "opens TLS and shows its own certificate" in words
        assert 'issuer: "Corp Proxy CA' in words
    assert found["evidence"]
    assert found["remedies"], "what to do about it"
    assert said.report["advice"]


def test_a_box_that_only_passes_bytes_on_is_none(server: ServerProcess, peers: Peers, run: Run) -> None:
    port = peers.tcp(passes_on(server.target.host, server.target.port, tls=False), host=PRIMARY)
    said = run(f"{PRIMARY}:{port}", "--source", HERE)
    assert "control" not in said.verdicts
    assert "fail" not in said.verdicts.values(), "the control channel came from the box's address: what that lets in says nothing of ours"
    assert said.verdicts["nat-behavior"] == "pass"


def test_a_box_that_opens_tls_and_cuts_the_channel_later(server: ServerProcess, peers: Peers, run: Run) -> None:
    """Many inspect the first bytes and then decide: the session is lost, and what was found out before is told beside it."""
    context, _ = certificate("echo.example.net", "Corp Proxy CA")
    port = peers.tcp(passes_on(server.target.host, server.target.port, tls=True, most=6_000), context, PRIMARY)
    said = run(f"{PRIMARY}:{port}", "--source", HERE)
    assert [found["id"] for found in said.findings("control")] == ["control.intercepted", "control.lost"]
    assert said.code == status.FAILED
    assert "inconclusive" in said.verdicts.values()


# ---- the server goes


class Show:
    """Sends the server a signal at a moment of the run."""

    def __init__(self, server: ServerProcess, moment: tuple[str, str], number: signal.Signals) -> None:
        self._server = server
        self._moment = moment
        self._number = number
        self.sent = False

    def _at(self, *moment: str) -> None:
        if moment == self._moment and not self.sent:
            self.sent = True
            self._server.process.send_signal(self._number)

    def check_started(self, id: str, question: str) -> None:
        self._at("started", id)

    def progress(self, id: str, done: int, total: int, note: str) -> None:
        self._at("progress", id)

    def check_finished(self, result: CheckResult) -> None:
        self._at("finished", result.id)

    def notice(self, text: str) -> None: ...


@pytest.fixture
def own_server() -> Any:
    with live.server() as running:
        yield running


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGKILL, ("started", "port-forwarding")),
        (signal.SIGKILL, ("finished", "port-forwarding")),
        (signal.SIGKILL, ("progress", "rtp-range")),
        (signal.SIGKILL, ("finished", "rtp-range")),
        (signal.SIGTERM, ("progress", "rtp-range")),
        (signal.SIGSTOP, ("progress", "rtp-range")),
    ],
)
def test_the_server_goes_in_mid_run(
    number: signal.Signals,
    moment: tuple[str, str],
    own_server: ServerProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Killed, ended, or only silent: what was measured is reported, the rest is undecided, and the report says why and what to do."""
    import asyncio

    if number is signal.SIGSTOP:
        # As patient as a person is, it would wait half a minute for an answer, and as long again to be let in once more.
        monkeypatch.setattr(session, "ASK_S", 0.5)
        monkeypatch.setattr(session, "CONNECT_S", 1.0)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "small.toml").write_text(PROFILE)
    settings = runner.Settings(target=own_server.target, profile=profiles.load(str(tmp_path / "small.toml")), source=HERE, pace=0)
    show = Show(own_server, moment, number)
    with asyncio.Runner(loop_factory=event_loop) as loop:
        report = loop.run(runner.run(settings, show))
    assert show.sent
    results = {result.id: result for result in report.checks}
    assert report.verdict is Verdict.INCONCLUSIVE
    assert [finding.id for finding in results["control"].findings] == ["control.lost"]
    assert own_server.target.authority in report.headline
    assert "run again" in report.headline
    done = {"finished": {moment[1], "port-forwarding"}, "progress": {"port-forwarding"}, "started": set()}[moment[0]]
    assert {id for id in CHECKS if results[id].verdict is Verdict.PASS} == done
    for id in CHECKS - done:
        assert results[id].verdict in (Verdict.INCONCLUSIVE, Verdict.SKIPPED), results[id]
        assert not [finding for finding in results[id].findings if finding.verdict in (Verdict.PASS, Verdict.WARN, Verdict.FAIL)]
        assert results[id].fault is None
        assert results[id].summary
    assert all(results[id].observation is not None for id in done)
    orderly(json_report.render(report).decode(), *capfd.readouterr())


NOISE: dict[str, str | bytes] = {
    "garbage": "garbage",
    "binary": b"\x00\x01\x02",
    "giant": '{"type":"pong","id":1,"at_ms":' + "1" * (control.MAX_MESSAGE + 1) + "}",
    "deep": '{"type":"declined","id":' * 50_000,
    "a request": '{"type":"ping","id":1}',
    "control characters": '{"type":"declined","id":1,"reason":"limit","message":"' + "\\u001b]0;owned\\u0007" * 10_000 + '"}',
    "ten billion ports": '{"type":"media-opened","id":1,"ports":[[1,9999999999]]}',
    "every port many times": '{"type":"media-opened","id":1,"ports":[' + ",".join(["[1,65535]"] * 100_000) + "]}",
    "another answer": '{"type":"pong","id":1,"at_ms":0.0}',
    "no port": '{"type":"dialed","id":1,"rows":[{"port":99999,"outcome":"silent","attempts":1,"elapsed_ms":0}]}',
    "an unreadable source": '{"type":"accounted","id":1,"series":1,"received":[{"item":1,"listener":"A1","source":"x","copies":1,"answered":1,"first_ms":0}]}',
    "ports beyond all": '{"type":"accounted","id":1,"series":1,"reached_by_others":[[1,99999999999]]}',
    "what a newer server says": '{"type":"weather","id":1,"outlook":"fine"}',
}


@pytest.mark.parametrize("noise", NOISE)
def test_a_server_that_answers_with_noise(noise: str, peers: Peers, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows the token, and every answer to a request is this. Nobody waits half a minute for each, nothing is said of the network."""
    monkeypatch.setattr(session, "ASK_S", 0.3)

    async def talk(ws: web.WebSocketResponse) -> None:
        await welcomes(ws, TOKEN, service=service(media=(26_000, 26_199)))
        while (frame := await ws.receive()).type is web.WSMsgType.TEXT:
            number = str(json.loads(frame.data)["id"])
            said = NOISE[noise]
            await (ws.send_bytes(said) if isinstance(said, bytes) else ws.send_str(said.replace('"id":1', f'"id":{number}')))

    said = run(f"127.0.0.1:{peers.channel(talk)}", "--source", HERE, "rtp-range")
    assert said.code == status.UNDECIDED
    assert said.verdicts["rtp-range"] == "inconclusive"
    assert ("control" in said.verdicts) == (noise != "control characters"), "declined is an answer, all else ends the session"
    assert not any(check["fault"] for check in said.report["checks"])


# ---- this machine


def test_a_port_that_another_program_holds(server: ServerProcess, run: Run) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rtp:
        udp.bind((HERE, 25_060))
        rtp.bind((HERE, 26_017))
        said = run(server.target.authority, "--source", HERE)
    assert said.verdicts["port-forwarding"] == said.verdicts["rtp-range"] == "pass"
    (row,) = [row for row in said.findings("port-forwarding") if row["subject"] == "UDP 25060"]
    holder = f"(pid {os.getpid()})"
    assert row["verdict"] == "pass"
    assert row["evidence"][0].startswith("UDP 25060 on this machine is used by ")
    assert holder in row["evidence"][0]
    (row,) = [row for row in said.findings("rtp-range") if row["verdict"] != "pass"]
    assert (row["verdict"], row["subject"]) == ("skipped", "UDP 26017")
    assert "in use on this machine by" in row["summary"]
    assert holder in row["summary"]
    assert said.verdicts["nat-behavior"] == "pass"


def command(*arguments: str, before: tuple[str, ...] = (), folder: Path, **more: Any) -> Said:
    """``python -m edgecheck run`` as a process of its own, the report on stdout."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("EDGECHECK_")}
    done = subprocess.run(
        [*before, sys.executable, "-m", "edgecheck", "run", "--json", "-", "--profile", str(folder / "small.toml"), *arguments],
        capture_output=True,
        text=True,
        env=environment | {"EDGECHECK_TOKEN": TOKEN, "XDG_STATE_HOME": str(folder)},
        timeout=120,
        check=False,
        **more,
    )
    orderly(done.stdout, done.stderr)
    return Said(done.returncode, done.stdout, done.stderr, json.loads(done.stdout))


def test_few_open_files_still_cover_every_port(server: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(PROFILE.replace("26199", "26999"))

    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

    said = command("rtp-range", "--server", server.target.authority, "--source", HERE, "--pace", "0", folder=tmp_path, preexec_fn=few)
    (check,) = said.report["checks"]
    seen = check["observation"]
    assert (said.code, check["verdict"]) == (status.FINE, "pass"), check
    assert (seen["tested"], seen["inbound_open"], seen["outbound_open"], seen["busy"]) == (1000, 1000, 1000, [])


def test_hardly_any_open_files_end_in_words(server: ServerProcess, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(PROFILE)

    def hardly_any() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))

    said = command("--server", server.target.authority, "--source", HERE, "--pace", "0", folder=tmp_path, preexec_fn=hardly_any)
    assert said.code == status.UNDECIDED
    assert "fail" not in said.verdicts.values()
    untold = [finding["summary"] for id in CHECKS for finding in said.findings(id) if finding["verdict"] == "inconclusive"]
    assert any("limit on open files" in summary for summary in untold), untold
    assert not any(check["fault"] for check in said.report["checks"])


def no_network() -> tuple[str, ...]:
    """How to start a process in a network of its own, with nothing in it; skips where the system does not allow it."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("needs unshare(1) of util-linux")
    before = (unshare, "--net") if os.geteuid() == 0 else (unshare, "--map-root-user", "--net")
    probe = subprocess.run([*before, "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"needs a network namespace (root, or unprivileged user namespaces): {probe.stderr.strip()}")
    return before


@pytest.mark.parametrize("where", ["198.51.100.10", "[2001:db8::10]"])
def test_no_route_there(where: str, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(PROFILE)
    said = command("--server", where, folder=tmp_path, before=no_network())
    assert said.code == status.UNDECIDED
    assert f"Could not reach {where}:8443: no route to it from here" in said.headline
    assert "Is this machine's network up?" in said.headline


def test_no_network_and_a_name(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(PROFILE)
    said = command("--server", "echo.example.net", folder=tmp_path, before=no_network())
    assert said.code == status.UNDECIDED
    assert "echo.example.net could not be resolved" in said.headline
    assert "DNS" in said.headline


def test_not_even_loopback(tmp_path: Path) -> None:
    """A network of its own, loopback down: no address for the embedded server either."""
    (tmp_path / "small.toml").write_text(PROFILE)
    before = no_network()
    done = subprocess.run(
        [*before, sys.executable, "-m", "edgecheck", "run", "--profile", str(tmp_path / "small.toml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    orderly(done.stdout, done.stderr)
    assert done.returncode == status.UNDECIDED
    assert done.stdout or done.stderr
