"""Reading a router: an honest one, every kind of a half-spoken one, and the hostile ones, over real sockets on loopback."""

import asyncio

import pytest

from edgecheck.model.router import PortMapping, RouterFacts, WanClaim
from edgecheck.net.router import port_control, read_router, reading, search
from edgecheck.net.router.igd_client import NotUnderstood, guarded
from edgecheck.net.router.routes import Route, route_of
from edgecheck.wire import nat_pmp, pcp
from tests.net.stub_router import HOSTILE, IP, PPP, StubRouter, drip, running, silent

HERE = "127.0.0.60"
pytestmark = pytest.mark.skipif("sys.platform == 'darwin'", reason="macOS has one loopback address only")


def read(router: StubRouter, bound_s: float = 10.0) -> RouterFacts:
    return with_another(router, bound_s)[0]


def with_another(router: StubRouter, bound_s: float = 10.0) -> tuple[RouterFacts, list[str]]:
    """What was read, and what a second machine was asked meanwhile, whose HTTP port stands in the router's URLs for ``{port}``."""

    async def work() -> tuple[RouterFacts, list[str]]:
        other = StubRouter(address="127.0.0.62", upnp=False)
        async with running(other), running(router):
            for name in ("location", "control", "base"):
                setattr(router, name, getattr(router, name).replace("{port}", str(other.http_port)))
            made = reading.Reading(HERE, router.address)
            await reading.read_into(made, bound_s=bound_s, ssdp_port=router.ssdp_port, control_port=router.control_port)
            return made.facts(()), other.asked

    with pytest.MonkeyPatch.context() as patch:
        # Little patience only where nobody answers: who does is waited for, however busy this machine is.
        if not router.upnp:
            patch.setattr(search, "PATIENCE_S", 0.05)
            patch.setattr(search, "SENT_AT_S", (0.0,))
        if router.nat_pmp is None and router.pcp is None:
            patch.setattr(port_control, "PATIENCE_S", 0.05)
            patch.setattr(port_control, "SENT_AT_S", (0.0,))
        return asyncio.run(work())


def test_an_honest_router() -> None:
    router = StubRouter(mappings=[("UDP", 5060, "192.168.1.20", 5062, "phone"), ("TCP", 443, "192.168.1.9", 443, "")])
    facts = read(router)
    assert (facts.protocol, facts.protocols) == ("upnp", ("upnp", "nat-pmp", "pcp"))
    assert (facts.manufacturer, facts.model, facts.model_number, facts.firmware) == ("Stub Works", "Stub", "1", "Stub/1.0 UPnP/1.1")
    assert facts.wan_address == "203.0.113.1"
    assert facts.mappings == (
        PortMapping(transport="udp", external_port=5060, internal_host="192.168.1.20", internal_port=5062, description="phone"),
        PortMapping(transport="tcp", external_port=443, internal_host="192.168.1.9", internal_port=443),
    )
    assert facts.mappings_complete
    assert facts.reason == ""


def test_only_what_reads_is_ever_asked() -> None:
    router = StubRouter(wan={PPP: ("Disconnected", "0.0.0.0"), IP: ("Connected", "203.0.113.1")}, mappings=[("UDP", 1, "192.168.1.20", 1, "")])
    read(router)
    http = [line for line in router.asked if line.startswith(("GET", "POST"))]
    assert http == [
        "GET /root.xml",
        *["POST /control GetStatusInfo", "POST /control GetExternalIPAddress"] * 2,
        *["POST /control GetGenericPortMappingEntry"] * 2,
    ]
    assert {line for line in router.asked if " in " in line} == {"0/0 in 2 bytes", "2/0 in 24 bytes"}
    assert {line.partition(" ")[0] for line in router.asked} == {"M-SEARCH", "GET", "POST", "0/0", "2/0"}


def test_the_line_that_is_up_gives_the_address() -> None:
    facts = read(StubRouter(wan={PPP: ("Disconnected", "198.51.100.9"), IP: ("Connected", "203.0.113.1")}))
    assert facts.wan_address == "203.0.113.1"
    assert WanClaim(protocol="upnp", address="198.51.100.9", line="WANPPPConnection:1", status="Disconnected") in facts.claims


