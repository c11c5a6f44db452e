"""``tls``: each bad certificate named, and a good one trusted, in a real handshake between memories."""

import ssl
import warnings
from pathlib import Path

import msgspec
import pytest

from edgecheck.checks import tls
from edgecheck.checks.tls.names import match
from edgecheck.checks.tls.observation import TlsObservation
from edgecheck.doctor import PROFILE
from edgecheck.model.account import SipTransport
from edgecheck.model.phone import Target
from edgecheck.model.verdict import Finding, Verdict
from edgecheck.net.phone import certificate
from tests.checks import tls_looks
from tests.checks.tls_looks import ADDRESS, DOMAIN
from tests.fakes import certificates, clock
from tests.fakes.certificates import Identity, issue
from tests.fakes.peers import Connection, Lossy, Refuse, TcpPeer
from tests.fakes.phone import PhoneWorld
from tests.fakes.sip_peers import OverTcp, OverTls

WHERE = f"{ADDRESS}:5061"


@pytest.fixture(scope="module")
def root() -> Identity:
    return issue("Test Root", authority=True)


@pytest.fixture(scope="module")
def middle(root: Identity) -> Identity:
    return issue("Test Intermediate", root, authority=True)


def look(
    peer: TcpPeer, folder: Path, trust: Identity | None = None, *, flow: SipTransport | None = None
) -> tuple[TlsObservation, dict[str, Finding]]:
    return tls_looks.look(PhoneWorld().tcp_at(WHERE, peer), folder, trust, flow=flow)


def test_a_good_certificate_is_trusted_and_its_facts_are_told(root: Identity, middle: Identity, tmp_path: Path) -> None:
    leaf = issue(DOMAIN, middle, names=(DOMAIN,))
    seen, found = look(OverTls(certificates.settings(tmp_path, leaf, middle)), tmp_path, root)
    assert set(found) == {"trusted"}
    assert found["trusted"].verdict is Verdict.PASS
    assert seen.names == (DOMAIN,)
    assert seen.issuer == "CN=Test Intermediate"
    assert seen.days_left in (299, 300)
    assert seen.version == "TLSv1.3"
    assert seen.chain_complete is True
    assert seen.servers[0].client_certificate_requested is False
    assert seen.servers[0].minted is False


def test_a_saved_observation_is_judged_the_same(root: Identity, tmp_path: Path) -> None:
    leaf = issue(DOMAIN, root, names=("other.example.com",), ends=-3)
    seen, found = look(OverTls(certificates.settings(tmp_path, leaf)), tmp_path, root)
    again = msgspec.convert(msgspec.json.decode(msgspec.json.encode(seen)), TlsObservation)
    assert tls.judge(again, PROFILE) == tuple(found.values())


@pytest.mark.parametrize(
    ("made", "cause"),
    [
        ({"ends": -3}, "expired"),
        ({"begins": 3}, "not-yet-valid"),
        ({"names": ("other.example.com",)}, "name-mismatch"),
        ({"names": ("*.example.com",)}, "wildcard-only"),
        ({"names": None}, "common-name-only"),
        ({"ends": 5}, "expires-soon"),
    ],
)
def test_what_stands_in_a_certificate(root: Identity, tmp_path: Path, made: dict, cause: str) -> None:  # type: ignore[type-arg]
    leaf = issue(DOMAIN, root, **{"names": (DOMAIN,), **made})
    _, found = look(OverTls(certificates.settings(tmp_path, leaf)), tmp_path, root)
    assert set(found) == {cause}
    assert found[cause].verdict is (Verdict.WARN if cause in ("wildcard-only", "common-name-only", "expires-soon") else Verdict.FAIL)


def test_several_faults_are_all_told(root: Identity, tmp_path: Path) -> None:
    leaf = issue(DOMAIN, None, names=("other.example.com",), ends=-3)
    _, found = look(OverTls(certificates.settings(tmp_path, leaf)), tmp_path, root)
    assert set(found) == {"expired", "name-mismatch", "self-signed"}


def test_self_signed_and_the_same_installed_on_the_phone(tmp_path: Path) -> None:
    leaf = issue(DOMAIN, names=(DOMAIN,))
    peer = OverTls(certificates.settings(tmp_path, leaf))
    assert set(look(peer, tmp_path)[1]) == {"self-signed"}
    assert set(look(peer, tmp_path, leaf)[1]) == {"trusted"}


def test_an_authority_that_nobody_knows_is_one_where_its_root_is_sent(root: Identity, tmp_path: Path) -> None:
    leaf = issue(DOMAIN, root, names=(DOMAIN,))
    seen, found = look(OverTls(certificates.settings(tmp_path, leaf, root)), tmp_path)
    assert set(found) == {"unknown-authority"}
    assert seen.chain_complete is True


