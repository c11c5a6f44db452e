"""Servers that answer oddly, from one side: what may be their own doing is never called an ALG."""

import re
from collections.abc import Callable

import pytest

from edgecheck.checks.sip_alg import CHECK
from edgecheck.checks.sip_alg.against import Aim, message
from edgecheck.checks.sip_alg.observation import SipAlgObservation
from edgecheck.checks.sip_alg.one_sided import Heard, Tried, read
from edgecheck.checks.sip_alg.taken import Nearer
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Finding, Verdict
from edgecheck.wire.address import Endpoint

PROFILE = Profile(name="test", title="", source="", confidence="verified", checks=())
HERE, SERVER, SEEN = Endpoint("192.168.88.2", 40_000), Endpoint("198.51.100.10", 5060), "203.0.113.1"
AIM = Aim(host="pbx.example", address=SERVER.host, port=5060)
Writes = Callable[[bytes], bytes]
"""From a right answer to the one that this server gives."""


def answered(request: bytes, received: str = SEEN, rport: int = 20_000) -> bytes:
    """As a server is to answer."""
    kept = [line for line in request.split(b"\r\n") if line.partition(b":")[0] in (b"Via", b"From", b"To", b"Call-ID", b"CSeq")]
    stamp = f";rport={rport};received={received};".encode()
    return b"\r\n".join([b"SIP/2.0 200 OK", *kept, b"Content-Length: 0", b"", b""]).replace(b";rport;", stamp)


def asked(**servers: Writes) -> tuple[SipAlgObservation, dict[str, Finding]]:
    """By transport, how it is answered there; the observation, and findings by subject."""
    ways = []
    for transport, writes in servers.items():
        server = Endpoint(SERVER.host, 5061 if transport == "tls" else 5060)
        request = message("OPTIONS", AIM, transport, HERE)  # type: ignore[arg-type]
        tried = Tried(transport=transport, server=server, local=HERE, requests={"OPTIONS": request}, sent_at={"OPTIONS": [0.0]})  # type: ignore[arg-type]
        tried.answers["OPTIONS"] = [Heard(writes(answered(request)), server, 0.01)]
        ways.append(tried)
    seen = read("sip:pbx.example", ways, Tried(transport="udp", server=Endpoint("192.0.2.1", 5060)), Nearer())
    found = CHECK.judge(seen, PROFILE)
    return seen, {subject: finding for finding in found for subject in finding.subject.split(", ")}


def right(answer: bytes) -> bytes:
    return answer


def swap(pattern: bytes, by: bytes) -> Writes:
    def write(answer: bytes) -> bytes:
        changed = re.sub(pattern, by, answer)
        assert changed != answer
        return changed

    return write


WRITTEN_ANEW = {
    "spaces around slashes": swap(b"SIP/2.0/UDP", b"SIP / 2.0 / UDP"),
    "transport in lower case": swap(b"SIP/2.0/UDP", b"SIP/2.0/udp"),
    "spaces around parameters": swap(b";branch=", b" ; branch = "),
    "a display name": swap(b"From: <", b'From: "edgecheck" <'),
    "method in lower case": swap(b"1 OPTIONS", b"1 options"),
    "nothing": right,
}
ODD = {
    "an alias": (swap(b"(Via: [^\r]*)", rb"\1;alias"), "Via has parameters that were not sent (alias)"),
    "a connection's number": (swap(b"(Via: [^\r]*)", rb"\1;i=z1;keep"), "Via has parameters that were not sent (i, keep)"),
    "no From": (swap(b"From: [^\r]*\r\n", b""), "From is missing"),
    "no Call-ID": (swap(b"Call-ID: [^\r]*\r\n", b""), "Call-ID is missing"),
    "no Via": (swap(b"Via: [^\r]*\r\n", b""), "Via is missing"),
}
ANOTHER = {
    "another address in Via": swap(b"(SIP/2.0/[A-Z]+) 192.168.88.2:", rb"\1 203.0.113.1:"),
    "another branch": swap(b"branch=z9hG4bK", b"branch=z9hG4bKx"),
    "another Via": swap(b"Via: ", b"Via: SIP/2.0/UDP 203.0.113.1;branch=z9hG4bKx\r\nVia: "),
    "another Call-ID": swap(b"@192.168.88.2\r", b"@203.0.113.1\r"),
    "another tag": swap(b"(From: [^\r]*;tag=)", rb"\1x"),
    "another number": swap(b"CSeq: 1 ", b"CSeq: 101 "),
}


@pytest.mark.parametrize("name", WRITTEN_ANEW)
def test_the_same_in_other_letters_is_no_trace(name: str) -> None:
    seen, findings = asked(udp=WRITTEN_ANEW[name])
    assert findings["UDP 5060"].id == "sip-alg.no-trace"
    assert seen.interference is None


@pytest.mark.parametrize("name", ODD)
def test_what_servers_do_by_themselves_is_a_hint_with_both_causes(name: str) -> None:
    writes, words = ODD[name]
    seen, findings = asked(udp=writes, tcp=right)
    found = findings["UDP 5060"]
    assert (found.id, found.verdict) == ("sip-alg.hint", Verdict.INCONCLUSIVE)
    assert f"in the answer {words}: either something on the path does it, or this server writes its answers so" in found.summary
    assert seen.interference is None
    assert findings["TCP 5060"].id == "sip-alg.no-trace"


@pytest.mark.parametrize("name", ANOTHER)
def test_another_value_in_the_place_of_ours_proves_an_alg(name: str) -> None:
    _, findings = asked(udp=ANOTHER[name])
    assert findings["UDP 5060"].verdict is Verdict.FAIL


@pytest.mark.parametrize("name", ANOTHER)
def test_what_the_server_does_over_tls_too_is_its_own(name: str) -> None:
    seen, findings = asked(udp=ANOTHER[name], tls=ANOTHER[name])
    assert {findings[way].id for way in ("UDP 5060", "TLS 5061")} == {"sip-alg.hint"}
    assert "(over TLS, too)" in findings["UDP 5060"].summary
    assert seen.interference is None


@pytest.mark.parametrize(("rport", "id"), [(40_000, "sip-alg.rewritten"), (None, "sip-alg.rewritten"), (20_000, "sip-alg.hint")])
def test_received_was_turned_back_only_if_the_port_was_too(rport: int | None, id: str) -> None:
    """A server's load balancer may have this machine's very address: a private one that half the world has."""
    stamp = f";rport={rport};received={HERE.host}".encode() if rport else f";received={HERE.host}".encode()
    _, findings = asked(udp=swap(b";rport=20000;received=203.0.113.1", stamp), tcp=right)
    found = findings["UDP 5060"]
    assert found.id == id
    assert ("stands behind a box that has that very address" in found.summary) is (id == "sip-alg.hint")


def test_a_server_that_answers_from_another_socket_is_no_interference() -> None:
    request = message("OPTIONS", AIM, "udp", HERE)
    tried = Tried(transport="udp", server=SERVER, local=HERE, requests={"OPTIONS": request}, sent_at={"OPTIONS": [0.0]})
    tried.answers["OPTIONS"] = [Heard(answered(request), Endpoint(SERVER.host, 5099), 0.01)]
    seen = read("sip:pbx.example", [tried], Tried(transport="udp", server=Endpoint("192.0.2.1", 5060)), Nearer())
    (found,) = [one for one in CHECK.judge(seen, PROFILE) if one.subject == "UDP 5060"]
    assert found.id == "sip-alg.hint"
    assert (seen.interference, seen.probes[0].response) == (None, "undecided")
