"""Names and extension numbers in a redacted report: planted wherever SIP has people, gone in every spelling; other numbers stay."""

import base64
import random
import re
from urllib.parse import unquote

import pytest

from edgecheck.model.verdict import ClientFacts
from edgecheck.report import html, json, junit, table, text, ticket
from edgecheck.report.redact import redact
from tests.reports import finding, report, result

KEPT = ("5060", "5061", "200 OK", "486 Busy Here", "10000-20000", "CSeq: 4711 INVITE", "m=audio 16384 RTP/AVP 0 101", "a=rtpmap:101 telephone-event/8000")


def encoded(name: str) -> str:
    """As a careless device writes it into a URI."""
    return "".join(f"%{byte:02X}" for byte in name.encode())


def message(caller: str, callee: str, display: str, auth: str, *, odd: bool) -> str:
    user = encoded(caller) if odd else caller
    lines = (
        f"INVITE sip:{callee}@pbx.example;user=phone SIP/2.0",
        f'From: "{display}" <sip:{user}@pbx.example>;tag=9',
        f"To: {callee} <sip:{callee}@pbx.example>" if odd else f"t: <sips:{callee}@pbx.example>",
        f"Contact: <sip:{caller};ob=1@10.0.0.7:5060;transport=udp>",
        f'P-Asserted-Identity: "{display}" <tel:{caller}>',
        f'Remote-Party-ID: {display} <sip:{caller}@pbx.example>;party=calling',
        f"Diversion: <sip:{callee}@pbx.example>;reason=user-busy",
        f'Authorization: Digest username="{auth}", realm="pbx.example", nonce="1", uri="sip:pbx.example", response="x"',
        "CSeq: 4711 INVITE",
        "Content-Length: 99",
        "",
        f"o={caller} 1 1 IN IP4 10.0.0.7",
        "m=audio 16384 RTP/AVP 0 101",
        "a=rtpmap:101 telephone-event/8000",
    )
    return "\r\n".join(lines)


NUMBERS = ("7439", "83", "2718", "314", "90125", "66")
PEOPLE = ("Zoë Quux", "alice", "o'neill-k", "Jürgen Müßig", "bob.work", "x_ray")


def everything(caller: str, callee: str, display: str, auth: str):
    """A report in which these stand wherever people do."""
    plain, odd = message(caller, callee, display, auth, odd=False), message(caller, callee, display, auth, odd=True)
    marred = b"\xff\xfe" + odd.encode()
    change = {"direction": "request", "where": "From", "action": "rewritten", "sent": f"{display} <sip:{caller}@pbx.example>", "arrived": "<sip:x@y>"}
    return report(
        result(
            finding(
                "sip-alg.rewritten",
                "fail",
                "UDP 5060",
                f"Calls of {caller} to {callee} ({display}) fail: 486 Busy Here from UDP 5060, and 200 OK before; extension {caller} is registered.",
                evidence=(f"request, INVITE: From rewritten: sent {display!r}", f"'{callee}' rang; Refer-To: <sip:x@y?Replaces={encoded(caller)}%40h>"),
                observed=f"user {auth}",
            ),
            observation={
                "probes": [{"changes": [change], "proofs": [{"sent": plain, "arrived": "base64:" + base64.b64encode(marred).decode()}]}],
                "auth_user": auth,
                "aor": f"sip:{caller}@pbx.example",
            },
            summary=f"{auth} and {callee}: 10000-20000 open, 5061 not",
        ),
        client=ClientFacts(),
        server=None,
        settings={"account": {"user": caller, "auth_user": auth, "aor": f"sip:{caller}@pbx.example"}},
        headline=f"{display} cannot call {callee}",
    )


def every_spelling(data: str) -> list[str]:
    """The file, and what is packed in it."""
    opened = [base64.b64decode(found).decode("utf-8", "replace") for found in re.findall(r"base64:([A-Za-z0-9+/]+=*)", data)]
    return [spelling for each in (data, *opened) for spelling in (each, unquote(each))]


