"""The ports of the range that are open here, and what every direction of the check works with."""

import random
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from edgecheck.checks.port_forwarding.observation import ForwardingObservation
from edgecheck.checks.rtp_range.observation import Traced
from edgecheck.checks.rtp_range.rounds import GUIDES, HEALTHY, Round
from edgecheck.checks.unsolicited import sender
from edgecheck.model.check import Network, PortBatch, UdpSocket
from edgecheck.wire import control, probe, rtp
from edgecheck.wire import ports as port_ranges

_SERIES_AT = rtp.PROBE_OFFSET + 6
_SESSION_AT = rtp.PROBE_OFFSET + 8
ITEM_AT = rtp.PROBE_OFFSET + 16
FEW_GUIDES = GUIDES // 2
"""Fewer guides measure loss too coarsely by themselves: the control rides with them."""


class Listening:
    """A batch of open ports, and which of them heard a packet of a series."""

    def __init__(self, batch: PortBatch) -> None:
        self.batch = batch
        self._seen = 0
        self._heard: dict[int, set[int]] = {}
        self._moved: dict[int, dict[int, int]] = {}

    def __enter__(self) -> "Listening":
        return self

    def __exit__(self, *_: object) -> None:
        self.batch.close()

    @property
    def ports(self) -> list[int]:
        """Those that could be opened."""
        return sorted(self.batch.opened)

    def heard(self, series: int) -> set[int]:
        """Ports that heard what was sent to them."""
        self._look()
        return self._heard.get(series, set())

    def moved(self, series: int) -> dict[int, int]:
        """Port that was aimed at -> the other one that heard it: a rule may change the number."""
        self._look()
        return self._moved.get(series, {})

    def _look(self) -> None:
        arrivals = self.batch.arrivals
        while self._seen < len(arrivals):
            port, arrival = arrivals[self._seen]
            self._seen += 1
            series, aimed = (int.from_bytes(arrival.data[at : at + 2], "big") for at in (_SERIES_AT, ITEM_AT))
            if aimed == port:
                self._heard.setdefault(series, set()).add(port)
            else:
                self._moved.setdefault(series, {})[aimed] = port


class Run:
    """What both directions know and tell of."""

    def __init__(self, net: Network, whole: tuple[int, int]) -> None:
        self.net = net
        self.whole = whole
        # The order is unknown outside and can be repeated within a session.
        self.dice = random.Random(net.session)
        self.total = 2 * (whole[1] - whole[0] + 1)
        self.done = 0
        self.busy: dict[int, str] = {}
        self.owners: dict[int, str] = {}
        self.leaves_from = net.observed
        self.udp_alive = False
        """Whether any control flow could be set up."""
        self.reasons: dict[str, str] = {}
        self.examined: ForwardingObservation | None = None
        """A few of the ports blocked inward, for their cause."""
        self.shut_out = ""
        """Why silence proves nothing: the prober was let in before, and no longer is, or another sender is in its place."""
        self.lets_in_contacted: bool | None = None
        """Whether the primary address is let in at a port that has contacted it; looked at where nothing arrives."""
        self.starved_by = ""
        """Why new flows to ports that are open were lost, where that could be told."""
        self.cause_untold = ""
        """Why nothing was examined, or the examination proves nothing."""
        self.traced: list[Traced] = []

    @property
    def every(self) -> range:
        """All ports of the range."""
        return range(self.whole[0], self.whole[1] + 1)

    def _ours(self, data: bytes) -> bool:
        return len(data) >= ITEM_AT + 4 and data[_SESSION_AT : _SESSION_AT + 8] == self.net.session

    def tell(self, more: int) -> None:
        self.net.progress(min(self.total, self.done + more), self.total, "ports")

    async def open(self, ports: list[int]) -> Listening:
        """Open a batch of ports; those that another program holds are noted."""
        batch = await self.net.open_ports(ports, self._ours)
        self.busy.update(batch.busy)
        held = [port for port, why in batch.busy.items() if why == "port-in-use" and port not in self.owners]
        if held:
            self.owners.update(await self.net.owners("udp", held))
        return Listening(batch)

    @contextmanager
    def lent(self, listening: Listening, ports: Sequence[int]) -> Iterator[None]:
        """These are closed meanwhile, for whoever opens them by themselves."""
        listening.batch.release(ports)
        try:
            yield
        finally:
            listening.batch.retake(ports)
            self.busy.update(listening.batch.busy)


def weigh_round(arrived: set[int], guides: list[int], fresh: Collection[int], control: tuple[int, int], failed: int) -> Round:
    """The control counts beside the guides only where these came through: it may pass where they are held back."""
    known = len(arrived.intersection(guides))
    sent, came = control if known >= HEALTHY * len(guides) else (0, 0)
    return Round(set(arrived), len(guides) + sent, known + came, failed, len(fresh), len(arrived.intersection(fresh)))


def count_probes(net: Network, socket: UdpSocket, series: int, *who: control.Sender) -> int:
    """Probes of this series in a socket's inbox that these sent; without any, the control's sender and the prober."""
    senders = {sender(net, one) for one in who or ("A1", "BX")}
    count = 0
    for one in socket.inbox:
        offset = 0 if one.data.startswith(probe.MAGIC) else rtp.PROBE_OFFSET
        ours = one.data[offset + 8 : offset + 16] == net.session
        count += ours and int.from_bytes(one.data[offset + 6 : offset + 8], "big") == series and one.source in senders
    return count


def request(
    id: int,
    series: int,
    address: str,
    ports: list[int],
    who: control.Sender,
    *,
    copies: int = 1,
    spacing_ms: int = 10,
    pace: int = 0,
    dress: Literal["plain", "rtp"] = "plain",
    fresh: int = 0,
) -> control.Probe:
    return control.Probe(
        id=id,
        series=series,
        address=address,
        ports=port_ranges.compress(ports),
        senders=(who,),
        copies=copies,
        spacing_ms=spacing_ms,
        pace=pace,
        dress=dress,
        shuffle=series,
        fresh=fresh,
    )
