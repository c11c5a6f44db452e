"""The first line of a look at a SIP account: does it register, and if not, where the way of the phone ends."""

import re

from edgecheck.diagnosis.facts import Facts
from edgecheck.diagnosis.on_the_way import told_better
from edgecheck.diagnosis.words import clause, whole
from edgecheck.model.brief import brief
from edgecheck.model.verdict import Finding, Verdict

_FINE = (Verdict.PASS,)


def account_sentence(facts: Facts) -> str | None:
    """The sentence; None where no account was looked at."""
    result = next((result for result in facts.results if result.id == "registration"), None)
    if result is None:
        return None
    name = str(facts.fact("registration", "aor") or "The account")
    registers = bool(facts.having("registration.registered", verdicts=_FINE))
    trouble = _first_on_the_way(facts)
    if registers and trouble is not None and trouble.verdict is not Verdict.INCONCLUSIVE:
        reservation = "but" if trouble.verdict is Verdict.FAIL else "with a reservation:"
        return f"{name} registers, {reservation} {_brief(trouble)}."
    if registers:
        arrives = facts.having("registration.reachable", verdicts=_FINE)
        return f"{name} registers, and requests arrive through the registration." if arrives else (
            f"{name} registers; whether calls arrive was not seen: call it to see."
        )
    if trouble is None:
        return whole(result.summary)
    if trouble.id.endswith(".cut-short"):
        why = next((one.cut_short for one in facts.results if one.cut_short), "it was cut short")
        return f"Whether {name[:1].lower()}{name[1:]} registers could not be told: the run was not finished ({why})."
    if trouble.verdict is Verdict.FAIL:
        return f"{name} does not register: {_brief(trouble)}."
    return whole(trouble.summary)


def _brief(trouble: Finding) -> str:
    """Its sentence where that is short; the row below has all of it."""
    status = _REFUSED.get(trouble.id)
    if status is None or not _USUAL.search(trouble.summary):
        return brief(clause(trouble))
    others = trouble.summary.count("; or ")
    more = f"; {others} other cause{'s fit' if others > 1 else ' fits'}, too" if others else ""
    return f"the credentials are refused ({status} again): look at the password and the authentication user first{more}"


_REFUSED = {"registration.wrong-credentials": 401, "registration.proxy-authentication": 407}
_USUAL = re.compile("most likely the password or the authentication user")


def leading(facts: Facts) -> Finding | None:
    """The trouble that the sentence tells; None where it tells none."""
    trouble = _first_on_the_way(facts)
    fine = trouble is None or (trouble.verdict is Verdict.INCONCLUSIVE and bool(facts.having("registration.registered", verdicts=_FINE)))
    return None if fine else trouble


def _first_on_the_way(facts: Facts) -> Finding | None:
    """The gravest trouble, and of several alike the first on the phone's way: a name that leads nowhere explains what comes after it."""
    better = told_better(facts)
    for verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.WARN):
        for result in facts.results:
            for finding in result.findings:
                if finding.verdict is verdict and not any(finding is each for each in better):
                    return finding
    return None
