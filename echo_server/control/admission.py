"""Who is admitted to the control channel: the proof of the token, how many may be here, and the tickets that continue a session."""

from collections import Counter
from collections.abc import Callable

import msgspec

from echo_server.answering.accounts import Accounts
from echo_server.control.effects import Effect, Reply
from echo_server.sessions import tickets
from echo_server.sessions.limits import Bounds, Pool, is_loopback
from echo_server.sessions.session import Session
from edgecheck import __version__
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint
from edgecheck.wire.control import Hello, Limits, Refused, Welcome
from edgecheck.wire.errors import WireError


class Admission:
    """The handshake of a control connection, and the session's ticket as long as it lives."""

    def __init__(
        self,
        accounts: Accounts,
        *,
        key: bytes,
        draw: Callable[[int], bytes],
        certificate: str,
        token: str,
        limits: Limits,
        bounds: Bounds,
        counters: Counter[str],
        tickets_by: Callable[[], float] | None,
    ) -> None:
        self._accounts = accounts
        self._draw = draw
        self._certificate = certificate
        self._token = token
        self._limits = limits
        self._bounds = bounds
        self._counters = counters
        self._tickets_by = tickets_by
        self._ticket_key = tickets.key_of(token) if token else tickets.key_of(key.hex())
        self._pool = Pool(bounds.total_bytes)
        self._opened = 0

    def greet(self) -> Hello:
        """The first message of a control connection."""
        nonce = self._draw(control.NONCE_SIZE).hex()
        return Hello(protocol=control.PROTOCOL, version=__version__, nonce=nonce, open=not self._token, limits=self._limits)

    def admit(self, hello: Hello, message: control.Message, peer: Endpoint, now: float) -> tuple[Session, Welcome] | Refused:
        """Open a session for a client that answered ``hello`` with the proof of the token."""
        refused = _check_authentication(hello, message, self._token)
        if refused is None and peer.family not in self._accounts.services:
            refused = Refused(reason="busy", message=f"This server serves no IPv{peer.family} client.")
        if refused is None and (count := len(self._accounts.sessions)) >= self._bounds.sessions:
            refused = Refused(reason="busy", message=f"{count} sessions are open, as many as may be: try again in a minute.")
        open_here = self._accounts.sessions.of_peer(peer.host)
        if refused is None and open_here >= self._bounds.sessions_per_source and not is_loopback(peer.host):
            refused = Refused(reason="busy", message=f"{peer.host} has {open_here} sessions open, as many as it may.")
        if refused is not None:
            self._counters[f"refused: {refused.reason}"] += 1
            return refused
        assert isinstance(message, control.Authenticate)
        intercepted = message.certificate != self._certificate
        self._opened += 1
        ticket = self._ticket(message.ticket, peer)
        name = bytes.fromhex(ticket.session) if ticket else self._draw(control.SESSION_SIZE)
        service = self._accounts.services[peer.family]
        session = Session(name, self._opened, peer, now, intercepted, self._limits, self._bounds, self._pool, service)
        self._accounts.sessions.add(session)
        if self._tickets_by is not None:
            session.ticket_ends = ticket.ends if ticket else int(self._tickets_by() + self._limits.session_s)
        for address in ticket.addresses if ticket else ():
            self._accounts.sessions.prove(session, address)
        return session, Welcome(
            session=name.hex(),
            certificate=self._certificate,
            proof=control.proof(self._token, "server", hello.nonce, message.nonce, self._certificate),
            intercepted=intercepted,
            observed=str(peer),
            service=service,
            alternate_contacted_s=self._accounts.contacts.ago(peer.host, now),
            ticket=self._issue(session),
            continued=ticket is not None,
        )

    def _ticket(self, text: str, peer: Endpoint) -> tickets.Ticket | None:
        """The ticket presented, if it is good here: signed, in time, the same peer's, and its session is not open any more."""
        if not text or self._tickets_by is None:
            return None
        ticket = tickets.verify(self._ticket_key, text, peer.host, self._tickets_by())
        if ticket is None or self._accounts.sessions.get(bytes.fromhex(ticket.session)) is not None:
            self._counters["ticket not taken"] += 1
            return None
        return ticket

    def _issue(self, session: Session) -> str:
        """A ticket for this session; one that was continued ends when it would have ended anyway."""
        if not session.ticket_ends:
            return ""
        addresses = tuple(session.addresses)
        ticket = tickets.Ticket(session=session.name.hex(), peer=session.peer.host, addresses=addresses, ends=session.ticket_ends)
        return tickets.issue(self._ticket_key, ticket)

    def with_ticket(self, session: Session, effect: Effect) -> Effect:
        """The reply to a proof tells the ticket anew, with the address in it."""
        if isinstance(effect, Reply) and isinstance(effect.message, control.Proved):
            return Reply(msgspec.structs.replace(effect.message, ticket=self._issue(session)))
        return effect


def _check_authentication(hello: Hello, message: control.Message, token: str) -> Refused | None:
    """Whether the first message of a client proves that it knows the token; None when it does."""
    if not isinstance(message, control.Authenticate):
        return Refused(reason="malformed", message="The first message must be the proof of the token.")
    if message.protocol != control.PROTOCOL:
        return Refused(
            reason="protocol",
            message=f"This server ({__version__}) speaks protocol {control.PROTOCOL}, the client ({message.version[:20]}) protocol "
            f"{message.protocol}: install the same version at both ends.",
        )
    try:
        control.parse_hex(message.nonce, control.NONCE_SIZE)
        control.parse_hex(message.certificate, 32)
    except WireError:
        return Refused(reason="malformed", message="The nonce or the certificate's fingerprint is not hexadecimal of the right length.")
    if not control.proves(token, "client", hello.nonce, message.nonce, message.certificate, message.proof):
        return Refused(reason="unknown-token", message="This server does not know this token. Copy the whole edge://... line it printed.")
    return None
