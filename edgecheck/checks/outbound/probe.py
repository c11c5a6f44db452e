"""The measurement: UDP and streams side by side, then what each port's outcome is."""

import asyncio

from msgspec.structs import replace

from edgecheck.checks.outbound.aims import aims, sample
from edgecheck.checks.outbound.messages import Language
from edgecheck.checks.outbound.observation import ISSUED_BY, OutboundObservation, OutboundTarget
from edgecheck.checks.outbound.streams import StreamResult, StreamTally, StreamTrial
from edgecheck.checks.outbound.tally import UdpTally
from edgecheck.checks.outbound.udp import UdpResult, UdpTrial, sip_records
from edgecheck.checks.outbound.weighing import Sides, weigh_stream, weigh_udp
from edgecheck.model import draft
from edgecheck.model.check import Network
from edgecheck.model.errors import ControlLost, RequestDeclined
from edgecheck.model.profile import Profile
from edgecheck.wire import control


async def probe_network(net: Network, profile: Profile) -> OutboundObservation:
    """Try every port once; a server that answers nowhere on it is not asked."""
    wanted = aims(net.service, profile, await _open_media(net))
    tried = [aim for aim in wanted if aim.speech is not None]
    udp_aims = tuple(aim for aim in tried if aim.transport == "udp")
    stream_aims = tuple(aim for aim in tried if aim.transport != "udp")
    language = Language(net)
    over_streams = StreamTrial(net, language, stream_aims, len(udp_aims))
    over_udp = UdpTrial(net, language, udp_aims, over_streams.witness_opens)
    draft.leave(lambda why: _so_far(net, why, over_udp.result, over_streams.result))
    udp, streams = await asyncio.gather(over_udp.run(), over_streams.run())
    seen_as_sip = {}
    for tally in udp.tallies:
        if tally.aim.speech == "sip" and tally.answered and tally.arrived == 0:
            seen_as_sip[tally.aim.port] = await _sip_records(net, tally.aim.port)
    sides = Sides(udp, net.in_session, (await net.machine()).gateways, net.source, net.primary.host)
    targets: list[OutboundTarget] = []
    by_aim = {tally.aim: weigh_udp(tally, udp, sides, seen_as_sip.get(tally.aim.port)) for tally in udp.tallies}
    by_aim |= {tally.aim: weigh_stream(tally, sides) for tally in streams.tallies}
    for aim in wanted:
        if aim in by_aim:
            targets.append(by_aim[aim])
        elif all((row.transport, row.port) != (aim.transport, aim.port) for row in targets):
            reason = "the server does not answer there"
            targets.append(OutboundTarget(transport=aim.transport, port=aim.port, purpose=aim.purpose, state="not-offered", reason=reason))
    if net.in_session:
        targets.append(_control_channel(net))
    dns: bool | None = None
    reasons = {}
    if udp.dns_answered or udp.dns_arrived:
        dns = udp.dns_answered
    else:
        reasons["dns_intercepted"] = (
            "no DNS question reached the server, and none was answered" if udp.dns_copies else "the server has no port 53"
        )
    if streams.portal is None:
        reasons["captive_portal"] = "no web server answered in the echo server's place"
    return OutboundObservation(
        server=net.primary.host,
        session=net.in_session,
        targets=tuple(targets),
        captive_portal=streams.portal if net.in_session else None,
        dns_intercepted=dns,
        reasons=reasons,
    )


def _so_far(net: Network, why: str, udp: UdpResult, streams: StreamResult) -> OutboundObservation:
    """What has answered as the server does; whoever is silent may have been waited for too short a time."""
    targets = []
    tallies: list[UdpTally | StreamTally] = [*udp.tallies, *streams.tallies]
    for tally in tallies:
        # Only the server's receipt tells its own answer to SIP over UDP from that of an ALG.
        blind = tally.aim.transport == "udp" and (tally.aim.speech == "sip" or (tally.aim.port == 53 and udp.dns_answered))
        foreign = isinstance(tally, StreamTally) and tally.issuer is not None
        known = bool(tally.answered) and not blind and not foreign
        targets.append(
            OutboundTarget(
                transport=tally.aim.transport,
                port=tally.aim.port,
                purpose=tally.aim.purpose,
                state="open" if known else "undecided",
                copies=tally.tried if isinstance(tally, StreamTally) else tally.copies,
                answered=int(tally.answered),
                reason="" if known else why,
            )
        )
    return OutboundObservation(
        server=net.primary.host,
        session=net.in_session,
        targets=tuple(targets),
        captive_portal=streams.portal if net.in_session else None,
        dns_intercepted=udp.dns_answered or None,
        reasons={} if udp.dns_answered else {"dns_intercepted": why},
    )


def _control_channel(net: Network) -> OutboundTarget:
    seen = OutboundTarget(transport="tls", port=net.control_endpoint.port, purpose="control channel", state="open", copies=1, answered=1)
    if not net.interceptor:
        return seen
    reason = "another certificate was shown than the server's"
    return replace(seen, state="intercepted", side="network", answered_by=f"{ISSUED_BY}{net.interceptor}", reason=reason)


async def _open_media(net: Network) -> tuple[int, ...]:
    wanted = sample(net.service.media) if net.in_session else ()
    if not wanted:
        return ()
    try:
        reply = await net.ask(lambda id: control.OpenMedia(id=id, ports=tuple((port, port) for port in wanted)))
    except (RequestDeclined, ControlLost):
        return ()
    opened = {port for low, high in reply.ports for port in range(low, high + 1)} if isinstance(reply, control.MediaOpened) else set()
    return tuple(port for port in wanted if port in opened)


async def _sip_records(net: Network, port: int) -> int | None:
    try:
        return await sip_records(net, port)
    except (RequestDeclined, ControlLost):
        return None