def test_a_missing_intermediate_is_one_where_the_certificate_is_of_a_public_authority(root: Identity, middle: Identity, tmp_path: Path) -> None:
    leaf = issue(DOMAIN, middle, names=(DOMAIN,), issuer_at="http://ca.example.net/intermediate.crt", logged=True)
    seen, found = look(OverTls(certificates.settings(tmp_path, leaf)), tmp_path, root)
    assert set(found) == {"incomplete-chain"}
    assert seen.chain_complete is False
    assert seen.servers[0].chain[0].logged


@pytest.mark.parametrize("issuer_at", [None, "http://pki.corp.example/ca.crt"])
def test_where_two_causes_fit_both_are_told(root: Identity, middle: Identity, tmp_path: Path, issuer_at: str | None) -> None:
    """A company's authority says where its certificate is to be had, too."""
    leaf = issue(DOMAIN, middle, names=(DOMAIN,), issuer_at=issuer_at)
    _, found = look(OverTls(certificates.settings(tmp_path, leaf)), tmp_path, root)
    assert list(found) == ["incomplete-chain", "unknown-authority"]
    for finding in found.values():
        assert "private authority" in finding.summary
        assert "intermediate certificate is missing" in finding.summary
        assert "--ca" in finding.summary
    assert [found[cause].summary.split(":")[0] for cause in sorted(found)] == [
        "Perhaps an intermediate certificate is missing",
        "Perhaps a private authority",
    ]


def test_a_whole_chain_of_a_private_authority_without_its_root(root: Identity, middle: Identity, tmp_path: Path) -> None:
    """Roots need not be sent: nothing may be missing here."""
    leaf = issue(DOMAIN, middle, names=(DOMAIN,))
    peer = OverTls(certificates.settings(tmp_path, leaf, middle))
    _, found = look(peer, tmp_path)
    assert list(found) == ["unknown-authority", "incomplete-chain"]
    assert "sends 2 certificates, and the issuer of the last, 'CN=Test Root', is not known here" in found["unknown-authority"].summary
    assert set(look(peer, tmp_path, root)[1]) == {"trusted"}, "as the finding says: with --ca it is told"


