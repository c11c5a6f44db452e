"""A PBX that registers over TCP and listens at the port that its Contact names: does its REGISTER let anybody connect there?

The port is fresh and has sent nothing. The server tries to connect to it, unasked, before the REGISTER and, with the registration up,
again, and to a port beside it. Each attempt leaves from a port of its own.
"""

import asyncio

from edgecheck.checks.sip_alg.knocking import KNOCK_SPACING_MS, KNOCKS, ask_mirror, gauge
from edgecheck.checks.sip_alg.messages import Step, item, recognize
from edgecheck.checks.sip_alg.phone_log import PhoneLog, Round
from edgecheck.checks.sip_alg.stream_phone import CONNECT_TIMEOUT_S, Line
from edgecheck.model.check import Listener, Network, Stream
from edgecheck.model.errors import ControlLost, LocalFailure, RequestDeclined
from edgecheck.wire import control, sip
from edgecheck.wire.address import Endpoint
from edgecheck.wire.errors import WireError

_ATTEMPT = 64
"""Its REGISTER's number: beyond those of the phones on the same channel."""
_PATIENCE_MS = 300


class ListeningPhone:
    """See the module's text."""

    def __init__(self, net: Network, number: int, server: Endpoint, to_gauge: Endpoint) -> None:
        """``to_gauge``: the server's SIP port of UDP."""
        self._net = net
        self._number = number
        self._to_gauge = to_gauge
        self.log = PhoneLog(server=server, series=net.new_series(), transport="tcp", listens=True)

    async def run(self) -> None:
        """All of it; what fails leaves its reason in the log."""
        log, net = self.log, self._net
        listeners: list[Listener] = []
        stream: Stream | None = None
        socket = None
        try:
            listeners = [await net.listen_tcp(0) for _ in range(2)]
            log.local, log.beside = (listener.local for listener in listeners)
            log.public = Endpoint(net.observed, log.local.port)
            log.public_beside = Endpoint(net.observed, log.beside.port)
            socket = await net.open_udp()
            stream = await net.connect_tcp(log.server, timeout=CONNECT_TIMEOUT_S)
            log.before = await self._dial([log.local.port], listeners[:1])
            line = Line(net, log, self._number, _ATTEMPT, stream, log.local.port)
            await line.register()
            log.registered = line.answered(Step.AUTHORIZED)
            if not log.registered:
                return
            log.public = Endpoint(net.observed, await self._named_port() or log.local.port)
            ports = list(dict.fromkeys((log.public.port, log.beside.port)))
            log.after, _ = await asyncio.gather(self._dial(ports, listeners), gauge(net, log, socket, self._to_gauge, self._number))
            await line.release()
        except (LocalFailure, ControlLost, RequestDeclined) as failure:
            log.problem = str(failure)
        finally:
            for listener in listeners:
                for accepted in listener.accepted:
                    accepted.close()
                listener.close()
            if stream is not None:
                stream.close()
            if socket is not None:
                socket.close()

    async def _dial(self, ports: list[int], listeners: list[Listener]) -> Round:
        """The server's attempts to connect, counted where they come in."""
        net, log = self._net, self.log
        series, before = net.new_series(), [len(listener.accepted) for listener in listeners]
        reply = await net.ask(
            lambda id: control.Dial(
                id=id,
                series=series,
                address=net.observed,
                ports=tuple((port, port) for port in sorted(ports)),
                sender="A",
                attempts=KNOCKS,
                spacing_ms=KNOCK_SPACING_MS,
                patience_ms=max(_PATIENCE_MS, round(3000 * net.rtt)),
            )
        )
        tried = {row.port: row.attempts for row in reply.rows} if isinstance(reply, control.Dialed) else {}
        for listener, port, known in zip(listeners, ports, before, strict=False):
            log.knocked[series, "AX", port, listener.local.port] = len(listener.accepted) - known
        return Round(series, ("AX",), net.observed, tuple(ports), all(tried.get(port, 0) >= KNOCKS for port in ports))

    async def _named_port(self) -> int | None:
        """The port of Contact, as the REGISTER arrived."""
        mirrored = await ask_mirror(self._net)
        wanted = item(self._number, _ATTEMPT, Step.AUTHORIZED)
        for record in () if isinstance(mirrored, str) else mirrored.records:
            if record.direction == "received" and recognize(record.data, self._net.session, self.log.series) == wanted:
                try:
                    contact = sip.split_addresses(sip.parse_datagram(record.data).get("Contact") or "")[0]
                    return sip.uri_parts(sip.address_uri(contact)).port
                except (WireError, IndexError):
                    continue
        return None
