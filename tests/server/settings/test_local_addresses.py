"""Which of a machine's addresses serve as primary and alternate."""

from pathlib import Path

import pytest

from echo_server.settings.config import Addresses, ConfigError
from echo_server.settings.local_addresses import _unstable_addresses, choose, given, local_addresses


def of(primary: str, alternate: str | None = None) -> Addresses:
    return Addresses(primary, alternate, primary, alternate)


@pytest.mark.parametrize(
    ("found", "chosen"),
    [
        (["127.0.0.1", "8.8.8.8", "9.9.9.9"], (of("8.8.8.8", "9.9.9.9"),)),
        (["127.0.0.1", "10.0.0.5", "8.8.8.8"], (of("8.8.8.8"),)),
        (["127.0.0.1", "10.0.0.5", "172.17.0.1"], (of("10.0.0.5"),)),  # a container bridge is no alternate
        (["127.0.0.1", "::1"], (of("127.0.0.1"), of("::1"))),
        (["10.0.0.5", "2606:4700::1", "2606:4700::2"], (of("2606:4700::1", "2606:4700::2"), of("10.0.0.5"))),
        (["8.8.8.8", "2606:4700::1"], (of("8.8.8.8"), of("2606:4700::1"))),
        ([], ()),
    ],
)
def test_public_addresses_first_and_loopback_last(found: list[str], chosen: tuple[Addresses, ...]) -> None:
    assert choose(found) == chosen


def test_addresses_given() -> None:
    assert given(["192.0.2.1", "2001:DB8::1"], ["192.0.2.2"], [], ["198.51.100.2"]) == (
        Addresses("192.0.2.1", "192.0.2.2", "192.0.2.1", "198.51.100.2"),
        of("2001:db8::1"),
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((["x"], [], [], []), "--address: 'x' is not an IP address."),
        ((["fe80::1%eth0"], [], [], []), "scoped address"),
        ((["::"], [], [], []), "name one address"),
        ((["192.0.2.1", "192.0.2.2"], [], [], []), "once for IPv4"),
        ((["192.0.2.1"], ["2001:db8::1"], [], []), "needs an --address of its family"),
        ((["192.0.2.1"], [], [], ["198.51.100.1"]), "needs an --alternate of its family"),
        (([], [], ["198.51.100.1"], []), "needs an --address of its family"),
        ((["192.0.2.1"], ["192.0.2.1"], [], []), "another address"),
    ],
)
def test_addresses_given_wrongly(arguments: tuple[list[str], list[str], list[str], list[str]], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        given(*arguments)


def test_temporary_and_deprecated_addresses_are_left_out(tmp_path: Path) -> None:
    table = tmp_path / "if_inet6"
    table.write_text(
        "20010db8000000000000000000000001 02 40 00 80     eth0\n"
        "20010db8000000000000000000000002 02 40 00 01     eth0\n"
        "20010db8000000000000000000000003 02 40 00 20     eth0\n"
        "not a row\n"
    )
    assert _unstable_addresses(table) == {"2001:db8::2", "2001:db8::3"}
    assert _unstable_addresses(tmp_path / "missing") == set()


def test_this_machine_has_addresses() -> None:
    assert "127.0.0.1" in local_addresses()
