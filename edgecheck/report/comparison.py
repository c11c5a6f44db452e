"""The comparison for a person: the regression first, then what else changed, then what could not be compared."""

from collections.abc import Iterator

from edgecheck.model.comparison import Change, Comparison, Kind
from edgecheck.report.text import safe, verdict_word, wrap

_TITLES = {
    Kind.WORSE: "Worse",
    Kind.BETTER: "Better",
    Kind.DIFFERENT: "Different",
    Kind.NOT_COMPARED: "Not compared",
}


def render(comparison: Comparison, *, color: bool = False, width: int = 0) -> str:
    """The comparison as text, lines at most ``width`` columns (0: never wrapped), with a line end."""
    return "\n".join(_lines(comparison, color, width)) + "\n"


def first_line(comparison: Comparison, *, color: bool = False) -> str:
    """Verdict and headline alone."""
    return f"{verdict_word(comparison.verdict, color, upper=True)}  {safe(comparison.headline)}"


def _lines(comparison: Comparison, color: bool, width: int) -> Iterator[str]:
    blank = " " * (len(comparison.verdict.value) + 2)
    head = wrap(safe(comparison.headline), width, blank, blank)
    yield verdict_word(comparison.verdict, color, upper=True) + "  " + head[0].lstrip()
    yield from head[1:]
    for kind, title in _TITLES.items():
        changes = comparison.of(kind)
        if changes:
            yield ""
            yield title
            for change in changes:
                yield from _change(change, width)
    yield ""
    for words, side in (("Before", comparison.before), ("After", comparison.after)):
        server = f", against {side.server}" if side.server else ""
        yield from wrap(safe(f"{words}: {side.started_at}{server}, {side.verdict.value}: {side.headline}"), width, "", "  ")


def _change(change: Change, width: int) -> Iterator[str]:
    optional = " (optional in this profile)" if change.kind is Kind.WORSE and not change.required else ""
    cause = f" It looks as if {change.cause}." if change.cause else ""
    sentence = f"{change.check}: {change.summary}" if not change.summary.startswith(change.check) else change.summary
    yield from wrap(safe(sentence + optional + cause), width, "  ", "    ")
