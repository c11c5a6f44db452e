"""INVITEs of another shape, Via with another port, and the certificate: the real client code and the real server's core."""

import hashlib

import pytest

from edgecheck.checks.sip_alg import CHECK
from edgecheck.checks.sip_alg.observation import SipAlgObservation, SipProbe
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Finding, Verdict
from tests.fakes import clock
from tests.fakes.edge import Weather
from tests.fakes.ends import FakeStream
from tests.fakes.sip_path import Deed, Reader, SipPath, does
from tests.lab import alg
from tests.lab.alg import Fate

PROFILE = Profile(name="test", title="", source="", confidence="verified", checks=())


def go(path: SipPath, certificate: str = "") -> tuple[SipAlgObservation, tuple[Finding, ...]]:
    async def work() -> SipAlgObservation:
        net = path.network()
        net.certificate = certificate
        return await CHECK.probe(net, PROFILE)  # type: ignore[no-any-return]

    seen = clock.run(work())
    return seen, CHECK.judge(seen, PROFILE)


def through(deed: Deed, transport: str = "udp") -> tuple[SipAlgObservation, tuple[Finding, ...]]:
    return go(SipPath(Reader(deed=deed, transports=frozenset({transport}))))


def row(seen: SipAlgObservation, method: str) -> SipProbe:
    (found,) = [one for one in seen.beside if one.method == method]
    return found


def longer_than(size: int, *, sip_only: bool = False, direction: str = "out") -> Deed:
    def deed(way: str, data: bytes, edge: alg.Edge) -> Fate:
        return Fate() if way == direction and len(data) > size and (alg.is_sip(data) or not sip_only) else Fate((data,))

    return deed


def test_a_clean_path_passes_all_of_them() -> None:
    seen, findings = go(SipPath())
    assert {(one.method, one.request, one.response) for one in seen.beside} == {
        (method, "unchanged", "unchanged") for method in ("INVITE of 1400 bytes", "INVITE of 1900 bytes", "INVITE in two segments")
    }
    assert [size.passes for size in seen.sizes] == [True, True]
    assert seen.via_port is not None
    assert (seen.via_port.at_source > 0, seen.via_port.at_via) == (True, 0)
    assert {finding.id for finding in findings} == {"sip-alg.none"}


def test_a_path_that_drops_what_is_long_drops_it_for_its_size() -> None:
    """Here on SIP's port alone, which nothing that is sent tells: all that fits is named, an ALG too."""
    seen, findings = through(longer_than(1472))
    assert [(size.bytes, size.passes, size.lost_on_way) for size in seen.sizes] == [(1400, True, None), (1900, False, "out")]
    assert seen.interference == "none"
    (found,) = [finding for finding in findings if finding.id == "sip-alg.large-datagrams-lost"]
    assert (found.verdict, found.subject) == (Verdict.WARN, "UDP 5060 (1900 bytes)")
    assert "Either fragments are dropped on the way, or whatever is that long, or a box that looks at this port alone takes no more." in found.summary
    assert any("UDP 5060" in finding.subject for finding in findings if finding.id == "sip-alg.none")


def test_long_answers_that_are_lost_on_their_way_back() -> None:
    seen, _ = through(longer_than(1472, direction="in"))
    assert [(size.bytes, size.passes, size.lost_on_way) for size in seen.sizes] == [(1400, True, None), (1900, False, "back")]


def test_a_box_that_drops_long_sip_alone_is_one() -> None:
    """R16: above 1300 bytes."""
    seen, findings = through(longer_than(1300, sip_only=True))
    assert [size.passes for size in seen.sizes] == [True, True]
    assert {row(seen, f"INVITE of {size} bytes").request for size in (1400, 1900)} == {"lost"}
    assert seen.interference == "destructive"
    (found,) = [finding for finding in findings if finding.id == "sip-alg.destroyed"]
    assert "INVITE of 1400 bytes or INVITE of 1900 bytes" in found.summary
    assert "calls with long offers" in found.summary, "an INVITE that is not long gets through"
    assert "calls cannot be made" not in found.summary
    assert next(one for one in seen.probes if one.method == "INVITE").request == "unchanged"


def test_a_message_in_two_segments_that_is_rewritten_otherwise_is_inconsistent() -> None:
    """T1: rewriting packet by packet."""

    def whole_only(direction: str, data: bytes, edge: alg.Edge) -> Fate:
        whole = alg.is_sip(data) and b"\r\n\r\n" in data
        return alg.apply(("R1",), direction, data, edge) if whole else Fate((data,))

    seen, _ = through(whole_only, "tcp")
    cut = row(seen, "INVITE in two segments")
    assert cut.request == "unchanged"
    assert any("depends on where it is cut" in harm.text for harm in cut.harms)


def test_an_answer_at_the_port_that_via_names() -> None:
    """A6: as Linux does for phones that listen elsewhere than they send from."""

    def forced_port(direction: str, data: bytes, edge: alg.Edge) -> Fate:
        if direction == "out" and alg.is_sip(data):
            via = data.partition(b"Via: SIP/2.0/UDP ")[2].partition(b";")[0].rpartition(b":")[2]
            named[edge.private_port] = int(via)
        other = named.get(edge.private_port) if direction == "in" and alg.is_sip(data) else None
        return Fate((data,), private_port=other)

    named: dict[int, int] = {}
    seen, findings = through(forced_port)
    assert seen.via_port is not None
    assert (seen.via_port.at_source, seen.via_port.at_via > 0) == (0, True)
    assert "sip-alg.via-port" in {finding.id for finding in findings}
    assert seen.interference == "harmless"


@pytest.mark.parametrize(("shown", "found"), [(b"the server's", False), (b"another one", True)])
def test_a_certificate_that_the_server_did_not_prove(monkeypatch: pytest.MonkeyPatch, shown: bytes, found: bool) -> None:
    """T5"""
    monkeypatch.setattr(FakeStream, "certificate", shown)
    seen, findings = go(SipPath(), hashlib.sha256(b"the server's").hexdigest())
    replaced = [finding for finding in findings if finding.id == "sip-alg.certificate-replaced"]
    assert [finding.subject for finding in replaced] == (["TLS 5061"] if found else [])
    assert [finding.subject for finding in findings if finding.id == "sip-alg.none"] == [
        f"UDP 5060, TCP 5060, {'' if found else 'TLS 5061, '}UDP 5080, TCP 5080"
    ], "what is read on the way does not pass untouched"
    assert [one.certificate_issuer for one in seen.channels if one.transport == "tls"] == (["unreadable"] if found else [None])
    assert seen.interference == ("inconsistent" if found else "none")


def test_without_a_proved_certificate_nothing_is_said_of_the_one_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeStream, "certificate", b"any")
    _, findings = go(SipPath())
    assert {finding.id for finding in findings} == {"sip-alg.none"}


@pytest.mark.parametrize("seed", range(10))
def test_loss_is_no_size_and_no_alg(seed: int) -> None:
    seen, findings = go(SipPath(weather=Weather(loss=0.4, seed=seed)))
    assert all(size.passes is not False for size in seen.sizes)
    assert seen.via_port is None or not seen.via_port.at_via
    assert seen.interference in ("none", None)
    assert {finding.verdict for finding in findings} <= {Verdict.PASS, Verdict.INCONCLUSIVE}


def test_rewriting_shows_in_long_messages_too() -> None:
    seen, _ = through(does("R10"))
    assert {change.where for change in row(seen, "INVITE of 1900 bytes").changes} == {"sdp o=", "sdp c=", "Content-Length"}
