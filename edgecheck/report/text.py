"""The report for a person: the first line for whoever is on the phone, the rows for the technician, *What to do* for the one who
has the router's password.

What is fine takes one line; what was not tested is listed with its reason. Color stands only beside words. Whatever a network
peer sent may be in these sentences, so no control character passes to the terminal.
"""

import re
import textwrap
from collections.abc import Iterator, Sequence

from edgecheck.model.verdict import CheckResult, Finding, PbxSettings, Report, Verdict
from edgecheck.report.plain import Plain

_ORDER = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.WARN, Verdict.PASS)
_COLORS = {
    Verdict.FAIL: "1;31",
    Verdict.INCONCLUSIVE: "1;35",
    Verdict.WARN: "1;33",
    Verdict.PASS: "1;32",
    Verdict.SKIPPED: "2",
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_LONGEST_DETAIL = 180
"""Characters of a detail row; the whole sentence stands in the JSON."""
_NARROWEST = 40
_SAME_WORDS = 24
"""Characters at the beginning of a detail that its check's row has, too: then the row has told it."""


def render(report: Report, *, color: bool = False, width: int = 0, proof: str = "", settings_by: str = "") -> str:
    """The report as text, lines at most ``width`` columns (0: never wrapped), with a line end.

    ``proof``: where all evidence is to be had, a file or what to type for one; empty = nobody knows. ``settings_by``: the command that
    prints the settings for the PBX. Where there is one they are not printed here: forty lines to paste would push the first line off
    the screen.
    """
    return "\n".join(_Page(color, width, proof, settings_by).lines(report)) + "\n"


def first_line(report: Report, *, color: bool = False) -> str:
    """Verdict and headline alone: what a monitoring system shows."""
    return f"{verdict_word(report.verdict, color, upper=True)}  {safe(report.headline)}"


def findings(found: Sequence[Finding], *, color: bool = False, width: int = 0) -> list[str]:
    """A row a finding, gravest first: where there is no whole report."""
    return list(_Page(color, width).rows(found))


def settings_lines(settings: PbxSettings) -> list[str]:
    """A PBX's settings: never wrapped and not indented, so that they can be pasted."""
    lines = [f"Settings for {settings.title}, as this edge calls for them"]
    for part in settings.parts:
        lines += ["", f"  {safe(part.where)}:", *map(safe, part.text.splitlines())]
    return lines


def safe(text: str) -> str:
    """The text with line ends as blanks and every other control character made visible: a terminal must not obey a peer."""
    return _CONTROL.sub(lambda match: " " if match[0] in "\r\n\t" else f"\\x{ord(match[0]):02x}", text)


def wrap(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    """Lines of at most ``width`` columns; words are never cut, so that an address can be copied."""
    if width <= 0:
        return [first + text]
    columns = max(width, _NARROWEST)
    return textwrap.wrap(
        text, columns, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    ) or [first]


def verdict_word(verdict: Verdict, color: bool, upper: bool = False, column: int = 0) -> str:
    """The verdict as a word, in its color where there is color, padded to a column."""
    word = verdict.value.upper() if upper else verdict.value
    blanks = " " * (column - len(word))
    return f"\x1b[{_COLORS[verdict]}m{word}\x1b[0m{blanks}" if color else word + blanks


class _Page:
    """One rendering: remembers which terms were explained already."""

    def __init__(self, color: bool, width: int, proof: str = "", settings_by: str = "") -> None:
        self._color = color
        self._width = width
        self._proof = proof
        self._settings_by = settings_by
        self._plain = Plain()

    def lines(self, report: Report) -> Iterator[str]:
        lead = " " * (len(report.verdict.value) + 2)
        yield from self._put(report.headline, _Mark(report.verdict, True, len(report.verdict.value)), lead)
        if _no_session(report):
            yield from self._without_session(report)
            return
        rows = sorted((r for r in report.checks if r.verdict in _ORDER), key=lambda r: _ORDER.index(r.verdict))
        rows = [row for row in rows if row.id != "control" or not _same(row.summary, report.headline)]  # no check: nothing to compare with
        table = list(self._table(rows)) if rows else []
        said = len(rows) == len(report.checks) == 1 and _same(rows[0].summary, report.headline)
        if table and not said:
            yield ""
            yield from table
        yield from self._section("Not tested", _untested(report.checks), numbered=False)
        yield from self._section("What to do", list(report.advice), numbered=True)
        for one in report.settings_for_pbx:
            yield ""
            if self._settings_by:
                yield from self._put(f"Settings for {one.title}, as this edge calls for them, ready to paste:")
                yield f"  {safe(self._settings_by)}"
            else:
                yield from settings_lines(one)
        if report.notes:
            yield ""
        for note in report.notes:
            yield from self._put(f"Note: {note}")
        yield ""
        yield from self._last(report)

    def _without_session(self, report: Report) -> Iterator[str]:
        """The sentence has said what happened and what to do; beside it only what the checks that need no server found wrong."""
        rows = [row for row in report.checks if row.id != "control" and row.verdict not in (Verdict.PASS, Verdict.SKIPPED)]
        if rows:
            yield ""
            yield from self._table(sorted(rows, key=lambda row: _ORDER.index(row.verdict)))
            yield ""
            yield from self._last(report)

    def _table(self, rows: list[CheckResult]) -> Iterator[str]:
        verdicts = max(len(row.verdict.value) for row in rows)
        ids = max(len(row.id) for row in rows)
        rest = " " * (2 + verdicts + 2 + ids + 2)
        if self._width and self._width - len(rest) < _NARROWEST:
            rest = " " * (2 + verdicts + 2)  # a narrow window: the sentence begins below the check's name
        for row in rows:
            yield from self._put(_row(row.summary), _Mark(row.verdict, False, verdicts, f"{row.id.ljust(ids)}  "), rest)
            yield from self._details(row, len(rest))

    def _details(self, result: CheckResult, indent: int) -> Iterator[str]:
        """A row for each kind of trouble, where the check's own sentence has not said it all."""
        kinds: dict[tuple[Verdict, str], list[Finding]] = {}
        for finding in result.findings:
            if finding.verdict in _ORDER[:-1]:
                kinds.setdefault((finding.verdict, finding.id), []).append(finding)
        groups = sorted(kinds.values(), key=lambda group: _ORDER.index(group[0].verdict))
        column = max((len(group[0].verdict.value) for group in groups), default=0)
        for first, *others in groups:
            if _has_told(result.summary, first.summary) or (len(groups) == 1 and first.verdict is not Verdict.INCONCLUSIVE):
                continue
            text = _short(_told(first)) + (f" (and {len(others)} more like it)" if others else "")
            yield from self._put(text, _Mark(first.verdict, False, column, "", indent), " " * (indent + column + 2))

    def rows(self, found: Sequence[Finding]) -> Iterator[str]:
        verdicts = max((len(finding.verdict.value) for finding in found), default=0)
        for finding in sorted(found, key=lambda each: _ORDER.index(each.verdict) if each.verdict in _ORDER else len(_ORDER)):
            yield from self._put(_told(finding), _Mark(finding.verdict, False, verdicts, indent=0), " " * (verdicts + 2))

    def _put(self, text: str, mark: "_Mark | None" = None, rest: str = "") -> Iterator[str]:
        text = self._plain.explain(safe(text))
        if mark is None:
            yield from wrap(text, self._width, rest=rest)
            return
        lines = wrap(text, self._width, mark.plain(), rest)
        yield mark.styled(self._color) + lines[0][len(mark.plain()) :]
        yield from lines[1:]

    def _section(self, title: str, sentences: list[str], numbered: bool) -> Iterator[str]:
        if not sentences:
            return
        yield ""
        yield title
        for number, sentence in enumerate(sentences, 1):
            first = f"  {number}. " if numbered else "  "
            # an advice may have a second step on its own line
            for index, part in enumerate(sentence.split("\n")):
                lead = first if index == 0 else " " * len(first)
                yield from wrap(self._plain.explain(safe(part)), self._width, lead, " " * len(first))

    def _last(self, report: Report) -> Iterator[str]:
        """Time, server and hints: a line each rather than a command that is broken in two."""
        asked = str(report.settings.get("target") or "")
        where = "of looking" if report.settings.get("account") is not None else "without a server"
        if report.server or (asked.startswith(("sip:", "sips:")) and where == "without a server"):
            where = f"against {report.server.address if report.server else asked}"
        grave = report.headline_of or _gravest_id(report)
        parts = [
            f"{report.duration_s:.1f} s {where}.",
            *([f"Proof: {self._proof}."] if self._proof else []),
            *([f"More: edgecheck explain {grave}"] if grave else []),
        ]
        line = safe(" ".join(parts))
        if not self._width or len(line) <= self._width:
            yield line
            return
        yield from wrap(safe(parts[0]), self._width)
        yield from map(safe, parts[1:])


class _Mark:
    """The words before a sentence; color does not count as width."""

    def __init__(self, verdict: Verdict, upper: bool, column: int, after: str = "", indent: int = 2) -> None:
        self._verdict, self._upper, self._column, self._after = verdict, upper, column, after
        self._indent = "" if upper else " " * indent

    def plain(self) -> str:
        return self.styled(False)

    def styled(self, color: bool) -> str:
        return f"{self._indent}{verdict_word(self._verdict, color, self._upper, self._column)}  {self._after}"


def _row(sentence: str) -> str:
    """A row ends without a full stop, unless it is more than one sentence."""
    return sentence.removesuffix(".") if ". " not in sentence else sentence


def _has_told(row: str, detail: str) -> bool:
    """Whether the check's own sentence has said this: as a whole, or from its first words on."""
    begun = detail[:_SAME_WORDS].lower()
    return detail.rstrip(".") in row or any(part.lower().startswith(begun) for part in row.split("; "))


def _same(row: str, headline: str) -> bool:
    return row.rstrip(".").lower() == headline.rstrip(".").lower()


def _no_session(report: Report) -> bool:
    """Whether the server was not reached at all, so that nothing was asked of it."""
    return report.server is None and any(finding.id in _NO_SESSION for result in report.checks for finding in result.findings)


_NO_SESSION = ("control.unreachable", "control.refused")


def _short(sentence: str) -> str:
    """A sentence cut at a pause, where it is longer than two lines."""
    if len(sentence) <= _LONGEST_DETAIL:
        return sentence
    pause = max(sentence.rfind(mark, 40, _LONGEST_DETAIL) for mark in ("; ", ": ", ", "))
    return sentence[: pause if pause > 0 else _LONGEST_DETAIL].rstrip() + " ..."


def _told(finding: Finding) -> str:
    """The finding's sentence, led by its subject where it does not name that itself."""
    words = finding.subject.lower().split()
    named = not words or " ".join(words) in finding.summary.lower() or (words[-1][0].isdigit() and words[-1] in finding.summary)
    return _row(finding.summary if named else f"{finding.subject}: {finding.summary}")


def _untested(results: Sequence[CheckResult]) -> list[str]:
    """What was not tested, by reason: six checks without a session are one line."""
    subjects: dict[str, list[str]] = {}
    for result in results:
        for finding in _skipped(result):
            reason = finding.summary.removeprefix("Not tested: ").removeprefix("not tested: ")
            alone = finding.subject in ("", result.id) or reason.startswith(finding.subject)
            subjects.setdefault(reason, []).append(result.id if alone else f"{result.id} ({finding.subject})")
    return [f"{', '.join(dict.fromkeys(names))}: {reason}" for reason, names in subjects.items()]


def _skipped(result: CheckResult) -> list[Finding]:
    found = [finding for finding in result.findings if finding.verdict is Verdict.SKIPPED]
    if result.verdict is Verdict.SKIPPED and not found:
        return [Finding(id=f"{result.id}.skipped", verdict=Verdict.SKIPPED, subject=result.id, summary=result.summary)]
    return found


def _gravest_id(report: Report) -> str | None:
    troubles = [finding for result in report.checks for finding in result.findings if finding.verdict in _ORDER[:-1]]
    return min(troubles, key=lambda finding: _ORDER.index(finding.verdict)).id if troubles else None
