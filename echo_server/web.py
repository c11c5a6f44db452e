"""The control channel's socket side: HTTPS with a WebSocket, one session a connection, its requests side by side."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from importlib.resources import files
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import WSMsgType, web

from echo_server import asker, dialer, probe_sender
from echo_server.core import EchoServer
from echo_server.effects import Closing, Effect, MediaOpening, Reply, Storing
from echo_server.inquiry import Inquiring
from echo_server.journal import Journal
from echo_server.limits import is_loopback, network
from echo_server.listeners import UdpSockets
from echo_server.media_sockets import MediaSockets
from echo_server.probe_sockets import ProbeSockets
from echo_server.prober import Dialing, Sending
from echo_server.session import Session
from echo_server.shared import ReportsUnavailable, SharedReport
from echo_server.sip_caller import Calling
from echo_server.source_ports import SourcePorts
from echo_server.streams import Watched
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint
from edgecheck.wire.control import Declined
from edgecheck.wire.errors import WireError

if TYPE_CHECKING:
    from echo_server.desk.site import Desk

_HEARTBEAT_S = 20.0
_UNPROVED = 256
"""Control connections without a session at a time: each may make us read one message of the largest size."""
_UNPROVED_PER_SOURCE = 16
"""So that nobody keeps the others out with a few connections."""

Keep = Callable[[SharedReport], int]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Hands(NamedTuple):
    """What requests are carried out with."""

    udp: UdpSockets
    media: MediaSockets
    probes: ProbeSockets
    hosts: dict[tuple[str, int], str]
    """The address to dial from, by (A or B, family)."""
    ports: SourcePorts
    """The port to dial from."""


class ControlSite:
    """The web application: the page at / and the control channel."""

    def __init__(
        self,
        server: EchoServer,
        hands: Hands,
        journal: Journal,
        keep: Keep | None = None,
        desk: "Desk | None" = None,
    ) -> None:
        """``keep``: takes a report into the store, and blocks."""
        self._keep = keep
        self._desk = desk
        self._server = server
        self._hands = hands
        self._journal = journal
        self._connections: set[web.WebSocketResponse] = set()
        self._unproved: Counter[str] = Counter()
        self._page = files("echo_server").joinpath("page.html").read_bytes()

    def application(self) -> web.Application:
        """The aiohttp application."""
        application = web.Application(middlewares=[self._middleware])
        application.router.add_get("/", self._serve_page)
        application.router.add_get(control.PATH, self._serve_control)
        if self._desk is not None:
            self._desk.add_to(application)
        return application

    async def close(self) -> None:
        """Say good-bye to every client."""
        await asyncio.gather(*(ws.close(code=1001, message=b"The server is stopping.") for ws in self._connections), return_exceptions=True)

    @web.middleware
    async def _middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        watched = request.transport.get_protocol() if request.transport is not None else None
        if isinstance(watched, Watched):
            watched.asked = True
        try:
            response = await handler(request)
        except (web.HTTPException, ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:
            self._journal.write_fault(error)
            raise web.HTTPInternalServerError from None
        if not response.prepared:
            response.headers["Server"] = "edgecheck"
        return response

    async def _serve_page(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=self._page, content_type="text/html", charset="utf-8")

    async def _serve_control(self, request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse(max_msg_size=control.MAX_MESSAGE, compress=False, heartbeat=_HEARTBEAT_S, timeout=2.0)
        ws.headers["Server"] = "edgecheck"
        peername = request.transport.get_extra_info("peername") if request.transport is not None else None
        if peername is None:
            raise web.HTTPServiceUnavailable
        peer = Endpoint(peername[0], peername[1])
        source = network(peer.host)
        if self._unproved.total() >= _UNPROVED or (self._unproved[source] >= _UNPROVED_PER_SOURCE and not is_loopback(peer.host)):
            return web.Response(status=503, text="Too many connections: try again in a minute.\n")
        self._unproved[source] += 1
        self._connections.add(ws)
        try:
            session = await self._admit(request, ws, peer)
        finally:
            self._unproved -= Counter((source,))
            self._connections.discard(ws)
        if session is not None:
            self._connections.add(ws)
            try:
                await Conversation(self._server, session, ws, self._hands, self._journal, self._keep).run()
            finally:
                self._connections.discard(ws)
                await self._end(session)
                self._journal.write(f"Session {session.number} from {peer} ended after {monotonic() - session.opened:.1f} s.")
        await ws.close()
        return ws

    async def _admit(self, request: web.Request, ws: web.WebSocketResponse, peer: Endpoint) -> Session | None:
        """The handshake; None when there is no session."""
        await ws.prepare(request)
        hello = self._server.greet()
        await ws.send_str(control.serialize(hello))
        try:
            async with asyncio.timeout(self._server.bounds.handshake_s):
                frame = await ws.receive()
        except TimeoutError:
            self._journal.write(f"Refused {peer}: it did not prove the token in {self._server.bounds.handshake_s:.0f} s.")
            return None
        if frame.type is not WSMsgType.TEXT:
            return None
        try:
            message = control.parse(frame.data)
        except WireError:
            message = hello  # whatever is no proof is answered alike
        admitted = self._server.admit(hello, message, peer, monotonic())
        if isinstance(admitted, control.Refused):
            self._journal.write(f"Refused {peer}: {admitted.message}")
            await ws.send_str(control.serialize(admitted))
            return None
        session, welcome = admitted
        try:
            welcome = self._hands.probes.open(session, welcome)
        except OSError as error:
            await self._end(session)
            words = f"No port is left here for this session's probes ({error.strerror}): try again in a minute."
            self._journal.write(f"Refused {peer}: {words}")
            await ws.send_str(control.serialize(control.Refused(reason="busy", message=words)))
            return None
        marked = ", through a box that opens TLS and shows its own certificate" if session.intercepted else ""
        self._journal.write(f"Session {session.number} opened from {peer}{marked}.")
        try:
            await ws.send_str(control.serialize(welcome))
        except BaseException:
            await self._end(session)
            raise
        return session

    async def _end(self, session: Session) -> None:
        unused = self._server.end_session(session)
        self._hands.probes.close(session)
        await self._hands.media.shut(unused)


class Conversation:
    """One open session on its WebSocket."""

    def __init__(
        self,
        server: EchoServer,
        session: Session,
        ws: web.WebSocketResponse,
        hands: Hands,
        journal: Journal,
        keep: Keep | None,
    ) -> None:
        self._keep = keep
        self._server = server
        self._session = session
        self._ws = ws
        self._hands = hands
        self._journal = journal
        self._tasks: set[asyncio.Task[None]] = set()
        self._sending = asyncio.Lock()

    async def run(self) -> None:
        """Serve requests until the client goes, breaks the protocol, or the session's life is over."""
        try:
            async with asyncio.timeout(self._session.limits.session_s):
                while True:
                    frame = await self._ws.receive()
                    if frame.type is not WSMsgType.TEXT:
                        return
                    try:
                        request = control.parse(frame.data)
                    except WireError as error:
                        self._journal.write(f"Session {self._session.number} sent what is no request and was closed.")
                        await self._send(Declined(id=0, reason="malformed", message=str(error)[:200]))
                        return
                    await self._begin(request)
        except TimeoutError:
            self._journal.write(f"Session {self._session.number} has lived as long as a session may.")
        except ConnectionError:
            pass
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _begin(self, request: control.Message) -> None:
        if len(self._tasks) >= self._session.bounds.requests:
            words = f"At most {self._session.bounds.requests} requests at a time."
            await self._send(Declined(id=getattr(request, "id", 0), reason="limit", message=words))
            return
        task = asyncio.create_task(self._serve(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, request: control.Message) -> None:
        try:
            if isinstance(request, control.Account):
                self._hands.probes.read_errors(self._session)
            for effect in self._server.handle_request(self._session, request, monotonic()):
                reply = await self._carry_out(effect)
                if reply is not None:
                    await self._send(reply)
        except ConnectionError:
            pass  # the client has gone: run() sees it too
        except Exception as error:
            self._server.counters["fault"] += 1
            self._journal.write_fault(error)
            try:
                await self._send(
                    Declined(id=getattr(request, "id", 0), reason="fault", message="A fault of the server's own; see its log.")
                )
            except ConnectionError:
                pass

    async def _carry_out(self, effect: Effect) -> control.Reply | None:
        hands = self._hands
        match effect:
            case Reply():
                return effect.message
            case Sending() | Calling():
                return await probe_sender.send(effect, hands.udp)
            case Dialing():
                return await dialer.dial(effect, hands.hosts[effect.local, self._session.family], hands.ports)
            case Inquiring():
                return await asker.ask(effect, hands.hosts[effect.local, self._session.family], hands.ports)
            case MediaOpening():
                reply, trouble = await hands.media.open(effect)
                if trouble is not None:
                    self._journal.write(f"Session {self._session.number}: {trouble}.")
                return reply
            case Closing():
                await hands.media.shut(effect.ports)
                return None
            case Storing():
                return await self._store(effect)

    async def _store(self, effect: Storing) -> control.Reply:
        if self._keep is None:
            return Declined(id=effect.id, reason="unavailable", message="This server keeps no reports.")
        try:
            number = await asyncio.to_thread(self._keep, effect.report)
        except ReportsUnavailable as error:
            self._journal.write(str(error))
            return Declined(id=effect.id, reason="unavailable", message="The server cannot keep reports now.")
        self._journal.write(f"Session {self._session.number} left report {number}.")
        return control.Shared(id=effect.id, number=number)

    async def _send(self, reply: control.Reply) -> None:
        async with self._sending:
            text = control.serialize(reply)
            if len(text) > control.MAX_MESSAGE:
                text = control.serialize(Declined(id=reply.id, reason="limit", message="The answer is too long for one message."))
            await self._ws.send_str(text)
