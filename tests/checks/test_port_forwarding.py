"""``port-forwarding``: what is said of an observation; and the check through NATs, losses, rules, and runs in a row."""

from typing import Any, Literal

import msgspec
import pytest

from edgecheck.checks import port_forwarding, port_preservation
from edgecheck.checks.port_forwarding import Canaries, ForwardingObservation, PortRow, inbound
from edgecheck.checks.unsolicited import NO_CONTROL_FLOW
from edgecheck.model.errors import LocalFailure
from edgecheck.model.profile import PortNeed, Profile
from edgecheck.model.verdict import Verdict
from edgecheck.wire import control, probe
from edgecheck.wire.address import Endpoint
from tests.checks.probing import BREACH, NEEDS, PROFILE, SIP, Said, expecting, look, say
from tests.fakes.edge import ALTERNATE, Edge, Weather
from tests.fakes.memory import SharedMemory
from tests.fakes.nat import EIGHT, Nat

UDP_ONLY = msgspec.structs.replace(PROFILE, ports=NEEDS[:1])
TCP_ONLY = msgspec.structs.replace(PROFILE, ports=NEEDS[1:])


def states(seen: ForwardingObservation) -> dict[tuple[str, int], str]:
    return {(row.transport, row.port): row.state for row in seen.ports}


def row(transport: Literal["udp", "tcp"], port: int, state: Any, **facts: Any) -> PortRow:
    given = {"purpose": "SIP", "required": True, "copies": 6, "arrived": 6 * (state == "forwarded"), **facts}
    return PortRow(transport=transport, port=port, state=state, **given)


def judged(*rows: PortRow, profile: Profile = PROFILE, **facts: Any) -> Said:
    observed = ForwardingObservation(ports=rows, probed_address="203.0.113.1", prober="198.51.100.11", **facts)
    return say(port_forwarding.CHECK, observed, profile)


# ---- what is said


@pytest.mark.parametrize("expectation", BREACH)
def test_forwarded(expectation: str) -> None:
    said = judged(row("udp", 5060, "forwarded"), row("tcp", 5061, "forwarded"), profile=expecting(forwarding=expectation))
    assert (said.ids, said.verdict) == (["forwarded", "forwarded"], Verdict.PASS)
    assert said.findings[0].summary == "UDP 5060 (SIP) arrives: unsolicited packets reach this machine."
    assert said.summary == "5060/udp, 5061/tcp arrive"
    assert said.findings[0].evidence[0] == "UDP 5060: 6 probes from 198.51.100.11 to 203.0.113.1:5060, 6 arrived"
    assert said.findings[1].evidence[0].endswith("one answered with the nonce")


@pytest.mark.parametrize("expectation", BREACH)
def test_blocked_counts_as_the_profile_expects(expectation: str) -> None:
    said = judged(row("udp", 5060, "blocked"), row("tcp", 5060, "forwarded"), profile=expecting(forwarding=expectation))
    finding = said.finding("blocked")
    assert (finding.verdict, said.verdict) == (BREACH[expectation], BREACH[expectation])
    if expectation == "ignore":
        assert finding.summary == "UDP 5060 (SIP) does not come in unasked, which this profile does not need."
        assert said.summary == "5060/tcp arrives; 5060/udp does not come in unasked, which this profile does not need"
    else:
        assert finding.summary == "UDP 5060 (SIP) never arrives: nothing unsolicited gets in there."
        assert said.summary == "5060/tcp arrives; 5060/udp never arrives"


@pytest.mark.parametrize("expectation", BREACH)
def test_refused_names_who_refused(expectation: str) -> None:
    facts = {"answered_by": "203.0.113.1", "reason": "ICMP 3/3 from 203.0.113.1, TTL 63"}
    said = judged(row("udp", 5060, "refused", **facts), profile=expecting(forwarding=expectation))
    finding = said.finding("refused")
    assert finding.verdict is BREACH[expectation]
    assert "is refused by 203.0.113.1" in finding.summary
    assert ("does not need" in finding.summary) is (expectation == "ignore")
    assert "ICMP 3/3 from 203.0.113.1, TTL 63" in finding.evidence[0]
    assert said.summary == "5060/udp is refused" + ", which this profile does not need" * (expectation == "ignore")


