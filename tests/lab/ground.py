"""The ground the laboratory stands on: a process that holds namespaces, and programs run inside them.

One *holder* (``unshare --net --mount``, with ``--user --map-root-user`` for an ordinary user) has a tmpfs on /run, so that
``ip netns`` keeps its names there and nothing leaks into the host. It reads from a pipe that we hold: when this process ends, however
it ends, so does the holder, and the kernel takes the namespaces down once the last program in them is gone. Programs die with us as well
(``setpriv --pdeathsig``).
"""

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.waiting import PATIENCE_S

REPOSITORY = Path(__file__).resolve().parents[2]
TOOLS = ("unshare", "nsenter", "setpriv", "ip", "nft", "conntrack", "sysctl", "ping")
_HOLD = "mount -t tmpfs tmpfs /run && mkdir /run/netns && echo ready && exec cat"


HANGS_S = 300.0
"""A program that has not ended after this hangs, however busy the machine."""


class LabError(Exception):
    """The laboratory itself failed: a namespace, a rule or a program could not be had. Never a verdict about the product."""


class Program:
    """A program that runs in a namespace; what it says is kept line by line."""

    def __init__(self, process: subprocess.Popen[bytes], name: str, errors: Path) -> None:
        self.process = process
        self.name = name
        self._errors = errors
        self._rest = b""

    @property
    def stderr(self) -> str:
        """What it has written to standard error so far."""
        return self._errors.read_text(errors="replace") if self._errors.exists() else ""

    def line(self, timeout: float = PATIENCE_S) -> str:
        """Its next line on stdout. Raises ``LabError`` when it ends or time is up."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + timeout
        descriptor = self.process.stdout.fileno()
        while b"\n" not in self._rest:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise LabError(f"{self.name} said nothing within {timeout:g} s\n{self.stderr}")
            data = os.read(descriptor, 65536)
            if not data:
                raise LabError(f"{self.name} ended (status {self.process.wait(PATIENCE_S)}) before it said more\n{self.stderr}")
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode(errors="replace")

    def lines_until(self, word: str, timeout: float = PATIENCE_S) -> list[str]:
        """Lines up to and including the first that starts with ``word``."""
        deadline = time.monotonic() + timeout
        lines = [self.line(timeout)]
        while not lines[-1].startswith(word):
            lines.append(self.line(max(0.1, deadline - time.monotonic())))
        return lines

    def say(self, line: str) -> None:
        """Write a line to its stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def stop(self, patience: float = 3.0) -> int:
        """Terminate it (kill it when it will not go) and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(patience)
            except subprocess.TimeoutExpired:
                self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        return self.process.wait()


class Ground:
    """Namespaces and the programs in them. A context manager; leaving it ends every program that it started."""

    def __init__(self, scratch: Path, *, as_user: bool | None = None) -> None:
        self.scratch = scratch
        """Where programs' standard error and state are kept."""
        self.as_user = os.geteuid() != 0 if as_user is None else as_user
        """Inside a user namespace, as an ordinary user must."""
        self.programs: list[Program] = []
        self._holder: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        user = ["--user", "--map-root-user"] if self.as_user else []
        self.scratch.mkdir(parents=True, exist_ok=True)
        errors = self.scratch / "holder.err"
        with errors.open("wb") as file:
            self._holder = subprocess.Popen(
                ["unshare", *user, "--net", "--mount", "sh", "-c", _HOLD],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                start_new_session=True,
            )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"ready\n":
            self.close()
            raise LabError(f"no namespaces: {errors.read_text(errors='replace').strip() or 'unshare ended without a word'}")
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End every program started here, then the holder; only by the handles we own."""
        for program in reversed(self.programs):
            program.stop()
        self.programs.clear()
        if self._holder is not None:
            assert self._holder.stdin is not None
            assert self._holder.stdout is not None
            self._holder.stdin.close()
            try:
                self._holder.wait(3)
            except subprocess.TimeoutExpired:
                self._holder.kill()
                self._holder.wait()
            self._holder.stdout.close()
            self._holder = None

    @property
    def holder(self) -> int:
        """The process that holds the namespaces."""
        if self._holder is None:
            raise LabError("the laboratory is closed")
        return self._holder.pid

    def _enter(self, namespace: str | None) -> list[str]:
        user = ["--user", "--preserve-credentials"] if self.as_user else []
        inside = ["ip", "netns", "exec", namespace] if namespace else []
        return ["nsenter", "--target", str(self.holder), *user, "--net", "--mount", *inside]

    def shell(self, script: str) -> str:
        """Run a script where the namespaces' names are known (``ip -n``, ``ip netns exec``); it must succeed."""
        return self.run(None, "sh", "-e", "-s", stdin=script, check=True).stdout

    def run(
        self,
        namespace: str | None,
        *command: str,
        stdin: str = "",
        timeout: float = HANGS_S,
        environment: Mapping[str, str] | None = None,
        check: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end inside a namespace."""
        try:
            done = subprocess.run(
                [*self._enter(namespace), *command],
                input=stdin,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
                env=_environment(environment),
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(f"{' '.join(command)} did not end within {timeout:g} s\n{error.stderr!r}") from error
        if check and done.returncode != 0:
            raise LabError(f"{' '.join(command)} ended with status {done.returncode}\n{done.stderr}\n{_numbered(stdin)}")
        return done

    def spawn(
        self, namespace: str, *command: str, ready: str | None = None, timeout: float = PATIENCE_S, environment: Mapping[str, str] | None = None
    ) -> Program:
        """Start a program in the background; with ``ready``, wait for its stdout line that starts so."""
        name = " ".join(command[:4])
        errors = self.scratch / f"{len(self.programs):03d}-{Path(command[0]).name}.err"
        with errors.open("wb") as file:
            process = subprocess.Popen(
                [*self._enter(namespace), "setpriv", "--pdeathsig", "KILL", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env=_environment(environment),
                start_new_session=True,
            )
        program = Program(process, name, errors)
        self.programs.append(program)
        if ready is not None:
            program.lines_until(ready, timeout)
        return program


def python(*arguments: str) -> tuple[str, ...]:
    """The interpreter that runs these tests, with arguments; modules of the repository are found."""
    return (sys.executable, *arguments)


def missing_tools(*tools: str) -> list[str]:
    """Which of these programs are not installed."""
    return [tool for tool in tools if shutil.which(tool, path=_search_path()) is None]


def _search_path() -> str:
    """An ordinary user's PATH often lacks the system administrator's directories; the programs there work in a user namespace."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    """Ours, with the repository importable; without what could make a child behave otherwise than at a user's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EDGECHECK_", "PYTEST_", "COV_", "COVERAGE_"))}
    path = os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**kept, "PATH": _search_path(), "PYTHONPATH": path, **(extra or {})}


def _numbered(script: str) -> str:
    return "\n".join(_number(script.splitlines()))


def _number(lines: list[str]) -> Iterator[str]:
    for index, line in enumerate(lines, 1):
        yield f"{index:4d}  {line}"
