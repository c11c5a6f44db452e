"""SSDP: asks the gateway, and by multicast this link, who is an internet gateway. Only the gateway's own answer is followed."""

import asyncio
import contextlib
import socket
from collections.abc import Callable

from edgecheck.wire import igd, ssdp
from edgecheck.wire.errors import WireError

SENT_AT_S = (0.0, 0.3)
PATIENCE_S = 1.4
"""``MX: 1`` lets a device think for a second before it answers."""
_MOST_HEARD = 256
_MOST_OTHERS = 8
_MOST_LOCATIONS = 4


class Search(asyncio.DatagramProtocol):
    """What was heard. Everything in it is a stranger's word."""

    def __init__(self, gateway: str, on_found: Callable[[], None]) -> None:
        self.gateway = gateway
        self.found: list[ssdp.Found] = []
        """The gateway's answers, one for each place of a description."""
        self.others: list[str] = []
        """Other addresses that answered as internet gateways."""
        self._heard = 0
        self._on_found = on_found

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._heard += 1
        if self._heard > _MOST_HEARD:
            return
        try:
            answer = ssdp.parse(data)
        except WireError:
            return
        if answer.target not in igd.TARGETS:
            return
        host = addr[0]
        if host != self.gateway:
            if host not in self.others and len(self.others) < _MOST_OTHERS:
                self.others.append(host)
        elif len(self.found) < _MOST_LOCATIONS and answer.location not in [one.location for one in self.found]:
            self.found.append(answer)
            self._on_found()

    def error_received(self, exc: Exception) -> None:
        """Port unreachable from the gateway: its answer to the multicast may still come."""


async def search(source: str, gateway: str, port: int = ssdp.PORT) -> Search:
    """Returns soon after the gateway has answered, or when patience is over. Raises ``OSError``."""
    loop = asyncio.get_running_loop()
    found = asyncio.Event()
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        udp.setblocking(False)
        udp.bind((source, 0))
        with contextlib.suppress(OSError):  # an interface without multicast: the gateway is asked directly all the same
            udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)  # never beyond this link
            udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(source))
        transport, heard = await loop.create_datagram_endpoint(lambda: Search(gateway, found.set), sock=udp)
    except BaseException:
        udp.close()
        raise
    try:
        began = loop.time()
        for number in range(len(SENT_AT_S)):
            for target in igd.TARGETS:
                transport.sendto(ssdp.search(gateway, target), (gateway, port))
                transport.sendto(ssdp.search(ssdp.GROUP, target), (ssdp.GROUP, port))
            end = SENT_AT_S[number + 1] if number + 1 < len(SENT_AT_S) else PATIENCE_S
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(found.wait(), max(0.0, began + end - loop.time()))
                break
    finally:
        transport.close()
    return heard
