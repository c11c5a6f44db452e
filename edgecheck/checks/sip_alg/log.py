"""What this end sent and received on each channel: written while the traffic runs, read when it is over."""

from dataclasses import dataclass, field
from typing import NamedTuple

from edgecheck.checks.sip_alg.messages import Request
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint


class Answer(NamedTuple):
    """A response as it arrived."""

    data: bytes
    source: Endpoint


@dataclass(slots=True)
class Sent:
    """One request and what came back for it."""

    request: Request
    local: Endpoint
    times: list[float] = field(default_factory=list)
    """When each copy left, seconds on the network's clock."""
    answers: list[Answer] = field(default_factory=list)

    @property
    def copies(self) -> int:
        return len(self.times)

    @property
    def answered(self) -> bool:
        """Whether a final response came (RFC 3261 section 7.2: 2xx to 6xx)."""
        return any(is_final(answer.data) for answer in self.answers)


@dataclass(slots=True, kw_only=True)
class ChannelLog:
    """One transport to one port of the server."""

    number: int
    """In item numbers."""
    transport: control.Transport
    server: Endpoint
    local: Endpoint | None = None
    sent: dict[int, Sent] = field(default_factory=dict)
    """By item."""
    control_size: int = 0
    control_times: dict[int, float] = field(default_factory=dict)
    """When each control datagram left, by item; of a stream: each connection that was made and given one."""
    control_returned: set[int] = field(default_factory=set)
    """Items of those that came back whole."""
    repeated_sent: int = 0
    """Copies of the control of which all are the same."""
    repeated_returned: int = 0
    small_sent: set[int] = field(default_factory=set)
    """Items of the short controls beside long ones."""
    small_returned: set[int] = field(default_factory=set)
    offered: bool = True
    """Whether the server has it."""
    not_tested: str | None = None
    errors: list[str] = field(default_factory=list)
    certificate: bytes | None = None

    @property
    def control_sent(self) -> int:
        return len(self.control_times)

    @property
    def name(self) -> str:
        """``UDP 5060``."""
        return f"{self.transport.upper()} {self.server.port}"


class ServerAccount(NamedTuple):
    """What the server says that it received and sent; empty where it could not be asked."""

    records: tuple[control.MirrorRecord, ...] | None
    """SIP, exact bytes; None = no account."""
    controls: tuple[control.ReceivedRow, ...] | None
    """Of the series; None = no account."""
    problem: str | None
    """Why the records are missing or not all there; None = they are whole."""
    translated: bool = False
    """The server sees this machine at another address than its own: the control channel told."""

    @property
    def whole(self) -> bool:
        return self.records is not None and self.problem is None


def status_of(data: bytes) -> int | None:
    """The status code of a response."""
    code = data[8:11]
    return int(code) if data[:8].upper() == b"SIP/2.0 " and code.isdigit() else None


def is_final(data: bytes) -> bool:
    status = status_of(data)
    return status is not None and status >= 200


def first_line_of(data: bytes) -> str:
    """The start line, as text."""
    return data.lstrip().partition(b"\n")[0].rstrip(b"\r").decode("utf-8", "backslashreplace")[:200]
