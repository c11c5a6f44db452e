"""This machine's addresses, and which of them serve as primary and alternate."""

import ipaddress
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from echo_server.settings.config import Addresses, ConfigError
from edgecheck.wire.address import parse_host
from edgecheck.wire.errors import WireError

_UNSTABLE = 0x01 | 0x08 | 0x20 | 0x40
"""Flags of /proc/net/if_inet6: temporary, duplicate, deprecated, tentative. Such an address is gone tomorrow, or already."""


def local_addresses() -> list[str]:
    """Every address of this machine but link-local ones, in the system's order; temporary IPv6 ones are left out on Linux."""
    import netifaces

    unstable = _unstable_addresses(Path("/proc/net/if_inet6")) if sys.platform == "linux" else set()
    found: dict[str, None] = {}
    for interface in netifaces.interfaces():
        entries = netifaces.ifaddresses(interface)
        for entry in (*entries.get(netifaces.AF_INET, ()), *entries.get(netifaces.AF_INET6, ())):
            address = ipaddress.ip_address(entry["addr"].partition("%")[0])
            if not address.is_link_local and str(address) not in unstable:
                found[str(address)] = None
    return list(found)


def _unstable_addresses(table: Path) -> set[str]:
    try:
        lines = table.read_text().splitlines()
    except OSError:
        return set()
    rows = [line.split() for line in lines]
    return {str(ipaddress.IPv6Address(int(row[0], 16))) for row in rows if len(row) == 6 and int(row[4], 16) & _UNSTABLE}


def choose(found: Iterable[str]) -> tuple[Addresses, ...]:
    """Primary and alternate of each family: public addresses first; loopback only where there is nothing else.

    The alternate is the second public address. A private one is never taken for it unasked: a container bridge's would make
    every probe from it a false silence.
    """
    addresses = [ipaddress.ip_address(text) for text in found]
    usable = [address for address in addresses if not address.is_loopback] or addresses
    out = []
    for version in (4, 6):
        ranked = sorted((a for a in usable if a.version == version), key=lambda address: not address.is_global)
        if ranked:
            alternate = str(ranked[1]) if len(ranked) > 1 and ranked[1].is_global else None
            out.append(Addresses(str(ranked[0]), alternate, str(ranked[0]), alternate))
    # A machine with a public IPv6 address and only a private IPv4 one is reached over IPv6.
    out.sort(key=lambda choice: not ipaddress.ip_address(choice.primary).is_global)
    return tuple(out)


def given(
    primary: Sequence[str], alternate: Sequence[str], public_primary: Sequence[str], public_alternate: Sequence[str]
) -> tuple[Addresses, ...]:
    """The addresses named on the command line, each option once a family at most. Raises ``ConfigError``."""
    options = {
        "--address": _by_family("--address", primary),
        "--alternate": _by_family("--alternate", alternate),
        "--public-address": _by_family("--public-address", public_primary),
        "--public-alternate": _by_family("--public-alternate", public_alternate),
    }
    primaries, alternates = options["--address"], options["--alternate"]
    for name, wanted in (("--alternate", "--address"), ("--public-address", "--address"), ("--public-alternate", "--alternate")):
        for family, host in options[name].items():
            if family not in options[wanted]:
                raise ConfigError(f"{name} {host} needs an {wanted} of its family beside it.")
    for family, host in alternates.items():
        if primaries[family] == host:
            raise ConfigError(f"--alternate must be another address than --address {host}.")
    out = []
    for family, host in primaries.items():
        other = alternates.get(family)
        out.append(Addresses(host, other, options["--public-address"].get(family, host), options["--public-alternate"].get(family, other)))
    return tuple(out)


def _by_family(option: str, hosts: Sequence[str]) -> dict[int, str]:
    out: dict[int, str] = {}
    for text in hosts:
        try:
            address = ipaddress.ip_address(parse_host(text))
        except WireError as error:
            raise ConfigError(f"{option}: {error}.") from error
        if address.is_unspecified or address.is_multicast:
            raise ConfigError(f"{option} {text}: name one address of this machine.")
        if address.version in out:
            raise ConfigError(f"{option} may be given once for IPv4 and once for IPv6.")
        out[address.version] = str(address)
    return out
