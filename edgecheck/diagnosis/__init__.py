"""Rules across checks: from findings to one sentence, to steps, and to remedies for every finding. Pure."""

from collections.abc import Sequence

from msgspec.structs import replace

from edgecheck.diagnosis.advice import advise, remedies
from edgecheck.diagnosis.facts import Facts
from edgecheck.diagnosis.headline import headline
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import CheckResult, ServerFacts


def diagnose(
    results: Sequence[CheckResult], profile: Profile, server: ServerFacts | None
) -> tuple[tuple[CheckResult, ...], str, tuple[str, ...]]:
    """The results with remedies filled in, the headline, and the advice in order."""
    facts = Facts(results, profile, server)
    treated = tuple(
        replace(result, findings=tuple(replace(finding, remedies=remedies(facts, finding)) for finding in result.findings))
        for result in results
    )
    return treated, headline(facts), advise(facts)
