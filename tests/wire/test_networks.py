"""Addresses of the internet, and of networks that number themselves."""

import pytest

from edgecheck.wire import networks

LOCAL = ("10.9.8.7", "172.31.255.255", "192.168.1.1", "100.64.0.2", "169.254.3.4", "127.0.0.9", "fd00::1", "fe80::1", "::1")
OUTSIDE = ("9.255.255.255", "172.32.0.0", "192.167.255.255", "100.63.255.255", "100.128.0.0", "203.0.113.5", "2001:db8::1", "2600::1")


@pytest.mark.parametrize(("host", "public"), [*((host, False) for host in LOCAL), *((host, True) for host in OUTSIDE)])
def test_what_is_of_the_internet(host: str, public: bool) -> None:
    assert networks.is_public(host) is public


@pytest.mark.parametrize("host", ["", "pbx.example.com", "192.168.1", "192.168.1.1:5060"])
def test_what_is_no_address_is_neither(host: str) -> None:
    assert networks.is_public(host) is None


@pytest.mark.parametrize("host", [*LOCAL, *OUTSIDE])
def test_what_each_range_is_kept_for(host: str) -> None:
    assert networks.is_private(host) is (host in LOCAL[:3])
    assert networks.is_shared(host) is (host == "100.64.0.2")


@pytest.mark.parametrize(
    ("one", "other", "neighbors"),
    [
        ("192.168.1.2", "192.168.1.1", True),
        ("192.168.1.2", "192.168.1.2", False),
        ("192.168.1.2", "192.168.2.1", False),
        ("203.0.113.2", "203.0.113.1", False),
        ("100.64.0.2", "100.64.0.1", False),
    ],
)
def test_neighbors_share_a_private_24(one: str, other: str, neighbors: bool) -> None:
    assert networks.neighbors(one, other) is neighbors
