"""The client's end of the control channel: reach the server, prove the token, put requests.

aiohttp is imported inside: a command that needs no server must not pay for it.
"""

import asyncio
import contextlib
import secrets
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, cast

from edgecheck import __version__
from edgecheck.model.errors import ControlLost, NotOurServer, RequestDeclined, ServerUnreachable, TokenRefused
from edgecheck.net.control import plausible
from edgecheck.net.control.reach import issuer, resolve, session_to, silence, upgrade
from edgecheck.net.quoting import tame
from edgecheck.wire import control
from edgecheck.wire.address import Target, parse_host
from edgecheck.wire.errors import WireError

if TYPE_CHECKING:
    import aiohttp

_M = TypeVar("_M", control.Hello, control.Welcome)

CONNECT_S = 15.0
"""Name, TCP, TLS, upgrade and proof together; a phone's user has gone by then."""
_ANSWERS: dict[type[control.Request], type[control.Reply]] = {
    control.Prove: control.Proved,
    control.Probe: control.Probed,
    control.Dial: control.Dialed,
    control.Inquire: control.Inquired,
    control.Push: control.Pushed,
    control.OpenMedia: control.MediaOpened,
    control.CloseMedia: control.MediaOpened,
    control.Account: control.Accounted,
    control.Mirror: control.Mirrored,
    control.Call: control.Called,
    control.Share: control.Shared,
    control.Ping: control.Pong,
}
ASK_S = 30.0
"""Longest wait for a reply to a request; the server's own work is bounded well below."""


