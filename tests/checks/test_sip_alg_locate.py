"""Who rewrites, from quotes of expired packets: pure cases, and the walk itself against routers that quote much, little or nothing."""

import pytest

from edgecheck.checks.sip_alg.locate import Stage, differences, locate, message_of, walk, with_neighbors
from edgecheck.model.check import Arrival, Quote
from edgecheck.wire.address import Endpoint
from tests.fakes import clock
from tests.fakes.edge import Edge
from tests.fakes.ends import FakeUdp
from tests.fakes.hops import SERVER, HopWorld, Router
from tests.fakes.nat import Nat

SENT = (
    b"OPTIONS sip:echo@198.51.100.10 SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.88.2:40000;rport;branch=z9hG4bK1\r\n"
    b"Contact: <sip:x@192.168.88.2:40000>\r\nCall-ID: 1@192.168.88.2\r\nContent-Length: 0\r\n\r\n"
)
BY_HOME = SENT.replace(b"UDP 192.168.88.2", b"UDP 100.64.0.2").replace(b"x@192.168.88.2", b"x@100.64.0.2")
BY_BOTH = BY_HOME.replace(b"100.64.0.2", b"203.0.113.1")
HOME, CARRIER, CORE = "192.168.88.1", "100.64.0.1", "203.0.113.14"


def stages(*texts: bytes | None) -> list[Stage]:
    addresses = (HOME, CARRIER, CORE)
    return [
        Stage(hop=hop, address=None if text is None else addresses[hop - 1], text=text or b"") for hop, text in enumerate(texts, 1)
    ]


def told(*arguments: object) -> list[tuple[int, str | None, tuple[str, ...]]]:
    located, _ = locate(*arguments)  # type: ignore[arg-type]
    return [(one.hop, one.address, one.where) for one in located or ()]


def test_a_change_first_seen_at_the_next_hop_was_made_by_this_one() -> None:
    assert told(SENT, stages(SENT, BY_HOME, BY_HOME), BY_HOME) == [(1, HOME, ("Via", "Contact"))]


def test_two_in_a_row_are_each_named() -> None:
    assert told(SENT, stages(SENT, BY_HOME, BY_BOTH), BY_BOTH) == [(1, HOME, ("Via", "Contact")), (2, CARRIER, ("Via", "Contact"))]


def test_the_last_hop_is_judged_by_what_the_server_received() -> None:
    assert told(SENT, stages(SENT), BY_HOME) == [(1, HOME, ("Via", "Contact"))]


def test_a_change_at_the_first_hop_was_made_on_this_machine() -> None:
    assert told(SENT, stages(BY_HOME, BY_HOME), BY_HOME) == [(0, "this machine", ("Via", "Contact"))]


def test_a_gap_names_nobody() -> None:
    located, reason = locate(SENT, stages(SENT, None, BY_BOTH), BY_BOTH)
    assert located is None
    assert f"Via, Contact changed somewhere between {HOME} and {CORE}" in reason


def test_routers_that_quote_nothing_leave_it_unknown_and_never_none() -> None:
    located, reason = locate(SENT, stages(None, None, None), BY_HOME)
    assert (located, reason) == (None, "no router on the path quotes enough of an expired packet")


def test_beyond_the_last_quote_nothing_is_known() -> None:
    located, reason = locate(SENT, stages(SENT, SENT), None)
    assert located is None
    assert "beyond hop 2" in reason


@pytest.mark.parametrize("cut", [70, 110, 150])
def test_a_quote_is_compared_as_far_as_it_goes(cut: int) -> None:
    assert differences(SENT, SENT[:cut]) == ()
    assert differences(SENT, BY_HOME[:cut]) == (("Via", "Contact") if cut == 150 else ("Via",) if cut == 110 else ())


ADDED = SENT.replace(b"Call-ID", b"Record-Route: <sip:203.0.113.1;lr>\r\nCall-ID")
SECOND_VIA = SENT.replace(b"Contact", b"Via: SIP/2.0/UDP 203.0.113.1\r\nContact")
REMOVED = SENT.replace(b"Contact: <sip:x@192.168.88.2:40000>\r\n", b"")


