"""One client's session: what it has proved, what it may use, what was seen of it."""

from collections.abc import Callable, Iterator
from typing import Literal
from weakref import WeakValueDictionary

from echo_server.sessions.ledger import Ledger
from echo_server.sessions.limits import Allowance, Bounds, Pool
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint
from edgecheck.wire.control import Direction, Limits, MirrorRecord, Service, Transport

_RECORD_BYTES = 400
"""What a mirror record takes in memory beside its data."""
_STREAM_BYTES = 4000
"""What a stream takes that is kept for its session."""


class MirrorLog:
    """The SIP that crossed our sockets for one session, exact bytes, in order. Bounded: the first ones are kept."""

    def __init__(self, messages: int, size: int, allowance: Allowance) -> None:
        self.records: list[MirrorRecord] = []
        self.dropped = 0
        self._messages = messages
        self._free = size
        self._allowance = allowance

    def note(
        self, at_ms: float, direction: Direction, transport: Transport, server_port: int, peer: Endpoint, data: bytes
    ) -> Callable[[], None] | None:
        """Keep one message, or count it when a bound is reached. Returns what takes it back, if it did not leave after all."""
        if len(self.records) >= self._messages or len(data) > self._free or not self._allowance.take(len(data) + _RECORD_BYTES):
            self.dropped += 1
            return None
        self._free -= len(data)
        record = MirrorRecord(at_ms=at_ms, direction=direction, transport=transport, server_port=server_port, peer=str(peer), data=data)
        self.records.append(record)
        return lambda: self.records.remove(record)


class KeptStream:
    """A connection that a client opened: it may be sent to, unasked."""

    def __init__(self) -> None:
        self.write: Callable[[bytes], None] | None = None
        """Sends; given by whoever owns the connection, None when it is gone."""
        self.write_expiring: Callable[[bytes, int], None] | None = None
        """The same, to expire so many hops away."""
        self.expired = False
        """An ICMP error has told of what was to expire."""
        self.pushed = 0
        """How often that was done."""
        self.lost: Literal["", "reset", "ended", "closed"] = ""
        """How the connection ended: by a RST that came in, by the other end otherwise, by this server."""

    def push(self, data: bytes, hops: int) -> None:
        """Send unasked; with ``hops``, to expire so many hops away (nothing is sent where that cannot be had)."""
        if not hops and self.write is not None:
            self.write(data)
        elif hops and self.write_expiring is not None:
            self.write_expiring(data, hops)


class Session:
    """An authenticated control connection and all that is known of its packets."""

    def __init__(
        self,
        name: bytes,
        number: int,
        peer: Endpoint,
        now: float,
        intercepted: bool,
        limits: Limits,
        bounds: Bounds,
        pool: Pool,
        service: Service,
    ) -> None:
        self.name = name
        """8 bytes, the name in probes and transaction ids; it is a secret of this client, so logs say ``number``."""
        self.number = number
        self.peer = peer
        """Where the control connection comes from."""
        self.opened = now
        self.service = service
        """What it was told, with the ports of its own probe sockets."""
        self.intercepted = intercepted
        self.limits = limits
        self.bounds = bounds
        self.addresses: dict[str, None] = {peer.host: None}
        """Proved: the peer's own (it completed a TCP handshake), and those for which a cookie came back. In order."""
        self.allowance = Allowance(bounds.session_bytes, pool)
        self.ledger = Ledger(now, bounds.rows, self.allowance)
        self.mirror = MirrorLog(limits.mirror_messages, bounds.mirror_bytes, self.allowance)
        self.media_ports: set[int] = set()
        self.inquiries = 0
        """Ports whose service was asked."""
        self.ticket_ends = 0
        """Seconds since 1970: until when a ticket for it is good."""
        self.shares = 0
        """Reports left here."""
        self.ended = False
        self.fresh: set[tuple[str, int]] = set()
        """Further ports that it had probes sent from: the role and the number by which it names each."""
        self.streams: dict[tuple[int, int], KeptStream] = {}
        """Connections that the client opened and named by a Binding request: by its series and item."""
        self.sip_streams: WeakValueDictionary[tuple[str, Endpoint], KeptStream] = WeakValueDictionary()
        """Connections on which SIP of this session came, by listener and peer; for as long as they live."""
        self._next_probe = 0.0

    @property
    def family(self) -> int:
        """4 or 6: the family of the control connection; the session's service is of it."""
        return self.peer.family

    def at_ms(self, now: float) -> float:
        """Milliseconds since the session opened."""
        return round((now - self.opened) * 1000, 3)

    def deadline(self) -> float:
        """When its life ends at the latest."""
        return self.opened + self.limits.session_s

    def reserve_probe(self, now: float) -> float:
        """Seconds to wait before one more probe may leave: holds all requests of the session together to ``limits.pace``."""
        self._next_probe = max(self._next_probe, now) + 1 / self.limits.pace
        return self._next_probe - now

    def keep_stream(self, series: int, item: int, stream: KeptStream) -> None:
        """A connection was named, so that it may be sent to. Bounded; one that is over stays, to be told of."""
        kept = (series, item) in self.streams
        if not kept and (len(self.streams) >= self.bounds.streams_per_source or not self.allowance.take(_STREAM_BYTES)):
            return
        self.streams[series, item] = stream

    def account(self, request: control.Account) -> control.Accounted:
        """The receipt asked for."""
        return self.ledger.account(request.id, request.series)


class Sessions:
    """All open sessions, and whose address is whose."""

    def __init__(self) -> None:
        self._by_name: dict[bytes, Session] = {}
        self._by_address: dict[str, list[Session]] = {}
        self._by_peer: dict[str, int] = {}
        self.get = self._by_name.get
        """The session of this name, or None."""

    def __len__(self) -> int:
        return len(self._by_name)

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._by_name.values()))

    def of_peer(self, host: str) -> int:
        """How many have their control connection from there."""
        return self._by_peer.get(host, 0)

    def has_proved(self, host: str) -> bool:
        """Whether any session has proved this address."""
        return host in self._by_address

    def only_one_at(self, host: str) -> Session | None:
        """The session that proved this address, if exactly one did."""
        sessions = self._by_address.get(host, ())
        return sessions[0] if len(sessions) == 1 else None

    def add(self, session: Session) -> None:
        self._by_name[session.name] = session
        self._by_peer[session.peer.host] = self.of_peer(session.peer.host) + 1
        self._by_address.setdefault(session.peer.host, []).append(session)

    def prove(self, session: Session, host: str) -> bool:
        """The session lives at this address too. False when it has proved as many as it may."""
        if host in session.addresses:
            return True
        if len(session.addresses) >= session.bounds.addresses:
            return False
        session.addresses[host] = None
        self._by_address.setdefault(host, []).append(session)
        return True

    def remove(self, session: Session) -> None:
        del self._by_name[session.name]
        self._by_peer[session.peer.host] -= 1
        if not self._by_peer[session.peer.host]:
            del self._by_peer[session.peer.host]
        for host in session.addresses:
            self._by_address[host].remove(session)
            if not self._by_address[host]:
                del self._by_address[host]
        session.allowance.give_back()
        session.streams.clear()
        session.ended = True
