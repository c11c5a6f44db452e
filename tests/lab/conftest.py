"""The one place that decides whether the laboratory can run here. Where it can't, its tests are skipped with the reason; with
``EDGECHECK_LAB_REQUIRED=1`` (as in CI) they fail instead."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import pytest

from tests.lab.facilities import Facilities, require
from tests.lab.topology import Plan, Topology

AT_ONCE = 3
"""Edges that are played at the same time by each of the suite's two processes: most of a run is waiting, and CI has two cores."""
Played = TypeVar("Played")


class Laboratory:
    """Stands topologies up, each in a scratch directory of its own."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self._facilities = Facilities(scratch)
        self._numbers = count(1)
        self._lock = Lock()

    def need(self, *facilities: str) -> None:
        """Skip (or fail, where the laboratory is required) unless all of these are to be had: a facility or a program's name."""
        with self._lock:
            require(self._facilities, ("nat", *facilities), _refuse)

    def directory(self, name: str) -> Path:
        """A fresh directory."""
        made = self.scratch / f"{next(self._numbers):03d}-{name.replace(' ', '-').replace('/', '-')}"
        made.mkdir(parents=True)
        return made

    @contextmanager
    def stand(self, plan: Plan, name: str = "lab") -> Iterator[Topology]:
        """The network of this plan, for as long as the block lasts."""
        self.need(*plan.facilities)
        with Topology(plan, self.directory(name)) as topology:
            yield topology

    @contextmanager
    def together(self, request: pytest.FixtureRequest, parameter: str, play: Callable[[Any], Played]) -> Iterator[Callable[[Any], Played]]:
        """Play what this module's selected tests are parametrized with, some at a time; gives the function by which a test takes its
        own result.

        Each has namespaces of its own, so nothing of one reaches another. All of a module's tests are in this process: the suite is spread
        by file.
        """
        items = [item for item in request.session.items if isinstance(item, pytest.Function) and item.module is request.module]
        told = [item.callspec.params[parameter] for item in items if hasattr(item, "callspec") and parameter in item.callspec.params]
        once = {id(one): one for one in told}.values()  # however many tests look at it
        with ThreadPoolExecutor(AT_ONCE) as pool:
            playing = [(one, pool.submit(play, one)) for one in once]
            try:
                yield lambda wanted: next(future for one, future in playing if one is wanted).result()
            finally:
                for _, future in playing:
                    future.cancel()


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
