"""What comes to this machine and is not heard at its port: another program's, half open connections, and what drowns them."""

import asyncio
from typing import Any

import msgspec
import pytest

from edgecheck.checks.port_forwarding.elsewhere import MOST, look_elsewhere, unless_here
from edgecheck.checks.port_forwarding.observation import PortRow
from edgecheck.model.check import Counters
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint

SENDER = "198.51.100.11:35001"
QUIET = Counters(0, 0)


class Machine:
    """As much of a ``Network`` as is asked here: how its counters rise at each reading, and who stands in its table of connections."""

    observed, rtt = "203.0.113.1", 0.02
    limits = control.Limits()
    sees_packets, sees_connections = False, True

    def __init__(self, *, reads: tuple[int, int, int, int] = (0, 0, 0, 0), accepts: int = 0, table: dict[str, int] | None = None, heard: bool = False) -> None:
        """``reads``: datagrams that programs have read by then, around the quiet, the burst and the quiet."""
        self.reads, self.accepts, self.table, self.heard = list(reads), accepts, table or {}, heard
        self.asked = 0

    def counters(self) -> Counters:
        accepted = self.accepts if self.asked else 0
        return Counters(0, 0, read_udp=self.reads.pop(0) if len(self.reads) > 1 else self.reads[0], accepted_tcp=accepted)

    def new_series(self) -> int:
        return 1

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)

    async def open_udp(self, port: int) -> "Machine":
        return self

    async def listen_tcp(self, port: int) -> "Machine":
        return self

    @property
    def accepted(self) -> list[object]:
        return [object()] * self.heard

    def watch(self) -> "Machine":
        return self

    async def look(self) -> None:
        await asyncio.sleep(0)

    def connections(self, source: Endpoint) -> tuple[int, ...]:
        return (self.table[str(source)],) if str(source) in self.table else ()

    def close(self) -> None: ...

    async def ask(self, make: Any) -> control.Reply:
        await asyncio.sleep(0)
        self.asked += 1
        request = make(1)
        if isinstance(request, control.Probe):
            return control.Probed(id=1, sent=request.copies, failed=0)
        return control.Inquired(id=1, rows=(control.InquiryRow(port=request.ports[0][0], outcome="connected", attempts=1, sources=(SENDER,)),))


def row(transport: Any = "udp", state: Any = "blocked", **facts: Any) -> PortRow:
    given = {"here": "nothing", "passed_on": True, **facts}
    return PortRow(port=5060, transport=transport, purpose="SIP", required=True, state=state, **given)


def looked(machine: Machine, one: PortRow) -> PortRow:
    (found,) = asyncio.run(look_elsewhere(machine, [one], 1.0))  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize(
    ("reads", "expected"),
    [
        ((0, 0, 24, 24), "taken"),
        ((0, 1, 24, 25), "taken"),
        ((0, 0, 1, 1), "nothing"),
        ((0, 40, 64, 110), "undropped"),  # others' datagrams drown it
        ((0, 0, 10, 10), "undropped"),
    ],
)
def test_what_programs_read_of_a_burst(reads: tuple[int, int, int, int], expected: str) -> None:
    assert looked(Machine(reads=reads), row()).here == expected


def test_where_a_connection_stands_in_the_table() -> None:
    answered = row("tcp", "answered", here=None, answered_by="SSH")
    assert looked(Machine(table={SENDER: 22}), answered).lands_on == 22
    elsewhere = looked(Machine(), answered)
    assert (elsewhere.lands_on, elsewhere.here) == (None, "nothing"), "it is not in the table, and nobody accepted one"
    assert looked(Machine(accepts=3), answered).here is None, "somebody accepted some: they may have come under another sender's address"
    assert looked(Machine(accepts=3), row("tcp")).here == "undropped"


def test_a_connection_that_stays_half_open_has_arrived() -> None:
    found = looked(Machine(table={SENDER: 5060}), row("tcp"))
    assert found.state == "undecided"
    assert "its answers do not get back" in found.reason


def test_nobody_on_the_way_has_shut_out_what_came_here() -> None:
    def told(machine: Machine, one: PortRow) -> PortRow:
        doubted = msgspec.structs.replace(one, state="undecided", reason="shut out")
        return asyncio.run(unless_here(machine, one, doubted))  # type: ignore[arg-type]

    assert told(Machine(), row("tcp")).reason == "shut out"
    assert "its answers do not get back" in told(Machine(table={SENDER: 5060}), row("tcp")).reason
    assert told(Machine(), row("udp")).reason == "shut out"
    assert told(Machine(), row("udp", here="reverse-path")).state == "blocked"


def test_one_that_is_heard_after_all_proves_no_other_machine() -> None:
    assert looked(Machine(heard=True), row("tcp")).here == "undropped"


@pytest.mark.parametrize("facts", [{"passed_on": False}, {"here": "dropped"}, {"unbound": "port-in-use"}])
def test_nothing_is_asked_where_it_cannot_be_so(facts: dict[str, Any]) -> None:
    machine = Machine(reads=(0, 0, 24, 24))
    assert looked(machine, row(**facts)) == row(**facts)
    assert not machine.asked


def test_what_is_not_looked_at_is_not_left_out() -> None:
    found = asyncio.run(look_elsewhere(Machine(), [row() for _ in range(MOST + 2)], 1.0))  # type: ignore[arg-type]
    assert [one.here for one in found] == ["nothing"] * MOST + ["undropped"] * 2
