"""The ticket: everything support asks for, and nothing that a peer sent as markup."""

import re

import msgspec
import pytest

from edgecheck.model.router import RouterName
from edgecheck.model.verdict import ClientFacts
from edgecheck.report import ticket
from tests.reports import finding, nat, report, result

CLIENT = ClientFacts(source="192.168.1.20", gateway="192.168.1.1", platform="Linux", public_address="203.0.113.9")
BROKEN = finding(
    "port-forwarding.no-rule",
    "fail",
    "UDP 5060",
    "UDP 5060 never arrives.",
    expected="forwarded",
    observed="blocked",
    reference="RFC 4787 section 5",
    evidence=("6 probes from 198.51.100.11, 0 arrived",),
)


def rendered(kind="text", tried=(), **more):
    one = report(nat(), result(BROKEN), client=CLIENT, headline="Calls do not arrive.", advice=("Forward UDP 5060.",), **more)
    return {"text": ticket.render_text, "markdown": ticket.render_markdown}[kind](one, tried)


@pytest.mark.parametrize("kind", ["text", "markdown"])
def test_what_support_asks_for(kind):
    text = rendered(kind, tried=("Rebooted the router.",))
    for part in (
        "FAIL: Calls do not arrive.",
        "2026-01-31 12:00:00 UTC",
        "Public address: 203.0.113.9",
        "Default gateway: 192.168.1.1",
        "an echo server at 198.51.100.10 and 198.51.100.11",
        "UDP 5060 never arrives.",
        "expected: forwarded",
        "observed: blocked",
        "RFC 4787 section 5",
        "6 probes from 198.51.100.11, 0 arrived",
        "Forward UDP 5060.",
        "Rebooted the router.",
        "nat-behavior: endpoint-independent mapping",
    ):
        assert part in text, part


def test_the_router_is_named_and_a_subject_stands_once():
    router = RouterName(protocol="upnp", manufacturer="Netgear", model="R7000")
    text = ticket.render_text(report(result(BROKEN), client=msgspec.structs.replace(CLIENT, router=router)))
    assert "- Default gateway: 192.168.1.1 (Netgear R7000, as it calls itself)" in text
    assert "- fail: UDP 5060 never arrives. (port-forwarding.no-rule)" in text
    other = ticket.render_text(report(result(finding("sip-alg.via-port", "warn", "UDP 5060", "Something reads Via."))))
    assert "- warn: UDP 5060: Something reads Via. (sip-alg.via-port)" in other


def test_the_gravest_comes_first():
    warning = finding("x.y", "warn", "mapping", "A warning.")
    text = ticket.render_text(report(result(warning), result(BROKEN)))
    assert text.index("UDP 5060 never arrives.") < text.index("A warning.")


def test_what_was_not_tested_is_said_by_the_heading_alone():
    given = result(finding("tls.skipped", "skipped", "tls", "Not tested: no TLS port is named."), summary="Not tested: no TLS port is named.")
    text = ticket.render_text(report(nat(), given))
    assert text.lower().count("not tested") == 1
    assert "tls: no TLS port is named." in text


HOSTILE = "<script>alert(1)</script> [click](http://evil.example) **x** `y` | z\x1b[31m\n# Heading"


def test_nothing_a_peer_sent_is_markup_or_a_control_character():
    hostile = report(result(finding("a.b", "fail", HOSTILE, HOSTILE, observed=HOSTILE, evidence=(HOSTILE,))), headline=HOSTILE)
    markdown = ticket.render_markdown(hostile)
    assert not re.search(r"(?<!\\)[<`*]|(?<!\\)\[|://", markdown)
    assert not re.search(r"^# Heading", markdown, re.MULTILINE)
    for text in (markdown, ticket.render_text(hostile)):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)


def test_long_evidence_is_cut_and_said_so():
    long = finding("a.b", "fail", evidence=tuple(f"line {number}" for number in range(50)))
    text = ticket.render_text(report(result(long)))
    assert "line 11" in text
    assert "line 12" not in text
    assert "38 more in the JSON report" in text
