"""Carrying out an inquiry: a socket of its own for each port asked, few messages, and patience instead of force."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from time import monotonic

from echo_server.plans.inquiry import Inquiring
from echo_server.probing.dialer import refusal, words
from echo_server.probing.source_ports import SourcePorts
from echo_server.sockets import icmp
from edgecheck.wire import certificates, inquiry
from edgecheck.wire.address import Endpoint
from edgecheck.wire.control import Inquired

_HOLD_S = 0.4
"""A connection is kept at least so long: the client looks for it in its own system's table of connections."""
_LISTEN_S = 0.4
"""How long a service that is asked nothing may take to say something of its own (a banner)."""
_AT_ONCE = 16
"""Ports of one request in work at a time."""
_ECT1 = 1
_IPV6_TCLASS = 67

Bind = Callable[[socket.SocketKind], socket.socket]


async def ask(plan: Inquiring, host: str, ports: SourcePorts) -> Inquired:
    """Ask every service of the plan from ``host`` and return the reply; ends early when the session does."""
    gate = asyncio.Semaphore(_AT_ONCE)

    def bind(kind: socket.SocketKind) -> socket.socket:
        return ports.draw(lambda: _open(plan, host, kind), plan.request.address)

    async def one(port: int) -> None:
        async with gate:
            if plan.session.ended:
                return
            if plan.request.transport == "udp":
                await _ask_datagram(plan, bind, port)
            else:
                await _ask_streams(plan, bind, port)

    await asyncio.gather(*(one(port) for port in plan.ports))
    return plan.finish()


def _open(plan: Inquiring, host: str, kind: socket.SocketKind) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    try:
        made.setblocking(False)
        made.bind((host, 0))
        icmp.want_errors(made)
        if plan.request.mark and kind == socket.SOCK_DGRAM:
            if ":" in host:
                made.setsockopt(socket.IPPROTO_IPV6, _IPV6_TCLASS, _ECT1)
            else:
                made.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _ECT1)
    except BaseException:
        made.close()
        raise
    return made


def _drawn(plan: Inquiring, bind: Bind, port: int, kind: socket.SocketKind) -> socket.socket | None:
    """A socket for one question; None, and the port is told as not asked: this system has none to give."""
    try:
        return bind(kind)
    except OSError as error:
        plan.ended(port, "unsent", 0.0, words(error))
        return None


async def _pause(plan: Inquiring) -> None:
    """Keep within the pace of the session."""
    wait = plan.session.reserve_probe(monotonic())
    if wait > 0:
        await asyncio.sleep(wait)


# --- UDP ---------------------------------------------------------------------------------------------------------------------


async def _ask_datagram(plan: Inquiring, bind: Bind, port: int) -> None:
    """Copies of one OPTIONS until it is answered."""
    request = plan.request
    begun = monotonic()
    made = _drawn(plan, bind, port, socket.SOCK_DGRAM)
    if made is None:
        return
    with made:
        local_port = made.getsockname()[1]
        question = plan.question(port, local_port)
        for copy in range(request.attempts):
            await _pause(plan)
            if plan.session.ended:
                return
            try:
                made.sendto(question, (request.address, port))
            except OSError as error:
                if not _icmp(plan, made, port, begun):
                    plan.ended(port, "unsent", 0.0, words(error))
                continue
            plan.left(port, local_port)
            last = copy == request.attempts - 1
            if await _answered(plan, made, port, begun, (request.patience_ms if last else request.spacing_ms) / 1000):
                return


async def _answered(plan: Inquiring, made: socket.socket, port: int, begun: float, seconds: float) -> bool:
    """Whether an answer comes within so many seconds; ICMP errors and strangers' words are noted and end nothing."""
    loop = asyncio.get_running_loop()
    deadline = monotonic() + seconds
    while (left := deadline - monotonic()) > 0:
        try:
            async with asyncio.timeout(left):
                data, source = await loop.sock_recvfrom(made, inquiry.MAX_ANSWER)
        except TimeoutError:
            return False
        except OSError:
            _icmp(plan, made, port, begun)
            continue
        if plan.heard(port, data, Endpoint(source[0], source[1]), (monotonic() - begun) * 1000):
            return True
    return False


