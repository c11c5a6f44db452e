"""What this machine says of itself: interfaces, gateway, platform, and where its state may be kept."""

import contextlib
import ipaddress
import os
import platform
import sys
from pathlib import Path
from typing import Any

import netifaces

from edgecheck.model.verdict import ClientFacts
from edgecheck.net.machine.memory import FileMemory, NoMemory
from edgecheck.wire.address import parse_host
from edgecheck.wire.errors import WireError


def facts(source: str | None) -> ClientFacts:
    """Interfaces with their addresses, the default gateway of the source's family, the platform."""
    return ClientFacts(
        source=source,
        interfaces=tuple(_interfaces()),
        gateway=gateway(6 if source and ":" in source else 4),
        platform=f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
    )


def _interfaces() -> list[dict[str, Any]]:
    found = []
    with contextlib.suppress(OSError, ValueError):
        for name in netifaces.interfaces():
            rows = netifaces.ifaddresses(name)
            both = [*rows.get(netifaces.AF_INET, ()), *rows.get(netifaces.AF_INET6, ())]
            addresses = [str(row["addr"]).partition("%")[0] for row in both if "addr" in row]  # a tunnel may have a peer alone
            if addresses:
                networks = list(dict.fromkeys(network for row in both if (network := _network(row)) is not None))
                found.append({"name": str(name), "addresses": addresses, "networks": networks})
    return found


def _network(row: dict[str, Any]) -> str | None:
    """``192.168.1.0/24``; None where the platform tells no mask. An IPv6 mask may be told as ``ffff:ffff::/32``."""
    mask = str(row.get("netmask") or "")
    with contextlib.suppress(ValueError, KeyError):
        if not mask:
            return None
        prefix = mask.rpartition("/")[2] if "/" in mask else str(int(ipaddress.IPv6Address(mask)).bit_count()) if ":" in mask else mask
        return str(ipaddress.ip_interface(f"{str(row['addr']).partition('%')[0]}/{prefix}").network)
    return None


def gateway(family: int) -> str | None:
    """The default router's address, or None where there is none or it cannot be read."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        default: Any = netifaces.gateways().get("default", {})
        row = default.get(netifaces.AF_INET6 if family == 6 else netifaces.AF_INET)
        if row:
            return str(row[0]).partition("%")[0]
    return None


def _gateway_hardware_address(address: str | None) -> str:
    """Tells one network from another that uses the same private addresses; empty where the platform does not say."""
    if address is None or sys.platform != "linux":
        return ""
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/arp").read_text().splitlines()[1:]:
            fields = line.split()
            if len(fields) >= 4 and fields[0] == address:
                return fields[3]
    return ""


def state_directory() -> Path:
    """Where this user's edgecheck keeps what it must remember."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
        return Path(base) / "edgecheck"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "edgecheck"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "edgecheck"


def memory(source: str, server: str) -> FileMemory | NoMemory:
    """The record of what was sent on this network; none on loopback, where nothing stands between."""
    if is_loopback(source) or is_loopback(server):
        return NoMemory()
    router = gateway(6 if ":" in source else 4)
    try:
        path = state_directory() / "memory.json"
    except RuntimeError:  # no home directory
        return NoMemory()
    return FileMemory(path, "|".join((source, router or "", _gateway_hardware_address(router))))


def is_loopback(host: str) -> bool:
    """127.0.0.0/8 or ::1."""
    with contextlib.suppress(WireError):
        return parse_host(host).startswith("127.") or parse_host(host) == "::1"
    return False
