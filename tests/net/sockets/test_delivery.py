"""What the kernel's TCP tells of a connection."""

import socket
import sys

import pytest

from edgecheck.net.sockets.delivery import read_delivery

linux = pytest.mark.skipif(sys.platform != "linux", reason="TCP_INFO is read on Linux only")


def pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    return ours, theirs


@linux
def test_what_arrived_is_acknowledged() -> None:
    ours, theirs = pair()
    with ours, theirs:
        ours.sendall(b"REGISTER")
        assert theirs.recv(100) == b"REGISTER"
        found = read_delivery(ours)
    assert found is not None
    assert (found.unacked, found.retransmitted) == (0, 0)
    assert 0 < found.rtt_ms < 1000


def test_no_connection_and_no_such_platform_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pair()
    theirs.close()
    ours.close()
    assert read_delivery(ours) is None
    assert read_delivery(None) is None
    ours, theirs = pair()
    with ours, theirs:
        monkeypatch.setattr(sys, "platform", "win32")
        assert read_delivery(ours) is None


@linux
def test_a_kernel_that_tells_less_tells_nothing() -> None:
    class Old:
        def getsockopt(self, level: int, name: int, size: int, /) -> bytes:
            return b"\x01" * 60

    assert read_delivery(Old()) is None
