"""Which program holds a port of this machine, and on which address, as far as the platform lets this user see.

Linux: the socket tables in /proc/net name every socket's address, inode and user; /proc/PID/fd leads from the inode to the process, for
one's own processes, or for all as root. macOS: ``lsof``. Windows: ``netstat`` and ``tasklist``. Where nobody can be named there is no
entry.
"""

import csv
import ipaddress
import os
import re
import subprocess
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from edgecheck.model.machine import Holder
from edgecheck.net.machine.arrivals import read_address

_PROC = Path("/proc")
_LISTEN = "0A"
_PATIENCE_S = 5.0
_LINK = re.compile(r"socket:\[([0-9]+)\]")


class Held(NamedTuple):
    """One socket."""

    port: int
    address: str
    pid: int | None
    """None: hidden from this user."""
    program: str
    listens: bool = True
    """Whether it hears whoever calls; False: it talks to one peer alone."""


def owners(transport: str, ports: Collection[int], host: str) -> dict[int, str]:
    """Who holds these ports of this address: ``{5060: "asterisk (pid 812)"}``; ``a program of the user asterisk`` where the process is
    hidden.

    Never raises; may block a moment.
    """
    out: dict[int, str] = {}
    for socket in _sockets(transport, ports):
        if Holder(address=socket.address, program="").hears(host) is not False:
            out.setdefault(socket.port, socket.program)
    return out


def holders(transport: str, ports: Collection[int]) -> dict[int, tuple[Holder, ...]]:
    """Who listens on these ports, on whatever address; this process apart. As ``owners``."""
    out: dict[int, dict[Holder, None]] = {}
    for socket in _sockets(transport, ports):
        if socket.listens and socket.pid != os.getpid():
            out.setdefault(socket.port, {})[Holder(address=socket.address, program=socket.program)] = None
    return {port: tuple(found) for port, found in out.items()}


def _sockets(transport: str, ports: Collection[int]) -> list[Held]:
    """Those that are named first, where several share a port."""
    wanted = frozenset(ports)
    found: list[Held] = []
    try:
        if wanted and sys.platform == "linux":
            found = _linux(transport, wanted, _PROC)
        elif wanted and sys.platform == "darwin":
            found = _by_lsof(transport, wanted)
        elif wanted and sys.platform == "win32":
            found = _by_netstat(transport, wanted)
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        return []
    return sorted((socket for socket in found if _is_address(socket.address)), key=lambda socket: socket.pid is None)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True


# --- Linux -------------------------------------------------------------------------------------------------------------------


def _linux(transport: str, wanted: frozenset[int], proc: Path) -> list[Held]:
    rows: list[tuple[int, str, str, int, bool]] = []
    for table in (transport, f"{transport}6"):
        file = proc / "net" / table
        for line in file.read_text().splitlines()[1:] if file.exists() else ():
            fields = line.split()
            host, _, port = fields[1].rpartition(":")
            if int(port, 16) in wanted and (transport == "udp" or fields[3] == _LISTEN):
                alone = fields[2].endswith(":0000")  # a connected UDP socket hears its peer and nobody else
                rows.append((int(port, 16), read_address(host), fields[9], int(fields[7]), alone))
    names = _processes({inode for _, _, inode, _, _ in rows}, proc)
    out = []
    for number, address, inode, user, alone in rows:
        pid, name = names.get(inode, (None, ""))
        out.append(Held(number, address, pid, name or _of_user(user), alone))
    return out


def _processes(inodes: set[str], proc: Path) -> dict[str, tuple[int, str]]:
    """Inode -> process, of those that this user may look into."""
    out: dict[str, tuple[int, str]] = {}
    for process in sorted((one for one in proc.iterdir() if one.name.isdigit()), key=lambda one: int(one.name)) if inodes else ():
        try:
            held = {inode for one in (process / "fd").iterdir() if (inode := _inode(one))} & inodes
            if held:
                name = f"{(process / 'comm').read_text().strip()} (pid {process.name})"
                for inode in held:
                    out.setdefault(inode, (int(process.name), name))  # the lowest pid: the parent of workers that share it
        except OSError:
            continue  # another user's process, or it is gone
    return out


def _inode(descriptor: Path) -> str | None:
    """Of the socket that this descriptor is; None where it is none, or was closed a moment ago."""
    try:
        link = _LINK.fullmatch(str(descriptor.readlink()))
    except OSError:
        return None
    return link[1] if link else None


def _of_user(number: int) -> str:
    import pwd

    try:
        return f"a program of the user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"a program of the user {number}"


# --- macOS and Windows -------------------------------------------------------------------------------------------------------


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_PATIENCE_S, check=False).stdout


def _by_lsof(transport: str, wanted: frozenset[int]) -> list[Held]:
    listening = ("-sTCP:LISTEN",) if transport == "tcp" else ()
    return parse_lsof(_said("lsof", "-nP", f"-i{transport.upper()}", *listening, "-F", "pctn"), wanted)


def parse_lsof(text: str, wanted: frozenset[int]) -> list[Held]:
    """From ``lsof -F pctn``: a line a field; ``p`` and ``c`` hold for the files that follow, ``t`` (the family) for the ``n`` after it."""
    out: list[Held] = []
    pid = name = family = ""
    for line in text.splitlines():
        kind, value = line[:1], line[1:]
        if kind == "p":
            pid = value
        elif kind == "c":
            name = value
        elif kind == "t":
            family = value
        elif kind == "n":
            local, peer, _ = value.partition("->")
            host, _, port = local.rpartition(":")
            if port.isdigit() and int(port) in wanted and pid.isdigit():
                host = host.strip("[]") if host != "*" else "::" if family == "IPv6" else "0.0.0.0"
                out.append(Held(int(port), host, int(pid), f"{name} (pid {pid})", not peer))
    return out


def _by_netstat(transport: str, wanted: frozenset[int]) -> list[Held]:
    held = parse_netstat(_said("netstat", "-ano"), wanted, transport)
    names = parse_tasklist(_said("tasklist", "/FO", "CSV", "/NH")) if held else {}
    return [socket._replace(program=f"{names.get(str(socket.pid), 'a program')} (pid {socket.pid})") for socket in held]


def parse_netstat(text: str, wanted: frozenset[int], transport: str) -> list[Held]:
    """From Windows' ``netstat -ano``, programs without their names. The states are words of some language: a TCP listener is known by its
    peer, port 0."""
    out: list[Held] = []
    for fields in (line.split() for line in text.splitlines()):
        if len(fields) >= 4 and fields[0].lower() == transport and fields[-1].isdigit():
            host, _, port = fields[1].rpartition(":")
            if port.isdigit() and int(port) in wanted and (transport == "udp" or fields[2].endswith(":0")):
                out.append(Held(int(port), host.strip("[]"), int(fields[-1]), ""))
    return out


def parse_tasklist(text: str) -> dict[str, str]:
    """From Windows' ``tasklist /FO CSV /NH``: pid -> program."""
    rows: Iterable[list[str]] = csv.reader(text.splitlines())
    return {row[1]: row[0] for row in rows if len(row) > 1}
