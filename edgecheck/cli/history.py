"""``edgecheck history``, and keeping each run."""

import sys

from edgecheck.cli import saved, status
from edgecheck.cli.output import Output, colored, page_of, settings_of, width
from edgecheck.model.errors import UsageError
from edgecheck.model.verdict import Report


def keep(report: Report, wanted: bool) -> str:
    """Keep this run; its name (``@12``), empty where it was not kept. What goes wrong is one line on stderr: the run has its report
    whatever becomes of the history."""
    if not wanted:
        return ""
    try:
        from edgecheck.store.history import History, HistoryFailed

        try:
            return f"@{History().keep(report)}"
        except HistoryFailed as error:
            print(f"This run was not kept. {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("This run was not kept: stopped.", file=sys.stderr)
    return ""


def keep_and_write(report: Report, output: Output, wanted: bool) -> int:
    """Keep it first, so that the report can say under which name, and write it whatever becomes of that; the exit status."""
    try:
        name = keep(report, wanted)
    except BaseException:
        output.write(report)
        raise
    return output.write(report, name)


def history(what: str, word: str, most: int, no_color: bool) -> int:
    """``edgecheck history [show|trends|remove] [@RUN]``."""
    if what == "":
        return listing(most)
    if what == "remove":
        return remove(word)
    number = saved.number_of(word)
    if number is None:
        raise UsageError(f"{word[:40]!r} is no run: give @NUMBER as edgecheck history lists it, or @last.")
    if what == "show":
        return show(number, no_color)
    if what == "trends":
        return trends(number)
    raise UsageError(f"edgecheck history {what[:40]}: there are show, trends and remove; without a word the runs are listed.")


def listing(most: int) -> int:
    """The newest runs, newest first."""
    from edgecheck.report.text import safe, wrap
    from edgecheck.store.history import History

    columns = width(sys.stdout)
    entries = History().entries(most)
    if not entries:
        print("No run was kept yet: each edgecheck run is, unless --no-history says otherwise.")
    for entry in entries:
        lead = f"@{entry.id:<5} {entry.started_at}  {entry.verdict.value:12}  "
        print("\n".join(wrap(safe(f"{entry.place}  {entry.headline}"), columns, lead, " " * 7)))
    return status.FINE


def show(number: int, no_color: bool) -> int:
    """Show one run's report, judged by this version."""
    from edgecheck.report import text

    report = saved.kept(number)
    name = f"@{number or 'last'}"
    color, by = colored(sys.stdout, no_color), settings_of(report, name)
    sys.stdout.write(text.render(report, color=color, width=width(sys.stdout), proof=page_of(name), settings_by=by))
    return status.of(report.verdict)


def trends(number: int) -> int:
    """How the checks of one place went over time; the place is that of this run (0: the newest)."""
    from edgecheck.report.text import safe, wrap
    from edgecheck.store.history import History, place_of

    columns = width(sys.stdout)
    history = History()
    place = place_of(history.load(number))
    print(safe(f"{place}"))
    before = ""
    for stretch in history.stretches(place):
        name = stretch.check if stretch.check != before else ""
        before = stretch.check
        since = stretch.first if stretch.runs == 1 else f"{stretch.first} to {stretch.last}"
        times = "once" if stretch.runs == 1 else f"{stretch.runs} times"
        lead = f"  {name:18} {stretch.verdict.value:12}  {times:10}  "
        print("\n".join(wrap(safe(f"{since}  {stretch.summary}"), columns, lead, " " * 21)))
    return status.FINE


def remove(word: str) -> int:
    """Forget one run (``@12``), or ``all``."""
    from edgecheck.store.history import History

    number = None if word == "all" else saved.number_of(word)
    if word != "all" and (number is None or number <= 0):
        raise UsageError(f"{word[:40]!r}: to remove, give @NUMBER as edgecheck history lists it, or all.")
    gone = History().remove(number)
    print(f"Removed {gone} run{'' if gone == 1 else 's'}.")
    return status.FINE
