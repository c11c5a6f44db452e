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
from edgecheck.model.check import Network, UdpSocket
from edgecheck.model.errors import LocalFailure
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint

_HELLOS = 3
_TURNS = 2
_TRIES = 2
"""TCP: each from another port of the server, for each may be tried once."""
_FIRST_SOURCE_PORT, _SOURCE_PORTS = 36_000, 24_000
_PATIENCE_S = 0.25
"""For a connection that is meant to fail: the error tells sooner where the platform hears it."""
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
    sources = [_FIRST_SOURCE_PORT + net.new_series() * 7919 % _SOURCE_PORTS for _ in range(_TRIES)]
    for source in sources:
        try:
            stream = await net.connect_tcp(Endpoint(net.primary.host, source), port, _PATIENCE_S, hops)
        except LocalFailure as failure:
            if failure.reason in ("port-in-use", "permission", "refused", "reset"):
                return False  # it was answered: it had lived to the end
        else:
            stream.close()
            return False
    try:
        listener = await net.listen_tcp(port)
    except LocalFailure:
        return False
    series = net.new_series()

    def arrived() -> bool:
        # Seen here, not told by the server: a router may let the connection in and lose its way back, for it has seen no handshake.
        found = (probe_of(net, bytes(stream.received)) for stream in listener.accepted)
        return any(one is not None and one.series == series for one in found)

    asked = [asyncio.ensure_future(net.ask(_dial(net, series, port, source))) for source in sources]
    try:
        return await net.until(arrived, _DIAL_S + 3 * net.rtt)
    finally:
        for each in asked:
            each.cancel()
        await asyncio.gather(*asked, return_exceptions=True)  # whatever became of them: nobody else would look
        listener.close()


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
