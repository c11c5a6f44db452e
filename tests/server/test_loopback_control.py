"""The control channel of the real process: many requests and sessions at once, broken frames, noise on every port."""

import asyncio
from typing import Any

import pytest

from edgecheck.wire import control, ports, probe, sip, stun
from edgecheck.wire.address import Endpoint
from edgecheck.wire.probe import Kind, Probe
from tests.server.conftest import Client
from tests.server.loopback import A, receive, roles, run, udp
from tests.server.sip_phone import SDP, request
from tests.server_process import ServerProcess
from tests.waiting import PATIENCE_S


def test_requests_are_worked_on_side_by_side(server: ServerProcess, connect: Any) -> None:
    async def work(client: Client) -> None:
        slow = asyncio.create_task(client.ask(control.Probe, series=12, address=A, ports=((40000, 40199),), senders=("A1",), pace=200))
        await client.ask(control.Ping)
        media = await client.ask(control.OpenMedia, ports=((25000, 26000),))
        assert ports.count(media.ports) == 1001
        assert not slow.done()
        assert (await slow).sent == 200

    run(connect, server, work)


def test_too_many_requests_at_a_time_are_declined_and_the_session_goes_on(server: ServerProcess, connect: Any) -> None:
    async def work(client: Client) -> None:
        slow: dict[str, Any] = {"address": A, "ports": ((40000, 40009),), "senders": ("A1",), "pace": 20}
        replies = await asyncio.gather(*(client.ask(control.Probe, series=series, **slow) for series in range(40)))
        kinds = [type(reply) for reply in replies]
        assert kinds.count(control.Probed) == 32
        assert {reply.reason for reply in replies if isinstance(reply, control.Declined)} == {"limit"}
        assert (await client.ask(control.Ping)).id > 0

    run(connect, server, work)


def test_many_sessions_at_once(server: ServerProcess, connect: Any) -> None:
    async def one(number: int) -> None:
        async with connect(server.target) as client:
            with udp() as sock:
                port = sock.getsockname()[1]
                sock.sendto(stun.binding_request(control.stun_transaction_id(client.session, 1, number)), roles(client.service)["A1"])
                await receive(sock)
                await client.ask(control.Probe, series=2, address=A, ports=((port, port),), senders=("B2",))
                data, _ = await receive(sock)
                assert probe.parse(data).session == client.session
                (row,) = (await client.ask(control.Account, series=1)).received
                assert (row.item, row.copies) == (number, 1)

    async def work() -> None:
        await asyncio.gather(*(one(number) for number in range(40)))

    asyncio.run(work())


# --- Hostile ------------------------------------------------------------------------------------------------------------


def test_noise_on_every_port_and_everything_still_works(server: ServerProcess, connect: Any) -> None:
    import random

    generator = random.Random(11)
    invite = request("INVITE", body=SDP)

    def noise() -> bytes:
        kind = generator.randrange(4)
        if kind == 0:
            return generator.randbytes(generator.randrange(1500))
        if kind == 1:
            return stun.binding_request(generator.randbytes(12), stun.change_request(True, True))[: generator.randrange(28)]
        if kind == 2:
            return probe.serialize(Probe(Kind.ECHO, generator.randbytes(8), 1, 1), generator.randrange(28, 900))
        at = generator.randrange(len(invite))
        return invite[:at] + generator.randbytes(3) + invite[at + generator.randrange(5) :]

    async def work(client: Client) -> None:
        service = client.service
        await client.ask(control.OpenMedia, ports=((27000, 27001),))
        udp_ports = [(place.host, place.port) for place in roles(service).values()]
        udp_ports += [(A, service.sip_port), (A, service.alternate_sip_port), (A, 27000)]
        tcp_ports = [*service.stun_ports, service.sip_port, service.alternate_sip_port, service.sips_port, server.target.port]
        with udp("127.0.0.66") as sock:
            for _ in range(1500):
                sock.sendto(noise(), generator.choice(udp_ports))
            sock.sendto(b"", udp_ports[0])
            sock.sendto(bytes(65000), udp_ports[0])
        writers = []
        for port in tcp_ports:
            for _ in range(6):
                _, writer = await asyncio.open_connection(A, port)
                for _ in range(3):
                    writer.write(noise())
                writers.append(writer)  # left half-open
        with udp() as sock:
            sock.sendto(stun.binding_request(control.stun_transaction_id(client.session, 13, 1)), roles(service)["A1"])
            assert stun.parse((await receive(sock))[0]).mapped == Endpoint(*sock.getsockname())
            sock.sendto(request("OPTIONS"), (A, service.sip_port))
            assert sip.parse((await receive(sock))[0]).status == 200
        async with connect(server.target) as other:
            assert (await other.ask(control.Ping)).at_ms >= 0
        for writer in writers:
            writer.transport.abort()

    run(connect, server, work)
    assert "fault" not in server.log


@pytest.mark.parametrize(
    "frame",
    ["", "{}", "[]", "null", "x" * 100_000, '{"type":"probe"}', '{"type":"ping","id":1e999}', "[" * 50_000, b"\x00\xff" * 100, b""],
)
@pytest.mark.parametrize("when", ["before the proof", "after it"])
def test_a_broken_frame_ends_that_session_alone(server: ServerProcess, connect: Any, frame: str | bytes, when: str) -> None:
    async def work(bystander: Client) -> None:
        import aiohttp

        if when == "after it":
            async with connect(server.target) as client:
                send = client.ws.send_str if isinstance(frame, str) else client.ws.send_bytes
                await send(frame)
                async with asyncio.timeout(PATIENCE_S):
                    await client._reader
                assert client.ws.closed
        else:
            async with (
                aiohttp.ClientSession() as http,
                http.ws_connect(f"https://{server.target.authority}{control.PATH}", ssl=False) as ws,
            ):
                await ws.receive()
                await (ws.send_str(frame) if isinstance(frame, str) else ws.send_bytes(frame))
                async with asyncio.timeout(PATIENCE_S):
                    said = [message.data async for message in ws]
                if isinstance(frame, str):
                    (refused,) = said
                    assert control.parse(refused) == control.Refused(
                        reason="malformed", message="The first message must be the proof of the token."
                    )
        assert (await bystander.ask(control.Ping)).at_ms >= 0

    run(connect, server, work)
    assert "fault" not in server.log
