"""Rules across checks: from findings to one sentence, to steps, and to remedies for every finding. Pure."""

from collections.abc import Sequence

from msgspec.structs import replace

from edgecheck.diagnosis.advice import advise, remedies
from edgecheck.diagnosis.facts import Facts
from edgecheck.diagnosis.headline import headline, leading
from edgecheck.diagnosis.pbx import settings_for, settings_of_report
from edgecheck.model.profile import Profile
from edgecheck.model.router import RouterName
from edgecheck.model.verdict import CheckResult, ClientFacts, PbxSettings, ServerFacts


def diagnose(
    results: Sequence[CheckResult], profile: Profile, server: ServerFacts | None, router: RouterName | None = None
) -> tuple[tuple[CheckResult, ...], str, tuple[str, ...]]:
    """The results with remedies filled in, the headline, and the advice in order."""
    facts = Facts(results, profile, server, router)
    treated = tuple(
        replace(result, findings=tuple(replace(finding, remedies=remedies(facts, finding)) for finding in result.findings))
        for result in results
    )
    return treated, headline(facts), advise(facts)


def leading_id(results: Sequence[CheckResult], profile: Profile, server: ServerFacts | None) -> str | None:
    """Id of the finding that the headline is about; None where it tells of no trouble."""
    finding = leading(Facts(results, profile, server))
    return None if finding is None else finding.id


def settings_for_pbx(
    results: Sequence[CheckResult], profile: Profile, server: ServerFacts | None, client: ClientFacts, pbx: str = ""
) -> tuple[PbxSettings, ...]:
    """What this edge calls for in the PBX of the profile, or in one of the family asked for (see ``pbx.FAMILIES``)."""
    facts = Facts(results, profile, server)
    return (settings_for(pbx, facts, client),) if pbx else settings_of_report(facts, client)
