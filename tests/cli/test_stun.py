"""``edgecheck stun``: our verdict, pystun3's beside it, and a server that is no STUN server."""

import asyncio
import json

import pytest

from edgecheck.checks.nat_behavior import NatObservation
from edgecheck.cli import invoke
from edgecheck.foreign_stun import ForeignStun
from tests.reports import finding


def answer(verdict="pass", classic="Full Cone", difference=None):
    return ForeignStun(
        server="stun.example:3478",
        observation=NatObservation(local_address="192.168.1.20:4000", mapped_address="203.0.113.9:4000", classic_type="port restricted cone"),
        findings=(finding("nat-behavior.filtering", verdict, "filtering", "Filtering is strict."),),
        classic=classic,
        difference=difference,
    )


@pytest.fixture
def asked(monkeypatch):
    """Answers as told, and keeps what was asked."""
    kept = {}

    def prepare(value):
        async def ask(*arguments):
            await asyncio.sleep(0)
            kept["arguments"] = arguments
            return value

        monkeypatch.setattr("edgecheck.foreign_stun.ask", ask)
        return kept

    return prepare


@pytest.mark.parametrize(
    ("host", "name", "port"),
    [
        ("stun.example", "stun.example", 3478),
        ("stun.example:19302", "stun.example", 19302),
        ("stun.example:8443", "stun.example", 8443),
        ("2001:db8::1", "2001:db8::1", 3478),
        ("[2001:db8::1]", "2001:db8::1", 3478),
        ("[2001:db8::1]:3479", "2001:db8::1", 3479),
    ],
)
def test_host_and_port(asked, host, name, port):
    kept = asked(answer())
    assert invoke(["stun", host]) == 0
    assert kept["arguments"] == (name, port, None, None)


def test_source_and_family(asked):
    kept = asked(answer())
    invoke(["stun", "h", "-4", "--source", "192.0.2.9"])
    assert kept["arguments"] == ("h", 3478, "192.0.2.9", 4)


def test_both_verdicts_and_why_they_differ(asked, capsys):
    asked(answer(difference="pystun3 does not look at where the answer came from."))
    invoke(["stun", "h"])
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "pass  Filtering is strict"
    assert "RFC 3489 name: port restricted cone" in out
    assert "pystun3: Full Cone" in out
    assert out[-1] == "They differ: pystun3 does not look at where the answer came from."


def test_agreement_needs_no_words(asked, capsys):
    asked(answer())
    invoke(["stun", "h"])
    assert "differ" not in capsys.readouterr().out


@pytest.mark.parametrize(("verdict", "code"), [("pass", 0), ("warn", 1), ("fail", 2), ("inconclusive", 3)])
def test_exit_status(asked, verdict, code):
    asked(answer(verdict))
    assert invoke(["stun", "h"]) == code


def test_json_alone_on_stdout(asked, capfdbinary):
    asked(answer())
    assert invoke(["stun", "h", "--json", "-"]) == 0
    tree = json.loads(capfdbinary.readouterr().out)
    assert tree["observation"]["classic_type"] == "port restricted cone"
    assert tree["classic"] == "Full Cone"


def test_where_nothing_answers(capsys):
    assert invoke(["stun", "127.0.0.1:9"]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("127.0.0.1:9 did not answer STUN over UDP")
    assert len(captured.err.splitlines()) == 1
