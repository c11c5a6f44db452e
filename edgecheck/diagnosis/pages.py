"""What ``edgecheck explain`` prints: the page of a finding, as plain lines."""

import difflib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

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


class _Table(NamedTuple):
    """Where something is set, make by make."""

    title: str
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    """The make, and the lines below it."""


def page(name: str, *, only: str = "", folded: bool = False) -> list[str]:
    """The page of a finding id, or the list of findings of a check. Raises ``UsageError`` for any other word.

    ``only``: of the tables by make, the makes that have this in their names. ``folded``: of each table the makes' names alone, which is
    what fits on a screen.
    """
    pages = knowledge.explanations()
    checks = {finding_id.partition(".")[0] for finding_id in pages} - {"*"}
    check, _, cause = name.partition(".")
    if check in checks and (name in pages or f"*.{cause}" in pages):
        return list(_finding(name, _tables(name), only, folded))
    if name in checks:
        of_check = [finding_id for finding_id in pages if finding_id.partition(".")[0] == name]
        width = max(map(len, of_check))
        return [f"{finding_id.ljust(width)}  {pages[finding_id].title}" for finding_id in of_check]
    near = difflib.get_close_matches(name, [*(finding_id for finding_id in pages if finding_id[0] != "*"), *checks], 1)
    hint = f"did you mean {near[0]}?" if near else "edgecheck checks lists the checks, edgecheck explain CHECK the findings of one."
    raise UsageError(f"There is no finding {name!r}: {hint}")


def _finding(finding_id: str, tables: Sequence[_Table], only: str, folded: bool) -> Iterator[str]:
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
    row = sheet.row(finding_id)
    if row is not None and row.causes:
        yield from ("", "Most likely causes, in this order", *(f"  {number}. {cause}" for number, cause in enumerate(row.causes, 1)))
    yield from _shown(finding_id, tables, only, folded)
    if finding_id in _ALG:
        yield from ("", "Afterwards", *(f"  {step}" for step in knowledge.aftercare()))
    if explanation.reference:
        yield from ("", f"Reference: {explanation.reference}")


def _shown(finding_id: str, tables: Sequence[_Table], only: str, folded: bool) -> Iterator[str]:
    makes = list(dict.fromkeys(make for table in tables for make, _ in table.rows))
    wanted = [make for make in makes if only.lower() in make.lower()]
    if only and not wanted:
        known = f"there are {'; '.join(makes)}" if makes else "it has no table by make"
        raise UsageError(f"The page {finding_id} says nothing of {only[:40]!r}: {known}.")
    if folded and not only and makes:
        yield from ("", *(table.title for table in tables), f"  {'; '.join(makes)}")
        yield f"  One of them: edgecheck explain {finding_id} --for NAME"
        yield "  All of them: --all"
        return
    for table in tables:
        rows = [(make, lines) for make, lines in table.rows if make in wanted]
        if rows:
            yield from ("", table.title)
        for make, lines in rows:
            yield f"  {make}"
            yield from (f"    {line}" for line in lines)


def _tables(finding_id: str) -> tuple[_Table, ...]:
    """What the page has by make: of routers, and, for an account, of PBXs and phones."""
    tables = []
    if finding_id in _ALG:
        rows = tuple((f"{each.vendor}{'' if each.switch else _NO_SWITCH}", _vendor(each)) for each in knowledge.routers())
        tables.append(_Table("Where the SIP ALG is switched off, by vendor", rows))
    for topic, (title, ids) in _TOPICS.items():
        if finding_id in ids:
            known = ((router.vendor, router.setting(topic)) for router in knowledge.routers())
            rows = tuple((vendor, _setting(setting)) for vendor, setting in known if setting is not None)
            tables.append(_Table(f"{title}, by vendor", rows))
    row = sheet.row(finding_id)
    for subject in row.topics() if row is not None else ():
        programs = tuple(
            (program.title, (*subject.lines(program), f"[{_SAID[program.confidence]}: {program.source}]")) for program in sheet.programs()
        )
        tables.append(_Table(f"Where it is set: {subject.title}", programs))
    return tuple(tables)


_NO_SWITCH = " - no such switch"


def _setting(setting: Setting) -> tuple[str, ...]:
    return (*setting.steps, f"[{_SAID[setting.confidence]}: {setting.source}]")


def _vendor(router: Router) -> tuple[str, ...]:
    said = _SAID[router.confidence] + (f"; unverified: {router.unverified}" if router.unverified else "")
    return (*router.steps, *([router.after] if router.after else []), f"[{said}: {router.source}]")
