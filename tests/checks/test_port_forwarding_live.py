"""``port-forwarding`` with the PBX running: whose answer it was, by what this machine saw, through NATs and losses; and what is said."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from edgecheck.checks import port_forwarding
from edgecheck.checks.port_forwarding import PortRow
from edgecheck.checks.port_forwarding.held import was_delivered
from edgecheck.checks.port_forwarding.marks import chance_of_strangers
from edgecheck.model.errors import LocalFailure
from edgecheck.model.evidence import WRONG_BY_CHANCE
from edgecheck.model.machine import Machine
from edgecheck.model.profile import PortNeed
from edgecheck.model.verdict import Verdict
from tests.checks.probing import PROFILE, SIP, look, say
from tests.fakes.edge import Edge, Weather
from tests.fakes.ends import FakeListener, FakeUdp
from tests.fakes.nat import Nat
from tests.fakes.services import Service

HELD = [("udp", 5060), ("tcp", 5060), ("tcp", 5061)]
HERE, ELSEWHERE = b"certificate of this machine", b"certificate of another"
OWNER = "asterisk (pid 812)"


def pbx(certificate: bytes = HERE, **more: Any) -> dict[tuple[str, int], Service]:
    return {key: Service(certificate=certificate if key[1] == 5061 else None, **more) for key in HELD}


def edge_with(
    change: Callable[[Edge], None] = lambda edge: None, *, forwarded: Any = SIP, nat: Any = None, weather: Weather | None = None, **windows: Any
) -> Callable[[], Edge]:
    """A PBX at work on all SIP ports, the rules that lead to it, and these windows open."""

    def make() -> Edge:
        edge = Edge(nat() if nat else Nat(forwarded=dict(forwarded)), weather)
        edge.taken |= set(HELD)
        edge.computer.services = pbx()
        edge.computer.owners = dict.fromkeys(HELD, OWNER)
        for name, value in windows.items():
            setattr(edge.computer, name, value)
        change(edge)
        return edge

    return make


ROOT = {"sees_packets": True, "sees_connections": True, "has_counters": True}
USER = {"sees_connections": True, "has_counters": True}
ELSE = {"sees_connections": True}
"""A platform with a table of connections and nothing more: macOS, Windows."""


def rows(seen: Any) -> dict[tuple[str, int], PortRow]:
    return {(row.transport, row.port): row for row in seen.ports}


def told(seen: Any) -> dict[tuple[str, int], tuple[str, bool | None]]:
    return {key: (row.state, row.answered_here) for key, row in rows(seen).items()}


def verdicts(seen: Any) -> dict[str, tuple[str, Verdict]]:
    findings = say(port_forwarding.CHECK, seen).findings
    return {finding.subject: (finding.id.partition(".")[2], finding.verdict) for finding in findings}


# ---- a container's published port, that nobody here holds


def published(edge: Edge) -> None:
    edge.taken -= set(HELD)
    edge.led_on |= set(HELD)
    edge.computer.owners = {}
    edge.machine = Machine(interface="eth0", tunnel=False, bridges=("docker0",))


@pytest.mark.parametrize(("windows", "tcp"), [(ROOT, True), ({"has_counters": True}, None)], ids=["privileged", "unprivileged"])
@pytest.mark.parametrize("mute", [False, True])
def test_what_this_machine_leads_on_is_no_other_machine(windows: dict[str, bool], tcp: bool | None, mute: bool) -> None:
    """A listener of ours would hear nothing, and the router's right rule be called wrong; and the service be sent what is no SIP."""
    services: list[Service] = []

    def change(edge: Edge) -> None:
        published(edge)
        if mute:
            edge.computer.services["udp", 5060].speaks_sip = False
        services.extend(edge.computer.services.values())

    seen = look(port_forwarding, edge_with(change, **windows))
    udp = ("forwarded", None) if mute else ("answered", True)
    assert told(seen) == {("udp", 5060): udp, ("tcp", 5060): ("answered", tcp), ("tcp", 5061): ("answered", tcp)}
    assert {row.unbound for row in seen.ports} == {"led-on"}
    assert not {"wrong-host", "blocked", "no-rule"} & {cause for cause, _ in verdicts(seen).values()}
    assert all(b"SIP/2.0" in data for service in services for data in service.heard)


