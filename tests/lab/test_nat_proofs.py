"""Each simulated NAT is what its name says: proved with plain packets, before edgecheck is judged by it."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.lab.conftest import Laboratory
from tests.lab.ends import Ends, both_ends
from tests.lab.nats import ADM, APDM, BY_KERNEL, EIM, Nat
from tests.lab.topology import SERVER, WAN, Topology

pytestmark = pytest.mark.lab


@dataclass(frozen=True, kw_only=True)
class Bench(Ends):
    nat: Nat

    @property
    def public(self) -> str:
        """The address under which the client is seen outside."""
        return WAN if self.nat.behind else self.topology.client


@pytest.fixture(scope="module", params=BY_KERNEL, ids=lambda nat: nat.name)
def standing(request: pytest.FixtureRequest, laboratory: Laboratory) -> Iterator[tuple[Nat, Topology]]:
    with laboratory.stand(request.param.plan, request.param.name) as topology:
        yield request.param, topology


@pytest.fixture
def bench(standing: tuple[Nat, Topology]) -> Iterator[Bench]:
    nat, topology = standing
    topology.forget()
    with both_ends(topology) as (client, server):
        yield Bench(topology, client, server, nat=nat)


def test_mapping(bench: Bench) -> None:
    """One socket, three destinations: the same port outside, or another for each (RFC 4787 section 4.1)."""
    bench.client.bind("p", 40000)
    seen = [bench.mapped("p", to) for to in ("a1", "a2", "b1")]
    assert {host for host, _ in seen} == {bench.public}
    expected = {EIM: 1, ADM: 2, APDM: 3}[bench.nat.mapping]
    assert len({port for _, port in seen}) == expected, seen


def test_port_preservation(bench: Bench) -> None:
    """Ten ports: all keep their number, or (where ports are drawn at random) not all of them do."""
    kept = []
    for port in range(41000, 41010):
        bench.client.bind(str(port), port)
        kept.append(bench.mapped(str(port))[1] == port)
    assert all(kept) if bench.nat.preserving else not all(kept)


def test_filtering(bench: Bench) -> None:
    """A fresh socket that has sent to one address and port: who else gets in (RFC 4787 section 5)?"""
    bench.client.bind("q")
    mapped = bench.mapped("q")
    expected = {EIM: ["a2", "b1"], ADM: ["a2"], APDM: []}[bench.nat.filtering]
    assert bench.arrives("q", mapped, "a2", "b1") == expected


def test_filter_keyed_by_mapping_or_by_host(bench: Bench) -> None:
    """Another socket of the same client has sent to B: does that let B in here? Only a router that remembers hosts says yes."""
    bench.client.bind("other")
    bench.mapped("other", "b1")
    bench.client.bind("q")
    mapped = bench.mapped("q")
    admitted = bench.nat.filtering == EIM or bench.nat.by_host
    assert bench.arrives("q", mapped, "b1") == (["b1"] if admitted else [])


def test_unsolicited(bench: Bench) -> None:
    """A port that has sent nothing: what becomes of a packet to it?"""
    bench.client.bind("silent", 42000)
    bench.client.bind("open")
    mapped = bench.mapped("open")
    error = bench.server.error("b2", (bench.public, 42000), b"unsolicited", timeout=0.3) if bench.nat.unsolicited == "refused" else None
    if error is None:
        bench.server.send("b2", (bench.public, 42000), b"unsolicited")
    # the marker takes the same way, to another socket of the same client
    assert bench.arrives("open", mapped) == []
    if bench.nat.unsolicited == "delivered":
        assert bench.client.receive("silent")[0] == b"unsolicited"
    else:
        with pytest.raises(TimeoutError):
            bench.client.receive("silent", timeout=0)
    assert error == ("ECONNREFUSED" if bench.nat.unsolicited == "refused" else None)


@pytest.mark.parametrize("standing", [nat for nat in BY_KERNEL if nat.preserving], indirect=True, ids=lambda nat: nat.name)
def test_inbound_first_poisons_the_mapping_only_where_the_router_takes_it(bench: Bench) -> None:
    """B knocks at a port, then the client sends from that port to B: a router that took the knock for itself has the port in use towards B.

    Towards A, asked first, it is free. (Asked after B, Linux would go on with the port that it had to take towards B.)
    """
    bench.client.bind("open")
    mapped = bench.mapped("open")
    bench.client.bind("p", 43000)
    bench.server.send("b1", (bench.public, 43000), b"knock")
    assert bench.arrives("open", mapped) == []
    assert bench.mapped("p")[1] == 43000
    assert (bench.mapped("p", "b1")[1] == 43000) == (bench.nat.unsolicited != "refused")


def test_tcp_goes_out_and_nothing_comes_in_unasked(bench: Bench) -> None:
    bench.server.listen("service", 8443)
    assert bench.client.connect((SERVER, 8443)) == "connected"
    assert bench.server.accept("service")[0] == bench.public
    bench.client.listen("own", 5060)
    outcome = bench.server.connect((bench.public, 5060), timeout=0.4)
    expected = {"delivered": "connected", "refused": "ECONNREFUSED", "nothing": "ETIMEDOUT"}[bench.nat.unsolicited]
    assert outcome == expected
