"""What holds for every test: how the suite is spread over processes, that no clock and nobody's settings decide, that whatever a run keeps
for its user is kept in a folder of the test run, and that programs which tests start are compiled once, not at each start."""

import os
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from xdist.scheduler import LoadFileScheduling

THIS_MACHINE = ("tests/server/", "tests/net/", "tests/cli/", "tests/test_loopback.py", "tests/test_embedded.py")
"""They share this machine's loopback addresses, some of them with ports of fixed numbers."""

SETTINGS = re.compile(r"LANG(UAGE)?|LC_.*|COLUMNS|LINES|NO_COLOR|FORCE_COLOR|CLICOLOR.*|TTY_.*|.*_PROXY|PYTHONIOENCODING", re.IGNORECASE)
"""Environment variables."""

# A busy machine is no fault of the property.
hypothesis_settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("suite")


class Spread(LoadFileScheduling):
    """Which tests go to one process, one after the other: those of a file; and as one, all that use this machine's own addresses."""

    def _split_scope(self, nodeid: str) -> str:
        return "this machine" if nodeid.startswith(THIS_MACHINE) else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Spread | None:
    """Ours, where the tests are spread by file; none asked for otherwise."""
    return Spread(config, log) if config.option.dist == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What one process must do alone first, then the laboratory, which has the longest files: what is left for the last process then is short."""
    items.sort(key=lambda item: (not item.nodeid.startswith(THIS_MACHINE), item.get_closest_marker("lab") is None))


@pytest.fixture(scope="session", autouse=True)
def nobodys_settings() -> Iterator[None]:
    """What the machine's owner has set for his own programs bends no output (width, color, a locale that may not even be installed) and leads
    no request for a loopback address to his proxy. A test that is about such a setting makes it."""
    with pytest.MonkeyPatch.context() as environment:
        for name in filter(SETTINGS.fullmatch, list(os.environ)):
            environment.delenv(name)
        yield


@pytest.fixture(scope="session", autouse=True)
def a_home_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Programs that a test starts inherit it."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="session", autouse=True)
def compiled_once(pytestconfig: pytest.Config) -> Iterator[None]:
    """Where no byte code may be kept beside the sources (``PYTHONDONTWRITEBYTECODE``, as containers like to set it), the programs that tests
    start keep it in pytest's cache: compiling all of edgecheck costs each of some hundred processes more than its imports."""
    with pytest.MonkeyPatch.context() as environment:
        if sys.dont_write_bytecode and (cache := getattr(pytestconfig, "cache", None)) is not None:  # none with -p no:cacheprovider
            environment.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
            environment.setenv("PYTHONPYCACHEPREFIX", str(cache.mkdir("bytecode")))
        yield
