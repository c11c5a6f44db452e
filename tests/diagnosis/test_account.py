"""The first line of a look at an account."""

import pytest

from edgecheck.diagnosis.facts import Facts
from edgecheck.diagnosis.headline import headline
from edgecheck.doctor import PROFILE
from edgecheck.model.verdict import CheckResult, Finding, Verdict, worst


def result(id: str, *findings: tuple[str, str, str]) -> CheckResult:
    made = tuple(
        Finding(id=f"{id}.{cause}", verdict=Verdict(verdict), subject="x", summary=summary, evidence=("x",)) for cause, verdict, summary in findings
    )
    observation = {"aor": "sip:alice@example.com"}
    return CheckResult(
        id=id, verdict=worst([each.verdict for each in made]), summary=made[0].summary, duration_s=0.1, observation=observation, findings=made
    )


REGISTERED = ("registered", "pass", "It registers.")
REACHABLE = ("reachable", "pass", "It is reached.")
BLIND = ("no-target", "inconclusive", "There is nowhere to send.")


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([result("registration", REGISTERED, REACHABLE)], "sip:alice@example.com registers, and requests arrive through the registration."),
        ([result("registration", REGISTERED)], "sip:alice@example.com registers; whether calls arrive was not seen: call it to see."),
        (
            [result("registration", REGISTERED, ("not-reachable", "fail", "Calls may not arrive."))],
            "sip:alice@example.com registers, but calls may not arrive.",
        ),
        (
            [result("registration", REGISTERED, ("alg", "warn", "Something rewrites SIP."))],
            "sip:alice@example.com registers, with a reservation: something rewrites SIP.",
        ),
        (
            [result("dns", ("nxdomain", "fail", "There is no such name.")), result("registration", BLIND)],
            "sip:alice@example.com does not register: there is no such name.",
        ),
        ([result("registration", ("no-password", "inconclusive", "A password is wanted."))], "A password is wanted."),
        ([result("registration", ("challenged", "pass", "It asks for a password."))], "It asks for a password."),
    ],
)
def test_first_line(results: list[CheckResult], expected: str) -> None:
    assert headline(Facts(results, PROFILE, None)) == expected
