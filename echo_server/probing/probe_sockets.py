"""The sockets that a session's probes leave from: its own, on ports that no edge knows from an earlier session.

One on each address from the start; further ones where it asks for ports that no edge has seen in this session either: what is sent from
those is a new flow to every router, whatever that has let in before.
"""

import asyncio
import errno
import socket
from collections.abc import Mapping
from functools import partial

import msgspec

from echo_server.probing.source_ports import SourcePorts
from echo_server.roles import PROBE_ROLES
from echo_server.sessions.session import Session
from echo_server.sockets.binding import Key, bind_udp
from echo_server.sockets.listeners import UdpSockets
from edgecheck.wire.control import Welcome

_RECEIVE_BUFFER = 256 << 10
"""Little comes in here: every session has two."""


class ProbeSockets:
    """One socket on each address for every session, and the further ones of each."""

    def __init__(
        self,
        udp: UdpSockets,
        ports: SourcePorts,
        hosts: Mapping[tuple[str, int], str],
        media_ports: tuple[int, int],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """``hosts``: the address to bind, by (A or B, family). ``media_ports`` must stay free to be asked for."""
        self._udp = udp
        self._ports = ports
        self._hosts = hosts
        self._media = range(media_ports[0], media_ports[1] + 1)
        self._loop = loop
        self._open: dict[bytes, dict[Key, socket.socket]] = {}
        self._fresh: dict[bytes, dict[tuple[str, int], str]] = {}
        """By session: role and number of a further socket -> its listener."""

    def open(self, session: Session, welcome: Welcome) -> Welcome:
        """Bind the session's sockets; returns its welcome with their ports. Raises ``OSError``; then nothing stays bound."""
        self._open[session.name] = {}
        self._fresh[session.name] = {}
        numbers = []
        try:
            for role in PROBE_ROLES:
                host = self._hosts.get((role[0], session.family))
                numbers.append(0 if host is None else self._bind(session, role, host))
        except BaseException:
            self.close(session)
            raise
        session.service = msgspec.structs.replace(session.service, probe_ports=(numbers[0], numbers[1]))
        return msgspec.structs.replace(welcome, service=session.service)

    def fresh(self, session: Session, role: str, number: int) -> str:
        """The listener of this further socket of the session, bound now if it is not yet. Raises ``OSError``."""
        mine = self._fresh.get(session.name)
        if mine is None:
            raise OSError(errno.ENOTCONN, "the session is over")
        if (role, number) not in mine:
            mine[role, number] = f"{role}:{self._bind(session, role, self._hosts[role[0], session.family])}"
        return mine[role, number]

    def _bind(self, session: Session, role: str, host: str) -> int:
        """One more socket for the session; returns its port. Raises ``OSError``."""
        made = self._ports.draw(partial(bind_udp, host, 0, _RECEIVE_BUFFER), avoid=self._media)
        number: int = made.getsockname()[1]
        key = Key(f"{role}:{number}", session.family)
        self._open[session.name][key] = made
        self._udp.add(key, made)
        self._loop.add_reader(made.fileno(), self._udp.reader(key))
        return number

    def close(self, session: Session) -> None:
        """The session is over."""
        self._fresh.pop(session.name, None)
        for key, made in self._open.pop(session.name, {}).items():
            self._loop.remove_reader(made.fileno())
            self._udp.remove(key)
            made.close()

    def read_errors(self, session: Session) -> None:
        """Take what ICMP errors wait into its accounts: before one is told."""
        for key in self._open.get(session.name, {}):
            self._udp.read_errors(key)
