"""Without what only Linux has, nothing fails and nothing passes that was not seen (a stand-in: see tests.fakes.platform)."""

import json
import signal
import subprocess
import sys

import pytest

from tests.net import live
from tests.net.live import PRIMARY, TOKEN
from tests.test_embedded import PROFILE_TEXT
from tests.waiting import PATIENCE_S

PLATFORMS = ("win32", "darwin")

CHECKS = (
    "port-forwarding",
    "rtp-range",
    "nat-behavior",
    "port-preservation",
    "sip-alg",
    "topology",
    "outbound",
    "host",
    "mapping-lifetime",
)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_check_runs_to_its_end(platform, tmp_path):
    """Against loopback nothing stands in the way: whatever a check lacks there, it has to say."""
    profile = tmp_path / "small.toml"
    profile.write_text(PROFILE_TEXT)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.fakes.platform",
            platform,
            "edgecheck",
            "run",
            *CHECKS,
            "--profile",
            profile,
            "--json",
            "-",
            "--no-history",
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert {check["id"] for check in report["checks"]} == set(CHECKS)
    assert {check["verdict"] for check in report["checks"]} == {"pass"}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_server_serves_and_ends_there(platform):
    with live.server(modules=("tests.fakes.platform", platform, "echo_server")) as server:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "edgecheck",
                "run",
                "nat-behavior",
                "port-forwarding",
                "--server",
                server.target.authority,
                "--json",
                "-",
                "--no-history",
            ],
            env={"EDGECHECK_TOKEN": TOKEN, "PATH": ""},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        report = json.loads(done.stdout)
        assert report["server"]["address"] == PRIMARY
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(2 * PATIENCE_S) == 0
