"""``rtp-range`` through routers that drop new flows alone: a full connection table, a limit on new flows. What they know passes, and proves
nothing about what they do not."""

import msgspec
import pytest

from edgecheck.checks import rtp_range
from edgecheck.checks.rtp_range import RtpObservation
from edgecheck.wire import ports as port_ranges
from tests.checks.probing import PROFILE, look, say
from tests.checks.rtp_ground import Crowded, forwarded_range
from tests.fakes.edge import Weather
from tests.fakes.nat import Nat

WIDE = msgspec.structs.replace(PROFILE, rtp=(10_000, 10_699))
CLOSED = {"all open": [], "half open": [(10_350, 10_699)], "a tenth open": [(10_070, 10_699)]}
LIMITS: dict[str, dict[str, float]] = {
    "room for 90 flows": {"room": 90},
    "room for 300 flows": {"room": 300},
    "40 new flows a second": {"new_a_second": 40},
    "200 new flows a second": {"new_a_second": 200},
    "600 new flows a second, closed ports counted": {"new_a_second": 600, "counts_closed": True},
}
EACH_RUN = {
    ("room for 90 flows", "all open", 1000),
    ("200 new flows a second", "all open", 0),
}


def seen_through(limits: str, closed: str, pace: int, weather: Weather, seed: int = 0) -> RtpObservation:
    def edge() -> Crowded:
        nat = Nat(per_destination_ports=True, forwarded=forwarded_range(10_000, 10_699, CLOSED[closed]), seed=seed)
        return Crowded(nat, weather, **LIMITS[limits])  # type: ignore[arg-type]

    found: RtpObservation = look(rtp_range, edge, WIDE, pace=pace)
    return found


@pytest.mark.parametrize(
    ("limits", "closed", "pace"),
    [
        pytest.param(*case, marks=() if case in EACH_RUN else pytest.mark.slow)
        for case in ((limits, closed, pace) for limits in LIMITS for closed in CLOSED for pace in (0, 1000))
    ],
)
def test_what_takes_no_new_flow_is_not_called_blocked(limits: str, closed: str, pace: int) -> None:
    for seed, loss in ((0, 0.0), (1, 0.05)):
        seen = seen_through(limits, closed, pace, Weather(loss=loss, seed=seed), seed)
        assert set(port_ranges.expand(seen.inbound_blocked)) <= set(port_ranges.expand(CLOSED[closed])), (seed, loss)
        assert (seen.outbound_blocked, seen.return_blocked) == ((), ()), (seed, loss)


def test_a_limit_that_leaves_time_hides_nothing() -> None:
    """What a router takes at the pace that is found is told as on any other."""
    seen = seen_through("200 new flows a second", "half open", 1000, Weather())
    assert (seen.inbound_blocked, seen.inbound_open, seen.inbound_undecided) == (((10_350, 10_699),), 350, ())


def test_why_it_could_not_be_told_is_said() -> None:
    seen = seen_through("room for 90 flows", "all open", 1000, Weather())
    assert seen.inbound_undecided
    assert "table of connections is full" in seen.reasons["undecided"]
    inward, *_ = say(rtp_range.CHECK, seen).findings
    assert inward.summary.startswith("RTP to ")
    assert "table of connections is full" in inward.summary
