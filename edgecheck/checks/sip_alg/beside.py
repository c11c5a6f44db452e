"""INVITEs of another shape, each beside all else, from sockets of its own: long ones, and one in two TCP segments; OPTIONS with another
port in Via.

- **Long**: an ALG, or a firewall that reads SIP, may drop what is longer than it can hold; and a path may drop whatever is longer than a
  packet. The control of the same size tells the two apart.
- **In two segments**: an ALG that rewrites packet by packet knows a message on TCP only when it is whole in one segment.
- **Another port in Via**: the Linux ALG delivers the answer there instead of where the request came from. Our server never answers to Via.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec

from edgecheck.checks.sip_alg import loss, messages
from edgecheck.checks.sip_alg.both_ends import BothEnds, sort_out
from edgecheck.checks.sip_alg.log import ChannelLog, ServerAccount, status_of
from edgecheck.checks.sip_alg.messages import Caller, Step, recognize
from edgecheck.checks.sip_alg.observation import SipProbe, Size, ViaPort
from edgecheck.checks.sip_alg.reading import read_channel, read_probe
from edgecheck.checks.sip_alg.stream import StreamTraffic
from edgecheck.checks.sip_alg.udp import UdpTraffic
from edgecheck.model.check import Network, UdpSocket
from edgecheck.model.errors import LocalFailure
from edgecheck.wire.address import Endpoint

SIZES = (1400, 1900)
"""Bytes: what fits into a packet of Ethernet and not into every tunnel's; and what needs fragments."""
SPLIT_AT = 200
"""Behind Via, within Contact."""
_VIA_COPIES = 12
_VIA_SPACING_S = 0.07


class Shape(NamedTuple):
    """One kind of INVITE."""

    name: str
    transport: str
    size: int = 0
    split_at: int = 0


@dataclass(slots=True)
class Beside:
    """One shape: its log, its series, its traffic."""

    shape: Shape
    log: ChannelLog
    series: int
    ends: BothEnds | None = None

    async def run(self, net: Network, media_port: int) -> None:
        """Send it as any INVITE, to its end."""
        log, shape = self.log, self.shape

        def caller(local: Endpoint, attempt: int = 0) -> Caller:
            return Caller(
                transport=log.transport,
                local=local,
                server=log.server,
                session=net.session,
                series=self.series,
                channel=log.number,
                attempt=attempt,
                media_port=media_port + 2 * attempt,
                invite_size=shape.size,
            )

        traffic: UdpTraffic | StreamTraffic
        if log.transport == "udp":
            try:
                socket = await net.open_udp()
            except LocalFailure as failure:
                log.not_tested = str(failure)
                return
            traffic = UdpTraffic(net, caller(socket.local), log, socket, ("INVITE",), small=True)
        else:
            traffic = StreamTraffic(net, caller, log, ("INVITE",), split_at=shape.split_at)
        try:
            await traffic.run()
        finally:
            traffic.close()

    def sort(self, account: ServerAccount, session: bytes) -> None:
        """Take the server's account in."""
        self.ends = sort_out(self.log, account, session, self.series)

    def read(self) -> SipProbe | None:
        """The row; None where nothing was sent."""
        if self.ends is None or self.log.not_tested is not None:
            return None
        row = read_probe(self.ends, "INVITE")
        named = tuple(msgspec.structs.replace(one, name=self.shape.name) for one in row.messages if one.name == "INVITE")
        changes = tuple(msgspec.structs.replace(one, message=one.message.replace("INVITE", self.shape.name)) for one in row.changes)
        return msgspec.structs.replace(row, method=self.shape.name, messages=named, changes=changes)

    def read_size(self) -> Size | None:
        """What became of this size as such, beside short ones from the same socket in the same rounds."""
        if self.ends is None or not self.shape.size or self.log.not_tested is not None:
            return None
        ends, facts, log = self.ends, read_channel(self.ends), self.log
        invites = [sent for sent in log.sent.values() if sent.request.step is Step.INVITE]
        sent = sum(one.copies for one in invites) + facts.control_sent
        came = None
        if ends.account.whole and facts.control_arrived is not None:
            came = sum(len(ends.received.get(one.request.item, [])) for one in invites) + facts.control_arrived
        small = [row for row in ends.account.controls or () if row.item in log.small_sent]
        arrived, answered = {row.item for row in small}, {row.item for row in small if row.answered}
        passes: bool | None = True if facts.control_returned else None
        way: Literal["out", "back"] | None = None
        if came == 0 and loss.drop_is_proved(sent, len(log.small_sent), len(arrived)):
            passes, way = False, "out"
        elif not facts.control_returned and loss.drop_is_proved(
            facts.control_answered or 0, len(answered), len(answered & log.small_returned)
        ):
            passes, way = False, "back"
        return Size(
            server_port=log.server.port,
            bytes=self.shape.size,
            sent=sent,
            arrived=came,
            answered=facts.control_answered,
            returned=facts.control_returned,
            small_sent=len(log.small_sent),
            small_returned=len(log.small_returned),
            passes=passes,
            lost_on_way=way,
        )


