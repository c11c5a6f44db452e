"""From observations to a report: each check judged, all of them diagnosed. Pure; so a saved report is judged anew, and the same."""

import traceback
from collections.abc import Callable, Sequence

import msgspec

from edgecheck.checks import BY_ID
from edgecheck.diagnosis import diagnose, leading_id, settings_for_pbx
from edgecheck.model import draft
from edgecheck.model.check import Check, Observation
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import CheckResult, ClientFacts, Finding, Report, ServerFacts, Verdict, worst


def judged(check: Check, observation: Observation, profile: Profile, duration: float, cut_short: str | None = None) -> CheckResult:
    """An observation with its findings; of a check that was cut short, those that stand. A judge that fails is a fault of ours."""
    try:
        findings = check.judge(observation, profile)
        if cut_short is None:
            summary = check.summarize(observation, findings)
        else:
            findings, summary = _standing(check, findings, check.known(observation), cut_short)
    except Exception:
        failed = fault(check, traceback.format_exc(), duration)
        return msgspec.structs.replace(failed, observation=msgspec.to_builtins(observation), cut_short=cut_short)
    return CheckResult(
        id=check.id,
        verdict=worst([finding.verdict for finding in findings]),
        summary=summary,
        duration_s=round(duration, 3),
        observation=msgspec.to_builtins(observation),
        findings=findings,
        cut_short=cut_short,
    )


def judged_in_part(check: Check, place: draft.Place, why: str, profile: Profile, duration: float) -> CheckResult:
    """What a check left that did not come to its end."""
    why = _clause(why)
    if place.draft is None:
        return _undecided(check, why, duration)
    try:
        observation = place.draft(why)
    except Exception:
        return fault(check, traceback.format_exc(), duration)
    return judged(check, observation, profile, duration, why)


def _standing(check: Check, findings: Sequence[Finding], known: str, why: str) -> tuple[tuple[Finding, ...], str]:
    """What a part of the measurement proves, and that the rest is missing; in one sentence, too."""
    stand = tuple(finding for finding in findings if finding.id.removeprefix(f"{check.id}.") in check.stands)
    told = [finding.summary.rstrip(".") for finding in sorted(stand, key=_gravity) if finding.verdict in _TOLD][:2]
    told = told or ([known] if known else [])
    rest = "the rest could" if told else "could"
    return (*stand, _not_finished(check, why)), "; ".join((*told, f"{rest} not be finished: {why}"))


_TOLD = (Verdict.FAIL, Verdict.WARN, Verdict.PASS)


def _gravity(finding: Finding) -> int:
    return _TOLD.index(finding.verdict) if finding.verdict in _TOLD else len(_TOLD)


def skipped(check: Check, why: str) -> CheckResult:
    """It was not tried."""
    finding = Finding(id=f"{check.id}.skipped", verdict=Verdict.SKIPPED, subject=check.id, summary=f"Not tested: {why}.")
    return CheckResult(id=check.id, verdict=Verdict.SKIPPED, summary=f"not tested: {why}", duration_s=0.0, findings=(finding,))


def _not_finished(check: Check, why: str) -> Finding:
    text = f"could not be finished: {why}"
    return Finding(id=f"{check.id}.cut-short", verdict=Verdict.INCONCLUSIVE, subject=check.id, summary=text, evidence=(why,))


def _undecided(check: Check, why: str, duration: float) -> CheckResult:
    """Nothing was left of it."""
    finding = _not_finished(check, why)
    return CheckResult(
        id=check.id,
        verdict=finding.verdict,
        summary=finding.summary,
        duration_s=round(duration, 3),
        findings=(finding,),
        cut_short=why,
    )


def _clause(why: str) -> str:
    """A sentence as part of another."""
    why = why.rstrip(".")
    return why[:1].lower() + why[1:] if why[1:2].islower() else why


FAULT = "edgecheck itself failed here; this says nothing about the network. Please report it with the --json file."


def fault(check: Check, trace: str, duration: float) -> CheckResult:
    """An unexpected exception: a fault of ours, which says nothing about the network."""
    proof = (trace.splitlines()[-1],)
    finding = Finding(id=f"{check.id}.fault", verdict=Verdict.INCONCLUSIVE, subject=check.id, summary=FAULT, evidence=proof)
    return CheckResult(
        id=check.id, verdict=Verdict.INCONCLUSIVE, summary=FAULT, duration_s=round(duration, 3), findings=(finding,), fault=trace
    )


def overall(results: tuple[CheckResult, ...], stopped: bool) -> Verdict:
    """The verdict of the whole."""
    verdict = worst([result.verdict for result in results])
    # A run that was cut short has not decided all that was asked.
    return Verdict.INCONCLUSIVE if stopped and verdict is not Verdict.FAIL else verdict


def assemble(
    results: list[CheckResult],
    profile: Profile,
    make: Callable[[tuple[CheckResult, ...], str, tuple[str, ...]], Report],
    server: ServerFacts | None,
    client: ClientFacts,
) -> Report:
    """Diagnose across the checks; ``make`` puts results, headline and advice into a report."""
    diagnosed, headline, advice = diagnose(tuple(results), profile, server, client.router)
    report = make(tuple(diagnosed), headline, tuple(advice))
    return msgspec.structs.replace(
        report,
        headline_of=leading_id(report.checks, profile, server),
        settings_for_pbx=settings_for_pbx(report.checks, profile, server, client),
    )


def rejudge(report: Report) -> Report:
    """A saved report judged anew from its observations, with the profile that it carries."""
    profile = msgspec.convert(report.settings.get("profile"), Profile)
    results = []
    for result in report.checks:
        check = BY_ID.get(result.id)
        if check is None or result.observation is None:
            results.append(result)
            continue
        observation = msgspec.convert(result.observation, check.observation)
        results.append(judged(check, observation, profile, result.duration_s, result.cut_short))
    stopped = any(note.startswith("Not finished") for note in report.notes)
    return assemble(
        results,
        profile,
        lambda results, headline, advice: msgspec.structs.replace(
            report, verdict=overall(results, stopped), headline=headline, checks=results, advice=advice
        ),
        report.server,
        report.client,
    )
