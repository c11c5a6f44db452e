"""The server knocks at public ports of this network, unasked: asking it to, and noting what comes."""

from typing import cast

from edgecheck.checks.sip_alg import messages
from edgecheck.checks.sip_alg.flow import control_probe, returned_control
from edgecheck.checks.sip_alg.messages import Caller, Step
from edgecheck.checks.sip_alg.phone_log import PhoneLog, Round
from edgecheck.model.check import Network, UdpSocket
from edgecheck.model.errors import ControlLost, RequestDeclined
from edgecheck.wire import control, probe, sdp, sip
from edgecheck.wire.address import Endpoint
from edgecheck.wire.errors import WireError

KNOCKS = 12
KNOCK_SPACING_MS = 15
GAUGES = 24
"""Beside twelve lost knocks a third of them may be lost, and one in twenty each way mostly leaves more."""


async def knock(net: Network, log: PhoneLog, senders: tuple[control.Sender, ...], ports: tuple[int, ...]) -> Round | None:
    """Have these senders of the server's send to these ports of the phone's public address; None, and ``problem`` said: they did not."""
    if log.public is None or not ports:
        log.problem = log.problem or "where this network's packets come from could not be learned"
        return None
    host = log.public.host
    series = net.new_series()
    try:
        reply = await net.ask(
            lambda id: control.Probe(
                id=id,
                series=series,
                address=host,
                ports=tuple((port, port) for port in sorted(ports)),
                senders=senders,
                copies=KNOCKS,
                spacing_ms=KNOCK_SPACING_MS,
                pace=net.pace,
            )
        )
    except (ControlLost, RequestDeclined) as error:
        log.problem = log.problem or str(error)
        return None
    await net.until(lambda: False, min(1.0, 0.05 + net.rtt))
    left = cast(control.Probed, reply).sent == len(ports) * len(senders) * KNOCKS
    return Round(series, senders, host, ports, left)


def note_knock(*, net: Network, log: PhoneLog, told: probe.Probe, source: Endpoint, local_port: int) -> None:
    """A datagram of the server's that came to this port of ours."""
    key = (told.series, _sender(net, source, told.port), told.item, local_port)
    log.knocked[key] = log.knocked.get(key, 0) + 1


def _sender(net: Network, source: Endpoint, port: int) -> str:
    """Which socket of the server's this came from: by what the probe says of its own port, and by the address."""
    service = net.service
    if port == service.stun_ports[1]:
        return "A2"
    return "BX" if source.host == service.alternate else "AX"


async def named_media_port(net: Network, log: PhoneLog, number: int) -> int | None:
    """What the SDP of the INVITE said when it arrived."""
    mirrored = await ask_mirror(net)
    if isinstance(mirrored, str):
        return None
    wanted = messages.item(number, 0, Step.INVITE)
    for record in mirrored.records:
        if record.direction == "received" and messages.recognize(record.data, net.session, log.series) == wanted:
            try:
                lines = sdp.parse(sip.parse_datagram(record.data).body)
            except WireError:
                continue
            for line in lines:
                port = line.value.split(" ")[1:2]
                if line.kind == "m" and port and port[0].isdecimal() and 1024 <= int(port[0]) <= 65_535:
                    return int(port[0])
    return None


async def gauge(net: Network, log: PhoneLog, socket: UdpSocket, to: Endpoint, number: int) -> None:
    """UDP to the server and back, in the moments of the knocks: how much of it passes."""
    caller = caller_of(net, log, number, 0, socket.local)
    for copy in range(GAUGES):
        _, data = control_probe(caller, copy, probe.SIZE, Step.SMALL_CONTROL)
        socket.send(data, to)
        log.gauge_sent += 1
        await net.sleep(KNOCKS * KNOCK_SPACING_MS / GAUGES / 1000)
    await net.sleep(min(1.0, 0.05 + net.rtt))
    log.gauge_returned = len({returned_control(arrival.data, caller) for arrival in socket.inbox} - {None})


def caller_of(net: Network, log: PhoneLog, number: int, attempt: int, local: Endpoint, media_port: int = 0) -> Caller:
    """Who calls from this address and port."""
    return Caller(
        transport="tcp",
        local=local,
        server=log.server,
        session=net.session,
        series=log.series,
        channel=number,
        attempt=attempt,
        media_port=media_port,
    )


async def ask_mirror(net: Network) -> control.Mirrored | str:
    """The server's records; or why they cannot be had."""
    try:
        return cast(control.Mirrored, await net.ask(lambda id: control.Mirror(id=id)))
    except (ControlLost, RequestDeclined) as error:
        return str(error)
