"""What is to be sent because a datagram came: STUN, probes, SIP and RTP over UDP."""

from collections.abc import Callable

from echo_server.answering import media
from echo_server.answering.accounts import Accounts
from echo_server.answering.answers import Answers
from echo_server.outbound import Outbound
from echo_server.sessions.ledger import ReceivedRow
from edgecheck.wire import probe
from edgecheck.wire import stun as stun_wire
from edgecheck.wire.address import Endpoint
from edgecheck.wire.errors import WireError


class Datagrams:
    """Everything that comes over UDP, by the listener that it comes to and by what it is."""

    def __init__(self, accounts: Accounts, answers: Answers) -> None:
        self._accounts = accounts
        self._answers = answers

    def handle(self, listener: str, source: Endpoint, data: bytes, now: float) -> list[Outbound]:
        """What is to be sent because this datagram came to this listener."""
        self._accounts.note_source(listener, source, now)
        counters = self._answers.counters
        try:
            if listener.startswith("media:"):
                return self._handle_media(listener, source, data, now)
            self._accounts.note_stranger(self._accounts.reached, listener, source)
            if data.startswith(probe.MAGIC):
                return self._handle_probe(listener, source, data, now)
            if stun_wire.is_stun(data):
                return self._handle_stun(listener, source, data, now)
            if listener.startswith("sip:"):
                return self._handle_sip(listener, source, data, now)
            if listener.startswith("reach:"):
                # A DNS question that names a session: it is to be counted, not answered.
                self._accounts.note_sip(listener, "udp", source, data, now)
            counters["unrecognized"] += 1
        except WireError:
            counters["malformed"] += 1
        except Exception as error:
            self._answers.fault(error)
        return []

    def _handle_stun(self, listener: str, source: Endpoint, data: bytes, now: float) -> list[Outbound]:
        row = self._accounts.note_transaction(listener, source, data, now)
        service = self._accounts.services.get(source.family)
        if service is None or not self._answers.may_answer(source.host, now):
            return []
        answer = self._answers.to_stun(service, listener, source, data, stream=False)
        if answer is None:
            return []
        return [_outbound(answer.listener, answer.destination, answer.data, row)]

    def _handle_probe(self, listener: str, source: Endpoint, data: bytes, now: float) -> list[Outbound]:
        found = self._answers.to_probe(listener, source, data, now)
        if found is None or not self._answers.may_answer(source.host, now):
            return []
        answer, row = found
        return [_outbound(listener, source, answer, row)]

    def _handle_media(self, listener: str, source: Endpoint, data: bytes, now: float) -> list[Outbound]:
        echo = media.parse_echo(data)
        session = self._accounts.sessions.get(echo.session) if echo is not None else None
        if echo is None or session is None:
            self._answers.counters["media of nobody"] += 1
            return []
        self._accounts.note_reached(session, listener)
        table = session.ledger.note_media(echo.series, echo.item, source)
        if table is None or not self._answers.may_answer(source.host, now):
            return []
        table.answered += 1
        return [Outbound(listener, source, media.echoed(data), table.take_back)]

    def _handle_sip(self, listener: str, source: Endpoint, data: bytes, now: float) -> list[Outbound]:
        room = None if self._answers.is_trusted(source.host) else len(data)
        session, answers, row = self._answers.to_sip(listener, "udp", source, data, room, now)
        out = []
        for index, answer in enumerate(answers):
            record = self._accounts.record(session, "sent", "udp", listener, source, answer, now)
            out.append(_outbound(listener, source, answer, row if index == len(answers) - 1 else None, record))
        return out


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
