"""How findings become parts of a sentence."""

import re
from collections.abc import Iterable, Sequence

from edgecheck.model.verdict import Finding
from edgecheck.wire import ports
from edgecheck.wire.errors import Malformed

_MOST_RANGES = 3


def subjects(findings: Iterable[Finding]) -> str:
    """What these findings are about, each once: ``UDP 5060, TCP 5060``."""
    names = list(dict.fromkeys(_short(finding.subject) for finding in findings))
    return join(names if len(names) <= 4 else [*names[:3], f"{len(names) - 3} more"])


def _short(subject: str) -> str:
    """``UDP 10000, 10002, 10004 and 97 more ranges``: in one sentence nobody reads a hundred."""
    transport, _, numbers = subject.partition(" ")
    if numbers.count(",") < _MOST_RANGES:
        return subject
    try:
        return f"{transport} {few(ports.parse(numbers))}"
    except Malformed:
        return subject


def verb(names: str, one: str, many: str) -> str:
    """``UDP 5060 is``, ``UDP 5060 and TCP 5061 are``."""
    return f"{names} {one if re.fullmatch(r'[A-Z]+ [0-9]+', names) else many}"


def join(parts: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``; clauses that hold commas themselves are joined by ``, and``."""
    if len(parts) < 2:
        return "".join(parts)
    comma = "," if len(parts) > 2 or any(len(part) > 25 for part in parts) else ""
    return f"{', '.join(parts[:-1])}{comma} and {parts[-1]}"


def fitting(finding: Finding) -> tuple[str, ...]:
    """The causes that a finding tells of, the likeliest first: ``blocked: no-rule or provider-drops``."""
    causes = finding.observed.partition(": ")[2]
    return tuple(causes.split(" or ")) if causes else ()


def few(ranges: ports.Ranges) -> str:
    """The first ranges, and how many more there are."""
    if not ranges:
        return ""
    if len(ranges) <= _MOST_RANGES:
        return ports.text(ranges)
    more = len(ranges) - _MOST_RANGES
    return f"{ports.text(ranges[:_MOST_RANGES])} and {more} more range{'s' if more > 1 else ''}"


def clause(finding: Finding) -> str:
    """A finding's sentence, to stand inside another."""
    text = finding.summary.rstrip(". ")
    second = text[1:2]
    return text[:1].lower() + text[1:] if text[:1].isupper() and (second.islower() or text.startswith("A ")) else text


def whole(text: str) -> str:
    """A sentence: a capital first, a full stop last."""
    text = (text[:1].upper() + text[1:]).strip()
    return text if text.endswith((".", "?", "!")) else text + "."
