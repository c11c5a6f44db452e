"""``transport`` and ``tls`` against a real Kamailio with good and bad certificates, and a WebSocket."""

from typing import Any

import pytest

from tests.lab import kamailio_tls
from tests.lab.conftest import Laboratory
from tests.lab.ground import Ground
from tests.lab.kamailio_tls import PORTS

pytestmark = pytest.mark.lab

@pytest.fixture(scope="module")
def seen(laboratory: Laboratory) -> dict[str, Any]:
    laboratory.need("kamailio", "sipsak")
    with Ground(laboratory.directory("certificates")) as ground:
        ground.shell("ip netns add here; ip -n here link set lo up")
        return kamailio_tls.look_at_all(ground, "here", laboratory.directory("kamailio tls"))


@pytest.mark.parametrize("behind", PORTS)
def test_each_port_is_told_for_what_it_is(seen: dict[str, Any], behind: str) -> None:
    reached, trusted = PORTS[behind]
    assert seen[behind]["tls"] == trusted
    assert reached in (None, seen[behind]["transport"])
