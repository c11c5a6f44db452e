"""A network without an echo server: STUN alone. And pystun3's own verdict, to be set beside ours."""

import asyncio
import secrets
import socket
from collections.abc import Callable
from typing import Any

from edgecheck.model.errors import ControlLost
from edgecheck.net.machine import host
from edgecheck.net.network import EdgeNetwork
from edgecheck.net.sockets.bell import Bell
from edgecheck.net.sockets.real import RealTransport, family_of
from edgecheck.wire import control


class NoSession:
    """Stands where a control session would: there is none, and every request says so."""

    lost: str | None = "there is no echo server"

    async def ask(self, make: Callable[[int], control.Request]) -> control.Reply:
        raise ControlLost("This needs an echo server.")


def source_for(destination: str) -> str:
    """The local address that the system would use; no packet is sent."""
    with socket.socket(family_of(destination), socket.SOCK_DGRAM) as probe:
        probe.connect((destination, 9))
        return str(probe.getsockname()[0])


def without_session(address: str, control_port: int, source: str) -> EdgeNetwork:
    """The network through which an echo server is asked with which no session came about: its ports are taken to be the usual ones."""
    reach: tuple[tuple[control.Transport, int], ...] = (("tcp", 80), ("udp", 443), ("tls", 443), ("udp", 5090), ("tcp", 5090))
    offered = tuple(control.ReachPort(transport=transport, port=port) for transport, port in reach if port != control_port)
    return _network(control.Service(address=address, reach=offered), source, control_port=control_port)


def stun_only(address: str, port: int, source: str) -> EdgeNetwork:
    """The network through which a foreign STUN server is asked."""
    network = _network(control.Service(address=address, stun_ports=(port, port)), source)
    network.gate.open()
    return network


def without_server(address: str, source: str, progress: Callable[[int, int, str], None]) -> EdgeNetwork:
    """The network through which a SIP server that is not ours is asked."""
    return _network(control.Service(address=address), source, progress=progress)


def _network(service: control.Service, source: str, **more: Any) -> EdgeNetwork:
    """What there is without a session: the system's own address is all that is known of ours, and a round trip is guessed."""
    return EdgeNetwork(
        RealTransport(source, Bell()),
        NoSession(),
        service,
        limits=control.Limits(),
        session_name=secrets.token_bytes(control.SESSION_SIZE),
        observed=source,
        primary_host=service.address,
        memory=host.memory(source, service.address),
        pace=0,
        rtt=0.05,
        **more,
    )


PYSTUN3_SENDS = 40
"""Its longest tree sends sixteen datagrams."""


class _Endless(Exception):
    """pystun3 would send for ever."""


class _Bounded(socket.socket):
    """pystun3 repeats its question, without a pause and for ever, for as long as it gets an answer that it does not want (a 420, say)."""

    sends = 0

    def sendto(self, *arguments: Any) -> int:
        self.sends += 1
        if self.sends > PYSTUN3_SENDS:
            raise _Endless
        return super().sendto(*arguments)


async def pystun3_type(address: str, port: int, source: str) -> str:
    """What pystun3 (RFC 3489) calls this NAT, in its own words; or why it could not say."""
    import stun as pystun3

    def ask() -> str:
        udp = _Bounded(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.settimeout(2)
            udp.bind((source, 0))
            kind, _ = pystun3.get_nat_type(udp, source, udp.getsockname()[1], stun_host=address, stun_port=port)
        finally:
            udp.close()
        return str(kind)

    try:
        async with asyncio.timeout(60):
            return await asyncio.to_thread(ask)
    except TimeoutError:
        return "no verdict within 60 s"
    except _Endless:
        return "no verdict (it asks again without end: an answer is not of the kind it waits for)"
    except Exception as error:  # its parser raises whatever the bytes provoke
        return f"no verdict ({type(error).__name__})"
