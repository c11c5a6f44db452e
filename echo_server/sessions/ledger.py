"""What one session's packets did here: the receipts by which silence is judged. Bounded in rows and bytes."""

from array import array
from collections import defaultdict
from collections.abc import Iterable

from echo_server.sessions.limits import Allowance
from edgecheck.wire import control, ports
from edgecheck.wire.address import Endpoint

_ROW_BYTES = 500
"""About what a received row takes in memory, its keys and strings included."""
_ERROR_BYTES = 300
_REMAPPED_BYTES = 150
_MAX_REMAPPED = 4096
"""As promised for ``MediaRow.remapped``."""
_MAX_MEDIA_SOURCES = 16
_RECEIVED, _REMAPPED = 1, 2


class ReceivedRow:
    """Copies of one question that arrived at one listener from one source."""

    __slots__ = ("answered", "copies", "first_ms")

    def __init__(self, first_ms: float) -> None:
        self.copies = 0
        self.answered = 0
        self.first_ms = first_ms


class SentTable:
    """Copies that left from one sender for each port of a span."""

    __slots__ = ("counts", "low")

    def __init__(self, low: int, high: int) -> None:
        self.low = low
        self.counts = array("H", bytes(2 * (high - low + 1)))

    def add(self, port: int) -> None:
        index = port - self.low
        if self.counts[index] < 0xFFFF:
            self.counts[index] += 1

    def rows(self, sender: str) -> Iterable[control.SentRow]:
        by_copies: dict[int, list[int]] = defaultdict(list)
        for index, copies in enumerate(self.counts):
            if copies:
                by_copies[copies].append(self.low + index)
        for copies, numbers in sorted(by_copies.items()):
            yield control.SentRow(sender=sender, ports=ports.compress(numbers), copies=copies)


class MediaTable:
    """RTP echoes of one series."""

    __slots__ = ("answered", "flags", "remapped", "sources")

    def __init__(self) -> None:
        self.flags = bytearray(65536)
        self.remapped: dict[int, str] = {}
        self.sources: dict[str, None] = {}
        self.answered = 0

    def take_back(self) -> None:
        """An echo that was counted as answered did not leave."""
        self.answered -= 1

    def row(self) -> control.MediaRow:
        return control.MediaRow(
            received=ports.compress(item for item, flags in enumerate(self.flags) if flags),
            remapped=tuple(self.remapped.items()),
            remapped_ports=ports.compress(item for item, flags in enumerate(self.flags) if flags & _REMAPPED),
            sources=tuple(self.sources),
            answered=self.answered,
        )


class Ledger:
    """All accounts of one session."""

    def __init__(self, opened: float, rows: int, allowance: Allowance) -> None:
        self._opened = opened
        self._max_rows = rows
        self._allowance = allowance
        self._received: dict[int, dict[tuple[int, str, Endpoint], ReceivedRow]] = {}
        self._sent: dict[int, dict[str, SentTable]] = {}
        self._media: dict[int, MediaTable] = {}
        self._errors: dict[int, dict[tuple[int, str, int, int, str, int | None], int]] = {}
        self.latest: dict[str, int] = {}
        """Sender -> series that it sent last: to which an ICMP error belongs that quotes no payload."""
        self.dropped = 0
        """What was not accounted for because a bound was reached."""

    def note_received(self, series: int, item: int, listener: str, source: Endpoint, now: float) -> ReceivedRow:
        """One more copy arrived. The row is the caller's to count answers in; past the bounds it is in no account."""
        rows = self._received.get(series)
        key = (item, listener, source)
        row = rows.get(key) if rows is not None else None
        if row is None:
            row = ReceivedRow(round((now - self._opened) * 1000, 3))
            if (rows is None or len(rows) < self._max_rows) and self._allowance.take(_ROW_BYTES):
                if rows is None:
                    rows = self._received[series] = {}
                rows[key] = row
            else:
                self.dropped += 1
        row.copies += 1
        return row

    def sent_table(self, series: int, sender: str, low: int, high: int) -> SentTable | None:
        """Where the copies that leave for ports low to high are counted; None when the session's memory is used up."""
        table = self._sent.get(series, {}).get(sender)
        if table is not None and table.low <= low and high < table.low + len(table.counts):
            return table
        if table is not None:
            low, high = min(low, table.low), max(high, table.low + len(table.counts) - 1)
        if not self._allowance.take(2 * (high - low + 1) + 200):
            return None
        if table is None:
            table = self._sent.setdefault(series, {})[sender] = SentTable(low, high)
        else:  # widened in place: a plan in work holds it
            wider = SentTable(low, high)
            start = table.low - low
            wider.counts[start : start + len(table.counts)] = table.counts
            table.low, table.counts = low, wider.counts
        self.latest[sender] = series
        return table

    def note_media(self, series: int, item: int, source: Endpoint) -> MediaTable | None:
        """One RTP echo arrived. None when the session's memory is used up: then it is in no account and must not be answered."""
        table = self._media.get(series)
        if table is None:
            if not self._allowance.take(66_000):
                self.dropped += 1
                return None
            table = self._media[series] = MediaTable()
        if source.port == item:
            table.flags[item] |= _RECEIVED
        elif not table.flags[item] & _REMAPPED:
            table.flags[item] |= _RECEIVED | _REMAPPED
            if len(table.remapped) < _MAX_REMAPPED and self._allowance.take(_REMAPPED_BYTES):
                table.remapped[item] = str(source)
        if source.host not in table.sources and len(table.sources) < _MAX_MEDIA_SOURCES:
            table.sources[source.host] = None
        return table

    def note_error(self, series: int, port: int, sender: str, icmp: tuple[int, int], offender: str, ttl: int | None) -> None:
        """An ICMP error came back for a probe."""
        errors = self._errors.get(series, {})
        key = (port, sender, *icmp, offender, ttl)
        if key in errors:
            errors[key] += 1
        elif len(errors) < self._max_rows and self._allowance.take(_ERROR_BYTES):
            self._errors.setdefault(series, {})[key] = 1
        else:
            self.dropped += 1

    def account(self, id: int, series: int) -> control.Accounted:
        """The receipt for one series."""
        media = self._media.get(series)
        return control.Accounted(
            id=id,
            series=series,
            sent=tuple(row for sender, table in self._sent.get(series, {}).items() for row in table.rows(sender)),
            received=tuple(
                control.ReceivedRow(
                    item=item, listener=listener, source=str(source), copies=row.copies, answered=row.answered, first_ms=row.first_ms
                )
                for (item, listener, source), row in self._received.get(series, {}).items()
            ),
            media=media.row() if media else None,
            errors=tuple(
                control.ErrorRow(port=port, sender=sender, icmp_type=type, icmp_code=code, offender=offender, ttl=ttl, copies=copies)
                for (port, sender, type, code, offender, ttl), copies in self._errors.get(series, {}).items()
            ),
        )