class ControlSession:
    """An open session with an echo server that proved that it knows the token."""

    def __init__(self, http: "aiohttp.ClientSession", socket: "aiohttp.ClientWebSocketResponse") -> None:
        self._http = http
        self._socket = socket
        self._waiting: dict[int, asyncio.Future[control.Reply]] = {}
        self._last_id = 0
        self._reader: asyncio.Task[None] | None = None
        self.lost: str | None = None
        """Why the channel ended, in words; ``None`` while it stands."""
        self.limits = control.Limits()
        self.version = ""
        self.welcome: control.Welcome
        self.peer_host = ""
        """The address that the connection really goes to."""
        self.local_host = ""
        self.intercepted = False
        """Something on the path opens TLS and shows its own certificate; the other end is genuine nevertheless."""
        self.observed = ""
        """The IP address from which the server sees this channel."""
        self.rtt = 0.0
        """Seconds: one round trip, measured with the proof."""
        self.issuer = ""
        """Who issued the certificate that we saw, in words."""
        self.ticket = ""
        """With which this session can be continued when it is lost."""

    @classmethod
    async def open(cls, target: Target, source: str | None, family: int | None, ticket: str = "") -> "ControlSession":
        """Reach the server and prove the token; with a ticket, go on under the name of a session that was lost.

        Raises ``ServerUnreachable`` and what stands under it.
        """
        host = ""
        try:
            async with asyncio.timeout(CONNECT_S):
                host = await resolve(target.host, target.port, family or (None if source is None else 6 if ":" in source else 4))
                return await cls._open(target, host, source, ticket)
        except TimeoutError as error:
            raise ServerUnreachable(await silence(target, host, source, CONNECT_S)) from error

    @classmethod
    async def _open(cls, target: Target, host: str, source: str | None, ticket: str) -> "ControlSession":
        import aiohttp

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the token's proof covers the certificate: see wire.control
        http = session_to(target, context, source)
        try:
            session = cls(http, await upgrade(http, target, host, source))
            try:
                await session._authenticate(target, ticket)
            except (aiohttp.ClientError, OSError) as error:
                raise _closed_at_once(target) from error
        except BaseException:
            await http.close()
            raise
        session._reader = asyncio.create_task(session._read())
        return session

    async def _authenticate(self, target: Target, ticket: str) -> None:
        encryption = self._socket.get_extra_info("ssl_object")
        peer, local = (self._socket.get_extra_info(name) for name in ("peername", "sockname"))
        if encryption is None or not peer or not local:
            raise _closed_at_once(target)
        certificate = encryption.getpeercert(binary_form=True) or b""
        seen = control.fingerprint(certificate)
        self.peer_host = parse_host(str(peer[0]).partition("%")[0])
        self.local_host = str(local[0])
        hello = await _expect(self._socket, control.Hello, target)
        if hello.protocol != control.PROTOCOL:
            raise NotOurServer(
                f"The server at {target.authority} speaks protocol {hello.protocol} (version {tame(hello.version, 40)}), "
                f"this edgecheck speaks {control.PROTOCOL}: update the older one."
            )
        try:
            plausible.check_limits(hello.limits)
        except WireError as error:
            raise _not_as_ours(target, str(error)) from error
        self.limits, self.version = hello.limits, tame(hello.version, 40)
        nonce = secrets.token_hex(control.NONCE_SIZE)
        started = asyncio.get_running_loop().time()
        await self._socket.send_str(
            control.serialize(
                control.Authenticate(
                    protocol=control.PROTOCOL,
                    version=__version__,
                    nonce=nonce,
                    certificate=seen,
                    proof=control.proof(target.token, "client", hello.nonce, nonce, seen),
                    ticket=ticket,
                )
            )
        )
        welcome = await _expect(self._socket, control.Welcome, target)
        self.rtt = asyncio.get_running_loop().time() - started
        if not control.proves(target.token, "server", hello.nonce, nonce, welcome.certificate, welcome.proof):
            raise NotOurServer(
                f"What answers at {target.authority} cannot prove that it knows the token, so it is not your echo server. "
                "Check the address; if it is right, something on the path answers in the server's place."
            )
        try:
            self.observed = plausible.check_welcome(welcome).host
        except WireError as error:
            raise _not_as_ours(target, str(error)) from error
        # Never the server's word alone: what we saw against what it proved to be its own.
        self.welcome = welcome
        self.ticket = welcome.ticket
        self.intercepted = welcome.certificate != seen
        if self.intercepted:
            self.issuer = issuer(certificate)

    async def _read(self) -> None:
        import aiohttp

        reason = "the server closed the control channel"
        try:
            async for frame in self._socket:
                if frame.type is not aiohttp.WSMsgType.TEXT:
                    reason = "the server sent what is no control message"
                    break
                try:
                    message = control.parse(frame.data)
                    plausible.check_reply(message)
                except WireError as error:
                    if plausible.unknown(frame.data):
                        continue
                    reason = f"the server sent what is no control message ({tame(str(error))})"
                    break
                if not isinstance(message, control.Reply):
                    reason = f"the server sent what is no answer ({type(message).__name__})"
                    break
                waiting = self._waiting.pop(message.id, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(message)
        except (aiohttp.ClientError, OSError) as error:
            reason = f"the control channel broke ({error})"
        finally:
            self._lose(reason)

    def _lose(self, reason: str) -> None:
        self.lost = self.lost or reason
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(self._lost())
        self._waiting.clear()

    def _lost(self) -> ControlLost:
        return ControlLost(f"The server was lost in mid-run: {self.lost}.")

    async def ask(self, make: Callable[[int], control.Request], timeout: float | None = None) -> control.Reply:
        """Put a request; the reply, within ``ASK_S`` if nothing else is said. Raises ``RequestDeclined``, ``ControlLost``."""
        timeout = ASK_S if timeout is None else timeout
        if self.lost is not None:
            raise self._lost()
        self._last_id += 1
        request = make(self._last_id)
        waiting: asyncio.Future[control.Reply] = asyncio.get_running_loop().create_future()
        self._waiting[self._last_id] = waiting
        try:
            async with asyncio.timeout(timeout):
                await self._socket.send_str(control.serialize(request))
                reply = await waiting
        except TimeoutError as error:
            # Nobody else need wait as long: whatever became of the path or the server, this session is of no use any more.
            self._lose(f"the server did not answer within {timeout:g} s")
            raise self._lost() from error
        except (ConnectionError, RuntimeError) as error:
            self._lose(f"the control channel broke ({error})")
            raise self._lost() from error
        finally:
            self._waiting.pop(request.id, None)
            if waiting.done() and not waiting.cancelled():
                waiting.exception()  # seen, else asyncio complains of it on stderr
        if isinstance(reply, control.Declined):
            raise RequestDeclined(reply.reason, f"The server declined: {tame(reply.message)}")
        if isinstance(reply, control.Proved) and reply.ticket:
            self.ticket = reply.ticket
        if not isinstance(reply, _ANSWERS[type(request)]):
            self._lose(f"the server answered another question than was asked ({type(reply).__name__})")
            raise self._lost()
        return reply

    async def close(self) -> None:
        """End the session; never raises."""
        if self._reader is not None:
            self._reader.cancel()
        with contextlib.suppress(Exception):
            async with asyncio.timeout(1):
                await self._socket.close()
        with contextlib.suppress(Exception):
            await self._http.close()


async def _expect(channel: "aiohttp.ClientWebSocketResponse", kind: type[_M], target: Target) -> _M:
    """The next message, which must be of this kind. Raises ``ServerUnreachable`` and what stands under it."""
    import aiohttp

    frame = await channel.receive()
    if frame.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED):
        raise _closed_at_once(target)
    if frame.type is not aiohttp.WSMsgType.TEXT:
        raise _not_as_ours(target, "no text, or too much of it")
    try:
        message = control.parse(cast(str, frame.data))
    except WireError as error:
        raise _not_as_ours(target, str(error)) from error
    if isinstance(message, control.Refused):
        if message.reason != "unknown-token":
            raise ServerUnreachable(f"The server at {target.authority} refused the session: {tame(message.message)}")
        if not target.token:
            raise TokenRefused(f"The server at {target.authority} asks for a token: copy the whole edge://... line it printed.")
        raise TokenRefused(f"The server at {target.authority} does not know this token. Copy the whole edge://... line it printed.")
    if not isinstance(message, kind):
        raise _not_as_ours(target, f"no {kind.__name__}")
    return message


def _not_as_ours(target: Target, why: str) -> NotOurServer:
    return NotOurServer(
        f"Something answered at {target.authority}, but not as an edgecheck server does ({tame(why)}): check host and port, "
        "and that both ends run the same version."
    )


def _closed_at_once(target: Target) -> NotOurServer:
    return NotOurServer(f"The server at {target.authority} closed the control channel at once: it may be full. Try again in a minute.")
