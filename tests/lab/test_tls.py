"""``transport`` and ``tls`` against a real Kamailio with good and bad certificates, and a WebSocket."""

import json
from typing import Any

import pytest

from tests.lab import kamailio_tls
from tests.lab.conftest import Laboratory
from tests.lab.ground import Ground, python

pytestmark = pytest.mark.lab
TLS, TRANSPORT = "tls", "transport"

PORTS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "5060": ({"answered": "pass"}, {"skipped": "skipped"}),
    "5060;transport=tcp": ({"answered": "pass"}, {"skipped": "skipped"}),
    "5061;transport=tls": ({"answered": "pass"}, {"trusted": "pass"}),
    "5061;transport=wss": ({"answered": "pass"}, {"trusted": "pass"}),
    "5062;transport=tls": ({"answered": "pass"}, {"expired": "fail"}),
    "5063;transport=tls": ({"answered": "pass"}, {"name-mismatch": "fail"}),
    "5064;transport=tls": ({"answered": "pass"}, {"incomplete-chain": "fail"}),
    "5065;transport=tls": ({"answered": "pass"}, {"self-signed": "fail"}),
    "5061;transport=tcp": ({"wrong-transport": "fail"}, {"skipped": "skipped"}),
    "5999": ({"refused": "fail"}, {"skipped": "skipped"}),
    "5999;transport=tcp": ({"refused": "fail"}, {"skipped": "skipped"}),
}
"""What stands behind the domain in the address -> findings of ``transport`` and of ``tls``."""


@pytest.fixture(scope="module")
def seen(laboratory: Laboratory) -> dict[str, Any]:
    laboratory.need("kamailio", "sipsak")
    with Ground(laboratory.directory("certificates")) as ground:
        ground.shell("ip netns add here; ip -n here link set lo up")
        _, root = kamailio_tls.start(ground, "here", laboratory.directory("kamailio tls"))
        accounts = [f"sip:u@{kamailio_tls.DOMAIN}:{behind}" for behind in (*PORTS, "5066;transport=tls")]
        done = ground.run("here", *python("-m", "tests.lab.reaching", str(root), *accounts), timeout=60, check=True)
        return {account.partition(f"{kamailio_tls.DOMAIN}:")[2]: found for account, found in json.loads(done.stdout).items()}


@pytest.mark.parametrize("behind", PORTS)
def test_each_port_is_told_for_what_it_is(seen: dict[str, Any], behind: str) -> None:
    assert (seen[behind][TRANSPORT], seen[behind][TLS]) == PORTS[behind]


def test_a_port_that_demands_a_certificate(seen: dict[str, Any]) -> None:
    assert seen["5066;transport=tls"][TLS] == {"client-certificate-wanted": "fail"}
