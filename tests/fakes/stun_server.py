"""Foreign STUN servers in the world of ``edge``: one that honors RFC 5780, and those of the laboratory that do not.

The bytes of the others are those of ``tests.lab.stub_stun``, which was written without edgecheck's STUN code.
"""

from collections.abc import Callable
from typing import Any

from edgecheck.net.foreign import NoSession
from edgecheck.net.machine.memory import NoMemory
from edgecheck.net.network import EdgeNetwork
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint
from tests.fakes.edge import ALTERNATE, PRIMARY, Edge, Weather
from tests.fakes.nat import Nat
from tests.lab import stub_stun

PORTS = (3478, 3479)
Place = tuple[str, int]
Answering = Callable[[bytes, Place, Place], list[tuple[Place, bytes]]]
"""(request, where it came from, where it arrived) -> what is sent, and from where."""


def honest(request: bytes, source: Place, here: Place) -> list[tuple[Place, bytes]]:
    """RFC 5780 to the letter: OTHER-ADDRESS, and CHANGE-REQUEST obeyed."""
    address, port = stub_stun.change(request) or (False, False)
    other = (ALTERNATE if here[0] == PRIMARY else PRIMARY, PORTS[here[1] == PORTS[0]])
    origin = (other[0] if address else here[0], other[1] if port else here[1])
    return [(origin, success(request, source, origin, other))]


def success(request: bytes, mapped: Place, origin: Place, other: Place | None) -> bytes:
    """A Binding response."""
    body = [
        stub_stun.address(0x20, mapped, stub_stun.COOKIE),
        stub_stun.address(0x802B, origin),
        *([stub_stun.address(0x802C, other)] if other else []),
    ]
    return stub_stun.message(0x0101, request[4:20], *body)


def stub(kind: str) -> Answering:
    """A server of the laboratory's kinds."""
    return lambda request, source, here: stub_stun.answers(kind, request, source, here, ALTERNATE)


class ForeignEdge(Edge):
    """A client behind ``nat``, and a STUN server outside that is not ours: no session, no receipts."""

    def __init__(self, nat: Nat, answering: Answering, weather: Weather | None = None) -> None:
        super().__init__(nat, weather)
        self.answering = answering
        self.hosts = {PRIMARY, ALTERNATE}
        """Where it listens."""
        self.asked: list[Endpoint] = []
        """Where the client sent to, in order."""

    def stun_only(self, memory: Any = None) -> EdgeNetwork:
        """As ``net.foreign.stun_only`` makes it, over this world."""
        network = EdgeNetwork(
            self,
            NoSession(),
            control.Service(address=PRIMARY, stun_ports=(PORTS[0], PORTS[0])),
            limits=control.Limits(),
            session_name=b"\1\2\3\4\5\6\7\x08",
            observed=self.source,
            primary_host=PRIMARY,
            memory=memory or NoMemory(),
            pace=0,
            rtt=0.05,
        )
        network.gate.open()
        return network

    def from_client(self, port: int, data: bytes, to: Endpoint) -> None:
        self.asked.append(to)
        super().from_client(port, data, to)

    def _at_server(self, seen: Endpoint, data: bytes, to: Endpoint) -> None:
        if to.host not in self.hosts or to.port not in PORTS:
            return
        for origin, answer in self.answering(data, (seen.host, seen.port), (to.host, to.port)):
            self._later(self._at_edge, Endpoint(*origin), seen, answer)
