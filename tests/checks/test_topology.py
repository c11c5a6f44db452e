"""What the hops say, and what follows: pure, for every mixture of words and silence."""

import msgspec
import pytest

from edgecheck.checks.topology import Hop, OwnAddressStep, interpret, judge
from edgecheck.model.profile import PortNeed, Profile
from edgecheck.model.verdict import Verdict

HOME, CARRIER, SECOND, CORE = "192.168.88.1", "100.64.0.1", "192.168.1.1", "203.0.113.14"
PUBLIC = "203.0.113.1"
PBX = Profile(
    name="t", title="", source="", confidence="verified", checks=(), ports=(PortNeed(ports="5060", transport="udp", purpose="SIP"),)
)
PHONE = msgspec.structs.replace(PBX, ports=())


def hops(*addresses: str | None) -> tuple[Hop, ...]:
    return tuple(Hop(hop=number, address=address) for number, address in enumerate(addresses, 1))


def steps(*outcomes: str) -> tuple[OwnAddressStep, ...]:
    return tuple(OwnAddressStep(hop=number, outcome=outcome) for number, outcome in enumerate(outcomes, 1))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "own", "layers", "cgnat", "cause"),
    [
        (hops(HOME, CORE), steps("refused"), 1, False, "single-nat"),
        (hops(HOME, CORE), steps("silent"), 1, False, "single-nat"),  # it speaks of others' packets, and took its own
        (hops(HOME, CARRIER, CORE), steps("expired", "refused"), 2, True, "carrier-grade-nat"),
        (hops(HOME, CARRIER, CORE), steps("expired", "silent"), 2, True, "carrier-grade-nat"),
        (hops(HOME, CORE), steps("expired", "arrived"), 1, False, "single-nat"),  # DMZ host: let in, back to this machine
        (hops(HOME, SECOND, CORE), steps("expired", "refused"), None, None, "undecided"),  # double NAT, or another machine's DMZ
        (hops(HOME, CORE), steps("expired", "silent"), None, None, "undecided"),
        (hops(None, CORE), steps("silent"), None, None, "undecided"),  # a router that never speaks
        (hops(CARRIER, CORE), steps("refused"), 1, False, "single-nat"),  # a cloud that numbers itself from the shared range
    ],
)
def test_layers(path: tuple[Hop, ...], own: tuple[OwnAddressStep, ...], layers: int | None, cgnat: bool | None, cause: str) -> None:
    seen = interpret("192.168.88.2", PUBLIC, path, own)
    assert (seen.nat_layers, seen.cgnat) == (layers, cgnat)
    assert ("nat_layers" in seen.reasons, "cgnat" in seen.reasons) == (layers is None, cgnat is None)
    (finding,) = judge(seen, PBX)
    assert finding.id == f"topology.{cause}"
    assert finding.evidence


def test_a_hop_that_stopped_speaking_proves_nothing() -> None:
    twice_silent = (OwnAddressStep(hop=1, outcome="silent"), OwnAddressStep(hop=1, outcome="silent"))
    seen = interpret("192.168.88.2", PUBLIC, hops(HOME, CORE), twice_silent)
    assert (seen.nat_layers, seen.owner_hop) == (None, None)


def test_carrier_grade_nat_fails_where_ports_must_be_forwarded() -> None:
    seen = interpret("192.168.88.2", PUBLIC, hops(HOME, CARRIER, CORE), steps("expired", "refused"))
    assert judge(seen, PBX)[0].verdict is Verdict.FAIL
    assert judge(seen, PHONE)[0].verdict is Verdict.WARN
