"""Who asks for what again, and why: a nonce that has served is no wrong password, whoever gave it."""

from collections.abc import Iterable

import pytest

from edgecheck.wire import digest, sip
from edgecheck.wire.address import Endpoint
from tests.checks.doctoring import SERVER, visit
from tests.fakes.phone import PhoneWorld
from tests.fakes.registrar import Registrar
from tests.fakes.sip_peers import over_udp, response

SECOND = "203.0.113.11:5060"


class Own(Registrar):
    """Takes only nonces that it gave itself."""

    def _challenges(self) -> list[tuple[str, str]]:
        return [(name, value.replace("nonce-", "second-")) for name, value in super()._challenges()]

    def _proved(self, message: sip.Message) -> bool:
        return "second-" in (message.get("Authorization") or "") and super()._proved(message)


class OnceEach:
    """A proxy before a registrar; each takes a nonce once, and then asks anew without calling the old one stale."""

    def __init__(self, password: str = "secret", at_registrar: bool = True) -> None:
        self.registrar = Registrar(password=password)
        self._at_registrar = at_registrar
        self._spent: set[str] = set()
        self._given = 0

    def __call__(self, request: bytes, source: Endpoint) -> Iterable[bytes]:
        message = sip.parse_datagram(request)
        if message.method != "REGISTER":
            return self.registrar(request, source)
        if not self._fresh(message.get("Proxy-Authorization")):
            return [self._asks(request, source, 407, "Proxy-Authenticate", "edge")]
        if self._at_registrar and message.get("Authorization") and not self._fresh(message.get("Authorization")):
            return [self._asks(request, source, 401, "WWW-Authenticate", "example.com")]
        return self.registrar(request, source)

    def _fresh(self, value: str | None) -> bool:
        nonce = digest.parse_parameters(value or "").get("nonce", "")
        fresh = nonce not in {"", *self._spent}
        self._spent.add(nonce)
        return fresh

    def _asks(self, request: bytes, source: Endpoint, status: int, header: str, realm: str) -> bytes:
        self._given += 1
        return response(request, source, status, "Asks", (header, f'Digest realm="{realm}", nonce="n{self._given}", qop="auth"'))


def test_the_next_server_is_not_given_the_nonce_of_the_first() -> None:
    def busy(message: sip.Message, source: Endpoint) -> bytes | None:
        return response(message.raw, source, 503, "Busy") if message.get("Authorization") else None

    world = PhoneWorld().udp_at(SERVER, over_udp(Registrar(override=busy))).udp_at(SECOND, over_udp(second := Own()))
    seen = visit(world, targets=(SERVER, SECOND))
    assert seen.verdicts["registered"] == "pass", seen.verdicts
    assert not second.seen[0].get("Authorization")


@pytest.mark.parametrize("at_registrar", [False, True], ids=["at the proxy", "at both"])
def test_nonces_that_serve_once_behind_a_proxy_are_no_wrong_password(at_registrar: bool) -> None:
    seen = visit(PhoneWorld().udp_at(SERVER, over_udp(OnceEach(at_registrar=at_registrar))))
    assert seen.verdicts["registered"] == "pass", seen.verdicts
    assert seen.seen.removed


@pytest.mark.parametrize("at_registrar", [False, True], ids=["at the proxy", "at both"])
def test_a_wrong_password_behind_such_a_proxy_is_refused_twice_at_most(at_registrar: bool) -> None:
    peer = OnceEach("another", at_registrar)
    seen = visit(PhoneWorld().udp_at(SERVER, over_udp(peer)))
    assert seen.verdicts["wrong-credentials"] == "fail"
    assert 1 <= len(peer.registrar.credentialed) <= 2


def test_a_proxy_and_a_registrar_with_a_realm_each_are_no_changing_realm() -> None:
    seen = visit(PhoneWorld().udp_at(SERVER, over_udp(OnceEach("another"))))
    assert "realm changes" not in seen.findings["wrong-credentials"].summary


@pytest.mark.parametrize(
    ("account", "realm", "told"),
    [
        ("sip:alice@203.0.113.10", "203.0.113.10", True),
        ("sip:alice@203.0.113.10", "edge", False),
        ("sip:alice@example.com", "example.com", False),
    ],
)
def test_an_address_in_place_of_the_domain_may_be_why_no_password_fits(account: str, realm: str, told: bool) -> None:
    seen = visit(PhoneWorld().udp_at(SERVER, over_udp(Registrar(password="another", realm=realm))), account, targets=(SERVER,))
    summary = seen.findings["wrong-credentials"].summary
    assert ("an IP address in its place" in summary) is told
    assert "most likely the password or the authentication user" in summary


@pytest.mark.parametrize(("user", "plain"), [("alice%40corp", "alice@corp"), ("+4930123", "+4930123"), ("al%0Aice", "al%0Aice"), ("al%ffice", "al%ffice")])
def test_escapes_of_the_address_are_none_of_the_authentication_user(user: str, plain: str) -> None:
    registrar = Registrar(auth_user=plain)
    seen = visit(PhoneWorld().udp_at(SERVER, over_udp(registrar)), f"sip:{user}@203.0.113.10")
    assert seen.verdicts["registered"] == "pass"
    assert seen.seen.auth_user == plain
    assert f"<sip:{user}@203.0.113.10>" in (registrar.seen[0].get("To") or "")


def test_two_sockets_of_ours_are_no_nat_that_changes_the_port() -> None:
    def busy(message: sip.Message, source: Endpoint) -> bytes:
        return response(message.raw, source, 503, "Busy")

    world = PhoneWorld().udp_at(SERVER, over_udp(Registrar(override=busy))).udp_at(SECOND, over_udp(Registrar(password="another")))
    seen = visit(world, targets=(SERVER, SECOND))
    assert len({attempt.rport for attempt in seen.seen.attempts}) == 2
    assert "source port" not in seen.findings["wrong-credentials"].summary
