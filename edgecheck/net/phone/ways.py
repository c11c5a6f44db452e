"""The phone's sockets: from the local address that fits each destination, and every datagram written down."""

import asyncio
import time
from collections.abc import Callable

from edgecheck.model.check import Arrival, Quote, Stream, UdpSocket
from edgecheck.model.errors import LocalFailure
from edgecheck.model.phone import Packet
from edgecheck.net.sockets.transport import Transport
from edgecheck.wire.address import Endpoint

_MOST_PACKETS = 20_000
"""A peer that floods must not fill the memory."""


class Ways:
    """Opens sockets by destination. Everything raises ``LocalFailure``."""

    def __init__(
        self,
        transport_from: Callable[[str], Transport],
        source_for: Callable[[str], str | None],
        source: str | None,
        family: int | None,
    ) -> None:
        self._transport_from = transport_from
        self._route = source_for
        self._source = source
        self._family = family
        self._transports: dict[str, Transport] = {}
        self._sockets: list[_Watched] = []
        self._said: list[Packet] = []
        # Monotonic arrival times are told as times of day.
        self._epoch = time.time() - asyncio.get_running_loop().time()

    def source_for(self, host: str) -> str | None:
        """The local address to this destination; None: no route, or not in the family that was asked for."""
        family = 6 if ":" in host else 4
        if self._family not in (None, family) or (self._source is not None and (6 if ":" in self._source else 4) != family):
            return None
        return self._source or self._route(host)

    def _transport(self, to: Endpoint) -> Transport:
        source = self.source_for(to.host)
        if source is None:
            raise LocalFailure("no-route", f"Could not reach {to}: no route to it from here.")
        if source not in self._transports:
            self._transports[source] = self._transport_from(source)
        return self._transports[source]

    async def open_udp(self, to: Endpoint, port: int = 0) -> UdpSocket:
        """Unconnected: answers from elsewhere are seen, too."""
        socket = _Watched(await self._transport(to).open_udp(port), self.note)
        self._sockets.append(socket)
        return socket

    async def connect(self, to: Endpoint, timeout: float, hops: int | None = None) -> Stream:
        return await self._transport(to).connect(to, 0, timeout, tls=False, ttl=hops)

    def note(self, packet: Packet) -> None:
        """Write down what a socket or stream carried; ``at`` is on the loop's clock."""
        if len(self._said) < _MOST_PACKETS:
            self._said.append(packet)

    def traffic(self) -> list[Packet]:
        """All of it in order, by the time of day."""
        heard = [packet for socket in self._sockets for packet in socket.heard()][:_MOST_PACKETS]
        every = sorted((*self._said, *heard), key=lambda packet: packet.at)
        return [_by_day(packet, self._epoch) for packet in every]


def _by_day(packet: Packet, epoch: float) -> Packet:
    return Packet(
        at=packet.at + epoch,
        direction=packet.direction,
        protocol=packet.protocol,
        local=packet.local,
        remote=packet.remote,
        data=packet.data,
        encrypted=packet.encrypted,
    )


class _Watched:
    """A UDP socket whose traffic is written down."""

    def __init__(self, socket: UdpSocket, note: Callable[[Packet], None]) -> None:
        self._socket = socket
        self._note = note
        self.local = socket.local
        self.inbox: list[Arrival] = socket.inbox
        self.errors: list[str] = socket.errors
        self.quotes: list[Quote] = socket.quotes

    def send(self, data: bytes, to: Endpoint, ttl: int | None = None) -> None:
        now = asyncio.get_running_loop().time()
        self._note(Packet(at=now, direction="out", protocol="udp", local=self.local, remote=to, data=data))
        self._socket.send(data, to, ttl)

    def heard(self) -> list[Packet]:
        return [
            Packet(at=arrival.at, direction="in", protocol="udp", local=self.local, remote=arrival.source, data=arrival.data)
            for arrival in self.inbox
        ]

    def close(self) -> None:
        self._socket.close()
