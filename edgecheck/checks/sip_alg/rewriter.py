"""Who rewrites a request? It is followed hop by hop in what routers quote of it (``locate``), and its neighbors are asked once more.

Two quotes of one message differ by what was done between them only if the same is done to every copy. A box that leaves the first packet
of a flow alone, or every other one, or all that its fast path carries, looks as if another had done it: so each hop that is named, and
the one behind it, is asked again, and must quote the message as before.
"""

import random
from collections.abc import Callable, Collection, Sequence

import msgspec

from edgecheck.checks.hops import RATE_LIMIT_S, expire
from edgecheck.checks.sip_alg.knocking import ask_mirror
from edgecheck.checks.sip_alg.locate import Stage, differences, locate, message_of, walk, with_neighbors
from edgecheck.checks.sip_alg.log import ChannelLog
from edgecheck.checks.sip_alg.messages import Caller, Request
from edgecheck.checks.sip_alg.observation import Located, SipAlgObservation
from edgecheck.checks.sip_alg.owner import check_owners, written
from edgecheck.model.check import Network, UdpSocket
from edgecheck.model.errors import LocalFailure
from edgecheck.wire.address import Endpoint

AGAIN = 2
"""So often each is asked once more."""
NOT_EACH_TIME = "the same message is rewritten at some times and not at others: which hop does it cannot be told"


async def look_for_whoever_rewrites(
    net: Network, log: ChannelLog, seen: SipAlgObservation, method: str, make: Callable[[Caller], Request], media_port: int
) -> SipAlgObservation:
    """The observation with the hops that rewrite the method's request, as ``make`` writes it, or why they are not known."""
    try:
        socket = await net.open_udp()
    except LocalFailure as failure:
        return msgspec.structs.replace(seen, located_reason=str(failure))
    try:
        caller = Caller(
            transport="udp",
            local=socket.local,
            server=log.server,
            session=net.session,
            series=net.new_series(),
            channel=log.number,
            media_port=media_port,
        )
        request = make(caller)
        marker = caller.marker(request.step).encode()
        stages, arrived = await walk(net, socket, log.server, request.data)
        at_server = (await _received(net, marker))[:1] if arrived else []
        located, reason = locate(request.data, stages, at_server[0] if at_server else None)
        if located is not None:
            doubt = await unsteady(net, socket, log.server, request.data, stages, located)
            copies = await _received(net, marker) if arrived else []
            if doubt or any(differences(at_server[0], copy) for copy in copies if at_server):
                return msgspec.structs.replace(seen, located=None, located_reason=doubt or NOT_EACH_TIME)
    finally:
        socket.close()
    if located is not None:
        gateways = (await net.machine()).gateways
        addresses = written(request.data, stages, at_server[0] if at_server else None)
        located = await check_owners(net, log.server, located, stages, addresses)
        located = with_neighbors(located, stages, gateways, log.server.host if at_server else None)
        located = tuple(msgspec.structs.replace(one, message=method) for one in located)
    elif at_server and not differences(request.data, at_server[0]):
        reason = f"the {method} that was followed arrived as it was sent: whoever does it leaves some alone"
    return msgspec.structs.replace(seen, located=located, located_reason=reason)


async def _received(net: Network, marker: bytes) -> list[bytes]:
    """Every copy that the server has, the first one first."""
    mirrored = await ask_mirror(net)
    return [one.data for one in getattr(mirrored, "records", ()) if one.direction == "received" and marker in one.data]


async def unsteady(
    net: Network, socket: UdpSocket, to: Endpoint, message: bytes, stages: Sequence[Stage], located: Collection[Located]
) -> str:
    """Why those located may not have done it: asked again, a hop shows the message otherwise, or nothing. Empty: each shows it as before.

    The copies for the hop before the server are sent, too, where the server is the next one: its account tells of them.
    """
    quoting = {stage.hop: stage for stage in stages if stage.text}
    beside = sorted({hop for one in located for hop in (one.hop, one.hop + 1, one.up_to_hop or one.hop) if hop})
    draw = random.Random(message)
    for _ in range(AGAIN):
        draw.shuffle(beside)
        for hop in beside:
            stage = quoting.get(hop)
            if stage is None:
                socket.send(message, to, hop)  # to the server: see its account
                continue
            others = {other.address for other in stages if other.address not in (None, stage.address)}
            quote = await _ask_again(net, socket, to, message, hop, {address for address in others if address})
            if quote is None:
                return f"hop {hop} told of the request once and not again: too little to say which hop does it"
            if differences(stage.text, quote):
                return NOT_EACH_TIME
    await net.sleep(1.3 * net.rtt)  # what goes to the server arrives
    return ""


async def _ask_again(net: Network, socket: UdpSocket, to: Endpoint, message: bytes, hop: int, nearer: Collection[str]) -> bytes | None:
    """What this hop quotes; routers tell of few expired packets a second. None: nothing."""
    for pause in (0.0, RATE_LIMIT_S, RATE_LIMIT_S):
        if pause:
            await net.sleep(pause)
        quote, _ = await expire(net, socket, to, message, hop, nearer=nearer)
        if quote is not None and quote.expired:
            return message_of(quote)
    return None
