"""The first line of a look at an account."""

import msgspec
import pytest

from edgecheck.diagnosis.facts import Facts
from edgecheck.diagnosis.headline import headline, leading
from edgecheck.diagnosis.rules import explained
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


TLS_FAILED, CLOSED = ("tls-failed", "fail", "TLS could not be opened."), ("hung-up", "inconclusive", "It hangs up.")


@pytest.mark.parametrize(
    ("seen", "why", "expected"),
    [
        (TLS_FAILED, result("tls", ("old-version", "fail", "It offers only TLS 1.1.")), "it offers only TLS 1.1."),
        (CLOSED, result("tls", ("client-certificate-wanted", "fail", "It wants one.")), "it wants one."),
        (("refused", "fail", "It is refused."), result("transport", ("stale-port", "fail", "The port is stale.")), "the port is stale."),
    ],
)
def test_what_says_why_stands_before_what_was_seen(seen: tuple[str, str, str], why: CheckResult, expected: str) -> None:
    facts = Facts([result("transport", seen), why, result("registration", ("unreachable", "fail", "It is not reached."))], PROFILE, None)
    assert headline(facts) == f"sip:alice@example.com does not register: {expected}"
    assert [finding.id for finding in explained(facts)] == [f"transport.{seen[0]}"]
    assert leading(facts) is why.findings[0], "what to read on is about the first line, not the first failure"


def test_what_speaks_plain_sip_is_not_asked_twice_why_it_speaks_no_tls() -> None:
    silent, failed = ("no-handshake", "inconclusive", "It says nothing."), ("tls-failed", "fail", "No TLS.")
    results = [result("transport", ("wrong-transport", "fail", "It speaks plain SIP.")), result("tls", silent), result("registration", failed)]
    facts = Facts(results, PROFILE, None)
    assert headline(facts) == "sip:alice@example.com does not register: it speaks plain SIP."
    assert [finding.id for finding in explained(facts)] == ["tls.no-handshake", "registration.tls-failed"]


@pytest.mark.parametrize(
    "other",
    [result("tls", ("no-handshake", "inconclusive", "It says nothing.")), result("tls", ("expires-soon", "warn", "It ends soon."))],
)
def test_what_does_not_say_why_does_not(other: CheckResult) -> None:
    facts = Facts([result("transport", TLS_FAILED), other, result("registration", BLIND)], PROFILE, None)
    assert headline(facts) == "sip:alice@example.com does not register: TLS could not be opened."
    assert explained(facts) == ()


def test_what_passes_is_led_by_nothing() -> None:
    assert leading(Facts([result("transport", CLOSED), result("registration", REGISTERED, REACHABLE)], PROFILE, None)) is None


def test_another_place_explains_nothing() -> None:
    transport = result("transport", ("refused", "fail", "It is refused."))
    other = result("transport", ("stale-port", "fail", "The DNS names port 5998."))
    moved = msgspec.structs.replace(other, findings=(msgspec.structs.replace(other.findings[0], subject="y"),))
    assert explained(Facts([transport, moved, result("registration", BLIND)], PROFILE, None)) == ()
