"""One open session on its WebSocket: its requests are carried out side by side."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from aiohttp import WSMsgType, web

from echo_server.control.effects import Closing, Effect, MediaOpening, Reply, Storing
from echo_server.control.shared import ReportsUnavailable, SharedReport
from echo_server.core import EchoServer
from echo_server.journal import Journal
from echo_server.plans.inquiry import Inquiring
from echo_server.plans.prober import Dialing, Sending
from echo_server.plans.sip_caller import Calling
from echo_server.probing import asker, dialer, probe_sender
from echo_server.probing.probe_sockets import ProbeSockets
from echo_server.probing.source_ports import SourcePorts
from echo_server.sessions.session import Session
from echo_server.sockets.listeners import UdpSockets
from echo_server.sockets.media_sockets import MediaSockets
from edgecheck.wire import control
from edgecheck.wire.control import Declined
from edgecheck.wire.errors import WireError

Keep = Callable[[SharedReport], int]


class Hands(NamedTuple):
    """What requests are carried out with."""

    udp: UdpSockets
    media: MediaSockets
    probes: ProbeSockets
    hosts: dict[tuple[str, int], str]
    """The address to dial from, by (A or B, family)."""
    ports: SourcePorts
    """The port to dial from."""


class OpenSession:
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
            case Sending() if effect.fresh:
                try:
                    effect.leave_from([hands.probes.fresh(self._session, *one) for one in effect.fresh])
                except OSError as error:
                    return Declined(id=effect.id, reason="unavailable", message=f"No fresh port is left here ({error.strerror}).")
                return await probe_sender.send(effect, hands.udp)
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
