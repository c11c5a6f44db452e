"""Two machines behind one edge, with one server: what the first one contacted must not mislead the second."""

import asyncio
from typing import Any

import pytest

from edgecheck.checks import nat_behavior, port_forwarding, rtp_range
from edgecheck.model.profile import PortNeed, Profile
from edgecheck.wire.address import Endpoint
from tests.fakes import clock
from tests.fakes.edge import Edge
from tests.fakes.memory import SharedMemory
from tests.fakes.nat import EIGHT, Nat

PROFILE = Profile(
    name="test",
    title="",
    source="",
    confidence="verified",
    checks=(),
    ports=(PortNeed(transport="udp", ports="5060", purpose="SIP"), PortNeed(transport="tcp", ports="5060", purpose="SIP")),
    rtp=(10_000, 10_019),
)
CHECKS = (nat_behavior, port_forwarding, rtp_range)


class Neighbor(Edge):
    """The second machine: what is let in because a port of the first one has sent comes to that one."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.sent: set[int] = set()

    def from_client(self, port: int, data: bytes, to: Endpoint) -> None:
        self.sent.add(port)
        super().from_client(port, data, to)

    def admits(self, transport: str, source: Endpoint, port: int) -> int | None:
        local = super().admits(transport, source, port)
        return None if self.nat.filtering == "address-dependent" and local not in self.sent else local


async def all_three(edge: Edge, memory: Any = None) -> list[Any]:
    network = edge.network(memory)
    network.gate.open()
    return [await check.CHECK.probe(network, PROFILE) for check in CHECKS]


def second(nat: dict[str, Any], pause: float = 60.0, own: Any = None) -> list[Any]:
    """What the second machine finds so long after the first one's run; ``own``: what both remember, where it is one machine."""

    async def work() -> list[Any]:
        edge = Edge(Nat(**nat))
        await all_three(edge, own)
        await asyncio.sleep(pause)
        if own is not None:
            own.clock += pause
        other = Neighbor(edge.nat, server=edge.server) if own is None else Edge(edge.nat, server=edge.server)
        other._next_port = 50_000
        return await all_three(other, own)

    return clock.run(work())


def test_a_router_that_remembers_hosts_misleads_nobody() -> None:
    """Without the server's record it read as endpoint-independent, and every port as forwarded."""
    nat, forwarding, rtp = second(EIGHT["restricted by host"])
    assert nat.filtering is None
    assert "contacted the alternate address" in nat.reasons["filtering"]
    assert {row.state for row in forwarding.ports} == {"undecided"}
    assert (rtp.inbound_open, rtp.undecided) == (0, ((10_000, 10_019),))


@pytest.mark.parametrize("name", [name for name in EIGHT if name not in ("restricted by host", "full cone", "none")])
def test_the_others_are_told_as_ever(name: str) -> None:
    nat, forwarding, rtp = second(EIGHT[name])
    assert nat.filtering == ("address-dependent" if name == "restricted cone" else "address-and-port-dependent")
    assert {row.state for row in forwarding.ports} == {"blocked"}
    assert (rtp.inbound_open, rtp.undecided) == (0, ())


def test_a_full_cone_is_told_again_by_the_machine_that_saw_it_first() -> None:
    assert second(EIGHT["full cone"], own=SharedMemory())[0].filtering == "endpoint-independent"


def test_a_full_cone_is_told_to_another_machine_when_no_router_remembers_any_more() -> None:
    assert second(EIGHT["full cone"])[0].filtering is None
    assert second(EIGHT["full cone"], pause=601.0)[0].filtering == "endpoint-independent"


def test_what_a_session_contacts_itself_spoils_nothing() -> None:
    async def work() -> list[Any]:
        return await all_three(Edge(Nat(**EIGHT["full cone"])), SharedMemory())

    nat, _, _ = clock.run(work())
    assert nat.filter_test.alternate_contacted_s is None
    assert nat.filtering == "endpoint-independent"
