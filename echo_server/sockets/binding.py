"""Binding every socket at the start: one sentence names the port that cannot be had and who holds it."""

import errno
import socket
import sys
from typing import NamedTuple

from echo_server.settings.config import Addresses, Config, StartError
from echo_server.sockets import port_holders
from edgecheck.wire.control import ReachPort, Transport

_TRIES = 100
"""For a number that is free at every address, in UDP and TCP."""
_RECEIVE_BUFFER = 4 << 20
_SEND_BUFFER = 1 << 20
_SO_RCVBUFFORCE = 33
_BACKLOG = 512


class Key(NamedTuple):
    """Which socket."""

    listener: str
    """Listener name, as in ``roles``; ``control`` and ``sips`` for those that are streams alone."""
    family: int
    """4 or 6."""


class Bound(NamedTuple):
    """Every socket but those for media."""

    udp: dict[Key, socket.socket]
    streams: dict[Key, socket.socket]
    """Listening."""
    control_port: int
    stun_ports: tuple[int, int]
    sip_port: int
    alternate_sip_port: int
    sips_port: int
    reach: dict[int, tuple[ReachPort, ...]] = {}
    """By family: what could be bound of the ports kept for the question whether a network lets them out."""
    unreachable: tuple[str, ...] = ()
    """What could not, and why: ``UDP 53 (held by dnsmasq)``."""

    def close(self) -> None:
        for bound in (*self.udp.values(), *self.streams.values()):
            bound.close()


class _Wish(NamedTuple):
    """One port at one or more addresses, in UDP, TCP or both."""

    option: str
    port: int
    roles: str
    """``AB`` or ``A``."""
    listener: str
    """``1``, ``2`` for STUN: behind the role; ``sip``; ``control``; ``sips``."""
    udp: bool = True
    tcp: bool = True


def bind_all(config: Config) -> Bound:
    """Bind and listen. Raises ``StartError``; then nothing stays bound."""
    bound = Bound({}, {}, 0, (0, 0), 0, 0, 0)
    wishes = (
        _Wish("--stun-port", config.stun_port, "AB", "1"),
        _Wish("--alternate-stun-port", config.alternate_stun_port, "AB", "2"),
        _Wish("--sip-port", config.sip_port, "A", "sip"),
        _Wish("--alternate-sip-port", config.alternate_sip_port, "A", "sip"),
        _Wish("--sips-port", config.sips_port, "A", "sips", udp=False),
        _Wish("--control-port", config.control_port, "A", "control", udp=False),
    )
    try:
        first, second, sip, alternate_sip, sips, control = [_bind_wish(bound, config, wish) for wish in wishes]
        for addresses in config.addresses:
            for role, host in _hosts(addresses, "AB"):
                bound.udp[Key(f"{role}X", addresses.family)] = _bind_probe_socket(host, config.media_ports)
    except BaseException:
        bound.close()
        raise
    reach, unreachable = _bind_reach(bound, config)
    return bound._replace(
        control_port=control,
        stun_ports=(first, second),
        sip_port=sip,
        alternate_sip_port=alternate_sip,
        sips_port=sips,
        reach=reach,
        unreachable=unreachable,
    )


_SPOKEN: dict[int, tuple[Transport, ...]] = {53: ("udp",), 80: ("tcp",), 443: ("udp", "tls")}
"""What networks expect on these ports; on others UDP and TCP."""


def _bind_reach(bound: Bound, config: Config) -> tuple[dict[int, tuple[ReachPort, ...]], tuple[str, ...]]:
    """Bind what can be had of the ports that are only there to be reached: a web server that holds 443 may keep it."""
    reach: dict[int, tuple[ReachPort, ...]] = {}
    missing: list[str] = []
    low, high = config.media_ports
    for addresses in config.addresses:
        own = [*bound.udp.items(), *bound.streams.items()]
        taken = {(made.type, made.getsockname()[1]) for key, made in own if key.family == addresses.family}
        for port in config.reach_ports:
            for transport in _SPOKEN.get(port, ("udp", "tcp")):
                kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
                if (kind, port) in taken or (transport == "udp" and low <= port <= high):
                    continue  # ours already: it answers there as it is, or must stay free to be asked for
                try:
                    made = bind_udp(addresses.primary, port) if transport == "udp" else listen(addresses.primary, port)
                except OSError as error:
                    missing.append(f"{transport.upper()} {port} ({_why_not(error, transport, addresses.primary, port)})")
                    continue
                sockets = bound.udp if transport == "udp" else bound.streams
                sockets[Key(f"reach:{port}", addresses.family)] = made
                reach[addresses.family] = (*reach.get(addresses.family, ()), ReachPort(transport=transport, port=port))
    return reach, tuple(dict.fromkeys(missing))


