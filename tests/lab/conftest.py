"""The one place that decides whether the laboratory can run here. Where it can't, its tests are skipped with the reason; with
``EDGECHECK_LAB_REQUIRED=1`` (as in CI) they fail instead."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.lab.facilities import Facilities, require
from tests.lab.topology import Plan, Topology


class Laboratory:
    """Stands topologies up, each in a scratch directory of its own."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self._facilities = Facilities(scratch)
        self._count = 0

    def need(self, *facilities: str) -> None:
        """Skip (or fail, where the laboratory is required) unless all of these are to be had: a facility or a program's name."""
        require(self._facilities, ("nat", *facilities), _refuse)

    def directory(self, name: str) -> Path:
        """A fresh directory."""
        self._count += 1
        made = self.scratch / f"{self._count:03d}-{name.replace(' ', '-').replace('/', '-')}"
        made.mkdir(parents=True)
        return made

    @contextmanager
    def stand(self, plan: Plan, name: str = "lab") -> Iterator[Topology]:
        """The network of this plan, for as long as the block lasts."""
        self.need(*plan.facilities)
        with Topology(plan, self.directory(name)) as topology:
            yield topology


def _refuse(reason: str) -> None:
    if os.environ.get("EDGECHECK_LAB_REQUIRED") == "1":
        pytest.fail(f"{reason} (EDGECHECK_LAB_REQUIRED=1 turns this skip into a failure)", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    """The laboratory; skips every test that asks for it where namespaces and NAT are not to be had."""
    made = Laboratory(tmp_path_factory.mktemp("lab"))
    made.need()
    return made
