"""What is answered to one message (STUN, a probe, SIP), however it came; and whether at all."""

from collections import Counter
from collections.abc import Callable

from echo_server import roles
from echo_server.answering import media, sip_mirror, stun
from echo_server.answering.accounts import Accounts
from echo_server.sessions.cookies import Cookies
from echo_server.sessions.ledger import ReceivedRow
from echo_server.sessions.limits import SourceRate, is_loopback
from echo_server.sessions.session import Session
from edgecheck.wire import probe, sip
from edgecheck.wire import stun as stun_wire
from edgecheck.wire.address import Endpoint
from edgecheck.wire.control import Service, Transport
from edgecheck.wire.errors import WireError
from edgecheck.wire.probe import Kind


class Answers:
    """The answers, each with the row of its session's account that it belongs to."""

    def __init__(
        self,
        accounts: Accounts,
        rate: SourceRate,
        cookies: Cookies,
        key: bytes,
        counters: Counter[str],
        on_fault: Callable[[Exception], None],
    ) -> None:
        """``rate``: what a stranger gets. ``counters``: what was dropped, and why."""
        self.rate = rate
        self.counters = counters
        self._accounts = accounts
        self._sessions = accounts.sessions
        self._cookies = cookies
        self._key = key
        self._on_fault = on_fault

    def is_trusted(self, host: str) -> bool:
        """Whether answers to this source need no rate: it proved that it wants them, or it is this machine."""
        return is_loopback(host) or self._sessions.has_proved(host)

    def may_answer(self, host: str, now: float) -> bool:
        """Whether this source gets one more answer now; counted where not."""
        if self.is_trusted(host) or self.rate.allows(host, now):
            return True
        self.counters["rate"] += 1
        return False

    def fault(self, error: Exception) -> None:
        """A fault of our own: it costs the message that met it, and nothing else."""
        self.counters["fault"] += 1
        self._on_fault(error)

    def to_stun(self, service: Service, listener: str, source: Endpoint, data: bytes, stream: bool) -> stun.Answer | None:
        """Raises ``WireError`` for what is no STUN."""
        request = stun_wire.parse(data)
        fingerprint = stun_wire.fingerprint_matches(data)
        if fingerprint is False:
            self.counters["fingerprint"] += 1  # RFC 8489 section 6.3: silently discarded
            return None
        return stun.respond(service, listener, source, request, size=len(data), fingerprint=bool(fingerprint), stream=stream)

    def to_probe(self, listener: str, source: Endpoint, data: bytes, now: float) -> tuple[bytes, ReceivedRow] | None:
        """The answer to a claim or an echo of a live session. Raises ``WireError`` for what is no probe."""
        asked = probe.parse(data)
        session = self._sessions.get(asked.session)
        if session is None or asked.kind not in (Kind.CLAIM, Kind.ECHO):
            self.counters["probe of nobody"] += 1
            return None
        self._accounts.note_reached(session, listener)
        row = session.ledger.note_received(asked.series, asked.item, roles.accounted(listener), source, now)
        if asked.kind is Kind.ECHO:
            return media.echoed(data, 4), row
        cookie = self._cookies.make(session.name, source.host, now)
        return probe.serialize(asked._replace(kind=Kind.CLAIMED, cookie=cookie), len(data)), row

    def to_sip(
        self, listener: str, transport: Transport, source: Endpoint, data: bytes, room: int | None, now: float
    ) -> tuple[Session | None, list[bytes], ReceivedRow | None]:
        """Whose message it is, and what the mirror answers: at most ``room`` bytes of it, where that is given."""
        session, marker, row = self._accounts.note_sip(listener, transport, source, data, now)
        self._accounts.record(session, "received", transport, listener, source, data, now)
        if transport == "udp" and not self.may_answer(source.host, now):
            return session, [], row
        service = self._accounts.services.get(source.family)
        try:
            request = sip.parse_datagram(data)
        except WireError:
            self.counters["not SIP"] += 1
            return session, [], row
        if service is None or not request.is_request:
            return session, [], row
        place = sip_mirror.Place(transport, roles.endpoint(service, listener), source, service.media)
        return session, sip_mirror.respond(place, request, self._key, marker, room), row
