"""The embedded server: on loopback alone, secret token, and nothing left behind on any path."""

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from edgecheck import embedded
from edgecheck.model.errors import ServerUnreachable, UsageError
from tests.reports import PROFILE
from tests.waiting import wait_until

LINUX = sys.platform == "linux"
PROFILE_TEXT = """\
name = "small"
title = "A small range"
source = "a test"
confidence = "verified"
checks = ["port-forwarding", "rtp-range", "nat-behavior", "port-preservation", "sip-alg"]
rtp = [20400, 20499]
ports = [{ ports = "20500", transport = "udp", purpose = "SIP", protocol = "sip" }]
"""


@pytest.fixture
def own_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def listening(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((address, port)) == 0


def test_it_runs_while_the_block_does_and_leaves_nothing(own_temporary_folder):
    with embedded.started(PROFILE.rtp) as server:
        assert server.target.host == "127.0.0.1"
        assert len(server.target.token) > 16
        assert server.target.token not in server.notice
        assert listening(server.target.host, server.target.port)
        assert list(own_temporary_folder.iterdir())
    assert not listening(server.target.host, server.target.port)
    assert list(own_temporary_folder.iterdir()) == []


def test_an_error_in_the_block_ends_it_too(own_temporary_folder):
    with pytest.raises(KeyboardInterrupt), embedded.started(PROFILE.rtp) as server:
        raise KeyboardInterrupt
    assert not listening(server.target.host, server.target.port)
    assert list(own_temporary_folder.iterdir()) == []


@pytest.mark.skipif(not LINUX, reason="reads /proc")
def test_the_token_is_in_no_command_line():
    with embedded.started(PROFILE.rtp) as server:
        lines = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                lines.append(entry.read_bytes())
            except OSError:
                continue
        assert lines
        assert not any(server.target.token.encode() in line for line in lines)


@pytest.mark.skipif(not LINUX, reason="127.0.0.3 needs no set-up on Linux")
def test_client_and_server_have_an_address_each():
    with embedded.started(PROFILE.rtp) as server:
        assert server.source == "127.0.0.3"


def test_one_loopback_address_is_enough(monkeypatch, own_temporary_folder):
    monkeypatch.setattr(embedded, "_exists", lambda address: address == "127.0.0.1")
    with embedded.started((10000, 20000)) as server:
        assert server.source == server.target.host == "127.0.0.1"
        assert "127.0.0.2" not in server.notice


def test_a_port_in_use_is_no_obstacle(monkeypatch):
    monkeypatch.setattr(embedded, "_free", lambda address, port: False)
    with embedded.started(PROFILE.rtp) as server:
        assert listening(server.target.host, server.target.port)


def test_a_free_port_is_told_from_a_taken_one():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert not embedded._free("127.0.0.1", port)
    assert embedded._free("127.0.0.1", port)


@pytest.mark.parametrize("rtp", [None, (10000, 20000), (9000, 10999), (16384, 32768), (1024, 65535), (30000, 40000)])
def test_media_ports_leave_the_clients_range_free(rtp):
    low, high = map(int, embedded._media(rtp).split("-"))
    assert 1024 < low <= high <= 65535
    if rtp not in (None, (1024, 65535)):
        assert high < rtp[0] or low > rtp[1]


def test_a_server_that_does_not_start_is_told_in_its_own_words(monkeypatch, own_temporary_folder):
    monkeypatch.setattr(embedded, "_LIFELINE", "import sys; print('starting', file=sys.stderr); sys.exit('Port 5060 is used by asterisk (pid 812).')")
    with pytest.raises(ServerUnreachable, match=r"did not start: Port 5060 is used by asterisk \(pid 812\)\."), embedded.started(None):
        pass
    assert list(own_temporary_folder.iterdir()) == []


def test_a_server_that_says_nothing_is_not_waited_for_forever(monkeypatch):
    monkeypatch.setattr(embedded, "_START_S", 0.2)
    monkeypatch.setattr(embedded, "_LIFELINE", "import time; time.sleep(60)")
    with pytest.raises(ServerUnreachable, match="not ready within"), embedded.started(None):
        pass


def test_other_families_and_sources_need_a_server():
    for arguments in ({"family": 6}, {"source": "192.0.2.1"}):
        with pytest.raises(UsageError, match="needs a server"), embedded.started(None, **arguments):
            pass


def client(tmp_path, *arguments, stderr=subprocess.PIPE, environment=None):
    profile = tmp_path / "small.toml"
    profile.write_text(PROFILE_TEXT)
    environment = {**os.environ, **(environment or {}), "TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir(exist_ok=True)
    command = [sys.executable, "-m", "edgecheck", "run", "--profile", str(profile), *arguments]
    root = Path(__file__).parent.parent
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment, cwd=root)


def server_of(process, folder) -> str:
    """The temporary folder of the client's server, once the server has put something there."""

    def look():
        assert process.poll() is None, "the client ended"
        return next((each.name for each in folder.glob("edgecheck-*") if any(each.iterdir())), None)

    return wait_until(look, "the embedded server")


def test_the_main_job(tmp_path):
    process = client(tmp_path, "--json", str(tmp_path / "r.json"), "--junit", "-")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.startswith("<?xml"), "a report on stdout is alone there"
    assert err.startswith("No server named: only this machine is checked")
    assert list((tmp_path / "tmp").iterdir()) == []
    again = subprocess.run([sys.executable, "-m", "edgecheck", "explain", str(tmp_path / "r.json")], capture_output=True, text=True, check=False)
    assert again.returncode == 0
    assert again.stdout.startswith("PASS  Only this machine was checked")


def read_until(terminal: int, words: bytes, deadline: float = 30.0) -> bytes:
    """What the client writes to this terminal, until the words stand there."""
    seen, until = b"", time.monotonic() + deadline
    while words not in seen:
        assert time.monotonic() < until, seen
        if select.select([terminal], [], [], 0.1)[0]:
            seen += os.read(terminal, 4096)
    return seen


@pytest.mark.skipif(os.name != "posix", reason="terminals and signals of POSIX")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_interrupted_it_reports_what_is_known_and_leaves_nothing(tmp_path, name):
    ours, theirs = os.openpty()
    try:
        process = client(tmp_path, "--pace", "10", stderr=theirs, environment={"TERM": "xterm", "COLUMNS": "100"})
        shown = read_until(ours, b"arrive")  # port-forwarding has its result; rtp-range, ten ports a second, has not
        process.send_signal(getattr(signal, name))
        out, _ = process.communicate(timeout=30)
    finally:
        os.close(ours)
        os.close(theirs)
    assert b"only this machine is checked" in shown
    assert process.returncode == 3
    assert out.startswith("INCONCLUSIVE  Only this machine was checked")
    assert "port-forwarding" in [line.split()[1] for line in out.splitlines() if line.strip().startswith("pass")]
    assert "Not finished: interrupted." in out
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_interrupted_while_the_server_starts_it_leaves_nothing(tmp_path, name):
    process = client(tmp_path)
    server_of(process, tmp_path / "tmp")
    process.send_signal(getattr(signal, name))
    _, err = process.communicate(timeout=30)
    assert process.returncode == 3, err
    assert "Traceback" not in err
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.skipif(not LINUX, reason="looks for the process in /proc")
def test_a_killed_client_takes_its_server_along(tmp_path):
    process = client(tmp_path, "--pace", "20")
    folder = server_of(process, tmp_path / "tmp")
    assert process.stderr.readline().startswith("No server named")
    process.kill()
    process.communicate(timeout=10)

    def alive() -> bool:
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if folder.encode() in entry.read_bytes():
                    return True
            except OSError:
                continue
        return False

    wait_until(lambda: not alive(), "the end of the server")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_port_taken_between_look_and_start_is_no_reason_to_fail(monkeypatch):
    """Two runs that begin in the same second both find 5060 free; the second must not end for that."""
    monkeypatch.setattr(embedded, "_free", lambda address, port: True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        try:
            holder.bind(("127.0.0.1", 5060))
        except OSError:
            pass  # somebody else holds it: as good
        with embedded.started(None) as server:
            assert server.target.port
