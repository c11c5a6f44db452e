"""Why ports are not reached: a few of them, which stand for their stretch, are examined as ``port-forwarding`` examines its own.

They are closed and opened by themselves, before anything has been sent from them. The rounds are new ones, with controls and
canaries of their own: a port that arrives now was not blocked, and what was concluded of its stretch is taken back.
"""

import asyncio
from collections.abc import Sequence

from edgecheck.checks.port_forwarding.examination import REFILL_S, Rounds, arrivals, examine
from edgecheck.checks.port_forwarding.observation import Canaries, ForwardingObservation, PortRow, inbound
from edgecheck.checks.port_forwarding.tcp import DIAL_ATTEMPTS, DIAL_SPACING_MS, patience_ms, return_probes
from edgecheck.checks.port_forwarding.udp import probe_udp
from edgecheck.checks.unsolicited import was_let_in
from edgecheck.model.check import Network
from edgecheck.model.errors import LocalFailure
from edgecheck.model.profile import PortNeed, Profile
from edgecheck.wire import control

SPACING_MS = 17
"""Between copies: nine of them take as long as six did at 25 ms."""


async def look_into(
    net: Network, profile: Profile, ports: Sequence[int], controls: tuple[int, int], *, refused: bool, let_in: bool = False
) -> ForwardingObservation | None:
    """What ``port-forwarding`` would see of these ports, which nothing else may hold meanwhile.

    ``controls``: (arrived, sent) in the rounds that have found them silent. ``refused``: an error came back for some of them. ``let_in``:
    others were reached.
    """
    alternate = net.alternate
    if alternate is None or profile.rtp is None or not ports:
        return None
    contacted = net.memory.contacted(alternate.host)
    patient = net.pace > 0  # who asks for speed is told what a moment tells
    if refused and patient:
        await net.sleep(REFILL_S)
    avoid = {port for _, port in inbound(profile)} | set(range(profile.rtp[0], profile.rtp[1] + 1))
    began, before = net.now(), net.counters()
    (rows, udp, shots), over_tcp = await asyncio.gather(
        probe_udp(net, [(_need(port), port) for port in ports], avoid, spacing_ms=SPACING_MS),
        _over_tcp(net, ports[len(ports) // 2], patient),
    )
    rounds = Rounds(shots, udp, Canaries(), (before, net.counters()), began, controls)
    rows = await arrivals(net, rows, rounds)
    rows, path = await examine(net, rows, rounds, avoid, patient=patient, let_in=let_in or was_let_in(net))
    return ForwardingObservation(
        ports=(*rows, *over_tcp),
        probed_address=net.observed,
        prober=alternate.host,
        local_address=net.source,
        path=path,
        udp=udp,
        alternate_contacted_s=contacted,
    )


def _need(port: int) -> PortNeed:
    return PortNeed(ports=str(port), transport="udp", purpose="RTP", protocol="rtp")


async def _over_tcp(net: Network, port: int, patient: bool) -> list[PortRow]:
    """The row of a port that is let in over TCP, where no RTP goes: a rule for the wrong transport. Silence is nothing to tell of."""
    if not patient or "dial" not in net.service.capabilities:
        return []
    try:
        listener = await net.listen_tcp(port)
    except LocalFailure:
        return []
    series = net.new_series()
    answering = asyncio.create_task(return_probes(net, {port: listener}, series, {}, {}))
    try:
        reply = await net.ask(
            lambda id: control.Dial(
                id=id,
                series=series,
                address=net.observed,
                ports=((port, port),),
                attempts=DIAL_ATTEMPTS // 2,
                spacing_ms=DIAL_SPACING_MS,
                patience_ms=patience_ms(net),
            )
        )
    finally:
        answering.cancel()
        listener.close()
    told = reply.rows if isinstance(reply, control.Dialed) else ()
    return [
        PortRow(port=port, transport="tcp", purpose="RTP", required=False, state="forwarded", copies=row.attempts, arrived=1)
        for row in told
        if row.outcome == "proved"
    ]
