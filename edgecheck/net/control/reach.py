"""The way to the echo server: its name, TCP, TLS, the upgrade. And whatever else may answer there, in one sentence with what to do.

Everything raises ``ServerUnreachable`` or what stands under it. Words that a peer chose are shortened and never hold control characters.
"""

import asyncio
import contextlib
import errno
import socket
import ssl
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edgecheck.model.errors import NotOurServer, ServerUnreachable
from edgecheck.net.quoting import tame
from edgecheck.net.sockets.failure import local_failure
from edgecheck.wire import control
from edgecheck.wire.address import Target, parse_host
from edgecheck.wire.errors import WireError

if TYPE_CHECKING:
    import aiohttp

_KNOCK_S = 3.0
"""A SYN that is lost is sent again after a second."""
_CHECK = "Check host and port (8443 by default)."


async def resolve(host: str, port: int, family: int | None) -> str:
    """The first address of a name in the family asked for. Raises ``ServerUnreachable``."""
    wanted = {4: socket.AF_INET, 6: socket.AF_INET6}.get(family or 0, socket.AF_UNSPEC)
    with contextlib.suppress(WireError):
        if family and (6 if ":" in parse_host(host) else 4) != family:
            raise ServerUnreachable(f"{host} is not an IPv{family} address, as the options ask for (-4, -6, --source): change one of them.")
    try:
        found = await look_up(lambda: socket.getaddrinfo(host, port, family=wanted, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError) as error:
        of_family = f" as an IPv{family} address" if family else ""
        raise ServerUnreachable(f"The name {host} could not be resolved{of_family}: check the spelling and this machine's DNS.") from error
    if not found:
        raise ServerUnreachable(f"The name {host} has no address: check the spelling.")
    return str(found[0][4][0])


async def look_up(ask: Callable[[], list[Any]]) -> list[Any]:
    """In a thread that nobody waits for at the end: the system's resolver may be silent for a minute, and cannot be stopped."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Any]] = loop.create_future()

    def tell(how: Callable[[Any], None], what: Any) -> None:
        if not answer.done():
            how(what)

    def work() -> None:
        try:
            how, what = answer.set_result, ask()
        except Exception as error:
            how, what = answer.set_exception, error  # type: ignore[assignment]
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(tell, how, what)

    threading.Thread(target=work, daemon=True).start()
    return await answer


async def upgrade(http: "aiohttp.ClientSession", target: Target, host: str, source: str | None) -> "aiohttp.ClientWebSocketResponse":
    """The control channel's WebSocket at this address; ``source`` is what was asked for, for the words alone."""
    import aiohttp

    where = f"[{host}]:{target.port}" if ":" in host else f"{host}:{target.port}"
    answered = f"Something answered at {target.authority}, but it"
    try:
        return await http.ws_connect(f"wss://{where}{control.PATH}", max_msg_size=control.MAX_MESSAGE, heartbeat=None, autoping=True)
    except aiohttp.WSServerHandshakeError as error:
        raise web_server(target, error.status) from error
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError) as error:
        raise NotOurServer(f"{answered} closed the connection without a whole answer. {_CHECK}") from error
    except (aiohttp.ClientConnectorSSLError, ssl.SSLError) as error:
        raise NotOurServer(f"{answered} does not speak TLS as edgecheck-server does: check the port (8443 by default).") from error
    except (aiohttp.ClientConnectorError, OSError) as error:
        raise ServerUnreachable(_reach_words(target, host, source, error)) from error
    except (aiohttp.ClientError, ValueError) as error:
        raise NotOurServer(f"{answered} is not an edgecheck server: what it says is no HTTP. {_CHECK}") from error


def web_server(target: Target, status: int, location: str = "") -> NotOurServer:
    """A captive portal, or whatever other web server answered."""
    points = f", it points to {tame(location, 80)}" if location else ""
    return NotOurServer(
        f"Something answered at {target.authority}, but it is not an edgecheck server (HTTP {status}{points}): "
        "a captive portal or another web server. Log in to the network first, or check host and port."
    )


def session_to(target: Target, context: ssl.SSLContext, source: str | None) -> "aiohttp.ClientSession":
    """An HTTP client for the control channel alone: it follows nobody anywhere."""
    import aiohttp

    async def redirected(session: object, context: object, told: Any) -> None:
        raise web_server(target, told.response.status, told.response.headers.get("Location", ""))

    tracing = aiohttp.TraceConfig()
    tracing.on_request_redirect.append(redirected)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, local_addr=(source, 0) if source else None),
        timeout=aiohttp.ClientTimeout(total=None),
        trace_configs=[tracing],
    )


def _reach_words(target: Target, host: str, source: str | None, error: BaseException) -> str:
    cause: BaseException = getattr(error, "os_error", error)
    if source is not None and isinstance(cause, OSError) and cause.errno == errno.EADDRNOTAVAIL:
        return f"Could not reach {target.authority} from {source}: this machine has no such address. Give --source one of its own."
    failure = local_failure("reach", target.authority, cause)
    if failure.reason == "refused":
        return (
            f"Could not reach {target.authority}: the connection was refused by {host}. "
            "Is edgecheck-server running there, and its port open?"
        )
    if failure.reason == "reset":
        return (
            f"Could not reach {target.authority}: the connection was cut (reset): something on the path blocks it, or the server gave up "
            "on one that took too long (loss)."
        )
    if isinstance(cause, OSError) and cause.errno == errno.EHOSTUNREACH:
        return f"{tame(str(failure))} Is the address right, and the machine there up?"
    return f"{tame(str(failure))} Is this machine's network up?"


async def silence(target: Target, host: str, source: str | None, waited_s: float) -> str:
    """Nothing came within ``waited_s``: whether that is so from the first packet on, or only once a connection is open."""
    if not host:
        return f"The name {target.host} could not be resolved: no answer within {waited_s:g} s. Is this machine's DNS reachable?"
    lead = f"Could not reach {target.authority}: "
    if await _opens(host, target.port, source):
        return (
            f"{lead}a connection opens, so TCP {target.port} is let in, and no answer comes over it within {waited_s:g} s. Either what "
            "listens there is no edgecheck-server, or a busy one; or long packets are lost on the way (a wrong MTU: VPN, PPPoE, tunnel); "
            "or something between holds up TLS."
        )
    return f"{lead}no answer within {waited_s:g} s. Is edgecheck-server running there, and does its firewall let TCP {target.port} in?"


async def _opens(host: str, port: int, source: str | None) -> bool:
    """Whether a connection comes about at all."""
    try:
        async with asyncio.timeout(_KNOCK_S):
            _, writer = await asyncio.open_connection(host, port, local_addr=(source, 0) if source else None)
    except OSError:  # of which TimeoutError is one
        return False
    writer.close()
    return True


def issuer(certificate: bytes) -> str:
    """Who issued a certificate (DER), in words."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        name = x509.load_der_x509_certificate(certificate).issuer
        names = name.get_attributes_for_oid(NameOID.COMMON_NAME) or name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        return tame(str(names[0].value) if names else name.rfc4514_string(), 80)
    except (ValueError, TypeError, x509.InvalidVersion):
        return "unreadable"
