"""Carrying out a plan of TCP connections: every attempt its own socket and its own SYN."""

import asyncio
import errno
import os
import socket
from time import monotonic

from echo_server.plans.prober import Attempt, Dialing
from echo_server.probing.source_ports import SourcePorts
from echo_server.sockets import icmp
from echo_server.sockets.listeners import hear_from, limit_hops
from edgecheck.wire import inquiry, probe
from edgecheck.wire.control import Dialed, ErrorRow

_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENOPROTOOPT, errno.EPROTO})


async def dial(plan: Dialing, host: str, ports: SourcePorts) -> Dialed:
    """Attempt every connection of the plan from ``host`` and return the reply; ends early when the session does."""
    await asyncio.gather(*(_dial_port(plan, host, port, ports) for port in plan.ports))
    return plan.finish()


async def _dial_port(plan: Dialing, host: str, port: int, ports: SourcePorts) -> None:
    """The attempts to one port, spaced. One that proves it makes the others needless."""
    proved = asyncio.Event()
    tasks: list[asyncio.Task[None]] = []
    try:
        for number in range(plan.request.attempts):
            if number and await _within(plan.request.spacing_ms / 1000, proved):
                break
            if plan.session.ended:
                break
            tasks.append(asyncio.create_task(_attempt(plan, host, port, number, proved, ports)))
        everything = asyncio.gather(*tasks)
        first = asyncio.create_task(proved.wait())
        await asyncio.wait((everything, first), return_when=asyncio.FIRST_COMPLETED)
        first.cancel()
        if everything.done():
            everything.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _within(seconds: float, event: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


async def _attempt(plan: Dialing, host: str, port: int, number: int, proved: asyncio.Event, ports: SourcePorts) -> None:
    begun = monotonic()
    loop = asyncio.get_running_loop()
    connected = False
    received = b""
    outcome, detail = "unsent", ""
    told: icmp.IcmpError | None = None
    made: socket.socket | None = None
    try:
        wanted = plan.request.source_port
        made = _bind(host, wanted) if wanted else ports.draw(lambda: _bind(host, 0), plan.request.address)
        icmp.want_errors(made)
        if plan.request.hops:
            limit_hops(made, plan.request.hops)
        if plan.request.least_ttl:
            hear_from(made, plan.request.least_ttl)
        outcome = "silent"
        async with asyncio.timeout(plan.request.patience_ms / 1000):
            plan.left(port)
            await loop.sock_connect(made, (plan.request.address, port))
            connected = True
            await loop.sock_sendall(made, plan.greeting(port, number, made.getsockname()[1]))
            while len(received) < probe.SIZE and (data := await loop.sock_recv(made, 256)):
                received += data
    except TimeoutError:
        pass  # the patience is at an end, or the system's own
    except OSError as error:
        if made is not None and not connected and outcome == "silent":
            told = icmp.read_error(made)
            outcome, detail = refusal(told, error)
        else:
            detail = words(error)
    finally:
        if made is not None:
            made.close()
    if connected:
        outcome = "proved" if plan.proves(port, received) else "connected"
        if outcome != "proved" and received:
            # An echo service, or a port forwarded to one: our own bytes are nobody's words.
            detail = "it returned what it was sent" if received.startswith(probe.MAGIC) else inquiry.first_words(received)
    row = _row(port, plan.local, told) if told is not None else None
    plan.ended(port, Attempt(outcome, (monotonic() - begun) * 1000, detail, row))
    if outcome == "proved":
        proved.set()


def _bind(host: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        made.bind((host, port))
    except BaseException:
        made.close()
        raise
    return made


def _row(port: int, local: str, told: icmp.IcmpError) -> ErrorRow:
    return ErrorRow(port=port, sender=f"{local}/tcp", icmp_type=told.type, icmp_code=told.code, offender=told.offender, ttl=told.ttl)


def refusal(icmp_error: icmp.IcmpError | None, error: OSError) -> tuple[str, str]:
    """What a failed connect means: a reset, an ICMP error (and whose), or our own system."""
    if icmp_error is not None:
        # Also where errno says "refused": a firewall's REJECT is an ICMP port unreachable, no reset.
        return "unreachable", f"ICMP {icmp_error.type}/{icmp_error.code} from {icmp_error.offender}"
    said = words(error)
    if error.errno in (errno.ECONNREFUSED, errno.ECONNRESET):
        return "refused", said
    if error.errno in _UNREACHABLE and not icmp.SUPPORTED:
        return "unreachable", said
    return "unsent", said


def words(error: OSError) -> str:
    """The system's words: asyncio puts its own in their place."""
    return os.strerror(error.errno) if error.errno else str(error)
