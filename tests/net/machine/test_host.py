"""What this machine says of itself, and where nothing is remembered."""

from pathlib import Path
from typing import Any

import pytest

from edgecheck.net.machine import host
from edgecheck.net.machine.memory import FileMemory, NoMemory
from edgecheck.wire.address import parse_host


def test_facts_name_the_loopback_interface_and_only_addresses() -> None:
    facts = host.facts("127.0.0.1")
    assert facts.source == "127.0.0.1"
    assert any("127.0.0.1" in interface["addresses"] for interface in facts.interfaces)
    for interface in facts.interfaces:
        for address in interface["addresses"]:
            parse_host(address)  # raises for anything else: a scope, a name
    assert "Python" in facts.platform
    if facts.gateway is not None:
        parse_host(facts.gateway)


def test_an_interface_without_an_address_of_its_own_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tunnel may have a peer and no address."""
    rows: dict[str, dict[int, list[dict[str, str]]]] = {
        "tun0": {host.netifaces.AF_INET: [{"peer": "10.8.0.1"}]},
        "eth0": {
            host.netifaces.AF_INET: [{"addr": "192.0.2.7", "netmask": "255.255.255.128"}],
            host.netifaces.AF_INET6: [{"addr": "fe80::1%eth0", "netmask": "ffff:ffff:ffff:ffff::/64"}, {"addr": "fd00::1", "netmask": "ffff::"}],
        },
        "ppp0": {host.netifaces.AF_INET: [{"addr": "198.51.100.7"}, {"addr": "198.51.100.8", "netmask": "odd"}]},
    }
    monkeypatch.setattr(host.netifaces, "interfaces", lambda: list(rows))
    monkeypatch.setattr(host.netifaces, "ifaddresses", rows.__getitem__)
    assert host.facts(None).interfaces == (
        {"name": "eth0", "addresses": ["192.0.2.7", "fe80::1", "fd00::1"], "networks": ["192.0.2.0/25", "fe80::/64", "fd00::/16"]},
        {"name": "ppp0", "addresses": ["198.51.100.7", "198.51.100.8"], "networks": []},
    )


@pytest.mark.parametrize("error", [OSError("no netlink"), ValueError("no such interface")])
def test_a_machine_that_does_not_say_is_not_a_failed_run(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise error

    for name in ("interfaces", "ifaddresses", "gateways"):
        monkeypatch.setattr(host.netifaces, name, fail)
    facts = host.facts("192.0.2.7")
    assert (facts.interfaces, facts.gateway) == ((), None)


@pytest.mark.parametrize(
    ("gateways", "family", "expected"),
    [
        ({"default": {2: ("192.168.1.1", "eth0")}}, 4, "192.168.1.1"),
        ({"default": {2: ("192.168.1.1", "eth0")}}, 6, None),
        ({"default": {}}, 4, None),
        ({}, 4, None),
    ],
)
def test_gateway_is_that_of_the_family(gateways: Any, family: int, expected: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.netifaces, "AF_INET", 2)
    monkeypatch.setattr(host.netifaces, "gateways", lambda: gateways)
    assert host.gateway(family) == expected


@pytest.mark.parametrize(
    ("address", "answer"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True), ("128.0.0.1", False), ("echo.example", False)],
)
def test_is_loopback(address: str, answer: bool) -> None:
    assert host.is_loopback(address) is answer


def test_memory_is_kept_for_networks_and_not_for_loopback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "state_directory", lambda: tmp_path)
    assert isinstance(host.memory("127.0.0.1", "127.0.0.1"), NoMemory)
    assert isinstance(host.memory("192.168.1.20", "127.0.0.1"), NoMemory)
    kept = host.memory("192.168.1.20", "198.51.100.10")
    assert isinstance(kept, FileMemory)
    kept.note_contact("198.51.100.10")
    assert host.memory("192.168.1.20", "198.51.100.10").contacted("198.51.100.10") is not None
    assert host.memory("192.168.7.20", "198.51.100.10").contacted("198.51.100.10") is None, "another network remembers other things"


def test_a_user_without_a_home_has_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(host, "state_directory", nowhere)
    assert isinstance(host.memory("192.168.1.20", "198.51.100.10"), NoMemory)