def stands_in(secret: str, data: str) -> bool:
    return re.search(rf"(?<![0-9A-Za-z]){re.escape(secret)}(?![0-9A-Za-z])", data, re.IGNORECASE) is not None


@pytest.mark.parametrize("seed", range(12))
def test_no_planted_name_or_number_is_left_in_any_spelling(seed: int) -> None:
    draw = random.Random(seed)
    caller, callee = draw.sample(NUMBERS, 2) if seed % 3 else draw.sample(("alice", "bob.work", "x_ray", "7439"), 2)
    display, auth = draw.choice(PEOPLE[::2]), draw.choice((caller, "2203", "x_ray"))
    given = everything(caller, callee, display, auth)
    before = json.render(given).decode()
    assert all(any(stands_in(secret, spelling) for spelling in every_spelling(before)) for secret in (caller, callee, display, auth))
    told = redact(given)
    for file in (json.render(told).decode(), text.render(told), ticket.render_markdown(told), ticket.render_text(told), html.render(told), junit.render(told), table.render(told)):
        for spelling in every_spelling(file):
            for secret in (caller, callee, display, auth):
                assert not stands_in(secret, spelling), (secret, spelling[max(0, spelling.lower().find(secret.lower()) - 60) :][:160])
    after = json.render(told).decode().replace("\\r\\n", "\n")
    assert all(kept in after for kept in KEPT), [kept for kept in KEPT if kept not in after]


def test_the_same_person_is_the_same_word_everywhere() -> None:
    told = redact(everything("7439", "83", "Zoë Quux", "2203"))
    facts = told.checks[0].observation
    word = told.settings["account"]["user"]
    assert re.fullmatch(r"name-\d+", word)
    proof = facts["probes"][0]["proofs"][0]
    packed = base64.b64decode(proof["arrived"].removeprefix("base64:")).decode("utf-8", "replace")
    assert facts["aor"].startswith(f"sip:{word}@")
    for each in (proof["sent"], packed):
        assert f"<tel:{word}>" in each
        assert f"sip:{word}@" in each
        assert f"o={word} 1 1" in each
    assert f"extension {word} is" in told.checks[0].findings[0].summary
    assert f'username="{facts["auth_user"]}"' in proof["sent"]
    (display,) = set(re.findall(r'From: "(name-\d+)"', proof["sent"] + packed))
    assert told.headline.startswith(f"{display} cannot call name-")


@pytest.mark.parametrize(
    "stays",
    [
        "answered 200 after 12 ms",
        "200 OK came back",
        "UDP 5060, 5061 and 200 are open",
        "port 200 is in use",
        "200 of 300 packets arrived",
        "0.2 s after the 200",
        "lives 200 s",
        "m=audio 200 RTP/AVP 0 200",
        "sent 'audio 9 RTP/AVP 0 200'",
        "CSeq: 200 REGISTER",
        "Expires: 200",
        "203.0.113.200:200",
        "200-300 never arrive",
        "version 200",
        "SIP/2.0 200 Fine",
        "ICMP 3/3, TTL 200",
    ],
)
def test_a_number_of_another_meaning_stays(stays: str) -> None:
    """Although somebody has that very number."""
    given = report(result(finding("a.b", "fail", "x", "sip:200@pbx.example, user 200", evidence=(stays,))), server=None, client=ClientFacts())
    told = redact(given).checks[0].findings[0]
    assert told.summary.startswith("sip:name-1@name-2")
    assert told.summary.endswith("user name-1")
    assert told.evidence[0].replace("public-1", "203.0.113.200") == stays


@pytest.mark.parametrize(
    "said",
    ['the password of 200 is refused', "extension 200", "phone 200 does not ring", "'200'", '"200" <sip:200@h>', "200@pbx.example", "sip:%32%30%30@h", "Refer-To: <sip:h?x=200%40h>"],
)
def test_a_number_that_is_somebody_goes(said: str) -> None:
    given = report(result(finding("a.b", "fail", "x", said, evidence=("From: <sip:200@pbx.example>",))), server=None, client=ClientFacts())
    assert "200" not in unquote(redact(given).checks[0].findings[0].summary)
