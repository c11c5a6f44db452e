"""A prober that is shut out for knocking: its silence is no missing rule; and one that is let in all the time is never taken for one."""

from typing import Any

import msgspec
import pytest

from edgecheck.checks import port_forwarding, rtp_range
from edgecheck.checks.port_forwarding.shut_out import Witness, leave, left, witness_of
from edgecheck.model.verdict import Verdict
from edgecheck.wire.address import Endpoint
from tests.checks.probing import NEEDS, PROFILE, SIP, look, say
from tests.checks.test_port_forwarding_live import ELSE, ROOT, USER, edge_with
from tests.fakes import clock
from tests.fakes.edge import ALTERNATE, PRIMARY, Edge, Weather
from tests.fakes.memory import SharedMemory
from tests.fakes.nat import EIGHT, Nat

PORT_RESTRICTED: dict[str, Any] = {"per_destination_ports": True}


class Banning(Nat):
    """After so many unsolicited flows of one host it takes no more of them; flows that it knows go on."""

    def __init__(self, most: int, **options: Any) -> None:
        super().__init__(**options)
        self._most = most
        self._known: set[tuple[str, Endpoint, int]] = set()

    def inbound(self, transport: str, source: Endpoint, port: int) -> int | None:  # type: ignore[override]
        flow = (transport, source, port)
        solicited = any(source in contacts for contacts in self._contacts.values())
        if source.host == ALTERNATE and flow not in self._known and not solicited:
            if len(self._known) >= self._most:
                return None
            self._known.add(flow)
        return super().inbound(transport, source, port)  # type: ignore[arg-type]


def seen_behind(nat: Any, loss: float = 0.0, seed: int = 0) -> Any:
    return look(port_forwarding, lambda: Edge(nat(), Weather(loss=loss, seed=seed)))


@pytest.mark.parametrize("most", [4, 5, 6])
def test_a_prober_that_is_shut_out_finds_no_rule_missing(most: int) -> None:
    seen = seen_behind(lambda: Banning(most, **PORT_RESTRICTED, forwarded=dict(SIP)))
    states = {(row.transport, row.port): row.state for row in seen.ports}
    assert states["udp", 5060] == "forwarded"
    assert "blocked" not in states.values()
    silent = [row for row in seen.ports if row.state == "undecided"]
    assert silent
    assert all("before and no longer is" in row.reason for row in silent)
    assert Verdict.FAIL not in {finding.verdict for finding in say(port_forwarding.CHECK, seen).findings}


@pytest.mark.parametrize("loss", [0.0, 0.15])
@pytest.mark.parametrize("seed", range(4))
def test_a_missing_rule_stays_one(seed: int, loss: float) -> None:
    seen = seen_behind(lambda: Nat(**PORT_RESTRICTED, forwarded={("udp", 5060): 5060}), loss, seed)
    states = {(row.transport, row.port): row.state for row in seen.ports}
    assert states["udp", 5060] in ("forwarded", "undecided")
    for row in seen.ports:
        assert "shuts out" not in row.reason
    if not loss:
        assert states["tcp", 5060] == states["tcp", 5061] == "blocked"


def test_the_witness_is_one_of_this_session_alone() -> None:
    async def work() -> None:
        net = Edge(Nat()).network(memory=SharedMemory())
        witness = Witness("udp", 5060, False)
        assert left(net) is None
        leave(net, witness)
        assert left(net) == witness
        net.memory.note("let-in", "00 udp 5060 0")
        assert left(net) is None, "of another session: the rule may have gone since"

    clock.run(work())


@pytest.mark.parametrize("most", [3, 5, 8, 20])
@pytest.mark.parametrize("end", [10_000, 10_199])
def test_an_end_of_the_rtp_range_is_a_witness_where_sip_has_no_rule(end: int, most: int) -> None:
    """The first packets of all go there: who is shut out afterwards was let in once."""
    seen = seen_behind(lambda: Banning(most, **PORT_RESTRICTED, forwarded={("udp", end): end, **({} if most < 8 else SIP)}))
    assert "blocked" not in {row.state for row in seen.ports}
    assert any(f"let in at UDP {end} before and no longer is" in row.reason or row.state == "forwarded" for row in seen.ports)


@pytest.mark.parametrize("rtp", [{}, {("udp", 10_000): 10_000}])
def test_an_end_of_the_rtp_range_that_is_open_hides_no_missing_rule(rtp: dict[tuple[str, int], int]) -> None:
    seen = seen_behind(lambda: Nat(**PORT_RESTRICTED, forwarded=rtp))
    assert {row.state for row in seen.ports} == {"blocked"}


def test_what_was_not_reached_is_no_witness() -> None:
    seen = seen_behind(lambda: Nat(**PORT_RESTRICTED))
    assert witness_of(seen.ports) is None


# ---- shut out before anything was reached: the server's primary address, which has knocked nowhere, is let in all the same


class SynGuard(Banning):
    """The same for TCP alone."""

    def inbound(self, transport: str, source: Endpoint, port: int) -> int | None:  # type: ignore[override]
        return Nat.inbound(self, transport, source, port) if transport == "udp" else super().inbound(transport, source, port)  # type: ignore[arg-type]


