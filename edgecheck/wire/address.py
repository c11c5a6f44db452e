"""Transport addresses and targets: text <-> values. No name is ever resolved here."""

import ipaddress
import re
from typing import NamedTuple

from edgecheck.wire.errors import Malformed

DEFAULT_CONTROL_PORT = 8443
_TARGET = re.compile(r"edge://(?:(?P<token>[^@/\s]*)@)?(?P<host>\[[^\]]*\]|[^:/@\s]+)(?::(?P<port>[0-9]+))?/?", re.ASCII)


class Endpoint(NamedTuple):
    """An IP address and a port: an RFC 8489 *transport address* less its transport."""

    host: str
    """IPv4 or IPv6 address in canonical text; never a name."""
    port: int
    """0 to 65535."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def family(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.host else 4


def parse_endpoint(text: str) -> Endpoint:
    """Read ``192.0.2.1:5060`` or ``[2001:db8::1]:5060``. Raises ``Malformed``."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if ":" not in host:
            raise Malformed(f"{text!r}: brackets go round an IPv6 address")
    elif ":" in host:
        raise Malformed(f"{text!r}: an IPv6 address needs brackets before the port")
    if not colon:
        raise Malformed(f"{text!r} has no port")
    return Endpoint(parse_host(host), parse_port(port))


def parse_host(text: str) -> str:
    """Read an IP address and return its canonical text (an IPv4-mapped IPv6 address as IPv4). Raises ``Malformed``."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise Malformed(f"{text!r} is not an IP address") from error
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        if address.scope_id is not None:
            raise Malformed(f"{text!r}: a scoped address means nothing on another machine")
    return str(address)


def parse_port(text: str) -> int:
    """Read a decimal port, 0 to 65535. Raises ``Malformed``."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        raise Malformed(f"{text!r} is not a port (0 to 65535)")
    return int(text)


class Target(NamedTuple):
    """Where an echo server is, and the token that proves that we may use it."""

    host: str
    """Name or IP address, without brackets."""
    port: int = DEFAULT_CONTROL_PORT
    """TLS control port."""
    token: str = ""
    """The shared secret; empty for an open server."""

    @property
    def authority(self) -> str:
        """``host:port`` as one writes it: safe to print, the token is left out."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"edge://{self.token + '@' if self.token else ''}{self.authority}"

    def __repr__(self) -> str:  # a token must not reach a log by way of a traceback
        return f"Target({self.authority})"


def parse_target(text: str) -> Target:
    """Read ``edge://[TOKEN@]HOST[:PORT]``. Raises ``Malformed`` in words that never hold the token."""
    match = _TARGET.fullmatch(text.strip())
    if match is None:
        raise Malformed("a target looks like edge://TOKEN@HOST:PORT (the line that edgecheck-server printed)")
    return parse_authority(match["host"] + (f":{match['port']}" if match["port"] else ""), match["token"] or "")


def parse_authority(text: str, token: str = "") -> Target:
    """Read ``HOST[:PORT]``; an IPv6 address may stand bare when no port follows. Raises ``Malformed``."""
    if text.count(":") > 1 and not text.startswith("["):
        return Target(parse_host(text), DEFAULT_CONTROL_PORT, token)
    host, _, port = text.rpartition(":") if re.search(r":[0-9]*$", text) else (text, "", "")
    if host.startswith("["):
        host = parse_host(host[1:-1]) if host.endswith("]") else ""
    if not host or re.search(r"[\s/@:]", host.replace(":", "" if ":" in text and text.startswith("[") else ":")):
        raise Malformed(f"{text!r} is not HOST or HOST:PORT")
    number = parse_port(port) if port else DEFAULT_CONTROL_PORT
    if number == 0:
        raise Malformed("port 0 cannot be connected to")
    return Target(host, number, token)
