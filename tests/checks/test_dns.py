"""``dns``: RFC 3263 step by step, and each fault of a zone named."""

import msgspec
import pytest

from edgecheck.checks import dns
from edgecheck.checks.dns.observation import DnsObservation
from edgecheck.checks.dns.services import pointers_in_order, services_in_order
from edgecheck.doctor import PROFILE
from edgecheck.model.account import Place, parse_account
from edgecheck.model.phone import NaptrRecord, SrvRecord
from edgecheck.model.verdict import Finding, Verdict
from edgecheck.wire import stun
from edgecheck.wire.address import Endpoint
from tests.fakes import clock
from tests.fakes.peers import Reply
from tests.fakes.phone import DNS, PhoneWorld
from tests.fakes.zone import Zone

ZONE = """
all.test NAPTR 20 10 "s" "SIP+D2T" "" _sip._tcp.all.test.
all.test NAPTR 10 20 "s" "SIP+D2U" "" _sip._udp.all.test.
all.test NAPTR 10 10 "S" "sips+d2t" "" _sips._tcp.all.test.
all.test NAPTR 10 30 "s" "SIPS+D2W" "" _sips._ws.all.test.
all.test NAPTR 5 5 "u" "E2U+sip" "!^.*$!sip:x@y!" .
_sip._udp.all.test SRV 20 0 5060 b.test.
_sip._udp.all.test SRV 10 10 5062 a.test.
_sip._udp.all.test SRV 10 90 5064 c.test.
_sip._tcp.all.test SRV 10 0 5060 a.test.
_sips._tcp.all.test SRV 10 0 5061 a.test.
_sips._ws.all.test SRV 10 0 443 a.test.
_sip._udp.srv.test SRV 10 0 5070 a.test.
_sip._tcp.srv.test SRV 10 0 5071 b.test.
_sips._tcp.srv.test SRV 10 0 5072 c.test.
a.test A 192.0.2.1
b.test A 192.0.2.2
b.test AAAA 2001:db8::2
c.test A 192.0.2.3
plain.test A 192.0.2.6
alias.test CNAME plain.test.
_sip._tcp.tcponly.test SRV 10 0 5071 b.test.
tcponly.test A 192.0.2.2
_sip._udp.elsewhere.test SRV 10 0 5060 a.test.
elsewhere.test A 192.0.2.9
_sip._udp.missing.test SRV 10 0 5060 gone.test.
_sip._udp.half.test SRV 10 0 5060 gone.test.
_sip._udp.half.test SRV 20 0 5060 a.test.
www.test CNAME a.test.
_sip._udp.cname.test SRV 10 0 5060 www.test.
dangling.test NAPTR 10 10 "s" "SIP+D2U" "" _sip._udp.nowhere.test.
dangling.test A 192.0.2.5
lost.test NAPTR 10 10 "s" "SIP+D2U" "" _sip._udp.nowhere.test.
never.test A 192.0.2.7
_sip._udp.never.test SRV 0 0 0 .
_sip._udp.dot.test SRV 0 0 0 .
empty.test TXT "nothing here"
six.test AAAA 2001:db8::6
blocked.test A 0.0.0.0
broken.test SERVFAIL
refused.test REFUSED
silent.test SILENT
deaf.test A 192.0.2.8
"""


def find(uri: str, world: PhoneWorld | None = None, **more: str | int) -> tuple[DnsObservation, dict[str, Finding]]:
    async def go() -> DnsObservation:
        family = more.pop("family", None)
        phone = (world or PhoneWorld(ZONE)).phone(parse_account(uri, **more), family=family)  # type: ignore[arg-type]
        seen = await dns.probe(phone, PROFILE)
        assert phone.targets == list(seen.targets)
        return seen

    seen = clock.run(go())
    findings = dns.judge(seen, PROFILE)
    assert findings
    assert all(finding.evidence for finding in findings)
    return seen, {finding.id.partition(".")[2]: finding for finding in findings}


def targets(seen: DnsObservation) -> list[str]:
    return [str(target) for target in seen.targets]


