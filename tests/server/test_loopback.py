"""The real process through real sockets: every answer from the right socket, every account right."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from edgecheck.wire import control, ports, probe, rtp, sip, stun
from edgecheck.wire.address import Endpoint
from edgecheck.wire.probe import Kind, Probe
from tests.server.conftest import Client, ServerProcess
from tests.server.test_sip_mirror import SDP, request

A, B = "127.0.0.1", "127.0.0.2"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the error queue for ICMP is Linux's")


@contextlib.contextmanager
def udp(host: str = "127.0.0.1", port: int = 0) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.setblocking(False)
        made.bind((host, port))
        yield made


async def receive(sock: socket.socket) -> tuple[bytes, Endpoint]:
    """The next datagram; a second of silence is a failure."""
    async with asyncio.timeout(5):
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


def test_stun_answers_come_from_the_socket_asked_for(server: ServerProcess, connect: Any) -> None:
    async def work(client: Client) -> None:
        places = roles(client.service)
        with udp() as sock:
            here = Endpoint(*sock.getsockname())
            for item, (listener, address, port, sender) in enumerate(
                [("A1", 0, 0, "A1"), ("A1", 0, 1, "A2"), ("A1", 1, 0, "B1"), ("A1", 1, 1, "B2"), ("B2", 1, 1, "A1"), ("A2", 0, 0, "A2")]
            ):
                change = (stun.change_request(bool(address), bool(port)),) if address or port else ()
                sock.sendto(stun.binding_request(control.stun_transaction_id(client.session, 1, item), *change), places[listener])
                data, source = await receive(sock)
                message = stun.parse(data)
                assert source == message.response_origin == places[sender]
                assert message.mapped == here
            accounted = await client.ask(control.Account, series=1)
        assert [(row.item, row.listener, row.answered) for row in accounted.received] == [
            (0, "A1", 1),
            (1, "A1", 1),
            (2, "A1", 1),
            (3, "A1", 1),
            (4, "B2", 1),
            (5, "A2", 1),
        ]

    run(connect, server, work)


def test_a_plain_request_of_nobody_is_answered_every_time(server: ServerProcess, connect: Any) -> None:
    async def work(client: Client) -> None:
        with udp() as sock:
            for number in range(300):
                sock.sendto(stun.binding_request(number.to_bytes(12, "big")), roles(client.service)["A1"])
                message = stun.parse((await receive(sock))[0])
                assert message.transaction_id == number.to_bytes(12, "big")
                assert message.mapped == Endpoint(*sock.getsockname())

    run(connect, server, work)


def test_probes_come_from_every_sender_with_their_nonce(server: ServerProcess, connect: Any) -> None:
    async def work(client: Client) -> None:
        places = roles(client.service)
        with udp() as sock:
            port = sock.getsockname()[1]
            asked: dict[str, Any] = {"address": A, "ports": ((port, port),), "senders": tuple(places), "copies": 2, "spacing_ms": 10}
            probed = await client.ask(control.Probe, series=2, **asked)
            assert (probed.sent, probed.failed) == (12, 0)
            arrived = [await receive(sock) for _ in range(12)]
            for data, source in arrived:
                seen = probe.parse(data)
                assert (seen.kind, seen.session, seen.series, seen.item, seen.port) == (Kind.PROBE, client.session, 2, port, source.port)
            assert sorted((source, probe.parse(data).copy) for data, source in arrived) == sorted(
                (place, copy) for place in places.values() for copy in (0, 1)
            )
            await client.ask(control.Probe, series=3, dress="rtp", **asked)
            data, _ = await receive(sock)
            assert (len(data), rtp.parse(data).payload_type) == (172, rtp.PCMU)
            accounted = await client.ask(control.Account, series=2)
            assert {(row.sender, row.ports, row.copies) for row in accounted.sent} == {(role, ((port, port),), 2) for role in places}

    run(connect, server, work)


def test_a_burst_reaches_every_port(server: ServerProcess, connect: Any) -> None:
    async def work(client: Client) -> None:
        with contextlib.ExitStack() as opened:
            socks = {made.getsockname()[1]: made for made in (opened.enter_context(udp()) for _ in range(600))}
            probed = await client.ask(control.Probe, series=4, address=A, ports=ports.compress(socks), senders=("BX",), shuffle=9)
            assert probed.sent == 600
            for port, sock in socks.items():
                assert probe.parse((await receive(sock))[0]).item == port

    run(connect, server, work)


@LINUX
def test_a_pending_icmp_error_costs_no_probe_and_is_told(server: ServerProcess, connect: Any) -> None:
    async def work(client: Client) -> None:
        with contextlib.ExitStack() as opened:
            socks = [opened.enter_context(udp()) for _ in range(100)]
            open_ports = {made.getsockname()[1]: made for made in socks[::2]}
            closed = [made.getsockname()[1] for made in socks[1::2]]
            for made in socks[1::2]:
                made.close()
            both = ports.compress([*open_ports, *closed])
            probed = await client.ask(control.Probe, series=5, address=A, ports=both, senders=("BX",))
            assert (probed.sent, probed.failed) == (100, 0)
            for port, sock in open_ports.items():
                assert probe.parse((await receive(sock))[0]).item == port
            accounted = await client.ask(control.Account, series=5)
        assert accounted.errors, "Linux limits how many it tells, yet always tells some"
        assert {row.port for row in accounted.errors} <= set(closed)
        assert {(row.sender, row.icmp_type, row.icmp_code, row.offender) for row in accounted.errors} == {("BX", 3, 3, A)}
        assert all(row.ttl is not None and row.ttl > 32 for row in accounted.errors)

    run(connect, server, work)


def test_an_unproved_address_is_not_probed(server: ServerProcess, connect: Any) -> None:
    async def work(client: Client) -> None:
        with udp("127.0.0.9") as sock:
            port = sock.getsockname()[1]
            asked: dict[str, Any] = {"series": 6, "address": "127.0.0.9", "ports": ((port, port),)}
            for kind, more in ((control.Probe, {"senders": ("A1",)}), (control.Dial, {})):
                declined = await client.ask(kind, **asked, **more)
                assert (type(declined), declined.reason) == (control.Declined, "unproved-address")
            sock.sendto(probe.serialize(Probe(Kind.CLAIM, client.session, 6, 1)), roles(client.service)["A1"])
            claimed = probe.parse((await receive(sock))[0])
            proved = await client.ask(control.Prove, cookie=claimed.cookie.hex(), address="127.0.0.9")
            assert proved.addresses == (A, "127.0.0.9")
            assert (await client.ask(control.Probe, senders=("BX",), **asked)).sent == 1
            assert probe.parse((await receive(sock))[0]).kind is Kind.PROBE

    run(connect, server, work)


# --- Dialing ------------------------------------------------------------------------------------------------------------


async def echoing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    asked = probe.parse(await reader.readexactly(probe.SIZE))
    writer.write(probe.serialize(asked._replace(kind=Kind.ECHO)))
    await writer.drain()
    await reader.read()
    writer.close()


async def bragging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-Stranger\r\n\x00")
    await writer.drain()
    writer.close()


def test_dialing_tells_what_became_of_every_port(server: ServerProcess, connect: Any) -> None:
    async def work(client: Client) -> None:
        sources: list[str] = []

        async def noting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            sources.append(writer.get_extra_info("peername")[0])
            await echoing(reader, writer)

        async with await asyncio.start_server(noting, A, 0) as ours, await asyncio.start_server(bragging, A, 0) as strangers:
            with socket.socket() as bound:
                bound.bind((A, 0))
                numbers = [one.sockets[0].getsockname()[1] for one in (ours, strangers)] + [bound.getsockname()[1]]
                asked = tuple((number, number) for number in numbers)
                for sender, source in (("B", B), ("A", A)):
                    dialed = await client.ask(control.Dial, series=7, address=A, ports=asked, sender=sender, spacing_ms=20, patience_ms=300)
                    assert [(row.port, row.outcome) for row in dialed.rows] == list(
                        zip(numbers, ("proved", "connected", "refused"), strict=True)
                    )
                    assert dialed.rows[1].detail == "SSH-2.0-Stranger..."
                    assert sources[-1] == source
                accounted = await client.ask(control.Account, series=7)
                assert {row.sender for row in accounted.sent} == {"A/tcp", "B/tcp"}

    run(connect, server, work)


# --- Media --------------------------------------------------------------------------------------------------------------


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
            async with asyncio.timeout(5):
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


# --- SIP ----------------------------------------------------------------------------------------------------------------


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
            async with asyncio.timeout(5):
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
        async with asyncio.timeout(5):
            answer = await reader.readexactly(size)
        assert probe.parse(answer) == echo._replace(kind=Kind.ECHOED)
        writer.write(stun.binding_request(bytes(12)) if kind == "stun" else request("OPTIONS"))
        async with asyncio.timeout(5):
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
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
        async with asyncio.timeout(5):
            while not (records := (await client.ask(control.Mirror)).records):
                pass
        assert [record.data for record in records] == [part]

    run(connect, server, work)


# --- The control channel ------------------------------------------------------------------------------------------------


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
                async with asyncio.timeout(5):
                    await client._reader
                assert client.ws.closed
        else:
            async with (
                aiohttp.ClientSession() as http,
                http.ws_connect(f"https://{server.target.authority}{control.PATH}", ssl=False) as ws,
            ):
                await ws.receive()
                await (ws.send_str(frame) if isinstance(frame, str) else ws.send_bytes(frame))
                async with asyncio.timeout(5):
                    said = [message.data async for message in ws]
                if isinstance(frame, str):
                    (refused,) = said
                    assert control.parse(refused) == control.Refused(
                        reason="malformed", message="The first message must be the proof of the token."
                    )
        assert (await bystander.ask(control.Ping)).at_ms >= 0

    run(connect, server, work)
    assert "fault" not in server.log
