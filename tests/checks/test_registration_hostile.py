"""Answers to a REGISTER that are broken or made to do harm, and servers that prove nothing: a finding comes of them, and no password goes."""

import random
import ssl
import warnings
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from edgecheck.model.account import parse_account
from edgecheck.wire import sip
from edgecheck.wire.address import Endpoint
from tests.checks.doctoring import ACCOUNT, SERVER, at, visit
from tests.fakes import certificates
from tests.fakes.peers import Reply
from tests.fakes.phone import PhoneWorld
from tests.fakes.registrar import Registrar
from tests.fakes.sip_peers import OverTcp, OverTls, over_udp, response
from tests.faults_of_registration import says


@pytest.mark.parametrize("seed", range(40))
def test_no_answer_however_broken_breaks_the_check(seed: int) -> None:
    """Bytes changed, cut out, doubled: a report comes out, few messages went, and no password is in it."""
    chance, server = random.Random(seed), Registrar(extra=(("Service-Route", "<sip:a;lr>"), ("Authentication-Info", 'nextnonce="n"')))

    def broken(data: bytes, source: Endpoint) -> Iterable[Reply]:
        for answer in server(data, source):
            text = bytearray(answer)
            for _ in range(chance.randrange(4)):
                place = chance.randrange(len(text))
                kind = chance.randrange(4)
                if kind == 0:
                    text[place] = chance.randrange(256)
                elif kind == 1:
                    del text[place : place + chance.randrange(40)]
                elif kind == 2:
                    text[place:place] = text[place : place + chance.randrange(80)]
                else:
                    text[place:place] = chance.choice([b"\r\n", b'"', b"<", b";;=", b"\0", b"\xff\xfe", b"99999999999"])
            yield Reply(bytes(text))

    seen = visit(PhoneWorld().udp_at(SERVER, broken))
    assert seen.findings
    assert len(server.seen) < 150
    assert "secret" not in str(seen.seen) + str(seen.findings)
    msgspec.json.encode(seen.seen)


@pytest.mark.parametrize(
    ("status", "header"),
    [
        (401, ("WWW-Authenticate", f'Digest realm="r", nonce="{"n" * 60_000}"')),
        (401, ("WWW-Authenticate", 'Digest realm="' + "\\\\" * 20_000 + '", nonce="n"')),
        (302, ("Contact", "<sip:a b@203.0.113.20:5070>")),
        (302, ("Contact", "<sip:203.0.113.20:99999>, <sip:>, <tel:1>, <sips:[::1>")),
        (302, ("Contact", "<sip:..>;q=x")),
        (423, ("Min-Expires", "9" * 400)),
        (503, ("Retry-After", "-1")),
    ],
    ids=str,
)
def test_hostile_answers_end_in_a_finding(status: int, header: tuple[str, str]) -> None:
    seen = visit(says(status, "X", header)())
    assert "fail" in seen.verdicts.values()
    assert len(seen.seen.attempts) < 8
    assert len(msgspec.json.encode(seen.seen)) < 20_000


@pytest.mark.parametrize(
    ("names", "known", "verdicts"),
    [
        (("203.0.113.10",), True, {"registered": "pass"}),
        (("203.0.113.10",), False, {"untrusted": "inconclusive"}),
        (("pbx.example.com",), True, {"untrusted": "inconclusive"}),
    ],
    ids=["right", "unknown authority", "another name"],
)
def test_over_tls_a_password_goes_only_to_whom_a_certificate_proves(
    tmp_path: Path, names: tuple[str, ...], known: bool, verdicts: dict[str, str]
) -> None:
    root = certificates.issue("Root", authority=True)
    leaf = certificates.issue("PBX", root, names=names)
    server = Registrar()
    world = PhoneWorld().tcp_at("203.0.113.10:5061", OverTls(certificates.settings(tmp_path, leaf), OverTcp(server)))
    file = tmp_path / "ca.pem"
    file.write_bytes(root.pem)
    seen = visit(world, parse_account(f"{ACCOUNT};transport=tls", ca=str(file) if known else None))
    assert {cause: verdict for cause, verdict in seen.verdicts.items() if verdict != "skipped"} == verdicts
    assert bool(server.credentialed) == ("registered" in verdicts)


@pytest.mark.parametrize("scheme", ["sip", "sips"])
def test_a_sips_account_is_not_led_out_of_tls(tmp_path: Path, scheme: str) -> None:
    root = certificates.issue("Root", authority=True)
    leaf = certificates.issue("PBX", root, names=("203.0.113.10",))
    (tmp_path / "ca.pem").write_bytes(root.pem)

    def redirect(message: sip.Message, source: Endpoint) -> bytes:
        return response(message.raw, source, 302, "Moved", ("Contact", "<sip:alice@203.0.113.20;transport=udp>"))

    world = PhoneWorld().tcp_at("203.0.113.10:5061", OverTls(certificates.settings(tmp_path, leaf), OverTcp(Registrar(override=redirect))))
    world.udp_at("203.0.113.20:5060", over_udp(plain := Registrar()))
    seen = visit(world, parse_account(f"{scheme}:alice@203.0.113.10;transport=tls", ca=str(tmp_path / "ca.pem")))
    assert bool(plain.seen) is (scheme == "sip")
    if scheme == "sips":
        assert seen.verdicts["redirected"] == "fail"
        assert "out of TLS" in seen.findings["redirected"].summary
    else:
        assert seen.verdicts["redirected"] == "warn"
        assert "out of TLS" in seen.findings["redirected"].summary


@pytest.mark.parametrize("refuses", ["old versions alone", "without a client certificate"])
def test_a_server_that_refuses_our_tls_is_at_the_right_port(tmp_path: Path, refuses: str) -> None:
    """Though it answers UDP beside that: what keeps the phone out is TLS itself."""
    root = certificates.issue("Root", authority=True)
    leaf = certificates.issue("PBX", root, names=("203.0.113.10",))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old = {"maximum": ssl.TLSVersion.TLSv1_1} if refuses == "old versions alone" else {"ask": root, "demand": True}
        settings = certificates.settings(tmp_path, leaf, **old)  # type: ignore[arg-type]
    world = at(Registrar()).tcp_at("203.0.113.10:5061", OverTls(settings))
    seen = visit(world, f"{ACCOUNT};transport=tls")
    assert seen.verdicts == {"tls-failed": "fail"}
    assert "refuses this phone's" in seen.findings["tls-failed"].summary
    assert "UDP 203.0.113.10:5060 would answer" in seen.findings["tls-failed"].summary
