"""Asking services who they are: the plan in memory, and every transport against services of this machine."""

import asyncio
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from echo_server.plans.inquiry import Inquiring
from echo_server.settings.certificate import make_certificate
from edgecheck.wire import control, inquiry, sip
from edgecheck.wire.address import Endpoint
from tests.server.conftest import Connecting, InMemory
from tests.server_process import ServerProcess

HOST = InMemory.PEER.host
A, B = "127.0.0.1", "127.0.0.2"


def plan(server: Any, session: Any, **fields: Any) -> Any:
    asked: dict[str, Any] = {"series": 3, "address": HOST, "ports": ((5060, 5060),), "transport": "udp"}
    return server.ask(session, control.Inquire, **(asked | fields))


def answer(question: bytes, *, status: str = "200 OK", **headers: str) -> bytes:
    """A UAS's response to this request (RFC 3261 section 8.2.6)."""
    asked = sip.parse(question)
    kept = [(name, asked.get(name) or "") for name in ("Via", "From", "To", "Call-ID", "CSeq")]
    return sip.build(f"SIP/2.0 {status}", [*kept, *((name.replace("_", "-"), value) for name, value in headers.items())])


# --- The plan ----------------------------------------------------------------------------------------------------------------


def test_the_question_is_an_options_that_any_service_understands(memory: Any) -> None:
    server = memory()
    session = server.session()
    effect = plan(server, session)
    assert isinstance(effect, Inquiring)
    asked = sip.parse(effect.question(5060, 40_000))
    assert (asked.method, asked.uri, asked.get("Max-Forwards")) == ("OPTIONS", f"sip:{HOST}:5060", "70")
    via = sip.via_parts(asked.get("Via") or "")
    assert (via.host, via.port, "rport" in via.parameters) == (InMemory.ALTERNATE, 40_000, True)
    assert via.parameters["branch"].startswith("z9hG4bK")
    marker = control.sip_marker(session.name, 3, 5060)
    assert all(marker in (asked.get(name) or "") for name in ("Via", "From", "Call-ID"))
    assert asked.get("CSeq") == "1 OPTIONS"
    assert asked.body == b""


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"address": "203.0.113.99"}, "unproved-address"),
        ({"attempts": 9}, "limit"),
        ({"attempts": 0}, "limit"),
        ({"spacing_ms": 1}, "limit"),
        ({"patience_ms": 60_000}, "limit"),
        ({"ports": ()}, "malformed"),
        ({"ports": ((1, 200),)}, "limit"),
        ({"speak": "nothing"}, "malformed"),
        ({"speak": "datagram", "transport": "tcp"}, "malformed"),
    ],
)
def test_what_is_not_asked(memory: Any, fields: dict[str, Any], reason: str) -> None:
    server = memory()
    declined = plan(server, server.session(), **fields)
    assert (type(declined), declined.reason) == (control.Declined, reason)


def test_no_sender_b_without_a_second_address(memory: Any) -> None:
    server = memory(alternate=False)
    assert plan(server, server.session()).reason == "unavailable"
    assert isinstance(plan(server, server.session(), sender="A"), Inquiring)


def test_a_session_may_ask_so_many_services_and_no_more(memory: Any) -> None:
    server = memory()
    session = server.session()
    most = session.limits.inquiries
    assert isinstance(plan(server, session, ports=((1, most - 1),)), Inquiring)
    assert isinstance(plan(server, session), Inquiring)
    assert plan(server, session).reason == "limit"
    assert isinstance(plan(server, server.session()), Inquiring)


def test_only_an_answer_to_this_question_counts(memory: Any) -> None:
    server = memory()
    effect = plan(server, server.session())
    source = Endpoint(HOST, 5060)
    question = effect.question(5060, 40_000)
    effect.left(5060, 40_000)
    stranger = plan(server, server.session(), series=4).question(5060, 40_000)
    assert not effect.heard(5060, answer(stranger, Server="another session's"), source, 1.0)
    assert not effect.heard(5060, answer(question, status="100 Trying"), source, 2.0)
    assert not effect.heard(5060, question, source, 3.0)
    assert not effect.heard(5060, b"\x00\xffgarbage", Endpoint("203.0.113.200", 9), 4.0)
    assert effect.heard(5060, answer(question, status="404 Not Found", User_Agent="a\x01PBX\u00e9" + "x" * 500), source, 5.0)
    (row,) = effect.finish().rows
    assert (row.outcome, row.status, row.elapsed_ms, row.answered_from) == ("answered", 404, 5.0, str(source))
    assert row.software.startswith("a.PBX..x")
    assert len(row.software) == inquiry.TOLD
    assert row.sources == (f"{InMemory.ALTERNATE}:40000",)


