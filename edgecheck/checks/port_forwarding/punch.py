"""Is it the first router that holds a port up, or something beyond it?

This machine sends from the port, but the packet may live one hop longer than the box with the public address is far: that box has seen it
and expects an answer, whatever stands beyond has not. If the server's packet to the port now arrives, everything beyond lets unsolicited
packets to this port through, and the box alone had held them up. If it does not arrive, nothing is proved.

The server's second port takes part, never its alternate address: a router must not learn to let in the one whose packets must mean
something in the next run.
"""

import asyncio
import contextlib
from collections.abc import Callable

from edgecheck.checks.port_forwarding.crossing import hello
from edgecheck.checks.port_forwarding.udp import request
from edgecheck.checks.unsolicited import Inbox, copies_at_once, margin, probe_of, sender
from edgecheck.model.check import Listener, Network, Stream, UdpSocket
from edgecheck.model.errors import LocalFailure
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint

_HELLOS = 3
_TURNS = 2
_TRIES = 2
"""TCP: each from another port of the server, for each may be tried once."""
_FIRST_SOURCE_PORT, _SOURCE_PORTS = 36_000, 24_000
_PATIENCE_S = 0.25
"""For whoever refuses a connection that is meant to get no answer."""
_OPENING_S = 0.9
"""How long a connection waits to be opened from the other end: a SYN is sent again after a second (RFC 6298 section 2.1)."""
_DIAL_S = 1.2


async def punch_udp(net: Network, ports: list[int], hops: int) -> set[int]:
    """The ports that an unsolicited packet reaches once the box at hop ``hops - 1`` has seen them send."""
    source = sender(net, "A2")
    if source is None or not ports:
        return set()
    sockets: dict[int, UdpSocket] = {}
    try:
        for port in ports:
            with contextlib.suppress(LocalFailure):
                sockets[port] = await net.open_udp(port)
        if not sockets:
            return set()
        series, outward = net.new_series(), net.new_series()
        inboxes = {port: Inbox(net, socket, series, port) for port, socket in sockets.items()}
        for turn in range(_TURNS):  # no arrival proves nothing, so a slow or lossy moment deserves another
            for _ in range(_HELLOS):
                for port, socket in sockets.items():
                    socket.send(hello(net, port, outward), source, hops)
                await net.sleep(0.01)
            await net.ask(lambda id: request(id, series, net.observed, list(sockets), ("A2",), net.pace, copies_at_once(net)))
            if await net.until(lambda: all(inbox.count(source) for inbox in inboxes.values()), (turn + 1) * 2 * margin(net)):
                break
        account = await net.account(outward)
        if account is None or account.received:
            return set()  # it lived long enough to be seen by all that stands between
        return {port for port, inbox in inboxes.items() if inbox.count(source)}
    finally:
        net.memory.note_sent(list(sockets))
        for socket in sockets.values():
            socket.close()


async def punch_tcp(net: Network, ports: list[int], hops: int) -> set[int]:
    """The same for TCP: the SYN that leaves dies on the way, and the one that comes is its simultaneous open (RFC 9293 section 3.5)."""
    if not ports or "dial" not in net.service.capabilities:
        return set()
    found = await asyncio.gather(*(_punch_tcp(net, port, hops) for port in ports))
    net.memory.note_sent(ports, "tcp")
    return {port for port, arrived in zip(ports, found, strict=True) if arrived}


async def _punch_tcp(net: Network, port: int, hops: int) -> bool:
    for _ in range(_TURNS):
        if await _punched_once(net, port, hops):
            return True
    return False


async def _punched_once(net: Network, port: int, hops: int) -> bool:
    """The connections wait while the server dials. Where the system gives them up, for their SYN has expired, a listener takes what comes;
    but that begins with another sequence number, and Linux' connection tracking takes its answer for one in the window for some
    milliseconds only."""
    sources = [_FIRST_SOURCE_PORT + net.new_series() * 7919 % _SOURCE_PORTS for _ in range(_TRIES)]
    began = net.now()
    opening = [asyncio.ensure_future(net.connect_tcp(Endpoint(net.primary.host, source), port, _OPENING_S, hops)) for source in sources]
    asked: list[asyncio.Future[control.Reply]] = []
    listener: Listener | None = None
    try:
        await asyncio.wait(opening, timeout=_PATIENCE_S + net.rtt)
        ends = [_end(each) for each in opening]
        if any(end in ("answered", "refused", "reset") for end in ends) or set(ends) <= {"port-in-use", "permission"}:
            return False  # it was answered: it had lived to the end; or none could be sent
        ended = all(each.done() for each in opening) and net.now() - began < _OPENING_S
        with contextlib.suppress(LocalFailure):
            listener = await net.listen_tcp(port)
        series = net.new_series()

        def arrived() -> bool:
            # Seen here, not told by the server: a router may let the connection in and lose its way back, for it has seen no handshake.
            streams = [each.result() for each in opening if each.done() and not each.cancelled() and each.exception() is None]
            if listener is not None and (ended or net.now() - began < _OPENING_S):  # before any SYN was sent again
                streams += listener.accepted
            found = (probe_of(net, bytes(stream.received)) for stream in streams)
            return any(one is not None and one.series == series for one in found)

        asked = [asyncio.ensure_future(net.ask(_dial(net, series, port, source))) for source in sources]
        return await net.until(arrived, _DIAL_S + 3 * net.rtt)
    finally:
        for question in asked:
            question.cancel()
        for each in opening:
            each.cancel()
        for made in await asyncio.gather(*opening, return_exceptions=True):
            if not isinstance(made, BaseException):
                made.close()
        await asyncio.gather(*asked, return_exceptions=True)  # whatever became of them: nobody else would look
        if listener is not None:
            listener.close()


def _end(opening: "asyncio.Future[Stream]") -> str:
    """What became of it: why it failed, or that it was answered; empty: it still waits."""
    if not opening.done():
        return ""
    failure = opening.exception()
    return failure.reason if isinstance(failure, LocalFailure) else "answered"


def _dial(net: Network, series: int, port: int, source: int) -> Callable[[int], control.Dial]:
    return lambda id: control.Dial(
        id=id,
        series=series,
        address=net.observed,
        ports=((port, port),),
        sender="A",
        attempts=1,
        patience_ms=int(1000 * (_DIAL_S + 2 * net.rtt)),
        source_port=source,
    )