def shapes(logs: list[ChannelLog], net: Network) -> list[Beside]:
    """What is sent beside, where the usual channel is there."""
    out = []
    for log in logs[:2]:
        if log.not_tested is not None:
            continue
        wanted = (
            [Shape(f"INVITE of {size} bytes", "udp", size=size) for size in SIZES]
            if log.transport == "udp"
            else [Shape("INVITE in two segments", "tcp", split_at=SPLIT_AT)]
        )
        for shape in wanted:
            beside = ChannelLog(number=log.number, transport=log.transport, server=log.server)
            out.append(Beside(shape, beside, net.new_series()))
    return out


class ViaTrial:
    """An OPTIONS that names another port in Via."""

    def __init__(self, net: Network, server: Endpoint) -> None:
        self._net = net
        self._server = server
        self.series = net.new_series()
        self._source: UdpSocket | None = None
        self._other: UdpSocket | None = None

    async def run(self) -> None:
        """Until an answer has come to either port."""
        net = self._net
        try:
            self._source, self._other = await net.open_udp(), await net.open_udp()
        except LocalFailure:
            return
        caller = Caller(transport="udp", local=self._other.local, server=self._server, session=net.session, series=self.series, channel=0)
        request = messages.options(caller)
        for copy in range(_VIA_COPIES):
            self._source.send(request.data, self._server)
            pause = _VIA_SPACING_S if copy else max(_VIA_SPACING_S, min(0.5, 1.3 * net.rtt))
            if await net.until(lambda: bool(self._came(self._source) or self._came(self._other)), pause):
                break
        else:
            await net.until(lambda: bool(self._came(self._source) or self._came(self._other)), min(1.0, 0.2 + net.rtt))

    def _came(self, socket: UdpSocket | None) -> int:
        ours = [
            arrival
            for arrival in (socket.inbox if socket is not None else ())
            if status_of(arrival.data) is not None and recognize(arrival.data, self._net.session, self.series) is not None
        ]
        return len(ours)

    def read(self, account: ServerAccount) -> ViaPort | None:
        """None where it could not be tried."""
        if self._source is None or self._other is None:
            return None
        answered = None
        if account.records is not None:
            sent = [record for record in account.records if record.direction == "sent" and record.transport == "udp"]
            answered = sum(recognize(record.data, self._net.session, self.series) is not None for record in sent)
        return ViaPort(
            server_port=self._server.port,
            sent_from=str(self._source.local),
            via=str(self._other.local),
            answered=answered,
            at_source=self._came(self._source),
            at_via=self._came(self._other),
        )

    def close(self) -> None:
        for socket in (self._source, self._other):
            if socket is not None:
                socket.close()
