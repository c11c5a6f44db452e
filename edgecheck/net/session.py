"""The client's end of the control channel: reach the server, prove the token, put requests.

aiohttp is imported inside: a command that needs no server must not pay for it.
"""

import asyncio
import contextlib
import secrets
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, cast

from edgecheck import __version__
from edgecheck.model.errors import ControlLost, NotOurServer, RequestDeclined, ServerUnreachable, TokenRefused
from edgecheck.wire import control
from edgecheck.wire.address import Target, parse_endpoint, parse_host
from edgecheck.wire.errors import WireError

if TYPE_CHECKING:
    import aiohttp

_M = TypeVar("_M", control.Hello, control.Welcome)

CONNECT_S = 8.0
"""Name, TCP, TLS, upgrade and proof together; a phone's user has gone by then."""
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
        self.rtt = 0.0
        """Seconds: one round trip, measured with the proof."""
        self.issuer = ""
        """Who issued the certificate that we saw, in words."""

    @classmethod
    async def open(cls, target: Target, source: str | None, family: int | None) -> "ControlSession":
        """Reach the server and prove the token. Raises ``ServerUnreachable`` and what stands under it."""
        try:
            async with asyncio.timeout(CONNECT_S):
                return await cls._open(target, source, family)
        except TimeoutError as error:
            raise ServerUnreachable(
                f"Could not reach {target.authority}: no answer within {CONNECT_S:g} s. Is edgecheck-server running there, "
                f"and does its firewall let TCP {target.port} in?"
            ) from error

    @classmethod
    async def _open(cls, target: Target, source: str | None, family: int | None) -> "ControlSession":
        import aiohttp

        host = await resolve(target.host, target.port, family)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the token's proof covers the certificate: see wire.control
        http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=context, local_addr=(source, 0) if source else None),
            timeout=aiohttp.ClientTimeout(total=None),
        )
        try:
            session = cls(http, await _upgrade(http, target, host))
            await session._authenticate(target, host)
        except BaseException:
            await http.close()
            raise
        session._reader = asyncio.create_task(session._read())
        return session

    async def _authenticate(self, target: Target, host: str) -> None:
        encryption = self._socket.get_extra_info("ssl_object")
        certificate = encryption.getpeercert(binary_form=True) if encryption is not None else b""
        seen = control.fingerprint(certificate or b"")
        self.peer_host = parse_host(str(self._socket.get_extra_info("peername")[0]).partition("%")[0])
        self.local_host = str(self._socket.get_extra_info("sockname")[0])
        hello = await _expect(self._socket, control.Hello, target)
        if hello.protocol != control.PROTOCOL:
            raise NotOurServer(
                f"The server at {target.authority} speaks protocol {hello.protocol} (version {hello.version}), "
                f"this edgecheck speaks {control.PROTOCOL}: update the older one."
            )
        self.limits, self.version = hello.limits, hello.version
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
        control.parse_hex(welcome.session, control.SESSION_SIZE)
        # Never the server's word alone: what we saw against what it proved to be its own.
        self.welcome = welcome
        self.intercepted = welcome.certificate != seen
        if self.intercepted:
            self.issuer = _issuer(certificate or b"")

    async def _read(self) -> None:
        import aiohttp

        reason = "the server closed the control channel"
        try:
            async for frame in self._socket:
                if frame.type is not aiohttp.WSMsgType.TEXT:
                    continue
                try:
                    message = control.parse(frame.data)
                except WireError:
                    continue  # a newer server may say more than we know
                waiting = self._waiting.pop(getattr(message, "id", -1), None)
                if waiting is not None and not waiting.done() and isinstance(message, control.Reply):
                    waiting.set_result(message)
        except (aiohttp.ClientError, OSError) as error:
            reason = f"the control channel broke ({error})"
        finally:
            self._lose(reason)

    def _lose(self, reason: str) -> None:
        self.lost = self.lost or reason
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ControlLost(f"The server was lost in mid-run: {self.lost}."))
        self._waiting.clear()

    @property
    def observed(self) -> str:
        """The IP address from which the server sees this channel."""
        return parse_endpoint(self.welcome.observed).host

    async def ask(self, make: Callable[[int], control.Request], timeout: float = ASK_S) -> control.Reply:
        """Put a request; the reply. Raises ``RequestDeclined``, ``ControlLost``."""
        if self.lost is not None:
            raise ControlLost(f"The server was lost in mid-run: {self.lost}.")
        self._last_id += 1
        request = make(self._last_id)
        waiting: asyncio.Future[control.Reply] = asyncio.get_running_loop().create_future()
        self._waiting[self._last_id] = waiting
        try:
            async with asyncio.timeout(timeout):
                await self._socket.send_str(control.serialize(request))
                reply = await waiting
        except TimeoutError as error:
            self._waiting.pop(request.id, None)
            raise ControlLost(f"The server did not answer within {timeout:g} s.") from error
        except (ConnectionError, RuntimeError) as error:
            self._lose(f"the control channel broke ({error})")
            raise ControlLost(f"The server was lost in mid-run: {self.lost}.") from error
        if isinstance(reply, control.Declined):
            raise RequestDeclined(reply.reason, f"The server declined: {reply.message}")
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


