"""Which program holds a port of this machine, as far as the platform lets this user see.

Linux: the socket tables in /proc/net name every socket's inode and user; /proc/PID/fd leads from the inode to the process, for one's own
processes, or for all as root. macOS: ``lsof``. Windows: ``netstat`` and ``tasklist``. Where nobody can be named there is no entry.
"""

import csv
import re
import subprocess
import sys
from collections.abc import Collection, Iterable
from pathlib import Path

_PROC = Path("/proc")
_LISTEN = "0A"
_PATIENCE_S = 5.0
_LINK = re.compile(r"socket:\[([0-9]+)\]")


def owners(transport: str, ports: Collection[int]) -> dict[int, str]:
    """``{5060: "asterisk (pid 812)"}``; ``a program of the user asterisk`` where the process is hidden.

    Never raises; may block a moment.
    """
    wanted = frozenset(ports)
    if not wanted:
        return {}
    try:
        if sys.platform == "linux":
            return _linux(transport, wanted, _PROC)
        if sys.platform == "darwin":
            return _by_lsof(transport, wanted)
        if sys.platform == "win32":
            return _by_netstat(transport, wanted)
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        pass
    return {}


# --- Linux -------------------------------------------------------------------------------------------------------------------


def _linux(transport: str, wanted: frozenset[int], proc: Path) -> dict[int, str]:
    holders: dict[int, set[str]] = {}
    users: dict[int, int] = {}
    for table in (transport, f"{transport}6"):
        file = proc / "net" / table
        for line in file.read_text().splitlines()[1:] if file.exists() else ():
            fields = line.split()
            port = int(fields[1].rpartition(":")[2], 16)
            if port in wanted and (transport == "udp" or fields[3] == _LISTEN):
                holders.setdefault(port, set()).add(fields[9])
                users[port] = int(fields[7])
    names = _processes({inode for inodes in holders.values() for inode in inodes}, proc)
    found = {port: next((names[inode] for inode in sorted(inodes) if inode in names), None) for port, inodes in holders.items()}
    return {port: name or _of_user(users[port]) for port, name in found.items()}


def _processes(inodes: set[str], proc: Path) -> dict[str, str]:
    """Inode -> process, of those that this user may look into."""
    out: dict[str, str] = {}
    for process in sorted((one for one in proc.iterdir() if one.name.isdigit()), key=lambda one: int(one.name)):
        try:
            held = {inode for one in (process / "fd").iterdir() if (inode := _inode(one))} & inodes
            if held:
                name = f"{(process / 'comm').read_text().strip()} (pid {process.name})"
                for inode in held:
                    out.setdefault(inode, name)  # the lowest pid: the parent of workers that share it
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


def _by_lsof(transport: str, wanted: frozenset[int]) -> dict[int, str]:
    listening = ("-sTCP:LISTEN",) if transport == "tcp" else ()
    return parse_lsof(_said("lsof", "-nP", f"-i{transport.upper()}", *listening, "-F", "pcn"), wanted)


def parse_lsof(text: str, wanted: frozenset[int]) -> dict[int, str]:
    """From ``lsof -F pcn``: a line a field; ``p`` and ``c`` hold for the ``n`` lines that follow."""
    out: dict[int, str] = {}
    pid = name = ""
    for line in text.splitlines():
        kind, value = line[:1], line[1:]
        if kind == "p":
            pid = value
        elif kind == "c":
            name = value
        elif kind == "n":
            port = value.partition("->")[0].rpartition(":")[2]
            if port.isdigit() and int(port) in wanted:
                out.setdefault(int(port), f"{name} (pid {pid})")
    return out


def _by_netstat(transport: str, wanted: frozenset[int]) -> dict[int, str]:
    held = parse_netstat(_said("netstat", "-ano", "-p", transport), wanted, transport)
    names = parse_tasklist(_said("tasklist", "/FO", "CSV", "/NH")) if held else {}
    return {port: f"{names.get(pid, 'a program')} (pid {pid})" for port, pid in held.items()}


def parse_netstat(text: str, wanted: frozenset[int], transport: str) -> dict[int, str]:
    """From Windows' ``netstat -ano``: port -> pid. The states are words of some language: a TCP listener is known by its peer, port 0."""
    out: dict[int, str] = {}
    for fields in (line.split() for line in text.splitlines()):
        if len(fields) >= 4 and fields[0].lower() == transport and fields[-1].isdigit():
            port = fields[1].rpartition(":")[2]
            if port.isdigit() and int(port) in wanted and (transport == "udp" or fields[2].endswith(":0")):
                out.setdefault(int(port), fields[-1])
    return out


def parse_tasklist(text: str) -> dict[str, str]:
    """From Windows' ``tasklist /FO CSV /NH``: pid -> program."""
    rows: Iterable[list[str]] = csv.reader(text.splitlines())
    return {row[1]: row[0] for row in rows if len(row) > 1}