def test_the_best_that_happened_is_told(memory: Any) -> None:
    server = memory()
    effect = plan(server, server.session(), transport="tcp", ports=((5060, 5061),))
    for port in (40_000, 40_001):
        effect.left(5060, port)
    effect.ended(5060, "refused", 1.0, "words")
    effect.connected(5060, 40_001, 2.0)
    first, second = effect.finish().rows
    assert (first.outcome, first.attempts, first.sources[0]) == ("connected", 2, f"{InMemory.ALTERNATE}:40001")
    assert (second.outcome, second.attempts) == ("unsent", 0)


# --- Real services -----------------------------------------------------------------------------------------------------------


class Registrar(asyncio.DatagramProtocol):
    """Answers the second copy of every request."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, bytes]] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, source: Any) -> None:
        self.heard.append((source[0], data))
        if len(self.heard) == 2:
            self.transport.sendto(answer(data, status="401 Unauthorized", Server="a registrar"), source)


async def serving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(answer(await reader.readuntil(b"\r\n\r\n"), Server="a stream's PBX"))
    await writer.drain()
    await reader.read()
    writer.close()


async def greeting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 hello\r\n" + bytes(50_000))
    await reader.read()
    writer.close()


def tls(directory: Path) -> tuple[ssl.SSLContext, bytes]:
    certificate, key = make_certificate((A,), datetime.now(UTC))
    (directory / "c.pem").write_bytes(certificate)
    (directory / "k.pem").write_bytes(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "c.pem", directory / "k.pem")
    return context, ssl.PEM_cert_to_DER_cert(certificate.decode())


def test_services_are_asked_on_every_transport(server: ServerProcess, connect: type[Connecting], tmp_path: Path) -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        transport, registrar = await loop.create_datagram_endpoint(Registrar, local_addr=(A, 0))
        context, der = tls(tmp_path)
        with socket.socket() as closed, socket.socket(type=socket.SOCK_DGRAM) as mute:
            closed.bind((A, 0))
            mute.bind((A, 0))
            async with (
                connect(server.target) as client,
                await asyncio.start_server(serving, A, 0) as plain,
                await asyncio.start_server(serving, A, 0, ssl=context) as encrypted,
                await asyncio.start_server(greeting, A, 0) as banner,
            ):
                port = [one.sockets[0].getsockname()[1] for one in (plain, encrypted, banner)]
                udp_port = transport.get_extra_info("sockname")[1]

                async def ask(number: int, how: str, **more: Any) -> control.InquiryRow:
                    asked = {"series": 9, "address": A, "ports": ((number, number),), "transport": how, "spacing_ms": 30, "patience_ms": 400}
                    reply = await client.ask(control.Inquire, **(asked | more))
                    assert isinstance(reply, control.Inquired), reply
                    (row,) = reply.rows
                    return row

                row = await ask(udp_port, "udp")
                assert (row.outcome, row.status, row.software, row.attempts) == ("answered", 401, "a registrar", 2)
                assert row.answered_from == f"{A}:{udp_port}"
                assert {source for source, _ in registrar.heard} == {B}
                assert len({data for _, data in registrar.heard}) == 1, "copies of one transaction"
                assert control.sip_marker(client.session, 9, udp_port).encode() in registrar.heard[0][1]
                await ask(udp_port, "udp", speak="datagram", attempts=1, sender="A")
                assert registrar.heard[-1] == (A, control.sip_marker(client.session, 9, udp_port).encode())

                row = await ask(port[0], "tcp")
                assert (row.outcome, row.status, row.software, row.certificate) == ("answered", 200, "a stream's PBX", None)
                row = await ask(port[1], "tls")
                assert (row.outcome, row.software) == ("answered", "a stream's PBX")
                assert row.certificate is not None
                assert row.certificate.sha256 == control.fingerprint(der)
                assert row.certificate.subject.startswith("CN=")
                row = await ask(port[2], "tcp", speak="nothing")
                assert (row.outcome, row.status, row.said) == ("connected", None, ("220 hello.." + "." * 200)[: inquiry.TOLD])
                row = await ask(port[0], "tls", attempts=1)
                assert (row.outcome, row.certificate) == ("connected", None)
                row = await ask(closed.getsockname()[1], "tcp", attempts=2)
                assert (row.outcome, row.attempts) == ("refused", 2)
                row = await ask(mute.getsockname()[1], "udp", attempts=2, patience_ms=50)
                assert (row.outcome, row.attempts) == ("silent", 2)
                mute.close()
                row = await ask(closed.getsockname()[1], "udp", attempts=2)
                assert (row.outcome, row.detail.partition(" from")[0]) == ("unreachable", "ICMP 3/3")
        transport.close()

    asyncio.run(work())