def _why_not(error: OSError, transport: str, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"held by {port_holders.holder('udp' if transport == 'udp' else 'tcp', host, port) or 'another program'}"
    if error.errno == errno.EACCES:
        return "not allowed to this user"
    return error.strerror or "cannot be bound"


def _hosts(addresses: Addresses, roles: str) -> list[tuple[str, str]]:
    both = (("A", addresses.primary), ("B", addresses.alternate))
    return [(role, host) for role, host in both if host is not None and role in roles]


def _bind_wish(bound: Bound, config: Config, wish: _Wish) -> int:
    """Bind one port everywhere it is wished for; returns its number."""
    for tries in range(_TRIES):
        port = wish.port
        udp: dict[Key, socket.socket] = {}
        streams: dict[Key, socket.socket] = {}
        try:
            for addresses in config.addresses:
                for role, host in _hosts(addresses, wish.roles):
                    if wish.udp:
                        made = bind_udp(host, port)
                        port = made.getsockname()[1]
                        udp[_key(wish, role, port, addresses.family)] = made
                    if wish.tcp:
                        made = listen(host, port)
                        port = made.getsockname()[1]
                        streams[_key(wish, role, port, addresses.family)] = made
        except OSError as error:
            for made in (*udp.values(), *streams.values()):
                made.close()
            if wish.port == 0 and error.errno == errno.EADDRINUSE and tries < _TRIES - 1:
                continue
            transport = "udp" if wish.udp and len(udp) == len(streams) else "tcp"
            raise StartError(explain(error, transport, host, port, wish.option)) from error
        low, high = config.media_ports
        if wish.port == 0 and wish.udp and low <= port <= high:
            for made in (*udp.values(), *streams.values()):
                made.close()
            continue
        bound.udp.update(udp)
        bound.streams.update(streams)
        return port
    raise StartError(f"No free port could be found for {wish.option} 0.")


def _key(wish: _Wish, role: str, port: int, family: int) -> Key:
    if wish.listener == "sip":
        return Key(f"sip:{port}", family)
    return Key(f"{role}{wish.listener}" if wish.listener in "12" else wish.listener, family)


def _bind_probe_socket(host: str, media_ports: tuple[int, int]) -> socket.socket:
    """For the test at the start: any port outside the media range, which must stay free to be asked for."""
    low, high = media_ports
    for _ in range(_TRIES):
        made = bind_udp(host, 0)
        if not low <= made.getsockname()[1] <= high:
            return made
        made.close()
    raise StartError(f"No free port outside {low}-{high} could be found on {host}.")


def bind_udp(host: str, port: int, receive_buffer: int = _RECEIVE_BUFFER) -> socket.socket:
    """A non-blocking UDP socket of its own (never shared) with large buffers. Raises ``OSError``."""
    made = _make(host, socket.SOCK_DGRAM)
    try:
        made.bind((host, port))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        try:
            # A burst of a request from every port of a range must fit, and the ordinary limit holds 300 small datagrams.
            made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE if sys.platform == "linux" else socket.SO_RCVBUF, receive_buffer)
        except OSError:
            made.setsockopt(
                socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer if sys.platform == "linux" else min(receive_buffer, 1 << 20)
            )
    except BaseException:
        made.close()
        raise
    return made


def listen(host: str, port: int) -> socket.socket:
    """A non-blocking listening TCP socket. Raises ``OSError``."""
    made = _make(host, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # there it would let another process share the port
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(_BACKLOG)
    except BaseException:
        made.close()
        raise
    return made


def _make(host: str, kind: socket.SocketKind) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    made.setblocking(False)
    if ":" in host:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return made


def explain(error: OSError, transport: str, host: str, port: int, option: str) -> str:
    """One sentence for a port that could not be bound."""
    where = f"{transport.upper()} {port} on {host}"
    if error.errno == errno.EADDRINUSE:
        holder = port_holders.holder(transport, host, port) or "another program"
        return f"{where} is held by {holder}: stop it, or choose another port with {option}."
    if error.errno == errno.EACCES:
        return f"{where} may not be bound by this user: choose one above 1023 with {option}, or allow it."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine: name one that is with --address (and what clients reach with --public-address)."
    return f"{where} cannot be bound: {error.strerror}."