def _icmp(plan: Inquiring, made: socket.socket, port: int, begun: float) -> bool:
    """Take an ICMP error that waits into the account."""
    error = icmp.read_error(made)
    if error is None:
        return False
    ttl = f", TTL {error.ttl}" if error.ttl else ""
    plan.ended(port, "unreachable", (monotonic() - begun) * 1000, f"ICMP {error.type}/{error.code} from {error.offender}{ttl}")
    return True


# --- TCP and TLS -------------------------------------------------------------------------------------------------------------


async def _ask_streams(plan: Inquiring, bind: Bind, port: int) -> None:
    """Connections begun one after the other, so that one lost SYN costs little; the first that comes about ends the others."""
    there = asyncio.Event()
    tasks: list[asyncio.Task[None]] = []
    try:
        for number in range(plan.request.attempts):
            if number:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(plan.request.spacing_ms / 1000):
                        await there.wait()
            if there.is_set() or plan.session.ended:
                break
            await _pause(plan)
            tasks.append(asyncio.create_task(_ask_stream(plan, bind, port, there)))
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _ask_stream(plan: Inquiring, bind: Bind, port: int, there: asyncio.Event) -> None:
    begun = monotonic()
    loop = asyncio.get_running_loop()
    made = _drawn(plan, bind, port, socket.SOCK_STREAM)
    if made is None:
        return
    with made:
        local_port = made.getsockname()[1]
        plan.left(port, local_port)
        try:
            async with asyncio.timeout(plan.request.patience_ms / 1000):
                connecting = asyncio.ensure_future(loop.sock_connect(made, (plan.request.address, port)))
                given_up = asyncio.ensure_future(there.wait())
                try:
                    await asyncio.wait((connecting, given_up), return_when=asyncio.FIRST_COMPLETED)
                    if not connecting.done():
                        return  # another connection came about
                    await connecting
                finally:
                    connecting.cancel()
                    given_up.cancel()
        except TimeoutError:
            return
        except OSError as error:
            outcome, detail = refusal(icmp.read_error(made), error)
            plan.ended(port, outcome, (monotonic() - begun) * 1000, detail)
            return
        if there.is_set():
            return
        there.set()
        plan.connected(port, local_port, (monotonic() - begun) * 1000)
        came = monotonic()
        try:
            await _talk(plan, made, port, local_port, begun)
        except (OSError, ssl.SSLError) as error:
            plan.trouble(port, getattr(error, "reason", None) or words(error))
        await asyncio.sleep(max(0.0, came + _HOLD_S - monotonic()))


async def _talk(plan: Inquiring, made: socket.socket, port: int, local_port: int, begun: float) -> None:
    """Open TLS where it is wanted, put the question, listen. Raises ``OSError``."""
    request = plan.request
    context = _trusting() if request.transport == "tls" else None
    # A duplicate: the stream closes its own, and the connection stands until ``made`` is closed too.
    writer = None
    try:
        async with asyncio.timeout(request.patience_ms / 1000):
            reader, writer = await asyncio.open_connection(
                sock=made.dup(), ssl=context, server_hostname="" if context else None, limit=inquiry.MAX_ANSWER
            )
            encryption = writer.get_extra_info("ssl_object")
            if encryption is not None:
                plan.encrypted(port, certificates.read(encryption.getpeercert(binary_form=True) or b""))
            question = plan.question(port, local_port)
            if question:
                writer.write(question)
        wait = request.patience_ms / 1000 if question else min(_LISTEN_S, request.patience_ms / 1000)
        received = b""
        async with asyncio.timeout(wait):
            while len(received) < inquiry.MAX_ANSWER and (data := await reader.read(inquiry.MAX_ANSWER)):
                received += data
                if plan.heard(port, received, None, (monotonic() - begun) * 1000):
                    return
    except TimeoutError:
        if writer is None:
            plan.trouble(port, "TLS did not come about in time")
    finally:
        if writer is not None:
            writer.transport.abort()


def _trusting() -> ssl.SSLContext:
    """The certificate is evidence, not a condition; old PBXs' ciphers are good enough to ask who it is."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with contextlib.suppress(ssl.SSLError):
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context
