"""Who holds a port: read from /proc on Linux, as far as this user may; elsewhere nobody can be named."""

import socket
import struct
from pathlib import Path

_PROC = Path("/proc")
_LISTEN = "0A"


def holder(transport: str, host: str, port: int) -> str | None:
    """``asterisk (pid 812)``, or None where it cannot be told."""
    try:
        inodes = _socket_inodes(transport, host, port)
        return _process_with(inodes) if inodes else None
    except (OSError, ValueError, IndexError):
        return None


def _socket_inodes(transport: str, host: str, port: int) -> set[str]:
    """Inodes of the sockets bound to this port on this address or on all."""
    out = set()
    wanted = {_encode(host), _encode("0.0.0.0"), _encode("::")}
    for table in (transport, f"{transport}6"):
        file = _PROC / "net" / table
        if not file.exists():
            continue
        for line in file.read_text().splitlines()[1:]:
            fields = line.split()
            address, _, number = fields[1].partition(":")
            if int(number, 16) == port and address in wanted and (transport == "udp" or fields[3] == _LISTEN):
                out.add(fields[9])
    return out


def _encode(host: str) -> str:
    """An address as /proc/net writes it: 32-bit words in the machine's byte order."""
    packed = socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)
    return "".join(f"{word:08X}" for word in struct.unpack(f"={len(packed) // 4}I", packed))


def _process_with(inodes: set[str]) -> str | None:
    links = {f"socket:[{inode}]" for inode in inodes}
    for process in _PROC.iterdir():
        if not process.name.isdigit():
            continue
        try:
            if any(str(link.readlink()) in links for link in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue  # another user's process, or it is gone
    return None
