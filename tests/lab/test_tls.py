"""``transport`` and ``tls`` behind a NAT with the kernel's SIP ALG: a real Kamailio outside with good and bad certificates, and a WebSocket."""

from typing import Any

import pytest

from tests.lab import kamailio_tls
from tests.lab.conftest import Laboratory
from tests.lab.kamailio_tls import PORTS

pytestmark = pytest.mark.lab

@pytest.fixture(scope="module")
def seen(laboratory: Laboratory) -> dict[str, Any]:
    laboratory.need("kamailio")
    with laboratory.stand(kamailio_tls.PLAN, "certificates") as topology:
        return kamailio_tls.look_at_all(topology, laboratory.directory("kamailio tls"))


@pytest.mark.parametrize("behind", PORTS)
def test_each_port_is_told_for_what_it_is(seen: dict[str, Any], behind: str) -> None:
    reached, trusted = PORTS[behind]
    assert seen[behind]["tls"] == trusted
    assert reached in (None, seen[behind]["transport"])


@pytest.mark.parametrize(("name", "place"), [(name, place) for name, (_, _, places) in kamailio_tls.BOXED.items() for place in places])
def test_who_ends_tls_on_the_way(seen: dict[str, Any], name: str, place: str) -> None:
    assert seen[f"{place}, {name}"]["tls"] == kamailio_tls.BOXED[name][2][place]