@pytest.mark.parametrize("address", ["0.0.0.0", "", "router.example", "::1", "127.0.0.1", "203.0.113.1 "])
def test_addresses_that_are_none(address: str) -> None:
    facts = read(StubRouter(wan={IP: ("Connected", address)}, nat_pmp=None, pcp=None))
    assert facts.wan_address == ("203.0.113.1" if address.strip() == "203.0.113.1" else None)
    assert facts.protocols == ("upnp",)


def test_nat_pmp_alone() -> None:
    facts = read(StubRouter(upnp=False, pcp=None))
    assert (facts.protocol, facts.protocols, facts.wan_address, facts.model) == ("nat-pmp", ("nat-pmp",), "203.0.113.1", None)


def test_nat_pmp_without_an_address_yet() -> None:
    facts = read(StubRouter(upnp=False, pcp=None, nat_pmp=nat_pmp.serialize(nat_pmp.ExternalAddress(3, 1, None))))
    assert (facts.protocol, facts.wan_address) == ("nat-pmp", None)


def test_pcp_alone_tells_that_it_is_spoken() -> None:
    facts = read(StubRouter(upnp=False, nat_pmp=None))
    assert (facts.protocol, facts.wan_address, facts.mappings_complete) == ("pcp", None, False)


def test_answers_to_other_questions_are_none() -> None:
    """A mapping's answer, a piece, too much, a piece of NAT-PMP, nothing at all."""

    async def work() -> port_control.PortControl:
        told = port_control.PortControl()
        for answer in (pcp.serialize(pcp.Response(1, 0, 0, 1)), b"\x02", b"\xff" * 1200, b"\x00\x80", b""):
            told.datagram_received(answer, None)
        await told.wait(0.0)
        return told

    told = asyncio.run(work())
    assert (told.external, told.announced, told.settled) == (None, None, False)


def test_a_router_that_says_nothing() -> None:
    facts = read(StubRouter(upnp=False, nat_pmp=None, pcp=None))
    assert facts.protocol is None
    assert facts.told is None
    assert "127.0.0.61 told nothing" in facts.reason


def test_protocols_may_disagree_and_both_are_kept() -> None:
    facts = read(StubRouter(wan={IP: ("Connected", "192.0.2.9")}))
    assert {(claim.protocol, claim.address) for claim in facts.claims} == {("upnp", "192.0.2.9"), ("nat-pmp", "203.0.113.1")}
    assert facts.wan_address == "192.0.2.9"


# ------------------------------------------------------------------------------------------------------------------ port mappings


@pytest.mark.parametrize(("end", "complete"), [(713, True), (714, True), (606, False), (401, False)])
def test_where_the_list_ends(end: int, complete: bool) -> None:
    facts = read(StubRouter(mappings=[("UDP", 1, "192.168.1.20", 1, "")], end=end))
    assert (len(facts.mappings), facts.mappings_complete) == (1, complete)
    assert (str(end) in facts.reason) is not complete


def test_a_list_that_goes_round_in_a_circle() -> None:
    facts = read(StubRouter(mappings=[("UDP", 1, "192.168.1.20", 1, ""), ("TCP", 1, "192.168.1.20", 1, "")], end=0))
    assert (len(facts.mappings), facts.mappings_complete) == (2, False)
    assert "again and again" in facts.reason


def test_a_list_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_MAPPINGS", 20)
    facts = read(StubRouter(mappings=[("UDP", port, "192.168.1.20", port, "x" * 300) for port in range(1, 1000)]))
    assert (len(facts.mappings), facts.mappings_complete) == (20, False)
    assert "first 20" in facts.reason
    assert len(facts.mappings[0].description) < 100


@pytest.mark.parametrize(
    "mapping", [("SCTP", 1, "192.168.1.20", 1, ""), ("UDP", 70000, "192.168.1.20", 1, ""), ("UDP", 1, "nas", 1, ""), ("UDP", 1, "192.168.1.20", -1, "")]
)
def test_a_mapping_that_is_none_ends_the_list(mapping: tuple[str, int, str, int, str]) -> None:
    facts = read(StubRouter(mappings=[mapping]))
    assert (facts.mappings, facts.mappings_complete) == ((), False)
    assert "could not be understood" in facts.reason


