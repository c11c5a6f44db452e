"""``nat-behavior`` run after run: what the router and this machine remember of the one before; and what a run leaves behind it."""

import pytest

from edgecheck.checks import nat_behavior
from edgecheck.wire.address import Endpoint
from tests.checks.probing import look
from tests.checks.truth import EI, TRUTH
from tests.fakes.edge import ALTERNATE, PRIMARY, Edge, Weather
from tests.fakes.memory import SharedMemory
from tests.fakes.nat import EIGHT, Nat


@pytest.mark.parametrize("gap", [20, 50, 100])
@pytest.mark.parametrize("loss", [0.0, 0.1])
@pytest.mark.parametrize("name", EIGHT)
def test_ten_runs_in_a_row_say_the_same(name: str, loss: float, gap: int) -> None:
    """From the same ports, remembering and remembered. Only where a router remembers hosts may a later run not tell, and it says why."""
    memory, nat = SharedMemory(), Nat(**EIGHT[name])
    for number in range(10):
        seen = look(nat_behavior, lambda number=number: Edge(nat, Weather(loss=loss, seed=number)), memory=memory)
        told = (seen.mapping, seen.filtering, seen.classic_type, seen.behind_nat)
        if name == "restricted by host" and number and seen.filtering is None:
            assert "remembers hosts" in seen.reasons["filtering"]
            assert told == (EI, None, None, True)
        else:
            assert told == TRUTH[name], f"run {number + 1}"
        memory.clock += gap


def test_a_contact_by_another_program_of_ours_is_reckoned_with() -> None:
    """A first run that found the alternate address contacted has nothing to recall: it says so."""
    memory = SharedMemory()
    memory.note_contact(ALTERNATE)
    memory.clock += 30
    nat = Nat(remembers_hosts=True)
    nat.outbound("udp", 50_001, Endpoint(ALTERNATE, 3478))
    seen = look(nat_behavior, lambda: Edge(nat), memory=memory)
    assert seen.filtering is None
    assert "30 s ago" in seen.reasons["filtering"]


def test_the_alternate_address_is_left_alone_where_nothing_is_translated() -> None:
    """The next run finds it uncontacted, and needs no memory."""
    memory = SharedMemory()
    look(nat_behavior, lambda: Edge(Nat(**EIGHT["none"])), memory=memory)
    assert memory.contacted(ALTERNATE) is None
    look(nat_behavior, lambda: Edge(Nat(**EIGHT["firewall"])), memory=memory)
    assert memory.contacted(ALTERNATE) == 0


def test_the_alternate_address_is_contacted_last() -> None:
    sent: list[Endpoint] = []

    class Watched(Edge):
        def from_client(self, port: int, data: bytes, to: Endpoint) -> None:
            sent.append(to)
            super().from_client(port, data, to)

    look(nat_behavior, lambda: Watched(Nat()))
    second, alternate = Endpoint(PRIMARY, 3479), Endpoint(ALTERNATE, 3478)
    first = min(sent.index(second), sent.index(alternate))
    assert set(sent[first:]) == {second, alternate}, "once they are contacted, nothing is left to be asked of anybody else"
    assert Endpoint(PRIMARY, 3478) in sent[:first]
