"""The prober: what is sent to a client's ports, from which of our sockets, and when. Plans, no sockets.

Nothing is sent but to an address that the session proved to be its own; whoever makes a plan has checked that.
"""

import heapq
import math
from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple

from echo_server import roles
from echo_server.outbound import Outbound
from echo_server.sessions.ledger import SentTable
from echo_server.sessions.session import Session
from edgecheck.wire import control, ports, probe, rtp
from edgecheck.wire.address import Endpoint
from edgecheck.wire.control import DialRow, Service
from edgecheck.wire.probe import Kind, Probe

_OUTCOMES = ("proved", "connected", "refused", "unreachable", "silent", "unsent")
"""What a dial row may say, best first."""


def order(count: int, seed: int) -> Iterator[int]:
    """0 to count-1; with a seed in an order that takes neighbors far apart.

    Steps of about the golden section, because no list of 65,535 need be shuffled while others wait: a burst of loss hits ports
    that are spread evenly over the range, never a row of them.
    """
    if not seed or count < 3:
        yield from range(count)
        return
    random = Random(seed)
    step = round(count * (0.381966 + random.random() * 0.01)) or 1
    while math.gcd(step, count) != 1:
        step += 1
    position = random.randrange(count)
    for _ in range(count):
        yield position
        position = (position + step) % count


class Sending:
    """Effect of ``Probe``: datagrams to be sent at their times; then ``finish`` tells the reply."""

    def __init__(
        self, service: Service, session: Session, request: control.Probe, tables: dict[str, SentTable], senders: Sequence[str]
    ) -> None:
        """``senders``: the request's, as listeners; ``tables``: by their names in accounts."""
        self.session = session
        self.id = request.id
        self._senders = senders
        self._service = service
        self._request = request
        self._tables = tables
        self._ports = list(ports.expand(request.ports))
        self._sent = 0
        self._failed = 0
        pace = session.limits.pace
        self.pace = min(request.pace, pace) if request.pace > 0 else pace
        """Datagrams a second."""
        self.fresh = [(sender, request.fresh) for sender in request.senders] if request.fresh else []
        """Roles of the sockets to be had for it before the first step, each with the number by which the session names it."""

    def leave_from(self, listeners: Sequence[str]) -> None:
        """These are the sockets of ``fresh``."""
        self._senders = listeners

    def steps(self) -> Iterator[tuple[float, Outbound]]:
        """(seconds since the start, datagram), in time's order."""
        copies = [self._copy(copy) for copy in range(self._request.copies)]
        if len(copies) == 1:
            return copies[0]
        return heapq.merge(*copies, key=lambda step: step[0])

    def _copy(self, copy: int) -> Iterator[tuple[float, Outbound]]:
        request = self._request
        name, host, series = self.session.name, request.address, request.series
        interval = len(request.senders) * request.copies / self.pace
        start = copy * request.spacing_ms / 1000
        senders = [(sender, roles.endpoint(self._service, sender).port) for sender in self._senders]
        numbers = self._ports
        for count, index in enumerate(order(len(numbers), request.shuffle)):
            at = start + count * interval
            port = numbers[index]
            for sender, sender_port in senders:
                data = probe.serialize(Probe(Kind.PROBE, name, series, port, copy, sender_port))
                if request.dress == "rtp":
                    data = rtp.probe_packet(data, copy, copy * 160, series << 16 | port)
                yield at, Outbound(sender, Endpoint(host, port), data, hops=request.hops)

    def left(self, outbound: Outbound) -> None:
        """The datagram has left this machine."""
        self._sent += 1
        self._tables[roles.accounted(outbound.sender)].add(outbound.destination.port)

    def refused(self, outbound: Outbound) -> None:
        """Our own system would not send it."""
        self._failed += 1

    def finish(self) -> control.Probed:
        """The reply, when the last step has been taken."""
        return control.Probed(id=self._request.id, sent=self._sent, failed=self._failed)


class Attempt(NamedTuple):
    """What became of one TCP connection attempt."""

    outcome: str
    """As in ``DialRow``."""
    elapsed_ms: float
    detail: str = ""
    icmp: control.ErrorRow | None = None


class Dialing:
    """Effect of ``Dial``: connections to be attempted; then ``finish`` tells the reply."""

    def __init__(self, session: Session, request: control.Dial, local: str, table: SentTable) -> None:
        self.session = session
        self.request = request
        self.local = local
        """Address to connect from: ``A`` or ``B``."""
        self._table = table
        self._attempts: dict[int, list[Attempt]] = {port: [] for port in ports.expand(request.ports)}

    @property
    def ports(self) -> tuple[int, ...]:
        return tuple(self._attempts)

    def greeting(self, port: int, attempt: int, local_port: int) -> bytes:
        """What is sent on a connection as soon as it is there."""
        request = self.request
        return probe.serialize(Probe(Kind.PROBE, self.session.name, request.series, port, attempt, local_port))

    def proves(self, port: int, received: bytes) -> bool:
        """Whether what came back is our probe as an ``ECHO``."""
        try:
            echo = probe.parse(received)
        except ValueError:
            return False
        return echo[:4] == (Kind.ECHO, self.session.name, self.request.series, port)

    def left(self, port: int) -> None:
        """An attempt to this port has begun: a SYN has left."""
        self._table.add(port)

    def ended(self, port: int, attempt: Attempt) -> None:
        """One attempt is over."""
        self._attempts[port].append(attempt)

    def finish(self) -> control.Dialed:
        """The reply: for each port the best that any attempt reached."""
        return control.Dialed(id=self.request.id, rows=tuple(_row(port, attempts) for port, attempts in self._attempts.items()))


def _row(port: int, attempts: list[Attempt]) -> DialRow:
    best = min(attempts, key=lambda attempt: _OUTCOMES.index(attempt.outcome), default=Attempt("unsent", 0.0, "not attempted"))
    return DialRow(
        port=port,
        outcome=best.outcome,  # type: ignore[arg-type]
        attempts=len(attempts),
        elapsed_ms=round(best.elapsed_ms, 3),
        detail=best.detail,
        icmp=best.icmp,
    )
