"""``edgecheck run``: from the words of the command line to settings, a run, and a report."""

import asyncio
import contextlib
import difflib
import signal
import sys
import threading
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from edgecheck.cli import garbage, history, status, stopped
from edgecheck.cli.output import Output, is_terminal
from edgecheck.cli.target import is_target, target_of
from edgecheck.model.errors import UsageError
from edgecheck.model.verdict import Report
from edgecheck.wire.address import Target, parse_host
from edgecheck.wire.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from edgecheck.course import Show
    from edgecheck.runner import Settings

__all__ = ["Asked", "Output", "carry_out", "end_as_by_ctrl_c", "event_loop", "family", "live", "run", "source_of"]
T = TypeVar("T")


class Asked(NamedTuple):
    """The words of the command line, as they came."""

    words: tuple[str, ...]
    server: str | None
    token: str | None
    token_file: str | None
    profile: str
    source: str | None
    family: int | None
    pace: int | None
    timeout: float | None
    quick: bool
    baseline: str | None = None
    """An earlier report to compare with: a baseline's name, or a file."""
    tcp: bool = False
    """mapping-lifetime: of idle TCP connections too."""
    history: bool = True
    """Whether the run is kept."""
    share: bool = False
    """Whether the report is left with the server."""


def family(ipv4: bool, ipv6: bool) -> int | None:
    """4, 6, or None for whatever the target has. Raises ``UsageError``."""
    if ipv4 and ipv6:
        raise UsageError("-4 and -6 contradict each other: give one, or none for both.")
    return 4 if ipv4 else 6 if ipv6 else None


def run(asked: Asked, output: Output) -> int:
    """Check, write the reports, return the exit status."""
    output.check()
    _bounded(asked.timeout)
    earlier = _baseline(asked, output)
    settings = None
    if _target(asked) is None:
        if asked.share:
            raise UsageError("--share leaves the report with an echo server: name one.")
        report = _on_this_machine(asked, output)
    else:
        settings = settings_of(asked)
        end_as_by_ctrl_c()
        with contextlib.ExitStack() as stack:
            report = _checked(settings, live(output, stack, _intro(settings)))
    code = history.keep_and_write(report, output, asked.history)
    if asked.share and settings is not None:
        sys.stdout.flush()
        _share(report, settings)  # the last thing: whatever becomes of it, and of the person's patience, the report is there
    return code if earlier is None else status.worse(code, _compare(earlier, report, output))


def _share(report: Report, settings: "Settings") -> None:
    """Leave the report with the server. What goes wrong is one line on stderr: the run has its report all the same."""
    from edgecheck import sharing
    from edgecheck.model.errors import EdgecheckError

    try:
        number = carry_out(lambda: sharing.share(report, settings.target, settings.source, settings.family))
    except EdgecheckError as error:
        print(f"The report was not shared. {error}", file=sys.stderr)
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("The report was not shared: stopped before the server had taken it.", file=sys.stderr)
    else:
        print(f"Shared with {settings.target.authority} as report {number}.", file=sys.stderr)


def settings_of(asked: Asked, left_out: tuple[str, ...] = ()) -> "Settings":
    """What is asked of a run against a server; ``left_out``: checks that it does not take from the profile. Raises ``UsageError``."""
    target = _target(asked)
    if target is None:
        raise UsageError("A server is needed: edge://TOKEN@HOST, or --server HOST with --token-file F.")
    return _settings(asked, target, source_of(asked.source, asked.family), left_out)


def _on_this_machine(asked: Asked, output: Output) -> Report:
    """Against an embedded server."""
    from edgecheck import embedded, profiles

    profile = profiles.load(asked.profile)
    _checks(asked.words)
    source = source_of(asked.source, asked.family)
    end_as_by_ctrl_c()
    with contextlib.ExitStack() as stack:
        show = live(output, stack)
        server = stack.enter_context(embedded.started(profile.rtp, asked.family, source))
        show.notice(server.notice)
        pace = 0 if asked.pace is None else asked.pace
        settings = _settings(asked._replace(pace=pace), server.target, server.source, (), local_only=True)
        return _checked(settings, show)


def _intro(settings: "Settings") -> str:
    """What is about to happen, for the one who waits: against what, how much, how long."""
    count = len(settings.plan())
    checks = f"{count} check{'' if count == 1 else 's'} against {settings.target.authority}, profile {settings.profile.name}"
    return f"{checks}: about {settings.expected_s()} s (Ctrl-C stops)"


def _settings(asked: Asked, target: Target, source: str | None, left_out: tuple[str, ...], local_only: bool = False) -> "Settings":
    from edgecheck import profiles
    from edgecheck.runner import Settings

    profile = profiles.load(asked.profile)
    _bounded(asked.timeout)
    checks = _checks(asked.words) or tuple(name for name in profile.checks if name not in left_out)
    if asked.tcp and "mapping-lifetime" not in checks:
        raise UsageError("--tcp is an option of mapping-lifetime: name that check, too.")
    return Settings(
        target=target,
        checks=checks,
        profile=profile,
        source=source,
        family=asked.family,
        pace=asked.pace,
        timeout=asked.timeout,
        quick=asked.quick,
        tcp=asked.tcp,
        local_only=local_only,
    )


