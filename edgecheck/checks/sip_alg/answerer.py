"""Where sits whoever answers in the server's place? That the server does not, it says itself; requests that cannot get far tell where."""

import msgspec

from edgecheck.checks.sip_alg.authorship import is_signed
from edgecheck.checks.sip_alg.knocking import ask_mirror
from edgecheck.checks.sip_alg.locate import WALKED
from edgecheck.checks.sip_alg.log import ChannelLog
from edgecheck.checks.sip_alg.messages import Caller
from edgecheck.checks.sip_alg.observation import Located, RoundTrip, SipAlgObservation, Taken
from edgecheck.checks.sip_alg.taken import NOT_PLACED, TIMED, Climb, Make, hops_of, place
from edgecheck.model.check import Network, UdpSocket
from edgecheck.model.errors import LocalFailure

_PAUSES = (0.08,)
_MEDIA_PORT = 30_000
"""Announced by the first INVITE; nothing listens there."""


async def look_for_whoever_answers(net: Network, log: ChannelLog, seen: SipAlgObservation, method: str) -> SipAlgObservation:
    """The observation with whoever answers this method on this channel located, and the times that he takes."""
    try:
        socket = await net.open_udp()
    except LocalFailure as failure:
        return msgspec.structs.replace(seen, located_reason=str(failure))
    climbing = Climb(
        net, socket, log.server, maker(net, log, socket, method), lambda data: data.startswith(b"SIP/2.0 ") and not is_signed(data)
    )
    try:
        taken = await climbing.run(_PAUSES)
        if taken.hops is not None:
            await climbing.time(TIMED)
    finally:
        socket.close()
    placed, reason = await _place(net, climbing, taken)
    located = tuple(msgspec.structs.replace(one, message=method) for one in placed) if placed else None
    trips = (*climbing.round_trips(), RoundTrip(of="the server", by="server", samples=TIMED, least_ms=round(net.rtt * 1000, 2)))
    return msgspec.structs.replace(seen, located=located, located_reason=reason, taken=(taken,), round_trips=trips)


async def _place(net: Network, climbing: Climb, taken: Taken) -> tuple[tuple[Located, ...] | None, str]:
    if taken.hops is None:
        return None, "no request that was sent to expire on the way was answered"
    mirrored = await ask_mirror(net)
    if isinstance(mirrored, str):
        return None, f"the server's account of SIP could not be had ({mirrored})"
    near = climbing.tokens(taken.hops)
    if any(token in record.data for record in mirrored.records for token in near if record.direction == "received"):
        return None, f"a request that lives for {hops_of(taken.hops)} reaches the server as well"
    found = place(taken, (await net.machine()).gateways)
    return (None, NOT_PLACED) if found is None else ((found,), "")


def maker(net: Network, log: ChannelLog, socket: UdpSocket, method: str) -> Make:
    """Fresh requests of this method, each with a number of its own."""
    series = net.new_series()

    def make(number: int) -> tuple[bytes, bytes]:
        caller = Caller(
            transport="udp",
            local=socket.local,
            server=log.server,
            session=net.session,
            series=series,
            channel=log.number,
            attempt=number,
            media_port=_MEDIA_PORT + 2 * number,
        )
        request = WALKED[method](caller)
        return request.data, caller.marker(request.step).encode()

    return make
