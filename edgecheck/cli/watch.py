"""``edgecheck watch``: look again and again, tell what changed."""

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edgecheck.cli import history, status
from edgecheck.cli.output import colored
from edgecheck.cli.run import Asked, event_loop, settings_of
from edgecheck.model.errors import UsageError
from edgecheck.model.verdict import Report, Verdict

if TYPE_CHECKING:
    from edgecheck.runner import Settings
    from edgecheck.watching.metrics import Metrics
    from edgecheck.watching.watch import Sink, Turn, Watch

WEBHOOK_VARIABLE = "EDGECHECK_WEBHOOK"
LEFT_OUT = "rtp-range"
"""Not watched unless it is named: it opens every port of the range, each time."""
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


class Watched(NamedTuple):
    """What was asked for beside what ``run`` is asked."""

    every: str
    metrics: str | None
    textfile: str | None
    webhook: str | None
    once: bool
    no_color: bool


def watch(asked: Asked, watched: Watched) -> int:
    """Look until told to end; the exit status is that of the last look."""
    from edgecheck.watching.metrics import Metrics
    from edgecheck.watching.watch import Clock, Watch
    from edgecheck.watching.webhook import Webhook

    every_s = seconds(watched.every)
    settings = settings_of(asked, left_out=() if _names_checks(asked) else (LEFT_OUT,))
    lines = Lines(watched.no_color)
    metrics = Metrics(Path(watched.textfile) if watched.textfile else None) if watched.metrics or watched.textfile else None
    # the figures first: whoever reads a line and asks for them must find what it tells
    sinks: list[Sink] = [] if metrics is None else [metrics, Trouble(metrics)]
    sinks += [lines, Kept(asked.history)]
    url = watched.webhook or os.environ.get(WEBHOOK_VARIABLE)
    hook = Webhook(url, _say) if url else None
    if hook is not None:
        sinks.append(hook)
    if watched.metrics is not None:
        assert metrics is not None
        _serve(metrics, watched.metrics)
    lines.opening(settings, None if watched.once else every_s)

    async def go() -> Verdict:
        one = Watch(lambda: _look(settings), every_s, Clock(time.time, asyncio.sleep), tuple(sinks))
        try:
            await _until_told_to_end(one, 1 if watched.once else None)
        finally:
            if hook is not None:
                await hook.close()
        return one.verdict

    with asyncio.Runner(loop_factory=event_loop) as runner:
        return status.of(runner.run(go()))


def seconds(text: str) -> float:
    """``90``, ``15m``, ``1h``. Raises ``UsageError``."""
    from edgecheck.watching.watch import LEAST_S

    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([smhd]?)", text.strip())
    if match is None:
        raise UsageError(f"--every {text[:40]!r}: a time is wanted, such as 90, 15m or 1h.")
    found = float(match[1]) * _UNITS[match[2]]
    if found < LEAST_S:
        raise UsageError(f"--every {text}: {LEAST_S:g} s at least, each look takes some seconds.")
    return found


class Lines:
    """A line on stdout when something changed. A sink."""

    def __init__(self, no_color: bool) -> None:
        self._color = colored(sys.stdout, no_color)

    def opening(self, settings: "Settings", every_s: float | None) -> None:
        """``every_s``: None = once."""
        names = ", ".join(check.id for check in settings.plan())
        if every_s is None:
            self._print(f"Looking once at {settings.target.authority}: {names}.")
            return
        self._print(f"Watching {settings.target.authority} every {every_s:g} s: {names}. A line follows on every change; Ctrl-C ends.")

    async def tell(self, turn: "Turn") -> None:
        from edgecheck.report.text import first_line, safe, verdict_word

        if not turn.telling:
            return
        at = turn.report.started_at
        if turn.changes:
            self._print(f"{at}  {verdict_word(turn.report.verdict, self._color, upper=True)}  {safe(turn.headline)}")
            return
        lead = "" if turn.first else "Could not be told any more: " if turn.began else "Can be told again: "
        line = first_line(turn.report, color=self._color)
        word, blank, rest = line.partition("  ")
        self._print(f"{at}  {word}{blank}{lead}{rest}")

    def _print(self, line: str) -> None:
        """A log on a full disk is no reason to stop looking; a reader who has gone is one."""
        try:
            print(line, flush=True)
        except BrokenPipeError:
            raise
        except OSError as error:
            _say(f"A line could not be written: {error.strerror or error}.")


class Kept:
    """Keeps the runs in which something changed in the history. A sink."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted

    async def tell(self, turn: "Turn") -> None:
        if turn.telling:
            history.keep(turn.report, self._wanted)


class Trouble:
    """Says on stderr, once each time it begins, that the textfile cannot be written. A sink."""

    def __init__(self, metrics: "Metrics") -> None:
        self._metrics = metrics
        self._said = ""

    async def tell(self, turn: "Turn") -> None:
        if self._metrics.trouble and self._metrics.trouble != self._said:
            _say(self._metrics.trouble)
        self._said = self._metrics.trouble


def _names_checks(asked: Asked) -> bool:
    from edgecheck.cli.target import is_target

    return any(not is_target(word) for word in asked.words)


async def _look(settings: "Settings") -> Report:
    from edgecheck import runner
    from edgecheck.cli.progress import Quiet

    return await runner.run(settings, Quiet())


async def _until_told_to_end(one: "Watch", most: int | None) -> None:
    """SIGINT, SIGTERM and a closed terminal end it at once: a look that is under way is given up, and tells nothing."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(one.go(most))

    def stop() -> None:
        one.ending = True
        task.cancel()

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            with contextlib.suppress(NotImplementedError):  # Windows: asyncio.Runner cancels us there, and we the task
                loop.add_signal_handler(number, stop)
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        stop()
        await asyncio.wait({task})
    if not task.cancelled():
        await task


def _serve(metrics: "Metrics", where: str) -> None:
    host, _, port = where.rpartition(":")
    if not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise UsageError(f"--metrics {where[:60]!r}: [HOST]:PORT is wanted, such as :9595 or 127.0.0.1:9595.")
    try:
        bound = metrics.serve(host.strip("[]") or "0.0.0.0", int(port))
    except OSError as error:
        raise UsageError(f"--metrics {where}: the port cannot be bound ({error.strerror or error}).") from None
    print(f"Metrics at {host or '*'}:{bound}/metrics", file=sys.stderr, flush=True)


def _say(text: str) -> None:
    from edgecheck.report.text import safe

    print(safe(text), file=sys.stderr, flush=True)
