"""SIP's own port beside every other: an ALG that keeps what it reads, one that forgets sooner, and what must not be taken for either."""

from typing import Any

import msgspec
import pytest

from edgecheck.checks.mapping_lifetime import CHECK
from edgecheck.checks.mapping_lifetime.observation import LifetimeObservation
from edgecheck.model.verdict import Verdict
from edgecheck.wire.address import Endpoint
from tests.fakes.edge import Edge, Weather
from tests.fakes.nat import Nat
from tests.test_matrix_lifetime import PROFILE, look, not_wrong, through


def told(seen: LifetimeObservation) -> dict[str, Verdict]:
    return {finding.id.partition(".")[2]: finding.verdict for finding in CHECK.judge(seen, PROFILE)}


def test_the_kernels_sip_helper_betrays_itself() -> None:
    """Linux: 30 s for one exchange, 120 s for a stream, 3600 s for what the helper has read."""
    seen = through(per_destination_ports=True, lifetime=30, stream_lifetime=120, sip_lifetime=3600)
    assert (seen.udp_s, seen.udp_stream_s) == ((25, 30), (90, 120))
    assert seen.sip_s[0] >= 120
    assert seen.sip_s[1] is None
    assert told(seen)["sip-longer"] is Verdict.WARN
    assert seen.recommended_keepalive_s == 16, "what an ALG keeps for longer helps nobody on another port"


def test_one_that_forgets_sip_sooner_calls_for_more_keepalives() -> None:
    seen = through(per_destination_ports=True, lifetime=90, sip_lifetime=18)
    assert (seen.udp_s, seen.sip_s, seen.recommended_keepalive_s) == ((60, 90), (15, 20), 12)
    assert told(seen)["sip-shorter"] is Verdict.WARN


@pytest.mark.parametrize("nat", [{"lifetime": 33}, {"lifetime": 30, "stream_lifetime": 120}, {"lifetime": 300}])
def test_no_difference_is_no_finding(nat: dict[str, Any]) -> None:
    seen = through(quick=True, per_destination_ports=True, **nat)
    assert seen.sip_s == seen.udp_s
    assert not {"sip-longer", "sip-shorter"} & set(told(seen))


def test_a_stream_that_outlives_the_measurement_hides_the_difference() -> None:
    """SIP lives 45 s at least, and so does any stream: that is no ALG."""
    seen = through(quick=True, per_destination_ports=True, lifetime=30, stream_lifetime=120, sip_lifetime=3600)
    assert (seen.sip_s, seen.udp_stream_s) == ((45, None), (45, None))
    assert "sip-longer" not in told(seen)


class OnlySip(Edge):
    """A box that lets nothing but SIP in from a SIP port."""

    def _at_edge(self, source: Endpoint, destination: Endpoint, data: bytes) -> None:
        if source.port != 5060 or b"SIP/2.0" in data:
            super()._at_edge(source, destination, data)


def test_a_box_that_drops_what_is_no_sip_is_not_one_that_forgets() -> None:
    seen, _ = look(lambda: OnlySip(Nat(lifetime=33)), quick=True)
    assert (seen.udp_s, seen.sip_s) == ((30, 35), (None, None))
    assert seen.reasons["sip_s"]
    assert "sip-shorter" not in told(seen)


def test_a_server_that_does_not_send_from_there() -> None:
    def older() -> Edge:
        edge = Edge(Nat(lifetime=33))
        kept = tuple(name for name in edge.service.capabilities if name != "probe-from-sip")
        edge.service = msgspec.structs.replace(edge.service, capabilities=kept)
        return edge

    seen, _ = look(older, quick=True)
    assert (seen.udp_s, seen.sip_s) == ((30, 35), (None, None))
    assert "does not send from there" in seen.reasons["sip_s"]
    assert not [point for point in seen.points if point.kind == "sip"]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("sip", [None, 12.0, 3600.0])
def test_loss_makes_no_difference(seed: int, sip: float | None) -> None:
    nat = Nat(per_destination_ports=True, lifetime=33, sip_lifetime=sip, seed=seed)
    seen, _ = look(lambda: Edge(nat, Weather(loss=0.1, seed=seed)), quick=True)
    assert not_wrong(seen.sip_s, sip or 33)
    wrong = {None: {"sip-longer", "sip-shorter"}, 12.0: {"sip-longer"}, 3600.0: {"sip-shorter"}}[sip]
    assert not wrong & set(told(seen))
