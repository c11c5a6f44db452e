"""Who holds a port: the real tables of this machine, and what the tools of other platforms print."""

import os
import socket
import subprocess
import sys

import pytest

from edgecheck.model.machine import Holder
from edgecheck.net.machine import owners
from edgecheck.net.machine.owners import Held, parse_lsof, parse_netstat, parse_tasklist

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")


@LINUX
@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_ones_own_sockets_are_found(family: int, host: str) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as udp, socket.socket(family) as tcp, socket.socket(family) as bound:
        for one in (udp, tcp, bound):
            one.bind((host, 0))
        tcp.listen()
        ports = [one.getsockname()[1] for one in (udp, tcp, bound)]
        held = owners.owners("udp", ports, host)
        assert set(held) == {ports[0]}
        assert held[ports[0]].endswith(f"(pid {os.getpid()})")
        assert set(owners.owners("tcp", ports, host)) == {ports[1]}, "a socket that does not listen holds nothing"
        assert owners.owners("udp", ports, "192.0.2.1") == owners.owners("udp", ports, "2001:db8::1") == {}, "not of that address"
        assert owners.holders("udp", ports) == {}, "a program does not find itself"
    assert owners.owners("udp", ports, host) == {}
    assert owners.owners("udp", [], host) == {}


OTHER = """
import socket, sys
held = []
for kind, family, host, alone in ((2, 2, "127.0.0.1", 0), (2, 10, "::", 1), (1, 2, "127.0.0.1", 0), (1, 10, "::", 0), (2, 2, "0.0.0.0", 0)):
    one = socket.socket(family, kind)
    if family == 10:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, alone)
    one.bind((host, 0))
    one.listen() if kind == 1 else None
    held.append(one)
held[-1].connect(("127.0.0.1", 9))
print(*(one.getsockname()[1] for one in held), flush=True)
sys.stdin.read()
"""


@LINUX
def test_another_programs_sockets_are_told_with_their_addresses() -> None:
    """What talks to one peer alone hears nobody else, but it holds its port."""
    with subprocess.Popen([sys.executable, "-c", OTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        loopback, six, tcp, dual, connected = map(int, other.stdout.readline().split())
        ports = [loopback, six, tcp, dual, connected]
        name = f"(pid {other.pid})"
        udp, streams = owners.holders("udp", ports), owners.holders("tcp", ports)
        assert {port: [one.address for one in found] for port, found in udp.items()} == {loopback: ["127.0.0.1"], six: ["::"]}
        assert {port: [one.address for one in found] for port, found in streams.items()} == {tcp: ["127.0.0.1"], dual: ["::"]}
        assert all(one.program.endswith(name) for found in (*udp.values(), *streams.values()) for one in found)
        assert set(owners.owners("udp", ports, "127.0.0.1")) == {loopback, six, connected}
        other.communicate()


@pytest.mark.parametrize(
    ("address", "host", "hears"),
    [
        ("127.0.0.1", "192.168.1.2", False),
        ("192.168.1.2", "192.168.1.2", True),
        ("0.0.0.0", "192.168.1.2", True),
        ("0.0.0.0", "2001:db8::2", False),
        ("::", "2001:db8::2", True),
        ("::", "192.168.1.2", None),
        ("2001:db8::2", "2001:0db8::0002", True),
        ("fe80::1%eth0", "fe80::1", True),
        ("::1", "192.168.1.2", False),
    ],
)
def test_who_hears_what_comes_to_an_address(address: str, host: str, hears: bool | None) -> None:
    assert Holder(address=address, program="a PBX").hears(host) is hears


@LINUX
def test_a_hidden_process_is_told_by_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "_processes", lambda inodes, proc: {})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        (told,) = owners.owners("udp", [udp.getsockname()[1]], "127.0.0.1").values()
    assert told.startswith("a program of the user ")


def test_a_machine_that_tells_nothing_names_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> list[Held]:
        raise PermissionError

    monkeypatch.setattr(owners, "_linux", denied)
    monkeypatch.setattr(sys, "platform", "linux")
    assert owners.owners("udp", [5060], "127.0.0.1") == {}
    assert owners.holders("udp", [5060]) == {}
    monkeypatch.setattr(sys, "platform", "some other")
    assert owners.owners("udp", [5060], "127.0.0.1") == {}
    assert owners.holders("udp", [5060]) == {}


def test_what_lsof_prints() -> None:
    """By lsof(8), output for other programs."""
    text = (
        "p812\ncasterisk\nf9\ntIPv4\nn*:5060\nf10\ntIPv6\nn*:5061\nf11\ntIPv6\nn[::1]:5061\nf12\ntIPv4\nn192.168.1.2:4569\n"
        "p900\ncssh\nf3\ntIPv4\nn192.168.1.2:50000->198.51.100.1:5060\nn*:*\n"
    )
    asterisk = "asterisk (pid 812)"
    assert parse_lsof(text, frozenset({5060, 5061, 4569, 50000})) == [
        Held(5060, "0.0.0.0", 812, asterisk),
        Held(5061, "::", 812, asterisk),
        Held(5061, "::1", 812, asterisk),
        Held(4569, "192.168.1.2", 812, asterisk),
        Held(50000, "192.168.1.2", 900, "ssh (pid 900)", listens=False),
    ]


def test_what_windows_prints() -> None:
    text = (
        "\nAktive Verbindungen\n\n  Proto  Lokale Adresse         Remoteadresse          Status           PID\n"
        "  TCP    0.0.0.0:5060           0.0.0.0:0              ABHÖREN          2204\n"
        "  TCP    192.168.1.2:50001      198.51.100.1:443       HERGESTELLT      999\n"
        "  TCP    [::]:5061              [::]:0                 ABHÖREN          2204\n"
    )
    wanted = frozenset({5060, 5061, 50001})
    assert parse_netstat(text, wanted, "tcp") == [Held(5060, "0.0.0.0", 2204, ""), Held(5061, "::", 2204, "")]
    udp = "  UDP    127.0.0.1:5060         *:*                                    2204\n"
    assert parse_netstat(udp, wanted, "udp") == [Held(5060, "127.0.0.1", 2204, "")]
    assert parse_tasklist('"3CXPhoneSystem.exe","2204","Services","0","12,345 K"\n\n') == {"2204": "3CXPhoneSystem.exe"}
