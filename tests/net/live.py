"""The real server as a process of its own, on loopback addresses and free ports."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from edgecheck.wire.address import Target, parse_target

TOKEN = "s3cr3t-Tok3n-of-the-tests"
"""Looked for in everything that is written."""


def own(number: int) -> str:
    """A loopback address that no other test process of this machine uses; number 0 to 3."""
    bits = os.getpid() * 4 + number
    return f"127.{bits >> 16 & 255}.{bits >> 8 & 255}.{bits & 255}"


PRIMARY, ALTERNATE, HERE, ANOTHER = map(own, range(4))
"""The server's two addresses, and two for clients: ports of fixed numbers are free there."""
ANY_PORTS = (*(f"--{name}-port=0" for name in ("control", "stun", "alternate-stun", "sip", "alternate-sip", "sips")), "--reach-ports=none")
TWO_ADDRESSES = (f"--address={PRIMARY}", f"--alternate={ALTERNATE}")


class Live:
    """``python -m echo_server`` from its ready line to its end."""

    def __init__(self, folder: Path, *options: str, modules: tuple[str, ...] = ("echo_server",)) -> None:
        self._log = (folder / "server.log").open("w")
        environment = {key: value for key, value in os.environ.items() if not key.startswith("EDGECHECK_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", *modules, f"--state-dir={folder / 'server'}", *ANY_PORTS, *options],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment | {"EDGECHECK_TOKEN": TOKEN},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith("ready "):
            self.end()
            raise AssertionError((folder / "server.log").read_text())
        self.target: Target = parse_target(line.removeprefix("ready ").strip())

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._log.close()


@contextlib.contextmanager
def server(folder: Path, *options: str) -> Iterator[Live]:
    """Runs while the block does."""
    running = Live(folder, *(options or TWO_ADDRESSES))
    try:
        yield running
    finally:
        running.end()