@pytest.mark.parametrize(
    ("changed", "name"), [(ADDED, "Record-Route"), (SECOND_VIA, "Via"), (REMOVED, "Contact"), (SENT.replace(b"\r\n\r\n", b"\r\nX-A: 1\r\n\r\n"), "X-A")]
)
def test_headers_that_are_added_or_removed_are_located(changed: bytes, name: str) -> None:
    assert told(SENT, stages(SENT, changed, changed), changed) == [(1, HOME, (name,))]
    assert told(changed, stages(changed, changed, SENT), SENT) == [(2, CARRIER, (name,))]


OFFER = SENT.replace(b"Content-Length: 0\r\n\r\n", b"Content-Length: 97\r\n\r\n") + (
    b"v=0\r\no=- 1 1 IN IP4 192.168.88.2\r\ns=-\r\nc=IN IP4 192.168.88.2\r\nt=0 0\r\nm=audio 30000 RTP/AVP 0\r\na=rtcp:30001\r\n"
)
SDP = [
    (OFFER.replace(b"c=IN IP4 192.168.88.2", b"c=IN IP4 100.64.0.2"), "sdp c="),
    (OFFER.replace(b"1 1 IN IP4 192.168.88.2", b"1 1 IN IP4 100.64.0.2"), "sdp o="),
    (OFFER.replace(b"audio 30000", b"audio 0"), "sdp m="),
    (OFFER.replace(b"30001", b"30003"), "sdp a=rtcp"),
    (OFFER.replace(b"s=-\r\n", b""), "sdp s="),
]


@pytest.mark.parametrize(("changed", "name"), SDP)
def test_lines_of_sdp_are_located_where_the_quotes_hold_them(changed: bytes, name: str) -> None:
    assert told(OFFER, stages(OFFER, changed, changed), changed) == [(1, HOME, (name,))]
    located, reason = locate(OFFER, stages(OFFER[:180], OFFER[:180], OFFER[:180]), changed)
    assert (located, reason) == (None, f"{name} changed, and what the routers quote does not show where")


@pytest.mark.parametrize("cut", range(60, len(OFFER)))
def test_an_offer_that_is_cut_off_has_lost_no_line(cut: int) -> None:
    assert differences(OFFER, OFFER[:cut]) == ()
    assert differences(OFFER[:cut], OFFER) == ()


@pytest.mark.parametrize("cut", range(60, len(ADDED)))
def test_a_quote_that_ends_early_shows_nothing_added_or_removed(cut: int) -> None:
    assert differences(SENT, SENT[:cut]) == ()
    assert differences(SENT[:cut], SENT) == ()
    assert set(differences(SENT[:cut], ADDED)) <= {"Record-Route"}
    assert set(differences(SENT, ADDED[:cut])) <= {"Record-Route"}


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        (SENT.replace(b"\r\n\r\n", b"\r\nX-A: 1\r\n\r\n"), "X-A"),
        (SENT + b"v=0", "body"),
        (SENT.replace(b"Call-ID: ", b"Call-ID:"), "its form"),
    ],
)
def test_what_no_quote_holds_is_unknown_and_never_nobody(changed: bytes, name: str) -> None:
    located, reason = locate(SENT, stages(SENT[:130], SENT[:130]), changed)
    assert located is None
    assert reason == f"{name} changed, and what the routers quote does not show where"


class Hops(FakeUdp):
    """Three routers before the server; ``quoting`` says how many bytes each of them quotes (None: it says nothing)."""

    quoting: tuple[int | None, ...] = (520, 520, 520)
    lost_first = False

    def send(self, data: bytes, to: Endpoint, ttl: int | None = None) -> None:
        assert ttl is not None
        if ttl > len(self.quoting):
            self.inbox.append(Arrival(0.0, to, b"SIP/2.0 200 OK\r\n\r\n"))
        elif (size := self.quoting[ttl - 1]) is not None and not self.lost_first:
            seen = SENT if ttl == 1 else BY_HOME
            offender = (HOME, CARRIER, CORE)[ttl - 1]
            self.quotes.append(Quote(at=0.0, icmp_type=11, icmp_code=0, offender=offender, to=to, data=seen[:size]))
        self.lost_first = False
        self.edge.bell.ring()


def walked(quoting: tuple[int | None, ...], lost_first: bool = False) -> tuple[list[Stage], bool]:
    async def work() -> tuple[list[Stage], bool]:
        edge = Edge(Nat())
        socket = Hops(edge, Endpoint("192.168.88.2", 40_000))
        socket.quoting, socket.lost_first = quoting, lost_first
        return await walk(edge.network(), socket, Endpoint("198.51.100.10", 5060), SENT)

    return clock.run(work())


