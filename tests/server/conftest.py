"""The server on loopback addresses, and the simplest control client that can talk to it."""

import asyncio
import hashlib
import random
import re
import secrets
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import pytest

from echo_server.control.effects import Reply
from echo_server.core import EchoServer
from echo_server.sessions.session import Session
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint, Target
from tests.server_process import ANY_PORTS, ServerProcess
from tests.waiting import PATIENCE_S


class Client:
    """A control connection: the handshake, and requests answered by id."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse, hello: control.Hello, welcome: control.Welcome) -> None:
        self.ws = ws
        self.hello = hello
        self.welcome = welcome
        self.service = welcome.service
        self.session = bytes.fromhex(welcome.session)
        self._id = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for frame in self.ws:
            reply = control.parse(frame.data)
            waiting = self._waiting.pop(getattr(reply, "id", 0), None)
            if waiting is not None:
                waiting.set_result(reply)
        for waiting in self._waiting.values():
            waiting.cancel()

    async def ask(self, kind: Any, **fields: Any) -> Any:
        self._id += 1
        id = self._id
        self._waiting[id] = asyncio.get_running_loop().create_future()
        await self.ws.send_str(control.serialize(kind(id=id, **fields)))
        async with asyncio.timeout(PATIENCE_S):
            return await self._waiting[id]

    async def close(self) -> None:
        await self.ws.close()
        await self._reader


class Connecting:
    """``async with Connecting(target) as client``: an open session."""

    def __init__(
        self, target: Target, *, token: str | None = None, certificate: str | None = None, protocol: int = control.PROTOCOL
    ) -> None:
        self._target = target
        self._token = target.token if token is None else token
        self._certificate = certificate
        self._protocol = protocol
        self.refused: control.Refused | None = None

    async def __aenter__(self) -> Client:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._http = aiohttp.ClientSession()
        url = f"https://{self._target.authority}{control.PATH}"
        self._ws = await self._http.ws_connect(url, ssl=context, max_msg_size=control.MAX_MESSAGE)
        connection = self._ws.get_extra_info("ssl_object")
        seen = self._certificate or hashlib.sha256(connection.getpeercert(binary_form=True)).hexdigest()
        hello = control.parse((await self._ws.receive()).data)
        assert isinstance(hello, control.Hello)
        nonce = secrets.token_hex(control.NONCE_SIZE)
        proof = control.proof(self._token, "client", hello.nonce, nonce, seen)
        message = control.Authenticate(protocol=self._protocol, version="test", nonce=nonce, certificate=seen, proof=proof)
        await self._ws.send_str(control.serialize(message))
        welcome = control.parse((await self._ws.receive()).data)
        if isinstance(welcome, control.Refused):
            self.refused = welcome
            await self._http.close()
            raise PermissionError(welcome.message)
        assert isinstance(welcome, control.Welcome)
        assert control.proves(self._token, "server", hello.nonce, nonce, welcome.certificate, welcome.proof)
        self.client = Client(self._ws, hello, welcome)
        return self.client

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()
        await self._http.close()


@pytest.fixture(scope="session")
def start() -> Callable[..., ServerProcess]:
    """Starts a server on free loopback ports with more options; the test ends it."""

    def starter(*options: str, **more: Any) -> ServerProcess:
        addresses = [] if any(option.startswith("--address") for option in options) else ["--address=127.0.0.1", "--alternate=127.0.0.2"]
        return ServerProcess(*ANY_PORTS, *addresses, *options, **more)

    return starter


@pytest.fixture(scope="session")
def server(start: Callable[..., ServerProcess]) -> Iterator[ServerProcess]:
    """A server with two addresses, shared by all tests that do not disturb it."""
    running = start("--media-ports=21000-31000")
    yield running
    log = running.log
    assert running.stop() == 0
    assert "fault" not in log, log
    assert running.ready.startswith("ready ")
    token = re.search(r"edge://(.*)@", running.ready)
    assert token is not None
    assert token[1] not in log


@pytest.fixture(scope="session")
def connect() -> type[Connecting]:
    return Connecting


class InMemory:
    """The server's core with documentation addresses, and a session opened from a public one."""

    ADDRESS, ALTERNATE = "198.51.100.10", "198.51.100.11"
    PEER = Endpoint("203.0.113.7", 50000)
    CERTIFICATE = "ab" * 32

    def __init__(self, *, alternate: bool = True, token: str = "a-token-of-tests", **more: Any) -> None:
        self.service = control.Service(
            address=self.ADDRESS,
            alternate=self.ALTERNATE if alternate else None,
            probe_ports=(40001, 40002 if alternate else 0),
            media=(10000, 20000),
        )
        self.service6 = control.Service(address="2001:db8::10", alternate="2001:db8::11", probe_ports=(40001, 40002), media=(10000, 20000))
        self.faults: list[Exception] = []
        self.token = token
        services = {4: self.service, 6: self.service6}
        self.core = EchoServer(
            services,
            key=b"k" * 32,
            draw=random.Random(1).randbytes,
            certificate=self.CERTIFICATE,
            token=token,
            on_fault=self.faults.append,
            **more,
        )

    def admit(self, peer: Endpoint = PEER, now: float = 0.0, **changes: Any) -> tuple[Session, control.Welcome] | control.Refused:
        """The handshake as a right client does it, but for ``changes`` to what it says."""
        hello = self.core.greet()
        nonce, certificate = "cd" * control.NONCE_SIZE, changes.pop("certificate", self.CERTIFICATE)
        proof = control.proof(changes.pop("token", self.token), "client", hello.nonce, nonce, certificate)
        said: dict[str, Any] = {"protocol": control.PROTOCOL, "version": "test", "nonce": nonce, "certificate": certificate, "proof": proof}
        return self.core.admit(hello, control.Authenticate(**(said | changes)), peer, now)

    def session(self, peer: Endpoint = PEER, now: float = 0.0) -> Session:
        admitted = self.admit(peer, now)
        assert not isinstance(admitted, control.Refused), admitted.message
        return admitted[0]

    def ask(self, session: Session, kind: Any, *, now: float = 1.0, **fields: Any) -> Any:
        """The reply to a request that needs nothing of the outside; the effect of one that does."""
        effects = self.core.handle_request(session, kind(id=7, **fields), now)
        return effects[-1].message if isinstance(effects[-1], Reply) else effects[-1]


@pytest.fixture
def memory() -> Iterator[type[InMemory]]:
    """Makes servers without sockets; none of them may have met a fault of its own."""
    made: list[InMemory] = []

    class Noted(InMemory):
        def __init__(self, **more: Any) -> None:
            super().__init__(**more)
            made.append(self)

    yield Noted
    for one in made:
        assert one.faults == []
