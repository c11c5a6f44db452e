"""What ``edgecheck explain`` prints: the page of a finding, as plain lines."""

import difflib
from collections.abc import Iterator

from edgecheck.diagnosis import knowledge
from edgecheck.diagnosis.knowledge import Router, Setting, sheet
from edgecheck.model.errors import UsageError

_ALG = tuple(f"sip-alg.{cause}" for cause in ("harmless", "rewritten", "inconsistent", "destroyed", "answered-by-other", "only-sip-passes"))
_TOPICS: dict[knowledge.Topic, tuple[str, tuple[str, ...]]] = {
    "forwarding": (
        "Where ports are forwarded",
        (
            "port-forwarding.blocked",
            "port-forwarding.refused",
            "port-forwarding.no-rule",
            "port-forwarding.wrong-host",
            "rtp-range.inbound-blocked",
        ),
    ),
    "static_port": (
        "Where source ports are kept",
        (
            "rtp-range.remapped",
            "port-preservation.remapped",
            "port-preservation.one-port-remapped",
            "nat-behavior.endpoint-dependent-mapping",
        ),
    ),
    "udp_timeout": ("Where UDP mappings are made to live longer", ("mapping-lifetime.short", "mapping-lifetime.very-short")),
}
"""Title of the table by vendor, and the pages that end with it."""
_ELSEWHERE = "`edgecheck explain sip-alg.rewritten`"
_SAID = {
    "verified": "verified",
    "vendor": "vendor's page",
    "secondary": "others' guides",
    "unverified": "UNVERIFIED",
}


def page(name: str) -> list[str]:
    """The page of a finding id, or the list of findings of a check. Raises ``UsageError`` for any other word."""
    pages = knowledge.explanations()
    checks = {finding_id.partition(".")[0] for finding_id in pages} - {"*"}
    check, _, cause = name.partition(".")
    if check in checks and (name in pages or f"*.{cause}" in pages):
        return list(_finding(name))
    if name in checks:
        of_check = [finding_id for finding_id in pages if finding_id.partition(".")[0] == name]
        width = max(map(len, of_check))
        return [f"{finding_id.ljust(width)}  {pages[finding_id].title}" for finding_id in of_check]
    near = difflib.get_close_matches(name, [*(finding_id for finding_id in pages if finding_id[0] != "*"), *checks], 1)
    hint = f"did you mean {near[0]}?" if near else "edgecheck checks lists the checks, edgecheck explain CHECK the findings of one."
    raise UsageError(f"There is no finding {name!r}: {hint}")


def _finding(finding_id: str) -> Iterator[str]:
    explanation = knowledge.explanation(finding_id)
    assert explanation is not None
    yield f"{finding_id}: {explanation.title}"
    for title, text in (
        ("What it means", explanation.means),
        ("What it does to calls", explanation.matters),
        ("How it is proved", explanation.proved),
    ):
        yield from ("", title, f"  {text}")
    yield from ("", "What to do")
    for number, step in enumerate(explanation.do, 1):
        yield f"  {number}. {step.replace(_ELSEWHERE, 'The table below') if finding_id in _ALG else step}"
    if finding_id in _ALG:
        yield from ("", "Where the SIP ALG is switched off, by vendor")
        for router in knowledge.routers():
            yield from _vendor(router)
        yield from ("", "Afterwards", *(f"  {step}" for step in knowledge.aftercare()))
    for topic, (title, ids) in _TOPICS.items():
        if finding_id in ids:
            yield from ("", f"{title}, by vendor")
            yield from (line for router in knowledge.routers() for line in _setting(router.vendor, router.setting(topic)))
    row = sheet.row(finding_id)
    if row is not None:
        yield from _registration(row)
    if explanation.reference:
        yield from ("", f"Reference: {explanation.reference}")


def _registration(row: sheet.Row) -> Iterator[str]:
    """What the verdict sheet has beyond every other page: causes in order, and where each thing is set."""
    if row.causes:
        yield from ("", "Most likely causes, in this order", *(f"  {number}. {cause}" for number, cause in enumerate(row.causes, 1)))
    for topic in row.topics():
        yield from ("", f"Where it is set: {topic.title}")
        for program in sheet.programs():
            yield f"  {program.title}"
            yield from (f"    {line}" for line in topic.lines(program))
            yield f"    [{_SAID[program.confidence]}: {program.source}]"


def _setting(vendor: str, setting: Setting | None) -> Iterator[str]:
    if setting is not None:
        yield f"  {vendor}"
        yield from (f"    {step}" for step in setting.steps)
        yield f"    [{_SAID[setting.confidence]}: {setting.source}]"


def _vendor(router: Router) -> Iterator[str]:
    yield f"  {router.vendor}" + ("" if router.switch else " - no such switch")
    yield from (f"    {step}" for step in router.steps)
    if router.after:
        yield f"    {router.after}"
    said = _SAID[router.confidence] + (f"; unverified: {router.unverified}" if router.unverified else "")
    yield f"    [{said}: {router.source}]"
