"""The nouns of a check, and the one door through which a check reaches the network.

A check is a file in ``edgecheck.checks`` with an observation class, a ``probe`` (asks the network, returns facts), a
``judge`` (pure: facts and profile -> findings) and a ``CHECK``.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any, Literal, Protocol

import msgspec

from edgecheck.model.evidence import Exchange
from edgecheck.model.machine import Holder, Machine
from edgecheck.model.profile import Profile
from edgecheck.model.router import RouterFacts
from edgecheck.model.verdict import Finding
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """Facts only; ``None`` = could not tell. Its fields become the report's ``observation``."""


class Arrival(msgspec.Struct, frozen=True):
    """One datagram that arrived."""

    at: float
    """Seconds on the network's clock."""
    source: Endpoint
    data: bytes


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """An ICMP error that came back for a datagram of ours."""

    at: float
    """Seconds on the network's clock."""
    icmp_type: int
    icmp_code: int
    offender: str | None
    """Who sent it; None: this machine itself."""
    to: Endpoint
    """Where the datagram was going when it met the offender."""
    data: bytes
    """The datagram's payload as it looked there, as far as it was quoted."""

    @property
    def expired(self) -> bool:
        """Time exceeded in transit: the offender is the hop at which the TTL ran out."""
        return (self.icmp_type, self.icmp_code) == ((3, 0) if ":" in self.to.host else (11, 0))  # ICMPv6 numbers them anew

    def __str__(self) -> str:
        return f"ICMP {self.icmp_type}/{self.icmp_code} from {self.offender or 'this machine'} about {self.to}"


class UdpSocket(Protocol):
    """A bound UDP socket. All that arrives is kept in ``inbox``, in order."""

    local: Endpoint
    inbox: list[Arrival]
    errors: list[str]
    """What the system reported (ICMP errors, in words); never raised."""
    quotes: list[Quote]
    """ICMP errors with what they quote; always empty where ``Network.sees_quotes`` is False."""

    def send(self, data: bytes, to: Endpoint, ttl: int | None = None) -> None:
        """Send now, with this TTL (hop limit) where one is given. A refusal by the system goes to ``errors``."""

    def close(self) -> None: ...


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What this system's TCP knows of one connection: whether what was sent on it arrived at the other system."""

    unacked: int
    """Segments on their way that the other system has not acknowledged."""
    retransmitted: int
    """Segments that were sent again, from the SYN on."""
    rtt_ms: float


