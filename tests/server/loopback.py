"""What tests of the real process through real sockets share: datagram sockets, the roles of its addresses, a session."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from edgecheck.wire import control
from edgecheck.wire.address import Endpoint
from tests.server.conftest import Client
from tests.server_process import ServerProcess
from tests.waiting import PATIENCE_S

A, B = "127.0.0.1", "127.0.0.2"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the error queue for ICMP is Linux's")


@contextlib.contextmanager
def udp(host: str = "127.0.0.1", port: int = 0) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.setblocking(False)
        made.bind((host, port))
        yield made


async def receive(sock: socket.socket) -> tuple[bytes, Endpoint]:
    """The next datagram; that none comes is a failure."""
    async with asyncio.timeout(PATIENCE_S):
        data, source = await asyncio.get_running_loop().sock_recvfrom(sock, 65535)
    return data, Endpoint(*source)


def roles(service: control.Service) -> dict[str, Endpoint]:
    out = {f"{role}{number}": Endpoint(host, service.stun_ports[number - 1]) for role, host in (("A", A), ("B", B)) for number in (1, 2)}
    return out | {"AX": Endpoint(A, service.probe_ports[0]), "BX": Endpoint(B, service.probe_ports[1])}


def run(connect: Any, server: ServerProcess, work: Callable[[Client], Any]) -> Any:
    async def working() -> Any:
        async with connect(server.target) as client:
            return await work(client)

    return asyncio.run(working())
