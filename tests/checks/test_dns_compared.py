"""``dns``: the same asked in several ways, and what may be said of who lies."""

import random
from collections.abc import Iterable

import dns.message
import dns.rrset
import msgspec
import pytest

from edgecheck.checks import dns as check
from edgecheck.checks.dns.observation import DnsObservation
from edgecheck.doctor import PROFILE
from edgecheck.model.account import parse_account
from edgecheck.model.phone import NOWHERE
from edgecheck.model.verdict import Finding, Verdict
from edgecheck.wire.address import Endpoint
from tests.fakes import clock
from tests.fakes.peers import Connection, Reply, TcpPeer
from tests.fakes.phone import DNS, PhoneWorld
from tests.fakes.zone import Zone

TRUE, OTHER = "pbx.test A 198.51.100.7", "pbx.test A 198.51.100.66"
CHOSEN, NOBODY = "9.9.9.9:53", f"{NOWHERE}:53"


def find(world: PhoneWorld, uri: str = "sip:a@pbx.test", resolver: str | None = CHOSEN) -> tuple[DnsObservation, dict[str, Finding]]:
    async def go() -> DnsObservation:
        return await check.probe(world.phone(parse_account(uri, resolver=resolver)), PROFILE)

    seen = clock.run(go())
    findings = check.judge(seen, PROFILE)
    again = msgspec.convert(msgspec.json.decode(msgspec.json.encode(seen)), DnsObservation)
    assert check.judge(again, PROFILE) == findings, "a saved observation is judged the same"
    assert all(finding.evidence for finding in findings)
    return seen, {finding.id.partition(".")[2]: finding for finding in findings}


def world(own: str, chosen: str, hosts: dict[str, list[str]] | None = None) -> PhoneWorld:
    """This machine's own DNS server, and the chosen one."""
    return PhoneWorld(own, hosts=hosts).udp_at(CHOSEN, Zone(chosen).answer)


class OverTcp(TcpPeer):
    """A DNS server."""

    def __init__(self, zone: str) -> None:
        self._zone = Zone(zone)

    def received(self, connection: Connection, data: bytes) -> None:
        for reply in self._zone.answer(data[2:], connection.source):
            connection.send(len(reply.data).to_bytes(2, "big") + reply.data)


# --- a box on the way ------------------------------------------------------------------------------------------------------------


def test_an_answer_from_where_nobody_is_proves_a_box() -> None:
    boxed = world(OTHER, OTHER).udp_at(NOBODY, Zone(OTHER).answer)
    seen, found = find(boxed)
    assert (seen.intercepted, seen.intercepted_stream) == (True, False)
    assert {cause: finding.verdict for cause, finding in found.items()} == {"intercepted": Verdict.WARN, "found": Verdict.PASS}
    assert "cannot be told from here" in found["intercepted"].summary
    assert any(NOBODY in line for line in found["intercepted"].evidence)


def test_what_the_server_says_over_tcp_is_told_where_the_box_takes_udp_alone() -> None:
    boxed = world(OTHER, OTHER).udp_at(NOBODY, Zone(OTHER).answer).tcp_at(CHOSEN, OverTcp(TRUE))
    _, found = find(boxed)
    assert set(found) == {"intercepted", "found"}
    assert "pbx.test is 198.51.100.7, and not 198.51.100.66" in found["intercepted"].summary


def test_a_box_that_takes_tcp_as_well_is_believed_over_neither() -> None:
    boxed = world(OTHER, OTHER).udp_at(NOBODY, Zone(OTHER).answer).tcp_at(NOBODY, OverTcp(OTHER)).tcp_at(CHOSEN, OverTcp(OTHER))
    seen, found = find(boxed)
    assert seen.intercepted_stream is True
    assert not any("over TCP" in each.other for each in seen.comparisons)
    assert "cannot be told from here" in found["intercepted"].summary


def test_this_networks_own_dns_server_may_answer_for_others() -> None:
    seen, found = find(PhoneWorld(TRUE).udp_at(NOBODY, Zone(TRUE).answer), resolver=None)
    assert seen.intercepted is True
    assert set(found) == {"found"}


def test_a_box_that_hides_behind_refusals_is_one_too() -> None:
    seen, found = find(world(TRUE, TRUE).udp_at(NOBODY, Zone("invalid REFUSED").answer))
    assert seen.intercepted is True
    assert "intercepted" in found


def test_silence_from_where_nobody_is_proves_nothing() -> None:
    seen, found = find(world(TRUE, TRUE))
    assert seen.intercepted is False
    assert seen.intercepted_stream is None
    assert set(found) == {"found"}


def test_an_address_needs_no_dns_and_asks_for_nothing() -> None:
    quiet = PhoneWorld()
    seen, _ = find(quiet, "sip:a@192.0.2.9", resolver=None)
    assert seen.intercepted is None
    assert not quiet.sent


def test_what_a_box_calls_itself_is_told_and_tamed() -> None:
    def named(data: bytes, source: object) -> list[Reply]:
        query = dns.message.from_wire(data)
        reply = dns.message.make_response(query)
        if query.question[0].name.to_text() == "version.bind.":
            reply.answer.append(dns.rrset.from_text("version.bind.", 0, "CH", "TXT", '"box-1\\027[31m' + "x" * 200 + '"'))
        return [Reply(reply.to_wire())]

    seen, found = find(world(TRUE, TRUE).udp_at(NOBODY, named))
    assert seen.interceptor is not None
    assert seen.interceptor.startswith("box-1 [31mx")
    assert seen.interceptor.endswith("(version.bind)")
    assert len(seen.interceptor) < 110
    assert seen.interceptor in found["intercepted"].summary


