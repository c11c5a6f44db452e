"""The report as JUnit XML, for continuous integration.

A test suite a check, a test case a finding. ``fail`` is a *failure*. ``inconclusive`` is an *error*: the test could not be
carried out, and a build that went green on it would be a wrong pass. ``skipped`` is *skipped* with its reason. JUnit knows no
warning: ``warn`` passes, and its sentence stands in the case's output. A case is named for what it is about (``UDP 5060``) and
not for the cause found, so that its history in a CI server stays one row; the finding's id is the ``type``.
"""

import re
from collections import Counter
from xml.etree import ElementTree as XML

from edgecheck.model.verdict import CheckResult, Finding, Report, Verdict

_ILLEGAL = re.compile(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]")
_ELEMENT = {Verdict.FAIL: "failure", Verdict.INCONCLUSIVE: "error", Verdict.SKIPPED: "skipped"}
_COUNT = {Verdict.FAIL: "failures", Verdict.INCONCLUSIVE: "errors", Verdict.SKIPPED: "skipped"}


def render(report: Report) -> str:
    """The report as one XML document."""
    root = XML.Element("testsuites", name="edgecheck")
    totals: Counter[str] = Counter()
    for result in report.checks:
        totals += _suite(root, result, report.started_at)
    _attributes(root, totals, report.duration_s)
    XML.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + XML.tostring(root, encoding="unicode") + "\n"


def _suite(root: XML.Element, result: CheckResult, started_at: str) -> Counter[str]:
    suite = XML.SubElement(root, "testsuite", name=result.id, timestamp=started_at.removesuffix("Z"))
    findings = result.findings or (Finding(id=result.id, verdict=result.verdict, subject=result.id, summary=result.summary),)
    counts: Counter[str] = Counter(tests=len(findings))
    seen: Counter[str] = Counter()
    for finding in findings:
        subject = _legal(finding.subject) or finding.id
        seen[subject] += 1
        name = subject if seen[subject] == 1 else f"{subject} ({seen[subject]})"
        case = XML.SubElement(suite, "testcase", classname=f"edgecheck.{result.id}", name=name)
        element = _ELEMENT.get(finding.verdict)
        if element is None:
            XML.SubElement(case, "system-out").text = _legal(f"{finding.verdict}: {finding.id}: {finding.summary}")
            continue
        counts[_COUNT[finding.verdict]] += 1
        XML.SubElement(case, element, message=_legal(finding.summary), type=finding.id).text = _legal(_details(finding))
    if result.fault:
        XML.SubElement(suite, "system-err").text = _legal(result.fault)
    _attributes(suite, counts, result.duration_s)
    return counts


def _attributes(element: XML.Element, counts: Counter[str], duration_s: float) -> None:
    for name in ("tests", "failures", "errors", "skipped"):
        element.set(name, str(counts[name]))
    element.set("time", f"{duration_s:.3f}")


def _details(finding: Finding) -> str:
    lines = [finding.summary]
    lines += [f"{label}: {value}" for label, value in (("expected", finding.expected), ("observed", finding.observed)) if value]
    lines += [f"proof: {sentence}" for sentence in finding.evidence]
    lines += [f"do: {step}" for step in finding.remedies]
    return "\n".join(lines)


def _legal(text: str) -> str:
    """What a network peer sent may hold characters that XML forbids even when escaped."""
    return _ILLEGAL.sub("\ufffd", text)