def test_beside_containers_an_ordinary_port_is_borrowed_as_ever() -> None:
    def change(edge: Edge) -> None:
        published(edge)
        edge.led_on.clear()
        edge.computer.services = {}

    seen = look(port_forwarding, edge_with(change))
    assert told(seen) == dict.fromkeys(HELD, ("forwarded", None))
    assert {row.unbound for row in seen.ports} == {None}


# ---- the PBX answers


@pytest.mark.parametrize("windows", [ROOT, USER], ids=["privileged", "unprivileged"])
def test_the_pbx_proves_its_own_rules(windows: dict[str, bool]) -> None:
    seen = look(port_forwarding, edge_with(**windows))
    assert told(seen) == dict.fromkeys(HELD, ("answered", True))
    for key, row in rows(seen).items():
        assert row.owner == OWNER
        assert row.answered_by is not None
        assert row.answered_by.startswith("a PBX (status 200)")
        assert ("certificate" in row.answered_by) is (key[1] == 5061)
    said = say(port_forwarding.CHECK, seen)
    assert (set(said.ids), said.verdict) == ({"answered"}, Verdict.PASS)
    assert said.findings[0].evidence[0] == (
        "UDP 5060 on this machine is used by asterisk (pid 812): tested by asking it instead of borrowing the port"
    )
    assert said.summary == "UDP 5060, TCP 5060, TCP 5061 are answered by the services that hold them here"


def test_without_a_look_at_the_packets_an_equal_name_is_no_proof() -> None:
    seen = look(port_forwarding, edge_with(**ELSE))
    assert told(seen) == {("udp", 5060): ("answered", None), ("tcp", 5060): ("answered", True), ("tcp", 5061): ("answered", True)}
    assert verdicts(seen)["UDP 5060"] == ("answered", Verdict.INCONCLUSIVE)
    assert "the same name" in rows(seen)["udp", 5060].reason


def test_few_messages_and_no_invite_reach_the_pbx() -> None:
    kept: list[Edge] = []
    look(port_forwarding, edge_with(kept.append, **USER))
    for key, service in kept[0].computer.services.items():
        assert 2 <= len(service.heard) <= 12, key
        for data in service.heard:
            assert data.startswith(b"OPTIONS ")
            assert b"Max-Forwards: 70\r\n" in data


@pytest.mark.parametrize("windows", [ROOT, USER, ELSE], ids=["privileged", "unprivileged", "elsewhere"])
@pytest.mark.parametrize("seed", range(8))
def test_loss_never_turns_an_answer_into_another(windows: dict[str, bool], seed: int) -> None:
    seen = look(port_forwarding, edge_with(weather=Weather(loss=0.2, seed=seed), **windows))
    for state, here in told(seen).values():
        assert state in ("answered", "undecided", "forwarded")
        assert here is not False


def test_a_filter_that_lets_anyone_in_proves_no_rule() -> None:
    """The PBX has used its ports, and this NAT lets anyone in on a used port: its answer needs no rule."""

    def used(edge: Edge) -> None:
        edge.nat.outbound("udp", 5060, edge.network().primary)

    seen = look(port_forwarding, edge_with(used, nat=lambda: Nat(filtering="endpoint-independent"), **ROOT))
    assert rows(seen)["udp", 5060].state == "undecided"
    assert "no rule is proved" in rows(seen)["udp", 5060].reason


# ---- somebody else answers


def elsewhere(services: dict[tuple[str, int], Service]) -> Callable[[Edge], None]:
    def lead(edge: Edge) -> None:
        edge.computer.elsewhere = services

    return lead


@pytest.mark.parametrize("windows", [ROOT, USER, ELSE], ids=["privileged", "unprivileged", "elsewhere"])
def test_a_rule_to_another_make_is_a_wrong_host(windows: dict[str, bool]) -> None:
    seen = look(port_forwarding, edge_with(elsewhere(pbx(ELSEWHERE, software="an old PBX")), **windows))
    assert told(seen) == dict.fromkeys(HELD, ("answered", False))
    assert set(verdicts(seen).values()) == {("wrong-host", Verdict.FAIL)}
    assert "an old PBX" in say(port_forwarding.CHECK, seen).findings[0].summary


def test_a_twin_is_told_apart_by_the_packets_alone() -> None:
    twin = elsewhere(pbx())
    assert told(look(port_forwarding, edge_with(twin, **ROOT))) == dict.fromkeys(HELD, ("answered", False))
    for windows in (USER, ELSE, {}):
        seen = look(port_forwarding, edge_with(twin, **windows))
        assert told(seen) == dict.fromkeys(HELD, ("answered", None)), windows
        assert {verdict for _, verdict in verdicts(seen).values()} == {Verdict.INCONCLUSIVE}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("windows", [ROOT, USER, ELSE], ids=["privileged", "unprivileged", "elsewhere"])
