"""``tls``: a box on the way is proved, suspected with every cause told, or not named at all."""

import ssl
from pathlib import Path

import pytest

from edgecheck.checks import tls
from edgecheck.checks.tls.inspectors import INSPECTORS, inspector
from edgecheck.checks.tls.observation import TlsObservation
from edgecheck.doctor import PROFILE
from edgecheck.model.account import parse_account
from edgecheck.model.phone import NOWHERE, Target
from edgecheck.model.verdict import Verdict
from tests.checks.tls_looks import ADDRESS, DOMAIN, look
from tests.fakes import certificates, clock
from tests.fakes.certificates import Identity, issue
from tests.fakes.peers import Connection, Refuse, TcpPeer
from tests.fakes.phone import PhoneWorld, endpoint
from tests.fakes.sip_peers import OverTls

WHERE, NOBODY, OTHER_PORT = f"{ADDRESS}:5061", f"{NOWHERE}:5061", f"{ADDRESS}:5060"


@pytest.fixture(scope="module")
def box() -> Identity:
    return issue("Corp Inspection", authority=True)


def minting(folder: Path, authority: Identity, default: Identity | None = None, only: str | None = None) -> OverTls:
    """Makes a certificate for whatever name is asked for; with ``only``, shows ``default`` for that one."""
    shown = certificates.settings(folder, default or issue("box", authority, names=("box",)))

    def mint(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        if name is not None and name != only:
            connection.context = certificates.settings(folder, issue(name, authority, names=(name,)), authority)

    shown.sni_callback = mint
    return OverTls(shown)


def near(world: PhoneWorld) -> PhoneWorld:
    """TLS ends within the first hop; another port of that address is refused by the server itself, three hops away."""
    world.hops[endpoint(WHERE)] = 1
    return world.tcp_at(OTHER_PORT, Refuse())


# --- proved --------------------------------------------------------------------------------------------------------------------


def test_who_answers_where_nobody_is_stands_on_the_way(box: Identity, tmp_path: Path) -> None:
    """Whatever its certificates look like: here it copies the names and makes up none."""
    copied = certificates.settings(tmp_path, issue(DOMAIN, box, names=(DOMAIN,)), box)
    seen, found = look(PhoneWorld().tcp_at(WHERE, OverTls(copied)).tcp_at(NOBODY, OverTls(copied)), tmp_path)
    assert (seen.servers[0].minted, seen.servers[0].nowhere) == (False, "certificate")
    assert {cause: finding.verdict for cause, finding in found.items()} == {"intercepted": Verdict.FAIL}
    assert "CN=Corp Inspection" in found["intercepted"].summary
    assert NOWHERE in found["intercepted"].summary
    assert "cannot be seen from here" in found["intercepted"].summary


def test_any_name_and_within_the_first_hop(box: Identity, tmp_path: Path) -> None:
    seen, found = look(near(PhoneWorld().tcp_at(WHERE, minting(tmp_path, box))), tmp_path)
    assert seen.servers[0].near is True
    assert {cause: finding.verdict for cause, finding in found.items()} == {"intercepted": Verdict.FAIL}
    assert any("one hop" in line for line in found["intercepted"].evidence)
    assert any(".invalid" in line for line in found["intercepted"].evidence)


def test_an_installed_authority_hides_no_box(box: Identity, tmp_path: Path) -> None:
    seen, found = look(near(PhoneWorld().tcp_at(WHERE, minting(tmp_path, box))), tmp_path, box)
    assert seen.servers[0].trusted
    assert {cause: finding.verdict for cause, finding in found.items()} == {"intercepted": Verdict.FAIL}


def test_any_name_and_the_name_of_an_inspecting_box(tmp_path: Path) -> None:
    _, found = look(PhoneWorld().tcp_at(WHERE, minting(tmp_path, issue("FortiGate CA", authority=True))), tmp_path)
    assert {cause: finding.verdict for cause, finding in found.items()} == {"intercepted": Verdict.FAIL}
    assert "FortiGate" in found["intercepted"].summary


def test_a_box_that_goes_to_the_server_first_speaks_tls_where_nobody_is_all_the_same(box: Identity, tmp_path: Path) -> None:
    class Refuses(TcpPeer):
        def received(self, connection: Connection, data: bytes) -> None:
            connection.send(b"\x15\x03\x03\x00\x02\x02\x28")

    seen, found = look(PhoneWorld().tcp_at(WHERE, minting(tmp_path, box)).tcp_at(NOBODY, Refuses()), tmp_path)
    assert seen.servers[0].nowhere == "tls"
    assert set(found) == {"intercepted"}


def test_two_servers_of_one_public_authority_prove_nothing(box: Identity, tmp_path: Path) -> None:
    """A login portal that answers for everybody has a public certificate as the server has one, which has expired."""
    expired = certificates.settings(tmp_path, issue(DOMAIN, box, names=(DOMAIN,), ends=-2, logged=True))
    portal = certificates.settings(tmp_path, issue("portal", box, names=("portal.example",), logged=True))
    seen, found = look(PhoneWorld().tcp_at(WHERE, OverTls(expired)).tcp_at(NOBODY, OverTls(portal)), tmp_path, box)
    assert (seen.servers[0].nowhere, seen.servers[0].nowhere_issuer) == ("certificate", seen.servers[0].chain[0].issuer)
    assert set(found) == {"expired"}


# --- suspected, and honest look-alikes --------------------------------------------------------------------------------------------


def test_any_name_alone_may_be_the_server_itself(box: Identity, tmp_path: Path) -> None:
    _, found = look(PhoneWorld().tcp_at(WHERE, minting(tmp_path, box)), tmp_path)
    assert {cause: found[cause].verdict for cause in found} == {
        "unknown-authority": Verdict.FAIL, "intercepted": Verdict.WARN, "sni-needed": Verdict.WARN
    }  # fmt: skip
    assert "a server that issues certificates on demand" in found["intercepted"].summary
    _, found = look(PhoneWorld().tcp_at(WHERE, minting(tmp_path, box)), tmp_path, box)
    assert "intercepted" in found
    assert Verdict.FAIL not in {finding.verdict for finding in found.values()}, "a phone with that authority registers"


def test_a_servers_own_stopgap_for_unknown_names_is_no_box(box: Identity, tmp_path: Path) -> None:
    """A public certificate for its own name; for any other, one of an authority of its own, made at once."""
    public = issue("Public Root", authority=True)
    own = issue(DOMAIN, public, names=(DOMAIN,))
    seen, found = look(PhoneWorld().tcp_at(WHERE, minting(tmp_path, box, own, only=DOMAIN)), tmp_path, public)
    assert seen.servers[0].minted is True
    assert set(found) == {"trusted"}


@pytest.mark.parametrize("sent", [True, False])
def test_a_private_authority_stays_one(box: Identity, tmp_path: Path, sent: bool) -> None:
    shown = [issue(DOMAIN, box, names=(DOMAIN,), begins=0), *([box] if sent else [])]
    seen, found = look(PhoneWorld().tcp_at(WHERE, OverTls(certificates.settings(tmp_path, *shown))), tmp_path)
    assert seen.servers[0].nowhere == "nothing"
    assert set(found) == ({"unknown-authority"} if sent else {"unknown-authority", "incomplete-chain"})
    assert any("minutes ago" in line for line in found["unknown-authority"].evidence), "told, and concluded from nothing"


def test_self_signed_stays_self_signed(tmp_path: Path) -> None:
    peer = OverTls(certificates.settings(tmp_path, issue(DOMAIN, names=(DOMAIN,))))
    assert set(look(PhoneWorld().tcp_at(WHERE, peer), tmp_path)[1]) == {"self-signed"}


def test_a_relay_on_the_way_that_leaves_tls_alone(box: Identity, tmp_path: Path) -> None:
    """It takes every connection itself. With a private authority behind it both are told; with a good certificate nothing is."""
    private = OverTls(certificates.settings(tmp_path, issue(DOMAIN, box, names=(DOMAIN,)), box))
    seen, found = look(near(PhoneWorld().tcp_at(WHERE, private).tcp_at(NOBODY, TcpPeer())), tmp_path)
    assert (seen.servers[0].near, seen.servers[0].nowhere) == (True, "connected")
    assert set(found) == {"unknown-authority"}
    assert "a relay, or a box whose certificate this is" in found["unknown-authority"].summary
    assert "compare the fingerprint" in found["unknown-authority"].remedies[0]
    seen, found = look(near(PhoneWorld().tcp_at(WHERE, private).tcp_at(NOBODY, TcpPeer())), tmp_path, box)
    assert set(found) == {"trusted"}
    assert seen.servers[0].near is None, "beyond doubt: not asked"


def test_one_certificate_for_every_name_is_made_up_for_none(box: Identity, tmp_path: Path) -> None:
    wild = issue("any", box, names=("*.example.com",))
    _, found = look(PhoneWorld().tcp_at(WHERE, OverTls(certificates.settings(tmp_path, wild, box))), tmp_path)
    assert set(found) == {"unknown-authority", "wildcard-only"}


def test_the_name_of_an_inspecting_box_is_a_hint_with_both_causes(tmp_path: Path) -> None:
    maker = issue("Sophos SSL CA_C0123456789", authority=True)
    shown = certificates.settings(tmp_path, issue(DOMAIN, maker, names=(DOMAIN,)), maker)
    _, found = look(PhoneWorld().tcp_at(WHERE, OverTls(shown)), tmp_path)
    assert found["intercepted"].verdict is Verdict.WARN
    assert "or the server is of that maker" in found["intercepted"].summary


def test_two_ports_with_certificates_of_two_authorities_are_told_of_each_other(box: Identity, tmp_path: Path) -> None:
    """As where a box opens 443 and leaves 5061 alone; servers have such ports of themselves, so nothing is concluded."""
    public = issue("Public Root", authority=True)
    world = PhoneWorld().tcp_at(WHERE, OverTls(certificates.settings(tmp_path, issue(DOMAIN, public, names=(DOMAIN,)))))
    world.tcp_at(f"{ADDRESS}:443", OverTls(certificates.settings(tmp_path, issue(DOMAIN, box, names=(DOMAIN,)), box)))
    (tmp_path / "public.pem").write_bytes(public.pem)

    async def go() -> TlsObservation:
        phone = world.phone(parse_account(f"sip:alice@{DOMAIN}", ca=str(tmp_path / "public.pem")))
        phone.targets = [Target(transport=way, host=DOMAIN, address=ADDRESS, port=port) for way, port in (("tls", 5061), ("wss", 443))]  # type: ignore[arg-type]
        return await tls.probe(phone, PROFILE)

    findings = {finding.id: finding for finding in tls.judge(clock.run(go()), PROFILE)}
    assert set(findings) == {"tls.trusted", "tls.unknown-authority"}
    assert f"TLS {WHERE} shows a certificate of another authority, CN=Public Root" in findings["tls.unknown-authority"].evidence


# --- how near --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("controls", "hops", "expected"),
    [
        ({OTHER_PORT: Refuse()}, {WHERE: 1}, True),
        ({OTHER_PORT: TcpPeer()}, {WHERE: 1}, True),
        ({OTHER_PORT: Refuse()}, {}, False),
        ({OTHER_PORT: Refuse()}, {WHERE: 1, OTHER_PORT: 1}, None),
        ({OTHER_PORT: Refuse(), f"{ADDRESS}:5080": Refuse()}, {WHERE: 1, OTHER_PORT: 2, f"{ADDRESS}:5080": 1}, None),
        ({}, {WHERE: 1}, None),
    ],
)
def test_how_near_it_ends(
    box: Identity, tmp_path: Path, controls: dict[str, TcpPeer], hops: dict[str, int], expected: bool | None
) -> None:
    """The last but one: a neighbor that leads one port to a container of its own."""
    world = PhoneWorld().tcp_at(WHERE, minting(tmp_path, box))
    for where, peer in controls.items():
        world.tcp_at(where, peer)
    world.hops.update({endpoint(where): count for where, count in hops.items()})
    seen, found = look(world, tmp_path)
    assert seen.servers[0].near is expected
    assert (found["intercepted"].verdict is Verdict.FAIL) is (expected is True)


