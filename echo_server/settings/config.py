"""What the server is asked to be: its options, checked and completed."""

from pathlib import Path
from typing import NamedTuple

REACH_PORTS = (53, 80, 443, 5090)
"""DNS, and the two that every network lets out; 5090 is a usual one of hosted PBXs."""


class Addresses(NamedTuple):
    """The addresses of one family."""

    primary: str
    """Role A: to bind."""
    alternate: str | None
    """Role B: to bind, or None."""
    public_primary: str
    """Role A as clients reach it: another one where a provider translates 1:1."""
    public_alternate: str | None

    @property
    def family(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.primary else 4


class Config(NamedTuple):
    """All options. A port of 0 is any free one."""

    addresses: tuple[Addresses, ...]
    """One a family, the one in the ready line first."""
    control_port: int = 8443
    stun_port: int = 3478
    alternate_stun_port: int = 3479
    sip_port: int = 5060
    alternate_sip_port: int = 5080
    sips_port: int = 5061
    media_ports: tuple[int, int] = (10000, 20000)
    reach_ports: tuple[int, ...] = REACH_PORTS
    """Further ones, so that a network can be asked whether it lets them out; bound where that is possible."""
    token: str = ""
    """Empty: open to all."""
    reports: str = ""
    """URL of the store for reports; empty: none are kept."""
    admin_token: str = ""
    """Opens the page of reports."""
    certificate: Path = Path("certificate.pem")
    key: Path = Path("key.pem")


class ConfigError(ValueError):
    """The command line is wrong, in one sentence."""


class StartError(Exception):
    """The server cannot start, in one sentence that says what to do."""
