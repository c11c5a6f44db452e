"""What this end sent beside what the server says that it received: every record with the message of ours that it is. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from edgecheck.checks.sip_alg import loss
from edgecheck.checks.sip_alg.log import ChannelLog, Sent, ServerAccount
from edgecheck.checks.sip_alg.messages import METHODS, SEQUENCE_NUMBERS, Step, recognize, split_item
from edgecheck.wire import control, sdp, sip
from edgecheck.wire.errors import Truncated, WireError

_CSEQ = re.compile(rb"^CSeq[ \t]*:[ \t]*([0-9]{1,10})[ \t]+([A-Z]+)", re.IGNORECASE | re.MULTILINE)
_MOMENT_S = 0.005
_ENOUGH_ALIKE = 4


@dataclass(slots=True)
class BothEnds:
    """The server's records that belong to one channel, by item; and its account of the control."""

    log: ChannelLog
    account: ServerAccount
    received: dict[int, list[control.MirrorRecord]] = field(default_factory=dict)
    sent: dict[int, list[control.MirrorRecord]] = field(default_factory=dict)
    control_sources: tuple[str, ...] = ()
    control_arrived: frozenset[int] | None = None
    """Items; None = no account."""
    control_answered: frozenset[int] = frozenset()
    repeated_arrived: int | None = None
    """Copies of the control of which all are the same; None = no account."""
    control_copies: int = 0
    """Copies of control that arrived: more than were sent, where the path duplicates."""

    @property
    def sip_sources(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(record.peer for records in self.received.values() for record in records))

    def controls(self, sents: Sequence[Sent]) -> frozenset[int]:
        """Items of the control that left in the same rounds; of streams, in the same span of time.

        Another round met other weather, and another burst.
        """
        times = [time for sent in sents for time in sent.times]
        if self.log.transport != "udp":
            times = [min(times), max(times)]
            return frozenset(item for item, time in self.log.control_times.items() if times[0] - _MOMENT_S <= time <= times[1] + _MOMENT_S)
        return frozenset(item for item, at in self.log.control_times.items() if any(abs(at - time) <= _MOMENT_S for time in times))

    def request_drop_is_proved(self, sents: Sequence[Sent]) -> bool:
        beside = self.controls(sents)
        arrived = beside & (self.control_arrived or frozenset())
        proved = loss.drop_is_proved(sum(sent.copies for sent in sents), len(beside), len(arrived))
        return self.account.whole and proved and not self.alike_are_dropped

    @property
    def alike_are_dropped(self) -> bool:
        """Of packets that are the same the first one alone arrives, SIP or not: what SIP's copies meet then is not for what they are."""
        return self.repeated_arrived is not None and self.log.repeated_sent >= _ENOUGH_ALIKE and self.repeated_arrived <= 1

    @property
    def alike_are_dropped_back(self) -> bool:
        """The same, of the server's answers."""
        return (self.repeated_arrived or 0) >= _ENOUGH_ALIKE and self.log.repeated_returned <= 1

    def answer_drop_is_proved(self, sents: Sequence[Sent], answers: int) -> bool:
        beside = self.controls(sents) & self.control_answered
        burst = any(sent.request.step is Step.INVITE for sent in sents) and self.log.transport == "udp"
        returned = len(beside & self.log.control_returned)
        proved = loss.drop_is_proved(answers, len(beside), returned, behind_others=burst)
        return self.account.whole and proved and not self.alike_are_dropped_back


def sort_out(log: ChannelLog, account: ServerAccount, session: bytes, series: int) -> BothEnds:
    """Give every record of the server to the message of ours that it is, or answers."""
    out = BothEnds(log, account)
    for record in account.records or ():
        item = recognize(record.data, session, series)
        here = (record.transport, record.server_port) == (log.transport, log.server.port)
        if item is None and here and control.SIP_MARKER.search(record.data) is None:
            item = _by_sequence(log, record.data)  # every marker eaten: what is left is CSeq
        if item in log.sent and not (record.direction == "received" and is_fragment(record, log.sent[item].request.data)):
            (out.received if record.direction == "received" else out.sent).setdefault(item, []).append(record)
    if account.controls is not None:
        rows = [row for row in account.controls if split_item(row.item)[0] == log.number and split_item(row.item)[2] == Step.CONTROL]
        out.control_sources = tuple(dict.fromkeys(row.source for row in rows))
        out.control_arrived = frozenset(row.item for row in rows)
        out.control_answered = frozenset(row.item for row in rows if row.answered)
        out.control_copies = sum(row.copies for row in rows)
        alike = [row for row in account.controls if split_item(row.item)[::2] == (log.number, Step.REPEATED_CONTROL)]
        out.repeated_arrived = sum(row.copies for row in alike)
    return out


def is_fragment(record: control.MirrorRecord, sent: bytes) -> bool:
    """Whether this is the beginning of a message whose rest TCP has not brought yet: that it is short proves nothing.

    Unlike a message that came to its last line and whose Content-Length promises more: that one was altered.
    """
    if record.transport == "udp":
        return False
    if len(record.data) < len(sent) and sent.startswith(record.data):
        return True
    try:
        message = sip.parse_datagram(record.data)
    except Truncated:
        return True
    except WireError:
        return False
    if (message.content_length or 0) <= len(message.body):
        return False
    lines, expected = sdp.parse(message.body), sdp.parse(sip.parse_datagram(sent).body)
    return len(lines) < len(expected) or not message.body.endswith(b"\n")


def _by_sequence(log: ChannelLog, data: bytes) -> int | None:
    found = _CSEQ.search(data)
    named = (int(found[1]), found[2].upper().decode()) if found else None
    steps = [step for step, method in METHODS.items() if (SEQUENCE_NUMBERS[step], method) == named]
    return next((item for item, sent in log.sent.items() if sent.request.step in steps), None)
