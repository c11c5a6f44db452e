"""The phone on real sockets of this machine: each transport against a server that is not ours."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from edgecheck.checks import transport
from edgecheck.checks.transport.observation import TransportObservation
from edgecheck.doctor import PROFILE
from edgecheck.model.account import SipTransport, parse_account
from edgecheck.model.phone import Packet, Target
from edgecheck.net.phone import phone
from edgecheck.wire.address import Endpoint
from tests.fakes import certificates
from tests.fakes.certificates import Identity, issue
from tests.fakes.sip_peers import response

SECRET = "hunter2-of-the-phone"


class Udp(asyncio.DatagramProtocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, source: tuple[str, int]) -> None:
        if data.strip():
            self.transport.sendto(response(data, Endpoint(*source)), source)


@asynccontextmanager
async def udp_server() -> AsyncIterator[int]:
    made, _ = await asyncio.get_running_loop().create_datagram_endpoint(Udp, ("127.0.0.1", 0))
    try:
        yield made.get_extra_info("sockname")[1]
    finally:
        made.close()


@asynccontextmanager
async def stream_server(settings: ssl.SSLContext | None) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                writer.write(response(request, Endpoint(*writer.get_extra_info("peername")[:2])))
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError, ValueError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=settings)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@asynccontextmanager
async def web_server(settings: ssl.SSLContext, path: str) -> AsyncIterator[int]:
    async def serve(request: web.Request) -> web.WebSocketResponse:
        one = web.WebSocketResponse(protocols=("sip",))
        await one.prepare(request)
        async for message in one:
            if message.type is WSMsgType.TEXT:
                await one.send_str(response(message.data.encode(), Endpoint("127.0.0.1", 9)).decode())
        return one

    app = web.Application()
    app.router.add_get(path, serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=settings)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def closed_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def look(folder: Path) -> tuple[TransportObservation, list[Packet], dict[str, str]]:
    identity: Identity = issue("pbx.example.com", names=("pbx.example.com",))
    ca = folder / "ca.pem"
    ca.write_bytes(identity.pem)

    async def go() -> tuple[TransportObservation, list[Packet], dict[str, str]]:
        async with AsyncExitStack() as stack:
            made = certificates.settings(folder, identity)
            ports: list[tuple[SipTransport, int]] = [
                ("udp", await stack.enter_async_context(udp_server())),
                ("tcp", await stack.enter_async_context(stream_server(None))),
                ("tls", await stack.enter_async_context(stream_server(made))),
                ("wss", await stack.enter_async_context(web_server(made, "/ws"))),
                ("udp", closed_port()),
                ("tcp", closed_port()),
            ]
            account = parse_account("sip:alice@pbx.example.com", ca=str(ca))
            one = phone.real(account, SECRET, source=None, family=None, progress=lambda done, total, note: None)
            one.targets = [Target(transport=way, host="pbx.example.com", address="127.0.0.1", port=port) for way, port in ports]
            seen = await transport.probe(one, PROFILE)
            await asyncio.sleep(0)  # the servers see that we hung up
            tls = await one.handshake(Endpoint("127.0.0.1", ports[2][1]), "pbx.example.com")
            facts = {"trusted": str(tls.trusted), "chain": str(len(tls.chain)), "asked": str(tls.client_certificate_requested)}
            assert SECRET not in repr(one)
            return seen, one.traffic, facts

    return asyncio.run(go())


def test_each_transport_on_real_sockets(tmp_path: Path) -> None:
    seen, traffic, tls = look(tmp_path)
    assert [each.state for each in seen.attempts] == ["answered"] * 4 + ["refused"] * 2
    assert [each.answers for each in seen.attempts[:3]] == [5, 5, 5]
    assert seen.attempts[3].status == 200
    assert tls == {"trusted": "True", "chain": "1", "asked": "False"}
    assert seen.public_address is not None
    assert seen.public_address.startswith("127.0.0.1:")
    assert [packet.at for packet in traffic] == sorted(packet.at for packet in traffic)
    assert {(packet.protocol, packet.encrypted, packet.direction) for packet in traffic} == {
        (protocol, encrypted, direction)
        for protocol, encrypted in (("udp", False), ("tcp", False), ("tcp", True))
        for direction in ("in", "out")
    }
    assert all(packet.data.startswith((b"OPTIONS", b"SIP/2.0", b"\r\n")) for packet in traffic)
