"""The control session: replies find their questions, and when it ends, everybody who waits is told."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from edgecheck.model.errors import ControlLost, NotOurServer, RequestDeclined, ServerUnreachable
from edgecheck.net.control import session
from edgecheck.net.control.session import ControlSession
from edgecheck.wire import control
from edgecheck.wire.address import Target
from tests.net.live import ALTERNATE, PRIMARY, TOKEN
from tests.net.peers import Peers, certificate, until_gone, welcomes
from tests.server_process import ServerProcess

Answer = Callable[[web.WebSocketResponse, list[Any]], Awaitable[None]]


def run(work: Callable[[ControlSession], Awaitable[None]], port: int, target: Target | None = None) -> None:
    """With an open session, on a loop in which nothing may go wrong unseen."""
    faults: list[dict[str, Any]] = []

    async def whole() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context))
        one = await ControlSession.open(target or Target("127.0.0.1", port, TOKEN), None, None)
        try:
            await work(one)
        finally:
            await one.close()
            await one.close()

    asyncio.run(whole())
    assert not faults


def server(peers: Peers, answer: Answer, wait_for: int = 1, **changes: Any) -> int:
    """Hands over the requests once there are so many."""

    async def talk(ws: web.WebSocketResponse) -> None:
        await welcomes(ws, TOKEN, **changes)
        asked: list[Any] = []
        while len(asked) < wait_for:
            frame = await ws.receive()
            if frame.type is not WSMsgType.TEXT:
                return
            asked.append(control.parse(frame.data))
        await answer(ws, asked)
        await until_gone(ws)

    return peers.channel(talk)


def ping(id: int) -> control.Ping:
    return control.Ping(id=id)


# ---- with the real server


def test_a_session_with_the_real_server(server: ServerProcess) -> None:
    async def work(one: ControlSession) -> None:
        assert one.peer_host == PRIMARY
        assert one.local_host == one.observed != ""
        assert (one.intercepted, one.lost, one.issuer) == (False, None, "")
        assert one.version
        assert one.rtt > 0
        assert one.welcome.service.alternate == ALTERNATE
        replies = await asyncio.gather(*(one.ask(ping) for _ in range(30)))
        assert sorted(reply.id for reply in replies) == list(range(1, 31))
        assert all(isinstance(reply, control.Pong) for reply in replies)
        with pytest.raises(RequestDeclined) as declined:
            await one.ask(lambda id: control.Probe(id=id, series=1, address="192.0.2.1", ports=((1, 2),), senders=("A1",)))
        assert declined.value.reason == "unproved-address"
        assert isinstance(await one.ask(ping), control.Pong), "declined, and the session goes on"

    run(work, 0, server.target)


# ---- replies and their questions


def test_replies_come_in_any_order(peers: Peers) -> None:
    async def backwards(ws: web.WebSocketResponse, asked: list[Any]) -> None:
        for request in reversed(asked):
            await ws.send_str(control.serialize(control.Pong(id=request.id, at_ms=request.id * 10.0)))

    async def work(one: ControlSession) -> None:
        replies = await asyncio.gather(*(one.ask(ping) for _ in range(20)))
        assert [reply.at_ms for reply in replies if isinstance(reply, control.Pong)] == [number * 10.0 for number in range(1, 21)]

    run(work, server(peers, backwards, 20))


def test_replies_to_nobody_are_ignored(peers: Peers) -> None:
    """Twice the same, one never asked for, one that a newer server says unasked, and then the right one."""

    async def noisy(ws: web.WebSocketResponse, asked: list[Any]) -> None:
        for text in (
            '{"type":"pong","id":999,"at_ms":1.0}',
            '{"type":"weather","outlook":"fine"}',
            '{"type":"pong","id":1,"at_ms":5.0}',
            '{"type":"pong","id":1,"at_ms":6.0}',
            '{"type":"pong","id":2,"at_ms":7.0}',
        ):
            await ws.send_str(text)

    async def work(one: ControlSession) -> None:
        replies = await asyncio.gather(one.ask(ping), one.ask(ping))
        assert [reply.at_ms for reply in replies if isinstance(reply, control.Pong)] == [5.0, 7.0]
        assert one.lost is None

    run(work, server(peers, noisy, 2))


def test_declined_is_for_the_one_who_asked(peers: Peers) -> None:
    async def declines(ws: web.WebSocketResponse, asked: list[Any]) -> None:
        words = "Too many ports\x07 " + "!" * 100_000
        await ws.send_str(control.serialize(control.Declined(id=1, reason="limit", message=words)))
        await ws.send_str(control.serialize(control.Pong(id=2, at_ms=1.0)))

    async def work(one: ControlSession) -> None:
        first, second = await asyncio.gather(one.ask(ping), one.ask(ping), return_exceptions=True)
        assert isinstance(first, RequestDeclined)
        assert first.reason == "limit"
        assert str(first).startswith("The server declined: Too many ports ")
        assert len(str(first)) < 300
        assert isinstance(second, control.Pong)

    run(work, server(peers, declines, 2))


def test_one_who_no_longer_waits_disturbs_nobody(peers: Peers) -> None:
    async def both(ws: web.WebSocketResponse, asked: list[Any]) -> None:
        for request in asked:
            await ws.send_str(control.serialize(control.Pong(id=request.id, at_ms=1.0)))

    async def work(one: ControlSession) -> None:
        leaver = asyncio.create_task(one.ask(ping))
        await asyncio.sleep(0)
        leaver.cancel()
        await asyncio.wait({leaver})
        assert leaver.cancelled()
        assert isinstance(await one.ask(ping), control.Pong)

    run(work, server(peers, both, 2))


# ---- the end of a session


async def _leaves(ws: web.WebSocketResponse, asked: list[Any]) -> None:
    await ws.close()


async def _aborts(ws: web.WebSocketResponse, asked: list[Any]) -> None:
    transport = ws._req.transport  # type: ignore[union-attr]
    assert isinstance(transport, asyncio.Transport)
    transport.abort()


async def _babbles(ws: web.WebSocketResponse, asked: list[Any]) -> None:
    await ws.send_str("babble")


async def _hushes(ws: web.WebSocketResponse, asked: list[Any]) -> None:
    """Says nothing more."""


ENDS = {"closed": (_leaves, "closed"), "cut": (_aborts, "closed|broke"), "noise": (_babbles, "no control message"), "silence": (_hushes, "did not answer within 0.3 s")}


@pytest.mark.parametrize("end", ENDS)
def test_everybody_who_waits_is_told(end: str, peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "ASK_S", 0.3)
    answer, why = ENDS[end]

    async def work(one: ControlSession) -> None:
        waiting = await asyncio.gather(*(one.ask(ping) for _ in range(10)), return_exceptions=True)
        for error in waiting:
            with pytest.raises(ControlLost, match=f"lost in mid-run: .*({why})"):
                raise error if isinstance(error, BaseException) else AssertionError(error)
        assert one.lost is not None
        with pytest.raises(ControlLost, match=why):
            await one.ask(ping)

    run(work, server(peers, answer, 10))


def test_whoever_has_left_before_the_end_is_not_missed(peers: Peers) -> None:
    """A cancelled question and then the end of the session: no exception is left behind that nobody takes."""

    async def work(one: ControlSession) -> None:
        leaver = asyncio.create_task(one.ask(ping))
        stayer = asyncio.create_task(one.ask(ping))
        await asyncio.sleep(0)
        leaver.cancel()
        with pytest.raises(ControlLost):
            await stayer

    run(work, server(peers, _leaves, 2))


# ---- the proof


def test_the_fingerprint_that_counts_is_the_one_seen(peers: Peers) -> None:
    """The server proves a certificate that is not the one shown here: a box between, whatever the server itself says of it."""
    context, _ = certificate("echo", "Corp Proxy CA")

    async def talk(ws: web.WebSocketResponse) -> None:
        await welcomes(ws, TOKEN, seen="00" * 32, intercepted=False)
        await until_gone(ws)

    async def work(one: ControlSession) -> None:
        assert (one.intercepted, one.issuer) == (True, "Corp Proxy CA")

    run(work, peers.channel(talk, context))


def test_a_proof_sent_back_proves_nothing(peers: Peers) -> None:
    """A peer without the token returns the client's own proof."""

    async def mirror(ws: web.WebSocketResponse) -> None:
        hello = control.Hello(protocol=control.PROTOCOL, version="1", nonce="ab" * control.NONCE_SIZE)
        await ws.send_str(control.serialize(hello))
        said = control.parse((await ws.receive()).data)
        assert isinstance(said, control.Authenticate)
        assert TOKEN not in control.serialize(said)
        welcome = control.Welcome(
            session="cd" * 8, certificate=said.certificate, proof=said.proof, intercepted=False, observed="127.0.0.1:1",
            service=control.Service(address="127.0.0.1"),
        )
        await ws.send_str(control.serialize(welcome))
        await until_gone(ws)

    with pytest.raises(NotOurServer, match="cannot prove that it knows the token"):
        run(lambda one: asyncio.sleep(0), peers.channel(mirror))


# ---- the way there


def test_a_source_decides_the_family(peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with both, and ``--source`` of one: never an attempt to bind one family for the other."""
    asked: list[int | None] = []

    async def look(host: str, port: int, family: int | None) -> str:
        asked.append(family)
        raise ServerUnreachable("enough")

    monkeypatch.setattr(session, "resolve", look)
    for source, family in ((None, None), ("192.0.2.7", None), ("2001:db8::7", None), (None, 6)):
        with pytest.raises(ServerUnreachable, match="enough"):
            asyncio.run(ControlSession.open(Target("echo.example.net"), source, family))
    assert asked == [None, 4, 6, 6]
