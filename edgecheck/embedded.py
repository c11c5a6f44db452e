"""The embedded echo server: ``edgecheck run`` with no server at hand.

A process of its own (the client never imports the server), on loopback alone, with a token of its own and a state folder that is
removed at the end. It ends with us on every path: its standard input is a pipe from this process, and when that closes, be it
that we were killed, the server ends itself.
"""

import contextlib
import os
import queue
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from edgecheck.model.errors import ServerUnreachable, UsageError
from edgecheck.wire.address import Target, parse_target
from edgecheck.wire.errors import Malformed

_START_S = 20.0
"""A slow machine makes a key and a certificate at the first start; normally it takes one second."""
_END_S = 3.0
_SIP_PORTS = {"--sip-port": 5060, "--alternate-sip-port": 5080, "--sips-port": 5061}
_STUN_PORTS = {"--stun-port": 3478, "--alternate-stun-port": 3479}
_ANY_PORTS = [word for option in (*_SIP_PORTS, *_STUN_PORTS) for word in (option, "0")]
_MEDIA_SIZE = 10_000
_ROOT = str(Path(__file__).resolve().parent.parent)
"""Where the server's package lies beside ours: the same version, and no stranger's ``echo_server`` in the current folder."""
# Runs the server, and ends it when the pipe to its standard input closes; the folder goes with it. os.read and no sys.stdin: a thread
# that holds the lock of a buffered stream would break the interpreter's shutdown.
_LIFELINE = f"""
import os, runpy, shutil, signal, sys, threading
sys.path.insert(0, {_ROOT!r})
def wait():
    while os.read(0, 1): pass
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=wait, daemon=True).start()
folder = sys.argv[1]
sys.argv = ["edgecheck-server", "--state-dir", *sys.argv[1:]]
try:
    runpy.run_module("echo_server", run_name="__main__", alter_sys=False)
finally:
    shutil.rmtree(folder, ignore_errors=True)
"""


class Embedded(NamedTuple):
    """A running embedded server."""

    target: Target
    source: str
    """Where the client is to check from: a loopback address of its own, so that both ends may use the same ports."""
    notice: str


@contextlib.contextmanager
def started(rtp: tuple[int, int] | None, family: int | None = None, source: str | None = None) -> Iterator[Embedded]:
    """An echo server on loopback while the block runs. Raises ``ServerUnreachable``, ``UsageError``."""
    if family == 6 or (source is not None and not source.startswith("127.")):
        raise UsageError("Without a server only this machine is checked, over 127.0.0.1: that option needs a server (edge://TOKEN@HOST).")
    addresses = [address for address in ("127.0.0.1", "127.0.0.2") if _exists(address)]
    if not addresses:
        raise ServerUnreachable("This machine has no address 127.0.0.1 for the embedded server: name a server (edge://TOKEN@HOST).")
    own = source or ("127.0.0.3" if _exists("127.0.0.3") else addresses[0])
    token = secrets.token_urlsafe(16)
    with tempfile.TemporaryDirectory(prefix="edgecheck-", ignore_cleanup_errors=True) as folder:
        options = [folder, "--address", addresses[0], "--control-port", "0"]
        if len(addresses) > 1:
            options += ["--alternate", addresses[1]]
        options += ["--media-ports", _media(rtp), "--reach-ports", "none"] if own in addresses else []
        with contextlib.ExitStack() as stack:
            try:
                ready = stack.enter_context(_running([*options, *_ports(addresses, own)], token))
            except ServerUnreachable:
                # another run took the standard ports between our look and the server's start
                ready = stack.enter_context(_running([*options, *_ANY_PORTS], token))
            target = _target(ready)._replace(token=token)
            where = " and ".join(addresses)
            yield Embedded(target, own, f"No server named: only this machine is checked, against an embedded echo server on {where}.")


def _ports(addresses: Sequence[str], own: str) -> list[str]:
    """The standard ports where nobody holds them, so that an ALG-free loopback is checked as a real path would be; else any free ones."""
    out = []
    for option, port in {**_SIP_PORTS, **_STUN_PORTS}.items():
        taken = own in addresses and option in _SIP_PORTS  # one loopback address only: the client needs the SIP ports itself
        free = not taken and all(_free(address, port) for address in addresses)
        out += [option, str(port if free else 0)]
    return out


def _media(rtp: tuple[int, int] | None) -> str:
    """Ports for the media reflector that the client's own RTP range leaves free, where both share one address."""
    low, high = rtp or (0, 0)
    for start in (10_000, 20_001, 32_000, 45_000, 55_000):
        if start + _MEDIA_SIZE <= low or start > high:
            return f"{start}-{start + _MEDIA_SIZE - 1}"
    return "1025-2000"


@contextlib.contextmanager
def _running(options: Sequence[str], token: str) -> Iterator[str]:
    """The server's process; yields its ready line."""
    with tempfile.TemporaryFile() as log:  # a pipe that nobody drains would stop the server once it is full
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _LIFELINE, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            # not in the arguments: those are visible to every user of the machine
            env={**os.environ, "EDGECHECK_TOKEN": token},
            start_new_session=True,  # Ctrl-C is for the client, which ends the server when it has its report
        )
        try:
            ready = _ready_line(process)
            if ready is None:
                log.seek(0)
                words = log.read().decode(errors="replace").strip().rpartition("\n")[2]
                raise ServerUnreachable(f"The embedded echo server did not start: {words or f'it was not ready within {_START_S:.0f} s.'}")
            yield ready
        finally:
            _end(process)


def _ready_line(process: "subprocess.Popen[bytes]") -> str | None:
    """Wait for ``ready edge://...``; None when the server ends before, or the time is up."""
    lines: queue.Queue[bytes] = queue.Queue()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(b"")

    threading.Thread(target=read, daemon=True).start()
    deadline = time.monotonic() + _START_S
    with contextlib.suppress(queue.Empty):
        while line := lines.get(timeout=max(0.0, deadline - time.monotonic())):
            if line.startswith(b"ready "):
                return line.decode(errors="replace").split(maxsplit=1)[1].strip()
    return None


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask, then insist. Holds even when Ctrl-C comes once more in the middle."""
    try:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def _exists(address: str) -> bool:
    """Whether this loopback address can be used without setting anything up (Linux and Windows: all of 127/8; macOS: one)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _free(address: str, port: int) -> bool:
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM and os.name == "posix":  # a port in TIME_WAIT is free to listen on
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                return False
    return True


def _target(text: str) -> Target:
    try:
        return parse_target(text)
    except Malformed as error:
        raise ServerUnreachable(f"The embedded echo server announced itself in an unknown way: {error}.") from None
