"""Asking a running service who it is: what is said on which socket, and what is kept of the answer. A plan, no sockets.

Nothing is sent but to an address that the session proved to be its own; whoever makes a plan has checked that. A service that others
use is asked gently: one OPTIONS a transaction, a handful of copies at most, and the first answer ends it.
"""

from echo_server.sessions.ledger import SentTable
from echo_server.sessions.session import Session
from edgecheck.wire import control, inquiry, ports
from edgecheck.wire.address import Endpoint
from edgecheck.wire.control import InquiryRow, Service


class Asked:
    """What one port's service made of the question, so far."""

    def __init__(self) -> None:
        self.sources: list[str] = []
        self.attempts = 0
        self.outcome = "unsent"
        self.elapsed_ms = 0.0
        self.answer: inquiry.Answer | None = None
        self.answered_from = ""
        self.said = ""
        self.certificate: control.Certificate | None = None
        self.detail = "not attempted"


_OUTCOMES = ("answered", "connected", "refused", "unreachable", "silent", "unsent")
"""Best first."""


class Inquiring:
    """Effect of ``Inquire``: services to be asked; then ``finish`` tells the reply."""

    def __init__(self, service: Service, session: Session, request: control.Inquire, table: SentTable) -> None:
        self.session = session
        self.request = request
        self.local = request.sender
        """Address to ask from: ``A`` or ``B``."""
        public = service.alternate if request.sender == "B" else service.address
        assert public is not None  # whoever made the plan has seen to it
        self._public = public
        self._table = table
        self._asked = {port: Asked() for port in ports.expand(request.ports)}

    @property
    def ports(self) -> tuple[int, ...]:
        return tuple(self._asked)

    def question(self, port: int, local_port: int) -> bytes:
        """What is said, from this port of ours; nothing where the service is only to be listened to."""
        marker = self._marker(port)
        if self.request.speak == "nothing":
            return b""
        if self.request.speak == "datagram":
            return marker.encode()
        to = Endpoint(self.request.address, port)
        return inquiry.options(marker, self.request.transport, Endpoint(self._public, local_port), to)

    def _marker(self, port: int) -> str:
        return control.sip_marker(self.session.name, self.request.series, port)

    def left(self, port: int, local_port: int) -> None:
        """A copy has left for this port, or a SYN."""
        asked = self._asked[port]
        asked.attempts += 1
        source = str(Endpoint(self._public, local_port))
        if source not in asked.sources:
            asked.sources.append(source)
        self._table.add(port)
        self.ended(port, "silent", asked.elapsed_ms)

    def connected(self, port: int, local_port: int, elapsed_ms: float) -> None:
        """The service accepted the connection from this port of ours."""
        asked = self._asked[port]
        source = str(Endpoint(self._public, local_port))
        asked.sources.sort(key=lambda one: one != source)
        self.ended(port, "connected", elapsed_ms)

    def encrypted(self, port: int, certificate: control.Certificate) -> None:
        """TLS came about, with this certificate."""
        self._asked[port].certificate = certificate

    def heard(self, port: int, data: bytes, source: Endpoint | None, elapsed_ms: float) -> bool:
        """All that was said so far (of a stream), or one datagram. Whether it answers the question, so that no more need be asked."""
        asked = self._asked[port]
        answer = inquiry.read(data, self._marker(port)) if self.request.speak == "sip" else None
        if answer is None:
            if data and not asked.said and (source is None or source.host == self.request.address):
                asked.said = inquiry.printable(data)
            return False
        asked.answer, asked.said = answer, ""
        asked.answered_from = str(source) if source is not None else ""
        self.ended(port, "answered", elapsed_ms)
        return True

    def ended(self, port: int, outcome: str, elapsed_ms: float, detail: str = "") -> None:
        """What one attempt came to; the best is kept."""
        asked = self._asked[port]
        if _OUTCOMES.index(outcome) < _OUTCOMES.index(asked.outcome):
            asked.outcome, asked.elapsed_ms, asked.detail = outcome, elapsed_ms, detail

    def trouble(self, port: int, detail: str) -> None:
        """What went wrong on a connection that had come about."""
        self._asked[port].detail = detail

    def finish(self) -> control.Inquired:
        """The reply."""
        return control.Inquired(id=self.request.id, rows=tuple(_row(port, asked) for port, asked in self._asked.items()))


def _row(port: int, asked: Asked) -> InquiryRow:
    return InquiryRow(
        port=port,
        outcome=asked.outcome,  # type: ignore[arg-type]
        attempts=asked.attempts,
        sources=tuple(asked.sources),
        elapsed_ms=round(asked.elapsed_ms, 3),
        status=asked.answer.status if asked.answer else None,
        software=asked.answer.software if asked.answer else "",
        answered_from=asked.answered_from,
        said=asked.said,
        certificate=asked.certificate,
        detail=asked.detail,
    )
