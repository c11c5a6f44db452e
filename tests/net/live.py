"""The real server for tests of the client: on loopback addresses of its own and free ports."""

import contextlib
import os
from collections.abc import Iterator

from tests.server_process import ANY_PORTS, ServerProcess

TOKEN = "s3cr3t-Tok3n-of-the-tests"
"""Looked for in everything that is written."""


def own(number: int) -> str:
    """A loopback address that no other test process of this machine uses; number 0 to 3."""
    bits = os.getpid() * 4 + number
    return f"127.{bits >> 16 & 255}.{bits >> 8 & 255}.{bits & 255}"


PRIMARY, ALTERNATE, HERE, ANOTHER = map(own, range(4))
"""The server's two addresses, and two for clients: ports of fixed numbers are free there."""
TWO_ADDRESSES = (f"--address={PRIMARY}", f"--alternate={ALTERNATE}")


@contextlib.contextmanager
def server(*options: str, modules: tuple[str, ...] = ("echo_server",)) -> Iterator[ServerProcess]:
    """One that knows ``TOKEN``, on two addresses unless the options name others; it runs while the block does."""
    running = ServerProcess(*ANY_PORTS, *(options or TWO_ADDRESSES), environment={"EDGECHECK_TOKEN": TOKEN}, modules=modules)
    try:
        yield running
    finally:
        running.kill()
