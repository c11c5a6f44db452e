"""The first line of a look at an account."""

import msgspec
import pytest

from edgecheck.diagnosis.advice import advise
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


USUAL = "most likely the password or the authentication user is wrong (the answer does not say which; the server's log does)"
REFUSED = f"401 Unauthorized again, after the challenge was answered as 'alice' for realm 'x': {USUAL}"


@pytest.mark.parametrize(
    ("cause", "summary", "expected"),
    [
        ("wrong-credentials", f"{REFUSED}.", "the credentials are refused (401 again): look at the password and the authentication user first."),
        (
            "proxy-authentication",
            f"{REFUSED}; or the realm changes; or something rewrites SIP.",
            "the credentials are refused (407 again): look at the password and the authentication user first; 2 other causes fit, too.",
        ),
        ("wrong-credentials", "The server refuses.", "the server refuses."),
        ("forbidden", f"It answered 403 {'without asking for a password first ' * 2}: {'that is also what a trunk says ' * 4}.", None),
    ],
)
def test_a_long_sentence_is_short_in_the_first_line(cause: str, summary: str, expected: str | None) -> None:
    told = headline(Facts([result("registration", (cause, "fail", summary))], PROFILE, None))
    assert len(told) < 180
    assert expected is None or told == f"sip:alice@example.com does not register: {expected}"


def test_what_answers_at_another_port_stands_before_the_silent_one() -> None:
    refused = Finding(id="transport.refused", verdict=Verdict.FAIL, subject="UDP h:5070", summary="It refuses.", evidence=("x",))
    wrong = Finding(
        id="registration.wrong-transport", verdict=Verdict.FAIL, subject="sip:alice@example.com", observed="UDP h:5070",
        summary="UDP h:5070 does not answer, but UDP h:5060 does.", evidence=("x",),
    )  # fmt: skip
    made = [
        CheckResult(id="transport", verdict=Verdict.FAIL, summary="", duration_s=0.1, findings=(refused,)),
        CheckResult(
            id="registration", verdict=Verdict.FAIL, summary="", duration_s=0.1, findings=(wrong,), observation={"aor": "sip:alice@example.com"}
        ),
    ]
    assert headline(Facts(made, PROFILE, None)) == "sip:alice@example.com does not register: UDP h:5070 does not answer, but UDP h:5060 does."


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


@pytest.mark.parametrize(
    ("told", "step"),
    [
        (
            "UDP 192.0.2.1:5060 answered 403 Forbidden without asking for a password first: that is also what a trunk says that knows its "
            "customers by address (it sees 203.0.113.9).",
            "Have the provider, or the PBX's allow-list, admit this network's public address (203.0.113.9): ",
        ),
        (
            "UDP 192.0.2.1:5060 answered 403 Forbidden without asking for a password first.",
            "Have the provider, or the PBX's allow-list, admit this network's public address: ",
        ),
        ("UDP 192.0.2.1:5060 answered 403 Forbidden to the credentials.", "Enter password and authentication user anew, "),
        ("UDP 192.0.2.1:5060 answered 403 Forbidden.", "Refused before a password was asked for: have the provider"),
    ],
)
def test_a_403_says_what_to_do_by_when_it_came(told: str, step: str) -> None:
    first, *_ = advise(Facts([result("registration", ("forbidden", "fail", told))], PROFILE, None))
    assert first.startswith(step)
