"""A redacted report: the same evidence, without the people."""

import base64

import msgspec
import pytest

from edgecheck.model.verdict import ClientFacts, ServerFacts
from edgecheck.report import json
from edgecheck.report.redact import redact
from tests.reports import finding, report, result


def through(text):
    """One sentence, redacted."""
    return redact(report(result(finding("a.b", "fail", "x", text)), server=None, client=ClientFacts())).checks[0].findings[0].summary


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Via 192.168.1.20:5060 became 203.0.113.9:5060", "Via private-1:5060 became public-1:5060"),
        ("10.0.0.1, 10.0.0.1 and 10.0.0.2", "private-1, private-1 and private-2"),
        ("WAN address 100.64.0.2", "WAN address shared-1"),
        ("[2001:db8::1]:5060 and fe80::1", "[public-1]:5060 and private-1"),
        ("listens on 127.0.0.1 and ::", "listens on 127.0.0.1 and ::"),
        ("at 12:30:15, version 6.18.44, 5060-5061", "at 12:30:15, version 6.18.44, 5060-5061"),
        ("version 1.2.3.4.5", "version 1.2.3.4.5"),
        ("999.1.1.1", "999.1.1.1"),
        ("mac aa:bb:cc:dd:ee:ff", "mac mac-1"),
        ("sip:alice@pbx.example.com;transport=tcp", "sip:name-1@name-2;transport=tcp"),
        ("mac aabb.ccdd.eeff", "mac mac-1"),
        ("[::ffff:192.168.1.20]:5060 is 192.168.1.20", "[private-1]:5060 is private-1"),
        ("o=- 1 1 IN IP4 192.168.001.020", "o=- 1 1 IN IP4 private-1"),
        ("192.168.1.20: z9hG4bK192.168.1.20.5060, x192.168.1.20x", "private-1: z9hG4bKprivate-1.5060, xprivate-1x"),
        ("192.168.1.20: host-192-168-1-20, 20.1.168.192.in-addr.arpa", "private-1: host-private-1, private-1.in-addr.arpa"),
        ("192.168.1.20 is C0A80114", "private-1 is private-1"),
        ("<sip:1000@10.0.0.1>, 1000 packets", "<sip:name-1@private-1>, 1000 packets"),
        ("sip:4930123456@h.example rang 4930123456", "sip:name-1@name-2 rang name-1"),
        ('From: "Alice Smith" <sip:1001@10.0.0.1>; Alice Smith', 'From: "name-2" <sip:name-1@private-1>; name-2'),
        ("_sip._udp.corp.example SRV sbc.corp.example", "_sip._udp.name-1 SRV name-2"),
        ("tel:+4930123456 or +4930123456", "tel:name-1 or name-1"),
        ('Digest username="bob", realm="Corp"', 'Digest username="name-1", realm="name-2"'),
    ],
)
def test_what_becomes_of_a_sentence(text, told):
    assert through(text) == told


def test_an_address_is_the_same_word_all_through():
    given = report(
        result(
            finding("a.b", "fail", "192.168.1.20", evidence=("seen as 203.0.113.9", "sent by 192.168.1.20")),
            observation={"mapped_address": "203.0.113.9:40000", "ports": [{"local": "192.168.1.20:5060"}]},
        ),
        client=ClientFacts(source="192.168.1.20", public_address="203.0.113.9"),
        server=ServerFacts(address="198.51.100.10"),
        settings={"target": "echo.example.net:8443"},
    )
    told = redact(given)
    text = json.render(told).decode()
    for secret in ("192.168.1.20", "203.0.113.9", "198.51.100.10", "echo.example.net"):
        assert secret not in text
    public = told.client.public_address
    assert told.checks[0].observation == {"mapped_address": f"{public}:40000", "ports": [{"local": f"{told.client.source}:5060"}]}
    assert public in told.checks[0].findings[0].evidence[0]


def test_the_names_asked_for_go_everywhere():
    given = report(result(finding("a.b", "fail", "x", "pbx.corp.example said no to alice")), settings={"account": "sip:alice@pbx.corp.example"})
    summary = redact(given).checks[0].findings[0].summary
    assert "alice" not in summary
    assert "corp" not in summary


def test_a_message_that_is_no_text_is_opened():
    """What an ALG made of a message need not be UTF-8; then the report keeps it in base64."""
    message = b"\xffREGISTER sip:corp.example SIP/2.0\r\nContact: <sip:alice@192.168.1.20>\r\n"
    probe = {"sent": "base64:" + base64.b64encode(message).decode(), "arrived": "base64:!"}
    told = redact(report(result(finding("a.b"), observation={"probes": [probe]}), server=None, client=ClientFacts()))
    (kept,) = told.checks[0].observation["probes"]
    opened = base64.b64decode(kept["sent"].removeprefix("base64:"))
    assert opened.startswith(b"\xffREGISTER sip:name-")
    assert not any(word in opened for word in (b"alice", b"corp", b"192.168"))


@pytest.mark.parametrize(
    "facts",
    [
        {"steps": [{"query": "_sip._udp.corp.example", "answer": "10 5060 sbc.corp.example."}]},
        {"targets": [{"host": "sbc.corp.example", "transport": "udp"}]},
        {"names": ["*.corp.example"], "issuer": "CN=ca.corp.example"},
        {"router": {"mappings": [{"description": "corp console", "internal_port": 1}]}},
    ],
)
def test_names_in_facts(facts):
    given = report(result(finding("a.b", "fail", "x", "for corp console: sbc.corp.example, sip.corp.example."), observation=facts), server=None)
    told = redact(given).checks[0]
    assert ("corp console" if "router" in facts else "corp.example") not in told.findings[0].summary + str(told.observation)


def test_what_holds_no_address_stays():
    given = report(result(finding("a.b", "fail", "UDP 5060", "5060 is blocked", evidence=("8 copies sent, 0 arrived",))), server=None, client=ClientFacts())
    assert msgspec.to_builtins(redact(given)) == msgspec.to_builtins(given)
