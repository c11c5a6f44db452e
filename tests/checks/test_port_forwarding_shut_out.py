"""A prober that is shut out for knocking: its silence is no missing rule; and one that is let in all the time is never taken for one."""

from typing import Any

import pytest

from edgecheck.checks import port_forwarding
from edgecheck.checks.port_forwarding.shut_out import Witness, leave, left, witness_of
from edgecheck.model.verdict import Verdict
from edgecheck.wire.address import Endpoint
from tests.checks.probing import SIP, look, say
from tests.fakes import clock
from tests.fakes.edge import ALTERNATE, Edge, Weather
from tests.fakes.memory import SharedMemory
from tests.fakes.nat import Nat

PORT_RESTRICTED: dict[str, Any] = {"per_destination_ports": True}


class Banning(Nat):
    """After so many unsolicited flows of one host it takes no more of them; flows that it knows go on."""

    def __init__(self, most: int, **options: Any) -> None:
        super().__init__(**options)
        self._most = most
        self._known: set[tuple[str, Endpoint, int]] = set()

    def inbound(self, transport: str, source: Endpoint, port: int) -> int | None:  # type: ignore[override]
        flow = (transport, source, port)
        if source.host == ALTERNATE and flow not in self._known:
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
    assert all("let in at UDP 5060 before and no longer is" in row.reason for row in silent)
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


def test_what_was_not_reached_is_no_witness() -> None:
    seen = seen_behind(lambda: Nat(**PORT_RESTRICTED))
    assert witness_of(seen.ports) is None