def test_an_optional_port_is_worth_a_warning_at_most() -> None:
    assert judged(row("tcp", 5061, "blocked", required=False)).verdict is Verdict.WARN
    both = judged(row("tcp", 5060, "blocked"), row("tcp", 5061, "blocked", required=False))
    assert [(finding.subject, finding.verdict) for finding in both.findings] == [("TCP 5060", Verdict.FAIL), ("TCP 5061", Verdict.WARN)]
    assert both.summary == "5060/tcp, 5061/tcp never arrive"


def test_another_program_that_answers_is_not_this_test() -> None:
    said = judged(row("tcp", 5060, "answered", answered_by="SSH-2.0-OpenSSH"))
    assert (said.ids, said.verdict) == (["answered"], Verdict.INCONCLUSIVE)
    assert said.finding("answered").summary == "TCP 5060 (SIP) is answered by something else than this test (SSH-2.0-OpenSSH)."
    assert said.summary == "5060/tcp is answered by something else"


def test_undecided_says_why() -> None:
    said = judged(row("udp", 5060, "undecided", reason="the weather."))
    assert (said.ids, said.verdict, said.summary) == (["undecided"], Verdict.INCONCLUSIVE, "5060/udp could not be told")
    assert said.finding("undecided").summary == "UDP 5060 (SIP) could not be told: the weather."


def test_ports_are_told_together_only_when_the_same_is_true_of_them() -> None:
    said = judged(
        row("tcp", 5060, "refused", answered_by="203.0.113.1"),
        row("tcp", 5061, "refused", answered_by="203.0.113.1"),
        row("tcp", 5062, "refused", answered_by="203.0.113.7"),
        row("tcp", 5063, "undecided", reason="held"),
        row("tcp", 5064, "undecided", reason="lost"),
        row("udp", 5065, "blocked"),
        row("udp", 5066, "blocked"),
        row("tcp", 5067, "answered", answered_by="nginx"),
        row("tcp", 5068, "answered", answered_by="SSH-2.0"),
    )
    told = [finding.subject for finding in said.findings]
    assert told == ["TCP 5060-5061", "TCP 5062", "TCP 5063", "TCP 5064", "UDP 5065-5066", "TCP 5067", "TCP 5068"]
    assert "203.0.113.7" in said.findings[1].summary
    assert "SSH-2.0" in said.findings[-1].summary
    for finding in said.findings:
        assert any(sentence.startswith(finding.subject.split("-")[0]) for sentence in finding.evidence)


def test_evidence_holds_the_controls() -> None:
    canaries = Canaries(bare=3, bare_reached=1, mapped_reached=False, control_sent=30, control_arrived=29)
    said = judged(row("udp", 5060, "blocked"), udp=canaries, alternate_contacted_s=30.4, alternate_answers=True, alternate_connects=False)
    assert said.findings[0].evidence[1:] == (
        "control from the contacted address: 29 of 30 arrived",
        "ports that no rule should name: 1 of 3 were reached from 198.51.100.11",
        "a used port was not reached from 198.51.100.11",
        "198.51.100.11 had been contacted from here 30 s before",
        "contacted afterwards over UDP, 198.51.100.11 answered",
        "contacted afterwards over TCP, 198.51.100.11 did not answer",
    )


def test_many_ports_make_no_endless_row() -> None:
    said = judged(*(row("tcp", port, "blocked") for port in range(5060, 5092)))
    assert said.summary == "5060/tcp, 5061/tcp, 5062/tcp, 5063/tcp, 5064/tcp, 5065/tcp ... never arrive"
    assert said.findings[0].subject == "TCP 5060-5091"


