"""What the path loses, there and back, in the moments in which something is asked of a port.

Echoes go from a socket of this machine to the server's primary address, which counts them and returns them. So both ways are known apart:
a datagram that has to come in meets the loss of the way in; a connection, or a service that must answer, that of both. A line whose way
out is full loses answers only, and looks like a closed port to whoever measures the way in alone.
"""

from typing import NamedTuple

from edgecheck.checks.unsolicited import margin
from edgecheck.model.check import Network, UdpSocket
from edgecheck.wire import probe
from edgecheck.wire.errors import WireError

ECHOES = 30
SPACING_S = 0.02


class Weather(NamedTuple):
    """Echoes that left, that the server has had, and that came back."""

    sent: int = 0
    arrived: int = 0
    returned: int = 0

    def __add__(self, other: object) -> "Weather":
        if not isinstance(other, Weather):
            return NotImplemented
        return Weather(self.sent + other.sent, self.arrived + other.arrived, self.returned + other.returned)

    @property
    def both_ways(self) -> tuple[int, int]:
        """(arrived, sent) of a question and its answer."""
        return self.returned, self.sent

    @property
    def inward(self) -> tuple[int, int]:
        """(arrived, sent) of the way in alone."""
        return self.returned, self.arrived


async def measure(net: Network, socket: UdpSocket, echoes: int = ECHOES) -> Weather:
    """The weather of the next half second or so; none where the server gives no account."""
    series = net.new_series()
    for item in range(echoes):
        socket.send(probe.serialize(probe.Probe(probe.Kind.ECHO, net.session, series, item, port=socket.local.port)), net.primary)
        await net.sleep(SPACING_S)

    def back() -> int:
        return len({item for one in socket.inbox if one.source == net.primary and (item := _echoed(net, one.data, series)) is not None})

    await net.until(lambda: back() >= echoes, margin(net) + net.rtt)
    account = await net.account(series)
    if account is None:
        return Weather()
    arrived = len({row.item for row in account.received})
    return Weather(echoes, arrived, min(arrived, back()))


def _echoed(net: Network, data: bytes, series: int) -> int | None:
    """Which echo this is; None for anything else. Each is counted once: a path that doubles packets makes up for none that it loses."""
    try:
        found = probe.parse(data)
    except WireError:
        return None
    ours = found.kind is probe.Kind.ECHOED and found.session == net.session and found.series == series
    return found.item if ours else None