def test_descriptions_are_fit_to_print() -> None:
    facts = read(StubRouter(mappings=[("UDP", 1, "192.168.1.20", 1, "a&#10;b&#x9b;31m\u202e")]))
    assert facts.mappings[0].description.isprintable()


# ------------------------------------------------------------------------------------------------------------------------ hostile


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("place", ["describes", "controls"])
def test_hostile_answers_tell_nothing_and_the_other_protocols_still_do(name: str, place: str) -> None:
    router = StubRouter(**{place: HOSTILE[name]})  # type: ignore[arg-type]
    facts = read(router)
    assert facts.wan_address == "203.0.113.1", "by NAT-PMP"
    assert facts.model == (None if place == "describes" else "Stub")
    assert "UPnP" in facts.reason


@pytest.mark.parametrize("behavior", [drip, silent])
def test_time_is_bounded_and_what_was_told_is_kept(behavior: object) -> None:
    facts = read(StubRouter(controls=behavior), bound_s=1.5)  # type: ignore[arg-type]
    assert (facts.model, facts.wan_address, facts.mappings_complete) == ("Stub", "203.0.113.1", False)
    assert "after 1.5 s" in facts.reason


PLACES = [
    "http://127.0.0.62:{port}/root.xml",
    "http://localhost:{port}/root.xml",
    "http://127.0.0.61.example:{port}/root.xml",
    "http://127.0.0.61@127.0.0.62:{port}/root.xml",
    "http://2130706493:{port}/root.xml",
    "http://127.0.0.62:{port}#@127.0.0.61/",
    "https://127.0.0.61:{port}/root.xml",
    "file:///etc/hostname",
    "http://127.0.0.61:{port}/a b",
    "http://127.0.0.61:99999/",
    "http://[::1]:{port}/",
    "http://[/",
]


@pytest.mark.parametrize("place", PLACES)
def test_nobody_but_the_router_is_ever_fetched_from(place: str) -> None:
    """As the place of the description, as the control URL, as the base of both: a second machine listens, and hears nothing."""

    facts, heard = with_another(StubRouter(location=place, nat_pmp=None, pcp=None))
    assert (facts.protocol, heard) == (None, [])
    facts, heard = with_another(StubRouter(control=place, nat_pmp=None, pcp=None))
    assert (facts.wan_address, heard) == (None, [])
    facts, heard = with_another(StubRouter(base=place, control="control", nat_pmp=None, pcp=None))
    assert (facts.wan_address, heard) == (None, [])


@pytest.mark.parametrize(
    ("url", "gone_to"),
    [
        ("http://192.168.1.1/x?y=1#z", "http://192.168.1.1:80/x?y=1"),
        ("HTTP://192.168.1.1:5000", "http://192.168.1.1:5000/"),
        ("http://192.168.1.1:5000/ctl/IPConn", "http://192.168.1.1:5000/ctl/IPConn"),
    ],
)
def test_the_guard_lets_the_router_itself_pass(url: str, gone_to: str) -> None:
    assert guarded(url, "192.168.1.1") == gone_to


@pytest.mark.parametrize("url", ["http://192.168.1.1/\r\nHost: x", "http://192.168.1.1/\u00e9", "http://192.168.1.1/" + "x" * 2000, "http://192.168.1.1:0x50/"])
def test_the_guard_stops_what_is_no_plain_url(url: str) -> None:
    with pytest.raises(NotUnderstood):
        guarded(url, "192.168.1.1")


# ------------------------------------------------------------------------------------------------------------------------- whom


@pytest.mark.parametrize(("source", "words"), [("127.0.0.1", "loopback"), ("2001:db8::2", "IPv4 only"), ("192.0.2.250", "no default router")])
def test_where_there_is_nobody_to_ask(source: str, words: str) -> None:
    facts = asyncio.run(read_router(source))
    assert facts.protocol is None
    assert words in facts.reason


def test_the_router_on_the_sources_interface_is_asked() -> None:
    routes = (Route("192.168.1.1", "eth0"), Route("10.0.0.1", "wlan0"))
    assert route_of(routes, "wlan0") == routes[1]
    assert route_of(routes, "tun0") is None
    assert route_of(routes, None) is None
