"""Whose is what arrives, and on whose account it goes: by the session's name in it, else by where it came from."""

from collections.abc import Callable, Mapping

from echo_server import roles
from echo_server.answering import media, sip_mirror
from echo_server.sessions.contacts import Contacts
from echo_server.sessions.ledger import ReceivedRow
from echo_server.sessions.reached import Reached
from echo_server.sessions.session import Session, Sessions
from edgecheck.wire import control, probe
from edgecheck.wire.address import Endpoint
from edgecheck.wire.control import Service, Transport
from edgecheck.wire.errors import WireError
from edgecheck.wire.probe import Kind


class Accounts:
    """What was seen of whom: by every session, and at every port."""

    def __init__(self, services: Mapping[int, Service], key: bytes) -> None:
        """``services``: by family, 4 and 6. ``key``: secret, of this process."""
        self.services = dict(services)
        self.sessions = Sessions()
        self.contacts = Contacts(key)
        """Of the alternate address."""
        self.reached = Reached()
        self.reached_tcp = Reached()

    def note_source(self, listener: str, source: Endpoint, now: float) -> None:
        """Something has come to this listener."""
        if listener[0] == "B":
            self.contacts.note(source.host, now)

    def note_stranger(self, reached: Reached, listener: str, source: Endpoint) -> None:
        """It came whether or not a session's name is in it."""
        service = self.services.get(source.family)
        if service is not None and not roles.for_probes(listener):  # that is gone with its session
            reached.note_stranger(source.family, roles.endpoint(service, listener).port, source.host)

    def note_reached(self, session: Session, listener: str) -> None:
        """It is this session's."""
        service = self.services.get(session.family)
        if service is not None and not roles.for_probes(listener):
            stream = listener.endswith("/tcp")
            reached = self.reached_tcp if stream else self.reached
            reached.note(session.family, roles.endpoint(service, listener.removesuffix("/tcp")).port, session.number)

    def note_transaction(self, listener: str, source: Endpoint, data: bytes, now: float) -> ReceivedRow | None:
        """Account for a STUN transaction id that names a session: session, series, item."""
        session = self.sessions.get(data[8:16])
        if session is None:
            return None
        self.note_reached(session, listener)
        return session.ledger.note_received(data[16] << 8 | data[17], data[18] << 8 | data[19], roles.accounted(listener), source, now)

    def note_sip(
        self, listener: str, transport: Transport, source: Endpoint, data: bytes, now: float
    ) -> tuple[Session | None, str | None, ReceivedRow | None]:
        """Account for a SIP message. Returns whose it is, the marker for the answers, and its row."""
        session, marked = self.owner(data, source)
        if session is None:
            return None, None, None
        if marked is None:
            return session, control.sip_marker(session.name, 0, 0), None
        label = listener if transport == "udp" else f"{listener}/tcp"
        self.note_reached(session, label)
        return session, control.sip_marker(session.name, *marked), session.ledger.note_received(*marked, label, source, now)

    def owner(self, data: bytes, source: Endpoint) -> tuple[Session | None, tuple[int, int] | None]:
        """Whose SIP message this is: by a marker in it (then also series and item), else by its source."""
        for name, series, item in sip_mirror.find_markers(data):
            session = self.sessions.get(name)
            if session is not None:
                return session, (series, item)
        return self.sessions.only_one_at(source.host), None

    def record(
        self,
        session: Session | None,
        direction: control.Direction,
        transport: Transport,
        listener: str,
        peer: Endpoint,
        data: bytes,
        now: float,
    ) -> Callable[[], None] | None:
        """Put one SIP message into the session's mirror. Returns what takes it back, if it did not leave after all."""
        if session is None:
            return None
        port = int(listener.partition(":")[2])
        return session.mirror.note(session.at_ms(now), direction, transport, port, peer, data)

    def note_error(
        self, sender: str, aimed_at: Endpoint, icmp: tuple[int, int], offender: str, ttl: int | None, quoted: bytes, now: float
    ) -> None:
        """An ICMP error (type, code) came back for a probe that ``sender`` sent to ``aimed_at``; ``quoted``: its payload."""
        sender = roles.accounted(sender)
        for offset in (0, media.PROBE_OFFSET):
            try:
                sent = probe.parse(quoted, offset)
            except WireError:
                continue
            session = self.sessions.get(sent.session)
            if session is not None and sent.kind is Kind.PROBE and aimed_at.host in session.addresses:
                session.ledger.note_error(sent.series, aimed_at.port, sender, icmp, offender, ttl)
            return
        session = self.sessions.only_one_at(aimed_at.host)
        if session is not None and sender in session.ledger.latest:
            session.ledger.note_error(session.ledger.latest[sender], aimed_at.port, sender, icmp, offender, ttl)
