"""The control channel without its socket: what each request of an open session asks to be done."""

from collections.abc import Callable, Sequence

import msgspec

from echo_server import roles
from echo_server.answering.accounts import Accounts
from echo_server.answering.media import MediaPort, MediaPorts
from echo_server.control import shared
from echo_server.control.effects import Closing, Effect, MediaOpening, Reply, Storing
from echo_server.plans import prober, sip_caller
from echo_server.plans.inquiry import Inquiring
from echo_server.sessions.cookies import Cookies
from echo_server.sessions.ledger import SentTable
from echo_server.sessions.session import Session
from edgecheck.wire import control, ports, probe
from edgecheck.wire.address import parse_host
from edgecheck.wire.control import Declined, Limits, Service
from edgecheck.wire.errors import WireError

MOST_SHARES = 4
"""Reports that one session may leave."""
MAX_SPACING_MS = 10_000
MAX_PATIENCE_MS = 10_000
MAX_INQUIRY_ATTEMPTS = 8
"""Messages to a service that is in use by others."""
MIN_INQUIRY_SPACING_MS = 20
MOST_PUSHES = 16
"""Probes on one connection: what nobody acknowledges stays in the system's memory."""
MAX_DATAGRAMS = 1 << 20
"""Of one probe request: 16 copies to every port there is."""
FIRST_SOURCE_PORT = 32768
"""A client may name the port that it is dialed from, but none that a service of this machine could have."""


