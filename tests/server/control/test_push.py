"""What the server sends on connections that lie idle: only on the session's own, and only so often."""

import asyncio
import socket
import struct

import pytest

from echo_server.control.requests import MOST_PUSHES
from edgecheck.wire import control, probe, stun
from edgecheck.wire.address import Endpoint
from tests.server.conftest import Connecting, InMemory
from tests.server_process import ServerProcess
from tests.waiting import PATIENCE_S, until


def named(session: bytes, series: int, item: int) -> bytes:
    return stun.binding_request(control.stun_transaction_id(session, series, item))


def test_a_named_connection_is_sent_to_and_its_end_is_told(server: ServerProcess) -> None:
    async def work() -> None:
        async with Connecting(server.target) as client:

            async def states(*items: int) -> list[str]:
                reply = await client.ask(control.Push, series=3, items=items)
                return [row.state for row in reply.rows]

            port = client.service.stun_ports[0]
            streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
            for item, (reader, writer) in enumerate(streams):
                writer.write(named(client.session, 3, item))
                await reader.readexactly(20)
            assert await states(0, 1, 2, 9) == ["sent", "sent", "sent", "unknown"]
            for item, (reader, _) in enumerate(streams):
                wanted = probe.serialize(probe.Probe(probe.Kind.PROBE, client.session, 3, item))
                async with asyncio.timeout(PATIENCE_S):
                    while wanted not in (heard := await reader.read(1000)):
                        assert heard
            ended, reset = streams[0][1], streams[1][1]
            ended.write_eof()  # not closed: what is sent to it meanwhile must not make a reset of it
            reset.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            reset.transport.abort()

            async def gone() -> list[str] | None:
                told = await states(0, 1)
                return None if "sent" in told else told

            assert await until(gone, "the end of both connections") == ["ended", "reset"]
            streams[2][1].close()

    asyncio.run(work())


def test_nobody_sends_on_anothers_connection(memory: type[InMemory]) -> None:
    server = memory()
    mine, other = server.session(), server.session(Endpoint("203.0.113.8", 50000))
    written: list[bytes] = []
    talk = server.core.open_stream("A1", "tcp", Endpoint("203.0.113.7", 40000), 1.0)
    talk.write = written.append
    talk.feed(named(mine.name, 3, 1), 1.0)
    assert [row.state for row in server.ask(other, control.Push, series=3, items=(1,)).rows] == ["unknown"]
    assert written == []
    assert [row.state for row in server.ask(mine, control.Push, series=3, items=(1,)).rows] == ["sent"]
    assert probe.parse(written[0]) == probe.Probe(probe.Kind.PROBE, mine.name, 3, 1)


def test_pushes_are_bounded(memory: type[InMemory]) -> None:
    server = memory()
    session = server.session()
    for item in range(session.bounds.streams_per_source + 10):
        server.core.open_stream("A1", "tcp", Endpoint("203.0.113.7", 40000), 1.0).feed(named(session.name, 3, item), 1.0)
    assert len(session.streams) == session.bounds.streams_per_source
    talk = session.streams[3, 0]
    talk.write = lambda data: None
    for _ in range(MOST_PUSHES):
        assert isinstance(server.ask(session, control.Push, series=3, items=(0,)), control.Pushed)
    assert server.ask(session, control.Push, series=3, items=(0,)).reason == "limit"
    server.core.end_session(session)
    assert session.streams == {}


def test_what_is_to_expire_is_told_of_only_when_the_system_was(memory: type[InMemory]) -> None:
    server = memory()
    session = server.session()
    written: list[bytes] = []
    expiring: list[int] = []
    talk = server.core.open_stream("A1", "tcp", Endpoint("203.0.113.7", 40000), 1.0)
    talk.write, talk.write_expiring = written.append, lambda data, hops: expiring.append(hops)
    talk.feed(named(session.name, 3, 0), 1.0)
    assert [row.state for row in server.ask(session, control.Push, series=3, items=(0,), hops=2).rows] == ["sent"]
    assert (expiring, written) == ([2], [])
    talk.expired = True
    assert [row.state for row in server.ask(session, control.Push, series=3, items=(0,)).rows] == ["expired"]
    assert (expiring, len(written)) == ([2], 1)


@pytest.mark.parametrize("fields", [{"series": 1, "items": (1,), "hops": 256}, {"series": 70_000, "items": (1,)}, {"series": 1, "items": ()}, {"series": 1, "items": (-1,)}, {"series": 1, "items": tuple(range(300))}])
def test_what_makes_no_sense_is_declined(memory: type[InMemory], fields: dict[str, object]) -> None:
    server = memory()
    assert isinstance(server.ask(server.session(), control.Push, **fields), control.Declined)
