"""The echo server as a process of its own."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from edgecheck.wire.address import Target, parse_target
from tests.waiting import PATIENCE_S

ANY_PORTS = (*(f"--{name}-port=0" for name in ("control", "stun", "alternate-stun", "sip", "alternate-sip", "sips")), "--reach-ports=none")


class ServerProcess:
    """``python -m echo_server`` from its ready line to its end; it knows nothing of whoever runs the tests."""

    def __init__(
        self,
        *options: str,
        environment: dict[str, str] | None = None,
        preexec: Callable[[], None] | None = None,
        modules: tuple[str, ...] = ("echo_server",),
    ) -> None:
        self._directory = tempfile.TemporaryDirectory()
        self.state = Path(self._directory.name)
        self._log = (self.state / "log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", *modules, f"--state-dir={self.state / 'state'}", *options],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={key: value for key, value in os.environ.items() if not key.startswith("EDGECHECK_")} | (environment or {}),
            preexec_fn=preexec,
        )
        assert self.process.stdout is not None
        self.ready = self.process.stdout.readline().strip()

    @property
    def log(self) -> str:
        return (self.state / "log").read_text()

    @property
    def target(self) -> Target:
        assert self.ready.startswith("ready "), self.log
        return parse_target(self.ready.removeprefix("ready "))

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Tell it to end; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE_S)
        finally:
            self.kill()

    def kill(self) -> None:
        """It is gone, as a machine that is switched off."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._log.close()
        self._directory.cleanup()