class Refusal(Exception):
    """A request that is not done: reason and words."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Requests:
    """What each request of an open session asks to be done."""

    def __init__(
        self,
        accounts: Accounts,
        media: MediaPorts,
        cookies: Cookies,
        key: bytes,
        wall: Callable[[], float] | None,
    ) -> None:
        """``wall``: the date and time, seconds since 1970; None: not told."""
        self._accounts = accounts
        self._media = media
        self._cookies = cookies
        self._wall = wall
        self._key = key

    def handle(self, session: Session, request: control.Message, now: float) -> list[Effect]:
        """The effects of one request; a refusal is a reply too. Never raises for what a peer may send."""
        try:
            match request:
                case control.Ping():
                    wall = round(self._wall(), 3) if self._wall is not None else None
                    return [Reply(control.Pong(id=request.id, at_ms=session.at_ms(now), wall_s=wall))]
                case control.Account():
                    accounts = self._accounts
                    over_udp, over_tcp = (one.by_others(session.family, session.number) for one in (accounts.reached, accounts.reached_tcp))
                    account = session.account(request)
                    return [Reply(msgspec.structs.replace(account, reached_by_others=over_udp, reached_by_others_tcp=over_tcp))]
                case control.Mirror():
                    return [Reply(_mirrored(session, request))]
                case control.Prove():
                    return [Reply(self._prove(session, request, now))]
                case control.Probe():
                    return [self._probe(session, request)]
                case control.Call():
                    calling = self._call(session, request, now)
                    return [calling if request.transport == "udp" else Reply(_called(session, calling))]
                case control.Push():
                    return [Reply(_pushed(session, request))]
                case control.Dial():
                    return [self._dial(session, request)]
                case control.Inquire():
                    return [self._inquire(session, request)]
                case control.OpenMedia():
                    return [self._open_media(session, request)]
                case control.Share():
                    return [_share(session, request, self._accounts.services[session.family])]
                case control.CloseMedia():
                    return [Closing(self.release_media(session)), Reply(control.MediaOpened(id=request.id, ports=()))]
                case _:
                    return [Reply(Declined(id=0, reason="malformed", message="Not a request."))]
        except Refusal as refusal:
            return [Reply(Declined(id=request.id, reason=refusal.reason, message=str(refusal)))]  # type: ignore[union-attr, arg-type]
        except WireError as error:
            return [Reply(Declined(id=request.id, reason="malformed", message=str(error)))]  # type: ignore[union-attr]

    def release_media(self, session: Session) -> list[MediaPort]:
        """The session's media ports are given back; returns those that nobody uses any more."""
        unused = self._media.release((session.family, port) for port in session.media_ports)
        session.media_ports.clear()
        return unused

    def _prove(self, session: Session, request: control.Prove, now: float) -> control.Proved:
        host = parse_host(request.address)
        if not self._cookies.proves(session.name, host, request.cookie, now):
            raise Refusal("unproved-address", f"The cookie does not prove {host}: it is another address's, or older than a minute.")
        if not self._accounts.sessions.prove(session, host):
            raise Refusal("limit", f"At most {session.bounds.addresses} addresses in one session.")
        return control.Proved(id=request.id, addresses=tuple(session.addresses))

    def _service(self, session: Session, address: str) -> Service:
        host = parse_host(address)
        if host not in session.addresses:
            raise Refusal("unproved-address", f"{host} has not proved itself in this session.")
        if (6 if ":" in host else 4) != session.family:
            raise Refusal("unavailable", f"{host} is of another family than the control connection, whose servers' addresses probe it.")
        return session.service

    def _probe(self, session: Session, request: control.Probe) -> prober.Sending:
        service, limits = self._service(session, request.address), session.limits
        low, high = _span(request.ports, limits)
        _within("series", request.series, 0, 65535)
        _within("copies", request.copies, 1, limits.copies)
        _within("hops", request.hops, 0, 255)
        _within("spacing_ms", request.spacing_ms, 0, MAX_SPACING_MS)
        listeners = roles.senders(service)
        missing = [sender for sender in request.senders if sender not in listeners]
        if missing:
            raise Refusal("unavailable", f"This server has one address only: there is no sender {missing[0]}.")
        if not request.senders or len(set(request.senders)) != len(request.senders):
            raise Refusal("malformed", "Each sender once, and one at least.")
        if request.fresh:
            _fresh(session, request)
        if ports.count(request.ports) * request.copies * len(request.senders) > MAX_DATAGRAMS:
            raise Refusal("limit", f"More than {MAX_DATAGRAMS} datagrams in one request.")
        senders = tuple(listeners[sender] for sender in request.senders)
        tables = {sender: _table(session, request.series, sender, low, high) for sender in map(roles.accounted, senders)}
        return prober.Sending(service, session, request, tables, senders)

    def _call(self, session: Session, request: control.Call, now: float) -> sip_caller.Calling:
        limits = session.limits
        _within("series", request.series, 0, 65535)
        for item in (request.registered, *request.items):
            _within("item", item, 0, 65535)
        _within("copies", request.copies, 1, limits.copies)
        _within("spacing_ms", request.spacing_ms, 0, MAX_SPACING_MS)
        if not request.methods or len(set(request.methods)) != len(request.methods) or len(request.items) != len(request.methods) + 1:
            raise Refusal("malformed", "Each method once, one at least; an item for each, and one for the probes.")
        phone = sip_caller.registered(session, request.series, request.registered, request.transport)
        if phone is None:
            raise Refusal("unavailable", f"No REGISTER with that item and a Contact came over {request.transport.upper()}.")
        service = self._service(session, phone.peer.host)
        return sip_caller.Calling(service, session, request, phone, session.at_ms(now), self._key)

    def _dial(self, session: Session, request: control.Dial) -> prober.Dialing:
        service, limits = self._service(session, request.address), session.limits
        if request.sender == "B" and service.alternate is None:
            raise Refusal("unavailable", "This server has one address only: there is no sender B.")
        low, high = _span(request.ports, limits)
        _within("series", request.series, 0, 65535)
        _within("spacing_ms", request.spacing_ms, 0, MAX_SPACING_MS)
        _within("patience_ms", request.patience_ms, 1, MAX_PATIENCE_MS)
        _within("hops", request.hops, 0, 255)
        _within("least_ttl", request.least_ttl, 0, 255)
        _within("attempts", request.attempts, 1, limits.dials)
        _within("attempts in all", request.attempts * ports.count(request.ports), 1, limits.dials)
        if request.source_port:
            _within("source_port", request.source_port, FIRST_SOURCE_PORT, 65535)
            _within("attempts from one port", request.attempts * ports.count(request.ports), 1, 1)
        table = _table(session, request.series, f"{request.sender}/tcp", low, high)
        return prober.Dialing(session, request, request.sender, table)

    def _inquire(self, session: Session, request: control.Inquire) -> Inquiring:
        service, limits = self._service(session, request.address), session.limits
        if request.sender == "B" and service.alternate is None:
            raise Refusal("unavailable", "This server has one address only: there is no sender B.")
        if request.speak == "datagram" and request.transport != "udp":
            raise Refusal("malformed", "A datagram goes over UDP.")
        if request.speak == "nothing" and request.transport == "udp":
            raise Refusal("malformed", "Over UDP something must be said.")
        low, high = _span(request.ports, limits)
        _within("series", request.series, 0, 65535)
        _within("spacing_ms", request.spacing_ms, MIN_INQUIRY_SPACING_MS, MAX_SPACING_MS)
        _within("patience_ms", request.patience_ms, 1, MAX_PATIENCE_MS)
        _within("attempts", request.attempts, 1, MAX_INQUIRY_ATTEMPTS)
        count = ports.count(request.ports)
        if session.inquiries + count > limits.inquiries:
            raise Refusal("limit", f"At most {limits.inquiries} services may be asked in one session.")
        table = _table(session, request.series, f"{request.sender}/{request.transport}?", low, high)
        session.inquiries += count
        return Inquiring(service, session, request, table)

    def _open_media(self, session: Session, request: control.OpenMedia) -> MediaOpening:
        service, limits = self._accounts.services[session.family], session.limits
        if service.media is None:
            raise Refusal("unavailable", "This server opens no media ports.")
        _span(request.ports, limits)
        first, last = service.media
        ports.validate(request.ports, first, last)
        wanted = set(ports.expand(request.ports)) | session.media_ports
        if len(wanted) > limits.media_ports:
            raise Refusal("limit", f"{len(wanted)} media sockets; at most {limits.media_ports} for one session.")
        return MediaOpening(session, request.id, sorted(wanted - session.media_ports), self._media)


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise Refusal("limit", f"{name}: {value} is not within {low} to {high}.")


