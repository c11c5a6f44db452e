"""A network that does not let everything out: walls by port, strangers who answer, and a server whose own firewall is closed."""

import asyncio
from collections.abc import Callable
from typing import Any, Literal

from edgecheck.model.check import Arrival, Quote
from edgecheck.model.errors import ControlLost, LocalFailure
from edgecheck.net.network import EdgeNetwork
from edgecheck.wire import control, stun
from edgecheck.wire.address import Endpoint
from tests.fakes.edge import PRIMARY, Edge
from tests.fakes.ends import FakeStream
from tests.fakes.nat import Nat

GATEWAY = "192.168.88.1"
REACH: tuple[control.ReachPort, ...] = tuple(
    control.ReachPort(transport=transport, port=port)
    for transport, port in (("udp", 53), ("tcp", 80), ("udp", 443), ("tls", 443), ("udp", 5090), ("tcp", 5090))
)
CERTIFICATE = b"the server's"
Deed = Literal["drop", "refuse", "drop-sip", "deaf", "keep-answers", "own"]
"""``drop-sip``: only what looks like SIP is dropped. ``deaf``: a connection opens, and nothing of it arrives. ``keep-answers``: datagrams
get out, no answer comes back. ``own``: this machine's own system refuses to send."""
Where = tuple[str, int]
"""(transport, port of the server)."""