def test_a_profile_without_inbound_ports_is_not_asked() -> None:
    ports = (
        PortNeed(ports="5060", transport="udp", purpose="SIP", protocol="sip", direction="out"),
        PortNeed(ports="10000-10999", transport="udp", purpose="media", protocol="rtp"),
    )
    out = msgspec.structs.replace(PROFILE, ports=ports)
    assert (inbound(out), port_forwarding.CHECK.unfit(out)) == ([], "the profile needs no port forwarded")
    assert [port for _, port in inbound(PROFILE)] == [5060, 5060, 5061]
    assert not port_forwarding.CHECK.unfit(PROFILE)


# ---- through the matrix

LETS_ALL_IN = {"none"}


@pytest.mark.parametrize("name", EIGHT)
@pytest.mark.parametrize("loss", [0.0, 0.1, 0.25])
@pytest.mark.parametrize("rule", [True, False])
def test_forwarding_is_never_wrong(name: str, loss: float, rule: bool) -> None:
    decided, runs = 0, 8
    for seed in range(runs):
        nat = Nat(**EIGHT[name], seed=seed, forwarded=dict(SIP) if rule else {})
        seen = look(port_forwarding, lambda nat=nat, seed=seed: Edge(nat, Weather(loss=loss, seed=seed)))
        truth = "forwarded" if rule or name in LETS_ALL_IN else "blocked"
        for one in seen.ports:
            assert one.state in (truth, "undecided"), (seed, one)
            assert one.state != "undecided" or one.reason, one
        # On a NAT that lets anyone in on a used port, no arrival over UDP proves a rule: who knows what else has used the port?
        loose = rule and name == "full cone"
        decided += all(one.state == truth or (loose and one.transport == "udp") for one in seen.ports)
    assert decided >= (runs if loss <= 0.1 else runs // 2)


@pytest.mark.parametrize("loss", [0.4, 0.6, 0.8])
def test_heavy_loss_is_never_a_missing_rule(loss: float) -> None:
    for seed in range(15):
        nat = Nat(per_destination_ports=True, forwarded=dict(SIP), seed=seed)
        seen = look(port_forwarding, lambda nat=nat, seed=seed: Edge(nat, Weather(loss=loss, seed=seed)))
        assert set(states(seen).values()) <= {"forwarded", "undecided"}, seed


def test_one_rule_of_three() -> None:
    seen = look(port_forwarding, lambda: Edge(Nat(forwarded={("tcp", 5061): 5061}), Weather(loss=0.1, seed=1)))
    assert states(seen) == {("udp", 5060): "blocked", ("tcp", 5060): "blocked", ("tcp", 5061): "forwarded"}


def test_a_rule_to_another_port_of_this_machine_is_no_rule_for_this_one() -> None:
    seen = look(port_forwarding, lambda: Edge(Nat(forwarded={("udp", 5060): 5099})), UDP_ONLY)
    assert states(seen) == {("udp", 5060): "blocked"}


# ---- runs in a row


def test_a_used_port_on_a_loose_nat_is_not_forwarded() -> None:
    """Its old mapping lets anyone in: a second run can not tell, and says so; ten minutes later it can again."""
    memory = SharedMemory()
    nat = Nat(filtering="endpoint-independent")
    assert states(look(port_forwarding, lambda: Edge(nat), memory=memory))["udp", 5060] == "blocked"
    look(port_preservation, lambda: Edge(nat), memory=memory)
    memory.clock += 30
    second = look(port_forwarding, lambda: Edge(nat), memory=memory)
    assert states(second)["udp", 5060] == "undecided"
    assert "sent packets 30 s ago" in next(one.reason for one in second.ports if one.transport == "udp")
    memory.clock += 700
    assert states(look(port_forwarding, lambda: Edge(Nat(filtering="endpoint-independent")), memory=memory))["udp", 5060] == "blocked"


@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize("lost", [0, 1, 3, 30])
def test_a_canary_that_stays_silent_by_bad_luck_vouches_for_nothing(lost: int, used: bool) -> None:
    """The port of a loose NAT was used. What would show that it is loose is lost, and so many of the control copies beside it."""

    class SilentCanary(Edge):
        lost_controls = 0

        def _at_edge(self, source: Endpoint, destination: Endpoint, data: bytes) -> None:
            if destination.port > 40_000 and data.startswith(probe.MAGIC):
                if source.host == ALTERNATE:
                    return
                if self.lost_controls < lost:
                    self.lost_controls += 1
                    return
            super()._at_edge(source, destination, data)

    nat, memory = Nat(filtering="endpoint-independent"), SharedMemory()
    nat.outbound("udp", 5060, Endpoint("192.0.2.66", 4000))
    if used:
        memory.note_sent([5060])
    seen = look(port_forwarding, lambda: SilentCanary(nat), UDP_ONLY, memory)
    # With few of them lost more rounds follow, and the silence of the canary is a filter after all; with all of them it is nothing.
    assert states(seen) == {("udp", 5060): "undecided" if lost == 30 else "forwarded"}
    assert seen.udp.mapped_reached is (None if lost == 30 else False)
    assert seen.udp.control_sent == {0: 6, 1: 12, 3: 12, 30: 30}[lost]


def test_a_used_tcp_port_on_a_loose_nat_is_not_forwarded() -> None:
    memory = SharedMemory()
    nat = Nat(filtering="endpoint-independent")
    look(port_preservation, lambda: Edge(nat), memory=memory)
    memory.clock += 30
    seen = look(port_forwarding, lambda: Edge(nat), TCP_ONLY, memory)
    assert states(seen) == {("tcp", 5060): "undecided", ("tcp", 5061): "undecided"}
    assert "this NAT lets anyone in" in seen.ports[0].reason


def test_a_rule_on_a_strict_nat_is_told_in_every_run() -> None:
    memory = SharedMemory()
    nat = Nat(per_destination_ports=True, forwarded=dict(SIP))
    for _ in range(10):
        assert set(states(look(port_forwarding, lambda: Edge(nat), memory=memory)).values()) == {"forwarded"}
        look(port_preservation, lambda: Edge(nat), memory=memory)
        memory.clock += 20


def test_a_router_that_remembers_hosts_never_reads_as_forwarding() -> None:
    memory = SharedMemory()
    nat = Nat(remembers_hosts=True)
    first = look(port_forwarding, lambda: Edge(nat), memory=memory)
    assert set(states(first).values()) == {"blocked"}
    memory.clock += 30
    second = look(port_forwarding, lambda: Edge(nat), memory=memory)
    assert set(states(second).values()) == {"undecided"}


@pytest.mark.parametrize("profile", [UDP_ONLY, TCP_ONLY], ids=["udp", "tcp"])
def test_a_remembered_prober_is_found_out_on_either_transport_alone(profile: Profile) -> None:
    memory = SharedMemory()
    nat = Nat(remembers_hosts=True)
    nat.outbound("udp", 50_001, Endpoint(ALTERNATE, 3478))
    memory.note_contact(ALTERNATE)
    memory.clock += 30
    seen = look(port_forwarding, lambda: Edge(nat), profile, memory)
    assert set(states(seen).values()) == {"undecided"}
    assert "contacted the alternate address" in seen.ports[0].reason


def test_a_rule_taken_away_does_not_live_on_in_the_flows_that_it_let_in() -> None:
    nat, memory = Nat(keeps_flows=True, forwarded={("udp", 5060): 5060, ("tcp", 5060): 5060, ("tcp", 5061): 5061}), SharedMemory()
    assert set(states(look(port_forwarding, lambda: Edge(nat), memory=memory)).values()) == {"forwarded"}
    nat.forwarded.clear()
    memory.clock += 5
    assert set(states(look(port_forwarding, lambda: Edge(nat), memory=memory)).values()) == {"blocked"}


@pytest.mark.parametrize("used", [1, 2])
def test_a_canary_that_another_program_has_just_used_exposes_nobody(used: int) -> None:
    """A filter that lets anyone in on a used port; the PBX, stopped a minute ago, used 5060, and a browser some of the canaries' ports."""

    def edge() -> Edge:
        made, elsewhere = Edge(Nat(filtering="endpoint-independent")), Endpoint("192.0.2.9", 5060)
        for port in (5060, *range(40_002, 40_002 + used)):
            made.nat.outbound("udp", port, elsewhere)
        return made

    memory = SharedMemory()
    seen = look(port_forwarding, edge, UDP_ONLY, memory)
    assert (seen.udp.bare_reached, seen.udp.bare) == (used, 3)
    assert states(seen) == {("udp", 5060): "undecided"}
    assert (memory.recall(f"exposed/{ALTERNATE}") or ("",))[0] == "no"


def test_an_exposed_host_stays_forwarded_in_later_runs() -> None:
    memory = SharedMemory()
    nat = Nat(exposed=True, filtering="endpoint-independent")
    for _ in range(10):
        assert set(states(look(port_forwarding, lambda: Edge(nat), memory=memory)).values()) == {"forwarded"}
        memory.note_contact(ALTERNATE)
        memory.clock += 100


def test_used_ports_of_a_machine_without_an_edge_stay_forwarded() -> None:
    """Canaries that sent nothing are reached too: it is not the use of the port that lets the packets in."""
    memory = SharedMemory()
    nat = Nat(**EIGHT["none"])
    for _ in range(3):
        assert set(states(look(port_forwarding, lambda: Edge(nat), memory=memory)).values()) == {"forwarded"}
        look(port_preservation, lambda: Edge(nat), memory=memory)
        memory.clock += 30


# ---- silence without proof


def test_a_dead_alternate_address_blames_nobody() -> None:
    seen = look(port_forwarding, lambda: Edge(Nat(), alternate_dead=True))
    assert set(states(seen).values()) == {"undecided"}
    assert seen.alternate_answers is False


def test_a_dead_alternate_address_for_tcp_alone() -> None:
    """UDP arrives by a rule, so the prober lives; that no TCP arrives proves nothing unless it also connects when contacted."""

    class NoTcp(Edge):
        async def connect(self, to: Any, port: int, timeout: float, *, tls: bool, ttl: int | None = None) -> Any:
            if to.host == ALTERNATE:
                raise LocalFailure("timeout", "no answer in time")
            return await super().connect(to, port, timeout, tls=tls)

    seen = look(port_forwarding, lambda: NoTcp(Nat(forwarded={("udp", 5060): 5060})))
    assert states(seen) == {("udp", 5060): "forwarded", ("tcp", 5060): "undecided", ("tcp", 5061): "undecided"}


def test_without_a_control_flow_nothing_silent_is_decided() -> None:
    seen = look(port_forwarding, lambda: Edge(Nat(blocks_udp=True)))
    assert set(states(seen).values()) == {"undecided"}
    for one in seen.ports:
        assert one.reason.startswith(NO_CONTROL_FLOW)
        assert "0 of 0" not in one.reason
    opened = look(port_forwarding, lambda: Edge(Nat(blocks_udp=True, forwarded=dict(SIP))))
    assert states(opened) == {("udp", 5060): "undecided", ("tcp", 5060): "forwarded", ("tcp", 5061): "forwarded"}


def test_a_control_that_dies_is_counted() -> None:
    class Dies(Edge):
        """The control copies of A1 are lost, and only they."""

        def _at_edge(self, source: Endpoint, destination: Endpoint, data: bytes) -> None:
            if not (data.startswith(probe.MAGIC) and source.port == 3478):
                super()._at_edge(source, destination, data)

    seen = look(port_forwarding, lambda: Dies(Nat()), UDP_ONLY)
    assert states(seen) == {("udp", 5060): "undecided"}
    assert seen.ports[0].reason == "none of 30 control packets arrived, so loss may explain the silence"


def test_several_public_addresses_leave_silence_undecided() -> None:
    seen = look(port_forwarding, lambda: Edge(Nat(udp_public="203.0.113.9")))
    assert states(seen)["udp", 5060] == "undecided"
    assert "203.0.113.9" in next(one.reason for one in seen.ports if one.transport == "udp")


def test_a_port_in_use_is_undecided_where_the_server_cannot_ask() -> None:
    class NoInquiry(Edge):
        def network(self, *given: Any, **named: Any) -> Any:
            kept = tuple(one for one in self.service.capabilities if one != "inquire")
            self.service = msgspec.structs.replace(self.service, capabilities=kept)
            return super().network(*given, **named)

    def edge() -> Edge:
        made = NoInquiry(Nat(forwarded=dict(SIP)))
        made.taken |= {("udp", 5060), ("tcp", 5061)}
        return made

    seen = look(port_forwarding, edge)
    assert states(seen) == {("udp", 5060): "undecided", ("tcp", 5060): "forwarded", ("tcp", 5061): "undecided"}
    assert all("another program" in one.reason for one in seen.ports if one.state == "undecided")


def test_a_server_that_cannot_dial_leaves_tcp_undecided() -> None:
    class NoDial(Edge):
        def network(self, *given: Any, **named: Any) -> Any:
            self.service = msgspec.structs.replace(self.service, capabilities=("alternate-address", "stun-tcp", "media"))
            return super().network(*given, **named)

    seen = look(port_forwarding, lambda: NoDial(Nat(forwarded=dict(SIP))))
    assert states(seen) == {("udp", 5060): "forwarded", ("tcp", 5060): "undecided", ("tcp", 5061): "undecided"}
    assert seen.ports[1].reason == "the server cannot dial back"


# ---- who else may answer a dial


def dialed(outcome: str, detail: str = "") -> type[Edge]:
    """A path on which every dial ends so."""

    class Dialed(Edge):
        async def ask(self, make: Any, timeout: float = 30.0) -> control.Reply:
            request = make(1)
            if isinstance(request, control.Dial):
                ports = [port for low, high in request.ports for port in range(low, high + 1)]
                rows = [control.DialRow(port=port, outcome=outcome, attempts=12, elapsed_ms=1.0, detail=detail) for port in ports]  # type: ignore[arg-type]
                return control.Dialed(id=1, rows=tuple(rows))
            return await super().ask(make, timeout)

    return Dialed


@pytest.mark.parametrize(
    ("outcome", "detail", "state", "answered_by"),
    [
        ("refused", "", "refused", "a reset from the probed address"),
        ("unreachable", "no route to host", "refused", "no route to host"),
        ("connected", "SSH-2.0-OpenSSH", "answered", "SSH-2.0-OpenSSH"),
        ("connected", "", "answered", "a service that said nothing"),
        ("unsent", "too many open files", "undecided", None),
    ],
)
def test_a_dial_that_ends_otherwise(outcome: str, detail: str, state: str, answered_by: str | None) -> None:
    seen = look(port_forwarding, lambda: dialed(outcome, detail)(Nat()), TCP_ONLY)
    assert {(one.state, one.answered_by) for one in seen.ports} == {(state, answered_by)}
    if outcome == "unsent":
        assert seen.ports[0].reason == "the server could not send: too many open files"


def test_icmp_says_who_refused() -> None:
    class Refusing(Edge):
        """The router answers the alternate address's probes with ICMP port unreachable; the server is told."""

        async def ask(self, make: Any, timeout: float = 30.0) -> control.Reply:
            reply = await super().ask(make, timeout)
            if isinstance(reply, control.Accounted) and any(row.sender == "BX" for row in reply.sent):
                error = control.ErrorRow(port=5060, sender="BX", icmp_type=3, icmp_code=3, offender="203.0.113.1", ttl=64)
                reply = msgspec.structs.replace(reply, errors=(error,))
            return reply

    seen = look(port_forwarding, lambda: Refusing(Nat()), UDP_ONLY)
    assert [(one.state, one.answered_by, one.reason) for one in seen.ports] == [
        ("refused", "203.0.113.1", "ICMP 3/3 from 203.0.113.1, TTL 64")
    ]
    arrived = look(port_forwarding, lambda: Refusing(Nat(forwarded=dict(SIP))), UDP_ONLY)
    assert states(arrived) == {("udp", 5060): "forwarded"}, "what arrived has arrived, whatever else was refused"