def _span(ranges: Sequence[tuple[int, int]], limits: Limits) -> tuple[int, int]:
    """Lowest and highest port of ranges that keep within the limits."""
    if not ranges:
        raise Refusal("malformed", "No ports.")
    if len(ranges) > limits.ports or ports.count(ports.validate(ranges)) > limits.ports:
        raise Refusal("limit", f"At most {limits.ports} ports in one request.")
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _table(session: Session, series: int, sender: str, low: int, high: int) -> SentTable:
    table = session.ledger.sent_table(series, sender, low, high)
    if table is None:
        raise Refusal("limit", "The session's accounts are full: open another session.")
    return table


def _fresh(session: Session, request: control.Probe) -> None:
    """Let the session have the ports that it names. Raises ``Refusal``."""
    _within("fresh", request.fresh, 1, 65535)
    if not set(request.senders) <= set(roles.PROBE_ROLES):
        raise Refusal("malformed", "A fresh port is one for AX or BX.")
    wanted = session.fresh | {(sender, request.fresh) for sender in request.senders}
    if len(wanted) > session.limits.fresh_ports:
        raise Refusal("limit", f"At most {session.limits.fresh_ports} fresh ports in one session.")
    session.fresh = wanted


def _called(session: Session, calling: sip_caller.Calling) -> control.Called:
    stream = session.sip_streams.get((calling.phone.listener, calling.phone.peer))
    if stream is None or stream.write is None:
        raise Refusal("unavailable", "The connection that the REGISTER came on is gone.")
    _within("pushes", stream.pushed + 1, 1, MOST_PUSHES)
    stream.pushed += 1
    return calling.push(stream)


def _pushed(session: Session, request: control.Push) -> control.Pushed:
    _within("series", request.series, 0, 65535)
    _within("items", len(request.items), 1, session.bounds.streams_per_source)
    _within("hops", request.hops, 0, 255)
    rows = []
    for item in request.items:
        _within("item", item, 0, 65535)
        stream = session.streams.get((request.series, item))
        if stream is None:
            rows.append(control.PushRow(item=item, state="unknown"))
        elif stream.write is None:
            rows.append(control.PushRow(item=item, state=stream.lost or "ended"))
        else:
            _within("pushes", stream.pushed + 1, 1, MOST_PUSHES)
            stream.pushed += 1
            stream.push(probe.serialize(probe.Probe(probe.Kind.PROBE, session.name, request.series, item)), request.hops)
            rows.append(control.PushRow(item=item, state="expired" if stream.expired else "sent"))
    return control.Pushed(id=request.id, rows=tuple(rows))


def _mirrored(session: Session, request: control.Mirror) -> control.Mirrored:
    after = max(0, request.after)
    return control.Mirrored(id=request.id, records=tuple(session.mirror.records[after:]), dropped=session.mirror.dropped)


def _share(session: Session, request: control.Share, service: Service) -> Storing:
    if "reports" not in service.capabilities:
        raise Refusal("unavailable", "This server keeps no reports.")
    if session.shares >= MOST_SHARES:
        raise Refusal("limit", f"A session may leave {MOST_SHARES} reports.")
    if len(request.report) > control.MOST_SHARED:
        raise Refusal("limit", f"A packed report of {len(request.report)} bytes; at most {control.MOST_SHARED}.")
    report = shared.read(request.report, session.peer.host)
    session.shares += 1
    return Storing(request.id, report)