def test_a_twin_is_never_taken_for_this_machine_whatever_is_lost(windows: dict[str, bool], seed: int) -> None:
    seen = look(port_forwarding, edge_with(elsewhere(pbx()), weather=Weather(loss=0.2, seed=seed), **windows))
    assert not any(here for _, here in told(seen).values())
    assert all(verdict is not Verdict.PASS for _, verdict in verdicts(seen).values())


def test_a_router_that_puts_its_own_address_in_the_senders_place_makes_no_wrong_host() -> None:
    for windows in (ROOT, USER):
        seen = look(port_forwarding, edge_with(rewrites_sender=True, **windows))
        assert told(seen)["udp", 5060] == ("answered", True)
        assert {told(seen)["tcp", port] for port in (5060, 5061)} == {("answered", None)}
        assert "the sender's place" in rows(seen)["tcp", 5060].reason


# ---- nobody answers


MUTE = msgspec.structs.replace(PROFILE, ports=(PortNeed(ports="4569", transport="udp", purpose="IAX2"),), rtp=None)


def mute(change: Callable[[Edge], None] = lambda edge: None, *, rule: bool = True, **windows: Any) -> Any:
    def make() -> Edge:
        edge = Edge(Nat(forwarded={("udp", 4569): 4569} if rule else {}), windows.pop("weather", None))
        edge.taken |= {("udp", 4569)}
        edge.computer.services = {("udp", 4569): Service(speaks_sip=False)}
        for name, value in windows.items():
            setattr(edge.computer, name, value)
        change(edge)
        return edge

    (row,) = look(port_forwarding, make, MUTE).ports
    return row


def test_a_udp_service_that_is_silent_is_seen_to_be_reached() -> None:
    for windows, window in ((ROOT, "packet socket"), (USER, "counter of marked packets")):
        row = mute(**windows)
        assert (row.state, row.seen_by) == ("forwarded", window)
    for windows in (ELSE, {}, {**USER, "keeps_marks": False}):
        assert mute(**windows).state == "undecided"


def test_what_the_machines_own_firewall_drops_is_not_forwarded() -> None:
    for windows in (ROOT, USER):
        row = mute(drops={4569}, **windows)
        assert (row.state, row.here) == ("blocked", "dropped")


DROPS: dict[str, Any] = {"drops": {5060, 5061}}


@pytest.mark.parametrize("windows", [ROOT, USER], ids=["privileged", "unprivileged"])
def test_the_firewall_before_a_running_pbx_is_the_cause_and_the_only_one(windows: dict[str, bool]) -> None:
    seen = look(port_forwarding, edge_with(**windows, **DROPS))
    assert verdicts(seen) == dict.fromkeys(("UDP 5060", "TCP 5060-5061"), ("host-firewall", Verdict.FAIL))
    assert "counted each question to it as received and not delivered" in "".join(say(port_forwarding.CHECK, seen).findings[0].evidence)


def test_without_counters_what_was_seen_to_arrive_is_led_nowhere_else() -> None:
    seen = look(port_forwarding, edge_with(**{**ROOT, "has_counters": False}, **DROPS))
    assert set(verdicts(seen).values()) == {("undecided", Verdict.INCONCLUSIVE)}
    for row in seen.ports:
        assert "arrives at this machine" in row.reason
        assert "own firewall" in row.reason


@pytest.mark.parametrize("windows", [ROOT, USER], ids=["privileged", "unprivileged"])
@pytest.mark.parametrize("seed", range(6))
def test_loss_before_a_firewall_makes_no_other_cause_certain(windows: dict[str, bool], seed: int) -> None:
    seen = look(port_forwarding, edge_with(weather=Weather(loss=0.15, seed=seed), **windows, **DROPS))
    assert {id for id, _ in verdicts(seen).values()} <= {"host-firewall", "undecided", "blocked"}


