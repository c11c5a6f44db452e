"""The handshake: who is admitted, and who is told why not."""

from typing import Any

import pytest

from echo_server.sessions.limits import Bounds
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint
from tests.server.conftest import InMemory

PEER = InMemory.PEER
OTHER = Endpoint("203.0.113.8", 6000)


def test_a_client_that_knows_the_token_is_welcome(memory: Any) -> None:
    server = memory()
    hello = server.core.greet()
    assert (hello.protocol, hello.open, len(hello.nonce)) == (control.PROTOCOL, False, 32)
    assert hello.nonce != server.core.greet().nonce
    session, welcome = server.admit()
    assert bytes.fromhex(welcome.session) == session.name
    assert (welcome.certificate, welcome.intercepted, welcome.observed) == (server.CERTIFICATE, False, str(PEER))
    assert welcome.service == server.service
    assert list(session.addresses) == [PEER.host]


def test_the_server_proves_that_it_knows_the_token_too(memory: Any) -> None:
    server = memory()
    hello = server.core.greet()
    nonce = "ef" * control.NONCE_SIZE
    proof = control.proof(server.token, "client", hello.nonce, nonce, server.CERTIFICATE)
    said = control.Authenticate(protocol=1, version="test", nonce=nonce, certificate=server.CERTIFICATE, proof=proof)
    _, welcome = server.core.admit(hello, said, PEER, 0.0)
    assert control.proves(server.token, "server", hello.nonce, nonce, server.CERTIFICATE, welcome.proof)
    assert not control.proves(server.token, "server", hello.nonce, nonce, server.CERTIFICATE, proof)


def test_another_certificate_seen_is_an_interception_and_no_wrong_token(memory: Any) -> None:
    session, welcome = memory().admit(certificate="99" * 32)
    assert session.intercepted
    assert welcome.intercepted
    assert welcome.certificate == InMemory.CERTIFICATE


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"token": "another-token"}, "unknown-token"),
        ({"token": ""}, "unknown-token"),
        ({"proof": ""}, "unknown-token"),
        ({"proof": "é"}, "unknown-token"),
        ({"protocol": 2}, "protocol"),
        ({"nonce": "short"}, "malformed"),
        ({"certificate": "zz"}, "malformed"),
    ],
)
def test_refused_in_words(memory: Any, changes: dict[str, Any], reason: str) -> None:
    server = memory()
    refused = server.admit(**changes)
    assert isinstance(refused, control.Refused)
    assert refused.reason == reason
    assert refused.message.endswith(".")
    assert server.token not in refused.message
    assert len(server.core.accounts.sessions) == 0


def test_a_proof_does_not_serve_twice(memory: Any) -> None:
    server = memory()
    first, second = server.core.greet(), server.core.greet()
    nonce = "ef" * control.NONCE_SIZE
    proof = control.proof(server.token, "client", first.nonce, nonce, server.CERTIFICATE)
    said = control.Authenticate(protocol=1, version="test", nonce=nonce, certificate=server.CERTIFICATE, proof=proof)
    assert server.core.admit(second, said, PEER, 0.0).reason == "unknown-token"


def test_the_first_message_must_be_the_proof(memory: Any) -> None:
    server = memory()
    assert server.core.admit(server.core.greet(), control.Ping(id=1), PEER, 0.0).reason == "malformed"


def test_an_open_server_asks_for_no_token(memory: Any) -> None:
    server = memory(token="")
    assert server.core.greet().open
    assert server.session().peer == PEER


def test_sessions_are_bounded_in_all_and_by_source(memory: Any) -> None:
    server = memory(bounds=Bounds(sessions=3, sessions_per_source=2))
    mine = [server.session(), server.session()]
    refused = server.admit()
    assert refused.reason == "busy"
    assert PEER.host in refused.message
    server.session(OTHER)
    assert server.admit(Endpoint("203.0.113.9", 1)).reason == "busy"
    server.core.end_session(mine[0])
    assert server.session().number == 4


def test_a_client_of_a_family_that_is_not_served_is_refused(memory: Any) -> None:
    server = memory()
    del server.core.accounts.services[6]
    assert server.admit(Endpoint("2001:db8:9::1", 1)).reason == "busy"


def test_ipv6_clients_are_told_the_ipv6_addresses(memory: Any) -> None:
    server = memory()
    _, welcome = server.admit(Endpoint("2001:db8:9::1", 1))
    assert welcome.service.address == "2001:db8::10"
