"""The SIP mirror as registrar and user agent server, in memory."""

from typing import Any

import pytest

from edgecheck.wire import control, probe, sdp, sip
from edgecheck.wire.address import Endpoint
from edgecheck.wire.probe import Kind, Probe
from tests.server.sip_phone import PEER, SDP, request


class Mirror:
    """A server and a session that has proved the phone's public address."""

    def __init__(self, memory: Any) -> None:
        self.server = memory()
        self.session = self.server.session(Endpoint(PEER.host, 50000))

    def marker(self, item: int = 1) -> str:
        return control.sip_marker(self.session.name, 5, item)

    def answers(self, data: bytes, peer: Endpoint = PEER, listener: str = "sip:5060") -> list[sip.Message]:
        outbound = self.server.core.handle_datagram(listener, peer, data, 2.0)
        assert all((one.sender, one.destination) == (listener, peer) for one in outbound)
        return [sip.parse(one.data) for one in outbound]

    @property
    def records(self) -> tuple[control.MirrorRecord, ...]:
        return self.server.ask(self.session, control.Mirror).records  # type: ignore[no-any-return]


@pytest.fixture
def mirror(memory: Any) -> Mirror:
    return Mirror(memory)


def test_register_is_challenged_then_granted(mirror: Mirror) -> None:
    (challenge,) = mirror.answers(request("REGISTER", mirror.marker()))
    assert (challenge.status, challenge.reason) == (401, "Unauthorized")
    digest = challenge.get("WWW-Authenticate") or ""
    assert digest.startswith("Digest ")
    assert all(part in digest for part in ("realm=", "nonce=", "algorithm=MD5", 'qop="auth"'))
    authorized = request("REGISTER", mirror.marker(), CSeq="2 REGISTER", Authorization="Digest username=me", Expires="600")
    (granted,) = mirror.answers(authorized)
    assert granted.status == 200
    assert granted.all("Contact") == ("<sip:me@192.168.1.2:5060>;expires=600",)


@pytest.mark.parametrize(
    ("contact", "expires", "granted"),
    [
        ("<sip:a@192.0.2.1;expires=9>;expires=60;q=1", None, ("<sip:a@192.0.2.1;expires=9>;q=1;expires=60",)),
        ("<sip:a@192.0.2.1>, <sip:b@192.0.2.2>", "90", ("<sip:a@192.0.2.1>;expires=90", "<sip:b@192.0.2.2>;expires=90")),
        ("<sip:a@192.0.2.1>", "99999999", ("<sip:a@192.0.2.1>;expires=3600",)),
        ("<sip:a@192.0.2.1>", "soon", ("<sip:a@192.0.2.1>;expires=3600",)),
        ("<sip:a@192.0.2.1>", "0", ()),
        ("*", "0", ()),
        (None, None, ()),
    ],
)
def test_bindings_of_a_register(mirror: Mirror, contact: str | None, expires: str | None, granted: tuple[str, ...]) -> None:
    (answer,) = mirror.answers(request("REGISTER", mirror.marker(), Contact=contact, Expires=expires, Authorization="Digest username=me"))
    assert (answer.status, answer.all("Contact")) == (200, granted)


def test_invite_rings_and_is_answered_with_our_own_media_address(mirror: Mirror) -> None:
    answers = mirror.answers(request("INVITE", mirror.marker(), body=SDP, Record_Route="<sip:192.0.2.9;lr>"))
    assert [(answer.status, answer.reason) for answer in answers] == [(100, "Trying"), (180, "Ringing"), (200, "OK")]
    trying, ringing, final = answers
    assert "tag" not in sip.parameters(trying.get("To") or "")
    assert sip.parameters(ringing.get("To") or "")["tag"] == sip.parameters(final.get("To") or "")["tag"] != ""
    assert final.get("Contact") == "<sip:mirror@198.51.100.10:5060>"
    assert final.get("Record-Route") == "<sip:192.0.2.9;lr>"
    assert final.get("Content-Type") == "application/sdp"
    lines = sdp.parse(final.body)
    values = {kind: [line.value for line in lines if line.kind == kind] for kind in "ocma"}
    assert values["o"][0].endswith(" IN IP4 198.51.100.10")
    assert values["c"] == ["IN IP4 198.51.100.10"]
    port = int(values["m"][0].split()[1])
    assert port % 2 == 0
    assert 10000 <= port < 20000
    assert f"rtcp:{port + 1} IN IP4 198.51.100.10" in values["a"]