def test_walk_ends_at_the_server() -> None:
    found, arrived = walked((520, 520, 520))
    assert arrived
    assert [(stage.hop, stage.address, bool(stage.text)) for stage in found] == [(1, HOME, True), (2, CARRIER, True), (3, CORE, True)]
    assert told(SENT, found, BY_HOME) == [(1, HOME, ("Via", "Contact"))]


def test_a_lost_probe_is_sent_again() -> None:
    assert walked((520, 520), lost_first=True) == walked((520, 520))


def test_eight_bytes_are_no_quote() -> None:
    found, _ = walked((520, 8, 520))
    assert [bool(stage.text) for stage in found] == [True, False, True]
    assert found[1].address == CARRIER


@pytest.mark.parametrize("behind", [bytes(28), b"\x20\x00\r\n\x00\x08\x01\x01\r\n\r\n", b" \x00:\r\nContact: <sip:x@203.0.113.9>\r\n"])
@pytest.mark.parametrize("cut", range(60, len(SENT)))
def test_what_stands_behind_the_quoted_part_is_none_of_the_message(behind: bytes, cut: int) -> None:
    """RFC 4884: 128 bytes of the datagram, padded, then a structure with the labels of MPLS, in which any bytes may stand."""
    quote = Quote(at=0.0, icmp_type=11, icmp_code=0, offender=HOME, to=SERVER, data=SENT[:cut] + behind)
    assert differences(SENT, message_of(quote)) == ()


def test_a_path_that_says_nothing_ends_the_walk() -> None:
    found, arrived = walked((None,) * 8)
    assert (len(found), arrived) == (3, False)


def test_late_words_of_one_router_are_not_taken_for_the_next_ones() -> None:
    """A queue holds some errors back; the copies of the packet sent meanwhile are told of when the next hop is asked."""
    addresses = (HOME, CARRIER, CORE)

    async def work(world: HopWorld) -> list[Stage]:
        found, _ = await walk(world, await world.open_udp(), SERVER, SENT)  # type: ignore[arg-type]
        return found

    for seed in range(50):
        found = clock.run(work(HopWorld(*map(Router, addresses), late=0.4, seed=seed)))
        assert found
        for stage in found:
            assert stage.address in (None, dict(enumerate(addresses, 1)).get(stage.hop)), f"seed {seed}: {found}"


def test_a_change_before_the_first_hop_names_the_default_router_that_is_none() -> None:
    located, _ = locate(SENT, stages(BY_HOME, BY_HOME), BY_HOME)
    assert located is not None
    (named,) = with_neighbors(located, stages(BY_HOME, BY_HOME), ["192.168.88.254"])
    assert (named.hop, named.up_to_hop, named.up_to_address, named.hidden) == (0, 1, HOME, "192.168.88.254")
    (plain,) = with_neighbors(located, stages(BY_HOME, BY_HOME), [HOME])
    assert plain.hidden is None


class Taken(Hops):
    """SIP is answered at the second hop, and nothing else goes further than it would."""

    def send(self, data: bytes, to: Endpoint, ttl: int | None = None) -> None:
        if data.startswith(b"OPTIONS") and ttl == 2:
            self.inbox.append(Arrival(0.0, to, b"SIP/2.0 200 OK\r\n\r\n"))
            self.edge.bell.ring()
        else:
            super().send(data, to, ttl)


def test_a_proxy_on_the_way_is_not_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it hands on comes to the server, but the server is not the next hop."""

    async def work() -> tuple[list[Stage], bool]:
        edge = Edge(Nat())
        network = edge.network()

        async def open_udp(port: int = 0) -> Hops:
            return Taken(edge, Endpoint("192.168.88.2", 40_001))

        monkeypatch.setattr(network, "open_udp", open_udp)
        return await walk(network, Taken(edge, Endpoint("192.168.88.2", 40_000)), Endpoint("198.51.100.10", 5060), SENT)

    found, arrived = clock.run(work())
    assert not arrived
    assert [(stage.hop, stage.address, bool(stage.text)) for stage in found] == [(1, HOME, True), (2, CARRIER, False)]
    located, reason = locate(SENT, found, None)
    assert located is None
    assert "beyond hop 1 was not seen" in reason
