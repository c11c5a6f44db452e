"""Whoever may stand where the echo server should: each in a thread of its own, so that a whole command can run against it."""

import asyncio
import contextlib
import datetime
import ssl
import tempfile
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

from aiohttp import WSMsgType, web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edgecheck.wire import control
from tests.waiting import PATIENCE_S

T = TypeVar("T")
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Talk = Callable[[web.WebSocketResponse], Awaitable[None]]


def certificate(name: str, issuer: str | None = None) -> tuple[ssl.SSLContext, bytes]:
    """A server's TLS context with a fresh certificate, and that certificate as DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)

    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    made = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer or name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        plain = serialization.NoEncryption()
        file.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
        file.write(made.public_bytes(serialization.Encoding.PEM))
        file.flush()
        context.load_cert_chain(file.name)
    return context, made.public_bytes(serialization.Encoding.DER)


def answers(response: bytes) -> Handler:
    """Reads a request's head and gives this answer."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await reader.readuntil(b"\r\n\r\n")
        writer.write(response)
        await writer.drain()

    return handle


def http(status: str, *headers: str, body: str = "<html>Welcome to Hotel WiFi</html>") -> bytes:
    """A web server's answer."""
    head = "\r\n".join((f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "Connection: close"))
    return f"{head}\r\n\r\n{body}".encode()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts and says nothing, until the other end goes."""
    while await reader.read(4096):
        pass


async def slams(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accepts and closes."""


def passes_on(host: str, port: int, tls: bool, most: int | None = None) -> Handler:
    """Carries bytes to another server and back; with ``tls`` it opens that server's TLS, trusting anyone.

    ``most``: after so many bytes from the server it cuts the connection.
    """

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        context = None
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        far_reader, far_writer = await asyncio.open_connection(host, port, ssl=context)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, most: int | None) -> None:
            carried = 0
            with contextlib.suppress(ConnectionError):
                while (data := await source.read(65_536)) and (most is None or carried < most):
                    carried += len(data)
                    sink.write(data)
                    await sink.drain()
            with contextlib.suppress(ConnectionError, RuntimeError):
                sink.close()

        await asyncio.gather(pump(reader, far_writer, None), pump(far_reader, writer, most))

    return handle


HELLO = control.Hello(protocol=control.PROTOCOL, version="9.9.9", nonce="ab" * control.NONCE_SIZE)


def service(**changes: Any) -> control.Service:
    """What a server says of itself, with something changed."""
    return control.Service(**({"address": "127.0.0.1", "stun_ports": (9, 9), "sip_port": 9, "alternate_sip_port": 9, "sips_port": 0} | changes))


async def welcomes(ws: web.WebSocketResponse, token: str, seen: str | None = None, **changes: Any) -> control.Welcome:
    """The handshake of a server that knows this token; ``changes`` of the welcome."""
    await ws.send_str(control.serialize(HELLO))
    said = control.parse((await ws.receive()).data)
    assert isinstance(said, control.Authenticate)
    own = seen or said.certificate
    proof = control.proof(token, "server", HELLO.nonce, said.nonce, own)
    fields = {"session": "cd" * control.SESSION_SIZE, "certificate": own, "proof": proof, "intercepted": False, "observed": "127.0.0.1:1"}
    welcome = control.Welcome(**(fields | {"service": service()} | changes))
    await ws.send_str(control.serialize(welcome))
    return welcome


async def until_gone(ws: web.WebSocketResponse) -> None:
    """Read and ignore."""
    while (await ws.receive()).type not in (WSMsgType.CLOSE, WSMsgType.CLOSED, WSMsgType.CLOSING, WSMsgType.ERROR):
        pass


class Peers:
    """An event loop in a thread, and the servers in it; every port is a free one, of 127.0.0.1 if nothing else is said."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.faults: list[BaseException] = []
        self._ends: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Have the thread do it; wait for the answer."""
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self.loop)
        return future.result(PATIENCE_S)

    def tcp(self, handler: Handler, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> int:
        """A TCP or TLS server; its port."""
        tasks: set[asyncio.Task[None]] = set()

        async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await handler(reader, writer)
            except (ConnectionError, ssl.SSLError):
                pass  # the client has gone
            except Exception as error:
                self.faults.append(error)
            finally:
                writer.close()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = self.loop.create_task(guarded(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        async def start() -> asyncio.Server:
            return await asyncio.start_server(accept, host, 0, ssl=tls)

        server = self.do(start())

        async def end() -> None:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self._ends.append(end)
        return int(server.sockets[0].getsockname()[1])

    def channel(self, talk: Talk, tls: ssl.SSLContext | None = None) -> int:
        """A TLS web server whose control channel says what ``talk`` makes it say; its port."""
        context = tls or certificate("peer")[0]

        async def serve(request: web.Request) -> web.WebSocketResponse:
            ws = web.WebSocketResponse(max_msg_size=64 << 20, compress=False)
            await ws.prepare(request)
            try:
                await talk(ws)
            except (ConnectionError, TypeError):
                pass  # the client has gone, in the middle of a sentence
            except Exception as error:
                self.faults.append(error)
            return ws

        async def start() -> tuple[web.AppRunner, int]:
            application = web.Application()
            application.router.add_get(control.PATH, serve)
            runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
            await site.start()
            return runner, int(runner.addresses[0][1])

        runner, port = self.do(start())
        self._ends.append(runner.cleanup)
        return port

    def end(self) -> None:
        """Stop what was started since the last end; raise what went wrong in it."""
        ends, self._ends = self._ends, []
        for one in reversed(ends):
            self.do(one())
        faults, self.faults = self.faults, []
        if faults:
            raise faults[0]

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


@contextlib.contextmanager
def thread() -> Iterator[Peers]:
    """Peers for a whole test session."""
    peers = Peers()
    try:
        yield peers
    finally:
        peers.end()
        peers.stop()
