"""The whole echo server without a socket: what arrives goes in, what is to be sent comes out.

Clock (seconds, monotonic), keys and randomness are arguments, so a test drives it in memory under a clock of its own.
Whoever owns the sockets gives datagrams to ``handle_datagram``, streams to ``open_stream``, control messages to ``greet``,
``admit`` and ``handle_request``, ICMP errors to ``handle_error``, and carries out the effects.

Nothing that a peer sends raises out of a handler. A fault of our own is counted, told to ``on_fault`` and costs that datagram.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from weakref import WeakSet

from echo_server.answering.accounts import Accounts
from echo_server.answering.answers import Answers
from echo_server.answering.conversation import Conversation
from echo_server.answering.datagrams import Datagrams
from echo_server.answering.media import MediaPort, MediaPorts
from echo_server.answering.quick_answers import QuickAnswers
from echo_server.control.admission import Admission
from echo_server.control.effects import Effect
from echo_server.control.requests import Requests
from echo_server.sessions.cookies import Cookies
from echo_server.sessions.limits import DEFAULT_BOUNDS, TOKEN_LIMITS, Bounds, SourceRate
from echo_server.sessions.session import Session
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint
from edgecheck.wire.control import Hello, Limits, Refused, Service, Transport, Welcome


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
        self.limits = limits
        self.bounds = bounds
        self.counters: Counter[str] = Counter()
        """What was dropped, and why."""
        self.media_ports = MediaPorts()
        self.accounts = accounts = Accounts(services, key)
        cookies = Cookies(key)
        self._answers = Answers(accounts, SourceRate(limits.source_rate, key), cookies, key, self.counters, on_fault)
        self._admission = Admission(
            accounts,
            key=key,
            draw=draw,
            certificate=certificate,
            token=token,
            limits=limits,
            bounds=bounds,
            counters=self.counters,
            tickets_by=tickets_by,
        )
        self._requests = Requests(accounts, self.media_ports, cookies, key, wall)
        self._conversations: WeakSet[Conversation] = WeakSet()
        """On the SIP ports."""
        self.handle_datagram = Datagrams(accounts, self._answers).handle
        """What is to be sent because this datagram came to this listener."""
        self.handle_error = accounts.note_error
        """An ICMP error came back for a probe."""
        self._quick = QuickAnswers(accounts, self._answers, self.handle_datagram)
        self.quick = self._quick.at
        """The short way for floods of plain STUN at one listener; it makes the very same answers."""

    def greet(self) -> Hello:
        """The first message of a control connection."""
        return self._admission.greet()

    def admit(self, hello: Hello, message: control.Message, peer: Endpoint, now: float) -> tuple[Session, Welcome] | Refused:
        """Open a session for a client that answered ``hello`` with the proof of the token."""
        admitted = self._admission.admit(hello, message, peer, now)
        if not isinstance(admitted, Refused):
            self._quick.forget()
        return admitted

    def handle_request(self, session: Session, request: control.Message, now: float) -> list[Effect]:
        """What is to be done for one request of an open session."""
        if isinstance(request, control.Mirror):
            for conversation in tuple(self._conversations):
                if conversation.belongs_to(session):
                    conversation.record_stalled(now)
        effects = self._requests.handle(session, request, now)
        if isinstance(request, control.Prove):
            self._quick.forget()
            effects = [self._admission.with_ticket(session, effect) for effect in effects]
        return effects

    def end_session(self, session: Session) -> list[MediaPort]:
        """The control connection is gone. Returns the media ports that nobody uses any more."""
        if session.ended:
            return []
        self.accounts.sessions.remove(session)
        self._quick.forget()
        return self._requests.release_media(session)

    def open_stream(self, listener: str, transport: Transport, peer: Endpoint, now: float) -> Conversation:
        """A connection was accepted at this listener."""
        self.accounts.note_source(listener, peer, now)
        self.accounts.note_stranger(self.accounts.reached_tcp, listener, peer)
        conversation = Conversation(self.accounts, self._answers, listener, transport, peer, now, self.bounds.stream_idle_s)
        if listener.startswith("sip:"):
            self._conversations.add(conversation)
        return conversation