@pytest.mark.parametrize("most", range(4))
def test_a_prober_that_has_reached_nothing_before_it_was_shut_out_finds_no_rule_missing(most: int) -> None:
    seen = seen_behind(lambda: Banning(most, **PORT_RESTRICTED, forwarded=dict(SIP)))
    assert not [row for row in seen.ports if row.state == "blocked"]
    said = say(port_forwarding.CHECK, seen)
    assert said.verdict == Verdict.INCONCLUSIVE
    silent = [row for row in seen.ports if row.state == "undecided"]
    assert silent
    assert all("let in at" in row.reason for row in silent)


def test_a_port_that_is_taken_meanwhile_leaves_the_other_witnesses() -> None:
    """A program of this machine takes a port between the rounds and the question of the primary address."""

    class TakenLater(Edge):
        opened = 0

        async def listen_tcp(self, port: int) -> Any:
            self.opened += port == 5060
            if self.opened > 1:
                self.taken.add(("tcp", 5060))
            return await super().listen_tcp(port)

    seen = look(port_forwarding, lambda: TakenLater(Banning(0, **PORT_RESTRICTED, forwarded=dict(SIP))))
    assert not [row for row in seen.ports if row.state == "blocked"]


def test_a_guard_against_syn_floods_is_no_missing_rule() -> None:
    seen = seen_behind(lambda: SynGuard(0, **PORT_RESTRICTED, forwarded=dict(SIP)))
    states = {(row.transport, row.port): row.state for row in seen.ports}
    assert states == {("udp", 5060): "forwarded", ("tcp", 5060): "undecided", ("tcp", 5061): "undecided"}
    assert all("the server's primary address is let in at TCP 5060" in row.reason for row in seen.ports if row.transport == "tcp")


@pytest.mark.parametrize("most", [0, 2, 5])
@pytest.mark.parametrize("windows", [ROOT, USER, ELSE], ids=["privileged", "unprivileged", "elsewhere"])
def test_a_pbx_at_work_lacks_no_rule_for_it(windows: dict[str, bool], most: int) -> None:
    seen = look(port_forwarding, edge_with(nat=lambda: Banning(most, **PORT_RESTRICTED, forwarded=dict(SIP)), **windows))
    assert not [row for row in seen.ports if row.state == "blocked"]
    assert any("let in at" in row.reason for row in seen.ports)


@pytest.mark.parametrize("used", [False, True], ids=["unused", "used"])
@pytest.mark.parametrize("name", [name for name in EIGHT if name != "none"])
def test_a_filter_that_lets_in_who_was_contacted_is_no_guard(name: str, used: bool) -> None:
    """The ports have sent to the primary address, as ``port-preservation`` has them do: some filters let it in for that."""
    memory = SharedMemory()

    def make() -> Edge:
        edge = Edge(Nat(**EIGHT[name]))  # type: ignore[arg-type]
        for transport, port in [("udp", 5060)] if used else []:
            edge.nat.outbound(transport, port, Endpoint(PRIMARY, 3478))
            memory.note_sent([port], transport)
        return edge

    for row in look(port_forwarding, make, memory=memory).ports:
        assert "primary address" not in row.reason
        assert row.state == "blocked" or (row.state, row.arrived > 0) == ("undecided", True)


def test_what_was_let_in_while_the_canaries_were_shut_out_proves_no_rule() -> None:
    """The port is used, and this NAT lets anyone in on a used port; the canaries that would have shown it came too late."""

    def make() -> Edge:
        edge = Edge(Banning(3, filtering="endpoint-independent"))  # both ends of the RTP range were sent to before
        edge.nat.outbound("udp", 5060, Endpoint("203.0.113.77", 5060))
        return edge

    seen = look(port_forwarding, make, msgspec.structs.replace(PROFILE, ports=NEEDS[:1]))
    (row,) = seen.ports
    assert (row.arrived > 0, row.state) == (True, "undecided")


@pytest.mark.parametrize("most", [0, 1, 40])
def test_rtp_that_is_forwarded_is_not_blocked_by_who_shuts_out(most: int) -> None:
    profile = msgspec.structs.replace(PROFILE, rtp=(10_000, 10_099))
    rules = {("udp", port): port for port in range(10_000, 10_100)}
    seen = look(rtp_range, lambda: Edge(Banning(most, **PORT_RESTRICTED, forwarded=rules)), profile)
    assert seen.inbound_blocked == ()
    assert Verdict.FAIL not in {finding.verdict for finding in say(rtp_range.CHECK, seen, profile).findings}


class Shut(Nat):
    """Nothing unasked comes in from either address of the server."""

    def inbound(self, transport: str, source: Endpoint, port: int) -> int | None:  # type: ignore[override]
        solicited = any(source in contacts for contacts in self._contacts.values())
        return super().inbound(transport, source, port) if solicited else None  # type: ignore[arg-type]


@pytest.mark.parametrize(("guarded", "later", "state"), [(True, 60, "undecided"), (True, 700, "blocked"), (False, 60, "blocked")])
def test_what_an_earlier_run_saw_of_a_guard_is_minded_for_ten_minutes(guarded: bool, later: float, state: str) -> None:
    memory = SharedMemory()
    before = Banning(5, **PORT_RESTRICTED, forwarded=dict(SIP)) if guarded else Nat(**PORT_RESTRICTED)
    look(port_forwarding, lambda: Edge(before), memory=memory)
    memory.clock += later
    seen = look(port_forwarding, lambda: Edge(Shut(**PORT_RESTRICTED, forwarded=dict(SIP))), memory=memory)
    assert {row.state for row in seen.ports} == {state}
    assert all(("in an earlier run" in row.reason) == (state == "undecided") for row in seen.ports)
