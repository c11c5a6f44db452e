"""A STUN server that is not ours: no session, and another program's verdict that may be anything."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from edgecheck.model.errors import ControlLost
from edgecheck.net import foreign
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint
from tests.server_process import ServerProcess


def test_the_source_is_what_the_system_would_use() -> None:
    assert foreign.source_for("127.0.0.1") == "127.0.0.1"


def test_there_is_no_session() -> None:
    async def work() -> None:
        network = foreign.stun_only("127.0.0.1", 9, "127.0.0.1")
        with pytest.raises(ControlLost, match="needs an echo server"):
            await network.ask(lambda id: control.Ping(id=id))
        assert await network.account(1) is None
        assert network.alternate is None
        await asyncio.wait_for(network.may_contact_alternate(), 5)

    asyncio.run(work())


@pytest.fixture
def garbage() -> Iterator[Endpoint]:
    """Answers every datagram with one that looks like STUN and breaks off."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                data, source = udp.recvfrom(2048)
                if data == b"stop":
                    return
                udp.sendto(b"\x01\x01\x00\x0c" + data[4:20] + b"\x00\x01\x00\x08\x00", source)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield Endpoint(*udp.getsockname())
        udp.sendto(b"stop", udp.getsockname())
        thread.join()


def test_whatever_pystun3_raises_is_no_verdict(garbage: Endpoint) -> None:
    verdict = asyncio.run(foreign.pystun3_type(garbage.host, garbage.port, "127.0.0.1"))
    assert verdict.startswith("no verdict (")


def test_pystun3_against_our_server(server: ServerProcess) -> None:
    """Its own verdict where nothing stands between."""

    async def work() -> str:
        from edgecheck.net.control.session import ControlSession

        session = await ControlSession.open(server.target, None, None)
        try:
            port = session.welcome.service.stun_ports[0]
            return await foreign.pystun3_type(server.target.host, port, session.local_host)
        finally:
            await session.close()

    assert asyncio.run(work()) == "Open Internet"
