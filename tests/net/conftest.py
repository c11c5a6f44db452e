"""Peers in a thread, shared; every test ends its own."""

from collections.abc import Iterator

import pytest

from tests.net.peers import Peers, thread


@pytest.fixture(scope="session")
def _peers() -> Iterator[Peers]:
    with thread() as running:
        yield running


@pytest.fixture
def peers(_peers: Peers) -> Iterator[Peers]:
    yield _peers
    _peers.end()
