"""What an unsolicited packet meets here: shared by the checks that ask the server to send from an address never contacted.

Theory. A port that receives a packet from the never-contacted address B proves a forwarding rule only when nothing else explains
it. Two things can: an endpoint-independent *filter* (the port has sent something lately, so its mapping lets anyone in), and a router
that lets in everything, or everything from hosts it remembers. So the same packets go to canaries in the same moments:

- the *mapped* canary has contacted the primary address only. What B gets through to it tells the filter (RFC 4787 section 5);
- *bare* canaries have sent nothing, ever, and no rule should name them. What B gets through to them is let in for any port.

And silence proves a filter only when the path was seen to work: each round sends control copies from the contacted pair, back to
back with the others, and stops when random loss no longer explains the silence (``model.evidence.chance_at_worst``).
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

from edgecheck.model.check import Network, UdpSocket
from edgecheck.model.errors import LocalFailure
from edgecheck.model.evidence import WRONG_BY_CHANCE, Answered, chance_at_worst
from edgecheck.wire import control, probe
from edgecheck.wire.address import Endpoint
from edgecheck.wire.errors import WireError

COPIES = 9
"""Where as many controls all arrive, no loss makes so many lost likely: see ``model.evidence.chance_at_worst``."""
SPACING_MS = 17
MOST_ROUNDS = 5
REMEMBERS_S = 600.0
"""How long a router may remember a contacted host or a mapping (RFC 4787 REQ-5 asks for two minutes at least; five are common)."""
RECALLS_S = 3600.0
"""How long what an earlier run saw, with the address uncontacted, is believed. What speaks against it is written over it at once."""
BARE_CANARIES = 3


class FilterEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What reached a port that has contacted the primary address only."""

    local: str
    mapped: str
    copies: int
    """Copies sent from each sender."""
    control: int
    """Arrived from the contacted address and port (A1)."""
    same_address: int
    """Arrived from another port of the contacted address (A2)."""
    other_address: int | None
    """Arrived from the never-contacted address (B1); None where the server has one address only."""
    alternate_contacted_s: float | None = None
    """Seconds since this machine last sent anything to the alternate address, before this test; None = not known to have."""
    same_address_answers: bool | None = None
    """Whether A2 answered when it was contacted afterwards: only then does its silence prove anything; None = not tried."""
    alternate_answers: bool | None = None
    """The same of B1."""
    recalled: str | None = None
    """What an earlier run found on this network while the alternate address was still uncontacted."""
    recalled_s: float | None = None

    @property
    def silence_proved(self) -> bool:
        """Whether random loss no longer explains the copies that did not arrive."""
        return chance_at_worst(self.control, self.copies, self.copies) < WRONG_BY_CHANCE


def margin(net: Network) -> float:
    """Seconds to wait for what may still be on its way once the server has said that the last copy left."""
    return max(0.1, 1.2 * net.rtt)


def copies_at_once(net: Network) -> int:
    """How many copies a round has: as many as the server sends at most, where that is fewer."""
    return min(COPIES, net.limits.copies)


class Inbox:
    """Counts the probes of one series in a socket's inbox, by sender; looks at each datagram once."""

    def __init__(self, net: Network, socket: UdpSocket, series: int, item: int | None = None) -> None:
        """``item``: the port that they were sent to, where a rule might lead others here; None: whatever they were sent to."""
        self._net = net
        self._item = item
        self._socket = socket
        self._series = series
        self._seen = 0
        self._copies: set[tuple[Endpoint, int, int]] = set()
        self.counts: dict[Endpoint, int] = {}

    def count(self, source: Endpoint | None) -> int:
        """Arrivals from this sender so far."""
        inbox = self._socket.inbox
        while self._seen < len(inbox):
            arrival = inbox[self._seen]
            self._seen += 1
            found = probe_of(self._net, arrival.data)
            if found is not None and found.series == self._series and self._item in (None, found.item):
                copy = (arrival.source, found.item, found.copy)
                if copy not in self._copies:  # a path that doubles packets makes up for none that it loses
                    self._copies.add(copy)
                    self.counts[arrival.source] = self.counts.get(arrival.source, 0) + 1
        return self.counts.get(source, 0) if source is not None else 0


def probe_of(net: Network, data: bytes, offset: int = 0) -> probe.Probe | None:
    """The server's probe of this session in a datagram; None for anything else."""
    try:
        found = probe.parse(data, offset)
    except WireError:
        return None
    return found if found.session == net.session and found.kind is probe.Kind.PROBE else None


def sender(net: Network, name: control.Sender) -> Endpoint | None:
    """Where packets from this socket of the server come from; None where there is no such socket."""
    host = net.primary.host if name[0] == "A" else (net.alternate.host if net.alternate else None)
    if host is None:
        return None
    ports = {"1": net.service.stun_ports[0], "2": net.service.stun_ports[1], "X": net.service.probe_ports[0 if name[0] == "A" else 1]}
    return Endpoint(host, ports[name[1]])


