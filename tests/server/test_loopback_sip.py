"""The SIP mirror of the real process, over UDP, TCP and TLS: what came is in its account, byte by byte."""

import asyncio
from typing import Any

import pytest

from edgecheck.wire import control, probe, stun
from edgecheck.wire.probe import Kind, Probe
from tests.server.conftest import Client
from tests.server.loopback import A, receive, run, udp
from tests.server.sip_phone import SDP, request
from tests.server_process import ServerProcess
from tests.waiting import PATIENCE_S


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_a_call_leaves_its_exact_bytes_in_the_mirror(server: ServerProcess, connect: Any, transport: str) -> None:
    async def work(client: Client) -> None:
        service = client.service
        marker = control.sip_marker(client.session, 9, 1)
        invite = request("INVITE", marker, body=SDP)
        if transport == "udp":
            with udp() as sock:
                sock.sendto(invite, (A, service.alternate_sip_port))
                heard = b"".join([(await receive(sock))[0] for _ in range(3)])
            port = service.alternate_sip_port
        else:
            port = service.sip_port if transport == "tcp" else service.sips_port
            context = None if transport == "tcp" else _blind_context()
            reader, writer = await asyncio.open_connection(A, port, ssl=context)
            writer.write(invite)
            async with asyncio.timeout(PATIENCE_S):
                heard = await reader.readuntil(b"SIP/2.0 200 OK")
                heard += await reader.readuntil(b"a=sendrecv\r\n")
            writer.close()
        records = (await client.ask(control.Mirror)).records
        assert {(record.transport, record.server_port) for record in records} == {(transport, port)}
        assert [record.data for record in records if record.direction == "received"] == [invite]
        assert b"".join(record.data for record in records if record.direction == "sent") == heard
        (row,) = (await client.ask(control.Account, series=9)).received
        assert row.listener == f"sip:{port}" + ("" if transport == "udp" else "/tcp")

    run(connect, server, work)


def _blind_context() -> Any:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@pytest.mark.parametrize(("kind", "size"), [("stun", 28), ("sip", 28), ("sip", 1200), ("sip", 8000)])
def test_a_control_datagram_comes_back_over_tcp_too(server: ServerProcess, connect: Any, kind: str, size: int) -> None:
    async def work(client: Client) -> None:
        port = client.service.stun_ports[1] if kind == "stun" else client.service.sip_port
        echo = Probe(Kind.ECHO, client.session, 10, 4)
        reader, writer = await asyncio.open_connection(A, port)
        writer.write(probe.serialize(echo, size))
        async with asyncio.timeout(PATIENCE_S):
            answer = await reader.readexactly(size)
        assert probe.parse(answer) == echo._replace(kind=Kind.ECHOED)
        writer.write(stun.binding_request(bytes(12)) if kind == "stun" else request("OPTIONS"))
        async with asyncio.timeout(PATIENCE_S):
            after = await reader.readexactly(20)
        assert after[:2] == (b"\x01\x01" if kind == "stun" else b"SI")
        writer.close()

    run(connect, server, work)


def test_a_sip_stream_that_ends_in_mid_message_is_in_the_mirror(server: ServerProcess, connect: Any) -> None:
    async def work(client: Client) -> None:
        part = request("INVITE", control.sip_marker(client.session, 11, 1), body=SDP)[:-4]
        reader, writer = await asyncio.open_connection(A, client.service.sip_port)
        writer.write(part)
        writer.write_eof()
        async with asyncio.timeout(PATIENCE_S):
            assert await reader.read() == b""
        writer.close()
        async with asyncio.timeout(PATIENCE_S):
            while not (records := (await client.ask(control.Mirror)).records):
                pass
        assert [record.data for record in records] == [part]

    run(connect, server, work)