def test_a_retransmitted_request_gets_the_same_answers_and_every_copy_is_recorded(mirror: Mirror) -> None:
    invite = request("INVITE", mirror.marker(), body=SDP)
    first, second = mirror.answers(invite), mirror.answers(invite)
    assert first == second
    assert [record.data for record in mirror.records if record.direction == "received"] == [invite, invite]
    assert [record.data for record in mirror.records if record.direction == "sent"] == [answer.raw for answer in first + second]
    (row,) = mirror.server.ask(mirror.session, control.Account, series=5).received
    assert (row.item, row.listener, row.source, row.copies, row.answered) == (1, "sip:5060", str(PEER), 2, 2)


def test_options_tells_what_is_possible(mirror: Mirror) -> None:
    (answer,) = mirror.answers(request("OPTIONS", mirror.marker()))
    assert answer.status == 200
    assert "INVITE" in (answer.get("Allow") or "")
    assert answer.get("Accept") == "application/sdp"


def test_ack_and_responses_are_absorbed_and_recorded(mirror: Mirror) -> None:
    ack = request("ACK", mirror.marker())
    response = sip.build("SIP/2.0 200 OK", [("Via", "SIP/2.0/UDP a"), ("Call-ID", mirror.marker())])
    assert mirror.answers(ack) == mirror.answers(response) == []
    assert [record.data for record in mirror.records] == [ack, response]


@pytest.mark.parametrize("method", ["BYE", "CANCEL", "MESSAGE", "INFO", "NOTIFY", "PRACK", "UPDATE"])
def test_other_methods_succeed(mirror: Mirror, method: str) -> None:
    assert [answer.status for answer in mirror.answers(request(method, mirror.marker()))] == [200]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("FROBNICATE"), 501),
        (request("SUBSCRIBE"), 405),
        (request("OPTIONS", Call_ID=None), 400),
        (request("OPTIONS", CSeq="1 INVITE"), 400),
        (request("INVITE", body=SDP)[:-3], 400),
        (request("OPTIONS", Require="100rel"), 420),
        (request("OPTIONS").replace(b"echo@198.51.100.10 SIP/2.0", b"echo@198.51.100.10 SIP/3.0"), 505),
    ],
)
def test_what_rfc_3261_refuses(mirror: Mirror, data: bytes, status: int) -> None:
    (answer,) = mirror.answers(data)
    assert answer.status == status


@pytest.mark.parametrize(
    ("via", "expected"),
    [
        # RFC 3581 section 4: with rport, received always, even where nothing was translated
        ("203.0.113.7:5060;branch=z9hG4bK1;rport", "SIP/2.0/UDP 203.0.113.7:5060;branch=z9hG4bK1;rport=5060;received=203.0.113.7"),
        ("192.168.1.2:5060;rport;branch=z9hG4bK1", "SIP/2.0/UDP 192.168.1.2:5060;rport=5060;branch=z9hG4bK1;received=203.0.113.7"),
        # RFC 3261 section 18.2.1: without it, where sent-by is not the source
        ("192.168.1.2:5060;branch=z9hG4bK1", "SIP/2.0/UDP 192.168.1.2:5060;branch=z9hG4bK1;received=203.0.113.7"),
        ("203.0.113.7;branch=z9hG4bK1", "SIP/2.0/UDP 203.0.113.7;branch=z9hG4bK1"),
        # what somebody else wrote there is not the truth
        ("192.168.1.2;received=192.0.2.1;branch=z9hG4bK1", "SIP/2.0/UDP 192.168.1.2;branch=z9hG4bK1;received=203.0.113.7"),
        (
            "192.168.1.2;rport, SIP/2.0/UDP 192.0.2.5;rport",
            "SIP/2.0/UDP 192.168.1.2;rport=5060;received=203.0.113.7, SIP/2.0/UDP 192.0.2.5;rport",
        ),
    ],
)
def test_received_and_rport(mirror: Mirror, via: str, expected: str) -> None:
    (answer,) = mirror.answers(request("OPTIONS", via=via))
    assert answer.all("Via") == (expected,)


def test_every_via_is_given_back_in_order(mirror: Mirror) -> None:
    data = request("OPTIONS").replace(b"Max-Forwards", b"v: SIP/2.0/UDP 192.0.2.5;branch=z9hG4bK2\r\nMax-Forwards")
    (answer,) = mirror.answers(data)
    assert answer.all("Via")[1] == "SIP/2.0/UDP 192.0.2.5;branch=z9hG4bK2"


def test_the_marker_comes_back_in_a_header(mirror: Mirror) -> None:
    (answer,) = mirror.answers(request("OPTIONS", mirror.marker(77)))
    assert answer.get("X-Edgecheck") == mirror.marker(77)


