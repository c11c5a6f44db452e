"""The real programs in the laboratory: the server in its namespace, the client in the client's, and what the client reported."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.ground import HANGS_S, LabError, Program, python
from tests.lab.topology import ALTERNATE, ALTERNATE6, SERVER, SERVER6, Topology

TOKEN = "laboratory-token-1"
PROFILE = """
name = "lab"
title = "the laboratory's PBX"
source = "tests/lab"
confidence = "verified"
checks = ["nat-behavior", "port-preservation", "port-forwarding", "rtp-range", "sip-alg"]
rtp = [{low}, {high}]
preservation_sample = {sample}
ports = [
  {{ ports = "5060", transport = "udp", purpose = "SIP", protocol = "sip" }},
  {{ ports = "5060", transport = "tcp", purpose = "SIP", protocol = "sip" }},
  {{ ports = "5061", transport = "tcp", purpose = "SIP over TLS", protocol = "sips" }},
]
"""
RTP = (10000, 10099)
SAMPLE = 20


@dataclass(frozen=True, kw_only=True)
class Server:
    """How the echo server is started."""

    alternate: bool = True
    six: bool = False
    options: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """Its primary address."""
        return SERVER6 if self.six else SERVER

    @property
    def target(self) -> str:
        """What the client is given."""
        return f"edge://{TOKEN}@{'[' + self.address + ']' if self.six else self.address}:8443"


def serve(topology: Topology, server: Server, directory: Path) -> Program:
    """Start the echo server; returns when it is ready."""
    second = ("--alternate", ALTERNATE6 if server.six else ALTERNATE) if server.alternate else ()
    arguments = ("--address", server.address, *second, "--state-dir", str(directory / "server"), "--token", TOKEN, *server.options)
    return topology.ground.spawn("server", *python("-m", "echo_server", *arguments), ready="ready ", timeout=30)


def run(
    topology: Topology,
    server: Server,
    directory: Path,
    *options: str,
    rtp: tuple[int, int] = RTP,
    timeout: float = HANGS_S,
    namespace: str = "client",
) -> dict[str, Any]:
    """``edgecheck run`` in the client's namespace; its report. What it remembers is kept in ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    profile = directory / "lab.toml"
    profile.write_text(PROFILE.format(sample=SAMPLE, low=rtp[0], high=rtp[1]))
    command = python("-m", "edgecheck", "run", server.target, "--profile", str(profile), "--json", "-", "--quiet", *options)
    return report(topology, directory, command, timeout, namespace)


def report(
    topology: Topology, directory: Path, command: tuple[str, ...], timeout: float = HANGS_S, namespace: str = "client"
) -> dict[str, Any]:
    """Run a command of the client's that writes a report to stdout."""
    environment = {"HOME": str(directory / "home"), "XDG_STATE_HOME": str(directory / "state")}
    done = topology.ground.run(namespace, *command, environment=environment, timeout=timeout)
    if done.returncode not in (0, 1, 2, 3):
        raise LabError(f"edgecheck ended with status {done.returncode}\n{done.stdout}\n{done.stderr}")
    try:
        seen: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise LabError(f"edgecheck wrote no JSON (status {done.returncode})\n{done.stdout}\n{done.stderr}") from None
    return {**seen, "status": done.returncode}


def observations(seen: dict[str, Any]) -> dict[str, Any]:
    """A report's observations by check."""
    return {check["id"]: check["observation"] for check in seen["checks"]}


def verdicts(seen: dict[str, Any]) -> dict[str, str]:
    """A report's verdicts by check."""
    return {check["id"]: check["verdict"] for check in seen["checks"]}


def faults(seen: dict[str, Any]) -> list[str]:
    """Tracebacks: a check that failed through a fault of edgecheck."""
    return [f"{check['id']}: {check['fault']}" for check in seen["checks"] if check.get("fault")]


def told(seen: dict[str, Any]) -> str:
    """The report in brief, for a failed test's message."""
    lines = [f"{seen.get('verdict')}: {seen.get('headline')}"]
    for check in seen["checks"]:
        lines.append(f"  {check['verdict']:12} {check['id']:18} {check['duration_s']:.1f} s  {check['summary']}")
        lines += [
            f"      {finding['verdict']} {finding['id']} [{finding['subject']}] {finding['summary']}" for finding in check["findings"]
        ]
    return "\n".join(lines)
