"""Ports that this machine's own rules lead on: a container's published port, where no program of this machine holds it.

Docker without its proxy, podman, Kubernetes: the port is free here, whoever opens it hears nothing, and what arrives is answered by the
container. To a listener of ours that looks like a router's rule that leads to another machine. So, while we hold the port, its service is
asked from this machine itself: an answer that did not pass us comes from where the own rules lead. Silence shows nothing.
"""

import asyncio
from collections.abc import Collection
from typing import Literal

from edgecheck.model.check import Network
from edgecheck.model.errors import LocalFailure
from edgecheck.wire import control, inquiry
from edgecheck.wire.address import Endpoint

LED_ON = "what this machine's own rules lead it on to (a container with a published port?)"
"""In the place of a program that holds the port."""
UNBOUND = "led-on"
Passes = Literal["came", "answered", "missing", "unknown"]
"""What is sent to the port from here: came to us; was answered by somebody else; came to nobody that we know; could not be tried."""
_COPIES = 3
_PATIENCE_S = 0.15


async def led_on(net: Network, places: Collection[tuple[str, int]]) -> dict[str, dict[int, LocalFailure]]:
    """Of these (transport, port), by transport: why nothing of ours could hear anything there. Only where there are containers' bridges.

    Never raises for what cannot be opened.
    """
    out: dict[str, dict[int, LocalFailure]] = {"udp": {}, "tcp": {}}
    if not places or not (await net.machine()).bridges:
        return out
    asked = sorted(places)
    found = dict(zip(asked, await asyncio.gather(*(_passes_us(net, transport, port) for transport, port in asked)), strict=True))
    for (transport, port), passes in found.items():
        # A service may be silent over UDP. What does not even come to us is led on where its twin over TCP is.
        if passes == "answered" or (passes == "missing" and found.get(("tcp", port)) == "answered"):
            out[transport][port] = LocalFailure(UNBOUND, "This machine's own rules lead it on: nothing comes to whoever opens it here.")
    return out


async def _passes_us(net: Network, transport: str, port: int) -> Passes:
    try:
        return await (_over_udp(net, port) if transport == "udp" else _over_tcp(net, port))
    except LocalFailure:
        return "unknown"


async def _over_udp(net: Network, port: int) -> Passes:
    to = Endpoint(net.source, port)
    mine = await net.open_udp(port)
    try:
        asking = await net.open_udp()
        try:
            marker = control.sip_marker(net.session, net.new_series(), port)
            text = inquiry.options(marker, "udp", asking.local, to)
            for _ in range(_COPIES):
                asking.send(text, to)
                if await net.until(lambda: bool(mine.inbox or asking.inbox), _PATIENCE_S):
                    break
            if mine.inbox:
                return "came"
            return "answered" if any(inquiry.read(arrival.data, marker) for arrival in asking.inbox) else "missing"
        finally:
            asking.close()
    finally:
        mine.close()


async def _over_tcp(net: Network, port: int) -> Passes:
    mine = await net.listen_tcp(port)
    try:
        stream = await net.connect_tcp(Endpoint(net.source, port), timeout=4 * _PATIENCE_S)
        try:
            return "came" if await net.until(lambda: bool(mine.accepted), _PATIENCE_S) else "answered"
        finally:
            stream.close()
    finally:
        mine.close()