# --- section 4.1 and 4.2: which way --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sip:a@192.0.2.1", ["UDP 192.0.2.1:5060"]),
        ("sips:a@192.0.2.1", ["TLS 192.0.2.1:5061"]),
        ("sip:a@192.0.2.1:5080;transport=tcp", ["TCP 192.0.2.1:5080"]),
        ("sip:a@192.0.2.1;transport=tls", ["TLS 192.0.2.1:5061"]),
        ("sip:a@[2001:db8::2]", ["UDP [2001:db8::2]:5060"]),
        ("sip:a@a.test:5080", ["UDP 192.0.2.1:5080"]),
        ("sips:a@srv.test:5080", []),
        ("sips:a@a.test:5080", ["TLS 192.0.2.1:5080"]),
        ("sip:a@plain.test", ["UDP 192.0.2.6:5060"]),
        ("sip:a@plain.test;transport=tcp", ["TCP 192.0.2.6:5060"]),
        ("sip:a@plain.test;transport=wss", ["WSS 192.0.2.6:443"]),
        ("sips:a@plain.test", ["TLS 192.0.2.6:5061"]),
        ("sip:a@alias.test", ["UDP 192.0.2.6:5060"]),
        ("sip:a@PLAIN.Test.", ["UDP 192.0.2.6:5060"]),
        ("sip:a@srv.test", ["UDP 192.0.2.1:5070", "TCP 192.0.2.2:5071", "TCP [2001:db8::2]:5071", "TLS 192.0.2.3:5072"]),
        ("sip:a@srv.test;transport=tcp", ["TCP 192.0.2.2:5071", "TCP [2001:db8::2]:5071"]),
        ("sips:a@srv.test", ["TLS 192.0.2.3:5072"]),
        ("sips:a@srv.test;transport=tcp", ["TLS 192.0.2.3:5072"]),
        ("sips:a@all.test", ["TLS 192.0.2.1:5061", "WSS 192.0.2.1:443"]),
        ("sip:a@all.test;transport=wss", ["WSS 192.0.2.1:443"]),
    ],
)
def test_the_way_of_rfc_3263(uri: str, expected: list[str]) -> None:
    assert targets(find(uri)[0]) == expected


def test_naptr_order_then_srv_priority_then_weight() -> None:
    seen, _ = find("sip:a@all.test")
    assert targets(seen) == [
        "TLS 192.0.2.1:5061",
        "UDP 192.0.2.3:5064",
        "UDP 192.0.2.1:5062",
        "UDP 192.0.2.2:5060",
        "UDP [2001:db8::2]:5060",
        "WSS 192.0.2.1:443",
    ], "TCP has a higher order: once one fits, it does not exist (RFC 3403 section 4.1)"
    assert seen.targets[1].because == "SRV _sip._udp.all.test, priority 10, weight 90"
    assert next(step.type for step in seen.steps if step.decisive) == "NAPTR"


def test_an_explicit_port_asks_for_no_records() -> None:
    seen, _ = find("sip:a@all.test:5080")
    assert {step.type for step in seen.steps if step.decisive} == {"rule", "A", "AAAA", "addresses"}


def test_the_proxy_is_looked_up_instead_of_the_domain() -> None:
    seen, _ = find("sip:a@plain.test", proxy="sip:a.test:5062;transport=tcp")
    assert targets(seen) == ["TCP 192.0.2.1:5062"]


def test_one_family_alone() -> None:
    assert targets(find("sip:a@b.test", family=4)[0]) == ["UDP 192.0.2.2:5060"]
    assert targets(find("sip:a@b.test", family=6)[0]) == ["UDP [2001:db8::2]:5060"]


def test_what_only_the_hosts_file_knows() -> None:
    seen, found = find("sip:a@pbx.local", PhoneWorld(ZONE, hosts={"pbx.local": ["192.168.1.5"]}))
    assert targets(seen) == ["UDP 192.168.1.5:5060"]
    assert set(found) == {"address-mismatch", "found"}


# --- faults ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "causes"),
    [
        ("sip:a@nowhere.test", {"nxdomain": Verdict.FAIL}),
        ("sip:a@nowhere.test:5080", {"nxdomain": Verdict.FAIL}),
        ("sip:a@empty.test", {"no-records": Verdict.FAIL}),
        ("sip:a@broken.test", {"server-failure": Verdict.FAIL}),
        ("sip:a@refused.test", {"server-failure": Verdict.FAIL}),
        ("sip:a@silent.test", {"server-failure": Verdict.INCONCLUSIVE}),
        ("sip:a@missing.test", {"srv-target-missing": Verdict.FAIL}),
        ("sip:a@half.test", {"srv-target-missing": Verdict.WARN, "found": Verdict.PASS}),
        ("sip:a@cname.test", {"srv-target-alias": Verdict.WARN, "found": Verdict.PASS}),
        ("sip:a@dangling.test", {"naptr-dangling": Verdict.WARN, "found": Verdict.PASS}),
        ("sip:a@lost.test", {"naptr-dangling": Verdict.FAIL, "no-records": Verdict.FAIL}),
        ("sip:a@dot.test", {"not-offered": Verdict.FAIL}),
        ("sip:a@elsewhere.test", {"address-mismatch": Verdict.WARN, "found": Verdict.PASS}),
        ("sip:a@tcponly.test;transport=udp", {"transport-not-published": Verdict.WARN, "found": Verdict.PASS}),
        ("sip:a@blocked.test", {"null-address": Verdict.FAIL, "found": Verdict.PASS}),
        ("sip:a@plain.test", {"found": Verdict.PASS}),
        ("sip:a@all.test", {"found": Verdict.PASS}),
    ],
)
def test_each_fault_is_named(uri: str, causes: dict[str, Verdict]) -> None:
    _, found = find(uri)
    assert {cause: finding.verdict for cause, finding in found.items()} == causes


