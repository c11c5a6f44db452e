"""Peers in a thread, shared; every test ends its own."""

from collections.abc import Iterator

import pytest

from tests.net import live
from tests.net.command import run
from tests.net.peers import Peers, thread
from tests.server_process import ServerProcess

__all__ = ["run"]


@pytest.fixture(scope="session")
def _peers() -> Iterator[Peers]:
    with thread() as running:
        yield running


@pytest.fixture
def peers(_peers: Peers) -> Iterator[Peers]:
    yield _peers
    _peers.end()


@pytest.fixture(scope="session")
def server() -> Iterator[ServerProcess]:
    """A server with two addresses, for all tests that do not disturb it."""
    with live.server() as running:
        yield running
