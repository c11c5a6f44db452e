"""A stand-in for a system that is not Linux: ``python -m tests.fakes.platform win32|darwin MODULE ARGUMENT...`` runs ``python -m MODULE`` with
what CPython lacks there taken away, and with ``sys.platform`` saying so.

It finds what would be missing at run time: a module, a constant, a call that the code uses without asking. It does not behave as Windows' or
macOS' own network does: what their systems answer to a closed port, say, is not seen here.
"""

import asyncio
import asyncio.base_events
import asyncio.unix_events
import builtins
import importlib
import io
import os
import runpy
import select
import signal
import socket
import sys
from typing import Any, NoReturn

# These look at the platform when they are imported, to load what only that system has: they are in before it changes its name.
FOREIGN = (
    "aiohttp", "cryptography.x509", "dns.asyncresolver", "ifaddr", "jinja2", "msgspec", "multiprocessing", "netifaces", "platformdirs", "rich.console",
    "rich.live", "rich.progress", "shutil", "sqlalchemy", "sqlite3", "subprocess", "typer.main", "typer.rich_utils", "uuid", "webbrowser", "zipfile",
)  # fmt: skip

LACKING: dict[str, dict[Any, tuple[str, ...]]] = {
    "win32": {
        socket: ("AF_NETLINK", "AF_PACKET", "IP_RECVERR", "IP_RECVTTL", "MSG_DONTWAIT", "MSG_ERRQUEUE", "MSG_NOSIGNAL", "SO_BINDTODEVICE", "SO_REUSEPORT", "TCP_INFO",
                 "TCP_USER_TIMEOUT"),
        socket.socket: ("recvmsg", "recvmsg_into", "sendmsg"),
        select: ("epoll", "poll"),
        signal: ("SIGHUP", "SIGUSR1", "SIGUSR2"),
        os: ("fork", "getegid", "geteuid", "getgid", "getloadavg", "getuid", "sched_getaffinity", "uname"),
    },
    "darwin": {
        socket: ("AF_NETLINK", "AF_PACKET", "IP_RECVERR", "MSG_ERRQUEUE", "SO_BINDTODEVICE", "TCP_INFO", "TCP_USER_TIMEOUT"),
        select: ("epoll",),
        os: ("sched_getaffinity",),
    },
}  # fmt: skip
MODULES = {"win32": ("fcntl", "grp", "pwd", "resource", "termios"), "darwin": ()}


class _WindowsSocket(socket.socket):
    def ioctl(self, control: int, option: object) -> NoReturn:
        """CPython on Windows knows three controls; that for ICMP resets is not among them."""
        raise ValueError(f"invalid ioctl command {control}")


def _no_signal_handler(*_: object) -> NoReturn:
    raise NotImplementedError


def _take_away(owner: Any, name: str) -> None:
    """An attribute of a module, or of a class that inherits it: asking for it raises AttributeError."""
    if isinstance(owner, type):
        setattr(owner, name, property(lambda _: (_ for _ in ()).throw(AttributeError(name))))
    elif hasattr(owner, name):
        delattr(owner, name)


def become(platform: str) -> None:
    for module in FOREIGN:
        importlib.import_module(module)
    for owner, names in LACKING[platform].items():
        for name in names:
            _take_away(owner, name)
    for module in MODULES[platform]:
        sys.modules[module] = None  # type: ignore[assignment]
    if platform == "win32":
        socket.socket = _WindowsSocket  # type: ignore[misc]
        for loop in (asyncio.base_events.BaseEventLoop, asyncio.unix_events.SelectorEventLoop):
            loop.add_signal_handler = _no_signal_handler  # type: ignore[method-assign]
    real = io.open

    def without_proc(file: Any, *rest: Any, **named: Any) -> Any:
        if isinstance(file, str | os.PathLike) and os.fspath(file).startswith("/proc/"):  # type: ignore[arg-type]
            raise FileNotFoundError(2, "No such file or directory", os.fspath(file))
        return real(file, *rest, **named)

    builtins.open = without_proc
    io.open = without_proc  # pathlib's
    sys.platform = platform


if __name__ == "__main__":
    become(sys.argv.pop(1))
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
