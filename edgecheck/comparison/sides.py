"""The two reports themselves: are they of one edge, by one server, for one PBX, and of the same checks?"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from edgecheck.model.comparison import Change, Kind, Side
from edgecheck.model.verdict import CheckResult, Report, Verdict


def side(report: Report) -> Side:
    """What a reader needs to know which report this is."""
    return Side(
        started_at=report.started_at,
        verdict=report.verdict,
        headline=report.headline,
        server=report.server.address if report.server else None,
        profile=profile(report),
    )


def profile(report: Report) -> str:
    """The name of the profile it was judged by; empty where the report names none."""
    given = report.settings.get("profile")
    name = given.get("name") if isinstance(given, Mapping) else None
    return name if isinstance(name, str) else ""


def observation(result: CheckResult) -> Mapping[str, Any]:
    """The facts; none where there are none."""
    return result.observation if isinstance(result.observation, Mapping) else {}


def undecided(result: CheckResult) -> bool:
    """Nothing was observed, or nothing that could be told."""
    return not observation(result) or result.verdict is Verdict.SKIPPED


def _router(before: Report, after: Report) -> Iterable[Change]:
    """The default router's own word, which every run asks for."""
    for subject, fields in (
        ("router", ("manufacturer", "model")),
        ("router's firmware", ("firmware",)),
        ("router's WAN address", ("wan_address",)),
    ):
        old, new = (_of_router(report, fields) for report in (before, after))
        if old and new and old != new:
            yield Change(
                kind=Kind.DIFFERENT,
                check="run",
                subject=subject,
                summary=f"The {subject} is {new} now; before it was {old}.",
                before=old,
                after=new,
            )


def _of_router(report: Report, fields: tuple[str, ...]) -> str:
    known = report.client.router
    told: Mapping[str, Any] = msgspec.to_builtins(known) if known is not None else _measured(report)
    return " ".join(str(told[field]) for field in fields if told.get(field))


def _measured(report: Report) -> Mapping[str, Any]:
    """As the check ``topology`` found it, in reports that do not have it beside their checks."""
    topology = next((observation(result) for result in report.checks if result.id == "topology"), {})
    router = topology.get("router")
    return router if isinstance(router, Mapping) else {}


def together(before: Report, after: Report) -> Iterable[Change]:
    """What the two runs do not have in common, and what that means for the comparison."""
    if before.server and after.server and before.server.address != after.server.address:
        yield Change(
            kind=Kind.NOT_COMPARED,
            check="run",
            subject="server",
            summary=(
                f"Another echo server ({before.server.address} before, {after.server.address} now): a difference may lie on the way to it. "
                "Run again against the same server to be sure."
            ),
            before=before.server.address,
            after=after.server.address,
        )
    if profile(before) != profile(after):
        yield Change(
            kind=Kind.NOT_COMPARED,
            check="run",
            subject="profile",
            summary=(
                f"Another profile ({profile(before) or 'none'} before, {profile(after) or 'none'} now): "
                "only ports that both name were compared."
            ),
            before=profile(before),
            after=profile(after),
        )
    if before.client.source != after.client.source and before.client.source and after.client.source:
        yield Change(
            kind=Kind.DIFFERENT,
            check="run",
            subject="local address",
            summary=f"This machine has another local address: {before.client.source} before, {after.client.source} now.",
            before=before.client.source,
            after=after.client.source,
            cause="a rule that still points to the old address forwards to nobody",
        )
    if before.client.gateway != after.client.gateway and before.client.gateway and after.client.gateway:
        yield Change(
            kind=Kind.DIFFERENT,
            check="run",
            subject="gateway",
            summary=f"Another default gateway: {before.client.gateway} before, {after.client.gateway} now.",
            before=before.client.gateway,
            after=after.client.gateway,
        )
    yield from _router(before, after)
    ours, theirs = ({result.id for result in report.checks} - {"control"} for report in (before, after))
    for names, where in ((ours - theirs, "before"), (theirs - ours, "now")):
        for name in sorted(names):
            yield Change(kind=Kind.NOT_COMPARED, check=name, subject=name, summary=f"{name}: tested only {where}.")
    for report, words in ((before, "before"), (after, "now")):
        for result in report.checks:
            if result.id == "control" and result.verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE):
                summary = f"The run {words} did not go well: {result.summary}"
                yield Change(kind=Kind.NOT_COMPARED, check="run", subject="server", summary=summary)