class Walled(Edge):
    """An ``Edge`` behind whose NAT a firewall stands."""

    def __init__(self, nat: Nat | None = None, *, refuser: str = GATEWAY, **more: Any) -> None:
        super().__init__(nat or Nat(), reach=REACH, certificate=control.fingerprint(CERTIFICATE), **more)
        self.sees_quotes = True
        self.walls: dict[Where, Deed] = {}
        """What this network does to a port."""
        self.server_walls: dict[Where, Deed] = {}
        """What the server's own firewall does."""
        self.strangers: dict[Where, bytes] = {}
        """What somebody else answers there, whatever is asked."""
        self.shown: dict[int, bytes] = {}
        """Another certificate than the server's, by port."""
        self.new_flows: tuple[int, float] | None = None
        """How many new flows over UDP this network lets out at once, and then a second; None: any."""
        self._known: set[tuple[int, Endpoint]] = set()
        self._allowance = (0.0, 0.0)
        self.refuser = refuser
        self.connections: list[Where] = []

    def others_reach(self, *places: Where) -> None:
        """Somebody elsewhere has been at these ports."""
        for transport, port in places:
            listener = self._at(transport, port)
            assert listener is not None, (transport, port)
            if transport == "udp":
                self.server.handle_datagram(listener, Endpoint("8.8.8.8", 9), b"hello", 0.0)
            else:
                self.server.open_stream(listener, "tcp", Endpoint("8.8.8.8", 9), 0.0)

    def others_reach_all(self) -> None:
        """... at every port, but for those of the RTP range."""
        reach = [(row.transport, row.port) for row in REACH]
        stun_port = self.service.stun_ports[0]
        sip = [(transport, port) for transport in ("udp", "tcp") for port in (5060, 5080, stun_port)]
        self.others_reach(*reach, *sip, ("tls", 5061))

    def _at(self, transport: str, port: int) -> str | None:
        """The listener at this port of the primary address."""
        if any((row.transport, row.port) == (transport, port) for row in REACH):
            return f"reach:{port}"
        if (transport, port) == ("tls", self.service.sips_port):
            return f"sip:{port}"
        return None if transport == "tls" else self._listener(Endpoint(PRIMARY, port))

    def _listener(self, at: Endpoint) -> str | None:
        if at.host == PRIMARY and any(row.port == at.port and row.transport == "udp" for row in REACH):
            return f"reach:{at.port}"
        return super()._listener(at)

    def from_client(self, port: int, data: bytes, to: Endpoint) -> None:
        place = ("udp", to.port)
        deed = self.walls.get(place, self.server_walls.get(place))
        if not self._lets_begin(port, to):
            return
        if place in self.strangers:
            self.nat.outbound("udp", port, to)
            self._later(self._at_edge, to, Endpoint(self.nat.public, port), _dns_answer(data) or self.strangers[place])
        elif deed == "refuse":
            offender = self.refuser if place in self.walls else PRIMARY
            self._later(self._quote, port, Quote(at=0.0, icmp_type=3, icmp_code=13, offender=offender, to=to, data=data))
        elif deed == "own":
            self.udp[port].errors.append(f"Could not send to {to}: Operation not permitted.")
        elif deed != "drop" and not (deed == "drop-sip" and b"SIP/2.0" in data):
            super().from_client(port, data, to)

    def _lets_begin(self, port: int, to: Endpoint) -> bool:
        if self.new_flows is None or (port, to) in self._known:
            return True
        most, per_s = self.new_flows
        now = asyncio.get_running_loop().time()
        spent, since = self._allowance if self._known else (0.0, now)
        spent = max(0.0, spent - (now - since) * per_s)
        passes = spent + 1 <= most
        self._allowance = (spent + passes, now)
        if passes:
            self._known.add((port, to))
        return passes

    def _deliver(self, port: int, arrival: Arrival) -> None:
        place = ("udp", arrival.source.port)
        if self.walls.get(place, self.server_walls.get(place)) != "keep-answers":
            super()._deliver(port, arrival)

    def _quote(self, port: int, quote: Quote) -> None:
        if port in self.udp:
            self.udp[port].quotes.append(quote)
            self.bell.ring()

    async def connect(self, to: Endpoint, port: int, timeout: float, *, tls: bool, ttl: int | None = None) -> FakeStream:
        place = ("tls" if tls else "tcp", to.port)
        self.connections.append(place)
        port = port or self._free_port()
        loop = asyncio.get_running_loop()
        deed = self.walls.get(place, self.server_walls.get(place))
        if deed is None and not tls:  # a witness may try a TLS port by TCP alone
            deed = self.walls.get(("tls", to.port), self.server_walls.get(("tls", to.port)))
        if deed == "refuse":
            await asyncio.sleep(2 * self.weather.delay)
            raise LocalFailure("refused", f"Could not connect to {to}: the connection was refused.")
        lost = self.weather.drops(loop.time()) or self.weather.drops(loop.time())
        seen = None if lost or deed == "drop" else self.nat.outbound("tcp", port, to)
        stranger = self.strangers.get(place)
        listener = self._at(*place) or (self._at("tls", to.port) if not tls else None)
        if to == Endpoint(PRIMARY, 8443):
            listener = "A1"
        if seen is None or (listener is None and stranger is None):
            await asyncio.sleep(timeout)
            raise LocalFailure("timeout", f"Could not connect to {to}: no answer in time.")
        await asyncio.sleep(2 * self.weather.delay)
        if stranger is not None:
            stream = FakeStream(self, Endpoint(self.source, port), to, lambda data: stream.deliver(stranger))
            return self._secured(stream, tls)
        assert listener is not None
        talk = self.server.open_stream(listener, "tls" if tls else "tcp", seen, loop.time())

        def hear(data: bytes) -> None:
            answer = b"" if deed == "deaf" or (deed == "drop-sip" and b"SIP/2.0" in data) else talk.feed(data, loop.time())
            loop.call_later(self.weather.delay, stream.deliver, answer)

        stream = FakeStream(self, Endpoint(self.source, port), to, hear)
        return self._secured(stream, tls)

    def _secured(self, stream: FakeStream, tls: bool) -> FakeStream:
        if tls:
            stream.certificate = self.shown.get(stream.remote.port, CERTIFICATE)
        return stream


def _dns_answer(data: bytes) -> bytes | None:
    """What a resolver makes of a DNS question; None when it is none."""
    if stun.is_stun(data) or data[2:4] != b"\x01\x00":
        return None
    return data[:2] + b"\x81\x83" + data[4:]


def walls(*places: Where, deed: Deed = "drop") -> dict[Where, Deed]:
    """The same deed for all of them."""
    return dict.fromkeys(places, deed)


class _Gone:
    """No session: nothing may be asked over it."""

    lost = "there was none"

    async def ask(self, make: Callable[[int], control.Request]) -> control.Reply:
        raise ControlLost("There was no session.")


def sessionless(edge: Walled) -> EdgeNetwork:
    """The client's network where the control channel could not be opened; the server knows nothing of this client."""
    network = edge.network()
    network._session, network.in_session, network.certificate, network.session = _Gone(), False, "", b"no-sessi"
    return network