def test_a_request_without_marker_belongs_to_the_only_session_of_its_source(mirror: Mirror) -> None:
    plain = request("OPTIONS")
    (answer,) = mirror.answers(plain)
    assert (answer.get("X-Edgecheck") or "").startswith(f"ec{mirror.session.name.hex()}")
    assert mirror.records[0].data == plain
    mirror.server.session(Endpoint(PEER.host, 50001))
    (answer,) = mirror.answers(plain)  # two sessions there: it is nobody's
    assert answer.get("X-Edgecheck") is None
    assert len(mirror.records) == 2


def test_garbage_of_a_proved_source_is_recorded_and_not_answered(mirror: Mirror) -> None:
    for data in (b"\r\n\r\n", b"hello", request("OPTIONS")[:40]):
        assert mirror.answers(data) == []
    assert [record.data for record in mirror.records] == [b"\r\n\r\n", b"hello", request("OPTIONS")[:40]]


def test_the_mirror_is_asked_again_without_hearing_all_twice(mirror: Mirror) -> None:
    mirror.answers(request("OPTIONS", mirror.marker()))
    assert len(mirror.records) == 2
    mirror.answers(request("BYE", mirror.marker()))
    later = mirror.server.ask(mirror.session, control.Mirror, after=2)
    assert [record.data[:3] for record in later.records] == [b"BYE", b"SIP"]
    assert mirror.server.ask(mirror.session, control.Mirror, after=99).records == ()


def test_the_mirror_is_bounded_and_tells_what_it_dropped(mirror: Mirror) -> None:
    bound = mirror.session.limits.mirror_messages
    ack = request("ACK", mirror.marker(), User_Agent="x" * 400)
    for _ in range(bound + 10):
        mirror.answers(ack)
    mirrored = mirror.server.ask(mirror.session, control.Mirror)
    assert len(mirrored.records) + mirrored.dropped == bound + 10
    assert mirrored.dropped >= 10
    assert len(control.serialize(mirrored)) <= control.MAX_MESSAGE


# --- Strangers: whoever has proved nothing gets no more than he sent -------------------------------------------------------

STRANGER = Endpoint("192.0.2.77", 5060)


@pytest.mark.parametrize("method", ["OPTIONS", "INVITE", "REGISTER", "BYE", "FROBNICATE"])
@pytest.mark.parametrize("padding", [0, 60, 200, 2000])
def test_a_stranger_is_answered_with_no_more_than_he_sent(mirror: Mirror, method: str, padding: int) -> None:
    data = request(method, body=SDP if method == "INVITE" else b"", User_Agent="x" * padding if padding else None)
    outbound = mirror.server.core.handle_datagram("sip:5060", STRANGER, data, 2.0)
    assert sum(len(one.data) for one in outbound) <= len(data)
    if padding >= 200:
        assert outbound
        assert sip.parse(outbound[-1].data).status in (200, 401, 501)


def test_a_stranger_is_answered_so_often_a_second(mirror: Mirror) -> None:
    rate = mirror.server.core.limits.source_rate
    data = request("OPTIONS", User_Agent="x" * 300)
    answers = [mirror.server.core.handle_datagram("sip:5060", STRANGER, data, 3.0) for _ in range(rate + 20)]
    assert sum(map(len, answers)) == rate


def test_an_answer_never_goes_where_a_via_points(mirror: Mirror) -> None:
    data = request("OPTIONS", via="192.0.2.99:9;branch=z9hG4bK1", User_Agent="x" * 300)
    (outbound,) = mirror.server.core.handle_datagram("sip:5060", STRANGER, data, 2.0)
    assert outbound.destination == STRANGER


# --- The non-SIP control ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [28, 100, 900, 3000])
def test_an_echo_comes_back_at_the_same_size_from_the_same_socket(mirror: Mirror, size: int) -> None:
    asked = Probe(Kind.ECHO, mirror.session.name, 6, 9, port=5060)
    (outbound,) = mirror.server.core.handle_datagram("sip:5080", PEER, probe.serialize(asked, size), 2.0)
    assert (outbound.sender, outbound.destination, len(outbound.data)) == ("sip:5080", PEER, size)
    assert probe.parse(outbound.data) == asked._replace(kind=Kind.ECHOED)
    (row,) = mirror.server.ask(mirror.session, control.Account, series=6).received
    assert (row.item, row.listener, row.copies, row.answered) == (9, "sip:5080", 1, 1)
    assert mirror.records == ()


def test_an_echo_of_no_session_is_not_answered(mirror: Mirror) -> None:
    stray = probe.serialize(Probe(Kind.ECHO, b"nobodys!", 6, 9))
    assert mirror.server.core.handle_datagram("sip:5060", PEER, stray, 2.0) == []
