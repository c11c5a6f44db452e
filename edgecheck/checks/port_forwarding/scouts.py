"""Ports that are sent to before all others: the first packets of a session are those that nobody shuts out.

Where SIP needs no rule, RTP has one: then an end of its range is the only port at which the prober can be known to have been let in.
"""

import contextlib

from edgecheck.checks.port_forwarding.shut_out import Witness
from edgecheck.checks.port_forwarding.udp import request
from edgecheck.checks.unsolicited import probe_of, sender
from edgecheck.model.check import Network, UdpSocket
from edgecheck.model.errors import LocalFailure

_COPIES = 2


class Scouts:
    """Their sockets. A context manager that closes them."""

    def __init__(self, net: Network, sockets: list[UdpSocket]) -> None:
        self._net = net
        self._sockets = sockets

    def __enter__(self) -> "Scouts":
        return self

    def __exit__(self, *_: object) -> None:
        for socket in self._sockets:
            socket.close()

    @property
    def witness(self) -> Witness | None:
        """The first of them that was reached."""
        net, prober = self._net, sender(self._net, "BX")
        reached = (socket for socket in self._sockets if any(one.source == prober and probe_of(net, one.data) for one in socket.inbox))
        return next((Witness("udp", socket.local.port, False) for socket in reached), None)


async def scout(net: Network, rtp: tuple[int, int] | None) -> Scouts:
    """Let both ends of the RTP range be sent to."""
    sockets: list[UdpSocket] = []
    for port in dict.fromkeys(rtp or ()):
        with contextlib.suppress(LocalFailure):  # a call holds it
            sockets.append(await net.open_udp(port))
    ports, series = [socket.local.port for socket in sockets], net.new_series()
    if ports:
        await net.ask(lambda id: request(id, series, net.observed, ports, ("BX",), 0, _COPIES))
    return Scouts(net, sockets)
