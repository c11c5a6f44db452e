"""Ports that no router knows: none is drawn twice towards the same host while it rests, and every session probes from its own."""

import asyncio
import errno
import socket
from typing import Any

import pytest

from echo_server.probing.source_ports import MOST, RESTS_S, SourcePorts
from edgecheck.wire import control
from tests.server.loopback import A, B, receive, run, udp
from tests.waiting import wait_until


class Drawn:
    """Stands for a socket whose port the system chose."""

    family, type = socket.AF_INET, socket.SOCK_DGRAM

    def __init__(self, port: int) -> None:
        self.port = port
        self.closed = False

    def getsockname(self) -> tuple[str, int]:
        return "198.51.100.11", self.port

    def close(self) -> None:
        self.closed = True


class System:
    """Offers these ports, one after the other."""

    def __init__(self, *ports: int) -> None:
        self.ports = list(ports)
        self.made: list[Drawn] = []

    def __call__(self) -> Any:
        self.made.append(Drawn(self.ports.pop(0)))
        return self.made[-1]


def test_a_port_rests_before_it_is_used_again_towards_the_same_host() -> None:
    now = 0.0
    ports, system = SourcePorts(lambda: now), System(40001, 40001, 40002, 40001, 40001)
    assert ports.draw(system, "203.0.113.7").getsockname()[1] == 40001
    now = RESTS_S - 1
    assert ports.draw(system, "203.0.113.7").getsockname()[1] == 40002
    assert [made.closed for made in system.made] == [False, True, False]
    assert ports.draw(system, "203.0.113.8").getsockname()[1] == 40001
    now = RESTS_S
    assert ports.draw(system, "203.0.113.7").getsockname()[1] == 40001


def test_where_every_port_rests_none_is_drawn() -> None:
    ports, system = SourcePorts(lambda: 0.0), System(*[40001] * 200)
    ports.draw(system)
    with pytest.raises(OSError) as raised:
        ports.draw(system)
    assert raised.value.errno == errno.EADDRNOTAVAIL
    assert all(made.closed for made in system.made[1:])


def test_ports_to_be_kept_free_are_passed_over_and_the_memory_is_bounded() -> None:
    ports = SourcePorts(lambda: 0.0)
    assert ports.draw(System(10_000, 40_001), avoid=range(10_000, 20_001)).getsockname()[1] == 40_001
    for port in range(20_001, 20_001 + MOST):
        ports.draw(System(port))
    assert ports.draw(System(40_001)).getsockname()[1] == 40_001


def free(host: str, port: int) -> bool:
    try:
        with udp(host, port):
            return True
    except OSError:
        return False


def test_every_session_probes_from_ports_of_its_own(connect: Any, server: Any) -> None:
    async def probed(client: Any) -> tuple[int, int]:
        service = client.service
        with udp() as here:
            port = here.getsockname()[1]
            for sender, host, number in (("AX", A, service.probe_ports[0]), ("BX", B, service.probe_ports[1])):
                await client.ask(control.Probe, series=1, address=A, ports=((port, port),), senders=(sender,))
                _, source = await receive(here)
                assert source == (host, number)
        return service.probe_ports

    async def two() -> tuple[tuple[int, int], tuple[int, int]]:
        async with connect(server.target) as one, connect(server.target) as other:
            return await probed(one), await probed(other)

    first, second = asyncio.run(two())
    third = run(connect, server, probed)
    assert len({port for pair in (first, second, third) for port in pair[1:]}) == 3
    for host, port in ((A, first[0]), (B, second[1])):
        wait_until(lambda host=host, port=port: free(host, port), "the sockets of a session that is over to be closed")


def test_a_session_may_have_probes_from_further_ports_that_rest_like_the_others(connect: Any, server: Any) -> None:
    async def probed(client: Any) -> list[int]:
        """The ports that this session's probes came from: its own, the first further one twice, the second."""
        out = []
        with udp() as here:
            port = here.getsockname()[1]
            for fresh in (0, 1, 1, 2):
                reply = await client.ask(control.Probe, series=1, address=A, ports=((port, port),), senders=("BX",), fresh=fresh)
                assert (reply.sent, reply.failed) == (1, 0)
                _, source = await receive(here)
                assert source.host == B
                out.append(source.port)
        return out

    first, second = run(connect, server, probed), run(connect, server, probed)
    for own, one, again, other in (first, second):
        assert one == again
        assert len({own, one, other}) == 3
    assert not set(first) & set(second)
    for number in first:
        wait_until(lambda number=number: free(B, number), "the further sockets of a session that is over to be closed")