# --- two DNS servers, and the hosts file -------------------------------------------------------------------------------------------


def test_the_chosen_server_and_this_machines_own_one() -> None:
    seen, found = find(world(OTHER, TRUE))
    assert seen.own_server == str(DNS)
    assert set(found) == {"address-mismatch", "found"}
    told = found["address-mismatch"]
    assert "198.51.100.7" in told.expected
    assert "198.51.100.66" in told.observed
    assert "split DNS" in told.summary
    assert "does not tell the truth" in told.summary
    assert sum(each.other == "system" for each in seen.comparisons) == 1, "the system was compared, and said nothing new"


def test_an_inside_address_is_most_likely_an_inside_view() -> None:
    _, found = find(world("pbx.test A 10.0.0.5", TRUE))
    assert "an inside view (split DNS)" in found["address-mismatch"].summary
    assert "does not tell the truth" in found["address-mismatch"].summary


def test_services_inside_and_outside_are_compared_too() -> None:
    inside = "_sip._udp.pbx.test SRV 10 0 5080 in.test.\nin.test A 198.51.100.7\npbx.test A 198.51.100.7"
    _, found = find(world(inside, TRUE))
    assert found["address-mismatch"].expected == "UDP 198.51.100.7:5060"
    assert found["address-mismatch"].observed == "UDP 198.51.100.7:5080"


def test_a_hosts_file_is_told_from_split_dns_by_asking_its_dns_server() -> None:
    _, found = find(world(TRUE, TRUE, hosts={"pbx.test": ["127.0.1.1"]}))
    assert "hosts file, mDNS or a name cache" in found["address-mismatch"].summary
    assert "split DNS" not in found["address-mismatch"].summary


def test_a_name_that_only_the_chosen_server_knows() -> None:
    _, found = find(world("other.test A 198.51.100.1", TRUE))
    assert "not known" in found["address-mismatch"].observed


@pytest.mark.parametrize(("code", "how"), [("SERVFAIL", "fails (SERVFAIL)"), ("SILENT", "gives no answer")])
def test_this_machines_own_server_that_fails_while_the_chosen_one_answers(code: str, how: str) -> None:
    _, found = find(world(f"pbx.test {code}", TRUE, hosts={"pbx.test": ["198.51.100.7"]}))
    assert found["server-failure"].verdict is Verdict.WARN
    assert how in found["server-failure"].summary
    assert "address-mismatch" not in found


def test_this_machines_own_server_makes_answers_up() -> None:
    own, lied = Zone(TRUE), Zone("x.invalid A 198.51.100.80")

    def lying(data: bytes, source: object) -> object:
        name = dns.message.from_wire(data).question[0].name.to_text()
        if not name.endswith(".invalid."):
            return own.answer(data, source)  # type: ignore[arg-type]
        query = dns.message.from_wire(data)
        reply = dns.message.make_response(query)
        reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", lied.addresses("x.invalid", "A")[0]))
        return [Reply(reply.to_wire())]

    made = world(TRUE, TRUE)
    made.udp[DNS] = lying  # type: ignore[assignment]
    seen, found = find(made)
    assert (seen.invented, seen.invented_by_own) == ((), ("198.51.100.80",))
    assert "This machine's own DNS server" in found["invented-answers"].summary


# --- UDP and TCP -------------------------------------------------------------------------------------------------------------------


def test_other_addresses_over_tcp_have_two_causes() -> None:
    seen, found = find(world(TRUE, TRUE).tcp_at(CHOSEN, OverTcp(OTHER)))
    assert seen.intercepted is False
    assert set(found) == {"address-mismatch", "found"}
    assert "a box on the way answers UDP in its place, or the name's addresses change" in found["address-mismatch"].summary


def test_the_same_over_tcp_is_no_finding() -> None:
    seen, found = find(world(TRUE, TRUE).tcp_at(CHOSEN, OverTcp(TRUE)))
    assert [each.other for each in seen.comparisons if "TCP" in each.other] == [f"{CHOSEN} over TCP"]
    assert set(found) == {"found"}


# --- loss --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(30))
def test_loss_makes_nobody_a_liar(seed: int) -> None:
    """Two of five questions or answers are lost; nothing is wrong with any server."""
    chance, zone = random.Random(seed), Zone(f"_sip._udp.pbx.test SRV 10 0 5070 a.test.\na.test A 198.51.100.7\n{TRUE}")

    def lossy(data: bytes, source: Endpoint) -> Iterable[Reply]:
        return zone.answer(data, source) if chance.random() > 0.4 else ()

    made = PhoneWorld(hosts={"pbx.test": ["198.51.100.7"], "a.test": ["198.51.100.7"]}).udp_at(CHOSEN, lossy)
    made.udp[DNS] = lossy
    _, found = find(made)
    assert not any(finding.verdict is Verdict.FAIL for finding in found.values())
    assert set(found) <= {"found", "server-failure"}
