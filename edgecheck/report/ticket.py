"""The ticket: what a provider's or a router vendor's support needs, in Markdown or as plain text, to be pasted.

Order: what is wrong, when and where, the exact evidence of each trouble, what was found to work, what was tried already. Everything in
it may have come from a network peer, so no control character passes, and in Markdown nothing of it is markup.
"""

import re
from collections.abc import Iterator, Sequence

from edgecheck.model.verdict import CheckResult, Finding, Report, Verdict
from edgecheck.report.text import safe

_TROUBLE = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.WARN)
_MARKUP = re.compile(r"([\\`*_\[\]|<~])")
_MOST_EVIDENCE = 12
"""Sentences a finding; the JSON report has them all."""


def render_markdown(report: Report, tried: Sequence[str] = ()) -> str:
    """The ticket as Markdown (CommonMark)."""
    return "\n".join(_Markdown().lines(report, tried)) + "\n"


def render_text(report: Report, tried: Sequence[str] = ()) -> str:
    """The ticket as plain text."""
    return "\n".join(_Text().lines(report, tried)) + "\n"


class _Text:
    """Plain text; Markdown differs in a few marks."""

    def title(self, words: str) -> list[str]:
        return [words, "=" * min(len(words), 79)]

    def heading(self, words: str) -> list[str]:
        return ["", words, "-" * min(len(words), 79)]

    def item(self, words: str, depth: int = 0) -> str:
        return f"{'  ' * depth}- {words}"

    def quote(self, words: str) -> str:
        """What came from outside, harmless."""
        return safe(words)

    def lines(self, report: Report, tried: Sequence[str]) -> Iterator[str]:
        yield from self.title(f"{report.verdict.value.upper()}: {self.quote(report.headline)}")
        yield ""
        for label, value in _where_and_when(report):
            yield self.item(f"{label}: {self.quote(value)}")
        troubles = [finding for result in report.checks for finding in result.findings if finding.verdict in _TROUBLE]
        troubles.sort(key=lambda finding: _TROUBLE.index(finding.verdict))
        if troubles:
            yield from self.heading("What is wrong, with the proof")
        for finding in troubles:
            yield ""
            yield from self._finding(finding)
        yield from self._section(
            "What works", [f"{result.id}: {result.summary}" for result in report.checks if result.verdict is Verdict.PASS]
        )
        yield from self._section(
            "Not tested", [f"{result.id}: {_reason(result.summary)}" for result in report.checks if result.verdict is Verdict.SKIPPED]
        )
        yield from self._section("What we think should be done", [step.replace("\n", " ") for step in report.advice])
        yield from self._section("Tried already", [*tried, *_tried(report)])
        yield from self._section("Notes", report.notes)

    def _section(self, title: str, sentences: Sequence[str]) -> Iterator[str]:
        if sentences:
            yield from self.heading(title)
            yield ""
            yield from (self.item(self.quote(sentence)) for sentence in sentences)

    def _finding(self, finding: Finding) -> Iterator[str]:
        about = "" if finding.summary.startswith(finding.subject) else f"{self.quote(finding.subject)}: "
        yield self.item(f"{finding.verdict.value}: {about}{self.quote(finding.summary)} ({self.quote(finding.id)})")
        for label, value in (("expected", finding.expected), ("observed", finding.observed), ("standard", finding.reference)):
            if value:
                yield self.item(f"{label}: {self.quote(value)}", 1)
        for sentence in finding.evidence[:_MOST_EVIDENCE]:
            yield self.item(self.quote(sentence), 1)
        if len(finding.evidence) > _MOST_EVIDENCE:
            yield self.item(f"{len(finding.evidence) - _MOST_EVIDENCE} more in the JSON report", 1)


class _Markdown(_Text):
    def title(self, words: str) -> list[str]:
        return [f"# {words}"]

    def heading(self, words: str) -> list[str]:
        return ["", f"## {words}"]

    def quote(self, words: str) -> str:
        # what a peer sent is neither markup nor a link
        return _MARKUP.sub(r"\\\1", safe(words).replace("&", "&amp;")).replace("://", "&#58;//")


def _where_and_when(report: Report) -> Iterator[tuple[str, str]]:
    yield "When", f"{report.started_at.replace('T', ' ').removesuffix('Z')} UTC, for {report.duration_s:.1f} s"
    if report.client.public_address:
        yield "Public address", report.client.public_address
    here = ", ".join(part for part in (report.client.source, report.client.platform) if part)
    if here:
        yield "Tested from", here
    if report.client.gateway:
        router = report.client.router
        name = " ".join(part for part in (router.manufacturer, router.model) if part) if router else ""
        yield "Default gateway", report.client.gateway + (f" ({name}, as it calls itself)" if name else "")
    if report.server:
        second = f" and {report.server.alternate}" if report.server.alternate else ""
        yield "Tested against", f"an echo server at {report.server.address}{second}"
    profile = report.settings.get("profile")
    if isinstance(profile, dict) and profile.get("title"):
        yield "For", str(profile["title"])
    yield "Tool", f"edgecheck {report.tool.version}"


def _tried(report: Report) -> list[str]:
    """What the run itself has already ruled out, so that nobody asks for it again."""
    tried = [result for result in report.checks if _decided(result)]
    return [f"edgecheck's check {result.id} ({result.duration_s:.1f} s): {result.verdict.value}" for result in tried]


def _reason(summary: str) -> str:
    """Why it was not tested, below a heading that says that it was not."""
    return re.sub(r"^[Nn]ot tested: ", "", summary)


def _decided(result: CheckResult) -> bool:
    return result.verdict not in (Verdict.SKIPPED, Verdict.INCONCLUSIVE) and result.id != "control"