def test_addresses_of_a_family_that_cannot_be_used() -> None:
    seen, found = find("sip:a@six.test", family=4)
    assert set(found) == {"no-usable-address"}
    assert seen.left_out == ("2001:db8::6",)


def test_a_resolver_that_is_deaf_to_naptr_alone() -> None:
    """Some home routers answer A and drop the rest."""
    world = PhoneWorld(ZONE)
    zone = Zone(ZONE)
    naptr, srv = b"\x00\x23\x00\x01", b"\x00\x21\x00\x01"
    world.udp[DNS] = lambda data, source: () if naptr in data or srv in data else zone.answer(data, source)
    seen, found = find("sip:a@deaf.test", world)
    assert targets(seen) == ["UDP 192.0.2.8:5060"]
    assert {cause: finding.verdict for cause, finding in found.items()} == {"server-failure": Verdict.WARN, "found": Verdict.PASS}
    assert "answers other questions" in found["server-failure"].summary


def test_the_system_and_the_dns_disagree() -> None:
    _, found = find("sip:a@plain.test", PhoneWorld(ZONE, hosts={"plain.test": ["10.0.0.5"]}))
    assert found["address-mismatch"].observed == "10.0.0.5"
    assert "split DNS" in found["address-mismatch"].summary


def test_one_address_in_common_is_no_mismatch() -> None:
    _, found = find("sip:a@plain.test", PhoneWorld(ZONE, hosts={"plain.test": ["10.0.0.5", "192.0.2.6"]}))
    assert set(found) == {"found"}


def test_a_chosen_resolver_is_asked_and_compared_with_the_system() -> None:
    world = PhoneWorld(ZONE)
    world.udp_at("9.9.9.9:53", Zone("plain.test A 198.51.100.7").answer)
    seen, found = find("sip:a@plain.test", world, resolver="9.9.9.9:53")
    assert targets(seen) == ["UDP 198.51.100.7:5060"]
    assert set(found) == {"address-mismatch", "found"}


def test_a_resolver_that_makes_answers_up() -> None:
    def lying(data: bytes, source: object) -> list[Reply]:
        import dns.message
        import dns.rrset

        query = dns.message.from_wire(data)
        reply = dns.message.make_response(query)
        if query.question[0].rdtype == 1:
            reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "198.51.100.80"))
        return [Reply(reply.to_wire())]

    world = PhoneWorld(hosts={"typo.test": ["198.51.100.80"]})
    world.udp[DNS] = lying
    seen, found = find("sip:a@typo.test", world)
    assert seen.invented == ("198.51.100.80",)
    assert found["invented-answers"].verdict is Verdict.WARN


def test_answers_of_strangers_and_garbage_are_passed_over() -> None:
    world = PhoneWorld(ZONE)
    zone = Zone(ZONE)

    def noisy(data: bytes, source: object) -> list[Reply]:
        (good,) = zone.answer(data, source)  # type: ignore[arg-type]
        other_id = bytes([good.data[0] ^ 1]) + good.data[1:]
        return [Reply(b""), Reply(b"\xff" * 30), Reply(other_id), Reply(good.data[:20]), Reply(good.data, delay=0.05)]

    world.udp[DNS] = noisy
    assert targets(find("sip:a@plain.test", world)[0]) == ["UDP 192.0.2.6:5060"]


def test_hundreds_of_records_do_not_keep_the_doctor_busy() -> None:
    zone = "\n".join(f"_sip._udp.many.test SRV 10 0 {port} a.test." for port in range(6000, 6030)) + "\na.test A 192.0.2.1"
    assert len(find("sip:a@many.test", PhoneWorld(zone))[0].targets) == 12


@pytest.mark.parametrize("uri", ["sip:a@all.test", "sip:a@missing.test", "sip:a@silent.test", "sip:a@192.0.2.1"])
def test_a_saved_observation_is_judged_the_same(uri: str) -> None:
    seen, found = find(uri)
    again = msgspec.convert(msgspec.json.decode(msgspec.json.encode(seen)), DnsObservation)
    assert dns.judge(again, PROFILE) == tuple(found.values())


