"""Who refuses, and how: a firewall's ICMP told from a reset, in a network namespace of its own with real nftables rules."""

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.lab

ROOT = Path(__file__).resolve().parents[3]
RULES = """
table inet refusals {
  chain incoming {
    type filter hook input priority 0;
    tcp dport 7777 reject with icmp type port-unreachable
    tcp dport 7778 reject with icmp type admin-prohibited
    tcp dport 7779 drop
    udp dport 7777 reject with icmp type admin-prohibited
    udp dport 7778 drop
  }
  chain outgoing {
    type filter hook output priority 0;
    udp dport 7780 drop
  }
}
"""
WORK = """
import asyncio, json
from edgecheck.wire import control
from tests.server.conftest import Connecting
from tests.server_process import ANY_PORTS, ServerProcess

async def work(target):
    async with Connecting(target) as client:
        asked = {"address": "127.0.0.1", "ports": ((7777, 7780),)}
        dialed = await client.ask(control.Dial, series=1, spacing_ms=20, patience_ms=300, **asked)
        probed = await client.ask(control.Probe, series=2, senders=("BX",), **asked)
        accounted = await client.ask(control.Account, series=2)
        return {
            "dialed": {row.port: [row.outcome, row.detail] for row in dialed.rows},
            "icmp": {row.port: [row.icmp.icmp_type, row.icmp.icmp_code, row.icmp.ttl] for row in dialed.rows if row.icmp},
            "probed": [probed.sent, probed.failed],
            "sent": [row.ports for row in accounted.sent],
            "errors": [[row.port, row.icmp_type, row.icmp_code, row.offender, row.ttl] for row in accounted.errors],
        }

server = ServerProcess(*ANY_PORTS, "--address=127.0.0.1", "--alternate=127.0.0.2")
try:
    print(json.dumps(asyncio.run(work(server.target))))
finally:
    server.stop()
"""
NAMESPACE = ("unshare", "--net") if os.name == "posix" and os.geteuid() == 0 else ("unshare", "--user", "--map-root-user", "--net")


@cache
def reason_to_skip() -> str | None:
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    for name in ("unshare", "nft", "ip"):
        if shutil.which(name) is None:
            return f"{name} is not installed"
    trial = subprocess.run([*NAMESPACE, "ip", "link", "set", "lo", "up"], capture_output=True, text=True, check=False)
    return f"no network namespace can be made: {trial.stderr.strip()}" if trial.returncode else None


def test_icmp_and_resets_are_told_apart_and_a_probe_that_was_not_sent_is_not_counted() -> None:
    if reason := reason_to_skip():
        pytest.skip(reason)
    script = 'ip link set lo up && printf %s "$RULES" | nft -f - && exec "$PYTHON" -c "$WORK"'
    environment = {**os.environ, "RULES": RULES, "WORK": WORK, "PYTHON": sys.executable, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [*NAMESPACE, "sh", "-c", script], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["dialed"] == {
        "7777": ["unreachable", "ICMP 3/3 from 127.0.0.1"],
        "7778": ["unreachable", "ICMP 3/13 from 127.0.0.1"],
        "7779": ["silent", ""],
        "7780": ["refused", os.strerror(111)],
    }
    assert told["icmp"] == {"7777": [3, 3, 64], "7778": [3, 13, 64]}
    assert told["probed"] == [3, 1]
    assert told["sent"] == [[[7777, 7779]]]
    assert told["errors"] == [[7777, 3, 13, "127.0.0.1", 64], [7779, 3, 3, "127.0.0.1", 64]]