@pytest.mark.parametrize("period", [0.03, 0.2, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("windows", [ROOT, USER], ids=["privileged", "unprivileged"])
def test_strangers_packets_that_the_firewall_drops_prove_nothing_of_the_port(windows: dict[str, bool], period: float) -> None:
    """Neighbors' broadcasts are dropped all the time, while the service is silent, or while no rule leads here."""
    noise = {"dropped_noise": lambda now: int(now / period)}
    assert mute(**windows, **noise).here is None
    assert mute(rule=False, **windows, **noise).here is None
    seen = look(port_forwarding, edge_with(forwarded={}, **windows, **noise))
    assert all(row.here is None for row in seen.ports)


def test_silence_without_a_rule_is_blocked_only_where_every_packet_is_seen() -> None:
    assert mute(rule=False, **ROOT).state == "blocked"
    assert mute(rule=False, **USER).state == "undecided"
    assert mute(rule=False, weather=Weather(loss=0.6, seed=3), **ROOT).state in ("undecided", "blocked")


@pytest.mark.parametrize("seed", range(8))
def test_loss_never_makes_a_forwarded_service_blocked(seed: int) -> None:
    for windows in (ROOT, USER):
        assert mute(weather=Weather(loss=0.25, seed=seed), **windows).state in ("forwarded", "undecided")


@pytest.mark.parametrize("period", [0.03, 0.3, 1.0, 3.0])
def test_strangers_marked_packets_prove_nothing(period: float) -> None:
    """L4S traffic of others: the counter rises by itself."""
    row = mute(rule=False, noise=lambda now: int(now / period), **USER)
    assert row.state == "undecided"


def test_no_connection_though_the_service_accepts_one_here_is_blocked() -> None:
    for windows in (ROOT, USER, {}):
        seen = look(port_forwarding, edge_with(forwarded={("udp", 5060): 5060}, **windows))
        assert [told(seen)["tcp", port][0] for port in (5060, 5061)] == ["blocked", "blocked"]


# ---- ports that nobody uses and this user may not open


def test_a_port_that_may_not_be_opened_and_is_not_used_is_no_error() -> None:
    class Ordinary(Edge):
        async def listen_tcp(self, port: int) -> FakeListener:
            if 0 < port < 1024:
                raise LocalFailure("permission", f"Could not bind {port}/tcp: this user may not.")
            return await super().listen_tcp(port)

        async def open_udp(self, port: int) -> FakeUdp:
            if 0 < port < 1024:
                raise LocalFailure("permission", f"Could not bind {port}/udp: this user may not.")
            return await super().open_udp(port)

    def profile(*ports: PortNeed) -> Any:
        return msgspec.structs.replace(MUTE, ports=ports)

    web = PortNeed(ports="443", transport="tcp", purpose="web", protocol="web")
    dns = PortNeed(ports="53", transport="udp", purpose="names")
    seen = look(port_forwarding, lambda: Ordinary(Nat()), profile(web, dns))
    assert {row.unused for row in seen.ports} == {True}
    assert set(verdicts(seen).values()) == {("not-tested", Verdict.SKIPPED)}

    def with_a_server() -> Edge:
        edge = Ordinary(Nat(forwarded={("tcp", 443): 443}))
        edge.computer.services = {("tcp", 443): Service(speaks_sip=False)}
        edge.computer.sees_connections = True
        return edge

    (row,) = look(port_forwarding, with_a_server, profile(web)).ports
    assert (row.state, row.answered_here, row.unused) == ("answered", True, False)


# ---- how sure it is


def test_the_chance_that_strangers_raised_the_counter() -> None:
    """Against a steady rate of every strength, by the formula's own meaning: a rise in each of m windows, none in k windows' time."""
    for rises, quiet in ((4, 25), (6, 13), (8, 9)):
        worst = max((1 - 2.718281828 ** -(rate / 100)) ** rises * 2.718281828 ** (-(rate / 100) * quiet) for rate in range(1, 500))
        bound = chance_of_strangers(rises, quiet)
        assert worst <= bound * 1.001
        assert bound <= worst * 1.05
    assert chance_of_strangers(6, 13) > WRONG_BY_CHANCE / 10
    assert chance_of_strangers(0, 100) == 1.0
    assert chance_of_strangers(1, 1000) > WRONG_BY_CHANCE


@pytest.mark.parametrize(
    ("arrived", "undelivered", "verdict"), [(6, 0, True), (6, 3, True), (6, 4, None), (6, 5, None), (6, 6, False), (6, 60, False), (1, 1, False)]
)
def test_delivered_unless_as_much_was_dropped_as_arrived(arrived: int, undelivered: int, verdict: bool | None) -> None:
    assert was_delivered(arrived, undelivered) is verdict
