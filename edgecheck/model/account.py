"""A SIP account as it is typed into a phone: the target of the registration doctor. It never holds the password."""

import re
import urllib.parse
from typing import Literal

import msgspec

from edgecheck.model.errors import UsageError
from edgecheck.wire import sip
from edgecheck.wire.address import parse_host
from edgecheck.wire.errors import Malformed

SipTransport = Literal["udp", "tcp", "tls", "ws", "wss"]
"""What SIP runs over; ``tls`` is SIP over TLS over TCP, ``ws`` and ``wss`` are RFC 7118's."""
TRANSPORTS: tuple[SipTransport, ...] = ("udp", "tcp", "tls", "ws", "wss")
_NO_USER = re.compile(r'[@<>"]|%(?![0-9A-Fa-f]{2})')
"""What a user part may not hold; a percent sign only escapes (RFC 3261 section 25.1)."""
_ENCRYPTED = ("tls", "wss")
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", re.ASCII)
_SHAPE = "sip:USER@DOMAIN[:PORT][;transport=udp|tcp|tls|wss]"
_PROXY_SHAPE = "sip:HOST[:PORT][;transport=udp|tcp|tls|wss]"


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What RFC 3263 begins with: the parts of a SIP URI that say where to send."""

    host: str
    """A domain name without the final dot, or an IP address in canonical text without brackets."""
    port: int | None = None
    """None: not written."""
    transport: SipTransport | None = None
    """None: not written."""
    secure: bool = False
    """A ``sips`` URI: TLS on every hop."""

    @property
    def numeric(self) -> bool:
        """Whether the host is an IP address, so that there is no name to look up."""
        try:
            parse_host(self.host)
        except Malformed:
            return False
        return True

    @property
    def authority(self) -> str:
        """``host`` or ``host:port`` as it stands in a URI."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def uri(self) -> str:
        """``sip:host:port;transport=tcp``."""
        scheme = "sips" if self.secure else "sip"
        return f"{scheme}:{self.authority}" + (f";transport={self.transport}" if self.transport else "")


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Whose registration is looked into, and by which way. Safe to print and to store: no secret is part of it."""

    user: str
    """As written in the URI, escapes kept: what stands before ``@``."""
    registrar: Place
    """The SIP domain: Request-URI of a REGISTER, and what a certificate must name (RFC 5922)."""
    proxy: Place | None = None
    """Outbound proxy: where requests go instead (RFC 3261 section 8.1.2)."""
    auth_user: str | None = None
    """User name for the digest where it differs from ``user``."""
    resolver: str | None = None
    """``ip:port`` of the DNS server that was chosen; None: this machine's own."""
    stun: str | None = None
    """``ip:port`` of a STUN server that tells this network's public address; None: it is not asked for."""
    ca: str | None = None
    """File of certificate authorities to be trusted besides the system's; its path."""
    dry: bool = False
    """Stop after the challenge: nothing is registered."""

    @property
    def digest_user(self) -> str:
        """User name for the digest: what was given apart, else the user as it reads without its escapes (``a%40b`` is ``a@b`` there)."""
        if self.auth_user is not None:
            return self.auth_user
        plain = urllib.parse.unquote(self.user)
        return plain if plain.isprintable() and "\N{REPLACEMENT CHARACTER}" not in plain else self.user

    @property
    def domain(self) -> str:
        """The registrar's host."""
        return self.registrar.host

    @property
    def aor(self) -> str:
        """The address of record, ``sip:alice@example.com``: From and To of a REGISTER."""
        scheme = "sips" if self.registrar.secure else "sip"
        host = self.registrar.host
        return f"{scheme}:{self.user}@{f'[{host}]' if ':' in host else host}"

    @property
    def next_hop(self) -> Place:
        """Where requests are sent: the outbound proxy, else the domain."""
        return self.proxy or self.registrar


def parse_account(
    uri: str,
    *,
    auth_user: str | None = None,
    proxy: str | None = None,
    resolver: str | None = None,
    stun: str | None = None,
    ca: str | None = None,
    dry: bool = False,
) -> Account:
    """Read ``sip:USER@DOMAIN[:PORT][;transport=T]`` and what was given beside it. Raises ``UsageError``."""
    user, place = _read(uri, _SHAPE, "the account")
    if user is None:
        raise UsageError(f"{_shown(uri)} names no user: an account looks like {_SHAPE}.")
    if auth_user is not None and (not auth_user or not auth_user.isprintable()):
        raise UsageError("--auth-user is empty or holds characters that cannot be printed.")
    return Account(
        user=user,
        registrar=place,
        proxy=None if proxy is None else parse_proxy(proxy),
        auth_user=auth_user,
        resolver=resolver,
        stun=stun,
        ca=ca,
        dry=dry,
    )


