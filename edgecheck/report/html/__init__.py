"""The report as one HTML page: no script, no request to anywhere, readable on a phone and on paper, light and dark.

Order: the verdict and what to do first, the path with what each box does, the checks, the RTP range as a map, SIP sent and arrived side
by side, mapping and filtering, lifetimes, then all the evidence, folded. Everything a network peer sent is hostile input: Jinja escapes
every value, control characters are made visible, and the page forbids itself scripts and requests (Content-Security-Policy).
"""

import json
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from edgecheck.model.verdict import Report, Verdict
from edgecheck.report.html import lifetime, media, nat, path, rtp, sip
from edgecheck.report.text import safe

if TYPE_CHECKING:
    from jinja2 import Environment

_ORDER = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.WARN, Verdict.PASS, Verdict.SKIPPED)
_MOST_RAW = 200_000
"""Characters of one check's raw observation that are shown; the JSON report has it all."""


def render(report: Report) -> str:
    """The whole page."""
    checks = sorted(report.checks, key=lambda result: _ORDER.index(result.verdict))
    return (
        _environment()
        .get_template("page.html")
        .render(
            report=report,
            checks=checks,
            path=path.figure(report),
            rtp=rtp.figure(report),
            sip=sip.figure(report),
            nat=nat.figure(report),
            lifetime=lifetime.figure(report),
            media=media.figure(report),
            raw={result.id: _raw(result.observation) for result in report.checks if result.observation is not None},
        )
    )


def _raw(observation: object) -> str:
    text = json.dumps(msgspec.to_builtins(observation), indent=1, ensure_ascii=False)
    return text if len(text) <= _MOST_RAW else text[:_MOST_RAW] + "\n... (the JSON report has the rest)"


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("edgecheck.report.html"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.finalize = lambda value: _visible(value) if isinstance(value, str) else value
    return environment


def _visible(text: str) -> str:
    """Control characters made visible (line ends stay): what comes out of a template is text, or markup that it wrote itself."""
    if type(text) is not str:
        return text  # Markup: made by the template
    return "\n".join(safe(line) for line in text.split("\n"))
