"""Whether packets arrive at this machine, without any privilege: by the counter of packets marked ECT(1).

Theory. Linux counts the packets that come in by their ECN bits (RFC 3168), whatever becomes of them, and shows the counts to anybody.
Hardly any traffic is marked ECT(1) (RFC 9331 is young), so on most machines that counter stands still. The server marks its questions;
when the counter rises with every question, and never in between, they arrive here. How sure is that? Were the counter raised by strangers
at a steady rate, the chance of a rise in each of m windows with a question and of none in a quiet time k windows long would be at most
``(m/(m+k))**m * (k/(m+k))**k``, whatever that rate. Below one in 100,000 the arrival is believed. A path that clears the marks (some do)
leaves the question open; so does a rise in the quiet time.
"""

from edgecheck.checks.unsolicited import margin
from edgecheck.model.check import Network, Sightings
from edgecheck.model.errors import RequestDeclined
from edgecheck.model.evidence import WRONG_BY_CHANCE
from edgecheck.wire import control

MOST_QUESTIONS = 8
HOPELESS = 3
"""Questions without any rise: the path clears the marks, or nothing arrives."""
ENOUGH = 6
"""Rises after which the quiet time that they need is short."""
MOST_QUIET_S = 6.0


def chance_of_strangers(rises: int, quiet: float) -> float:
    """The chance, at most, that strangers' packets raised the counter in so many windows and never in ``quiet`` windows' time."""
    if not rises:
        return 1.0
    whole = rises + quiet
    return float((rises / whole) ** rises * (quiet / whole) ** quiet)


class Marks:
    """Marked questions and the counter, one port at a time; the quiet time runs from the beginning, between all questions."""

    def __init__(self, net: Network, sightings: Sightings) -> None:
        self._net = net
        self._sightings = sightings
        self._quiet_s = 0.0
        self._noisy = False
        self._since = net.now()
        self._level = self._read()
        self._arrived: dict[int, int] = {}
        self.told: dict[int, list[control.InquiryRow]] = {}
        self.undelivered: dict[int, int] = {}
        """By port: what the system did not deliver in the windows in which a question arrived."""

    def _read(self) -> int | None:
        counters = self._sightings.counters()
        return counters.marked if counters else None

    def _lost(self) -> int:
        counters = self._sightings.counters()
        return counters.undelivered if counters else 0

    def arrived(self, port: int) -> bool:
        """Whether questions to this port were proved to come to this machine."""
        return port in self._arrived

    def rises(self, port: int) -> int:
        """With how many questions the counter rose, where that proved it."""
        return self._arrived.get(port, 0)

    def _end_quiet(self) -> None:
        self._quiet_s += self._net.now() - self._since
        self._noisy |= self._read() != self._level

    def _begin_quiet(self) -> None:
        self._since, self._level = self._net.now(), self._read()

    async def ask(self, port: int, speak: str) -> None:
        """Put marked questions to a UDP port until the counter has told, or it is plain that it will not."""
        if self._level is None or self._noisy:
            return
        rises, windows = 0, [0.0]
        for number in range(MOST_QUESTIONS):
            self._end_quiet()
            began, before, lost = self._net.now(), self._read(), self._lost()
            row = await self._question(port, speak)
            await self._net.sleep(margin(self._net))
            rise = (self._read() or 0) - (before or 0)
            windows.append(self._net.now() - began)
            self._begin_quiet()
            if row is not None:
                self.told.setdefault(port, []).append(row)
            if row is None or self._noisy or rise > row.attempts:
                return  # others mark their packets too
            rises += rise > 0
            if rise:
                self.undelivered[port] = self.undelivered.get(port, 0) + self._lost() - lost
            if rises == 0 and number + 1 >= HOPELESS:
                return
            if rises >= ENOUGH and await self._quiet_enough(rises, max(windows)):
                self._arrived[port] = rises
                return

    async def _quiet_enough(self, rises: int, window: float) -> bool:
        """Wait for the quiet time that the rises need, where it is not too long."""
        longest = MOST_QUIET_S / window
        quiet = next((k for k in range(1, int(longest) + 1) if chance_of_strangers(rises, k) < WRONG_BY_CHANCE), None)
        if quiet is None:
            return False
        missing = quiet * window - self._quiet_s
        if missing > 0:
            await self._net.sleep(missing)
        self._end_quiet()
        self._begin_quiet()
        return not self._noisy

    async def _question(self, port: int, speak: str) -> control.InquiryRow | None:
        net, series = self._net, self._net.new_series()
        try:
            reply = await net.ask(
                lambda id: control.Inquire(
                    id=id,
                    series=series,
                    address=net.observed,
                    ports=((port, port),),
                    transport="udp",
                    speak=speak,  # type: ignore[arg-type]
                    attempts=1,
                    patience_ms=int(100 + 2000 * net.rtt),
                    mark=True,
                )
            )
        except RequestDeclined:
            return None
        return reply.rows[0] if isinstance(reply, control.Inquired) and reply.rows else None
