"""Media ports of the real process: opened, echoing, free again, and as many as it can have."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from edgecheck.wire import control, ports, probe, rtp
from edgecheck.wire.address import Endpoint
from edgecheck.wire.probe import Kind, Probe
from tests.server.conftest import Client
from tests.server.loopback import A, receive, run, udp
from tests.server_process import ServerProcess
from tests.waiting import PATIENCE_S


def test_rtp_comes_back_from_every_port_that_was_opened(server: ServerProcess, connect: Any) -> None:
    async def work(client: Client) -> None:
        opened = await client.ask(control.OpenMedia, ports=((21000, 21299), (30000, 30001)))
        assert opened.ports == ((21000, 21299), (30000, 30001))
        with udp() as sock:
            for port in ports.expand(opened.ports):
                echo = Probe(Kind.ECHO, client.session, 8, port)
                sock.sendto(rtp.probe_packet(probe.serialize(echo), 1, 160, 5), (A, port))
                data, source = await receive(sock)
                assert source == Endpoint(A, port)
                assert (len(data), probe.parse(data, rtp.PROBE_OFFSET)) == (172, echo._replace(kind=Kind.ECHOED))
        media = (await client.ask(control.Account, series=8)).media
        assert (media.received, media.answered, media.sources) == (opened.ports, 302, (A,))
        assert (await client.ask(control.CloseMedia)).ports == ()
        for port in (21000, 30001):
            with udp(A, port):
                pass

    run(connect, server, work)


def test_media_ports_are_free_again_when_the_session_is_gone(server: ServerProcess, connect: Any) -> None:
    async def work(client: Client) -> None:
        await client.ask(control.OpenMedia, ports=((22000, 22400),))
        async with connect(server.target) as other:
            assert (await other.ask(control.OpenMedia, ports=((22400, 22401),))).ports == ((22400, 22401),)
            await client.close()
            async with asyncio.timeout(PATIENCE_S):
                while not _free(A, 22000):
                    await other.ask(control.Ping)
            assert not _free(A, 22400)
            with udp() as sock:
                sock.sendto(rtp.probe_packet(probe.serialize(Probe(Kind.ECHO, other.session, 8, 1)), 1, 160, 5), (A, 22400))
                assert (await receive(sock))[1] == Endpoint(A, 22400)

    run(connect, server, work)


def _free(host: str, port: int) -> bool:
    try:
        with udp(host, port):
            return True
    except OSError:
        return False


def test_a_media_port_that_another_program_holds_is_missing_from_the_reply(server: ServerProcess, connect: Any) -> None:
    async def work(client: Client) -> None:
        with udp(A, 23001):
            assert (await client.ask(control.OpenMedia, ports=((23000, 23002),))).ports == ((23000, 23000), (23002, 23002))

    run(connect, server, work)


def test_with_few_descriptors_what_can_be_opened_is_and_the_server_goes_on(start: Callable[..., ServerProcess], connect: Any) -> None:
    resource = pytest.importorskip("resource", reason="limits on open files are POSIX's")
    few = start("--media-ports=24000-26000", preexec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (300, 300)))

    async def work(client: Client) -> None:
        most = client.hello.limits.media_ports
        assert 50 < most < 300
        declined = await client.ask(control.OpenMedia, ports=((24000, 26000),))
        assert (declined.reason, str(most) in declined.message) == ("limit", True)
        opened = await client.ask(control.OpenMedia, ports=((24000, 24000 + most - 1),))
        assert ports.count(opened.ports) == most
        async with connect(few.target) as other:
            more = await other.ask(control.OpenMedia, ports=((25000, 25000 + most - 1),))
            assert more.ports == ()
            assert (await other.ask(control.OpenMedia, ports=((24000, 24009),))).ports == ((24000, 24009),)
        assert "as many as the limit on open files allows" in few.log

    try:
        run(connect, few, work)
    finally:
        assert few.stop() == 0