# --- order -------------------------------------------------------------------------------------------------------------------------


def test_srv_order() -> None:
    def srv(priority: int, weight: int, target: str) -> SrvRecord:
        return SrvRecord(name="x", ttl=1, priority=priority, weight=weight, port=1, target=target)

    records = [srv(20, 100, "d"), srv(10, 0, "c"), srv(10, 60, "a"), srv(10, 40, "b"), srv(0, 0, "")]
    assert [record.target for record in services_in_order(records)] == ["a", "b", "c", "d"]


def test_naptr_order_and_what_a_phone_does_not_follow() -> None:
    def naptr(order: int, preference: int, flags: str, service: str) -> NaptrRecord:
        return NaptrRecord(name="x", ttl=1, order=order, preference=preference, flags=flags, service=service, regexp="", replacement="y")

    records = [
        naptr(2, 1, "s", "SIP+D2U"),
        naptr(1, 2, "s", "SIP+D2T"),
        naptr(1, 1, "s", "SIPS+D2T"),
        naptr(0, 0, "u", "E2U+sip"),
        naptr(0, 0, "s", "SIP+D2S"),
    ]
    assert [each.service for each in pointers_in_order(records, Place(host="x"))] == ["SIPS+D2T", "SIP+D2T"]
    assert [each.service for each in pointers_in_order(records, Place(host="x", secure=True))] == ["SIPS+D2T"]


def test_a_dead_dns_server_costs_seconds_not_minutes() -> None:
    async def go() -> float:
        world = PhoneWorld(hosts={})
        del world.udp[DNS]
        phone = world.phone("sip:a@pbx.test")
        seen = await dns.probe(phone, PROFILE)
        (finding,) = dns.judge(seen, PROFILE)
        assert (finding.id, finding.verdict) == ("dns.server-failure", Verdict.INCONCLUSIVE)
        return phone.now()

    assert clock.run(go()) < 12


def stun_server(mapped: str, *, deaf: int = 0):
    """A STUN server that sees everybody at one address; the first requests are lost."""
    heard = []

    def peer(data: bytes, source: Endpoint):
        heard.append(data)
        request = stun.parse(data)
        if len(heard) > deaf:
            attribute = stun.Attribute(stun.XOR_MAPPED_ADDRESS, Endpoint(mapped, 40000))
            yield Reply(stun.serialize(stun.Message(stun.Class.SUCCESS, stun.BINDING, request.transaction_id, attributes=(attribute,))))

    return peer


@pytest.mark.parametrize(
    ("mapped", "deaf", "address", "warned"),
    [
        ("192.0.2.1", 0, "192.0.2.1", True),
        ("192.0.2.1", 3, "192.0.2.1", True),
        ("203.0.113.9", 0, "203.0.113.9", False),
        ("192.0.2.1", 99, None, False),
    ],
)
def test_the_name_against_this_networks_public_address(mapped: str, deaf: int, address: str | None, warned: bool) -> None:
    world = PhoneWorld(ZONE).udp_at("198.51.100.99:3478", stun_server(mapped, deaf=deaf))

    async def go() -> DnsObservation:
        phone = world.phone(parse_account("sip:me@a.test", stun="198.51.100.99:3478"))
        seen = await dns.probe(phone, PROFILE)
        assert phone.own_address == address, "for transport"
        return seen

    seen = clock.run(go())
    assert seen.public_address == address
    found = {finding.id: finding for finding in dns.judge(seen, PROFILE)}
    assert ("dns.own-address" in found) is warned
    told = any(f"sees this network as {address}" in line for line in found["dns.found"].evidence)
    assert told is (address is not None)


def test_without_translation_the_own_address_is_this_machine_and_no_router() -> None:
    """The doctor run on the PBX itself, on a public address: nothing has to hairpin."""
    world = PhoneWorld(ZONE)

    async def go() -> DnsObservation:
        phone = world.phone(parse_account("sip:me@a.test", stun="198.51.100.99:3478"))
        probe = await phone.open_udp(Endpoint("198.51.100.99", 3478))
        here = probe.local.host
        probe.close()
        world.udp_at("198.51.100.99:3478", stun_server(here))
        seen = await dns.probe(phone, PROFILE)
        return msgspec.structs.replace(seen, targets=tuple(msgspec.structs.replace(each, address=here) for each in seen.targets))

    seen = clock.run(go())
    assert seen.translated is False
    assert "dns.own-address" not in {finding.id for finding in dns.judge(seen, PROFILE)}
