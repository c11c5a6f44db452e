"""``rtp-range`` through routers that drop new flows alone: a full connection table, a limit on new flows. What they know passes, and proves
nothing about what they do not."""

import msgspec
import pytest

from edgecheck.checks import rtp_range
from edgecheck.wire import ports as port_ranges
from tests.checks.probing import PROFILE, look
from tests.checks.rtp_ground import Crowded, forwarded_range
from tests.fakes.edge import Weather
from tests.fakes.nat import Nat

WIDE = msgspec.structs.replace(PROFILE, rtp=(10_000, 11_999))


@pytest.mark.parametrize("closed", [[], [(11_000, 11_999)], [(10_100, 11_999)]], ids=["all open", "half open", "a twentieth open"])
@pytest.mark.parametrize(
    "limits", [{"room": 150}, {"room": 700}, {"new_a_second": 40}, {"new_a_second": 200}, {"new_a_second": 600}, {"new_a_second": 600, "counts_closed": True}], ids=str
)
@pytest.mark.parametrize("pace", [0, 1000])
def test_what_takes_no_new_flow_is_not_called_blocked(limits: dict[str, int], closed: list[tuple[int, int]], pace: int) -> None:
    for seed, loss in ((0, 0.0), (1, 0.05)):
        nat = Nat(per_destination_ports=True, forwarded=forwarded_range(10_000, 11_999, closed), seed=seed)
        seen = look(rtp_range, lambda nat=nat, seed=seed, loss=loss: Crowded(nat, Weather(seed=seed, loss=loss), **limits), WIDE, pace=pace)  # type: ignore[misc]
        assert set(port_ranges.expand(seen.inbound_blocked)) <= set(port_ranges.expand(closed)), (seed, loss)
        assert (seen.outbound_blocked, seen.return_blocked) == ((), ()), (seed, loss)