def test_an_old_version(root: Identity, tmp_path: Path) -> None:
    leaf = issue(DOMAIN, root, names=(DOMAIN,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        peer = OverTls(certificates.settings(tmp_path, leaf, maximum=ssl.TLSVersion.TLSv1_1))
    seen, found = look(peer, tmp_path, root)
    assert set(found) == {"old-version"}
    assert seen.version == "TLSv1.1"


@pytest.mark.parametrize(("trusted", "causes"), [(True, {"weak-cipher"}), (False, {"weak-cipher", "unknown-authority"})])
def test_ciphers_that_phones_still_take(root: Identity, tmp_path: Path, trusted: bool, causes: set[str]) -> None:
    settings = certificates.settings(tmp_path, issue(DOMAIN, root, names=(DOMAIN,)), root)
    settings.maximum_version = ssl.TLSVersion.TLSv1_2
    settings.set_ciphers("ECDHE-ECDSA-AES128-SHA")
    seen, found = look(OverTls(settings), tmp_path, root if trusted else None)
    assert set(found) == causes
    assert found["weak-cipher"].verdict is Verdict.WARN
    assert "ECDHE-ECDSA-AES128-SHA" in found["weak-cipher"].summary
    assert (seen.servers[0].trusted, seen.servers[0].below_floor) == (trusted, False)


def test_sip_passes_over_such_a_cipher(root: Identity, tmp_path: Path) -> None:
    settings = certificates.settings(tmp_path, issue(DOMAIN, root, names=(DOMAIN,)))
    settings.maximum_version = ssl.TLSVersion.TLSv1_2
    settings.set_ciphers("ECDHE-ECDSA-AES128-SHA")

    async def go() -> bool:
        phone = PhoneWorld().tcp_at(WHERE, OverTls(settings)).phone(f"sip:alice@{DOMAIN}")
        made = await phone.open_link(Target(transport="tls", host=DOMAIN, address="203.0.113.5", port=5061))
        return made.handshake is not None and made.handshake.weak

    assert clock.run(go())


class Loses(Lossy):
    """One connection comes to nothing; the others are those of the peer."""

    def next(self) -> TcpPeer | None:
        self.lost -= 1
        return None if self.lost == 0 else self.peer


@pytest.mark.parametrize("lost", [2, 3])
def test_a_connection_that_was_lost_says_nothing_of_names(root: Identity, tmp_path: Path, lost: int) -> None:
    """The second is the one without SNI, the third asks for a name that nobody has."""
    peer = OverTls(certificates.settings(tmp_path, issue(DOMAIN, root, names=(DOMAIN,))))
    seen, found = look(Loses(peer, lost), tmp_path, root)
    assert set(found) == {"trusted"}
    assert (seen.servers[0].without_name, seen.servers[0].minted) == ((None, False) if lost == 2 else ("same", None))


def test_a_phone_certificate_asked_for_and_demanded(root: Identity, tmp_path: Path) -> None:
    leaf = issue(DOMAIN, root, names=(DOMAIN,))
    _, asked = look(OverTls(certificates.settings(tmp_path, leaf, ask=root)), tmp_path, root)
    assert {cause: finding.verdict for cause, finding in asked.items()} == {"client-certificate-wanted": Verdict.WARN}
    _, demanded = look(OverTls(certificates.settings(tmp_path, leaf, ask=root, demand=True)), tmp_path, root)
    assert {cause: finding.verdict for cause, finding in demanded.items()} == {"client-certificate-wanted": Verdict.FAIL}


def test_a_certificate_that_only_sni_brings_out(root: Identity, tmp_path: Path) -> None:
    other = certificates.settings(tmp_path, issue("default", root, names=("default.example.net",)))
    right = certificates.settings(tmp_path, issue(DOMAIN, root, names=(DOMAIN,)))

    def choose(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        if name == DOMAIN:
            connection.context = right

    other.sni_callback = choose
    _, found = look(OverTls(other), tmp_path, root)
    assert set(found) == {"sni-needed"}


class Says(TcpPeer):
    """Answers anything with this."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def received(self, connection: Connection, data: bytes) -> None:
        connection.send(self._data)


class HangsUp(TcpPeer):
    def received(self, connection: Connection, data: bytes) -> None:
        connection.close()


@pytest.mark.parametrize(
    ("peer", "cause", "verdict"),
    [
        (Says(b"SIP/2.0 400 Bad Request\r\n\r\n"), "not-tls", Verdict.FAIL),
        (Says(b"SSH-2.0-OpenSSH_9.2\r\n"), "not-tls", Verdict.FAIL),
        (Says(b"\x15\x03\x01\x00\x02\x02\x28"), "refused", Verdict.FAIL),
        (HangsUp(), "no-handshake", Verdict.INCONCLUSIVE),
        (TcpPeer(), "no-handshake", Verdict.INCONCLUSIVE),
        (OverTcp(), "no-handshake", Verdict.INCONCLUSIVE),
        (Refuse(), "skipped", Verdict.SKIPPED),
    ],
)
def test_what_is_no_tls(peer: TcpPeer, cause: str, verdict: Verdict, tmp_path: Path) -> None:
    seen, found = look(peer, tmp_path)
    assert {id: finding.verdict for id, finding in found.items()} == {cause: verdict}
    assert seen.names is seen.issuer is seen.days_left is seen.chain_complete is None


def test_where_another_transport_answers_a_bad_certificate_stops_nobody_yet(tmp_path: Path) -> None:
    _, found = look(OverTls(certificates.settings(tmp_path, issue(DOMAIN, names=(DOMAIN,)))), tmp_path, flow="udp")
    assert found["self-signed"].verdict is Verdict.WARN


def test_without_a_tls_port_there_is_nothing_to_test() -> None:
    seen = TlsObservation(domain=DOMAIN)
    assert [(finding.id, finding.verdict) for finding in tls.judge(seen, PROFILE)] == [("tls.skipped", Verdict.SKIPPED)]


# --- RFC 5922 section 7 ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "how"),
    [
        (("sip:pbx.example.com",), "uri"),
        (("sip:PBX.Example.com", "web.example.com"), "uri"),
        (("sip:alice@pbx.example.com",), "none"),
        (("PBX.EXAMPLE.COM",), "dns"),
        (("*.example.com",), "wildcard"),
        (("*.pbx.example.com",), "none"),
        (("example.com",), "none"),
        ((), "common-name"),
        (("other.example.com",), "none"),
    ],
)
def test_how_a_name_is_proved(names: tuple[str, ...], how: str) -> None:
    facts = certificate.read(issue(DOMAIN, names=names).der)
    assert facts is not None
    assert match(facts, DOMAIN) == how


def test_garbage_is_no_certificate() -> None:
    assert certificate.read(b"\x30\x03\x02\x01\x01") is None
