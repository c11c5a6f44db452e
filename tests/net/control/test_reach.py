"""Names and certificates; who may answer in the server's place is in ``test_unreachable``."""

import asyncio
import socket
from typing import Any

import pytest

from edgecheck.model.errors import ServerUnreachable
from edgecheck.net.control.reach import issuer, resolve
from tests.net.peers import certificate
from tests.waiting import PATIENCE_S


def test_resolve_takes_the_family_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {socket.AF_INET: "192.0.2.7", socket.AF_INET6: "2001:db8::7"}

    def getaddrinfo(host: str, port: int, family: int, type: int) -> list[Any]:
        return [(each, type, 6, "", (address, port)) for each, address in rows.items() if family in (0, each)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert asyncio.run(resolve("echo.example.net", 8443, 6)) == "2001:db8::7"
    assert asyncio.run(resolve("echo.example.net", 8443, 4)) == "192.0.2.7"
    assert asyncio.run(resolve("echo.example.net", 8443, None)) == "192.0.2.7"
    rows.clear()
    with pytest.raises(ServerUnreachable, match="has no address"):
        asyncio.run(resolve("echo.example.net", 8443, None))


def test_issuer_of_what_is_no_certificate() -> None:
    assert issuer(b"") == "unreadable"
    assert issuer(b"\x30\x82" + b"x" * 100) == "unreadable"
    assert issuer(certificate("echo", "Corp\nProxy " + "C" * 50)[1]).startswith("Corp Proxy CCC")


@pytest.mark.parametrize(("host", "family"), [("192.0.2.7", 6), ("2001:db8::7", 4)])
def test_an_address_of_the_other_family_is_told_without_asking_anybody(host: str, family: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", None)
    with pytest.raises(ServerUnreachable, match=f"{host} is not an IPv{family} address"):
        asyncio.run(resolve(host, 8443, family))


def test_an_answer_that_comes_when_nobody_waits_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver answers after the run has ended: its thread ends without a word."""
    import threading

    ended, begun, errors = threading.Event(), threading.Event(), []
    monkeypatch.setattr(threading, "excepthook", errors.append)

    def late(*_: object, **__: object) -> list[Any]:
        begun.set()
        ended.wait(PATIENCE_S)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", late)

    async def impatient() -> None:
        task = asyncio.create_task(resolve("echo.example.net", 8443, None))
        await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        await asyncio.wait({task})

    before = set(threading.enumerate())
    asyncio.run(impatient())
    (thread,) = [each for each in set(threading.enumerate()) - before if each.daemon]
    ended.set()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert not errors
