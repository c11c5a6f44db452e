"""The whole echo server without a socket: what arrives goes in, what is to be sent comes out.

Clock (seconds, monotonic), keys and randomness are arguments, so a test drives it in memory under a clock of its own.
Whoever owns the sockets gives datagrams to ``handle_datagram``, streams to ``open_stream``, control messages to ``greet``,
``admit`` and ``handle_request``, ICMP errors to ``handle_error``, and carries out the effects.

Nothing that a peer sends raises out of a handler. A fault of our own is counted, told to ``on_fault`` and costs that datagram.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from weakref import WeakSet

import msgspec

from echo_server import media, roles, sip_mirror, stun, tickets
from echo_server.contacts import Contacts
from echo_server.control import Requests, check_authentication
from echo_server.conversation import Conversation
from echo_server.effects import Effect, Reply
from echo_server.ledger import ReceivedRow
from echo_server.limits import DEFAULT_BOUNDS, TOKEN_LIMITS, Bounds, Pool, SourceRate, is_loopback
from echo_server.media import MediaPort, MediaPorts
from echo_server.outbound import Outbound
from echo_server.quick_answers import Quick, QuickAnswers
from echo_server.reached import Reached
from echo_server.session import Session, Sessions
from echo_server.tokens import Cookies
from edgecheck import __version__
from edgecheck.wire import control, probe, sip
from edgecheck.wire import stun as stun_wire
from edgecheck.wire.address import Endpoint
from edgecheck.wire.control import Hello, Limits, Refused, Service, Transport, Welcome
from edgecheck.wire.errors import WireError
from edgecheck.wire.probe import Kind


class EchoServer:
    """See the module's text."""

    def __init__(
        self,
        services: Mapping[int, Service],
        *,
        key: bytes,
        draw: Callable[[int], bytes],
        certificate: str,
        token: str = "",
        limits: Limits = TOKEN_LIMITS,
        bounds: Bounds = DEFAULT_BOUNDS,
        on_fault: Callable[[Exception], None] = lambda error: None,
        wall: Callable[[], float] | None = None,
        tickets_by: Callable[[], float] | None = None,
    ) -> None:
        """``services``: by family, 4 and 6. ``key``: secret, of this process. ``draw(n)``: n random bytes.

        ``certificate``: fingerprint of the control channel's certificate. ``token``: empty for an open server. ``wall``: the date and
        time, seconds since 1970, for clients whose clock may be wrong; None: not told. ``tickets_by``: the same
        by which tickets end; None: none are given.
        """
        self.services = dict(services)
        self.limits = limits
        self.bounds = bounds
        self.sessions = Sessions()
        self.counters: Counter[str] = Counter()
        """What was dropped, and why."""
        self._key = key
        self._draw = draw
        self._certificate = certificate
        self._token = token
        self._on_fault = on_fault
        self._tickets_by = tickets_by
        self._ticket_key = tickets.key_of(token) if token else tickets.key_of(key.hex())
        self._pool = Pool(bounds.total_bytes)
        self.rate = SourceRate(limits.source_rate, key)
        self.contacts = Contacts(key)
        """Of the alternate address."""
        self._cookies = Cookies(key)
        self.media_ports = MediaPorts()
        self._reached = Reached()
        self._reached_tcp = Reached()
        reached = (self._reached, self._reached_tcp)
        self._requests = Requests(self.sessions, self.media_ports, self._cookies, self.services, reached, key, wall)
        self._conversations: WeakSet[Conversation] = WeakSet()
        """On the SIP ports."""
        self._opened = 0
        self._quick = QuickAnswers(self)

    # --- Control channel -------------------------------------------------------------------------------------------------

    def greet(self) -> Hello:
        """The first message of a control connection."""
        nonce = self._draw(control.NONCE_SIZE).hex()
        return Hello(protocol=control.PROTOCOL, version=__version__, nonce=nonce, open=not self._token, limits=self.limits)

    def admit(self, hello: Hello, message: control.Message, peer: Endpoint, now: float) -> tuple[Session, Welcome] | Refused:
        """Open a session for a client that answered ``hello`` with the proof of the token."""
        refused = check_authentication(hello, message, self._token)
        if refused is None and peer.family not in self.services:
            refused = Refused(reason="busy", message=f"This server serves no IPv{peer.family} client.")
        if refused is None and len(self.sessions) >= self.bounds.sessions:
            refused = Refused(reason="busy", message=f"{len(self.sessions)} sessions are open, as many as may be: try again in a minute.")
        open_here = self.sessions.of_peer(peer.host)
        if refused is None and open_here >= self.bounds.sessions_per_source and not is_loopback(peer.host):
            refused = Refused(reason="busy", message=f"{peer.host} has {open_here} sessions open, as many as it may.")
        if refused is not None:
            self.counters[f"refused: {refused.reason}"] += 1
            return refused
        assert isinstance(message, control.Authenticate)
        intercepted = message.certificate != self._certificate
        self._opened += 1
        ticket = self._ticket(message.ticket, peer)
        name = bytes.fromhex(ticket.session) if ticket else self._draw(control.SESSION_SIZE)
        session = Session(name, self._opened, peer, now, intercepted, self.limits, self.bounds, self._pool)
        self.sessions.add(session)
        if self._tickets_by is not None:
            session.ticket_ends = ticket.ends if ticket else int(self._tickets_by() + self.limits.session_s)
        for address in ticket.addresses if ticket else ():
            self.sessions.prove(session, address)
        self._quick.forget()
        return session, Welcome(
            session=name.hex(),
            certificate=self._certificate,
            proof=control.proof(self._token, "server", hello.nonce, message.nonce, self._certificate),
            intercepted=intercepted,
            observed=str(peer),
            service=self.services[peer.family],
            alternate_contacted_s=self.contacts.ago(peer.host, now),
            ticket=self._issue(session),
            continued=ticket is not None,
        )

    def _ticket(self, text: str, peer: Endpoint) -> tickets.Ticket | None:
        """The ticket presented, if it is good here: signed, in time, the same peer's, and its session is not open any more."""
        if not text or self._tickets_by is None:
            return None
        ticket = tickets.verify(self._ticket_key, text, peer.host, self._tickets_by())
        if ticket is None or self.sessions.get(bytes.fromhex(ticket.session)) is not None:
            self.counters["ticket not taken"] += 1
            return None
        return ticket

    def _issue(self, session: Session) -> str:
        """A ticket for this session; one that was continued ends when it would have ended anyway."""
        if not session.ticket_ends:
            return ""
        addresses = tuple(session.addresses)
        ticket = tickets.Ticket(session=session.name.hex(), peer=session.peer.host, addresses=addresses, ends=session.ticket_ends)
        return tickets.issue(self._ticket_key, ticket)

    def handle_request(self, session: Session, request: control.Message, now: float) -> list[Effect]:
        """What is to be done for one request of an open session."""
        if isinstance(request, control.Mirror):
            for conversation in tuple(self._conversations):
                if (conversation.session or self._owner(conversation.unread, conversation.peer)[0]) is session:
                    conversation.record_stalled(now)
        effects = self._requests.handle(session, request, now)
        if isinstance(request, control.Prove):
            self._quick.forget()
            effects = [self._with_ticket(session, effect) for effect in effects]
        return effects

    def _with_ticket(self, session: Session, effect: Effect) -> Effect:
        if isinstance(effect, Reply) and isinstance(effect.message, control.Proved):
            return Reply(msgspec.structs.replace(effect.message, ticket=self._issue(session)))
        return effect

    def end_session(self, session: Session) -> list[MediaPort]:
        """The control connection is gone. Returns the media ports that nobody uses any more."""
        if session.ended:
            return []
        self.sessions.remove(session)
        self._quick.forget()
        return self._requests.release_media(session)

    # --- Datagrams -------------------------------------------------------------------------------------------------------

    def handle_datagram(self, listener: str, source: Endpoint, data: bytes, now: float) -> list[Outbound]:
        """What is to be sent because this datagram came to this listener."""
        if listener[0] == "B":
            self.contacts.note(source.host, now)
        try:
            if listener.startswith("media:"):
                return self._handle_media(listener, source, data, now)
            self._note_stranger(self._reached, listener, source)
            if data.startswith(probe.MAGIC):
                return self._handle_probe(listener, source, data, now)
            if stun_wire.is_stun(data):
                return self._handle_stun(listener, source, data, now)
            if listener.startswith("sip:"):
                return self._handle_sip(listener, source, data, now)
            if listener.startswith("reach:"):
                self._note_sip(listener, "udp", source, data, now)  # a DNS question that names a session: it is to be counted, not answered
            self.counters["unrecognized"] += 1
        except WireError:
            self.counters["malformed"] += 1
        except Exception as error:
            self._fault(error)
        return []

    def quick(self, listener: str, family: int) -> Quick:
        """The short way for floods of plain STUN at one listener; it makes the very same answers."""
        return self._quick.at(listener, family)

    def handle_error(
        self, sender: str, aimed_at: Endpoint, icmp: tuple[int, int], offender: str, ttl: int | None, quoted: bytes, now: float
    ) -> None:
        """An ICMP error (type, code) came back for a probe that ``sender`` sent to ``aimed_at``; ``quoted``: its payload."""
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

    def is_trusted(self, host: str) -> bool:
        """Whether answers to this source need no rate: it proved that it wants them, or it is this machine."""
        return is_loopback(host) or self.sessions.has_proved(host)

    def _may_answer(self, host: str, now: float) -> bool:
        if self.is_trusted(host) or self.rate.allows(host, now):
            return True
        self.counters["rate"] += 1
        return False

    def _handle_stun(self, listener: str, source: Endpoint, data: bytes, now: float) -> list[Outbound]:
        row = self._note_transaction(listener, source, data, now)
        service = self.services.get(source.family)
        if service is None or not self._may_answer(source.host, now):
            return []
        answer = self._stun_answer(service, listener, source, data, stream=False)
        if answer is None:
            return []
        return [_outbound(answer.listener, answer.destination, answer.data, row)]

    def _stun_answer(self, service: Service, listener: str, source: Endpoint, data: bytes, stream: bool) -> stun.Answer | None:
        request = stun_wire.parse(data)
        fingerprint = stun_wire.fingerprint_matches(data)
        if fingerprint is False:
            self.counters["fingerprint"] += 1  # RFC 8489 section 6.3: silently discarded
            return None
        return stun.respond(service, listener, source, request, size=len(data), fingerprint=bool(fingerprint), stream=stream)

    def _note_transaction(self, listener: str, source: Endpoint, data: bytes, now: float) -> ReceivedRow | None:
        """Account for a STUN transaction id that names a session: session, series, item."""
        session = self.sessions.get(data[8:16])
        if session is None:
            return None
        self._note_reached(session, listener)
        return session.ledger.note_received(data[16] << 8 | data[17], data[18] << 8 | data[19], listener, source, now)

    def _note_reached(self, session: Session, listener: str) -> None:
        service = self.services.get(session.family)
        if service is not None:
            stream = listener.endswith("/tcp")
            reached = self._reached_tcp if stream else self._reached
            reached.note(session.family, roles.endpoint(service, listener.removesuffix("/tcp")).port, session.number)

    def _note_stranger(self, reached: Reached, listener: str, source: Endpoint) -> None:
        service = self.services.get(source.family)
        if service is not None:
            reached.note_stranger(source.family, roles.endpoint(service, listener).port, source.host)

    def _handle_probe(self, listener: str, source: Endpoint, data: bytes, now: float) -> list[Outbound]:
        noted = self._note_probe(listener, source, data, now)
        if noted is None or not self._may_answer(source.host, now):
            return []
        answer, row = noted
        return [_outbound(listener, source, answer, row)]

    def _note_probe(self, listener: str, source: Endpoint, data: bytes, now: float) -> tuple[bytes, ReceivedRow] | None:
        """The answer to a claim or an echo of a live session, and its row."""
        asked = probe.parse(data)
        session = self.sessions.get(asked.session)
        if session is None or asked.kind not in (Kind.CLAIM, Kind.ECHO):
            self.counters["probe of nobody"] += 1
            return None
        self._note_reached(session, listener)
        row = session.ledger.note_received(asked.series, asked.item, listener, source, now)
        if asked.kind is Kind.ECHO:
            return media.echoed(data, 4), row
        cookie = self._cookies.make(session.name, source.host, now)
        return probe.serialize(asked._replace(kind=Kind.CLAIMED, cookie=cookie), len(data)), row

    def _handle_media(self, listener: str, source: Endpoint, data: bytes, now: float) -> list[Outbound]:
        echo = media.parse_echo(data)
        session = self.sessions.get(echo.session) if echo is not None else None
        if echo is None or session is None:
            self.counters["media of nobody"] += 1
            return []
        self._note_reached(session, listener)
        table = session.ledger.note_media(echo.series, echo.item, source)
        if table is None or not self._may_answer(source.host, now):
            return []
        table.answered += 1
        return [Outbound(listener, source, media.echoed(data), table.take_back)]

    # --- SIP and streams -------------------------------------------------------------------------------------------------

    def open_stream(self, listener: str, transport: Transport, peer: Endpoint, now: float) -> Conversation:
        """A connection was accepted at this listener."""
        conversation = Conversation(self, listener, transport, peer, now)
        if listener[0] == "B":
            self.contacts.note(peer.host, now)
        self._note_stranger(self._reached_tcp, listener, peer)
        if listener.startswith("sip:"):
            self._conversations.add(conversation)
        return conversation

    def _handle_sip(self, listener: str, source: Endpoint, data: bytes, now: float) -> list[Outbound]:
        room = None if self.is_trusted(source.host) else len(data)
        session, answers, row = self._sip_answers(listener, "udp", source, data, room, now)
        out = []
        for index, answer in enumerate(answers):
            record = self._record(session, "sent", "udp", listener, source, answer, now)
            out.append(_outbound(listener, source, answer, row if index == len(answers) - 1 else None, record))
        return out

    def _sip_answers(
        self, listener: str, transport: Transport, source: Endpoint, data: bytes, room: int | None, now: float
    ) -> tuple[Session | None, list[bytes], ReceivedRow | None]:
        session, marker, row = self._note_sip(listener, transport, source, data, now)
        self._record(session, "received", transport, listener, source, data, now)
        if transport == "udp" and not self._may_answer(source.host, now):
            return session, [], row
        service = self.services.get(source.family)
        try:
            request = sip.parse_datagram(data)
        except WireError:
            self.counters["not SIP"] += 1
            return session, [], row
        if service is None or not request.is_request:
            return session, [], row
        place = sip_mirror.Place(transport, roles.endpoint(service, listener), source, service.media)
        return session, sip_mirror.respond(place, request, self._key, marker, room), row

    def _note_sip(
        self, listener: str, transport: Transport, source: Endpoint, data: bytes, now: float
    ) -> tuple[Session | None, str | None, ReceivedRow | None]:
        """Account for a SIP message. Returns whose it is, the marker for the answers, and its row."""
        session, marked = self._owner(data, source)
        if session is None:
            return None, None, None
        if marked is None:
            return session, control.sip_marker(session.name, 0, 0), None
        label = listener if transport == "udp" else f"{listener}/tcp"
        self._note_reached(session, label)
        return session, control.sip_marker(session.name, *marked), session.ledger.note_received(*marked, label, source, now)

    def _owner(self, data: bytes, source: Endpoint) -> tuple[Session | None, tuple[int, int] | None]:
        """Whose message this is: by a marker in it (then also series and item), else by its source."""
        for name, series, item in sip_mirror.find_markers(data):
            session = self.sessions.get(name)
            if session is not None:
                return session, (series, item)
        return self.sessions.only_one_at(source.host), None

    def _record(
        self,
        session: Session | None,
        direction: control.Direction,
        transport: Transport,
        listener: str,
        peer: Endpoint,
        data: bytes,
        now: float,
    ) -> Callable[[], None] | None:
        if session is None:
            return None
        port = int(listener.partition(":")[2])
        return session.mirror.note(session.at_ms(now), direction, transport, port, peer, data)

    def answer_message(self, conversation: Conversation, data: bytes, now: float) -> list[bytes]:
        """The answers to one message of a stream; ``conversation`` calls this."""
        if not self._may_answer(conversation.peer.host, now):
            conversation.throttled = True
        try:
            if not conversation.listener.startswith("sip:"):
                return self._answer_stun(conversation, data, now)
            if data in (sip.PING, sip.PONG):
                self._record(conversation.session, "received", conversation.transport, conversation.listener, conversation.peer, data, now)
                answers = [sip.PONG] if data == sip.PING else []  # RFC 5626 section 4.4.1
                session = conversation.session
            else:
                session, answers, row = self._sip_answers(conversation.listener, conversation.transport, conversation.peer, data, None, now)
                conversation.session = session or conversation.session
                if row is not None and answers:
                    row.answered += 1
            for answer in answers:
                self._record(session, "sent", conversation.transport, conversation.listener, conversation.peer, answer, now)
            return answers
        except WireError:
            self.counters["malformed"] += 1
        except Exception as error:
            self._fault(error)
        return []

    def _answer_stun(self, conversation: Conversation, data: bytes, now: float) -> list[bytes]:
        source, service = conversation.peer, self.services.get(conversation.peer.family)
        row = self._note_transaction(f"{conversation.listener}/tcp", source, data, now)
        session = self.sessions.get(data[8:16])
        if session is not None and conversation.session is not session:
            session.keep_stream(data[16] << 8 | data[17], data[18] << 8 | data[19], conversation)
        conversation.session = session or conversation.session
        answer = self._stun_answer(service, conversation.listener, source, data, stream=True) if service else None
        if answer is None:
            return []
        if row is not None:
            row.answered += 1
        return [answer.data]

    def answer_probe(self, conversation: Conversation, data: bytes, now: float) -> bytes | None:
        """The answer to a probe in a stream; ``conversation`` calls this."""
        try:
            noted = self._note_probe(f"{conversation.listener}/tcp", conversation.peer, data, now)
        except WireError:
            self.counters["malformed"] += 1
            return None
        if noted is None:
            return None
        conversation.session = self.sessions.get(data[8:16])
        noted[1].answered += 1
        return noted[0]

    def record_garbage(self, conversation: Conversation, data: bytes, now: float) -> None:
        """What a SIP stream held that never became a message, for the session it belongs to."""
        session, _ = self._owner(data, conversation.peer)
        self._record(
            conversation.session or session, "received", conversation.transport, conversation.listener, conversation.peer, data, now
        )

    def _fault(self, error: Exception) -> None:
        self.counters["fault"] += 1
        self._on_fault(error)


def _outbound(
    listener: str, destination: Endpoint, data: bytes, row: ReceivedRow | None, record: Callable[[], None] | None = None
) -> Outbound:
    """An answer that counts in its receipt from now on, until it is taken back."""
    if row is not None:
        row.answered += 1
    if row is None and record is None:
        return Outbound(listener, destination, data)

    def take_back() -> None:
        if row is not None:
            row.answered -= 1
        if record is not None:
            record()

    return Outbound(listener, destination, data, take_back)