class Stream(Protocol):
    """A TCP or TLS connection. All that arrives is kept in ``received``."""

    local: Endpoint
    remote: Endpoint
    certificate: bytes | None
    """DER, where it is TLS."""

    @property
    def received(self) -> bytearray: ...

    @property
    def closed(self) -> str | None:
        """Why it ended, in words; ``None`` while it is open."""

    def delivery(self) -> Delivery | None:
        """How TCP fares (TCP_INFO); None: this platform does not tell, or the connection is gone."""

    def send(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class Listener(Protocol):
    """A listening TCP socket; accepted streams are kept in ``accepted``."""

    local: Endpoint
    accepted: list[Stream]

    def close(self) -> None: ...


class PortBatch(Protocol):
    """Many UDP ports open at once, for the RTP range."""

    opened: frozenset[int]
    busy: dict[int, str]
    """Ports that could not be bound: why (``port-in-use``, ``permission``...)."""
    arrivals: list[tuple[int, Arrival]]
    """(local port, what arrived), in order; only what ``accept`` let through."""

    def send(self, port: int, data: bytes, to: Endpoint) -> bool:
        """Send from a local port now; False when the system refused (buffers full): try again later."""

    def drain(self) -> None:
        """Read whatever waits in the sockets, now, without yielding: called between sends of an unpaced burst."""

    def release(self, ports: Iterable[int]) -> None:
        """Close these alone, so that they can be opened by themselves."""

    def retake(self, ports: Iterable[int]) -> None:
        """Open these again; those that cannot be had are ``busy``."""

    def close(self) -> None: ...


class Counters(msgspec.Struct, frozen=True):
    """Of this machine's own IP, since it started, all programs together. They only rise, and only differences mean anything."""

    marked: int
    """Packets that came in marked ECT(1)."""
    undelivered: int
    """Packets that came in and were neither delivered nor passed on: this machine's firewall dropped them, or they were broken."""
    no_listener_udp: int = 0
    """Datagrams that nobody here listened for."""
    resets_sent: int = 0
    """TCP resets that left: what a connection to a closed port is answered with."""
    led_on: int = 0
    """Packets that came in for somebody else, and were led on."""
    read_udp: int = 0
    """Datagrams that programs have read."""
    reverse_path: int = 0
    """Those of ``undelivered`` that the system dropped because the way back to their sender leads out by another interface (IPv4)."""
    accepted_tcp: int = 0
    """Connections that were accepted."""


class Sightings(Protocol):
    """What this machine's own system sees arriving while they are open, whoever holds the port."""

    sees_packets: bool
    """Every OPTIONS and every first segment of a connection is seen (Linux, with privileges)."""
    sees_connections: bool
    """Connections are seen where ``look`` catches them."""

    def datagrams(self, needle: bytes) -> tuple[int, ...]:
        """The local ports at which datagrams with these bytes arrived, one for each copy; needs ``sees_packets``."""

    def connections(self, source: Endpoint) -> tuple[int, ...]:
        """The local ports to which somebody has connected from there."""

    def callers(self) -> tuple[Endpoint, ...]:
        """Whoever began a connection to this machine, at any port; needs ``sees_packets``."""

    async def look(self) -> None:
        """Look at the connections that stand now."""

    def counters(self) -> Counters | None:
        """Read now; None where the platform has none."""

    def close(self) -> None: ...


class Memory(Protocol):
    """What this machine sent and contacted lately, on this network, over all runs: a router may remember it.

    Times are seconds ago; ``None`` = never, as far as is known. On loopback nothing is remembered, nothing stands between.
    """

    def contacted(self, host: str) -> float | None:
        """How long ago a packet was sent from here to this address."""

    def sent_from(self, port: int, transport: str = "udp") -> float | None:
        """How long ago this local port sent anything out."""

    def note_contact(self, host: str) -> None: ...

    def note_sent(self, ports: Sequence[int], transport: str = "udp") -> None: ...

    def recall(self, key: str) -> tuple[str, float] | None:
        """A fact noted earlier on this network (value, seconds ago)."""

    def note(self, key: str, value: str) -> None: ...


class Network(Protocol):
    """All that a check may do to the outside. One run has one; ``net`` implements it, ``tests/fakes`` too."""

    service: control.Service
    """Where the echo server listens and what it can do."""
    limits: control.Limits
    """What the server allows."""
    session: bytes
    """8 bytes: names this session in probes and transaction ids."""
    source: str
    """Local address of all sockets."""
    observed: str
    """IP address from which the server sees the control channel: where unsolicited probes go by default."""
    in_session: bool
    """Whether there is, or was, a control session. Without one the server is asked as any stranger would be."""
    control_endpoint: Endpoint
    """Where the control channel goes (TLS)."""
    certificate: str
    """Fingerprint of the certificate that the server proved to be its own; empty = none was proved."""
    interceptor: str
    """Who issued the other certificate that was shown on the control channel; empty = none was."""
    memory: Memory
    pace: int
    """Probes a second at most; 0 = as fast as the path takes."""
    sees_quotes: bool
    """Whether this platform shows an unprivileged program the ICMP errors to its datagrams, with their quotes (Linux)."""
    quick: bool
    """A coarser answer soon is wanted rather than a finer one in minutes."""
    idle_tcp: bool
    """How long idle TCP connections live is wanted too."""
    rtt: float
    """Seconds: smallest round trip seen so far (from the control channel or a probe)."""

    def now(self) -> float:
        """Monotonic seconds."""

    async def sleep(self, seconds: float) -> None: ...

    async def until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait until the condition holds (looked at after every arrival) or time is up; its last value."""

    def new_series(self) -> int:
        """A series number not used before in this session."""

    async def open_udp(self, port: int = 0) -> UdpSocket:
        """Bind ``source:port`` (0: any free one). Raises ``LocalFailure``."""

    async def open_ports(self, ports: Sequence[int], accept: Callable[[bytes], bool]) -> PortBatch:
        """Bind as many of these as there are; the caller keeps within ``port_capacity``. ``accept`` sorts out strays."""

    port_capacity: int
    """How many ports ``open_ports`` may open at once on this machine (descriptor limit)."""

    async def listen_tcp(self, port: int) -> Listener:
        """Listen on ``source:port``. Raises ``LocalFailure``."""

    async def connect_tcp(self, to: Endpoint, port: int = 0, timeout: float = 3.0, ttl: int | None = None) -> Stream:
        """Connect from ``source:port``. With a ``ttl`` (hop limit) the SYN lives for so many hops, and for less than a second the
        connection waits to be opened from the other end. Raises ``LocalFailure``."""

    async def connect_tls(self, to: Endpoint, timeout: float = 5.0) -> Stream:
        """Connect and open TLS without trusting anyone: the certificate is evidence, not a condition. Raises ``LocalFailure``."""

    async def owners(self, transport: Literal["udp", "tcp"], ports: Collection[int]) -> dict[int, str]:
        """Which programs of this machine hold these ports of ``source``, in words: ``asterisk (pid 812)``. No entry where it cannot be
        told."""

    async def holders(self, transport: Literal["udp", "tcp"], ports: Collection[int]) -> dict[int, tuple[Holder, ...]]:
        """Which programs of this machine, this one apart, have these ports open and for whom, on whatever address. No entry where none
        does, or none can be told."""

    def watch(self) -> Sightings:
        """Begin to watch what arrives at this machine."""

    async def ask(self, make: Callable[[int], control.Request]) -> control.Reply:
        """Put a request (built with the id given) to the server. Raises ``RequestDeclined``, ``ControlLost``."""

    async def account(self, series: int) -> control.Accounted | None:
        """The server's receipt; ``None`` when it cannot be had. Raises ``ControlLost`` when the session had ended before."""

    async def stun(
        self,
        socket: UdpSocket,
        to: Endpoint,
        *,
        change_address: bool = False,
        change_port: bool = False,
        series: int | None = None,
        item: int = 0,
        copies: int | None = None,
    ) -> Exchange:
        """One Binding transaction with close retransmissions; fills in the receipt when there is silence. Raises ``ControlLost``.

        ``series`` and ``item`` name the transaction (a new series by default); ``copies`` bounds the retransmissions.
        """

    async def stun_stream(self, stream: Stream, series: int, item: int) -> Exchange:
        """One Binding transaction over a TCP connection (RFC 8489 section 6.2.2): sent once, TCP repeats it."""

    def issuer(self, certificate: bytes) -> str:
        """Who issued a certificate (DER), in words."""

    async def machine(self) -> Machine:
        """What this machine says of itself; read once in a run."""

    def wall_clock(self) -> float:
        """This machine's date and time: seconds since 1970, UTC."""

    async def may_contact_alternate(self) -> None:
        """Wait until every check that needs the alternate address uncontacted has had its turn; then note the contact."""

    async def proved(self, socket: UdpSocket) -> Endpoint | None:
        """The socket's mapped endpoint towards the primary address, which the server may then probe; None when silent."""

    def counters(self) -> Counters | None:
        """This machine's packet counters for the source's family, read now; None where the platform has none (Linux has)."""

    async def router(self) -> RouterFacts:
        """What the default router says of itself (UPnP, NAT-PMP, PCP; read only), asked once in a run, 3 s at most: claims, no proofs."""

    @property
    def primary(self) -> Endpoint:
        """Role A1: the primary address and its first STUN port."""

    @property
    def alternate(self) -> Endpoint | None:
        """Role B1, or None: one address is all there is."""

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Tell the person what is being counted."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One question, and how to answer it."""

    id: str
    question: str
    """``How does the NAT map and filter?``"""
    observation: type[Observation]
    needs: frozenset[str]
    """Capabilities of the server without which it is skipped."""
    probe: Callable[[Any, Profile], Awaitable[Any]]
    """Asks the ``Network`` (a check of ``ALL``) or the ``Phone`` (one of ``DOCTOR``); returns the observation."""
    judge: Callable[[Any, Profile], tuple[Finding, ...]]
    """Pure: a saved report is judged anew offline."""
    summarize: Callable[[Any, tuple[Finding, ...]], str]
    """One plain sentence for the whole check."""
    alone: bool = False
    """It can say something where no session with the server came about."""
    lengthy: bool = False
    """Takes minutes: no profile names it, it is run when asked for by id, and last. It neither contacts the alternate address nor
    needs it uncontacted, so whoever waits to contact it need not wait for this check."""
    stands: frozenset[str] = frozenset()
    """Causes (``remapped``) that a part of the measurement proves, whatever the rest would have shown. Of a check that was cut short no
    other finding is told: it may rest on what is missing. See ``model.draft``."""
    known: Callable[[Any], str] = lambda seen: ""
    """What an observation that was cut short holds, as a clause that claims no more; empty = nothing worth a word."""
    unfit: Callable[[Profile], str] = lambda profile: ""
    """Why this profile has nothing to ask here; empty when it has."""
