"""``edgecheck report``: a saved report in another form: a ticket, a table, a page."""

from collections.abc import Callable, Sequence
from enum import StrEnum

from edgecheck.cli import saved, status
from edgecheck.cli.output import put
from edgecheck.model.errors import UsageError
from edgecheck.model.verdict import Report


class Form(StrEnum):
    """What it can be turned into."""

    MARKDOWN = "markdown"
    TEXT = "text"
    HTML = "html"
    JUNIT = "junit"
    CSV = "csv"
    JSON = "json"


def form(word: str) -> Form:
    """The form of this name. Raises ``UsageError``."""
    try:
        return Form(word)
    except ValueError:
        raise UsageError(f"There is no format {word[:40]!r}: {', '.join(Form)}.") from None


def report(name: str, form: Form, *, redacted: bool, tried: Sequence[str], output: str) -> int:
    """Write the report in this form; 0 once it is written, whatever its verdict: this is no check."""
    given = saved.baseline(name)
    if redacted:
        from edgecheck.report.redact import redact

        given = redact(given)
    content = _renderer(form, tried)(given)
    return status.FINE if put(output, content if isinstance(content, bytes) else content.encode(errors="replace")) else status.UNDECIDED


def _renderer(form: Form, tried: Sequence[str]) -> Callable[[Report], str | bytes]:
    from edgecheck.report import html, json, junit, table, ticket

    forms: dict[Form, Callable[[Report], str | bytes]] = {
        Form.MARKDOWN: lambda report: ticket.render_markdown(report, tried),
        Form.TEXT: lambda report: ticket.render_text(report, tried),
        Form.HTML: html.render,
        Form.JUNIT: junit.render,
        Form.CSV: table.render,
        Form.JSON: json.render,
    }
    return forms[form]
