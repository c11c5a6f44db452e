"""The check ``dns`` against a real BIND, with sofia-sip's ``sip-dig`` as another opinion on RFC 3263."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab import bind
from tests.lab.conftest import Laboratory
from tests.lab.ground import Ground, python

pytestmark = pytest.mark.lab
CHECK = "dns"

AS_SIP_DIG = (
    "sip:u@all.example.com",
    "sips:u@all.example.com",
    "sip:u@srv.example.com;transport=udp",
    "sip:u@srv.example.com;transport=tcp",
    "sips:u@srv.example.com",
    "sip:u@plain.example.com;transport=tcp",
    "sip:u@elsewhere.example.com;transport=udp",
)
"""Where the RFC leaves nothing to taste: both must name the same targets in the same order. With a port in the address sip-dig adds TCP, for
requests too large for UDP."""
@pytest.fixture(scope="module")
def answers(laboratory: Laboratory) -> Iterator[tuple[dict[str, Any], dict[str, list[list[Any]]]]]:
    """What we say of each account, and what sip-dig does."""
    laboratory.need("named", "sip-dig")
    with Ground(laboratory.directory("names")) as ground:
        ground.shell("ip netns add here; ip -n here link set lo up")
        bind.start(ground, "here", laboratory.directory("bind"))
        ours = ground.run("here", *python("-m", "tests.lab.locating", *dict.fromkeys((*bind.FAULTS, *AS_SIP_DIG))), timeout=90, check=True)
        theirs = {uri: _dug(ground.run("here", "timeout", "5", "sip-dig", uri).stdout) for uri in AS_SIP_DIG}
        yield json.loads(ours.stdout), theirs


def _dug(text: str) -> list[list[Any]]:
    """Lines ``preference weight transport port address``."""
    rows = [line.split() for line in text.splitlines() if line.startswith("\t")]
    return [[row[2].removeprefix("sips-"), int(row[3]), row[4]] for row in rows]


@pytest.mark.parametrize("uri", AS_SIP_DIG)
def test_the_targets_are_those_of_sip_dig(answers: tuple[dict[str, Any], dict[str, list[list[Any]]]], uri: str) -> None:
    ours, theirs = answers
    assert theirs[uri], "sip-dig found nothing"
    assert ours[uri]["targets"] == theirs[uri]


@pytest.mark.parametrize("uri", bind.FAULTS)
def test_each_planted_fault_is_named(answers: tuple[dict[str, Any], dict[str, list[list[Any]]]], uri: str) -> None:
    assert answers[0][uri]["findings"] == bind.FAULTS[uri]


def test_an_answer_that_is_cut_is_asked_for_over_tcp(answers: tuple[dict[str, Any], dict[str, list[list[Any]]]]) -> None:
    assert len(answers[0]["sip:u@many.example.com"]["targets"]) == 12
