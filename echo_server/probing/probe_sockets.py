"""The sockets that a session's probes leave from: its own, on ports that no edge knows from an earlier session."""

import asyncio
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
    """One socket on each address, for every session."""

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

    def open(self, session: Session, welcome: Welcome) -> Welcome:
        """Bind the session's sockets; returns its welcome with their ports. Raises ``OSError``; then nothing stays bound."""
        mine = self._open[session.name] = {}
        numbers = []
        try:
            for role in PROBE_ROLES:
                host = self._hosts.get((role[0], session.family))
                if host is None:
                    numbers.append(0)
                    continue
                made = self._ports.draw(partial(bind_udp, host, 0, _RECEIVE_BUFFER), avoid=self._media)
                number = made.getsockname()[1]
                key = Key(f"{role}:{number}", session.family)
                mine[key] = made
                numbers.append(number)
                self._udp.add(key, made)
                self._loop.add_reader(made.fileno(), self._udp.reader(key))
        except BaseException:
            self.close(session)
            raise
        session.service = msgspec.structs.replace(session.service, probe_ports=(numbers[0], numbers[1]))
        return msgspec.structs.replace(welcome, service=session.service)

    def close(self, session: Session) -> None:
        """The session is over."""
        for key, made in self._open.pop(session.name, {}).items():
            self._loop.remove_reader(made.fileno())
            self._udp.remove(key)
            made.close()

    def read_errors(self, session: Session) -> None:
        """Take what ICMP errors wait into its accounts: before one is told."""
        for key in self._open.get(session.name, {}):
            self._udp.read_errors(key)
