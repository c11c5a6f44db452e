"""The control channel's socket side: HTTPS with a WebSocket, and who is admitted to it; one session a connection."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from importlib.resources import files
from time import monotonic
from typing import TYPE_CHECKING

from aiohttp import WSMsgType, web

from echo_server.core import EchoServer
from echo_server.journal import Journal
from echo_server.sessions.limits import is_loopback, network
from echo_server.sessions.session import Session
from echo_server.sockets.streams import Watched
from echo_server.web.open_session import Hands, Keep, OpenSession
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint
from edgecheck.wire.errors import WireError

if TYPE_CHECKING:
    from echo_server.desk.site import Desk

_HEARTBEAT_S = 20.0
_UNPROVED = 256
"""Control connections without a session at a time: each may make us read one message of the largest size."""
_UNPROVED_PER_SOURCE = 16
"""So that nobody keeps the others out with a few connections."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


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
        self._page = files("echo_server.web").joinpath("page.html").read_bytes()

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
                await OpenSession(self._server, session, ws, self._hands, self._journal, self._keep).run()
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