async def filter_rounds(net: Network, socket: UdpSocket, mapped: Endpoint) -> FilterEvidence | None:
    """Have the mapped port probed from A1 (control), A2 and B1 until the answer is sure; None when no probe could be asked for."""
    senders: tuple[control.Sender, ...] = ("A1", "A2", "B1") if net.alternate else ("A1", "A2")
    alternate = net.alternate
    contacted = net.memory.contacted(alternate.host) if alternate else None
    recalled = net.memory.recall(f"filtering/{alternate.host}") if alternate else None
    copies = arrived = same = other = 0
    each = copies_at_once(net)
    for turn in range(MOST_ROUNDS):
        series = net.new_series()
        inbox = Inbox(net, socket, series)
        reply = await net.ask(
            lambda id, series=series: control.Probe(  # type: ignore[misc]
                id=id,
                series=series,
                address=mapped.host,
                ports=((mapped.port, mapped.port),),
                senders=senders,
                copies=each,
                spacing_ms=SPACING_MS,
            )
        )
        if not isinstance(reply, control.Probed):
            return None

        def all_heard(inbox: Inbox = inbox) -> bool:
            return all(inbox.count(sender(net, name)) > 0 for name in senders[1:])

        await net.until(all_heard, margin(net) * (turn + 1))  # a path that delays and disturbs is given longer each time
        copies += max(0, each - -(-reply.failed // len(senders)))
        arrived += inbox.count(sender(net, "A1"))
        same += inbox.count(sender(net, "A2"))
        other += inbox.count(sender(net, "B1"))
        heard_all = bool(same) and (bool(other) or alternate is None)
        if heard_all or chance_at_worst(arrived, copies, copies) < WRONG_BY_CHANCE:
            break
    return FilterEvidence(
        local=str(socket.local),
        mapped=str(mapped),
        copies=copies,
        control=arrived,
        same_address=same,
        other_address=other if alternate else None,
        alternate_contacted_s=contacted,
        recalled=recalled[0] if recalled else None,
        recalled_s=recalled[1] if recalled else None,
    )


def remembered(contacted_s: float | None) -> bool:
    """Whether a router may still let in a host because this machine contacted it so long ago."""
    return contacted_s is not None and contacted_s < REMEMBERS_S


def believed(recalled_s: float | None) -> bool:
    """Whether a fact that an earlier run noted so long ago still stands."""
    return recalled_s is not None and recalled_s < RECALLS_S


LET_IN = "let-in"
"""Remembered within a session: the session, transport, port and so on of one at which the never-contacted address was let in."""


def was_let_in(net: Network) -> bool:
    """Whether a check of this session has seen it let in somewhere."""
    noted = net.memory.recall(LET_IN)
    return noted is not None and noted[0].split()[:1] == [net.session.hex()]


def lets_anyone_in(loose: bool | None) -> str:
    """What the mapped canary told, in a clause."""
    if loose is None:
        return "whether this NAT lets anyone in on a port that was used could not be told"
    return "this NAT lets anyone in on a port that was used"


async def alternate_answers(net: Network) -> bool | None:
    """Whether the alternate address is alive and reaches us when contacted: the control for every silence from it.

    Waits its turn: nobody may need the address uncontacted any more. None where there is no such address.
    """
    if net.alternate is None:
        return None
    await net.may_contact_alternate()
    socket = await net.open_udp()
    try:
        exchange = await net.stun(socket, net.alternate)
    finally:
        socket.close()
    return isinstance(exchange.outcome, Answered)


async def alternate_connects(net: Network) -> bool:
    """The same for TCP: whether a connection to the alternate address comes about. Where there is no such address, False."""
    if net.alternate is None:
        return False
    await net.may_contact_alternate()
    try:
        (await net.connect_tcp(net.alternate)).close()
    except LocalFailure:
        return False
    return True


NO_CONTROL_FLOW = "UDP gets no answer here, so no control flow could be set up beside it"
"""Why silence from outside is undecided: there is nothing to measure loss by."""
SEVERAL_ADDRESSES = (
    "this machine leaves from several public addresses ({control} and {media}), and the rule may be on another one than was probed"
)


async def open_bare(net: Network, avoid: Iterable[int], transport: Literal["udp", "tcp"] = "udp") -> list[UdpSocket]:
    """Up to three sockets on free ports that no rule should name and that sent nothing lately."""
    shunned = set(avoid)
    out: list[UdpSocket] = []
    rejected: list[UdpSocket] = []
    for _ in range(BARE_CANARIES * 4):
        try:
            socket = await net.open_udp()
        except LocalFailure:
            break
        used = net.memory.sent_from(socket.local.port, transport)
        (rejected if socket.local.port in shunned or remembered(used) else out).append(socket)
        if len(out) == BARE_CANARIES:
            break
    for socket in rejected:
        socket.close()
    return out