def parse_proxy(uri: str) -> Place:
    """Read ``sip:HOST[:PORT][;transport=T]``; ``sip:`` may be left out. Raises ``UsageError``."""
    written = uri if uri.lower().startswith(("sip:", "sips:")) else f"sip:{uri}"
    user, place = _read(written, _PROXY_SHAPE, "--proxy")
    if user is not None:
        raise UsageError(f"--proxy names a host, no user: {_PROXY_SHAPE}.")
    return place


def _read(uri: str, shape: str, what: str) -> tuple[str | None, Place]:
    """User and place of a SIP URI. Raises ``UsageError``."""
    if not uri.lower().startswith(("sip:", "sips:")):
        raise UsageError(f"{_shown(uri)} does not begin with sip: or sips: - {what} looks like {shape}.")
    if not uri.isprintable() or " " in uri:
        raise UsageError(f"{what[0].upper()}{what[1:]} holds a blank or a character that cannot be printed: it looks like {shape}.")
    try:
        parts = sip.uri_parts(uri)
    except Malformed:
        raise UsageError(f"{_shown(uri)} is not a SIP address: {what} looks like {shape}.") from None
    user = parts.user
    if user is not None:
        name, colon, _ = user.partition(":")
        if colon:  # RFC 3261 section 19.1.1 allows it, and recommends against it
            raise UsageError("No password in the address, others may see it: use --password-file, EDGECHECK_SIP_PASSWORD or the prompt.")
        if not name or _NO_USER.search(name):
            raise UsageError(f"{_shown(uri)} holds no user that a SIP address may have: {what} looks like {shape}.")
    return user, Place(
        host=_host(parts.host, uri, shape), port=_port(parts.port, uri), transport=_transport(parts), secure=parts.scheme == "sips"
    )


def _host(written: str, uri: str, shape: str) -> str:
    try:
        return parse_host(written)
    except Malformed:
        pass
    name = written.removesuffix(".").lower()
    if name.replace(".", "").isdigit():
        raise UsageError(f"{written} is not an IP address: four numbers from 0 to 255 ({shape}).")
    try:
        ascii_name = name.encode("idna").decode() if not name.isascii() else name
    except UnicodeError:
        ascii_name = ""
    if not ascii_name or len(ascii_name) > 253 or not all(_LABEL.fullmatch(label) for label in ascii_name.split(".")):
        raise UsageError(f"{_shown(uri)}: {written!r} is neither a domain name nor an IP address ({shape}).")
    return ascii_name


def _port(port: int | None, uri: str) -> int | None:
    if port == 0:
        raise UsageError(f"{_shown(uri)}: port 0 cannot be reached.")
    return port


def _transport(parts: sip.Uri) -> SipTransport | None:
    written = parts.parameters.get("transport")
    if written is None:
        return None
    for transport in TRANSPORTS:
        if written.lower() == transport:
            if parts.scheme == "sips" and transport == "udp":
                raise UsageError("sips: asks for TLS and transport=udp for none: give one of the two (RFC 3261 section 26.2.2).")
            # transport=tcp in a sips URI means TLS over TCP (RFC 3261 section 26.2.2).
            return _over_tls(transport) if parts.scheme == "sips" else transport
    raise UsageError(f"transport={written!r} is not known here: udp, tcp, tls, ws or wss.")


def _over_tls(transport: SipTransport) -> SipTransport:
    return "tls" if transport == "tcp" else "wss" if transport == "ws" else transport


def encrypted(transport: SipTransport) -> bool:
    """Whether this transport shows a certificate."""
    return transport in _ENCRYPTED


def _shown(uri: str) -> str:
    """The address, fit for a message: short, and without what may be a password in it."""
    scheme, colon, rest = uri.partition(":")
    head, at, tail = rest.rpartition("@")
    head = head.partition(":")[0]
    return repr(f"{scheme}{colon}{head}{at}{tail}"[:80])
