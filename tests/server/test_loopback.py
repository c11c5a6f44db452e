"""The real process through real sockets: every answer from the right socket, every account right."""

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any

from edgecheck.wire import control, ports, probe, rtp, stun
from edgecheck.wire.address import Endpoint
from edgecheck.wire.probe import Kind, Probe
from tests.server.conftest import Client
from tests.server.loopback import LINUX, A, B, receive, roles, run, udp
from tests.server_process import ServerProcess


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


@LINUX
def test_dialing_tells_how_far_off_a_reset_was_made(server: ServerProcess, connect: Any) -> None:
    """Nothing stands between: it arrives with the TTL that this system begins with."""
    usual = int(Path("/proc/sys/net/ipv4/ip_default_ttl").read_text())

    async def work(client: Client) -> None:
        with socket.socket() as bound:
            bound.bind((A, 0))
            port = bound.getsockname()[1]
            for least, outcome in ((usual, "refused"), (usual + 1, "silent")):
                dialed = await client.ask(control.Dial, series=8, address=A, ports=((port, port),), attempts=2, patience_ms=200, least_ttl=least)
                assert [row.outcome for row in dialed.rows] == [outcome]

    run(connect, server, work)


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
                    assert dialed.rows[1].detail == "SSH-2.0-Stranger"
                    assert sources[-1] == source
                accounted = await client.ask(control.Account, series=7)
                assert {row.sender for row in accounted.sent} == {"A/tcp", "B/tcp"}

    run(connect, server, work)
