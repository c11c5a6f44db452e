"""One TCP or TLS connection to a STUN or SIP port: bytes in, bytes out."""

from echo_server.answering.accounts import Accounts
from echo_server.answering.answers import Answers
from echo_server.sessions.session import KeptStream, Session
from edgecheck.wire import probe, sip
from edgecheck.wire.address import Endpoint
from edgecheck.wire.control import Direction, Transport
from edgecheck.wire.errors import WireError
from edgecheck.wire.framing import SipFramer, StunFramer
from edgecheck.wire.probe import Kind

STALLED_S = 0.9
"""TCP has sent a lost segment twice more by then; a client that waits for an answer has not yet given up."""


class Conversation(KeptStream):
    """Messages (STUN or SIP, by the port) and probes, in any order, on one stream.

    A probe begins where a message could. Its 28 bytes are answered at once. On a SIP port zeros behind an ``ECHO`` are its padding
    and come back as they are, so the answer is as long as the question, though no length is written in it; on a STUN port, where
    a message begins with a zero, a probe has 28 bytes and no padding.
    """

    def __init__(
        self, accounts: Accounts, answers: Answers, listener: str, transport: Transport, peer: Endpoint, now: float, idle_s: float
    ) -> None:
        """``idle_s``: how long it may idle without a session."""
        super().__init__()
        self.peer = peer
        self.session: Session | None = None
        """Whose messages came; known from the first that named it."""
        self.over = False
        """To be closed when what ``feed`` returned has been sent."""
        self.throttled = False
        """The source has had all the answers for this second that a stranger gets: read on later."""
        self._accounts = accounts
        self._answers = answers
        self._listener = listener
        self._transport: Transport = transport
        self._idle_s = idle_s
        self._is_sip = listener.startswith("sip:")
        self._framer = SipFramer() if self._is_sip else StunFramer()
        self._start = b""
        self._padding = False
        self._recorded = 0
        self._last_message = self._last_bytes = now

    def deadline(self) -> float:
        """When it is to be closed if no whole message comes; with a session it may idle as long as that lives."""
        if self.session is not None and not self.session.ended:
            return self.session.deadline()
        return self._last_message + self._idle_s

    def feed(self, data: bytes, now: float) -> bytes:
        """What to answer to these bytes, in one piece."""
        return b"".join(self.answers(data, now))

    def answers(self, data: bytes, now: float) -> list[bytes]:
        """What to answer to these bytes: message by message, as they should be written.

        A registrar does not put 100, 180 and 200 into one segment; and an ALG in the kernel loses a stream whose message straddles two.
        """
        if self.over:
            return []
        self.throttled = False
        self._last_bytes = now
        out: list[bytes] = []
        try:
            self._answer(self._start + data, out, now)
        except WireError:
            self._answers.counters["stream broken"] += 1
            self.end(now)
            self.over = True
        return out

    def _answer(self, data: bytes, out: list[bytes], now: float) -> None:
        self._start = b""
        while data:
            if self._padding:
                rest = data.lstrip(b"\0")
                out.append(bytes(len(data) - len(rest)))
                self._padding = not rest
                data = rest
            elif not self._framer.pending and (data.startswith(probe.MAGIC) or probe.MAGIC.startswith(data)):
                if len(data) < probe.SIZE:
                    self._start = data
                    break
                answer = self._answer_probe(data[: probe.SIZE], now)
                if answer is not None:
                    out.append(answer)
                    self._last_message = now
                self._padding = answer is not None and data[4] == Kind.ECHO and self._is_sip
                data = data[probe.SIZE :]
            else:
                # A probe may stand right behind a message; inside one the magic means nothing, and the loop comes back here.
                cut = _find_magic(data)
                chunk, data = data[:cut], data[cut:]
                self._answer_messages(chunk, out, now)

    def _answer_messages(self, chunk: bytes, out: list[bytes], now: float) -> None:
        self._recorded = 0
        for message in self._framer.feed(chunk):
            self._last_message = now
            out += self._answer_message(message, now)
        if self._framer.broken is not None:
            raise self._framer.broken

    def _answer_message(self, data: bytes, now: float) -> list[bytes]:
        if not self._answers.may_answer(self.peer.host, now):
            self.throttled = True
        try:
            return self._answer_sip(data, now) if self._is_sip else self._answer_stun(data, now)
        except WireError:
            self._answers.counters["malformed"] += 1
        except Exception as error:
            self._answers.fault(error)
        return []

    def _answer_sip(self, data: bytes, now: float) -> list[bytes]:
        if data in (sip.PING, sip.PONG):
            session = self.session
            self._record(session, "received", data, now)
            answers = [sip.PONG] if data == sip.PING else []  # RFC 5626 section 4.4.1
        else:
            session, answers, row = self._answers.to_sip(self._listener, self._transport, self.peer, data, None, now)
            self.session = session or self.session
            if session is not None:
                session.sip_streams[self._listener, self.peer] = self
            if row is not None and answers:
                row.answered += 1
        for answer in answers:
            self._record(session, "sent", answer, now)
        return answers

    def _answer_stun(self, data: bytes, now: float) -> list[bytes]:
        service = self._accounts.services.get(self.peer.family)
        row = self._accounts.note_transaction(f"{self._listener}/tcp", self.peer, data, now)
        session = self._accounts.sessions.get(data[8:16])
        if session is not None and self.session is not session:
            session.keep_stream(data[16] << 8 | data[17], data[18] << 8 | data[19], self)
        self.session = session or self.session
        answer = self._answers.to_stun(service, self._listener, self.peer, data, stream=True) if service else None
        if answer is None:
            return []
        if row is not None:
            row.answered += 1
        return [answer.data]

    def _answer_probe(self, data: bytes, now: float) -> bytes | None:
        try:
            found = self._answers.to_probe(f"{self._listener}/tcp", self.peer, data, now)
        except WireError:
            self._answers.counters["malformed"] += 1
            return None
        if found is None:
            return None
        answer, row = found
        self.session = self._accounts.sessions.get(data[8:16])
        row.answered += 1
        return answer

    def belongs_to(self, session: Session) -> bool:
        """Whether what came on it is this session's, or what has not yet become a message seems to be."""
        return (self.session or self._accounts.owner(self.unread, self.peer)[0]) is session

    def record_stalled(self, now: float) -> None:
        """Put into the mirror what has waited long for its rest: a length that somebody changed makes a message that never ends."""
        if now - self._last_bytes >= STALLED_S:
            self._record_rest(now)

    def end(self, now: float) -> None:
        """The stream ended, or cannot be followed: what had not become a message goes into the mirror all the same."""
        self._record_rest(now)

    def _record_rest(self, now: float) -> None:
        rest = self.unread
        if self._is_sip and len(rest) > self._recorded:
            owner, _ = self._accounts.owner(rest, self.peer)
            self._record(self.session or owner, "received", rest, now)
            self._recorded = len(rest)

    def _record(self, session: Session | None, direction: Direction, data: bytes, now: float) -> None:
        self._accounts.record(session, direction, self._transport, self._listener, self.peer, data, now)

    @property
    def unread(self) -> bytes:
        """What has come and is no whole message, nor a probe."""
        return self._start + self._framer.remainder


def _find_magic(data: bytes) -> int:
    """Where, behind its first byte, the probe's magic stands, or the part of it with which the data ends; else its length."""
    found = data.find(probe.MAGIC, 1)
    if found >= 0:
        return found
    starts = range(max(1, len(data) - len(probe.MAGIC) + 1), len(data))
    return next((start for start in starts if probe.MAGIC.startswith(data[start:])), len(data))