def _bounded(timeout: float | None) -> None:
    if timeout is not None and not 0 < timeout < float("inf"):
        raise UsageError("--timeout takes seconds, more than 0.")


def _baseline(asked: Asked, output: Output) -> Report | None:
    """Read before the run: a name that is wrong is said at once."""
    if asked.baseline is None:
        return None
    from edgecheck.cli import saved

    if output.stdout_taken:
        raise UsageError("--baseline prints what changed on stdout: give --json and --junit a file then, or use edgecheck compare.")
    return saved.baseline(asked.baseline)


def _compare(earlier: Report, report: Report, output: Output) -> int:
    from edgecheck.cli.compare import Sink, compared, tell

    if not output.quiet:
        print(f"\nCompared with {earlier.started_at}:")
    return tell(compared(earlier, report), Sink(quiet=output.quiet, no_color=output.no_color))


def _checked(settings: "Settings", show: "Show") -> Report:
    from edgecheck import runner

    return carry_out(lambda: runner.run(settings, show))


def carry_out(work: "Callable[[], Awaitable[T]]") -> T:
    """Run to the end. The first Ctrl-C cancels the work, which turns into a report of what is known so far; the second raises at once."""
    garbage.loaded()
    with asyncio.Runner(loop_factory=event_loop) as runner:
        return runner.run(_until_told_to_end(work))


async def _until_told_to_end(work: "Callable[[], Awaitable[T]]") -> T:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for number in _ended_by():
        with contextlib.suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, task.cancel)
    stopped.begin()
    return await work()


def _ended_by() -> list[signal.Signals]:
    """SIGTERM and a closed terminal end a run in the same way as Ctrl-C, unless whoever started us wants them ignored (nohup)."""
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]


def end_as_by_ctrl_c() -> None:
    """Before and after the event loop, too: the embedded server and its folder must not stay behind."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        for number in _ended_by():
            signal.signal(number, interrupt)


def event_loop() -> asyncio.AbstractEventLoop:
    """A loop that can watch plain UDP sockets: on Windows that is not the default one."""
    return asyncio.SelectorEventLoop()


def _target(asked: Asked) -> Target | None:
    targets = [word for word in asked.words if is_target(word)]
    if len(targets) > 1:
        raise UsageError("More than one edge:// target was given; a run has one server.")
    return target_of(targets[0] if targets else None, asked.server, asked.token, asked.token_file)


def _checks(words: tuple[str, ...]) -> tuple[str, ...]:
    from edgecheck.checks import ALL, DOCTOR

    known = {check.id for check in ALL}
    chosen = tuple(dict.fromkeys(word for word in words if not is_target(word)))
    for word in chosen:
        if word.lower().startswith(("sip:", "sips:")):
            raise UsageError("A SIP account is looked at by edgecheck register sip:USER@DOMAIN, any SIP server by edgecheck alg --against.")
        if word in {check.id for check in DOCTOR}:
            raise UsageError(f"{word} is a check of a SIP account: edgecheck register sip:USER@DOMAIN runs it.")
        if word not in known:
            near = difflib.get_close_matches(word, known, 1)
            if near:
                raise UsageError(f"There is no check {word!r}: did you mean {near[0]}?")
            server = " A server is given as edge://TOKEN@HOST or by --server." if set(word) & set(".:@/") else ""
            raise UsageError(f"There is no check {_unsecret(word)!r}: edgecheck checks lists them.{server}")
    return chosen


def _unsecret(word: str) -> str:
    """A word to be repeated in a message: what may be a token before ``@`` is left out."""
    return word.rpartition("@")[2]


def source_of(text: str | None, family: int | None) -> str | None:
    """``--source`` as an address that fits ``-4`` or ``-6``. Raises ``UsageError``."""
    if text is None:
        return None
    try:
        source = parse_host(text)
    except Malformed as error:
        raise UsageError(f"--source: {error}.") from None
    if family is not None and (":" in source) != (family == 6):
        raise UsageError(f"--source {source} is not an IPv{family} address, as -{family} asks for.")
    return source


def live(output: Output, stack: contextlib.ExitStack, intro: str = "") -> "Show":
    """Progress on stderr: live lines, led by ``intro``, where a person looks, else only what must be said."""
    from edgecheck.cli.progress import Quiet, Words

    if output.quiet:
        return Quiet()
    if not is_terminal(sys.stderr):
        return Words()
    from edgecheck.cli.live import Live

    return stack.enter_context(Live(output.no_color, intro))
