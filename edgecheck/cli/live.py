"""Progress on a terminal: one line a check, replaced in place, with a bar where something is counted."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live as RichLive
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from edgecheck.model.verdict import CheckResult, Verdict
from edgecheck.report.text import safe

_STYLES = {
    Verdict.PASS: "bold green",
    Verdict.WARN: "bold yellow",
    Verdict.FAIL: "bold red",
    Verdict.INCONCLUSIVE: "bold magenta",
    Verdict.SKIPPED: "dim",
}
_BAR, _LEAST_BAR = 20, 6
"""Columns."""
_GAPS = 6
"""Columns between a line's parts."""
_ECHO = 3
"""Columns left free at the end: the terminal writes ^C there, and a line that it makes too long would stay behind."""


class _Line:
    """What is known of one check."""

    def __init__(self, question: str) -> None:
        self.question = question
        self.result: CheckResult | None = None
        self.count: Count | None = None


class Count:
    """Something counted, and how fast it goes."""

    def __init__(self, done: int, now: float) -> None:
        self._since, self._before = now, done
        self.done = self.total = done
        self.note = ""
        self._now = now

    def update(self, done: int, total: int, note: str, now: float) -> None:
        if done < self.done or total != self.total:  # another round began
            self._since, self._before = now, done
        self.done, self.total, self.note, self._now = done, total, note, now

    def __str__(self) -> str:
        text = f"{self.done:,}/{self.total:,}" + (f" {self.note}" if self.note else "")
        if self.note == "seconds":
            return f"{text}, {self.total - self.done:,} s left at most"
        elapsed = self._now - self._since
        if elapsed >= 0.5 and self.done > self._before:
            rate = (self.done - self._before) / elapsed
            text += f", {rate:,.0f}/s"
            left = (self.total - self.done) / rate
            if left >= 1:
                text += f", {left:.0f} s left"
        return text


class Live:
    """Implements the runner's ``Show``. Erased at the end: the report follows."""

    def __init__(self, no_color: bool, intro: str = "") -> None:
        self._intro = intro
        self._console = Console(stderr=True, no_color=no_color or None, highlight=False)
        self._lines: dict[str, _Line] = {}
        self._spinner = Spinner("dots")
        self._live = RichLive(get_renderable=self._render, console=self._console, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()

    def check_started(self, id: str, question: str) -> None:
        self._lines[id] = _Line(question)

    def progress(self, id: str, done: int, total: int, note: str) -> None:
        line = self._lines.get(id)
        if line is None or total <= 0:
            return
        now = time.monotonic()
        if line.count is None:
            line.count = Count(done, now)
        line.count.update(done, total, note, now)

    def check_finished(self, result: CheckResult) -> None:
        self._lines.setdefault(result.id, _Line("")).result = result

    def notice(self, text: str) -> None:
        self._console.print(Text(safe(text)))

    def _render(self) -> Group:
        verdicts = max((len(line.result.verdict.value) if line.result else 1 for line in self._lines.values()), default=1)
        ids = max(map(len, self._lines), default=0)
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, min_width=verdicts)
        table.add_column(no_wrap=True, min_width=ids)
        room = max(_BAR, self._console.width - verdicts - ids - _GAPS - _ECHO)
        table.add_column(no_wrap=True, overflow="ellipsis", max_width=room)
        for id, line in self._lines.items():
            if line.result is not None:
                verdict = line.result.verdict
                table.add_row(Text(verdict.value, _STYLES[verdict]), id, Text(safe(line.result.summary)))
            elif line.count is not None:
                told = Text(str(line.count), no_wrap=True, overflow="ellipsis")
                bar = max(_LEAST_BAR, min(_BAR, room - len(told) - 1))
                counted = Table.grid(padding=(0, 1, 0, 0))
                counted.add_row(ProgressBar(line.count.total, line.count.done, width=bar), told)
                table.add_row(self._spinner, id, counted)
            else:
                table.add_row(self._spinner, id, Text(line.question))
        return Group(Text(safe(self._intro)), table) if self._intro else Group(table)
