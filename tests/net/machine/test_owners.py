"""Who holds a port: the real tables of this machine, and what the tools of other platforms print."""

import os
import socket
import sys

import pytest

from edgecheck.net.machine import owners
from edgecheck.net.machine.owners import parse_lsof, parse_netstat, parse_tasklist

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")


@LINUX
@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_ones_own_sockets_are_found(family: int, host: str) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as udp, socket.socket(family) as tcp, socket.socket(family) as bound:
        for one in (udp, tcp, bound):
            one.bind((host, 0))
        tcp.listen()
        ports = [one.getsockname()[1] for one in (udp, tcp, bound)]
        held = owners.owners("udp", ports)
        assert set(held) == {ports[0]}
        assert held[ports[0]].endswith(f"(pid {os.getpid()})")
        assert set(owners.owners("tcp", ports)) == {ports[1]}, "a socket that does not listen holds nothing"
    assert owners.owners("udp", ports) == {}
    assert owners.owners("udp", []) == {}


@LINUX
def test_a_hidden_process_is_told_by_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "_processes", lambda inodes, proc: {})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        (told,) = owners.owners("udp", [udp.getsockname()[1]]).values()
    assert told.startswith("a program of the user ")


def test_a_machine_that_tells_nothing_names_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> dict[int, str]:
        raise PermissionError

    monkeypatch.setattr(owners, "_linux", denied)
    monkeypatch.setattr(sys, "platform", "linux")
    assert owners.owners("udp", [5060]) == {}
    monkeypatch.setattr(sys, "platform", "some other")
    assert owners.owners("udp", [5060]) == {}


def test_what_lsof_prints() -> None:
    """By lsof(8), output for other programs."""
    text = "p812\ncasterisk\nn*:5060\nn192.168.1.2:4569\np900\ncssh\nn192.168.1.2:50000->198.51.100.1:5060\n"
    assert parse_lsof(text, frozenset({5060, 4569, 50000})) == {
        5060: "asterisk (pid 812)",
        4569: "asterisk (pid 812)",
        50000: "ssh (pid 900)",
    }


def test_what_windows_prints() -> None:
    text = (
        "\nAktive Verbindungen\n\n  Proto  Lokale Adresse         Remoteadresse          Status           PID\n"
        "  TCP    0.0.0.0:5060           0.0.0.0:0              ABHÖREN          2204\n"
        "  TCP    192.168.1.2:50001      198.51.100.1:443       HERGESTELLT      999\n"
        "  TCP    [::]:5061              [::]:0                 ABHÖREN          2204\n"
    )
    wanted = frozenset({5060, 5061, 50001})
    assert parse_netstat(text, wanted, "tcp") == {5060: "2204", 5061: "2204"}
    assert parse_netstat("  UDP    0.0.0.0:5060           *:*                                    2204\n", wanted, "udp") == {5060: "2204"}
    assert parse_tasklist('"3CXPhoneSystem.exe","2204","Services","0","12,345 K"\n\n') == {"2204": "3CXPhoneSystem.exe"}