def test_a_server_behind_this_very_router_may_have_tls_opened_there(box: Identity, tmp_path: Path) -> None:
    seen, found = look(near(PhoneWorld().tcp_at(WHERE, minting(tmp_path, box))), tmp_path, own=ADDRESS)
    assert seen.servers[0].near is None
    assert found["intercepted"].verdict is Verdict.WARN


# --- the list --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("issuer", "maker"),
    [
        ("CN=FG100E4Q17000001,O=Fortinet,C=US", "Fortinet"),
        ("CN=Zscaler Intermediate Root CA (zscalerthree.net),O=Zscaler Inc.,C=US", "Zscaler"),
        ("CN=Cisco Umbrella Primary SubCA,O=Cisco", "Cisco Umbrella"),
        ("CN=Kaspersky Anti-Virus Personal Root Certificate,O=AO Kaspersky Lab", "Kaspersky"),
        ("CN=R11,O=Let's Encrypt,C=US", None),
        ("CN=SIP Proxy CA,O=Example", None),
        ("CN=Palo Verde CA,O=School", None),
    ],
)
def test_whose_authority(issuer: str, maker: str | None) -> None:
    found = inspector(issuer)
    assert (found.maker if found else None) == maker


def test_every_entry_has_its_source_and_can_match() -> None:
    assert len({each.issuer for each in INSPECTORS}) == len(INSPECTORS)
    for each in INSPECTORS:
        assert each.source
        assert each.issuer == each.issuer.lower()