async def resolve(host: str, port: int, family: int | None) -> str:
    """The first address of a name in the family asked for. Raises ``ServerUnreachable``."""
    wanted = {4: socket.AF_INET, 6: socket.AF_INET6}.get(family or 0, socket.AF_UNSPEC)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, family=wanted, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        of_family = f" as an IPv{family} address" if family else ""
        raise ServerUnreachable(f"The name {host} could not be resolved{of_family}: check the spelling and this machine's DNS.") from error
    return str(found[0][4][0])


async def _upgrade(http: "aiohttp.ClientSession", target: Target, host: str) -> "aiohttp.ClientWebSocketResponse":
    import aiohttp

    where = f"[{host}]:{target.port}" if ":" in host else f"{host}:{target.port}"
    try:
        return await http.ws_connect(f"wss://{where}{control.PATH}", max_msg_size=control.MAX_MESSAGE, heartbeat=None, autoping=True)
    except aiohttp.WSServerHandshakeError as error:
        location = f", it points to {error.headers['Location'][:80]}" if error.headers and "Location" in error.headers else ""
        raise NotOurServer(
            f"Something answered at {target.authority}, but it is not an edgecheck server (HTTP {error.status}{location}): "
            "a captive portal or another web server. Log in to the network first, or check host and port."
        ) from error
    except (aiohttp.ClientConnectorSSLError, aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, ssl.SSLError) as error:
        raise NotOurServer(
            f"Something answered at {target.authority}, but it does not speak TLS as edgecheck-server does: "
            "check the port (8443 by default)."
        ) from error
    except (aiohttp.ClientConnectorError, OSError) as error:
        raise ServerUnreachable(_reach_words(target, host, error)) from error
    except aiohttp.ClientError as error:
        words = f"Something answered at {target.authority}, but it is not an edgecheck server ({type(error).__name__})."
        raise NotOurServer(words) from error


def _reach_words(target: Target, host: str, error: BaseException) -> str:
    cause: BaseException | None = getattr(error, "os_error", error)
    if isinstance(cause, ConnectionRefusedError):
        return (
            f"Could not reach {target.authority}: the connection was refused by {host}. "
            "Is edgecheck-server running there, and its port open?"
        )
    if isinstance(cause, ConnectionResetError):
        return f"Could not reach {target.authority}: the connection was cut (reset) on the way; something on the path blocks it."
    words = getattr(cause, "strerror", None) or str(cause)
    return f"Could not reach {target.authority}: {words}. Is this machine's network up?"


def _issuer(certificate: bytes) -> str:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        issuer = x509.load_der_x509_certificate(certificate).issuer
        names = issuer.get_attributes_for_oid(NameOID.COMMON_NAME) or issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        text = str(names[0].value) if names else issuer.rfc4514_string()
    except ValueError:
        return "unreadable"
    return "".join(character for character in text if character.isprintable())[:80]


async def _expect(channel: "aiohttp.ClientWebSocketResponse", kind: type[_M], target: Target) -> _M:
    """The next message, which must be of this kind. Raises ``ServerUnreachable`` and what stands under it."""
    import aiohttp

    frame = await channel.receive()
    if frame.type is not aiohttp.WSMsgType.TEXT:
        raise NotOurServer(f"The server at {target.authority} closed the control channel at once: it may be full. Try again.")
    try:
        message = control.parse(cast(str, frame.data))
    except WireError as error:
        raise NotOurServer(f"Something answered at {target.authority}, but not as an edgecheck server does ({error}).") from error
    if isinstance(message, control.Refused):
        if message.reason == "unknown-token":
            raise TokenRefused(
                f"The server at {target.authority} does not know this token. Copy the whole edge://... line it printed."
            )
        raise ServerUnreachable(f"The server at {target.authority} refused the session: {message.message}")
    if not isinstance(message, kind):
        raise NotOurServer(f"Something answered at {target.authority}, but not as an edgecheck server does (no {kind.__name__}).")
    return message
